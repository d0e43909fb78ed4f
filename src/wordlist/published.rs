//! Published lists: immutable bundles `lists/<sha256>`, and `current.json`, the small pointer that moves.
//!
//! A bundle is written before the pointer names it, and never changed, so whoever reads the pointer finds the bundle;
//! going back is moving the pointer. Every move is noted under `log/`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Files;
use crate::base::clock::Millis;
use crate::base::random;
use crate::filter::words::MAX_BYTES;
use crate::outside::objects::{Found, Objects, When};

/// The pointer's name.
pub const POINTER: &str = "current.json";
const MAX_POINTER_BYTES: usize = 16 * 1024;

/// Pointer to the list in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    /// The bundle's SHA-256, in hex; its name too.
    pub sha256: String,
    /// The bundle's bytes.
    pub size: usize,
    /// Entries it blocks.
    pub entries: usize,
    /// Time at which the pointer was moved here, in milliseconds since 1970-01-01 UTC.
    pub published_at: Millis,
    /// By whom.
    pub by: String,
    /// `publish` or `rollback`.
    pub by_way_of: String,
    /// Somebody said that it may have under half of the entries of the one before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forced: bool,
}

/// A bundle's content.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bundle {
    format: u32,
    files: BTreeMap<String, String>,
}

/// Result of a look at the pointer.
#[derive(Debug)]
pub enum PointerState {
    /// Nothing was published.
    Nothing,
    /// The pointer is the one that the caller knows.
    Same,
    /// The pointer, and the tag of its content.
    At(Pointer, String),
}

/// The pointer, unless it is the one with the tag that is known.
///
/// # Errors
/// It can't be read, or is none.
pub async fn look(objects: &Objects, known: Option<&str>) -> Result<PointerState, String> {
    let named = |fault: &dyn std::fmt::Display| format!("{POINTER}: {fault}");
    match objects.get(POINTER, MAX_POINTER_BYTES, known).await.map_err(|fault| named(&fault))? {
        Found::Missing => Ok(PointerState::Nothing),
        Found::Same => Ok(PointerState::Same),
        Found::Object { bytes, tag } => {
            let pointer = serde_json::from_slice(&bytes).map_err(|fault| named(&fault))?;
            Ok(PointerState::At(pointer, tag))
        }
    }
}

/// The pointer, if anything was published.
///
/// # Errors
/// It can't be read, or is none.
pub async fn pointer(objects: &Objects) -> Result<Option<Pointer>, String> {
    match look(objects, None).await? {
        PointerState::At(pointer, _) => Ok(Some(pointer)),
        PointerState::Nothing | PointerState::Same => Ok(None),
    }
}

/// The files that a pointer points at, checked against its hash and size.
///
/// # Errors
/// The bundle is missing, cut short, or another than the pointer says.
pub async fn files(objects: &Objects, pointer: &Pointer) -> Result<Files, String> {
    let name = bundle_name(&pointer.sha256)?;
    let found = objects.get(&name, MAX_BYTES, None).await.map_err(|fault| format!("{name}: {fault}"))?;
    let Found::Object { bytes, .. } = found else { return Err(format!("{name} is missing")) };
    if bytes.len() != pointer.size || sha256(&bytes) != pointer.sha256 {
        return Err(format!("{name} is not what {POINTER} says: other size or hash"));
    }
    unbundle(&bytes, &name)
}

/// The files of a bundle that is called `name`.
///
/// # Errors
/// It is none that this version can read.
pub fn unbundle(bytes: &[u8], name: &str) -> Result<Files, String> {
    let bundle: Bundle = serde_json::from_slice(bytes).map_err(|fault| format!("{name}: {fault}"))?;
    if bundle.format != 1 {
        return Err(format!("{name} has format {}, which this version can't read", bundle.format));
    }
    Ok(bundle.files.into_iter().map(|(file, text)| (file, text.into_bytes())).collect())
}

/// A list as one file.
///
/// # Errors
/// A file is not UTF-8.
pub fn bundle(files: &Files) -> Result<Vec<u8>, String> {
    let text = |(name, bytes): &(String, Vec<u8>)| {
        String::from_utf8(bytes.clone())
            .map(|text| (name.clone(), text))
            .map_err(|_| format!("{name} is not UTF-8"))
    };
    let bundle = Bundle { format: 1, files: files.iter().map(text).collect::<Result<_, _>>()? };
    serde_json::to_vec(&bundle).map_err(|fault| fault.to_string())
}

/// Writes a bundle, then moves the pointer to it, if that is still where `seen` says; without, wherever it is.
///
/// # Errors
/// Something can't be written, a file is not UTF-8, or another moved the pointer meanwhile.
pub async fn publish(
    objects: &Objects,
    files: &Files,
    entries: usize,
    (by, now): (&str, Millis),
    seen: Option<&PointerState>,
) -> Result<Pointer, String> {
    let bytes = bundle(files)?;
    let (sha256, size) = (sha256(&bytes), bytes.len());
    let name = bundle_name(&sha256)?;
    let put = objects.put(&name, bytes, When::Always).await;
    put.map_err(|fault| format!("{name}: {}", String::from(fault)))?;
    let by_way_of = "publish".to_owned();
    // Whoever publishes such a list was asked, and said yes.
    let forced = matches!(seen, Some(PointerState::At(before, _)) if entries * 2 < before.entries);
    let by = by.to_owned();
    let pointer = Pointer { sha256, size, entries, published_at: now, by, by_way_of, forced };
    move_to(objects, &pointer, seen).await?;
    Ok(pointer)
}

/// Moves the pointer back: to the list whose hash begins with `to`, or to the one in use before.
///
/// # Errors
/// There is no such list, or more than one, or its bundle does not hold.
pub async fn rollback(objects: &Objects, to: Option<&str>, by: &str, now: Millis) -> Result<Pointer, String> {
    let seen = look(objects, None).await?;
    let PointerState::At(current, _) = &seen else { return Err("nothing was published".to_owned()) };
    let mut history = history(objects).await?;
    history.retain(|past| past.sha256 != current.sha256 && to.is_none_or(|to| past.sha256.starts_with(to)));
    let chosen =
        history.last().cloned().ok_or("no other list was published, or none whose hash begins so")?;
    if to.is_some() && history.iter().any(|past| past.sha256 != chosen.sha256) {
        return Err("several lists begin so; give more of the hash".to_owned());
    }
    files(objects, &chosen).await?;
    let pointer = Pointer {
        published_at: now,
        by: by.to_owned(),
        by_way_of: "rollback".to_owned(),
        forced: true,
        ..chosen
    };
    move_to(objects, &pointer, Some(&seen)).await?;
    Ok(pointer)
}

/// Every move of the pointer, oldest first.
///
/// # Errors
/// The log can't be read.
pub async fn history(objects: &Objects) -> Result<Vec<Pointer>, String> {
    let names = objects.list("log").await.map_err(|fault| format!("log: {fault}"))?;
    let mut history = Vec::with_capacity(names.len());
    for name in &names {
        let found = objects.get(name, MAX_POINTER_BYTES, None).await;
        if let Found::Object { bytes, .. } = found.map_err(|fault| format!("{name}: {fault}"))? {
            history.push(serde_json::from_slice(&bytes).map_err(|fault| format!("{name}: {fault}"))?);
        }
    }
    Ok(history)
}

async fn move_to(objects: &Objects, pointer: &Pointer, seen: Option<&PointerState>) -> Result<(), String> {
    let json = serde_json::to_vec_pretty(pointer).map_err(|fault| fault.to_string())?;
    let when = match seen {
        None => When::Always,
        Some(PointerState::At(_, tag)) => When::Still(Some(tag)),
        Some(PointerState::Nothing | PointerState::Same) => When::Still(None),
    };
    let moved = objects.put(POINTER, json.clone(), when).await;
    moved.map_err(|fault| format!("{POINTER}: {}", String::from(fault)))?;
    // Ids sort by time, so the log's names do.
    let note = format!("log/{}.json", random::id());
    let noted = objects.put(&note, json, When::Always).await;
    noted.map_err(|fault| format!("{note}: {}", String::from(fault)))
}

fn sha256(bytes: &[u8]) -> String {
    random::to_hex(&Sha256::digest(bytes))
}

/// A hash from outside becomes part of a path only if it is one.
fn bundle_name(sha256: &str) -> Result<String, String> {
    let is_hash = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { Ok(format!("lists/{sha256}")) } else { Err(format!("{POINTER}: '{sha256}' is no SHA-256")) }
}
