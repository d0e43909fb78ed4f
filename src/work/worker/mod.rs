//! Runs tasks: takes them from the outbox, or from the broker, a few at a time, and records how each ended.
//!
//! A task that fails is tried again later and later; one that fails for good, or panics every time, becomes a dead
//! letter with the reason. Neither stops the ones behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::app::App;
use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::base::panic::caught;
use crate::outside::envelope::Envelope;
use crate::store::handover;
use crate::store::outbox::{self, End};
use crate::store::schedule;
use crate::work::task::{BACKOFF_CAP_MS, Entry, Failure, Task, backoff_ms};
use crate::work::tasks::retention::Retention;

mod batch;
mod consumer;
mod lanes;
mod progress;

/// A worker that died holds its tasks, and those of their keys behind them, for so long. One that lives renews its hold.
const LEASE_MS: Millis = 15_000;
const RENEWED: Duration = Duration::from_secs(5);
/// How often the outbox is looked at while nothing is due.
const IDLE: Duration = Duration::from_millis(250);
/// How often the retention sweep runs.
const SWEEP_MS: Millis = 3_600_000;
/// How often a task's end is tried to be recorded, and the pause in between.
const RECORDINGS: usize = 20;
const RECORDING_PAUSE: Duration = Duration::from_secs(1);
/// How long a worker may take: forever in a process of its own, a while in a function.
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
    fn at_most(self, time: Duration) -> Duration {
        self.0.map_or(time, |span| time.min(span.end.saturating_duration_since(Instant::now())))
    }
}

/// A task that was given up, as it lies on the topic of dead letters.
#[derive(Serialize)]
struct Letter<'a> {
    reason: Option<&'a str>,
    envelope: &'a Envelope,
}

/// One worker over a registry of tasks.
pub struct Worker {
    app: Arc<App>,
    tasks: &'static [Entry],
    /// The last period for which a sweep was enqueued.
    swept: AtomicI64,
    /// The last second in which it was looked at what is scheduled.
    looked: AtomicI64,
}

impl Worker {
    /// A worker that has not begun.
    pub fn new(app: Arc<App>, tasks: &'static [Entry]) -> Arc<Self> {
        Arc::new(Self { app, tasks, swept: AtomicI64::new(0), looked: AtomicI64::new(0) })
    }

    /// Works until told to stop, then lets the tasks that run come to their end.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        if let Err(error) = handover::take_back(&self.app.db).await {
            tracing::warn!(%error, "tasks that a broker had can't be taken back now");
        }
        if self.app.alone
            && let Err(error) = outbox::free(&self.app.db, BACKOFF_CAP_MS).await
        {
            tracing::warn!(%error, "tasks that an earlier process held can't be freed now");
        }
        let mut running = JoinSet::new();
        while !*stop.borrow() {
            let due = self.due(self.app.config.worker_tasks - running.len()).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "the outbox can't be read; trying again");
                Vec::new()
            });
            let idle = due.is_empty();
            for envelope in due {
                let worker = Arc::clone(&self);
                running.spawn(async move { worker.attempt(envelope, WorkTime::unlimited()).await });
            }
            tokio::select! {
                Some(_) = running.join_next() => {}
                () = tokio::time::sleep(IDLE), if idle => {}
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
        let mut tries = 0;
        while time.is_left() {
            let due = self.due(self.app.config.worker_tasks).await?;
            if due.is_empty() {
                break;
            }
            tries += due.len();
            join_all(due.into_iter().map(|envelope| self.attempt(envelope, time))).await;
        }
        Ok(tries)
    }

    /// Runs one task at once, as if a broker had delivered it.
    ///
    /// # Errors
    /// The database's.
    pub async fn run_now(&self, envelope: Envelope, time: WorkTime) -> Result<()> {
        if handover::claim(&self.app.db, &envelope, LEASE_MS).await? {
            self.attempt(envelope, time).await;
        }
        Ok(())
    }

    async fn due(&self, room: usize) -> Result<Vec<Envelope>> {
        self.enqueue_due().await?;
        outbox::lease(&self.app.db, room as i64, LEASE_MS).await
    }

    /// Enqueues what is scheduled and due, looked for once a second, and what is done every hour.
    ///
    /// # Errors
    /// The database's.
    pub async fn enqueue_due(&self) -> Result<()> {
        self.enqueue_sweep().await?;
        let second = self.app.clock.now() / 1_000;
        if self.looked.swap(second, Ordering::Relaxed) != second {
            schedule::fire(&self.app.db).await?;
        }
        Ok(())
    }

    /// Enqueues what is done every hour, once for all workers; the newest code under test leaves it to the others.
    async fn enqueue_sweep(&self) -> Result<()> {
        if self.app.config.is_latest() {
            return Ok(());
        }
        let period = self.app.clock.now() / SWEEP_MS;
        if self.swept.load(Ordering::Relaxed) != period {
            // The id names the hour: however many workers there are, one sweep an hour is enqueued.
            let id = format!("{}-{period}", Retention::NAME);
            outbox::enqueue_once(&self.app.db, &id, Retention::NAME, Retention::NAME, "{}").await?;
            self.swept.store(period, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn attempt(&self, envelope: Envelope, time: WorkTime) {
        let entry = self.tasks.iter().find(|entry| entry.name == envelope.task);
        let result = match entry {
            // Its workers died over it, each time.
            Some(entry) if envelope.attempt >= entry.attempts => {
                Err(Failure::GiveUp("its worker died at the last try".to_owned()))
            }
            Some(entry) => self.holding(&envelope, self.one_try(entry, &envelope, time)).await,
            None => Err(Failure::GiveUp("no task has this name".to_owned())),
        };
        let attempts = entry.map_or(0, |entry| entry.attempts);
        let is_last = envelope.attempt + 1 >= attempts;
        let again = |after_ms| {
            ("retry", End::Again(self.app.clock.now() + backoff_ms(envelope.attempt).max(after_ms)))
        };
        let ((outcome, end), reason) = match result {
            Ok(()) => (("done", End::Done), None),
            Err(Failure::Retry(why)) if !is_last => (again(0), Some(why)),
            Err(Failure::Later { why, after_ms }) if !is_last => (again(after_ms), Some(why)),
            Err(Failure::Retry(why) | Failure::Later { why, .. } | Failure::GiveUp(why)) => {
                (("dead", End::Dead), Some(why))
            }
        };
        let name = entry.map_or("unknown", |entry| entry.name);
        let Envelope { id, task, attempt, trace, .. } = &envelope;
        tracing::info!(id, task, attempt, outcome, reason, request_id = trace, "task");
        let dead = matches!(end, End::Dead);
        self.record(&envelope, end, reason.as_deref()).await;
        // Once it is recorded: whoever sees the count finds the task's end in the outbox.
        metrics::counter!("guildhall_tasks_total", "task" => name, "outcome" => outcome).increment(1);
        if dead && let Some(queue) = &self.app.queue {
            // Written, not built as a value: a payload may be nested deeper than a value is read.
            let letter = Letter { reason: reason.as_deref(), envelope: &envelope };
            if let Err(error) = queue.bury(id, &serde_json::to_vec(&letter).unwrap_or_default()).await {
                tracing::warn!(error, id, "a dead letter is in the table, not on its topic");
            }
        }
    }

    /// Records a try's end, through a database that is away for a while. If that fails, the task's lease ends, and it
    /// runs again.
    async fn record(&self, envelope: &Envelope, end: End, reason: Option<&str>) {
        let id = &envelope.id;
        for _ in 0..RECORDINGS {
            match outbox::finish(&self.app.db, envelope, end, reason).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, id, "a task's end can't be recorded; trying again"),
            }
            tokio::time::sleep(RECORDING_PAUSE).await;
        }
        tracing::error!(id, "a task's end was not recorded; it will run again");
    }

    /// Renews the hold on a task as long as it runs. Whoever lost it meanwhile (a process that stood still) comes too late
    /// to record its end.
    async fn holding<T>(&self, envelope: &Envelope, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(RENEWED) => {
                    if let Err(error) = outbox::renew(&self.app.db, envelope, LEASE_MS).await {
                        tracing::warn!(%error, id = envelope.id, "the hold on a task can't be renewed now");
                    }
                }
            }
        }
    }

    async fn one_try(&self, entry: &Entry, envelope: &Envelope, time: WorkTime) -> Result<(), Failure> {
        let trying = caught((entry.run)(&self.app, envelope));
        let time = time.at_most(self.app.config.task_timeout);
        match tokio::time::timeout(time, trying).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Failure::Retry("the task panicked".to_owned())),
            Err(_) => Err(Failure::Retry(format!("not done within {} s", time.as_secs()))),
        }
    }
}
