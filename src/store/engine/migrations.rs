//! The migrations that a database records, compared with those of this program: one rule for both databases.
//!
//! Until a release there is one first migration, which is edited in place; so a database that was made by another state of
//! it can't be brought to this one, and is refused with a sentence that says what to do. What a newer program recorded is
//! its own affair: the way back leads over its tables.

use sqlx::FromRow;
use sqlx::migrate::{MigrateError, Migration, Migrator};

use super::text;

/// A migration that a database records.
#[derive(FromRow)]
pub(super) struct Recorded {
    version: i64,
    checksum: Vec<u8>,
    success: bool,
}

/// Query for all migrations that are recorded.
pub(super) const RECORDED: &str = "SELECT version, checksum, success FROM _sqlx_migrations";

/// Table that records migrations.
pub(super) const TABLE: &str = "_sqlx_migrations";

/// Those of this program's migrations that a database lacks, which may have tables of guildhall's.
///
/// # Errors
/// It was made by a state of the program that is no more, or one of ours failed on it half-way; the text says so, and what
/// to do `instead`.
pub(super) fn missing(
    ours: &'static Migrator,
    (has_tables, recorded): (bool, &[Recorded]),
    instead: &str,
) -> Result<Vec<&'static Migration>, String> {
    let Some(first) = ours.iter().next() else { return Ok(Vec::new()) };
    let is_foreign = |row: &&Recorded| {
        let is_other = |step: &Migration| step.version == row.version && *step.checksum != row.checksum;
        row.version < first.version || ours.iter().any(is_other)
    };
    let has_first = recorded.iter().any(|row| row.version == first.version);
    let which = match recorded.iter().find(is_foreign) {
        Some(row) => Some(format!("migration {}", row.version)),
        None if (has_tables || !recorded.is_empty()) && !has_first => {
            Some("no record of the first migration".to_owned())
        }
        None if has_first && !has_tables => Some("the first migration, and none of its tables".to_owned()),
        None => None,
    };
    if let Some(which) = which {
        return Err(format!(
            "what is there was made by an unreleased version of guildhall or by another program ({which}), and can't be \
             brought up to date: {instead}"
        ));
    }
    let of_step = |version| recorded.iter().find(move |row| row.version == version);
    if let Some(step) = ours.iter().find(|step| of_step(step.version).is_some_and(|row| !row.success)) {
        return Err(format!(
            "migration {} failed half-way: undo what it left, delete its row from _sqlx_migrations, and migrate again",
            step.version
        ));
    }
    Ok(ours.iter().filter(|step| of_step(step.version).is_none()).collect())
}

/// Returns, on one line, the reason why a migration failed.
pub(super) fn fault_text(fault: &MigrateError) -> String {
    match fault {
        MigrateError::Execute(fault) => text(fault),
        MigrateError::ExecuteMigration(fault, version) => format!("migration {version}: {}", text(fault)),
        other => other.to_string(),
    }
}
