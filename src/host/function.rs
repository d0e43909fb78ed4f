//! The worker as a function: one event in, one answer out, within the time that the platform gives.
//!
//! A batch fails for no task's error: tasks are retried and given up by the worker itself. It fails, from the first
//! record on that could not be recorded, where the database is away; the platform then brings those again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::embedded;
use super::events::{Event, Object};
use crate::app::App;
use crate::base::error::Error;
use crate::base::random;
use crate::config::Location;
use crate::outside::broker::{Delivery, Queue};
use crate::outside::envelope::{self, Envelope};
use crate::service::TASKS;
use crate::store::outbox::{self, Listed};
use crate::work::publisher;
use crate::work::worker::{WorkTime, Worker};

/// Name of the object that changes when a wordlist is published.
const POINTER: &str = "current.json";
/// Kept of an invocation's time for the answer.
const SPARE: Duration = Duration::from_millis(500);

fn log_text(error: Error) -> String {
    error.to_string()
}

/// A worker between two events.
pub struct FunctionWorker {
    app: Arc<App>,
    worker: Arc<Worker>,
    /// Are the topics there?
    prepared: AtomicBool,
}

impl FunctionWorker {
    /// One that has seen no event.
    pub fn new(app: Arc<App>) -> Self {
        let worker = Worker::new(Arc::clone(&app), TASKS);
        Self { app, worker, prepared: AtomicBool::new(false) }
    }

    /// Does what an event asks for, within `time_left`.
    ///
    /// # Errors
    /// For the platform, which brings the event again or gives it up: an event that is none of ours, a stored wordlist
    /// that can't be used, a database that is away.
    pub async fn handle(&self, event: &Value, time_left: Duration) -> Result<Value, String> {
        let time = WorkTime::of(time_left.saturating_sub(SPARE));
        let event =
            Event::parse(event).inspect_err(|why| tracing::error!(error = why, "an unknown event"))?;
        match event {
            Event::Records(partitions) => Ok(self.records(partitions, time).await),
            Event::Timer => self.timer(time).await,
            Event::Stored(objects) => self.stored(&objects).await,
            Event::Task { task, payload } => {
                let entry = TASKS.iter().find(|entry| entry.name == task);
                let entry = entry.ok_or_else(|| format!("no task is named '{task}'"))?;
                if payload.get().len() > envelope::MAX_BYTES {
                    return Err(format!("payload: has more than {} bytes", envelope::MAX_BYTES));
                }
                if !(entry.is_set_up)(&self.app) {
                    return Err(format!("{task} can't be run here: a setting that it takes is missing"));
                }
                let key = (entry.check)(payload.get()).map_err(|why| format!("payload: {why}"))?;
                self.task(Envelope::new(random::id(), task, key, payload), time).await
            }
        }
    }

    async fn records(&self, partitions: BTreeMap<String, Vec<Delivery>>, time: WorkTime) -> Value {
        let names: BTreeMap<i32, String> = partitions
            .iter()
            .filter_map(|(name, records)| records.first().map(|first| (first.partition, name.clone())))
            .collect();
        let records: Vec<Delivery> = partitions.into_values().flatten().collect();
        let count = records.len();
        let failed = self.worker.run_batch(records, time).await;
        // Of a key with many tasks some are handed over at a time: the next ones follow those that were run.
        if let Some(queue) = &self.app.queue
            && let Err(error) = self.hand_over(queue, time).await
        {
            tracing::warn!(
                error = error.for_log(),
                "the next tasks can't be handed over now; the timer will"
            );
        }
        tracing::info!(records = count, failed_partitions = failed.len(), "batch");
        let failures: Vec<Value> = failed
            .into_iter()
            .map(|(partition, offset)| {
                // A record that lies under another partition's name: the platform then brings all of it again.
                let name = names.get(&partition).cloned().unwrap_or_else(|| partition.to_string());
                json!({ "itemIdentifier": { "partition": name, "offset": offset } })
            })
            .collect();
        json!({ "batchItemFailures": failures })
    }

    /// Hands over what was left lying, or runs it where there is no broker, and says what waits.
    async fn timer(&self, time: WorkTime) -> Result<Value, String> {
        self.app.blocklist.refresh_if_old().await;
        let (handed_over, tries) = match &self.app.queue {
            Some(queue) => {
                self.prepare(queue).await;
                self.worker.enqueue_due().await.map_err(log_text)?;
                let handed_over = self.hand_over(queue, time).await.map_err(log_text)?;
                (handed_over, self.worker.run_given_back_due(time).await.map_err(log_text)?)
            }
            None => (0, self.worker.run_due(time).await.map_err(log_text)?),
        };
        let status = outbox::status(&self.app.db).await.map_err(log_text)?;
        embedded::print(&self.app, &embedded::of_outbox(&self.app, &status));
        tracing::info!(handed_over, tries, waiting = status.depth(), dead = status.dead, "timer");
        Ok(
            json!({ "handed_over": handed_over, "tries": tries, "waiting": status.depth(), "dead": status.dead }),
        )
    }

    /// Hands tasks over as long as there are any and the time lasts. Says how many.
    async fn hand_over(&self, queue: &Queue, time: WorkTime) -> Result<usize, Error> {
        let mut handed_over = 0;
        while time.is_left() {
            let batch =
                publisher::publish_due(&self.app, queue, publisher::BATCH, publisher::PATIENCE).await?;
            handed_over += batch.count - batch.failed;
            if batch.count == 0 || batch.failed > 0 {
                break;
            }
        }
        Ok(handed_over)
    }

    /// Makes the topics, once, where nobody else has.
    async fn prepare(&self, queue: &Queue) {
        if !self.prepared.load(Ordering::Relaxed) {
            match queue.create_topics().await {
                Ok(_) => self.prepared.store(true, Ordering::Relaxed),
                Err(error) => tracing::warn!(error, "topics can't be made now; trying again"),
            }
        }
    }

    /// Reads a wordlist as soon as it is published, so that a faulty one is told of at once rather than by players.
    async fn stored(&self, objects: &[Object]) -> Result<Value, String> {
        let ours = |object: &Object| match &self.app.config.wordlists {
            Location::S3 { bucket, prefix } => {
                object.bucket == *bucket && object.key.strip_prefix(prefix.as_str()) == Some(POINTER)
            }
            Location::Folder(_) => false,
        };
        if !objects.iter().any(ours) {
            let keys: Vec<&str> = objects.iter().map(|object| object.key.as_str()).collect();
            tracing::info!(?keys, "stored objects that are none of ours");
            return Ok(json!({ "wordlist": null }));
        }
        self.app.blocklist.refresh().await;
        let status = self.app.blocklist.status();
        match status.last_error {
            None => Ok(json!({ "wordlist": status.version, "entries": status.entries })),
            Some(fault) => Err(format!("the published wordlist can't be used: {fault}")),
        }
    }

    async fn task(&self, envelope: Envelope, time: WorkTime) -> Result<Value, String> {
        let id = envelope.id.clone();
        self.worker.run_now(envelope, time).await.map_err(log_text)?;
        let Listed { id, task, state, attempt, reason, .. } =
            outbox::find(&self.app.db, &id).await.map_err(log_text)?;
        Ok(json!({ "id": id, "task": task, "state": state, "tries": attempt, "reason": reason }))
    }
}
