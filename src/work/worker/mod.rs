//! Runs tasks: takes them from the outbox, or from the broker, a few at a time, and records how each ended.
//!
//! A worker asks for the tasks that it knows and has all for; others are left to others. It holds a key, and runs its first
//! tasks in their order. A task that fails is tried again later and later; one that fails for good, or panics every time,
//! becomes a dead letter with the reason (`ends`).

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::app::App;
use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::base::lock::lock;
use crate::base::panic::caught;
use crate::outside::envelope::Envelope;
use crate::store::handover;
use crate::store::outbox::{self, End, Lane, LeaseRequest, Taken};
use crate::work::task::{Failure, TaskEntry};

mod batch;
mod consumer;
mod ends;
mod lanes;
mod planned;
mod progress;
mod time;

use ends::{Before, Ended};
pub use time::WorkTime;

/// A worker that died holds its tasks, and those of their keys behind them, for so long. One that lives renews its hold.
const LEASE_MS: Millis = 15_000;
const RENEWED: Duration = Duration::from_secs(5);
/// Interval between two looks at the outbox while nothing is due.
const IDLE: Duration = Duration::from_millis(250);
/// The same while it can take no more.
const FULL: Duration = Duration::from_secs(1);
/// Reasons why tasks are given up, as metrics name them.
pub const DEAD_REASONS: &[&str] = &["refused", "time", "fault", "held others up", "unrunnable"];
/// Milliseconds after which a due task that nobody took is reported.
pub const LEFT_MS: Millis = 60_000;
/// After so many deaths of its workers a task is run while no other such one is.
const SUSPECTED: i64 = 3;
/// Milliseconds that other suspected tasks wait for it.
const SUSPECT_PAUSE_MS: Millis = 1_000;
/// Number of tries to record a task's end, and the pause between them.
const RECORDINGS: usize = 20;
const RECORDING_PAUSE: Duration = Duration::from_secs(1);

/// A task that was given up, as it lies on the topic of dead letters.
#[derive(Serialize)]
struct Letter<'a> {
    reason: Option<&'a str>,
    envelope: &'a Envelope,
}

/// One worker over a registry of tasks.
pub struct Worker {
    app: Arc<App>,
    tasks: &'static [TaskEntry],
    /// The names of those of them that can be run here.
    runnable: Vec<&'static str>,
    /// The last period for which a sweep was enqueued.
    swept: AtomicI64,
    /// The last second in which it was looked at what is scheduled.
    looked: AtomicI64,
    /// The last time it was looked for what nobody runs, and when each was told of.
    looked_left: AtomicI64,
    told: Mutex<HashMap<String, Millis>>,
    /// Permit to run a task over which workers have died again and again: one at a time, so that no other is taken for
    /// the culprit.
    suspect: Semaphore,
}

impl Worker {
    /// A worker that has not begun.
    pub fn new(app: Arc<App>, tasks: &'static [TaskEntry]) -> Arc<Self> {
        let can_run = tasks.iter().filter(|entry| (entry.is_set_up)(&app));
        let runnable = can_run.map(|entry| entry.name).collect();
        Arc::new(Self {
            app,
            tasks,
            runnable,
            swept: AtomicI64::new(0),
            looked: AtomicI64::new(0),
            looked_left: AtomicI64::new(0),
            told: Mutex::default(),
            suspect: Semaphore::new(1),
        })
    }

    /// Those that it can run, from any key.
    fn wanted(&self) -> LeaseRequest {
        LeaseRequest::all(self.runnable.iter().copied())
    }

    /// Works until told to stop, then lets the tasks that run come to their end.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let back = tokio::spawn(Arc::clone(&self).take_back(stop.clone()));
        if self.app.alone
            && let Err(error) = outbox::free(&self.app.db, self.app.config.tasks.longest_pause_ms).await
        {
            tracing::warn!(error = error.for_log(), "tasks that an earlier process held can't be freed now");
        }
        let wanted = self.wanted();
        self.take_and_run(wanted, true, &mut stop).await;
        let _ = back.await;
    }

    /// Takes back what a broker had, where there is none any more.
    async fn take_back(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            match handover::hand_over_again(&self.app.db).await {
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(
                        error = error.for_log(),
                        "tasks that a broker had can't be taken back now; trying again"
                    )
                }
            }
            tokio::select! {
                () = tokio::time::sleep(RECORDING_PAUSE) => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// Beside what a broker delivers: runs what other workers gave back, as they could not run it.
    async fn run_given_back(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let wanted = LeaseRequest::given_back(self.runnable.iter().copied());
        self.take_and_run(wanted, false, &mut stop).await;
    }

    async fn take_and_run(
        self: Arc<Self>,
        wanted: LeaseRequest,
        all: bool,
        stop: &mut watch::Receiver<bool>,
    ) {
        let mut running = JoinSet::new();
        while !*stop.borrow() {
            let room = self.app.config.tasks.at_once - running.len();
            let due = self.due(&wanted, all, room).await.unwrap_or_else(|error| {
                tracing::warn!(error = error.for_log(), "the outbox can't be read; trying again");
                Vec::new()
            });
            // While others run there may be room for more, and what is planned comes due.
            let pause = if room > due.len() { IDLE } else { FULL };
            for lane in due {
                let (worker, stop) = (Arc::clone(&self), stop.clone());
                running.spawn(async move { worker.work(lane, WorkTime::unlimited(), Some(&stop)).await });
            }
            tokio::select! {
                Some(_) = running.join_next() => {}
                () = tokio::time::sleep(pause) => {}
                _ = stop.changed() => {}
            }
        }
        running.join_all().await;
    }

    /// Runs everything that is due now, as far as the time goes, and says how many tries that took; for timers and for
    /// tests.
    ///
    /// # Errors
    /// The database's.
    pub async fn run_due(&self, time: WorkTime) -> Result<usize> {
        self.run_all(&self.wanted(), true, time).await
    }

    /// Runs what workers at a broker gave back, as far as it is due now and as the time goes; for timers.
    ///
    /// # Errors
    /// The database's.
    pub async fn run_given_back_due(&self, time: WorkTime) -> Result<usize> {
        let wanted = LeaseRequest::given_back(self.runnable.iter().copied());
        self.run_all(&wanted, false, time).await
    }

    async fn run_all(&self, wanted: &LeaseRequest, all: bool, time: WorkTime) -> Result<usize> {
        let mut tries = 0;
        while time.is_left() {
            let due = self.due(wanted, all, self.app.config.tasks.at_once).await?;
            if due.is_empty() {
                break;
            }
            let ran = join_all(due.into_iter().map(|lane| self.work(lane, time, None))).await;
            tries += ran.into_iter().sum::<usize>();
        }
        Ok(tries)
    }

    /// Can it be run here?
    fn can_run(&self, task: &str) -> bool {
        self.runnable.contains(&task)
    }

    /// Runs one task at once that a broker delivered, if it is its turn; one that can't be run here is left to others.
    ///
    /// # Errors
    /// The database's.
    pub async fn run_now(&self, envelope: Envelope, time: WorkTime) -> Result<()> {
        if !self.can_run(&envelope.task) {
            let Envelope { id, task, .. } = &envelope;
            tracing::info!(id, task, "a task that can't be run here is left to others");
            return handover::give_back(&self.app.db, &envelope).await;
        }
        if let Some(lane) = handover::claim(&self.app.db, &envelope, LEASE_MS).await? {
            self.work(lane, time, None).await;
        }
        Ok(())
    }

    async fn due(&self, wanted: &LeaseRequest, all: bool, room: usize) -> Result<Vec<Lane>> {
        if all {
            self.enqueue_due().await?;
        }
        outbox::lease(&self.app.db, wanted, room, LEASE_MS).await
    }

    /// Runs tasks of a key that is held, one after the other, and says how many. The first that is to be tried again, or the
    /// end of the time, lets the key go.
    async fn work(&self, lane: Lane, time: WorkTime, stop: Option<&watch::Receiver<bool>>) -> usize {
        self.holding(&lane, self.work_on(&lane, time, stop)).await
    }

    async fn work_on(&self, lane: &Lane, time: WorkTime, stop: Option<&watch::Receiver<bool>>) -> usize {
        let count = lane.tasks.len();
        for (nth, taken) in lane.tasks.iter().enumerate() {
            let stopped = stop.is_some_and(|stop| *stop.borrow());
            // What was claimed alone has its try; what a lane holds besides waits for the next worker.
            if nth > 0 && (stopped || !time.is_left()) {
                self.let_go(lane).await;
                return nth;
            }
            if !self.attempt(lane, taken, nth + 1 == count, time).await {
                return nth + 1;
            }
        }
        count
    }

    /// Tries a task, and says whether the next of its key may be run.
    async fn attempt(&self, lane: &Lane, taken: &Taken, last: bool, time: WorkTime) -> bool {
        let envelope = &taken.envelope;
        let runnable = |entry: &&TaskEntry| entry.name == envelope.task && self.can_run(entry.name);
        let Some(entry) = self.tasks.iter().find(runnable) else {
            // A key is taken for its head; what stands behind that may be for others.
            self.let_go(lane).await;
            return false;
        };
        let suspected = taken.faults >= SUSPECTED;
        let alone = if suspected { self.suspect.try_acquire().ok() } else { None };
        let result = if taken.faults >= entry.attempts {
            // Its workers died over it.
            Err(Failure::Fault("its worker died at the last try".to_owned()))
        } else if suspected && alone.is_none() {
            Err(Failure::LeftAlone(SUSPECT_PAUSE_MS))
        } else {
            self.one_try(entry, envelope, time).await
        };
        drop(alone);
        let held_up_ms = match &result {
            Err(Failure::Later { well_ms, .. }) => {
                lock(&self.app.held).failed(&envelope.id, *well_ms, self.app.clock.steady())
            }
            Err(Failure::LeftAlone(_)) => 0,
            _ => {
                lock(&self.app.held).ended(&envelope.id);
                0
            }
        };
        let failing_ms = match (&result, taken.failing_since) {
            (Err(_), Some(since)) => self.app.db.now().await.map_or(0, |now| now - since),
            _ => 0,
        };
        let before = Before { attempt: envelope.attempt, faults: taken.faults, failing_ms, held_up_ms };
        let Ended { end, outcome, reason, class } =
            ends::decide(entry, before, result, &self.app.config.tasks);
        let Envelope { id, task, attempt, trace, .. } = envelope;
        let dead = matches!(end, End::Dead);
        if dead {
            lock(&self.app.held).ended(&envelope.id);
        }
        if dead {
            tracing::error!(id, task, attempt, outcome, reason, request_id = trace, "task");
        } else {
            tracing::info!(id, task, attempt, outcome, reason, request_id = trace, "task");
        }
        let held = self.record(lane, (envelope, last), end, reason.as_deref()).await;
        // Once it is recorded: whoever sees the count finds the task's end in the outbox.
        metrics::counter!("guildhall_tasks_total", "task" => entry.name, "outcome" => outcome).increment(1);
        if dead {
            metrics::counter!("guildhall_tasks_dead_total", "task" => entry.name, "reason" => class)
                .increment(1);
            self.bury_letter(envelope, reason.as_deref()).await;
        }
        held && matches!(end, End::Done | End::Dead)
    }

    async fn let_go(&self, lane: &Lane) {
        if let Err(error) = outbox::release(&self.app.db, lane).await {
            tracing::warn!(
                error = error.for_log(),
                key = lane.key,
                "a key can't be let go now; its hold will end"
            );
        }
    }

    async fn bury_letter(&self, envelope: &Envelope, reason: Option<&str>) {
        let Some(queue) = &self.app.queue else { return };
        // Written, not built as a value: a payload may be nested deeper than a value is read.
        let letter = serde_json::to_vec(&Letter { reason, envelope }).unwrap_or_default();
        if let Err(error) = queue.bury(&envelope.id, &letter).await {
            tracing::warn!(error, id = envelope.id, "a dead letter is in the table, not on its topic");
        }
    }

    /// Records a try's end, through a database that is away for a while. If that fails, the key's lease ends, and the task
    /// runs again. False where another holds the key by now.
    async fn record(&self, lane: &Lane, of: (&Envelope, bool), end: End, reason: Option<&str>) -> bool {
        let id = &of.0.id;
        for _ in 0..RECORDINGS {
            match outbox::finish(&self.app.db, lane, of, end, reason).await {
                Ok(held) => return held,
                Err(error) => tracing::warn!(
                    error = error.for_log(),
                    id,
                    "a task's end can't be recorded; trying again"
                ),
            }
            tokio::time::sleep(RECORDING_PAUSE).await;
        }
        tracing::error!(id, "a task's end was not recorded; it will run again");
        false
    }

    /// Holds a key as long as its tasks are worked on, one after the other. Whoever lost it meanwhile (a process that stood
    /// still) comes too late to record its end. Both go on side by side: a renewal may wait for what the work has in its hands.
    async fn holding<T>(&self, lane: &Lane, work: impl Future<Output = T>) -> T {
        tokio::select! {
            done = work => done,
            never = self.renew(lane) => match never {},
        }
    }

    async fn renew(&self, lane: &Lane) -> Infallible {
        loop {
            tokio::time::sleep(RENEWED).await;
            if let Err(error) = outbox::renew(&self.app.db, lane, LEASE_MS).await {
                tracing::warn!(
                    error = error.for_log(),
                    key = lane.key,
                    "the hold on a key can't be renewed now"
                );
            }
        }
    }

    async fn one_try(&self, entry: &TaskEntry, envelope: &Envelope, time: WorkTime) -> Result<(), Failure> {
        let trying = caught((entry.run)(&self.app, envelope));
        let time = time.at_most(self.app.config.tasks.timeout);
        match tokio::time::timeout(time, trying).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Failure::Fault("the task panicked".to_owned())),
            Err(_) => Err(Failure::Retry(format!("not done within {} s", time.as_secs()))),
        }
    }
}
