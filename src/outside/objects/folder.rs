//! Objects as files: for one machine, and for tests.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{Found, PutError, When};
use crate::base::random;

/// Held while a condition is looked at and the file is put.
const LOCK: &str = ".lock";

pub(super) fn get(folder: &Path, name: &str, limit: usize, known: Option<&str>) -> Result<Found, String> {
    let path = folder.join(name);
    let fault_text = |fault: io::Error| fault.to_string();
    match fs::metadata(&path) {
        Err(missing) if missing.kind() == ErrorKind::NotFound => return Ok(Found::Missing),
        Err(fault) => return Err(fault_text(fault)),
        Ok(meta) if meta.len() > limit as u64 => {
            return Err(format!("has {} bytes, more than {limit}", meta.len()));
        }
        Ok(_) => {}
    }
    let bytes = fs::read(path).map_err(fault_text)?;
    let tag = tag(&bytes);
    if known == Some(&tag) { Ok(Found::Same) } else { Ok(Found::Object { bytes, tag }) }
}

pub(super) fn put(folder: &Path, name: &str, bytes: &[u8], when: When<'_>) -> Result<(), PutError> {
    let fault_text = |fault: io::Error| PutError::Fault(fault.to_string());
    let path = folder.join(name);
    let parent = path.parent().unwrap_or(folder);
    fs::create_dir_all(parent).map_err(fault_text)?;
    let lock = File::create(folder.join(LOCK)).map_err(fault_text)?;
    lock.lock().map_err(fault_text)?;
    if let When::Still(expected) = when {
        let there = match fs::read(&path) {
            Ok(bytes) => Some(tag(&bytes)),
            Err(missing) if missing.kind() == ErrorKind::NotFound => None,
            Err(fault) => return Err(fault_text(fault)),
        };
        if there.as_deref() != expected {
            return Err(PutError::Changed);
        }
    }
    write(parent, &path, bytes).map_err(fault_text)
}

fn write(parent: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = parent.join(format!(".{}", random::id()));
    let mut file = File::create_new(&draft)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&draft, path)).inspect_err(
        |_| {
            let _ = fs::remove_file(&draft);
        },
    )
}

pub(super) fn list(folder: &Path, prefix: &str) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder.join(prefix)) {
        Err(missing) if missing.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        if let Ok(name) = entry?.file_name().into_string()
            && !name.starts_with('.')
        {
            names.push(format!("{prefix}/{name}"));
        }
    }
    names.sort();
    Ok(names)
}

fn tag(bytes: &[u8]) -> String {
    random::to_hex(&Sha256::digest(bytes)[..16])
}
