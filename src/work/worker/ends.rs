//! What becomes of a task after a try: pure, so that it can be read as a table.

use crate::base::clock::Millis;
use crate::config::TasksConfig;
use crate::store::outbox::End;
use crate::work::task::{Failure, TaskEntry, backoff_ms};

/// A task that its receiver does not take holds those behind it for so long, while the receiver takes those of others.
const HELD_UP_MS: Millis = 600_000;

/// Result of a try, for the outbox, the log and the metrics.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) end: End,
    pub(super) outcome: &'static str,
    pub(super) reason: Option<String>,
    /// Reason why it is dead, as one of a few words.
    pub(super) class: &'static str,
}

/// History of a task before this try.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    /// Tries.
    pub(super) attempt: i64,
    /// Those of them that were our own fault.
    pub(super) faults: i64,
    /// Milliseconds since the first failed try.
    pub(super) failing_ms: Millis,
    /// For how long its receiver has taken others between any two of its tries.
    pub(super) held_up_ms: Millis,
}

/// Decides about a task by what happened before, and how this try ended.
pub(super) fn decide(
    entry: &TaskEntry,
    before: Before,
    result: Result<(), Failure>,
    config: &TasksConfig,
) -> Ended {
    let Before { attempt, faults, failing_ms, held_up_ms } = before;
    let in_order = entry.in_order && config.in_order;
    let dead = |reason: String, class| Ended { end: End::Dead, outcome: "dead", reason: Some(reason), class };
    let again = |reason: String, after_ms: Millis, fault| {
        // The last try is made when its time is over, and not a pause later.
        let left_ms = (config.retried_ms - failing_ms).max(0);
        let pause_ms = backoff_ms(attempt, config.longest_pause_ms).max(after_ms).min(left_ms.max(1));
        let end = End::Again { after_ms: pause_ms, in_order, fault };
        Ended { end, outcome: "retry", reason: Some(reason), class: "" }
    };
    let is_late = failing_ms >= config.retried_ms;
    let is_held_up = in_order && entry.gives_way && held_up_ms >= HELD_UP_MS;
    match result {
        Ok(()) => Ended { end: End::Done, outcome: "done", reason: None, class: "" },
        Err(Failure::LeftAlone(after_ms)) => {
            let reason = "its receiver is left alone, as it failed or asked for it".to_owned();
            Ended { end: End::Postponed(after_ms), outcome: "put off", reason: Some(reason), class: "" }
        }
        Err(Failure::GiveUp(why)) => dead(why, "refused"),
        Err(Failure::Fault(why)) if faults + 1 >= entry.attempts => dead(why, "fault"),
        Err(Failure::Fault(why)) => again(why, 0, true),
        Err(Failure::Retry(why) | Failure::Later { why, .. }) if is_late => dead(why, "time"),
        Err(Failure::Later { why, .. }) if is_held_up => {
            dead(format!("{why}, for ten minutes in which it took those of others"), "held others up")
        }
        Err(Failure::Retry(why)) => again(why, 0, false),
        Err(Failure::Later { why, after_ms, .. }) => again(why, after_ms, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::App;
    use crate::config::Config;
    use crate::work::task::Task;
    use serde::{Deserialize, Serialize};

    const HOUR: Millis = 3_600_000;

    /// A task that others wait behind, or not, and that gives way to them, or not.
    #[derive(Serialize, Deserialize)]
    struct Posted<const IN_ORDER: bool, const GIVES_WAY: bool>;

    impl<const IN_ORDER: bool, const GIVES_WAY: bool> Task for Posted<IN_ORDER, GIVES_WAY> {
        const NAME: &'static str = "posted.v1";
        const ATTEMPTS: i64 = 10;
        const IN_ORDER: bool = IN_ORDER;
        const GIVES_WAY: bool = GIVES_WAY;

        fn key(&self) -> String {
            String::new()
        }

        async fn run(self, _: &App, _: &str) -> Result<(), Failure> {
            Ok(())
        }
    }
    const EVENT: TaskEntry = TaskEntry::of::<Posted<true, true>>();
    const PAYMENT: TaskEntry = TaskEntry::of::<Posted<true, false>>();
    const OUTREACH: TaskEntry = TaskEntry::of::<Posted<false, true>>();

    fn ended(
        entry: &TaskEntry,
        (attempt, faults): (i64, i64),
        failing_ms: Millis,
        failure: Failure,
    ) -> (&'static str, &'static str) {
        let config = Config::from_lookup(|_| None).unwrap().tasks;
        let held_up_ms = if let Failure::Later { well_ms: Some(ms), .. } = failure { ms } else { 0 };
        let before = Before { attempt, faults, failing_ms, held_up_ms };
        let Ended { outcome, class, .. } = decide(entry, before, Err(failure), &config);
        (outcome, class)
    }

    /// Returns a failure at a receiver that has taken others' tasks for so long.
    fn away(held_up_ms: Option<Millis>) -> Failure {
        Failure::Later { why: "the receiver answered 503".to_owned(), after_ms: 0, well_ms: held_up_ms }
    }

    #[test]
    fn tasks_are_given_up_by_time_and_faults_of_ours_by_tries() {
        for (tries, failing_ms, failure, expected) in [
            ((0, 0), 0, away(None), ("retry", "")),
            ((9, 0), 9 * 60_000, away(None), ("retry", "")),
            ((500, 0), 24 * HOUR - 1, away(None), ("retry", "")),
            ((500, 0), 24 * HOUR, away(None), ("dead", "time")),
            ((500, 0), 24 * HOUR, Failure::Retry(String::new()), ("dead", "time")),
            ((500, 0), 24 * HOUR, Failure::LeftAlone(1), ("put off", "")),
            ((8, 8), 0, Failure::Fault(String::new()), ("retry", "")),
            ((9, 9), 0, Failure::Fault(String::new()), ("dead", "fault")),
            // A receiver that was away, and then one fault of ours.
            ((9, 0), 60_000, Failure::Fault(String::new()), ("retry", "")),
            ((0, 0), 0, Failure::GiveUp(String::new()), ("dead", "refused")),
            // Others were taken all the while, or for a part of it, or never.
            ((5, 0), 11 * 60_000, away(Some(9 * 60_000)), ("retry", "")),
            ((5, 0), 11 * 60_000, away(Some(10 * 60_000)), ("dead", "held others up")),
            ((5, 0), 11 * 60_000, away(None), ("retry", "")),
        ] {
            let said = format!("{tries:?} tries, {failing_ms} ms, {failure:?}");
            assert_eq!(ended(&EVENT, tries, failing_ms, failure), expected, "{said}");
        }
        assert_eq!(
            ended(&PAYMENT, (5, 0), 11 * 60_000, away(Some(11 * 60_000))),
            ("retry", ""),
            "somebody paid for it"
        );
        assert_eq!(
            ended(&OUTREACH, (5, 0), 11 * 60_000, away(Some(11 * 60_000))),
            ("retry", ""),
            "nobody waits behind it"
        );
    }
}
