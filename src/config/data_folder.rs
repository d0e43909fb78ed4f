//! The embedded default's folder: the database, and a secret made on first start.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::base::error::StartError;
use crate::base::random;
use crate::config::Secret;

const SECRET_FILE: &str = "secret";
/// Held by every process that works in the folder, so that one that starts knows whether others do.
const PRESENCE_FILE: &str = ".running";

/// Makes the folder where there is none, for its owner only.
///
/// # Errors
/// It can't be made.
pub(crate) fn prepare(folder: &Path) -> Result<(), StartError> {
    if folder.is_file() {
        return Err(StartError::new(&format!("the data folder {}", folder.display()), "this is a file"));
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|fault| StartError::new(&format!("making the data folder {}", folder.display()), fault))
}

/// A process that works in the folder.
#[derive(Debug)]
pub(crate) struct Presence {
    _held: File,
    /// No other process was there.
    pub(crate) alone: bool,
}

/// Enters the folder, until what comes back is dropped or the process ends, however it does.
///
/// # Errors
/// The folder can't be written.
pub(crate) fn enter(folder: &Path) -> Result<Presence, StartError> {
    let path = folder.join(PRESENCE_FILE);
    let fault = |fault: std::io::Error| StartError::new(&format!("{}", path.display()), fault);
    let held = OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(fault)?;
    let alone = held.try_lock().is_ok();
    held.unlock().and_then(|()| held.lock_shared()).map_err(fault)?;
    Ok(Presence { _held: held, alone })
}

/// The folder's secret, which must be there: a token that is signed by a new one would hold nowhere.
///
/// # Errors
/// There is none, or it can't be read.
pub(crate) fn existing_secret(folder: &Path) -> Result<Secret, StartError> {
    if folder.join(SECRET_FILE).exists() {
        return secret(folder);
    }
    let place = format!("there is no secret in {}", folder.display());
    let mend = "start `guildhall serve` there first, name its folder by GUILDHALL_DATA, or set GUILDHALL_TOKEN_SECRET";
    Err(StartError::new(&place, mend))
}

/// The folder's secret. Two programs that start at once agree on one: it is written beside its place, whole, and
/// then linked there, which only the first can do.
///
/// # Errors
/// It can't be read or made, or was cut short.
pub(crate) fn secret(folder: &Path) -> Result<Secret, StartError> {
    prepare(folder)?;
    let path = folder.join(SECRET_FILE);
    let fault =
        |fault: std::io::Error| StartError::new(&format!("the token secret {}", path.display()), fault);
    match std::fs::read_to_string(&path) {
        Err(missing) if missing.kind() == ErrorKind::NotFound => {
            let draft = folder.join(format!("{SECRET_FILE}.{}", random::id()));
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(fault)?;
            file.write_all(random::hex::<32>().as_bytes()).and_then(|()| file.sync_all()).map_err(fault)?;
            let linked = std::fs::hard_link(&draft, &path);
            std::fs::remove_file(&draft).map_err(fault)?;
            match linked {
                Err(lost) if lost.kind() != ErrorKind::AlreadyExists => Err(fault(lost)),
                _ => secret(folder),
            }
        }
        Err(other) => Err(fault(other)),
        Ok(text) => {
            Secret::new(text.trim()).map_err(|why| StartError::new(&format!("{}", path.display()), why))
        }
    }
}
