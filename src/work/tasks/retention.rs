//! Delete messages that are older than their channel's kind keeps them, and tasks that were done long ago.
//!
//! Safe to run twice: what is gone is gone. Deletes in small batches, so that sends get in between.

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::base::clock::Millis;
use crate::store::{message, outbox};
use crate::work::task::{Failure, Task};

/// Rows in one transaction.
const BATCH: i64 = 500;
/// How long a done task is remembered, so that a second delivery of it has no effect.
const REMEMBER_DONE_MS: Millis = 7 * 86_400_000;

/// The whole sweep; what it deletes is in the configuration.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {}

impl Task for Retention {
    const NAME: &'static str = "retention.v1";
    const ATTEMPTS: i64 = 5;

    /// One sweep at a time.
    fn key(&self) -> String {
        Self::NAME.to_owned()
    }

    async fn run(self, app: &App, _: &str) -> Result<(), Failure> {
        let now = app.clock.now();
        let mut deleted = 0;
        for (kind, age) in &app.config.retention {
            let before = now - age;
            let mut after_key = 0;
            while let Some(key) = message::next_outlived(&app.db, kind, before, after_key).await? {
                deleted += delete_all(app, key, before).await?;
                after_key = key;
            }
        }
        while outbox::forget_done(&app.db, now - REMEMBER_DONE_MS, BATCH).await? == BATCH.unsigned_abs() {}
        tracing::info!(deleted, "retention");
        Ok(())
    }
}

async fn delete_all(app: &App, channel_key: i64, before: Millis) -> Result<u64, Failure> {
    let mut deleted = 0;
    loop {
        let batch = message::delete_outlived(&app.db, channel_key, before, BATCH).await?;
        deleted += batch;
        if batch < BATCH.unsigned_abs() {
            return Ok(deleted);
        }
    }
}
