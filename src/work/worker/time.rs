//! The time that a worker has: a function's invocation ends, and a try that begins too late would end with it.

use std::time::{Duration, Instant};

/// Time of a worker: without end in a process of its own, a while in a function.
#[derive(Clone, Copy, Debug)]
pub struct WorkTime(Option<Span>);

#[derive(Clone, Copy, Debug)]
struct Span {
    /// After this no try begins, so that each has half of the time at least.
    begin_until: Instant,
    end: Instant,
}

impl WorkTime {
    /// As long as it takes.
    pub const fn unlimited() -> Self {
        Self(None)
    }

    /// From now on so long.
    pub fn of(time: Duration) -> Self {
        let now = Instant::now();
        Self(Some(Span { begin_until: now + time / 2, end: now + time }))
    }

    /// May another try begin?
    pub fn is_left(self) -> bool {
        self.0.is_none_or(|span| Instant::now() < span.begin_until)
    }

    /// Of a time that a try would take, what it gets.
    pub(super) fn at_most(self, time: Duration) -> Duration {
        self.0.map_or(time, |span| time.min(span.end.saturating_duration_since(Instant::now())))
    }
}
