//! Object storage: named bytes, got and put whole, in a folder or in a bucket that speaks S3's protocol.
//!
//! An object's tag changes with its content: asking with the tag that is known saves the download, and putting with
//! the tag that was seen keeps two writers from overwriting each other.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::clock::Millis;
use crate::config::{Location, S3Config};

mod folder;
mod s3;

/// Objects in a folder or in a bucket.
#[derive(Clone, Debug)]
pub struct Objects(Backend);

#[derive(Clone, Debug)]
enum Backend {
    Folder(PathBuf),
    Bucket(s3::Bucket),
}

/// Result of getting an object.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// There is no object.
    Missing,
    /// The object that the caller knows already.
    Same,
    /// The object.
    Object {
        /// All of its bytes.
        bytes: Vec<u8>,
        /// Stands for the content.
        tag: String,
    },
}

/// On what a put depends.
#[derive(Clone, Copy, Debug)]
pub enum When<'t> {
    /// On nothing.
    Always,
    /// On what is there now: the object with this tag, or none.
    Still(Option<&'t str>),
}

/// Reason why a put did not happen.
#[derive(Debug)]
pub enum PutError {
    /// Somebody else changed the object in between.
    Changed,
    /// The object can't be written.
    Fault(String),
}

impl From<PutError> for String {
    fn from(error: PutError) -> Self {
        match error {
            PutError::Changed => {
                "somebody else changed it meanwhile; look at `history` and try again".to_owned()
            }
            PutError::Fault(fault) => fault,
        }
    }
}

impl Objects {
    /// The objects of a folder, which need not exist yet.
    pub fn in_folder(folder: &Path) -> Self {
        Self(Backend::Folder(folder.to_owned()))
    }

    /// The objects at a configured place. Connects when it is first asked.
    pub async fn at(location: &Location, s3: &S3Config) -> Self {
        match location {
            Location::Folder(folder) => Self::in_folder(folder),
            Location::S3 { bucket, prefix } => {
                Self(Backend::Bucket(s3::Bucket::new(bucket, prefix, s3).await))
            }
        }
    }

    /// An object of at most `limit` bytes, unless it is the one with the tag that is known.
    ///
    /// # Errors
    /// It is larger, or can't be read.
    pub async fn get(&self, name: &str, limit: usize, known: Option<&str>) -> Result<Found, String> {
        match &self.0 {
            Backend::Folder(folder) => folder::get(folder, name, limit, known),
            Backend::Bucket(bucket) => bucket.get(name, limit, known).await,
        }
    }

    /// Puts an object in place of what was there, all at once: readers see the old one or the new one.
    ///
    /// # Errors
    /// It can't be written, or the condition does not hold.
    pub async fn put(&self, name: &str, bytes: Vec<u8>, when: When<'_>) -> Result<(), PutError> {
        match &self.0 {
            Backend::Folder(folder) => folder::put(folder, name, &bytes, when),
            Backend::Bucket(bucket) => bucket.put(name, bytes, when).await,
        }
    }

    /// Returns an address at which anybody who knows it can get an object, for `for_ms` milliseconds; that of a folder
    /// has no such end.
    ///
    /// # Errors
    /// There is no way to say it.
    pub async fn link(&self, name: &str, for_ms: Millis) -> Result<String, String> {
        match &self.0 {
            Backend::Folder(folder) => {
                let path = std::path::absolute(folder.join(name)).map_err(|fault| fault.to_string())?;
                Ok(format!("file://{}", path.display()))
            }
            Backend::Bucket(bucket) => bucket.link(name, Duration::from_millis(for_ms.unsigned_abs())).await,
        }
    }

    /// The names of all objects under a prefix that is a folder, sorted.
    ///
    /// # Errors
    /// They can't be listed.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, String> {
        match &self.0 {
            Backend::Folder(folder) => folder::list(folder, prefix).map_err(|fault| fault.to_string()),
            Backend::Bucket(bucket) => bucket.list(prefix).await,
        }
    }
}
