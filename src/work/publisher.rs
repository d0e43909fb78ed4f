//! Hands tasks from the outbox to the broker, after the commit that stored them: what could not be handed over stays,
//! and is tried again. No send waits for it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::app::App;
use crate::base::error::{Error, Result};
use crate::outside::broker::{NotTaken, Queue};
use crate::store::handover::{self, Handing};
use crate::store::outbox;

/// Keys of which tasks are handed over together.
pub const BATCH: i64 = 200;
/// Batches of which the broker has not taken all.
const AT_ONCE: usize = 50;
/// The same while it takes nothing: some, as it may be a partition alone whose records it does not take.
const FAILING: usize = 8;
/// A batch is told as a whole where the broker takes it in this time; else what it has is noted, and the rest is waited for.
const EARLY: Duration = Duration::from_millis(500);
/// Interval between two checks of the topic.
const LOOK: Duration = Duration::from_secs(30);
/// Interval between two looks at the outbox while nothing is due.
const IDLE: Duration = Duration::from_millis(100);
/// Longer than the client itself takes to give a record up.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// The pause after a failure, so that a broker that is down is not asked all the time.
const PAUSE: Duration = Duration::from_secs(1);

/// Result of handing over a batch.
#[derive(Debug, Default)]
pub struct HandedOver {
    /// Number of tasks in the batch.
    pub count: usize,
    /// Number of tasks that the broker did not take; they stay in the outbox.
    pub failed: usize,
    /// Reason why the first of those was not taken.
    pub why: Option<String>,
    /// Is the topic gone?
    pub no_topic: bool,
}

/// Publishes until told to stop. What the broker does not take at once, such as a partition's without a leader, holds up
/// nothing but itself: meanwhile others are handed over.
pub async fn run(app: &Arc<App>, mut stop: watch::Receiver<bool>) {
    let (mut failing, mut looked) = (false, Instant::now());
    let mut prepared = tokio::select! {
        prepared = prepare(app) => prepared,
        _ = stop.changed() => return,
    };
    let mut preparing = JoinSet::new();
    // Tasks of their own: one that waits for the database goes on while this loop waits for it too.
    let mut under_way = JoinSet::new();
    while !*stop.borrow() {
        // A topic that somebody deletes takes along what it was given: it is made again, also where nobody says anything.
        // A broker that is away answers late: nothing is held up by that.
        if preparing.is_empty() && (!prepared || looked.elapsed() > LOOK) {
            let app = Arc::clone(app);
            preparing.spawn(async move { prepare(&app).await });
            looked = Instant::now();
        }
        let mut pause = if prepared { IDLE } else { PAUSE };
        if under_way.len() < if failing { FAILING } else { AT_ONCE } {
            match handover::take_unpublished(&app.db, BATCH).await {
                Ok(handing) if handing.envelopes.is_empty() => {}
                Ok(handing) => {
                    let app = Arc::clone(app);
                    under_way.spawn(async move {
                        let queue =
                            app.queue.as_ref().ok_or_else(|| Error::internal("there is no broker"))?;
                        publish(&app, queue, handing, PATIENCE).await
                    });
                    pause = Duration::ZERO;
                }
                Err(error) => {
                    tracing::warn!(error = error.for_log(), "the outbox can't be read; trying again");
                    pause = PAUSE;
                }
            }
        }
        tokio::select! {
            Some(joined) = under_way.join_next() => {
                let handed = joined.map_err(Error::internal).flatten().unwrap_or_else(|error| {
                    tracing::warn!(error = error.for_log(), "what the broker took can't be noted; it is handed over again");
                    HandedOver::default()
                });
                failing = handed.failed > 0 && handed.failed == handed.count;
                if let HandedOver { failed: 1.., why, .. } = &handed
                    && app.queue.as_ref().is_some_and(|queue| queue.is_due(&format!("not taken {why:?}")))
                {
                    tracing::warn!(failed = handed.failed, why, "the broker did not take tasks; they stay in the outbox");
                }
                // Somebody deleted it under us: it is made again.
                prepared &= !handed.no_topic;
                if failing {
                    tokio::select! {
                        () = tokio::time::sleep(PAUSE) => {}
                        _ = stop.changed() => {}
                    }
                }
            }
            Some(done) = preparing.join_next() => prepared = done.unwrap_or_default(),
            () = tokio::time::sleep(pause) => {}
            _ = stop.changed() => {}
        }
    }
    while under_way.join_next().await.is_some() {}
}

/// Makes the topics where they are not there. With a new one, what an earlier one had is handed over again.
async fn prepare(app: &App) -> bool {
    let Some(queue) = &app.queue else { return true };
    match queue.create_topics().await {
        Ok(false) => true,
        Ok(true) => {
            // Only who made the topic does that, so the database is asked until it answers.
            let keys = loop {
                match handover::hand_over_again(&app.db).await {
                    Ok(keys) => break keys,
                    Err(error) => {
                        tracing::warn!(
                            error = error.for_log(),
                            "what an earlier topic had can't be handed over now; trying again"
                        );
                    }
                }
                tokio::time::sleep(PAUSE).await;
            };
            tracing::info!(
                topic = queue.topic(),
                keys,
                "the topic was made; what one before it had is handed over again"
            );
            true
        }
        Err(error) => {
            if queue.is_due(&format!("topics {error}")) {
                tracing::warn!(error, "topics can't be made now; trying again");
            }
            false
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
    publish(app, queue, handing, time).await
}

async fn publish(app: &App, queue: &Queue, handing: Handing, time: Duration) -> Result<HandedOver> {
    let envelopes = &handing.envelopes;
    if envelopes.is_empty() {
        return Ok(HandedOver::default());
    }
    let begun = Instant::now();
    let mut results: Vec<Option<Result<(), NotTaken>>> = envelopes.iter().map(|_| None).collect();
    let send = |(nth, envelope)| async move { (nth, queue.publish(envelope).await) };
    let mut sending: FuturesUnordered<_> = envelopes.iter().enumerate().map(send).collect();
    let mut collect = async |results: &mut Vec<Option<Result<(), NotTaken>>>, until: Instant| {
        let all = async {
            while let Some((nth, result)) = sending.next().await {
                results[nth] = Some(result);
            }
        };
        tokio::time::timeout_at(until, all).await.is_ok()
    };
    if !collect(&mut results, begun + EARLY.min(time)).await {
        // Those whose records are all there wait for nobody else's.
        let mut keys: HashSet<&str> = envelopes.iter().map(|envelope| envelope.key.as_str()).collect();
        for (envelope, result) in envelopes.iter().zip(&results) {
            if !matches!(result, Some(Ok(()))) {
                keys.remove(envelope.key.as_str());
            }
        }
        let there = handing.of_keys(&keys);
        handover::note_published(&app.db, &there, &vec![true; there.envelopes.len()]).await?;
        collect(&mut results, begun + time).await;
    }
    drop(sending);
    let mut handed = HandedOver { count: envelopes.len(), ..HandedOver::default() };
    let (mut acknowledged, mut too_large) = (Vec::with_capacity(results.len()), Vec::new());
    for (envelope, result) in envelopes.iter().zip(results) {
        let result = result.unwrap_or_else(|| Err(NotTaken::Later("no answer in time".to_owned())));
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
