//! The processes that hold sockets: each says that it lives, and those that were silent too long are gone.

use super::Db;
use super::engine::sql::values;
use crate::base::clock::Millis;
use crate::base::error::Result;

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

/// Forgets a process and who was online there.
///
/// # Errors
/// The database's.
pub async fn leave(db: &Db, id: &str) -> Result<()> {
    for statement in ["DELETE FROM process WHERE id = $1", "DELETE FROM online WHERE process_id = $1"] {
        db.execute(statement, values![id]).await?;
    }
    Ok(())
}

/// Forgets the processes that said nothing since a time.
///
/// # Errors
/// The database's.
pub async fn forget_silent(db: &Db, since: Millis) -> Result<()> {
    let silent: Vec<(String,)> = db.all("SELECT id FROM process WHERE seen_at < $1", values![since]).await?;
    for (id,) in silent {
        leave(db, &id).await?;
    }
    Ok(())
}
