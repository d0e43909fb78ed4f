//! Enqueueing a task: with what causes it, once under an id, or for later. (Tasks that follow a message go with its batch.)

use serde::Serialize;

use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::base::{random, trace};
use crate::store::engine::sql::{Sql, Tx, by_dialect, values};
use crate::store::{Db, json};

/// A task that follows something else than a message.
#[derive(Debug, Serialize)]
pub struct NewTask {
    /// The task's name.
    pub task: &'static str,
    /// Its key.
    pub key: String,
    /// Its fields, as JSON.
    pub payload: String,
}

/// Enqueues a task with what causes it.
pub(in crate::store) async fn add(tx: &mut Tx, db: &Db, new: &NewTask, now: Millis) -> sqlx::Result<()> {
    add_for_later(tx, db, new, (now, now)).await
}

/// Enqueues a task with what causes it, to be run at a time.
pub(in crate::store) async fn add_for_later(
    tx: &mut Tx,
    db: &Db,
    new: &NewTask,
    (now, at): (Millis, Millis),
) -> sqlx::Result<()> {
    let (id, trace) = (random::id(), trace::current());
    tx.execute(
        "INSERT INTO outbox (id, task, key, payload, created_at, not_before, stage, trace)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        values![&id, new.task, &new.key, &new.payload, now, at, db.stage, trace.as_deref()],
    )
    .await?;
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
    (now, at): (Millis, Millis),
) -> Result<()> {
    const TASKS: Sql = by_dialect(
        "INSERT INTO outbox (id, task, key, payload, created_at, not_before, stage)
         SELECT value ->> 'id', value ->> 'task', value ->> 'key', value ->> 'payload', $2, $3, $4 FROM json_each($1)
         WHERE TRUE ON CONFLICT DO NOTHING",
        "INSERT INTO outbox (id, task, key, payload, created_at, not_before, stage)
         SELECT value ->> 'id', value ->> 'task', value ->> 'key', value ->> 'payload', $2, $3, $4
         FROM json_array_elements($1::json) AS j (value) ORDER BY 1 ON CONFLICT DO NOTHING",
    );
    tx.execute(TASKS, values![&json(&tasks)?, now, at, db.stage]).await?;
    Ok(())
}

/// Enqueues a task for later, under an id of its own; a second time is no task.
///
/// # Errors
/// The database's.
pub async fn enqueue_later(db: &Db, id: &str, new: &NewTask, at: Millis) -> Result<()> {
    db.execute(
        "INSERT INTO outbox (id, task, key, payload, created_at, not_before, stage)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        values![id, new.task, &new.key, &new.payload, db.now().await?, at, db.stage],
    )
    .await?;
    Ok(())
}

/// Enqueues a task with what causes it, under an id; a second time is no task. Says whether it is new.
pub(in crate::store) async fn add_once(
    tx: &mut Tx,
    db: &Db,
    id: &str,
    new: &NewTask,
    now: Millis,
) -> sqlx::Result<bool> {
    let added = tx
        .execute(
            "INSERT INTO outbox (id, task, key, payload, created_at, not_before, stage, trace)
             VALUES ($1, $2, $3, $4, $5, $5, $6, $7) ON CONFLICT DO NOTHING",
            values![id, new.task, &new.key, &new.payload, now, db.stage, trace::current().as_deref()],
        )
        .await?;
    Ok(added > 0)
}

/// Enqueues a task under an id of the caller's choice; a second time is no task. Says whether it is new.
///
/// # Errors
/// The database's.
pub async fn enqueue_once(db: &Db, id: &str, task: &str, key: &str, payload: &str) -> Result<bool> {
    let added = db
        .execute(
            "INSERT INTO outbox (id, task, key, payload, created_at, not_before, stage, trace)
         VALUES ($1, $2, $3, $4, $5, $5, $6, $7) ON CONFLICT DO NOTHING",
            values![id, task, key, payload, db.now().await?, db.stage, trace::current().as_deref()],
        )
        .await?;
    db.note_enqueued();
    Ok(added > 0)
}
