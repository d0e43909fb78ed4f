//! The worker at the broker: records in, tasks run a few at a time, and offsets committed once ends are recorded.
//!
//! Tasks of one key run one after the other. What is no task goes to the dead letters, and stops nothing. A second
//! delivery finds its task done, or in another's hands, and has no effect.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::lanes::{Content, Item, Lanes, read};
use super::progress::Progress;
use super::{WorkTime, Worker};
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::base::panic::caught;
use crate::outside::broker::{Consumer, Queue};
use crate::outside::envelope::{Envelope, MAX_BYTES};
use crate::store::outbox;

/// Records that wait in the program for their turn.
const WAITING: usize = 256;
/// Interval between two commits of offsets.
const COMMIT: Duration = Duration::from_millis(200);
/// The clocks of a broker and of a database may differ by so much.
const CLOCKS_DIFFER_MS: Millis = 300_000;
/// So often a record is tried that the database refuses for what it is; one that is away does not count.
const FAULTS: usize = 5;
/// The pause after a fault of the database.
const PAUSE: Duration = Duration::from_millis(500);

impl Worker {
    /// Works until told to stop, then lets the tasks that run come to their end.
    pub async fn consume(self: Arc<Self>, consumer: Consumer, mut stop: watch::Receiver<bool>) {
        let (mut lanes, mut progress, mut running) = (Lanes::default(), Progress::default(), JoinSet::new());
        let mut tick = tokio::time::interval(COMMIT);
        let given_back = tokio::spawn(Arc::clone(&self).run_given_back(stop.clone()));
        while !*stop.borrow() {
            while running.len() < self.app.config.tasks.at_once
                && let Some((key, item)) = lanes.next()
            {
                let (worker, stop) = (Arc::clone(&self), stop.clone());
                running.spawn(
                    async move { (key, item.partition, item.offset, worker.handle(item, &stop).await) },
                );
            }
            tokio::select! {
                delivery = consumer.next(), if lanes.count < WAITING => {
                    if progress.begin(delivery.partition, delivery.offset) {
                        let (key, item) = read(delivery);
                        lanes.push(key, item);
                    }
                }
                Some(joined) = running.join_next() => match joined {
                    Ok((key, partition, offset, ended)) => {
                        if ended {
                            progress.end(partition, offset);
                        }
                        lanes.done(key);
                    }
                    Err(fault) => tracing::error!(%fault, "a record was not worked on to its end"),
                },
                _ = tick.tick() => {
                    for (partition, offset) in progress.advanced() {
                        if !consumer.commit(partition, offset) {
                            progress.not_committed(partition);
                        }
                    }
                    if let Err(error) = self.enqueue_due().await {
                        tracing::warn!(error = error.for_log(), "what is due can't be enqueued");
                    }
                }
                _ = stop.changed() => {}
            }
        }
        while let Some(ended) = running.join_next().await {
            if let Ok((_, partition, offset, true)) = ended {
                progress.end(partition, offset);
            }
        }
        for (partition, offset) in progress.advanced() {
            consumer.commit(partition, offset);
        }
        consumer.leave().await;
        let _ = given_back.await;
    }

    /// Runs a task or buries what is none. False where the program stops before anything was done.
    async fn handle(&self, item: Item, stop: &watch::Receiver<bool>) -> bool {
        while !*stop.borrow() {
            match self.handle_once(&item, WorkTime::unlimited()).await {
                Ok(()) => return true,
                // What can't be recorded must not be committed.
                Err(error) => {
                    let Item { partition, offset, .. } = &item;
                    tracing::warn!(
                        error = error.for_log(),
                        partition,
                        offset,
                        "a record can't be worked on now; it waits"
                    );
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        false
    }

    /// Does with a record what is to be done with it, and records that. What makes our own code panic, or is refused by the
    /// database for what it is, would do so each time, and is given up: nothing that comes from a topic holds up what is behind it.
    pub(super) async fn handle_once(&self, item: &Item, time: WorkTime) -> Result<()> {
        let mut faults = 0;
        loop {
            match caught(self.handle_content(item, time)).await {
                Ok(Err(error @ Error::Internal(_))) => {
                    faults += 1;
                    if faults == FAULTS {
                        return self.give_up(item, &error.for_log()).await;
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                Ok(handled) => return handled,
                Err(panic) => return self.give_up(item, &panic).await,
            }
        }
    }

    async fn handle_content(&self, item: &Item, time: WorkTime) -> Result<()> {
        match &item.content {
            Content::Task(envelope) if self.is_forgotten(envelope, item.written_at).await? => Ok(()),
            Content::Task(envelope) => self.run_now(envelope.clone(), time).await,
            Content::Unreadable { bytes, reason } => self.bury(item, bytes, reason).await,
        }
    }

    /// Is it unknown, and from before what is remembered? Then it may have been done: where offsets are lost, the broker
    /// brings again what it still has.
    async fn is_forgotten(&self, envelope: &Envelope, written_at: Option<Millis>) -> Result<bool> {
        let Some(written_at) = written_at else { return Ok(false) };
        let remembered_ms = self.app.config.tasks.remembered_ms - CLOCKS_DIFFER_MS;
        if written_at >= self.app.db.now().await? - remembered_ms {
            return Ok(false);
        }
        match outbox::find(&self.app.db, &envelope.id).await {
            Ok(_) => Ok(false),
            Err(Error::NotFound(_)) => {
                let Envelope { id, task, .. } = envelope;
                tracing::warn!(
                    id,
                    task,
                    written_at,
                    "a record is older than what is remembered; it is not run"
                );
                metrics::counter!("guildhall_records_forgotten_total").increment(1);
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    async fn give_up(&self, item: &Item, why: &str) -> Result<()> {
        let Item { partition, offset, content, .. } = item;
        tracing::error!(partition, offset, why, "a record that can't be worked on is given up");
        match content {
            Content::Task(envelope) => outbox::give_up(&self.app.db, envelope, why).await,
            Content::Unreadable { .. } => {
                let id = format!("{}-{partition}-{offset}", self.app.queue.as_ref().map_or("", Queue::topic));
                outbox::bury(&self.app.db, &id, "", why).await
            }
        }
    }

    async fn bury(&self, item: &Item, bytes: &[u8], reason: &str) -> Result<()> {
        let Some(queue) = &self.app.queue else { return Ok(()) };
        let id = format!("{}-{}-{}", queue.topic(), item.partition, item.offset);
        let shown = &bytes[..bytes.len().min(MAX_BYTES)];
        let text = String::from_utf8_lossy(shown).replace('\0', "\u{fffd}");
        tracing::warn!(id, reason, "a record that is no task went to the dead letters");
        outbox::bury(&self.app.db, &id, &text, reason).await?;
        let letter = json!({ "reason": reason, "record": STANDARD.encode(shown) }).to_string();
        if let Err(error) = queue.bury(&id, letter.as_bytes()).await {
            tracing::warn!(error, id, "a dead letter is in the table, not on its topic");
        }
        Ok(())
    }
}
