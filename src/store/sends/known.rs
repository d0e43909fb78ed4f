//! Facts that this process knows of senders in channels, so that most batches on `PostgreSQL` need no query before they
//! write.
//!
//! Nothing of it is believed: the statement that writes holds each row to all that it was decided on (`one_pass`), and the
//! messages' own index finds a nonce that was used before. Where one thing is otherwise by now, nothing is written, and the
//! facts are asked for. What is known here lets sends pass, and never refuses one.

use std::hash::Hash;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use quick_cache::Equivalent;
use quick_cache::sync::Cache;

use super::decide::{Batch, Decision};
use super::draft::Pending;
use super::facts::{Facts, Pace, Plain};
use crate::base::clock::{Clock, Millis};
use crate::base::error::Result;
use crate::base::lock::lock;
use crate::store::spoken::Spoken;
use crate::store::times::{Asking, Times};

/// Time for which facts are asked of the database after known facts had proved wrong: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(64));
/// A time further ahead than this was told before somebody set the database's clock back.
const APART_MS: Millis = 250;

/// Known facts about players who send.
pub(in crate::store) struct Known {
    pub(super) spoken: Spoken,
    /// By channel and sender.
    facts: Cache<(String, String), Plain>,
    paces: Cache<String, Pace>,
    times: Arc<Times>,
    /// The last time that a batch was given.
    last: AtomicI64,
    doubt: Mutex<Doubt>,
}

/// Until when facts are asked for, and how long that was the last time.
#[derive(Default)]
struct Doubt {
    until: Option<Instant>,
    pause: Duration,
}

impl Doubt {
    fn holds(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    fn begin(&mut self, now: Instant) {
        self.pause = (self.pause * 2).clamp(PAUSE.0, PAUSE.1);
        self.until = Some(now + self.pause);
    }

    /// The next one is short again. One that holds stays: what the other writer had begun before it may prove right.
    fn reset_pause(&mut self) {
        self.pause = Duration::ZERO;
    }
}

#[derive(Hash, PartialEq, Eq)]
struct Key<'a>(&'a str, &'a str);

impl Equivalent<(String, String)> for Key<'_> {
    fn equivalent(&self, key: &(String, String)) -> bool {
        self.0 == key.0 && self.1 == key.1
    }
}

impl<'a> Key<'a> {
    fn of(pending: &'a Pending) -> Self {
        Self(pending.draft.said.channel.as_str(), &pending.sender_key)
    }
}

impl Known {
    /// Nothing yet.
    pub(in crate::store) fn new(times: Arc<Times>, most: usize, spoken: Spoken) -> Self {
        Self {
            spoken,
            facts: Cache::new(most),
            paces: Cache::new(most),
            times,
            last: AtomicI64::new(0),
            doubt: Mutex::default(),
        }
    }

    /// The facts of all of them and the database's time, if all of that is known.
    pub(super) fn all(&self, drafts: &[Pending], clock: &Clock) -> Option<(Vec<Facts>, Millis)> {
        if lock(&self.doubt).holds(Instant::now()) {
            return None;
        }
        let found: Vec<Option<Facts>> = drafts.iter().map(|pending| self.of(pending)).collect();
        let known = found.iter().flatten().count();
        metrics::counter!("guildhall_senders_total", "facts" => "known").increment(known as u64);
        metrics::counter!("guildhall_senders_total", "facts" => "asked")
            .increment((found.len() - known) as u64);
        let facts = found.into_iter().collect::<Option<_>>()?;
        Some((facts, self.now(clock)? + clock.passed()))
    }

    fn of(&self, pending: &Pending) -> Option<Facts> {
        let plain = self.facts.get(&Key::of(pending))?;
        let pace = match pending.draft.limit {
            None => None,
            Some(_) => Some(self.paces.get(pending.sender_key.as_str())?),
        };
        Some(plain.facts(pace))
    }

    /// Never ahead of the database's clock, or a task that a send leaves would not be due to who looks behind it; and never
    /// behind what a batch was given before, or a sender would seem to have spoken later than now.
    fn now(&self, clock: &Clock) -> Option<Millis> {
        let now = self.times.not_ahead(clock)?;
        if self.last.load(Ordering::Relaxed) - now > APART_MS {
            self.last.store(now, Ordering::Relaxed);
        }
        Some(self.last.fetch_max(now, Ordering::Relaxed).max(now))
    }

    /// Notes what the database says its time is, and gives it back.
    pub(super) fn note_time(&self, clock: &Clock, asking: Asking, now: Millis) -> Millis {
        self.times.note_first(clock, asking, now);
        self.last.fetch_max(now, Ordering::Relaxed);
        now
    }

    /// Notes the facts on which sends were stored, where they are such as can be held to.
    pub(super) fn note(&self, drafts: &[&Pending], facts: &[Facts], decisions: &[Result<Decision>]) {
        for ((pending, facts), decision) in drafts.iter().zip(facts).zip(decisions) {
            if let (Ok(Decision::Store(_)), Some(plain)) = (decision, facts.plain()) {
                let Key(channel, sender) = Key::of(pending);
                self.facts.insert((channel.to_owned(), sender.to_owned()), plain);
            }
        }
    }

    /// Notes when the batch's senders spoke, and where, once it is written.
    pub(super) fn note_written(&self, batch: &Batch<'_>) {
        self.spoken.note(&batch.spoken, batch.now);
        for (sender, pace) in batch.written_paces() {
            self.paces.insert(sender.to_owned(), pace);
        }
    }

    /// Notes that the known facts proved right.
    pub(super) fn was_right(&self) {
        lock(&self.doubt).reset_pause();
    }

    /// Notes that known facts of one of them proved wrong. Where that happens again and again, as senders use several
    /// processes in turn or repeat themselves, facts are asked of the database for ever longer.
    pub(super) fn was_wrong(&self, drafts: &[&Pending]) {
        for pending in drafts {
            self.facts.remove(&Key::of(pending));
            self.paces.remove(pending.sender_key.as_str());
        }
        lock(&self.doubt).begin(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Retention;

    #[test]
    fn doubt_lasts_ever_longer_until_something_proves_right() {
        let (mut doubt, mut now) = (Doubt::default(), Instant::now());
        assert!(!doubt.holds(now));
        for seconds in [1, 2, 4, 8, 16, 32, 64, 64] {
            doubt.begin(now);
            let end = now + Duration::from_secs(seconds);
            assert!(doubt.holds(end - Duration::from_millis(1)) && !doubt.holds(end), "{seconds}");
            now = end;
        }
        doubt.begin(now);
        doubt.reset_pause();
        assert!(doubt.holds(now + PAUSE.1 / 2));
        doubt.begin(now);
        assert!(!doubt.holds(now + PAUSE.0));
    }

    #[test]
    fn no_batch_is_given_an_earlier_time_than_one_before_unless_the_database_was_set_back() {
        const NOW: Millis = 1_000_000;
        let (times, clock) = (Arc::<Times>::default(), Clock::default());
        let known = Known::new(Arc::clone(&times), 100, Spoken::new(&Retention::new()));
        assert_eq!(known.now(&clock), None, "nobody has asked");
        times.note(Asking::now(&clock), NOW);
        known.note_time(&clock, Asking::now(&clock), NOW + 100);
        assert_eq!(known.now(&clock), Some(NOW + 100));
        times.note(Asking::now(&clock), NOW - 3_600_000);
        assert!(known.now(&clock).is_some_and(|now| now < NOW));
    }
}
