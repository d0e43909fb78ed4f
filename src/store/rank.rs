//! Values reported for ranks: one for each player and board, with a mark whether it is still to be told.

use super::Db;
use super::engine::sql::values;
use super::outbox::{self, NewTask};
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::chat::values::Keep;
use crate::store::life::{Erased, Exported, Kept, Life, ROWS};
use serde_json::{Value, json};

/// Boards on which one player has values.
const BOARDS: i64 = 100;

/// A value as it was reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported {
    /// The value.
    pub value: i64,
    /// Time of the report.
    pub at: Millis,
}

/// Keeps a value, if it is newer or better than what is kept, and enqueues `told` for `gather_ms` later, if nothing is
/// enqueued yet.
///
/// # Errors
/// [`Error::Conflict`] where the player has values on too many boards.
pub async fn report(
    db: &Db,
    (board, player): (&str, &str),
    (value, keep): (i64, Keep),
    told: &NewTask,
    gather_ms: Millis,
) -> Result<()> {
    const PUT: &str = "INSERT INTO rank_report (board, player_id, value, reported_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (player_id, board) DO UPDATE SET value = excluded.value, reported_at = excluded.reported_at
        WHERE CASE $5 WHEN 'highest' THEN excluded.value > rank_report.value
                      WHEN 'lowest' THEN excluded.value < rank_report.value ELSE TRUE END";
    const WAIT: &str =
        "UPDATE rank_report SET pending = TRUE WHERE player_id = $1 AND board = $2 AND NOT pending";
    const OTHERS: &str = "SELECT count(*) FROM rank_report WHERE player_id = $1 AND board <> $2";
    let now = db.now().await?;
    let mut tx = db.begin().await?;
    let (others,): (i64,) = tx.one(OTHERS, values![player, board]).await?;
    if others >= BOARDS {
        return Err(Error::Conflict(format!("a player has values on {BOARDS} boards at most").into()));
    }
    let kept = tx.execute(PUT, values![board, player, value, now, keep.as_str()]).await? > 0;
    if kept && tx.execute(WAIT, values![player, board]).await? > 0 {
        outbox::add_for_later(&mut tx, db, told, outbox::Times { now, at: now + gather_ms }).await?;
    }
    Ok(tx.commit().await?)
}

/// Takes the value that is to be told now of a player and board; a later report is told by another task. None where the
/// value was forgotten.
///
/// # Errors
/// The database's.
pub async fn take(db: &Db, (board, player): (&str, &str)) -> Result<Option<Reported>> {
    let sql = "UPDATE rank_report SET pending = FALSE WHERE player_id = $1 AND board = $2
               RETURNING value, reported_at";
    let rows: Vec<(i64, Millis)> = db.change(sql, values![player, board]).await?;
    Ok(rows.into_iter().next().map(|(value, at)| Reported { value, at }))
}

/// Forgets values of which no newer or better one came since a time. Says how many there were.
///
/// # Errors
/// The database's.
async fn forget(db: &Db, before: Millis, batch: i64) -> Result<u64> {
    let sql = "DELETE FROM rank_report WHERE (player_id, board) IN
               (SELECT player_id, board FROM rank_report WHERE reported_at < $1 ORDER BY reported_at LIMIT $2)
               AND reported_at < $1";
    Ok(db.execute(sql, values![before, batch]).await?)
}

/// Retention, export and erasure rules of values on boards.
pub(in crate::store) const LIFE: Life = Life {
    table: "rank_report",
    kept: Kept::Swept("366 days behind the last better one", |db, _, now| {
        Box::pin(forget(db, now - REMEMBER_MS, ROWS))
    }),
    exported: Exported::Rows("rank", |db, player| Box::pin(exported(db, player))),
    erased: &[Erased::By("DELETE FROM rank_report WHERE player_id = $1")],
    stays: &[],
};

/// Milliseconds for which a value on a board is kept while no newer or better one comes: 366 days.
const REMEMBER_MS: Millis = 366 * 86_400_000;

async fn exported(db: &Db, player: &str) -> Result<Vec<Value>> {
    let sql = "SELECT board, value, reported_at FROM rank_report WHERE player_id = $1 ORDER BY board";
    let rows: Vec<(String, i64, Millis)> = db.all(sql, values![player]).await?;
    Ok(rows
        .into_iter()
        .map(|(board, value, at)| json!({ "board": board, "value": value, "at": at }))
        .collect())
}
