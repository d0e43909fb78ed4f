//! The one writer of sends: it takes those that wait, up to 64, and commits them together.
//!
//! A commit costs one wait for the disk, however many messages are in it, so sharing commits makes durable
//! sends as fast as careless ones. A Lambda instance has one request at a time, so its batches are of one. (Two batches
//! at once were no faster on `PostgreSQL`: they wait for each other's channels.)

use tokio::sync::{mpsc, oneshot};

use super::decide::Outcome;
use super::draft::Pending;
use super::{postgres, sqlite};
use crate::base::clock::Clock;
use crate::base::error::{Error, Result};
use crate::store::engine::Pools;

/// Sends in one commit.
const BATCH: usize = 64;
/// Sends that may wait; past that the answer is 503, at once.
const WAITING: usize = 4_096;

struct Job {
    pending: Pending,
    reply: oneshot::Sender<Result<Outcome>>,
}

/// Where sends line up.
pub(in crate::store) struct Queue(mpsc::Sender<Job>);

impl Queue {
    /// Answers once the send is committed, or refused.
    pub(in crate::store) async fn append(&self, pending: Pending) -> Result<Outcome> {
        let (reply, outcome) = oneshot::channel();
        self.0
            .try_send(Job { pending, reply })
            .map_err(|_| Error::Unavailable("too many sends are waiting"))?;
        outcome.await.map_err(|_| Error::Unavailable("the server is stopping"))?
    }
}

/// Starts the writer; it ends when its queue is dropped.
pub(in crate::store) fn start(pools: Pools, clock: Clock) -> Queue {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(run(pools, clock, receiver));
    Queue(sender)
}

async fn run(pools: Pools, clock: Clock, mut jobs: mpsc::Receiver<Job>) {
    let mut batch = Vec::with_capacity(BATCH);
    while jobs.recv_many(&mut batch, BATCH).await > 0 {
        // Nobody waits for those any more: their time was over, and they were told so.
        batch.retain(|job| !job.reply.is_closed());
        let (drafts, replies): (Vec<Pending>, Vec<_>) =
            batch.drain(..).map(|job| (job.pending, job.reply)).unzip();
        if drafts.is_empty() {
            continue;
        }
        metrics::histogram!("guildhall_commit_messages").record(drafts.len() as f64);
        let outcomes = match commit(&pools, &clock, &drafts).await {
            Ok(outcomes) => outcomes,
            Err(Error::Internal(source)) if drafts.len() > 1 => {
                // Whatever one of them did, the others shall not pay for it.
                tracing::error!(error = %source, sends = drafts.len(), "a shared commit failed; each send gets its own");
                one_by_one(&pools, &clock, &drafts).await
            }
            Err(error) => drafts.iter().map(|_| Err(same(&error))).collect(),
        };
        for (reply, outcome) in replies.into_iter().zip(outcomes) {
            // A caller that has gone away will ask again with its nonce.
            let _ = reply.send(outcome);
        }
    }
}

async fn commit(pools: &Pools, clock: &Clock, drafts: &[Pending]) -> Result<Vec<Result<Outcome>>> {
    match pools {
        Pools::Sqlite { write, .. } => sqlite::commit(write, clock, drafts).await,
        Pools::Postgres(connections) => postgres::commit(connections, clock, drafts).await,
    }
}

async fn one_by_one(pools: &Pools, clock: &Clock, drafts: &[Pending]) -> Vec<Result<Outcome>> {
    let mut outcomes = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let outcome = commit(pools, clock, std::slice::from_ref(draft)).await;
        outcomes.push(
            outcome.and_then(|mut only| only.pop().unwrap_or(Err(Error::Unavailable("the send was lost")))),
        );
    }
    outcomes
}

/// One fault told to several callers.
fn same(error: &Error) -> Error {
    match error {
        Error::Unavailable(why) => Error::Unavailable(why),
        other => Error::internal(other.to_string()),
    }
}
