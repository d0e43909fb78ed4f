//! Object storage: named bytes, put and got whole. A folder for now.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::random;

/// Where objects lie.
#[derive(Clone, Debug)]
pub struct Objects {
    folder: PathBuf,
}

impl Objects {
    /// The objects of a folder, which need not exist yet.
    pub fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// An object, or none, if it is at most `limit` bytes.
    ///
    /// # Errors
    /// It is larger, or can't be read.
    pub fn get(&self, name: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let path = self.folder.join(name);
        match fs::metadata(&path) {
            Err(missing) if missing.kind() == ErrorKind::NotFound => Ok(None),
            Err(fault) => Err(fault),
            Ok(meta) if meta.len() > limit as u64 => {
                Err(io::Error::other(format!("{name} has {} bytes, more than {limit}", meta.len())))
            }
            Ok(_) => fs::read(path).map(Some),
        }
    }

    /// Puts an object in place of what was there, all at once: readers see the old one or the new one.
    ///
    /// # Errors
    /// It can't be written.
    pub fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.folder.join(name);
        let parent = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(parent)?;
        let draft = parent.join(format!(".{}", random::id()));
        let mut file = fs::File::create_new(&draft)?;
        file.write_all(bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&draft, &path))
            .inspect_err(|_| {
                let _ = fs::remove_file(&draft);
            })
    }

    /// The names of all objects under a prefix that is a folder, sorted.
    ///
    /// # Errors
    /// They can't be listed.
    pub fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.folder.join(prefix)) {
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
}
