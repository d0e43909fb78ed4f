//! Tasks, stored in the transaction that caused them; on the embedded default, this table is the queue too.
//!
//! A row is `ready` until a worker has recorded its end: `done`, or `dead` with the reason. A worker takes a
//! row for a time (a lease); if it dies, the row is free again when that time is over. Where a broker carries tasks,
//! a row that it has is `sent`; a delivery has an effect only for the row's present attempt, so that second and late
//! ones have none.

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};
use sqlx::FromRow;

use super::Db;
use super::engine::sql::values;
use super::sends::Numbered;
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::base::random;
use crate::outside::envelope::Envelope;

mod enqueue;

pub(super) use enqueue::{Later, add, add_all_for_later, add_for_later, add_once};
pub use enqueue::{NewTask, enqueue_later, enqueue_once};

/// A row as it leaves the table.
#[derive(FromRow)]
pub(super) struct Leaving {
    id: String,
    task: String,
    key: String,
    payload: String,
    attempt: i64,
    created_at: Millis,
    trace: Option<String>,
}

impl Leaving {
    fn into_envelope(self) -> Envelope {
        let Self { id, task, key, payload, attempt, created_at, trace } = self;
        // What is no JSON goes on as a text of JSON: the task refuses it, and it is one dead letter.
        let payload = RawValue::from_string(payload.clone())
            .unwrap_or_else(|_| to_raw_value(&payload).expect("a text is JSON"));
        let mut envelope = Envelope::new(id, task, key, payload);
        (envelope.attempt, envelope.created_at, envelope.trace) = (attempt, created_at, trace);
        envelope
    }
}

/// Rows come back in no order; tasks of one key go in the order they were enqueued. Ids sort by time.
pub(super) fn envelopes(rows: Vec<Leaving>) -> Vec<Envelope> {
    let mut envelopes: Vec<Envelope> = rows.into_iter().map(Leaving::into_envelope).collect();
    envelopes.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
    envelopes
}

/// A task that follows a message: the store writes the message's number into its `seq` and enqueues it.
#[derive(Clone, Debug)]
pub struct FollowUp {
    /// The task's name.
    pub task: &'static str,
    /// Its key.
    pub key: String,
    /// Its fields; `seq` is overwritten.
    pub payload: Map<String, Value>,
    /// The request that caused it.
    pub trace: Option<String>,
}

/// A row to enqueue with a message.
#[derive(Debug, serde::Serialize)]
pub(super) struct NewRow {
    /// The message's place in its batch.
    n: usize,
    id: String,
    task: &'static str,
    key: String,
    /// The payload as JSON from behind the message's number on.
    tail: String,
    trace: Option<String>,
    stage: &'static str,
    now: Millis,
}

impl FollowUp {
    pub(super) fn into_row(mut self, n: usize, stage: &'static str, now: Millis) -> NewRow {
        self.payload.remove("seq");
        let rest = Value::Object(self.payload).to_string();
        let rest = rest.strip_prefix('{').unwrap_or_default();
        let comma = if rest == "}" { "" } else { "," };
        let tail = format!("{comma}{rest}");
        NewRow { n, id: random::id(), task: self.task, key: self.key, tail, trace: self.trace, stage, now }
    }
}

impl NewRow {
    /// With its message's number, for a writer that knows it.
    pub(super) fn numbered(&self, written: &[Option<Numbered>]) -> Value {
        let seq = written.get(self.n).copied().flatten().map_or(0, |numbered| numbered.seq);
        let payload = format!("{{\"seq\":{seq}{}", self.tail);
        json!([self.id, self.task, self.key, payload, self.trace, self.now, self.stage])
    }
}

pub(super) const INSERT_SQLITE: &str =
    "INSERT INTO outbox (id, task, key, payload, trace, created_at, not_before, stage)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 5, value ->> 6
     FROM json_each($1)";

/// Takes up to `limit` due tasks for `lease_ms`: the oldest of each key that nobody works on.
///
/// # Errors
/// The database's.
pub async fn lease(db: &Db, limit: i64, lease_ms: Millis) -> Result<Vec<Envelope>> {
    let now = db.now().await?;
    let due: Vec<(i64,)> = db
        .all(
            "SELECT CAST(1 AS BIGINT) FROM outbox
             WHERE state = 'ready' AND not_before <= $1 AND leased_until <= $1 AND stage = $2 LIMIT 1",
            values![now, db.stage],
        )
        .await?;
    if limit == 0 || due.is_empty() {
        return Ok(Vec::new());
    }
    // A lease that ran out means that its worker died: that was a try, too, or a task that kills its worker would never
    // be given up. The choice is made once, before anything is changed (PostgreSQL would make it for each row). What stands
    // behind it is for PostgreSQL, where another may have chosen the same. It may think that hardly any tasks wait: what
    // stands within NOT is asked of each by itself, and a state with nothing behind it makes it find the chosen by id.
    let rows = db
        .change(
            "WITH chosen AS MATERIALIZED (
                SELECT o.id AS chosen_id FROM outbox o WHERE o.state = 'ready' AND o.not_before <= $1 AND o.leased_until <= $1
                  AND o.stage = $4
                  AND NOT (EXISTS (SELECT 1 FROM outbox b WHERE b.state = 'ready' AND b.key = o.key AND b.stage = $4
                                   AND b.id <> o.id AND b.leased_until > 0 AND b.leased_until > $1)
                           OR EXISTS (SELECT 1 FROM outbox e WHERE e.state = 'ready' AND e.key = o.key AND e.stage = $4
                                      AND e.not_before <= $1 AND (e.created_at, e.id) < (o.created_at, o.id)))
                ORDER BY o.not_before, o.id LIMIT $2)
             UPDATE outbox SET leased_until = $1 + $3,
                    attempt = attempt + CASE WHEN leased_until > 0 THEN 1 ELSE 0 END
             FROM chosen WHERE id = chosen_id AND state || '' = 'ready' AND leased_until <= $1
             RETURNING id, task, key, payload, attempt, created_at, trace",
            values![now, limit, lease_ms, db.stage],
        )
        .await?;
    Ok(envelopes(rows))
}

/// Holds a task for `lease_ms` from now on, if this try still has it.
///
/// # Errors
/// The database's.
pub async fn renew(db: &Db, envelope: &Envelope, lease_ms: Millis) -> Result<()> {
    let until = db.now().await? + lease_ms;
    db.execute(
        "UPDATE outbox SET leased_until = $3 WHERE id = $1 AND attempt = $2 AND leased_until > 0",
        values![&envelope.id, envelope.attempt, until],
    )
    .await?;
    Ok(())
}

/// Frees what an earlier process held, where no other can be at work; each such hold was a try. What is to be tried again
/// later than any retry may wait was dated by a clock that has been set back since.
///
/// # Errors
/// The database's.
pub async fn free(db: &Db, longest_wait_ms: Millis) -> Result<()> {
    let now = db.now().await?;
    db.execute(
        "UPDATE outbox SET leased_until = 1 WHERE state = 'ready' AND leased_until > 1 AND stage = $1",
        values![db.stage],
    )
    .await?;
    db.execute(
        "UPDATE outbox SET not_before = $2 WHERE state = 'ready' AND not_before > $2 + $3 AND stage = $1",
        values![db.stage, now, longest_wait_ms],
    )
    .await?;
    Ok(())
}

/// How a try ended.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// It did what it should.
    Done,
    /// Try again at that time.
    Again(Millis),
    /// Nobody will try again, until a person asks for it.
    Dead,
}

/// Records how a try ended; `reason` says why it failed. A worker whose lease ran out, and whose task was given to
/// another as its next try, comes too late: that one's word counts.
///
/// # Errors
/// The database's.
pub async fn finish(db: &Db, envelope: &Envelope, end: End, reason: Option<&str>) -> Result<()> {
    let now = db.now().await?;
    let (state, not_before, finished_at) = match end {
        End::Done => ("done", now, Some(now)),
        End::Again(at) => ("ready", at, None),
        End::Dead => ("dead", now, Some(now)),
    };
    db.execute(
        "UPDATE outbox SET state = $2, not_before = $3, finished_at = $4, reason = $5, leased_until = 0,
                published_at = 0, attempt = attempt + 1 WHERE id = $1 AND attempt = $6 AND state IN ('ready', 'sent')",
        values![&envelope.id, state, not_before, finished_at, reason, envelope.attempt],
    )
    .await?;
    Ok(())
}

/// Forgets tasks that were done before a time; dead ones stay. Says how many.
///
/// # Errors
/// The database's.
pub async fn forget_done(db: &Db, before: Millis, batch: i64) -> Result<u64> {
    let forgotten = db
        .execute(
            "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE state IN ('done', 'dead') AND state = 'done'
             AND finished_at < $1 ORDER BY finished_at LIMIT $2)",
            values![before, batch],
        )
        .await?;
    Ok(forgotten)
}

/// A task as an operator sees it.
#[derive(Debug, FromRow)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// Tasks of one key run one after the other.
    pub key: String,
    /// Its name.
    pub task: String,
    /// `ready`, `done` or `dead`.
    pub state: String,
    /// How often it was tried.
    pub attempt: i64,
    /// Why the last try failed.
    pub reason: Option<String>,
    /// Its fields, as JSON.
    pub payload: String,
}

/// The newest tasks in a state, of this stage.
///
/// # Errors
/// The database's.
pub async fn list(db: &Db, state: &str, limit: i64) -> Result<Vec<Listed>> {
    let tasks = db
        .all(
            "SELECT id, task, key, state, attempt, reason, payload FROM outbox WHERE state = $1 AND stage = $3
             ORDER BY created_at DESC, id DESC LIMIT $2",
            values![state, limit, db.stage],
        )
        .await?;
    Ok(tasks)
}

/// Makes a dead task ready again, with all its attempts.
///
/// # Errors
/// [`Error::NotFound`] where no dead task has that id.
pub async fn revive(db: &Db, id: &str) -> Result<()> {
    let revived = db
        .execute(
            "UPDATE outbox SET state = 'ready', attempt = 0, not_before = $2, finished_at = NULL, leased_until = 0,
                    published_at = 0
             WHERE id = $1 AND state = 'dead' AND task <> 'unreadable'",
            values![id, db.now().await?],
        )
        .await?;
    if revived == 0 { Err(Error::NotFound("dead task")) } else { Ok(()) }
}

/// One task.
///
/// # Errors
/// [`Error::NotFound`] where there is none.
pub async fn find(db: &Db, id: &str) -> Result<Listed> {
    let task = db
        .optional(
            "SELECT id, task, key, state, attempt, reason, payload FROM outbox WHERE id = $1",
            values![id],
        )
        .await?;
    task.ok_or(Error::NotFound("task"))
}

/// What waits, and what was given up.
#[derive(Debug, Default)]
pub struct Status {
    /// To be run, or to be handed to the broker.
    pub ready: i64,
    /// Handed to the broker.
    pub sent: i64,
    /// Given up.
    pub dead: i64,
    /// How long the oldest that is due has waited, in milliseconds.
    pub oldest_ms: Millis,
}

impl Status {
    /// How many tasks wait.
    pub fn depth(&self) -> i64 {
        self.ready + self.sent
    }
}

/// Counts what waits, and what was given up, of this stage.
///
/// # Errors
/// The database's.
pub async fn status(db: &Db) -> Result<Status> {
    let mut status = Status::default();
    let now = db.now().await?;
    for (state, count, oldest) in db
        .all::<(String, i64, Option<Millis>)>(
            "SELECT state, count(*), min(not_before) FROM outbox WHERE state = 'ready' AND stage = $1 GROUP BY state
             UNION ALL SELECT state, count(*), min(published_at) FROM outbox WHERE state = 'sent' AND stage = $1 GROUP BY state
             UNION ALL SELECT state, count(*), NULL FROM outbox WHERE state IN ('done', 'dead') AND state = 'dead'
                       AND stage = $1 GROUP BY state",
            values![db.stage],
        )
        .await?
    {
        match state.as_str() {
            "ready" => status.ready = count,
            "sent" => status.sent = count,
            _ => status.dead = count,
        }
        status.oldest_ms = status.oldest_ms.max(oldest.map_or(0, |oldest| now - oldest));
    }
    Ok(status)
}
