//! What comes due without anybody asking for it: scheduled tasks, what is done every hour, and a word on tasks that nobody runs.

use std::sync::atomic::Ordering;

use super::{LEFT_MS, Worker};
use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::base::lock::lock;
use crate::store::outbox;
use crate::store::schedule;

/// Interval at which hourly tasks are enqueued.
const HOUR_MS: Millis = 3_600_000;
/// Seconds between two looks for tasks that nobody runs.
const LOOK_S: Millis = 5;

impl Worker {
    /// Enqueues what is scheduled and due, looked for once a second, and what is done every hour.
    ///
    /// # Errors
    /// The database's.
    pub async fn enqueue_due(&self) -> Result<()> {
        self.enqueue_hourly().await?;
        let second = self.app.clock.now() / 1_000;
        if self.looked.swap(second, Ordering::Relaxed) != second {
            schedule::fire(&self.app.db).await?;
        }
        let look = second / LOOK_S;
        if self.looked_left.swap(look, Ordering::Relaxed) != look {
            self.tell_left().await?;
        }
        Ok(())
    }

    /// Tells of tasks that have been due for a minute, that can't be run here, and that nobody else ran.
    async fn tell_left(&self) -> Result<()> {
        let given_back = self.app.queue.is_some();
        for left in outbox::left(&self.app.db, &self.runnable, given_back, LEFT_MS).await? {
            let now = self.app.db.now().await?;
            let waited_s = (now - left.due_at) / 1_000;
            let outbox::Left { task, keys, .. } = left;
            if !self.is_to_be_told(&task, now) {
                continue;
            }
            tracing::warn!(
                task,
                keys,
                waited_s,
                "tasks wait that nobody runs: none knows them, or has what they take"
            );
        }
        Ok(())
    }

    /// Was it not told of for a minute?
    fn is_to_be_told(&self, task: &str, now: Millis) -> bool {
        let mut told = lock(&self.told);
        let is_due = told.get(task).is_none_or(|told| now - told >= LEFT_MS);
        if is_due {
            told.insert(task.to_owned(), now);
        }
        is_due
    }

    /// Enqueues what is done every hour, once for all workers; the newest code under test leaves it to the others.
    async fn enqueue_hourly(&self) -> Result<()> {
        if self.app.config.is_latest() {
            return Ok(());
        }
        let period = self.app.clock.now() / HOUR_MS;
        if self.swept.load(Ordering::Relaxed) != period {
            for entry in self.tasks.iter().filter(|entry| entry.hourly) {
                // The id names the hour: however many workers there are, one an hour is enqueued.
                let id = format!("{}-{period}", entry.name);
                outbox::enqueue_once(&self.app.db, &id, entry.name, entry.name, "{}").await?;
            }
            self.swept.store(period, Ordering::Relaxed);
        }
        Ok(())
    }
}
