//! The last good list, for a start while the present one can't be used: a list that players were judged by must not be lost
//! to a faulty file, a pointer that leads nowhere, or a storage that is away.
//!
//! A server keeps it in its data folder. Where there is none, the newest good one of what was published is taken (lists are
//! never changed once they are there), else one that came with the program's package.

use std::path::{Path, PathBuf};

use super::Files;
use super::published::{self, Pointer};
use crate::filter::words::MAX_BYTES;
use crate::outside::objects::{Found, Objects, When};

/// Name of its file, in the data folder and beside the program.
pub const FILE: &str = "wordlist.json";
/// Number of published lists, from the newest back, among which a good one is looked for.
const LOOKED_BACK: usize = 20;

/// Keeps a list that came into use.
///
/// # Errors
/// It can't be written.
pub async fn keep(folder: &Path, files: &Files) -> Result<(), String> {
    let bytes = published::bundle(files)?;
    Objects::in_folder(folder).put(FILE, bytes, When::Always).await.map_err(String::from)
}

/// Reads the list that was kept in a folder, if any.
pub async fn kept(folder: &Path) -> Option<Files> {
    match Objects::in_folder(folder).get(FILE, MAX_BYTES, None).await {
        Ok(Found::Object { bytes, .. }) => published::unbundle(&bytes, FILE).map_or_else(
            |fault| {
                tracing::warn!(fault, "wordlist: the list that was kept can't be read");
                None
            },
            Some,
        ),
        _ => None,
    }
}

/// Reads the list that came with the program's package, if any.
pub async fn packaged() -> Option<Files> {
    let program: PathBuf = std::env::current_exe().ok()?;
    kept(program.parent()?).await
}

/// Reads the lists that were published, the newest first, as far as they can be read.
pub async fn published(objects: &Objects) -> Vec<(Pointer, Files)> {
    let Ok(mut history) = published::history(objects).await else { return Vec::new() };
    history.reverse();
    let mut found = Vec::new();
    for pointer in history.into_iter().take(LOOKED_BACK) {
        if let Ok(files) = published::files(objects, &pointer).await {
            found.push((pointer, files));
        }
    }
    found
}
