//! How many requests were refused as too many, for the log: who sends them fast shall not fill it.

use std::time::{Duration, Instant};

/// Refused requests have a line at most this often, which says for how many it stands.
const REFUSED_LINES: Duration = Duration::from_millis(50);

/// Those since the last line that told of one.
#[derive(Debug, Default)]
pub(super) struct Refused {
    count: u64,
    told: Option<Instant>,
}

impl Refused {
    /// Counts a refused request. Returns the number of them that a log line stands for, if a line is due.
    pub(super) fn one_more(&mut self) -> Option<u64> {
        self.count += 1;
        if self.told.is_some_and(|told| told.elapsed() < REFUSED_LINES) {
            return None;
        }
        self.told = Some(Instant::now());
        Some(std::mem::take(&mut self.count))
    }
}
