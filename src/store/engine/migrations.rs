//! Which migrations a database records, held against those of this program: one rule for both databases.
//!
//! Until a release there is one first migration, which is edited in place; so a database that was made by another state of
//! it can't be brought to this one, and is refused with a sentence that says what to do. What a newer program recorded is
//! its own affair: the way back leads over its tables.

use sqlx::FromRow;
use sqlx::migrate::Migrator;

/// A migration that a database records.
#[derive(FromRow)]
pub(super) struct Recorded {
    version: i64,
    checksum: Vec<u8>,
}

impl Recorded {
    /// Stands for a record where tables are there without one.
    pub(super) const NONE: Self = Self { version: 0, checksum: Vec::new() };
}

/// These migrations, run beside what a newer program recorded.
pub(super) const fn ours(mut migrations: Migrator) -> Migrator {
    migrations.ignore_missing = true;
    migrations
}

/// How many of this program's migrations a database lacks.
///
/// # Errors
/// It was made by a state of the program that is no more; the text says so, and what to do instead.
pub(super) fn missing(ours: &Migrator, recorded: &[Recorded], instead: &str) -> Result<usize, String> {
    let Some(first) = ours.iter().next() else { return Ok(0) };
    let is_foreign = |row: &Recorded| {
        row.version < first.version || row.version == first.version && row.checksum != *first.checksum
    };
    if let Some(row) = recorded.iter().find(|row| is_foreign(row)) {
        let which = match row.version {
            0 => "no record of migrations".to_owned(),
            version => format!("migration {version}"),
        };
        return Err(format!(
            "the tables were made by an unreleased version of guildhall ({which}), which this one can't bring up to \
             date: {instead}"
        ));
    }
    Ok(ours.iter().filter(|step| recorded.iter().all(|row| row.version != step.version)).count())
}
