//! Hands tasks from the outbox to the broker, after the commit that stored them: what could not be handed over stays,
//! and is tried again. No send waits for it.

use std::time::Duration;

use tokio::sync::watch;

use crate::app::App;
use crate::base::error::Result;
use crate::outside::broker::Queue;
use crate::store::handover;

/// Tasks handed over together.
pub const BATCH: i64 = 500;
/// How often the outbox is looked at while nothing is due.
const IDLE: Duration = Duration::from_millis(100);
/// The pause after a failure, so that a broker that is down is not asked all the time.
const PAUSE: Duration = Duration::from_secs(1);

/// Publishes until told to stop.
pub async fn run(app: &App, queue: &Queue, mut stop: watch::Receiver<bool>) {
    let mut prepared = false;
    while !*stop.borrow() {
        if !prepared {
            prepared = queue
                .create_topics()
                .await
                .inspect_err(|error| {
                    tracing::warn!(error, "topics can't be made now; trying again");
                })
                .is_ok();
        }
        let pause = match publish_due(app, queue, BATCH).await {
            Ok((0, _)) if !prepared => PAUSE,
            Ok((0, _)) => IDLE,
            Ok((_, 0)) => continue,
            Ok((_, failed)) => {
                tracing::warn!(failed, "the broker did not take tasks; they stay in the outbox");
                PAUSE
            }
            Err(error) => {
                tracing::warn!(%error, "the outbox can't be read; trying again");
                PAUSE
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.changed() => {}
        }
    }
}

/// Hands over one batch of at most `limit`; says how many there were, and how many the broker did not take.
///
/// # Errors
/// The database's.
pub async fn publish_due(app: &App, queue: &Queue, limit: i64) -> Result<(usize, usize)> {
    let envelopes = handover::take_unpublished(&app.db, limit).await?;
    if envelopes.is_empty() {
        return Ok((0, 0));
    }
    let results = queue.publish(&envelopes).await;
    if let Some(error) = results.iter().find_map(|result| result.as_ref().err()) {
        tracing::debug!(error, "a task was not published");
    }
    let acknowledged: Vec<bool> = results.iter().map(Result::is_ok).collect();
    let failed = acknowledged.iter().filter(|acknowledged| !**acknowledged).count();
    metrics::counter!("guildhall_published_total").increment((acknowledged.len() - failed) as u64);
    metrics::counter!("guildhall_publish_errors_total").increment(failed as u64);
    handover::note_published(&app.db, &envelopes, &acknowledged).await?;
    Ok((envelopes.len(), failed))
}
