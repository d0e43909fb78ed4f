//! Keys that are replaced while the program runs: a file that holds some is read again each minute.

use std::sync::{Arc, Mutex};

use crate::base::clock::Millis;
use crate::base::lock::lock;
use crate::config::KeySource;

/// Milliseconds for which a file's keys are used before the file is read again.
const FRESH_MS: Millis = 60_000;

/// Keys from a setting or a file, as they are now.
pub(super) struct Rotating<K> {
    source: KeySource,
    parse: fn(&str) -> Result<K, String>,
    now: Mutex<(Millis, Arc<K>)>,
}

impl<K> Rotating<K> {
    pub(super) fn new(source: &KeySource, parse: fn(&str) -> Result<K, String>) -> Result<Self, String> {
        let keys = parse(&source.read()?)?;
        Ok(Self { source: source.clone(), parse, now: Mutex::new((0, Arc::new(keys))) })
    }

    /// The keys; those of before where a file can't be read or holds none now.
    pub(super) fn get(&self, now: Millis) -> Arc<K> {
        let mut held = lock(&self.now);
        let is_fresh = (held.0..held.0 + FRESH_MS).contains(&now);
        if self.source.changes() && !is_fresh {
            held.0 = now;
            match self.source.read().and_then(|text| (self.parse)(&text)) {
                Ok(keys) => held.1 = Arc::new(keys),
                Err(fault) => tracing::warn!(fault, "a file of keys can't be used; those of before hold"),
            }
        }
        Arc::clone(&held.1)
    }
}
