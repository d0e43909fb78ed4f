//! Up to which time retention has deleted: one row.

use super::Db;
use super::engine::sql::values;
use crate::base::clock::Millis;
use crate::base::error::Result;

/// Where the last run ended; none before the first.
///
/// # Errors
/// The database's.
pub async fn last(db: &Db) -> Result<Option<Millis>> {
    let last: Option<(Millis,)> = db.optional("SELECT until FROM retention WHERE id = 1", values![]).await?;
    Ok(last.map(|(until,)| until))
}

/// Notes where a run ended; earlier than the last one, where the clock was wrong then.
///
/// # Errors
/// The database's.
pub async fn note(db: &Db, until: Millis) -> Result<()> {
    db.execute(
        "INSERT INTO retention (id, until) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET until = excluded.until",
        values![until],
    )
    .await?;
    Ok(())
}
