//! So many uses of something a second: what others limit is not asked for faster.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Something that is used so many times a second at most.
pub struct Paced<T> {
    what: T,
    every: Duration,
    next: Mutex<Instant>,
}

impl<T> Paced<T> {
    /// At most `per_s` uses a second.
    pub fn new(what: T, per_s: u64) -> Self {
        let every = Duration::from_secs(1) / u32::try_from(per_s.max(1)).unwrap_or(u32::MAX);
        Self { what, every, next: Mutex::new(Instant::now()) }
    }

    /// The thing, when it may be used.
    pub async fn turn(&self) -> &T {
        let at = {
            let mut next = self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let at = (*next).max(Instant::now());
            *next = at + self.every;
            at
        };
        tokio::time::sleep_until(at.into()).await;
        &self.what
    }
}
