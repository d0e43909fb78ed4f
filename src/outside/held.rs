//! Heads of keys that their receiver does not take while it takes those of others.
//!
//! A receiver that goes away takes some and refuses some before it takes nothing, so one that was taken at any time since the
//! first failure says little. What counts is the time in which, between any two tries of the head here, others were taken.

use std::collections::HashMap;

use crate::base::clock::Millis;

/// Heads that are remembered; beyond that they wait for their whole time.
const MOST: usize = 10_000;

/// Tries of heads that failed, by the task's id.
#[derive(Debug, Default)]
pub struct Held(HashMap<String, Failing>);

#[derive(Debug)]
struct Failing {
    /// Since when others were taken between any two tries.
    since: Millis,
    /// The last try.
    last: Millis,
}

impl Held {
    /// A try failed; `well_ms` ago the receiver took one of another. Says for how long it has held others up.
    pub fn failed(&mut self, id: &str, well_ms: Option<Millis>, now: Millis) -> Millis {
        let has_room = self.0.len() < MOST;
        match self.0.get_mut(id) {
            Some(failing) => {
                if well_ms.is_none_or(|well_ms| now - well_ms <= failing.last) {
                    failing.since = now;
                }
                failing.last = now;
                now - failing.since
            }
            None if has_room => {
                self.0.insert(id.to_owned(), Failing { since: now, last: now });
                0
            }
            None => 0,
        }
    }

    /// Forgets a head that ended.
    pub fn ended(&mut self, id: &str) {
        self.0.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_time_in_which_others_were_taken_counts() {
        let mut held = Held::default();
        assert_eq!(held.failed("a", Some(5), 1_000), 0, "the first try says nothing");
        assert_eq!(held.failed("a", Some(100), 2_000), 1_000, "one of another was taken in between");
        assert_eq!(held.failed("a", Some(100), 600_000), 599_000);
        assert_eq!(held.failed("a", Some(300_000), 800_000), 0, "nobody was, since the last try");
        assert_eq!(held.failed("a", None, 900_000), 0);
        assert_eq!(held.failed("a", Some(1), 901_000), 1_000);
        held.ended("a");
        assert_eq!(held.failed("a", Some(1), 902_000), 0);
    }
}
