//! Up to which time retention has deleted: a row for each part of it, and one for how far it believes the clock.

use super::Db;
use super::engine::sql::values;
use crate::base::clock::Millis;
use crate::base::error::Result;

/// How far it believes the clock.
pub const BELIEVED: &str = "";

/// Up to when a run went; none before the first.
///
/// # Errors
/// The database's.
pub async fn last(db: &Db) -> Result<Option<Millis>> {
    let last: Option<(Millis,)> =
        db.optional("SELECT until FROM retention WHERE part = $1", values![BELIEVED]).await?;
    Ok(last.map(|(until,)| until))
}

/// Notes up to when a part is done; earlier than the last time, where the clock was wrong then.
///
/// # Errors
/// The database's.
pub async fn note(db: &Db, part: &str, until: Millis) -> Result<()> {
    db.execute(
        "INSERT INTO retention (part, until) VALUES ($1, $2) ON CONFLICT (part) DO UPDATE SET until = excluded.until",
        values![part, until],
    )
    .await?;
    Ok(())
}

/// Up to when each part is done.
///
/// # Errors
/// The database's.
pub async fn parts(db: &Db) -> Result<Vec<(String, Millis)>> {
    Ok(db.all("SELECT part, until FROM retention WHERE part <> $1 ORDER BY part", values![BELIEVED]).await?)
}

/// What becomes of how far retention is.
pub(in crate::store) const LIFE: Life = Life {
    table: "retention",
    kept: Kept::Until("for good"),
    exported: crate::store::life::NOBODYS,
    erased: &[],
    stays: &[],
};
use crate::store::life::{Kept, Life};
