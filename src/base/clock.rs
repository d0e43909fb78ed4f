//! The time, from one place, so that tests can move it instead of waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01 UTC.
pub type Millis = i64;

/// The wall clock, plus an offset that is zero outside tests.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset: Arc<AtomicI64>,
}

impl Clock {
    /// Now, in milliseconds since the epoch.
    pub fn now(&self) -> Millis {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        since_epoch.as_millis() as Millis + self.offset.load(Ordering::Relaxed)
    }

    /// Moves this clock and its clones by so many milliseconds; for tests.
    pub fn advance(&self, by: Millis) {
        self.offset.fetch_add(by, Ordering::Relaxed);
    }
}
