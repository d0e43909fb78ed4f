//! How far a table was read whose numbers are given in one order and become visible in another, that of commits: whoever
//! reads it goes back a little each time, and tells by the number what is new.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// For so long, a row may become visible behind one that was made later.
const LATE: Duration = Duration::from_secs(10);

/// Position up to which a table was read.
pub(super) struct ReadPosition {
    /// Nothing that comes late lies before this.
    after: i64,
    /// Numbers behind it that were reported, and the time of each.
    told: VecDeque<(Instant, i64)>,
}

impl ReadPosition {
    /// Nothing behind a number was read yet.
    pub(super) fn number(after: i64) -> Self {
        Self { after, told: VecDeque::new() }
    }

    /// Returns the number to read from.
    pub(super) fn after(&self) -> i64 {
        self.after
    }

    /// Returns the numbers behind it that were read already.
    pub(super) fn known(&self) -> Vec<i64> {
        self.told.iter().map(|(_, number)| *number).collect()
    }

    /// These are told now.
    pub(super) fn note(&mut self, numbers: impl Iterator<Item = i64>) {
        let now = Instant::now();
        self.told.extend(numbers.map(|number| (now, number)));
        while self.told.front().is_some_and(|(at, _)| at.elapsed() > LATE)
            && let Some((_, number)) = self.told.pop_front()
        {
            self.after = self.after.max(number);
        }
    }
}
