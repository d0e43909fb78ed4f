//! Delete messages that are older than their channel's kind keeps them, and tasks that were done long ago; give up those that
//! nobody could run.
//!
//! Safe to run twice: what is gone is gone. Deletes in small batches, so that sends get in between. The parts take turns, so
//! that none waits for all of another; up to when each is done stands in a table, and is a figure.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app::App;
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::base::random;
use crate::service::TASKS;
use crate::store::life::Sweep;
use crate::store::{lives, outbox, retention};
use crate::work::task::{Failure, Task};

/// A run takes no longer; what it leaves is a task of its own, behind others.
const RUN: Duration = Duration::from_secs(30);
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
    const HOURLY: bool = true;

    /// One sweep at a time.
    fn key(&self) -> String {
        Self::NAME.to_owned()
    }

    async fn run(self, app: &App, _: &str) -> Result<(), Failure> {
        let told = app.db.now().await?;
        let Some(last) = retention::last(&app.db).await?.or(self.catch_up.then_some(told)) else {
            // The first run of all has none to go by: it deletes nothing, and the next one goes on from here.
            return Ok(retention::note(&app.db, retention::BELIEVED, told).await?);
        };
        let now = if self.catch_up { told } else { believed(app, told, last) };
        let left = run_parts(app, now).await;
        retention::note(&app.db, retention::BELIEVED, now).await?;
        if !left.is_empty() && !outbox::has_next(&app.db, Self::NAME).await? {
            // Behind whatever else is due by now.
            let (id, payload) = (random::id(), json!(self).to_string());
            outbox::enqueue_once(&app.db, &id, Self::NAME, Self::NAME, &payload).await?;
        }
        tracing::info!(left = left.join(", "), "retention");
        Ok(())
    }
}

/// A part of what is deleted, by itself: one that fails, or that has more to do than there is time for, holds none up.
#[derive(Clone, Copy)]
enum Part {
    /// Rows of one table that have reached their end of life.
    Swept(&'static str, Sweep),
    /// Tasks that nobody can run.
    Unrunnable,
}

impl Part {
    fn all() -> Vec<Self> {
        lives::sweeps().map(|(table, sweep)| Self::Swept(table, sweep)).chain([Self::Unrunnable]).collect()
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Swept(table, _) => table,
            Self::Unrunnable => "outbox",
        }
    }

    /// Deletes some rows that are too old, and says how many; none where nothing is left.
    async fn step(self, app: &App, now: Millis) -> Result<u64> {
        match self {
            Self::Swept(_, sweep) => sweep(&app.db, &app.config, now).await,
            Self::Unrunnable => expire_unrunnable(app, now).await,
        }
    }
}

/// Goes through the parts in turn, a step of each, until nothing is left or the time is over. Says which are not done.
async fn run_parts(app: &App, now: Millis) -> Vec<&'static str> {
    let begun = Instant::now();
    let mut left = Part::all();
    while !left.is_empty() && begun.elapsed() < RUN {
        let mut more = Vec::with_capacity(left.len());
        for part in left {
            let name = part.name();
            let done = async {
                let deleted = part.step(app, now).await?;
                metrics::counter!("guildhall_retention_rows_total", "part" => name).increment(deleted);
                if deleted == 0 {
                    retention::note(&app.db, name, now).await?;
                }
                Ok::<_, Error>(deleted == 0)
            };
            match done.await {
                Ok(true) => {}
                Ok(false) => more.push(part),
                Err(error) => {
                    tracing::warn!(
                        error = error.for_log(),
                        part = name,
                        "a part of retention failed; trying again within the hour"
                    );
                }
            }
        }
        left = more;
    }
    left.into_iter().map(Part::name).collect()
}

/// Gives up tasks that nobody could run for too long. Where a broker carries tasks, those that were not handed over wait for
/// the broker.
async fn expire_unrunnable(app: &App, now: Millis) -> Result<u64> {
    let can_run = TASKS.iter().filter(|entry| (entry.is_set_up)(app));
    let names: Vec<&str> = can_run.map(|entry| entry.name).collect();
    let days = app.config.tasks.unrunnable_ms / 86_400_000;
    let reason = format!("no process could run it for {days} days: none knows it, or has what it takes");
    let before = now - app.config.tasks.unrunnable_ms;
    outbox::expire(&app.db, &names, app.queue.is_some(), (before, &reason)).await
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
