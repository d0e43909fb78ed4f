//! Wordlists: as files, as what is published, and the one in use.
//!
//! Here is how a folder of lists is read. `check` and `diff` are what planners do with lists before players meet them;
//! `published` is the place where lists are put and never changed; `in_use` keeps the list that judges, reads it again
//! when it is old, and never loses a good one to a fault; `last_good`
//! is where a start finds one.
//!
//! Knows the filter, object storage and settings; no message, no database.

use std::fs;
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::base::random;
use crate::filter::policy::POLICY_FILE;
use crate::filter::words::{CASES_FILE, MAX_BYTES};

pub mod check;
pub mod diff;
pub mod in_use;
pub mod last_good;
mod page;
pub mod published;

/// A list's files by name, sorted.
pub type Files = Vec<(String, Vec<u8>)>;

/// The files of a folder that belong to a wordlist.
///
/// # Errors
/// A sentence that names what can't be read.
pub fn read_folder(folder: &Path) -> Result<Files, String> {
    let fault = |fault: io::Error| format!("{}: {fault}", folder.display());
    let mut files = Files::new();
    let mut left = MAX_BYTES;
    for file in fs::read_dir(folder).map_err(fault)? {
        let file = file.map_err(fault)?;
        let Ok(name) = file.file_name().into_string() else { continue };
        let belongs =
            name == CASES_FILE || name == POLICY_FILE || (name.ends_with(".txt") && !name.starts_with('.'));
        let size = file.metadata().map_err(fault)?.len() as usize;
        if belongs {
            left =
                left.checked_sub(size).ok_or_else(|| format!("more than {MAX_BYTES} bytes of wordlists"))?;
            files.push((name, fs::read(file.path()).map_err(fault)?));
        }
    }
    files.sort();
    Ok(files)
}

/// Files that the one list has and the other has not.
pub fn vanished(before: &Files, after: &Files) -> Vec<String> {
    let there = |name: &String| after.iter().any(|(other, _)| other == name);
    before.iter().map(|(name, _)| name).filter(|name| !there(name)).cloned().collect()
}

/// The name of a list's content: the first half of a SHA-256 over all its files, in hex.
pub fn version(files: &Files) -> String {
    let mut hash = Sha256::new();
    for (name, bytes) in files {
        for part in [name.as_bytes(), bytes.as_slice()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    random::to_hex(&hash.finalize()[..16])
}
