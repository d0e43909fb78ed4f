//! The time, from one place, so that tests can move it instead of waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01 UTC.
pub type Millis = i64;

/// The wall clock, plus what tests add to it.
#[derive(Clone, Debug)]
pub struct Clock {
    /// By how much time was made to pass, and by how much the clock was set.
    passed: Arc<AtomicI64>,
    set: Arc<AtomicI64>,
    started: (Instant, Millis),
}

impl Default for Clock {
    fn default() -> Self {
        Self { passed: Arc::default(), set: Arc::default(), started: (Instant::now(), wall()) }
    }
}

fn wall() -> Millis {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_millis() as Millis
}

impl Clock {
    /// Now, in milliseconds since the epoch.
    pub fn now(&self) -> Millis {
        wall() + self.passed() + self.set.load(Ordering::Relaxed)
    }

    /// Returns the clock's time when it was made, plus the time since then by a clock that nobody can set.
    pub fn steady(&self) -> Millis {
        let (at, said) = self.started;
        said + at.elapsed().as_millis() as Millis + self.passed()
    }

    /// Returns the time that tests made pass; for callers that ask another clock, which must follow.
    pub fn passed(&self) -> Millis {
        self.passed.load(Ordering::Relaxed)
    }

    /// Lets so many milliseconds pass, for this clock and its clones; for tests.
    pub fn advance(&self, by: Millis) {
        self.passed.fetch_add(by, Ordering::Relaxed);
    }

    /// Sets this clock and its clones forward, or back, as somebody does whose clock was wrong; for tests.
    pub fn step(&self, by: Millis) {
        self.set.fetch_add(by, Ordering::Relaxed);
    }
}
