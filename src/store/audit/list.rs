//! Lists of what was done: about somebody, by somebody, of one sort.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::FromRow;

use super::Row;
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::chat::identity::Scope;
use crate::store::Db;
use crate::store::engine::sql::values;

/// A row of the audit, as it is shown.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditEntry")]
pub struct AuditRow {
    /// Number of the entry. Later entries have higher numbers; some numbers may be missing.
    pub n: i64,
    /// Time of the action, in milliseconds since 1970-01-01 UTC.
    pub at: Millis,
    /// Key of the one who acted; an alias once that player was erased.
    pub by: String,
    /// Scope that the one who acted had.
    pub scope: Scope,
    /// Action that was done, such as `sanction.give`.
    pub action: String,
    /// Player whom the action was about.
    pub player: Option<String>,
    /// Details of the action; the fields depend on `action`.
    #[schemars(with = "serde_json::Map<String, Value>")]
    pub detail: Box<RawValue>,
    /// Reason, in a person's words; absent once it was erased.
    pub text: Option<String>,
    /// Id of the request, to find it in the logs.
    pub request_id: Option<String>,
    /// Hash of the chain up to this entry; absent for a moment after the entry was written.
    pub hash: Option<String>,
}

/// A filter for audit rows, with the size of a page.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuditFilter<'a> {
    /// The player whom the rows are about.
    pub player: Option<&'a str>,
    /// Key of the one who acted.
    pub by: Option<&'a str>,
    /// Action that was done.
    pub action: Option<&'a str>,
    /// Cursor: only rows with a higher number.
    pub after: i64,
    /// Number of rows at most.
    pub limit: i64,
}

#[derive(FromRow)]
struct Found {
    #[sqlx(flatten)]
    row: Row,
    by: Option<String>,
    player: Option<String>,
    said: Option<String>,
    hash: Option<String>,
}

macro_rules! select_found {
    ($rest:literal) => {
        concat!(
            "SELECT a.n, a.at, a.by_alias, a.scope, a.action, a.alias, a.detail, a.text, a.request_id, ",
            "b.player_id AS by, p.player_id AS player, t.text AS said, s.hash ",
            "FROM audit a LEFT JOIN audit_seal s ON s.n = a.n LEFT JOIN audit_alias b ON b.alias = a.by_alias ",
            "LEFT JOIN audit_alias p ON p.alias = a.alias LEFT JOIN audit_text t ON t.digest = a.text ",
            $rest
        )
    };
}

/// Rows, in the order in which they were written.
///
/// # Errors
/// The database's.
pub async fn list(db: &Db, wanted: AuditFilter<'_>) -> Result<Vec<AuditRow>> {
    let AuditFilter { player, by, action, after, limit } = wanted;
    let sql = match (player, by, action) {
        (Some(_), None, None) => select_found!(
            "WHERE a.alias = (SELECT alias FROM audit_alias WHERE player_id = $1)
             AND $2 IS NULL AND $3 IS NULL AND a.n > $4 ORDER BY a.n LIMIT $5"
        ),
        (Some(_), None, Some(_)) => select_found!(
            "WHERE a.alias = (SELECT alias FROM audit_alias WHERE player_id = $1)
             AND $2 IS NULL AND a.action = $3 AND a.n > $4 ORDER BY a.n LIMIT $5"
        ),
        (Some(_), Some(_), _) => select_found!(
            "WHERE a.alias = (SELECT alias FROM audit_alias WHERE player_id = $1)
             AND a.by_alias = (SELECT alias FROM audit_alias WHERE player_id = $2)
             AND ($3 IS NULL OR a.action = $3) AND a.n > $4 ORDER BY a.n LIMIT $5"
        ),
        (None, Some(_), None) => select_found!(
            "WHERE $1 IS NULL AND a.by_alias = (SELECT alias FROM audit_alias WHERE player_id = $2)
             AND $3 IS NULL AND a.n > $4 ORDER BY a.n LIMIT $5"
        ),
        (None, Some(_), Some(_)) => select_found!(
            "WHERE $1 IS NULL AND a.by_alias = (SELECT alias FROM audit_alias WHERE player_id = $2)
             AND a.action = $3 AND a.n > $4 ORDER BY a.n LIMIT $5"
        ),
        (None, None, Some(_)) => {
            select_found!(
                "WHERE $1 IS NULL AND $2 IS NULL AND a.action = $3 AND a.n > $4 ORDER BY a.n LIMIT $5"
            )
        }
        (None, None, None) => {
            select_found!("WHERE $1 IS NULL AND $2 IS NULL AND $3 IS NULL AND a.n > $4 ORDER BY a.n LIMIT $5")
        }
    };
    let found: Vec<Found> = db.all(sql, values![player, by, action, after, limit]).await?;
    found.into_iter().map(shown).collect()
}

/// The newest rows, of one player or of all, in the order in which they were written.
///
/// # Errors
/// The database's.
pub async fn newest(db: &Db, player: Option<&str>, limit: i64) -> Result<Vec<AuditRow>> {
    let sql = match player {
        Some(_) => select_found!(
            "WHERE a.alias = (SELECT alias FROM audit_alias WHERE player_id = $1) ORDER BY a.n DESC LIMIT $2"
        ),
        None => select_found!("WHERE $1 IS NULL ORDER BY a.n DESC LIMIT $2"),
    };
    let found: Vec<Found> = db.all(sql, values![player, limit]).await?;
    found.into_iter().rev().map(shown).collect()
}

fn shown(found: Found) -> Result<AuditRow> {
    let Found { row, by, player, said, hash } = found;
    Ok(AuditRow {
        n: row.n,
        at: row.at,
        by: by.unwrap_or(row.by_alias),
        scope: Scope::from_word(&row.scope).ok_or_else(|| Error::internal("a scope"))?,
        action: row.action,
        player: player.or(row.alias),
        detail: RawValue::from_string(row.detail).map_err(Error::internal)?,
        text: said,
        request_id: row.request_id,
        hash,
    })
}
