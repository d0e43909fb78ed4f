//! The one writer of sends: it takes those that wait, up to 64, and commits them together.
//!
//! A commit costs one wait for the disk, however many messages are in it, so sharing commits makes durable
//! sends as fast as careless ones. Each send is decided by itself: whether the sender may speak, whether the
//! nonce was used. Those decisions see what the batch has stored so far, so limits hold within a batch too.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::{FromRow, SqliteConnection, SqlitePool};
use tokio::sync::{mpsc, oneshot};

use super::append::{Draft, Earlier, nonce_conflict};
use super::channel::stored_settings;
use super::message::{Message, MessageKind, Sender, Stored, Written};
use super::{json, outbox, wordlist_hit};
use crate::clock::{Clock, Millis};
use crate::domain::PlayerId;
use crate::error::{Error, Result};
use crate::payload::Payload;
use crate::speaking::{self, Refusal, may_speak};

/// Sends in one commit.
const BATCH: usize = 64;
/// Sends that may wait; past that the answer is 503, at once.
const WAITING: usize = 4_096;

/// What came of a send.
pub(super) enum Outcome {
    Stored(Stored),
    Replayed(Earlier),
}

struct Job {
    draft: Draft,
    reply: oneshot::Sender<Result<Outcome>>,
}

/// Where sends line up.
pub(super) struct Queue(mpsc::Sender<Job>);

impl Queue {
    /// Answers once the send is committed, or refused.
    pub(super) async fn append(&self, draft: Draft) -> Result<Outcome> {
        let (reply, outcome) = oneshot::channel();
        self.0
            .try_send(Job { draft, reply })
            .map_err(|_| Error::Unavailable("too many sends are waiting"))?;
        outcome.await.map_err(|_| Error::Unavailable("the server is stopping"))?
    }
}

/// Starts the writer; it ends when its queue is dropped.
pub(super) fn start(pool: SqlitePool, clock: Clock) -> Queue {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(run(pool, clock, receiver));
    Queue(sender)
}

async fn run(pool: SqlitePool, clock: Clock, mut jobs: mpsc::Receiver<Job>) {
    let mut batch = Vec::with_capacity(BATCH);
    while jobs.recv_many(&mut batch, BATCH).await > 0 {
        let (drafts, replies): (Vec<Draft>, Vec<_>) =
            batch.drain(..).map(|job| (job.draft, job.reply)).unzip();
        metrics::histogram!("guildhall_commit_messages").record(drafts.len() as f64);
        let outcomes = match commit(&pool, &clock, &drafts).await {
            Ok(outcomes) => outcomes,
            Err(Error::Internal(source)) if drafts.len() > 1 => {
                // Whatever one of them did, the others shall not pay for it.
                tracing::error!(error = %source, sends = drafts.len(), "a shared commit failed; each send gets its own");
                one_by_one(&pool, &clock, &drafts).await
            }
            Err(error) => drafts.iter().map(|_| Err(same(&error))).collect(),
        };
        for (reply, outcome) in replies.into_iter().zip(outcomes) {
            // A caller that has gone away will ask again with its nonce.
            let _ = reply.send(outcome);
        }
    }
}

async fn one_by_one(pool: &SqlitePool, clock: &Clock, drafts: &[Draft]) -> Vec<Result<Outcome>> {
    let mut outcomes = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let outcome = commit(pool, clock, std::slice::from_ref(draft)).await;
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

async fn commit(pool: &SqlitePool, clock: &Clock, drafts: &[Draft]) -> Result<Vec<Result<Outcome>>> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    let facts = facts(&mut tx, drafts).await?;
    let mut batch = Batch { now: clock.now(), ..Batch::default() };
    let outcomes: Vec<_> =
        drafts.iter().zip(&facts).map(|(draft, facts)| batch.decide(draft, facts)).collect();
    batch.write(&mut tx).await?;
    tx.commit().await?;
    Ok(outcomes)
}

/// What the database knows about one send.
#[derive(FromRow)]
struct Facts {
    key: Option<i64>,
    open: Option<bool>,
    min_level: Option<i64>,
    slow_mode_s: Option<i64>,
    read_only: Option<bool>,
    last_seq: Option<i64>,
    last_said: Option<i64>,
    member: bool,
    last_sent_at: Option<Millis>,
    recent: Option<String>,
    earlier_seq: Option<i64>,
    earlier_digest: Option<String>,
}

async fn facts(tx: &mut SqliteConnection, drafts: &[Draft]) -> Result<Vec<Facts>> {
    let asked: Vec<_> =
        drafts.iter().map(|draft| (&draft.said.channel, &draft.sender.id, &draft.said.nonce)).collect();
    let facts = sqlx::query_as(
        "SELECT c.key, c.open, c.min_level, c.slow_mode_s, c.read_only, c.last_seq, c.last_said,
                m.player_id IS NOT NULL AS member, m.last_sent_at, p.recent,
                e.seq AS earlier_seq, e.digest AS earlier_digest
         FROM json_each($1) j
         LEFT JOIN channel c ON c.id = j.value ->> 0
         LEFT JOIN member m ON m.channel_key = c.key AND m.player_id = j.value ->> 1
         LEFT JOIN pace p ON p.player_id = j.value ->> 1
         LEFT JOIN message e ON e.channel_key = c.key AND e.sender_id = j.value ->> 1 AND e.nonce = j.value ->> 2
         ORDER BY j.key",
    )
    .bind(json(&asked)?)
    .fetch_all(tx)
    .await?;
    Ok(facts)
}

/// A message row, as the statements below read it.
#[derive(Serialize)]
struct Row<'a> {
    key: i64,
    seq: i64,
    said: i64,
    id: &'a PlayerId,
    at: Millis,
    shown: String,
    original: Option<String>,
    wordlist: Option<&'a str>,
    nonce: Option<&'a str>,
    digest: String,
    mentions: &'a [PlayerId],
    /// The sender is a member, so has read up to here.
    member: bool,
    /// The channel has a slow mode, so the time is kept.
    slow: bool,
}

/// One commit in the making: the rows to write, and what they change for the sends behind them.
#[derive(Default)]
struct Batch<'a> {
    now: Millis,
    rows: Vec<Row<'a>>,
    tasks: Vec<outbox::NewRow>,
    hits: Vec<&'a wordlist_hit::Hit>,
    /// channel -> (last_seq, last_said)
    counters: HashMap<i64, (i64, i64)>,
    /// player -> when they last spoke, oldest first
    recent: HashMap<&'a str, Vec<Millis>>,
    /// (channel, player) -> when they last spoke there
    here: HashMap<(i64, &'a str), Millis>,
    /// (channel, player, nonce) -> (seq, digest)
    nonces: HashMap<(i64, &'a str, &'a str), (i64, String)>,
}

impl<'a> Batch<'a> {
    fn decide(&mut self, draft: &'a Draft, facts: &Facts) -> Result<Outcome> {
        let key = facts.key.ok_or(Refusal::Unseen)?;
        let sender = draft.sender.id.as_str();
        let digest = draft.said.digest();
        let nonce = draft.said.nonce.as_ref().map(|nonce| (key, sender, nonce.as_str()));
        let in_batch =
            nonce.and_then(|nonce| self.nonces.get(&nonce)).map(|(seq, digest)| (*seq, digest.as_str()));
        if let Some((seq, stored)) = in_batch.or(facts.earlier_seq.zip(facts.earlier_digest.as_deref())) {
            // Read rights may have ended since; the sender keeps the right to learn what came of the send.
            return if stored == digest {
                Ok(Outcome::Replayed(Earlier { channel_key: key, seq }))
            } else {
                Err(nonce_conflict())
            };
        }
        self.check(draft, facts, key)?;
        let (seq, said) = self.next(key, facts);
        if let Some(nonce) = nonce {
            self.nonces.insert(nonce, (seq, digest.clone()));
        }
        let shown = json(&message(draft, seq, self.now)?)?;
        let row = Row {
            key,
            seq,
            said,
            id: &draft.sender.id,
            at: self.now,
            shown: shown.clone(),
            original: draft.shown.masked.then(|| written(draft)).transpose()?,
            wordlist: draft.shown.wordlist.as_deref(),
            nonce: draft.said.nonce.as_ref().map(|nonce| nonce.as_str()),
            digest,
            mentions: &draft.said.mentions,
            member: facts.member,
            slow: facts.slow_mode_s.is_some_and(|seconds| seconds > 0),
        };
        self.rows.push(row);
        self.hits.extend(&draft.shown.hits);
        self.tasks.extend(draft.follow_ups.iter().map(|task| task.clone().into_row(seq, self.now)));
        Stored::one(shown).map(Outcome::Stored)
    }

    /// Asks the one rule, and notes that the sender spoke.
    fn check(&mut self, draft: &'a Draft, facts: &Facts, key: i64) -> Result<(), Refusal> {
        let sender = draft.sender.id.as_str();
        let recent = self.recent.remove(sender).or_else(|| stored_recent(facts)).unwrap_or_default();
        let verdict = may_speak(&speaking::Context {
            now: self.now,
            settings: stored_settings(
                facts.open == Some(true),
                facts.min_level.unwrap_or_default(),
                facts.slow_mode_s.unwrap_or_default(),
                facts.read_only == Some(true),
            ),
            member: facts.member,
            staff: draft.sender.is_staff(),
            level: draft.sender.level.get(),
            last_here: self.here.get(&(key, sender)).copied().or(facts.last_sent_at),
            recent: &recent,
            limit: draft.limit,
        });
        let mut recent = recent;
        if let Some(limit) = draft.limit {
            if verdict.is_ok() {
                recent.push(self.now);
                recent.drain(..recent.len().saturating_sub(limit.count));
            }
            self.recent.insert(sender, recent);
        }
        verdict?;
        self.here.insert((key, sender), self.now);
        Ok(())
    }

    /// The channel's next number and count of things said.
    fn next(&mut self, key: i64, facts: &Facts) -> (i64, i64) {
        let stored = (facts.last_seq.unwrap_or_default(), facts.last_said.unwrap_or_default());
        let counter = self.counters.entry(key).or_insert(stored);
        *counter = (counter.0 + 1, counter.1 + 1);
        *counter
    }

    async fn write(&self, tx: &mut SqliteConnection) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = json(&self.rows)?;
        execute(tx, INSERT_MESSAGES, &rows).await?;
        let counters: Vec<_> = self.counters.iter().map(|(key, (seq, said))| (key, seq, said)).collect();
        execute(tx, UPDATE_CHANNELS, &json(&counters)?).await?;
        execute(tx, UPDATE_MEMBERS, &rows).await?;
        if !self.recent.is_empty() {
            let recent: Vec<_> = self.recent.iter().collect();
            execute(tx, UPSERT_PACE, &json(&recent)?).await?;
        }
        if self.rows.iter().any(|row| !row.mentions.is_empty()) {
            execute(tx, INSERT_MENTIONS, &rows).await?;
        }
        if !self.hits.is_empty() {
            wordlist_hit::add(tx, &self.hits, self.now).await?;
        }
        if !self.tasks.is_empty() {
            outbox::insert(tx, &self.tasks).await?;
        }
        Ok(())
    }
}

// `OR FAIL`: a statement that fails ends the transaction anyway, so SQLite need not copy every page aside to be able
// to take back one statement alone.
const INSERT_MESSAGES: &str = "INSERT OR FAIL INTO message (channel_key, seq, said, sender_id, sent_at, shown, original,
            wordlist, nonce, digest)
     SELECT value ->> 'key', value ->> 'seq', value ->> 'said', value ->> 'id', value ->> 'at', value ->> 'shown',
            value ->> 'original', value ->> 'wordlist', value ->> 'nonce', value ->> 'digest'
     FROM json_each($1)";

const UPDATE_CHANNELS: &str = "UPDATE OR FAIL channel SET last_seq = j.value ->> 1, last_said = j.value ->> 2
     FROM json_each($1) j WHERE channel.key = j.value ->> 0";

/// Who speaks has read up to there.
const UPDATE_MEMBERS: &str =
    "UPDATE OR FAIL member SET read_seq = max(read_seq, j.seq), read_said = max(read_said, j.said),
            last_sent_at = CASE WHEN j.slow THEN j.at ELSE last_sent_at END
     FROM (SELECT value ->> 'key' AS key, value ->> 'id' AS id, max(value ->> 'seq') AS seq,
                  max(value ->> 'said') AS said, max(value ->> 'slow') AS slow, max(value ->> 'at') AS at
           FROM json_each($1) WHERE value ->> 'member' GROUP BY 1, 2) j
     WHERE member.channel_key = j.key AND member.player_id = j.id";

const UPSERT_PACE: &str =
    "INSERT INTO pace (player_id, recent) SELECT value ->> 0, value ->> 1 FROM json_each($1) WHERE TRUE
     ON CONFLICT (player_id) DO UPDATE SET recent = excluded.recent";

/// Only members have an inbox, and nobody mentions themselves.
const INSERT_MENTIONS: &str = "INSERT INTO mention (player_id, channel_key, seq)
     SELECT member.player_id, j.value ->> 'key', j.value ->> 'seq'
     FROM json_each($1) j, json_each(j.value ->> 'mentions') n
     JOIN member ON member.channel_key = j.value ->> 'key' AND member.player_id = n.value
     WHERE n.value <> j.value ->> 'id'
     ON CONFLICT DO NOTHING";

async fn execute(tx: &mut SqliteConnection, statement: &'static str, rows: &str) -> Result<()> {
    sqlx::query(statement).bind(rows).execute(tx).await?;
    Ok(())
}

fn stored_recent(facts: &Facts) -> Option<Vec<Millis>> {
    serde_json::from_str(facts.recent.as_deref()?).ok()
}

/// What the sender wrote, for moderators.
fn written(draft: &Draft) -> Result<String> {
    let payload = draft.said.payload.as_ref().map(Payload::raw).transpose()?;
    json(&Written { text: draft.said.text.as_str(), payload })
}

/// What everybody sees.
fn message(draft: &Draft, seq: i64, now: Millis) -> Result<Message> {
    let raw = |text: &str| RawValue::from_string(text.to_owned()).map_err(Error::internal);
    Ok(Message {
        channel: draft.said.channel.to_string(),
        seq,
        kind: MessageKind::Text,
        sender: Sender { id: draft.sender.id.to_string(), name: draft.sender.name.clone() },
        text: draft.shown.text.clone(),
        payload: draft.shown.payload.as_deref().map(raw).transpose()?,
        mentions: draft.said.mentions.clone(),
        sent_at: now,
        reference: None,
        masked: draft.shown.masked,
    })
}
