//! Delete messages that are older than their channel's kind keeps them, and tasks that were done long ago; give up those that
//! nobody could run.
//!
//! Safe to run twice: what is gone is gone. Deletes in small batches, so that sends get in between.

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::base::clock::Millis;
use crate::chat::sanctions::Ladder;
use crate::store::moderation::{case, refusal};
use crate::store::{
    announcement, message, outbox, payment, rank, retention, right_change, schedule, task_progress, ticket,
};
use crate::work::task::{Failure, Task};
use crate::work::tasks::TASKS;

/// Rows in one transaction.
const BATCH: i64 = 500;
/// How long a value on a board is remembered of which no better one comes.
const REMEMBER_RANKS_MS: Millis = 366 * 86_400_000;
/// How long it is remembered when something was due, and what was announced.
const REMEMBER_SCHEDULES_MS: Millis = 90 * 86_400_000;

/// How long closed tickets are remembered.
const REMEMBER_TICKETS_MS: Millis = 365 * 86_400_000;

/// How long it is remembered which payments were told; providers repeat what was not taken for days.
const REMEMBER_PAYMENTS_MS: Millis = 90 * 86_400_000;

/// How long it is remembered how far a task was.
const REMEMBER_PROGRESS_MS: Millis = 30 * 86_400_000;

/// How long it is remembered whose rights changed; processes read it within seconds.
const REMEMBER_RIGHTS_MS: Millis = 3_600_000;

/// A run deletes what became too old in at most so much time since the last one.
const STEP_MS: Millis = 86_400_000;
/// By how much the machine's clock may run ahead of its monotonic one before it is taken to have been set.
const AHEAD_MS: Millis = 60_000;

/// The whole sweep; what it deletes is in the configuration.
///
/// A clock that is wrong for a moment must empty no channel. So a run believes the database's clock no further than the
/// process's monotonic clock has come since its start, and no further than a day beyond the last run.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// An operator's word that the clock is right and the last run was more than a day ago.
    catch_up: bool,
}

impl Task for Retention {
    const NAME: &'static str = "retention.v1";
    const ATTEMPTS: i64 = 5;

    /// One sweep at a time.
    fn key(&self) -> String {
        Self::NAME.to_owned()
    }

    async fn run(self, app: &App, _: &str) -> Result<(), Failure> {
        let told = app.db.now().await?;
        let Some(last) = retention::last(&app.db).await?.or(self.catch_up.then_some(told)) else {
            // The first run of all has none to go by: it deletes nothing, and the next one goes on from here.
            return Ok(retention::note(&app.db, told).await?);
        };
        let now = if self.catch_up { told } else { believed(app, told, last) };
        let mut deleted = 0;
        for (kind, age) in &app.config.retention {
            let before = now - age;
            let mut after_key = 0;
            while let Some(key) = message::next_outlived(&app.db, kind, before, after_key).await? {
                deleted += delete_all(app, key, before).await?;
                after_key = key;
            }
        }
        while outbox::forget_done(&app.db, now - app.config.tasks.remembered_ms, BATCH).await?
            == BATCH.unsigned_abs()
        {}
        expire_unrunnable(app, now).await?;
        let evidence_until = now - app.config.moderation.evidence_ms;
        while case::forget_evidence(&app.db, evidence_until, BATCH).await? == BATCH.unsigned_abs() {}
        let refusals_until = now - Ladder::RECORD_MS;
        while refusal::forget(&app.db, refusals_until, BATCH).await? == BATCH.unsigned_abs() {}
        while rank::forget(&app.db, now - REMEMBER_RANKS_MS, BATCH).await? == BATCH.unsigned_abs() {}
        while schedule::forget(&app.db, now - REMEMBER_SCHEDULES_MS, BATCH).await? == BATCH.unsigned_abs() {}
        while announcement::forget(&app.db, now - REMEMBER_SCHEDULES_MS, BATCH).await? == BATCH.unsigned_abs()
        {
        }
        while ticket::forget(&app.db, now - REMEMBER_TICKETS_MS, BATCH).await? == BATCH.unsigned_abs() {}
        while payment::forget(&app.db, now - REMEMBER_PAYMENTS_MS, BATCH).await? == BATCH.unsigned_abs() {}
        task_progress::forget(&app.db, now - REMEMBER_PROGRESS_MS).await?;
        right_change::forget(&app.db, now - REMEMBER_RIGHTS_MS).await?;
        retention::note(&app.db, now).await?;
        tracing::info!(deleted, "retention");
        Ok(())
    }
}

/// Gives up tasks that nobody could run for too long. Where a broker carries tasks, those that were not handed over wait for
/// the broker.
async fn expire_unrunnable(app: &App, now: Millis) -> Result<(), Failure> {
    let can_run = TASKS.iter().filter(|entry| (entry.is_set_up)(app));
    let names: Vec<&str> = can_run.map(|entry| entry.name).collect();
    let days = app.config.tasks.unrunnable_ms / 86_400_000;
    let reason = format!("no process could run it for {days} days: none knows it, or has what it takes");
    let before = now - app.config.tasks.unrunnable_ms;
    while outbox::expire(&app.db, &names, app.queue.is_some(), (before, &reason)).await? > 0 {}
    Ok(())
}

/// Up to which time a run deletes.
fn believed(app: &App, told: Millis, last: Millis) -> Millis {
    let believed = told.min(app.clock.steady() + AHEAD_MS).min(last + STEP_MS);
    if believed < told {
        tracing::warn!(
            behind_s = (told - believed) / 1_000,
            "retention does not believe the clock so far; if it is right: guildhall task run retention.v1 '{{\"catch_up\": true}}'"
        );
    }
    believed
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
