//! Time up to which retention has deleted: a row for each part of it, and one for the time up to which it believes the
//! clock.

use super::Db;
use super::engine::sql::values;
use crate::base::clock::Millis;
use crate::base::error::Result;

/// Name of the row that holds the time up to which retention believes the clock.
pub const BELIEVED: &str = "";

/// Returns the time up to which the last run went; none before the first run.
///
/// # Errors
/// The database's.
pub async fn last(db: &Db) -> Result<Option<Millis>> {
    let last: Option<(Millis,)> =
        db.optional("SELECT until FROM retention WHERE part = $1", values![BELIEVED]).await?;
    Ok(last.map(|(until,)| until))
}

/// Notes the time up to which a part is done; an earlier one than the last, where the clock was wrong then.
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

/// Returns the time up to which each part is done.
///
/// # Errors
/// The database's.
pub async fn parts(db: &Db) -> Result<Vec<(String, Millis)>> {
    Ok(db.all("SELECT part, until FROM retention WHERE part <> $1 ORDER BY part", values![BELIEVED]).await?)
}

/// Retention, export and erasure rules of the progress of retention.
pub(in crate::store) const LIFE: Life = Life {
    table: "retention",
    kept: Kept::Until("for good"),
    exported: crate::store::life::NOBODYS,
    erased: &[],
    stays: &[],
};
use crate::store::life::{Kept, Life};
