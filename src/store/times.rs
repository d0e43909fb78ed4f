//! What the database's clock says, without asking it each time.
//!
//! Between two times of asking, the machine's monotonic clock carries on. Where that and the wall clock disagree, somebody
//! has set the clock, or the process was frozen: then it is asked again.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::base::clock::{Clock, Millis};

/// How long an answer is carried on.
const GOOD_FOR: Duration = Duration::from_secs(10);
/// By how much this machine's two clocks may differ meanwhile.
const APART_MS: Millis = 250;

/// The last answer.
#[derive(Default)]
pub(super) struct Times(Mutex<Option<Asked>>);

#[derive(Clone, Copy)]
struct Asked {
    at: Instant,
    wall: Millis,
    answer: Millis,
}

fn wall(clock: &Clock) -> Millis {
    clock.now() - clock.passed()
}

impl Times {
    /// The database's time, if that is known well enough.
    pub(super) fn now(&self, clock: &Clock) -> Option<Millis> {
        let asked = (*self.0.lock().ok()?)?;
        let passed = asked.at.elapsed();
        let passed_ms = passed.as_millis() as Millis;
        let apart = (wall(clock) - asked.wall - passed_ms).abs();
        (passed < GOOD_FOR && apart < APART_MS).then_some(asked.answer + passed_ms)
    }

    /// Notes what it said just now.
    pub(super) fn note(&self, answer: Millis, clock: &Clock) {
        if let Ok(mut asked) = self.0.lock() {
            *asked = Some(Asked { at: Instant::now(), wall: wall(clock), answer });
        }
    }
}
