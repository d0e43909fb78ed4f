//! What senders said a moment ago, for words that are spelled over several messages.

use std::sync::Arc;

use quick_cache::sync::Cache;

use crate::identity::Identity;
use crate::said::NewMessage;
use guildhall_base::clock::Millis;

/// Senders whose last messages are remembered.
const SENDERS: usize = 16_384;
/// Messages of one sender that are remembered, and how long such a message may be, in characters.
const LAST: usize = 4;
const SHORT: usize = 12;

/// The last short messages of senders, so that words spelled over several are found. Kept by each instance for itself:
/// good enough for what it is, and free.
pub struct RecentTexts {
    window_ms: Millis,
    last: Cache<String, Arc<Vec<(Millis, String)>>>,
}

impl RecentTexts {
    /// Remembers for so long; for no time at all, nothing.
    pub fn new(window_ms: Millis) -> Self {
        Self { window_ms, last: Cache::new(SENDERS) }
    }

    fn key(said: &NewMessage, sender: &Identity) -> String {
        format!("{} {}", said.channel, sender.key())
    }

    /// The last short messages before this one, in the order they were sent.
    pub fn of(&self, said: &NewMessage, sender: &Identity, now: Millis) -> Vec<String> {
        if self.window_ms == 0 || said.text.as_str().chars().count() > SHORT {
            return Vec::new();
        }
        let last = self.last.get(&Self::key(said, sender)).unwrap_or_default();
        last.iter().filter(|(at, _)| now - at <= self.window_ms).map(|(_, text)| text.clone()).collect()
    }

    /// Notes a message that was stored.
    pub fn note(&self, said: &NewMessage, sender: &Identity, now: Millis) {
        if self.window_ms == 0 || said.text.as_str().chars().count() > SHORT {
            return;
        }
        let key = Self::key(said, sender);
        let mut last = self.last.get(&key).unwrap_or_default().as_ref().clone();
        last.push((now, said.text.as_str().to_owned()));
        last.drain(..last.len().saturating_sub(LAST));
        self.last.insert(key, Arc::new(last));
    }
}
