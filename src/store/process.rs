//! The processes that hold sockets: each says that it lives, and those that were silent too long are gone.

use super::Db;
use super::engine::sql::values;
use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::store::life::{Kept, Life};

/// Players that one step forgets.
const STEP: i64 = 1_000;

/// A process that holds sockets from now on.
///
/// # Errors
/// The database's.
pub async fn enter(db: &Db, id: &str, now: Millis) -> Result<()> {
    db.execute("INSERT INTO process (id, seen_at) VALUES ($1, $2)", values![id, now]).await?;
    Ok(())
}

/// Says that a process lives. False where it is not known, or was taken for gone.
///
/// # Errors
/// The database's.
pub async fn renew(db: &Db, id: &str, now: Millis) -> Result<bool> {
    Ok(db.execute("UPDATE process SET seen_at = $2 WHERE id = $1", values![id, now]).await? > 0)
}

/// Forgets a process and who was online there, some at a time.
///
/// # Errors
/// The database's.
pub async fn leave(db: &Db, id: &str) -> Result<()> {
    const PLAYERS: &str = "DELETE FROM online WHERE process_id = $1 AND player_id IN
        (SELECT player_id FROM online WHERE process_id = $1 ORDER BY player_id LIMIT $2)";
    // Players first: without its process's row nobody would look for theirs.
    while db.execute(PLAYERS, values![id, STEP]).await? > 0 {}
    db.execute("DELETE FROM process WHERE id = $1", values![id]).await?;
    Ok(())
}

/// Forgets the processes that said nothing since a time, and players of processes that are not there.
///
/// # Errors
/// The database's.
pub async fn forget_silent(db: &Db, since: Millis) -> Result<()> {
    // From one process's players to the next one's: as many steps as there are processes.
    const STRAY: &str = "WITH RECURSIVE there (id) AS (
            SELECT min(process_id) FROM online
            UNION ALL SELECT (SELECT min(process_id) FROM online WHERE process_id > there.id) FROM there
                WHERE there.id IS NOT NULL
        ) SELECT id FROM there WHERE id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM process p WHERE p.id = there.id)";
    let silent: Vec<(String,)> = db.all("SELECT id FROM process WHERE seen_at < $1", values![since]).await?;
    // Left by one who was gone before it could say so for all of them.
    let stray: Vec<(String,)> = db.all(STRAY, &[]).await?;
    for (id,) in silent.into_iter().chain(stray) {
        leave(db, &id).await?;
    }
    Ok(())
}

/// Retention, export and erasure rules of processes.
pub(in crate::store) const LIFE: Life = Life {
    table: "process",
    kept: Kept::Until("until others find it gone"),
    exported: crate::store::life::NOBODYS,
    erased: &[],
    stays: &[],
};
