//! Hands tasks from the outbox to the broker, after the commit that stored them: what could not be handed over stays,
//! and is tried again. No send waits for it.

use std::time::Duration;

use tokio::sync::watch;

use crate::app::App;
use crate::base::error::Result;
use crate::outside::broker::{NotTaken, Queue};
use crate::store::handover;
use crate::store::outbox;

/// Keys of which tasks are handed over together.
pub const BATCH: i64 = 200;
/// How often the outbox is looked at while nothing is due.
const IDLE: Duration = Duration::from_millis(100);
/// Longer than the client itself takes to give a record up.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// The pause after a failure, so that a broker that is down is not asked all the time.
const PAUSE: Duration = Duration::from_secs(1);

/// What became of a batch.
#[derive(Debug, Default)]
pub struct HandedOver {
    /// How many there were.
    pub count: usize,
    /// How many of them the broker did not take; they stay in the outbox.
    pub failed: usize,
    /// Why the first of those was not taken.
    pub why: Option<String>,
    /// Is the topic gone?
    pub no_topic: bool,
}

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
        let pause = match publish_due(app, queue, BATCH, PATIENCE).await {
            Ok(HandedOver { count: 0, .. }) if !prepared => PAUSE,
            Ok(HandedOver { count: 0, .. }) => IDLE,
            Ok(HandedOver { failed: 0, .. }) => continue,
            Ok(HandedOver { failed, why, no_topic, .. }) => {
                tracing::warn!(failed, why, "the broker did not take tasks; they stay in the outbox");
                // Somebody deleted it under us: it is made again.
                prepared &= !no_topic;
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

/// Hands over one batch, of at most `limit` keys. What is not acknowledged within `time` is noted as not taken and handed
/// over again; where the broker has it after all, the second delivery has no effect.
///
/// # Errors
/// The database's.
pub async fn publish_due(app: &App, queue: &Queue, limit: i64, time: Duration) -> Result<HandedOver> {
    let handing = handover::take_unpublished(&app.db, limit).await?;
    let envelopes = &handing.envelopes;
    if envelopes.is_empty() {
        return Ok(HandedOver::default());
    }
    let late = |_| envelopes.iter().map(|_| Err(NotTaken::Later("no answer in time".to_owned()))).collect();
    let results: Vec<_> = tokio::time::timeout(time, queue.publish(envelopes)).await.unwrap_or_else(late);
    let mut handed = HandedOver { count: envelopes.len(), ..HandedOver::default() };
    let (mut acknowledged, mut too_large) = (Vec::with_capacity(results.len()), Vec::new());
    for (envelope, result) in envelopes.iter().zip(results) {
        acknowledged.push(result.is_ok());
        match result {
            Ok(()) => {}
            Err(NotTaken::TooLarge) => too_large.push(envelope),
            Err(fault) => {
                handed.failed += 1;
                handed.no_topic |= matches!(fault, NotTaken::NoTopic(_));
                handed.why.get_or_insert_with(|| fault.why());
            }
        }
    }
    metrics::counter!("guildhall_published_total")
        .increment((handed.count - handed.failed - too_large.len()) as u64);
    metrics::counter!("guildhall_publish_errors_total").increment((handed.failed + too_large.len()) as u64);
    handover::note_published(&app.db, &handing, &acknowledged).await?;
    // It would be refused each time, and no worker will ever see it.
    for envelope in too_large {
        let why = NotTaken::TooLarge.why();
        tracing::error!(id = envelope.id, task = envelope.task, why, "a task is given up");
        outbox::give_up(&app.db, envelope, &why).await?;
    }
    Ok(handed)
}
