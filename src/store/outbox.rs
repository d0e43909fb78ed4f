//! Tasks, stored in the transaction that caused them; on the embedded default, this table is the queue too.
//!
//! A row is `ready` until a worker has recorded its end: `done`, or `dead` with the reason. A worker takes a
//! row for a time (a lease); if it dies, the row is free again when that time is over.

use serde_json::{Map, Value};
use sqlx::FromRow;

use super::{Db, json};
use crate::clock::Millis;
use crate::error::{Error, Result};
use crate::random;

/// A task on its way: what a worker gets.
#[derive(Clone, Debug, FromRow)]
pub struct Envelope {
    /// Unique; the same id is the same task.
    pub id: String,
    /// The task's name, such as `webhook.v1`.
    pub task: String,
    /// Tasks of one key run one after the other.
    pub key: String,
    /// The task's fields, as JSON.
    pub payload: String,
    /// How often it was tried before.
    pub attempt: i64,
    /// When it was enqueued.
    pub created_at: Millis,
    /// The request that caused it.
    pub trace: Option<String>,
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

/// A row to enqueue.
#[derive(Debug, serde::Serialize)]
pub(super) struct NewRow {
    id: String,
    task: &'static str,
    key: String,
    payload: String,
    trace: Option<String>,
    now: Millis,
}

impl FollowUp {
    pub(super) fn into_row(mut self, seq: i64, now: Millis) -> NewRow {
        self.payload.insert("seq".to_owned(), seq.into());
        let payload = Value::Object(self.payload).to_string();
        NewRow { id: random::id(), task: self.task, key: self.key, payload, trace: self.trace, now }
    }
}

pub(super) async fn insert(tx: &mut sqlx::SqliteConnection, rows: &[NewRow]) -> Result<()> {
    sqlx::query(
        "INSERT INTO outbox (id, task, key, payload, trace, created_at, not_before)
         SELECT value ->> 'id', value ->> 'task', value ->> 'key', value ->> 'payload', value ->> 'trace',
                value ->> 'now', value ->> 'now' FROM json_each($1)",
    )
    .bind(json(&rows)?)
    .execute(tx)
    .await?;
    Ok(())
}

/// Enqueues a task under an id of the caller's choice; a second time is no task.
///
/// # Errors
/// The database's.
pub async fn enqueue_once(db: &Db, id: &str, task: &str, key: &str, payload: &str) -> Result<()> {
    sqlx::query(
        "INSERT INTO outbox (id, task, key, payload, created_at, not_before) VALUES ($1, $2, $3, $4, $5, $5)
         ON CONFLICT DO NOTHING",
    )
    .bind(id)
    .bind(task)
    .bind(key)
    .bind(payload)
    .bind(db.clock.now())
    .execute(&db.write)
    .await?;
    Ok(())
}

/// Takes up to `limit` due tasks for `lease_ms`: the oldest of each key that nobody works on.
///
/// # Errors
/// The database's.
pub async fn lease(db: &Db, limit: i64, lease_ms: Millis) -> Result<Vec<Envelope>> {
    let now = db.clock.now();
    let due: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM outbox WHERE state = 'ready' AND not_before <= $1 AND leased_until <= $1)",
    )
    .bind(now)
    .fetch_one(&db.read)
    .await?;
    if limit == 0 || !due {
        return Ok(Vec::new());
    }
    let envelopes = sqlx::query_as(
        "UPDATE outbox SET leased_until = $1 + $3 WHERE id IN (
            SELECT o.id FROM outbox o WHERE o.state = 'ready' AND o.not_before <= $1 AND o.leased_until <= $1
              AND NOT EXISTS (SELECT 1 FROM outbox b WHERE b.state = 'ready' AND b.key = o.key AND b.leased_until > $1)
              AND NOT EXISTS (SELECT 1 FROM outbox e WHERE e.state = 'ready' AND e.key = o.key
                              AND e.not_before <= $1 AND (e.created_at, e.id) < (o.created_at, o.id))
            ORDER BY o.not_before, o.id LIMIT $2)
         RETURNING id, task, key, payload, attempt, created_at, trace",
    )
    .bind(now)
    .bind(limit)
    .bind(lease_ms)
    .fetch_all(&db.write)
    .await?;
    Ok(envelopes)
}

/// How a try ended.
#[derive(Debug)]
pub enum End {
    /// It did what it should.
    Done,
    /// Try again at that time.
    Again(Millis),
    /// Nobody will try again, until a person asks for it.
    Dead,
}

/// Records how a try ended; `reason` says why it failed.
///
/// # Errors
/// The database's.
pub async fn finish(db: &Db, id: &str, end: End, reason: Option<&str>) -> Result<()> {
    let now = db.clock.now();
    let (state, not_before, finished_at) = match end {
        End::Done => ("done", now, Some(now)),
        End::Again(at) => ("ready", at, None),
        End::Dead => ("dead", now, Some(now)),
    };
    sqlx::query(
        "UPDATE outbox SET state = $2, not_before = $3, finished_at = $4, reason = $5, leased_until = 0,
                attempt = attempt + 1 WHERE id = $1 AND state = 'ready'",
    )
    .bind(id)
    .bind(state)
    .bind(not_before)
    .bind(finished_at)
    .bind(reason)
    .execute(&db.write)
    .await?;
    Ok(())
}

/// Forgets tasks that were done before a time; dead ones stay. Says how many.
///
/// # Errors
/// The database's.
pub async fn forget_done(db: &Db, before: Millis, batch: i64) -> Result<u64> {
    let forgotten = sqlx::query(
        "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE state <> 'ready' AND state = 'done'
         AND finished_at < $1 ORDER BY finished_at LIMIT $2)",
    )
    .bind(before)
    .bind(batch)
    .execute(&db.write)
    .await?;
    Ok(forgotten.rows_affected())
}

/// A task as an operator sees it.
#[derive(Debug, FromRow)]
pub struct Listed {
    /// Its id.
    pub id: String,
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

/// The newest tasks in a state.
///
/// # Errors
/// The database's.
pub async fn list(db: &Db, state: &str, limit: i64) -> Result<Vec<Listed>> {
    let tasks = sqlx::query_as(
        "SELECT id, task, state, attempt, reason, payload FROM outbox WHERE state = $1 ORDER BY created_at DESC, id DESC LIMIT $2",
    )
    .bind(state)
    .bind(limit)
    .fetch_all(&db.read)
    .await?;
    Ok(tasks)
}

/// Makes a dead task ready again, with all its attempts.
///
/// # Errors
/// [`Error::NotFound`] where no dead task has that id.
pub async fn revive(db: &Db, id: &str) -> Result<()> {
    let revived = sqlx::query(
        "UPDATE outbox SET state = 'ready', attempt = 0, not_before = $2, finished_at = NULL, leased_until = 0
         WHERE id = $1 AND state = 'dead'",
    )
    .bind(id)
    .bind(db.clock.now())
    .execute(&db.write)
    .await?;
    if revived.rows_affected() == 0 { Err(Error::NotFound("dead task")) } else { Ok(()) }
}

/// How many tasks wait.
///
/// # Errors
/// The database's.
pub async fn depth(db: &Db) -> Result<i64> {
    Ok(sqlx::query_scalar("SELECT count(*) FROM outbox WHERE state = 'ready'").fetch_one(&db.read).await?)
}
