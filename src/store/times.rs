//! The time of the database's clock, without asking for it each time.
//!
//! Between two times of asking, the machine's monotonic clock carries on. Where that and the wall clock disagree, somebody
//! has set the clock, or the process was frozen: then it is asked again.
//!
//! Time is counted from the question on, not from its answer, and part of a millisecond counts as one: so what we take for
//! the time is never behind what the database gave a send, and a task that a send left is due to who looks behind it.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::base::clock::{Clock, Millis};

/// Time for which the machine's clock carries an answer on.
const GOOD_FOR: Duration = Duration::from_secs(10);
/// By how much this machine's two clocks may differ meanwhile.
const APART_MS: Millis = 250;

/// The last question and its answer.
#[derive(Default)]
pub(super) struct Times(Mutex<Option<Answer>>);

/// An answer of the database, and the moment at which it came.
#[derive(Clone, Copy)]
struct Answer {
    asking: Asking,
    heard: Instant,
    now: Millis,
}

/// The moment of a question to the database.
#[derive(Clone, Copy)]
pub(super) struct Asking {
    at: Instant,
    wall: Millis,
}

fn wall(clock: &Clock) -> Millis {
    clock.now() - clock.passed()
}

impl Asking {
    /// Returns the moment of a question that is asked now.
    pub(super) fn now(clock: &Clock) -> Self {
        Self { at: Instant::now(), wall: wall(clock) }
    }
}

impl Times {
    /// The database's time or a little later, if that is known well enough.
    pub(super) fn now(&self, clock: &Clock) -> Option<Millis> {
        let answer = self.answer(clock)?;
        Some(answer.now + answer.asking.at.elapsed().as_micros().div_ceil(1_000) as Millis)
    }

    /// The database's time or a little earlier, if that is known well enough.
    pub(super) fn not_ahead(&self, clock: &Clock) -> Option<Millis> {
        let answer = self.answer(clock)?;
        Some(answer.now + answer.heard.elapsed().as_millis() as Millis)
    }

    /// The last answer, as long as it is good.
    fn answer(&self, clock: &Clock) -> Option<Answer> {
        let answer = (*self.0.lock().ok()?)?;
        let passed = answer.asking.at.elapsed();
        let apart = (wall(clock) - answer.asking.wall - passed.as_millis() as Millis).abs();
        (passed < GOOD_FOR && apart < APART_MS).then_some(answer)
    }

    /// Notes what it said.
    pub(super) fn note(&self, asking: Asking, now: Millis) {
        if let Ok(mut last) = self.0.lock() {
            *last = Some(Answer { asking, heard: Instant::now(), now });
        }
    }

    /// Notes what it said to one who asked for something else, where no good answer is there.
    pub(super) fn note_first(&self, clock: &Clock, asking: Asking, now: Millis) {
        if self.answer(clock).is_none() {
            self.note(asking, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_took_its_time_does_not_put_us_behind_the_database() {
        const ANSWER: Millis = 1_000_000;
        let (times, clock) = (Times::default(), Clock::default());
        let asking = Asking::now(&clock);
        std::thread::sleep(Duration::from_millis(20));
        times.note(asking, ANSWER);
        assert!(times.now(&clock).unwrap() >= ANSWER + 20);
        assert!(times.not_ahead(&clock).unwrap() < ANSWER + 20, "it may be as old as the answer");
    }
}
