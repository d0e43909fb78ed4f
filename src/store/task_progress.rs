//! Progress and results of slow tasks.

use serde_json::Value;
use serde_json::value::RawValue;

use super::Db;
use super::engine::sql::{Tx, values};
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::store::engine::DbResult;
use crate::store::life::{Kept, Life, ROWS};

/// Notes how far a task is.
///
/// # Errors
/// The database's.
pub async fn note(db: &Db, task_id: &str, said: &Value) -> Result<()> {
    db.execute(NOTE, values![task_id, &said.to_string(), db.now().await?]).await?;
    Ok(())
}

/// Notes it with what it did.
pub(in crate::store) async fn note_with(
    tx: &mut Tx,
    task_id: &str,
    said: &Value,
    now: Millis,
) -> DbResult<()> {
    tx.execute(NOTE, values![task_id, &said.to_string(), now]).await?;
    Ok(())
}

const NOTE: &str = "INSERT INTO task_progress (task_id, said, at) VALUES ($1, $2, $3)
     ON CONFLICT (task_id) DO UPDATE SET said = excluded.said, at = excluded.at";

/// Returns a task's progress; none where the task reported nothing yet.
///
/// # Errors
/// The database's.
pub async fn of(db: &Db, task_id: &str) -> Result<Option<Box<RawValue>>> {
    let sql = "SELECT said FROM task_progress WHERE task_id = $1";
    let said: Option<(String,)> = db.optional(sql, values![task_id]).await?;
    said.map(|(said,)| RawValue::from_string(said)).transpose().map_err(Error::internal)
}

/// Forgets what was noted before a time, `batch` at most. Says how many.
///
/// # Errors
/// The database's.
async fn forget(db: &Db, before: Millis, batch: i64) -> Result<u64> {
    let sql = "DELETE FROM task_progress WHERE task_id IN
               (SELECT task_id FROM task_progress WHERE at < $1 ORDER BY at LIMIT $2) AND at < $1";
    Ok(db.execute(sql, values![before, batch]).await?)
}

/// Retention, export and erasure rules of the progress of tasks.
pub(in crate::store) const LIFE: Life = Life {
    table: "task_progress",
    kept: Kept::Swept("30 days", |db, _, now| Box::pin(forget(db, now - REMEMBER_MS, ROWS))),
    exported: crate::store::life::NOBODYS,
    erased: &[],
    stays: &[],
};
/// Milliseconds for which a task's progress is kept: 30 days.
const REMEMBER_MS: Millis = 30 * 86_400_000;
