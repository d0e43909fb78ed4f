//! Keys that may lie in a file (`…_FILE`), which is read again each minute: they are replaced without a restart.

use std::fmt;
use std::path::PathBuf;

use super::Reader;

/// The shortest secret that is taken; providers make them, and most are longer.
const SECRET_BYTES: usize = 8;

/// Source of keys. Never shown.
#[derive(Clone)]
pub enum KeySource {
    /// The setting itself.
    Text(String),
    /// A file, which may change.
    File(PathBuf),
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<keys>")
    }
}

impl KeySource {
    /// Reads the current keys.
    ///
    /// # Errors
    /// The file can't be read; the text does not hold what is in it.
    pub fn read(&self) -> Result<String, String> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => {
                let text =
                    std::fs::read_to_string(path).map_err(|fault| format!("{}: {fault}", path.display()))?;
                Ok(text.trim().to_owned())
            }
        }
    }

    /// May it say something else later?
    pub fn changes(&self) -> bool {
        matches!(self, Self::File(_))
    }
}

/// Secrets joined by commas: two, while one is replaced.
///
/// # Errors
/// One that is too short to be a secret, or none.
pub fn split_secrets(text: &str) -> Result<Vec<String>, String> {
    let secrets: Vec<String> = text.split(',').map(|secret| secret.trim().to_owned()).collect();
    match secrets.iter().find(|secret| secret.len() < SECRET_BYTES) {
        Some(short) => Err(format!("has a secret of {} bytes; {SECRET_BYTES} is the least", short.len())),
        None => Ok(secrets),
    }
}

/// A key as a setting, or as a file.
pub(super) fn source(
    env: &mut Reader<'_>,
    (name, file): (&'static str, &'static str),
    meaning: &'static str,
) -> Option<KeySource> {
    let text = env.optional(name, "off", meaning, |text| Ok(KeySource::Text(text.to_owned())));
    let from = "file with the same instead, read again each minute";
    let file_source = env.optional(file, "none", from, |text| Ok(KeySource::File(text.into())));
    if text.is_some() && file_source.is_some() {
        env.fault(file, &format!("is set, and {name} too: one of them is enough"));
    }
    text.or(file_source)
}
