//! What was reported for ranks: one value a player and board, and whether it is still to be told.

use super::Db;
use super::engine::sql::values;
use super::outbox::{self, NewTask};
use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::chat::values::Keep;

/// A value as it was reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported {
    /// The value.
    pub value: i64,
    /// When it was reported.
    pub at: Millis,
}

/// Keeps a value, if it is newer or better than what is kept, and enqueues `told` for `gather_ms` later, if nothing is
/// enqueued yet. Says whether it was kept.
///
/// # Errors
/// The database's.
pub async fn report(
    db: &Db,
    (board, player): (&str, &str),
    (value, keep): (i64, Keep),
    told: &NewTask,
    gather_ms: Millis,
) -> Result<bool> {
    const PUT: &str = "INSERT INTO rank_report (board, player_id, value, reported_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (player_id, board) DO UPDATE SET value = excluded.value, reported_at = excluded.reported_at
        WHERE CASE $5 WHEN 'highest' THEN excluded.value > rank_report.value
                      WHEN 'lowest' THEN excluded.value < rank_report.value ELSE TRUE END";
    const WAIT: &str =
        "UPDATE rank_report SET pending = TRUE WHERE player_id = $1 AND board = $2 AND NOT pending";
    let mut tx = db.begin().await?;
    let now = db.now().await?;
    let kept = tx.execute(PUT, values![board, player, value, now, keep.as_str()]).await? > 0;
    if kept && tx.execute(WAIT, values![player, board]).await? > 0 {
        outbox::add_for_later(&mut tx, db, told, (now, now + gather_ms)).await?;
    }
    tx.commit().await?;
    Ok(kept)
}

/// What is to be told of a player and board now; a later report is told by another task. None where it was forgotten.
///
/// # Errors
/// The database's.
pub async fn take(db: &Db, (board, player): (&str, &str)) -> Result<Option<Reported>> {
    let sql = "UPDATE rank_report SET pending = FALSE WHERE player_id = $1 AND board = $2
               RETURNING value, reported_at";
    let rows: Vec<(i64, Millis)> = db.change(sql, values![player, board]).await?;
    Ok(rows.into_iter().next().map(|(value, at)| Reported { value, at }))
}
