//! The writer of sends: it takes those that wait, up to 64, and commits them together.
//!
//! A commit costs one wait for the disk, however many messages are in it, so sharing commits makes durable
//! sends as fast as careless ones. A Lambda instance has one request at a time, so its batches are of one. On
//! `PostgreSQL` there are two writers, each with channels of its own: two batches with the same channel in them would only
//! wait for each other.
//!
//! There, somebody else may hold a channel's row for long. Then that batch's channels go aside, each to a lane of its own,
//! until it has nothing left to write: one slow channel slows itself alone.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::decide::Outcome;
use super::draft::Pending;
use super::known::Known;
use super::postgres::NotWritten;
use super::{postgres, rows, sqlite};
use crate::base::clock::Clock;
use crate::base::error::{Error, Result};
use crate::base::lock::lock;
use crate::base::panic::caught;
use crate::chat::values::ChannelId;
use crate::hub::Hub;
use crate::store::engine::Pools;
use crate::store::wordlist_hit::Hits;

/// Batches that are written at one time on `PostgreSQL`, each of channels of its own: while one waits for the disk, the
/// other is decided.
const WRITERS: usize = 2;
/// Sends in one commit.
const BATCH: usize = 64;
const _: () = assert!(BATCH <= rows::MOST, "a statement takes a batch's rows");
/// Sends that may wait; past that the answer is 503, at once.
const WAITING: usize = 4_096;
/// Sends that may wait for one channel that is aside.
const ASIDE: usize = 256;
/// Channels that wait for a lock at one time: each holds a connection meanwhile.
const LOCKED: usize = 2;
/// Time that a send waits for a channel's lock.
const PATIENCE: Duration = Duration::from_secs(4);

struct Job {
    pending: Pending,
    reply: oneshot::Sender<Result<Outcome>>,
}

/// Queue of sends: one for each writer, and all sends of a channel go to the same one.
pub(in crate::store) struct Queue {
    writers: Vec<mpsc::Sender<Job>>,
    hashes: RandomState,
}

impl Queue {
    /// Answers once the send is committed, or refused.
    pub(in crate::store) async fn append(&self, pending: Pending) -> Result<Outcome> {
        let (reply, outcome) = oneshot::channel();
        let writer = self.hashes.hash_one(&pending.draft.said.channel) as usize % self.writers.len();
        self.writers[writer]
            .try_send(Job { pending, reply })
            .map_err(|_| Error::Unavailable("too many sends are waiting"))?;
        outcome.await.map_err(|_| Error::Unavailable("the server is stopping"))?
    }
}

/// Starts the writers; they end when their queue is dropped.
pub(in crate::store) fn start(
    pools: &Pools,
    clock: &Clock,
    hub: &Arc<Hub>,
    hits: &Hits,
    known: Known,
) -> Queue {
    let writers = match pools {
        Pools::Sqlite { .. } => 1,
        Pools::Postgres(_) => WRITERS,
    };
    let locked = Arc::new(Semaphore::new(LOCKED));
    let known = Arc::new(known);
    let start = |_| {
        let (sender, receiver) = mpsc::channel(WAITING / writers);
        let writer = Writer {
            pools: pools.clone(),
            clock: clock.clone(),
            hub: Arc::clone(hub),
            known: Arc::clone(&known),
            hits: hits.clone(),
            lanes: Arc::default(),
            locked: Arc::clone(&locked),
        };
        tokio::spawn(writer.run(receiver));
        sender
    };
    Queue { writers: (0..writers).map(start).collect(), hashes: RandomState::new() }
}

#[derive(Clone)]
struct Writer {
    pools: Pools,
    clock: Clock,
    hub: Arc<Hub>,
    known: Arc<Known>,
    hits: Hits,
    /// The channels that are aside.
    lanes: Arc<Mutex<HashMap<ChannelId, mpsc::Sender<Job>>>>,
    locked: Arc<Semaphore>,
}

impl Writer {
    async fn run(self, mut jobs: mpsc::Receiver<Job>) {
        let mut batch = Vec::with_capacity(BATCH);
        while jobs.recv_many(&mut batch, BATCH).await > 0 {
            // Nobody waits for those any more: their time was over, and they were told so.
            let waiting = batch.drain(..).filter(|job| !job.reply.is_closed());
            let batch: Vec<Job> = waiting.filter_map(|job| self.unless_aside(job)).collect();
            if let Some(locked) = self.write(batch).await {
                locked.into_iter().for_each(|job| self.set_aside(job));
            }
        }
    }

    /// Commits sends and answers them. Gives them back where somebody holds a row that one of them needs.
    async fn write(&self, jobs: Vec<Job>) -> Option<Vec<Job>> {
        let (drafts, replies): (Vec<Pending>, Vec<_>) =
            jobs.into_iter().map(|job| (job.pending, job.reply)).unzip();
        if drafts.is_empty() {
            return None;
        }
        metrics::histogram!("guildhall_commit_messages").record(drafts.len() as f64);
        let outcomes = match self.commit(&drafts).await {
            Ok(outcomes) => outcomes,
            Err(NotWritten::Locked) => {
                let jobs = drafts.into_iter().zip(replies).map(|(pending, reply)| Job { pending, reply });
                return Some(jobs.collect());
            }
            Err(NotWritten::Fault(Error::Internal(source))) if drafts.len() > 1 => {
                // Whatever one of them did, the others shall not pay for it.
                tracing::error!(error = %source, sends = drafts.len(), "a shared commit failed; each send gets its own");
                self.one_by_one(&drafts).await
            }
            Err(NotWritten::Fault(error)) => drafts.iter().map(|_| Err(same(&error))).collect(),
        };
        for ((reply, outcome), pending) in replies.into_iter().zip(outcomes).zip(&drafts) {
            if let Ok(Outcome::Stored { channel_key, seq, .. }) = outcome {
                self.hub.said(pending.draft.said.channel.as_str(), channel_key, seq);
                self.hits.note(&pending.draft.shown.hits);
            }
            // A caller that has gone away will ask again with its nonce.
            let _ = reply.send(outcome);
        }
        None
    }

    /// A panic is a fault like others: the writer is all sends', and lives on.
    async fn commit(&self, drafts: &[Pending]) -> Result<Vec<Result<Outcome>>, NotWritten> {
        let commit = async {
            match &self.pools {
                Pools::Sqlite { write, .. } => sqlite::commit(write, &self.clock, &self.known.spoken, drafts)
                    .await
                    .map_err(NotWritten::Fault),
                Pools::Postgres(connections) => {
                    postgres::commit(connections, &self.clock, &self.known, drafts).await
                }
            }
        };
        caught(commit).await.unwrap_or_else(|panic| Err(NotWritten::Fault(Error::internal(panic))))
    }

    async fn one_by_one(&self, drafts: &[Pending]) -> Vec<Result<Outcome>> {
        let mut outcomes = Vec::with_capacity(drafts.len());
        for draft in drafts {
            outcomes.push(match self.commit(std::slice::from_ref(draft)).await {
                Ok(mut only) => only.pop().unwrap_or(Err(Error::Unavailable("the send was lost"))),
                Err(NotWritten::Fault(error)) => Err(error),
                Err(NotWritten::Locked) => Err(locked()),
            });
        }
        outcomes
    }

    /// The job, unless its channel is aside: then it lines up there.
    fn unless_aside(&self, job: Job) -> Option<Job> {
        let lanes = lock(&self.lanes);
        let Some(lane) = lanes.get(&job.pending.draft.said.channel) else { return Some(job) };
        if let Err(mpsc::error::TrySendError::Full(job) | mpsc::error::TrySendError::Closed(job)) =
            lane.try_send(job)
        {
            let _ = job.reply.send(Err(locked()));
        }
        None
    }

    fn set_aside(&self, job: Job) {
        let Some(job) = self.unless_aside(job) else { return };
        let channel = job.pending.draft.said.channel.clone();
        let (lane, jobs) = mpsc::channel(ASIDE);
        let _ = lane.try_send(job);
        lock(&self.lanes).insert(channel.clone(), lane);
        tokio::spawn(self.clone().serve(channel, jobs));
    }

    /// Writes for one channel until nothing waits for it any more.
    async fn serve(self, channel: ChannelId, mut jobs: mpsc::Receiver<Job>) {
        let mut waiting = Vec::new();
        loop {
            {
                let mut lanes = lock(&self.lanes);
                while waiting.len() < BATCH
                    && let Ok(job) = jobs.try_recv()
                {
                    waiting.push(job);
                }
                if waiting.is_empty() {
                    lanes.remove(&channel);
                    return;
                }
            }
            waiting = self.write_patiently(std::mem::take(&mut waiting)).await;
            for job in waiting.drain(..) {
                let _ = job.reply.send(Err(locked()));
            }
        }
    }

    /// Writes jobs until they are stored or a send's time is over; returns those that could not be written.
    async fn write_patiently(&self, mut jobs: Vec<Job>) -> Vec<Job> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let Ok(_place) = self.locked.acquire().await else { break };
            jobs.retain(|job| !job.reply.is_closed());
            match self.write(jobs).await {
                None => return Vec::new(),
                Some(locked) => jobs = locked,
            }
        }
        jobs
    }
}

fn locked() -> Error {
    Error::Unavailable("somebody holds this channel")
}

/// One fault told to several callers.
fn same(error: &Error) -> Error {
    match error {
        Error::Unavailable(why) => Error::Unavailable(why),
        other => Error::internal(other.to_string()),
    }
}
