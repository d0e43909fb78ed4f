//! Enqueueing a task: with what causes it, once under an id, or for later. (Tasks that follow a message go with its batch.)
//!
//! A row of `outbox_open` goes with each, and nothing else: whoever enqueues never waits for whoever works.

use serde::Serialize;

use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::base::{random, trace};
use crate::store::engine::DbResult;
use crate::store::engine::sql::{Sql, Tx, by_dialect, values};
use crate::store::{Db, json};

/// A task that follows something else than a message.
#[derive(Debug, Serialize)]
pub struct NewTask {
    /// The task's name.
    pub task: &'static str,
    /// The task's key.
    pub key: String,
    /// The task's fields, as JSON.
    pub payload: String,
}

/// A row that is to be enqueued.
#[derive(Serialize)]
struct New<'a> {
    id: &'a str,
    task: &'a str,
    key: &'a str,
    payload: &'a str,
    trace: Option<&'a str>,
}

/// Times of rows that are enqueued.
#[derive(Clone, Copy)]
pub(in crate::store) struct Times {
    /// Now.
    pub(in crate::store) now: Millis,
    /// The time at which they are to be run.
    pub(in crate::store) at: Millis,
}

/// Enqueues rows; those whose id waits already are none. Says how many are new.
async fn insert(tx: &mut Tx, db: &Db, rows: &str, Times { now, at }: Times) -> DbResult<u64> {
    // What is planned for later has a place of its own in its key, so that nothing waits behind it.
    const ROWS: Sql = by_dialect(
        "INSERT INTO outbox (id, task, key, payload, trace, created_at, since, not_before, place, stage)
         SELECT value ->> 'id', value ->> 'task', value ->> 'key', value ->> 'payload', value ->> 'trace', $2, $3, $3,
                CASE WHEN $3 > $2 THEN $3 ELSE 0 END, $4
         FROM json_each($1) WHERE TRUE ON CONFLICT DO NOTHING",
        "WITH added AS (
            INSERT INTO outbox (id, task, key, payload, trace, created_at, since, not_before, place, stage)
            SELECT value ->> 'id', value ->> 'task', value ->> 'key', value ->> 'payload', value ->> 'trace', $2, $3, $3,
                   CASE WHEN $3 > $2 THEN $3 ELSE 0 END, $4
            FROM json_array_elements($1::json) AS j (value) ORDER BY 1 ON CONFLICT DO NOTHING RETURNING stage, n, id)
         INSERT INTO outbox_open (stage, n, id) SELECT stage, n, id FROM added",
    );
    let added = tx.execute(ROWS, values![rows, now, at, db.stage]).await?;
    if added > 0 && tx.is_sqlite() {
        tx.execute(OPEN_SQLITE, values![rows]).await?;
    }
    Ok(added)
}

const OPEN_SQLITE: &str = "INSERT INTO outbox_open (stage, n, id) SELECT stage, n, id FROM outbox
     WHERE id IN (SELECT value ->> 'id' FROM json_each($1)) ON CONFLICT DO NOTHING";

/// Enqueues rows under ids that may have been used: what has ended is no task either. Says how many are new.
async fn insert_once(tx: &mut Tx, db: &Db, rows: &str, times: Times) -> DbResult<u64> {
    // Behind the insert, which waits for whoever ends the same task at this moment: then its end is seen.
    const ENDED: Sql = by_dialect(
        "DELETE FROM outbox WHERE id IN (SELECT value ->> 'id' FROM json_each($1))
            AND (EXISTS (SELECT 1 FROM outbox_done d WHERE d.id = outbox.id)
                 OR EXISTS (SELECT 1 FROM outbox_dead d WHERE d.id = outbox.id))",
        "DELETE FROM outbox WHERE id = ANY (ARRAY(SELECT value ->> 'id' FROM json_array_elements($1::json) AS j (value)))
            AND (EXISTS (SELECT 1 FROM outbox_done d WHERE d.id = outbox.id)
                 OR EXISTS (SELECT 1 FROM outbox_dead d WHERE d.id = outbox.id))",
    );
    let added = insert(tx, db, rows, times).await?;
    let ended = if added == 0 { 0 } else { tx.execute(ENDED, values![rows]).await? };
    Ok(added - ended)
}

fn rows(new: &[New<'_>]) -> DbResult<String> {
    Ok(serde_json::to_string(new).map_err(|fault| sqlx::Error::Encode(fault.into()))?)
}

fn row<'a>(id: &'a str, new: &'a NewTask, trace: Option<&'a str>) -> New<'a> {
    New { id, task: new.task, key: &new.key, payload: &new.payload, trace }
}

/// Enqueues a task with what causes it.
pub(in crate::store) async fn add(tx: &mut Tx, db: &Db, new: &NewTask, now: Millis) -> DbResult<()> {
    add_for_later(tx, db, new, Times { now, at: now }).await
}

/// Enqueues a task with what causes it, to be run at a time.
pub(in crate::store) async fn add_for_later(
    tx: &mut Tx,
    db: &Db,
    new: &NewTask,
    times: Times,
) -> DbResult<()> {
    let (id, trace) = (random::id(), trace::current());
    insert(tx, db, &rows(&[row(&id, new, trace.as_deref())])?, times).await?;
    Ok(())
}

/// A task under an id of its own.
#[derive(Serialize)]
pub(in crate::store) struct Later {
    pub(in crate::store) id: String,
    #[serde(flatten)]
    pub(in crate::store) task: NewTask,
}

/// Enqueues tasks with what causes them, to be run at a time; those whose id is known are none.
pub(in crate::store) async fn add_all_for_later(
    tx: &mut Tx,
    db: &Db,
    tasks: &[Later],
    times: Times,
) -> Result<()> {
    insert_once(tx, db, &json(&tasks)?, times).await?;
    Ok(())
}

/// Enqueues a task for later, under an id of its own; a second time is no task.
///
/// # Errors
/// The database's.
pub async fn enqueue_later(db: &Db, id: &str, new: &NewTask, at: Millis) -> Result<()> {
    let now = db.now().await?;
    let mut tx = db.begin().await?;
    insert_once(&mut tx, db, &rows(&[row(id, new, None)])?, Times { now, at }).await?;
    tx.commit().await?;
    Ok(())
}

/// Enqueues a task with what causes it, under an id; a second time is no task. Says whether it is new.
pub(in crate::store) async fn add_once(
    tx: &mut Tx,
    db: &Db,
    id: &str,
    new: &NewTask,
    now: Millis,
) -> DbResult<bool> {
    let trace = trace::current();
    let rows = rows(&[row(id, new, trace.as_deref())])?;
    Ok(insert_once(tx, db, &rows, Times { now, at: now }).await? > 0)
}

/// Enqueues a task under an id of the caller's choice; a second time is no task. Says whether it is new.
///
/// # Errors
/// The database's.
pub async fn enqueue_once(db: &Db, id: &str, task: &str, key: &str, payload: &str) -> Result<bool> {
    let (now, trace) = (db.now().await?, trace::current());
    let rows = rows(&[New { id, task, key, payload, trace: trace.as_deref() }])?;
    let mut tx = db.begin().await?;
    let added = insert_once(&mut tx, db, &rows, Times { now, at: now }).await?;
    tx.commit().await?;
    db.note_enqueued();
    Ok(added > 0)
}

/// Enqueues a scheduled task with what it is scheduled by; one under the same id is the same.
pub(in crate::store) async fn add_scheduled(
    tx: &mut Tx,
    db: &Db,
    (id, task, key, payload): (&str, &str, &str, &str),
    now: Millis,
) -> DbResult<()> {
    let rows = rows(&[New { id, task, key, payload, trace: None }])?;
    insert_once(tx, db, &rows, Times { now, at: now }).await?;
    Ok(())
}
