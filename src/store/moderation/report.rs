//! Reports: what players say is wrong. The first about a subject opens a case, later ones join it.

use schemars::JsonSchema;
use serde::Serialize;
use sqlx::FromRow;

use super::case::{self, About};
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::base::random;
use crate::chat::identity::Identity;
use crate::chat::reports::Category;
use crate::store::Db;
use crate::store::engine::sql::{Tx, values};
use crate::store::life::{Erased, Exported, Kept, Life};
use serde_json::{Value, json};

/// Reports that a player may make in an hour.
const AN_HOUR: i64 = 10;
const HOUR_MS: Millis = 3_600_000;

/// A report that is stored.
#[derive(Clone, Debug, Serialize, JsonSchema, FromRow)]
pub struct Reported {
    /// The report's id.
    pub id: String,
    /// Time of the report, in milliseconds since 1970-01-01 UTC.
    pub at: Millis,
}

/// A report, as moderators see it.
#[derive(Debug, Serialize, JsonSchema, FromRow)]
pub struct Report {
    /// The report's id.
    pub id: String,
    /// Id of the player who made the report.
    pub reporter: String,
    /// Category that the reporter chose.
    pub category: String,
    /// Text, in the reporter's words.
    pub text: Option<String>,
    /// Time of the report, in milliseconds since 1970-01-01 UTC.
    pub at: Millis,
}

/// Stores a report; a player's second one on a subject is their first.
///
/// # Errors
/// [`Error::RateLimited`] for the eleventh in an hour.
pub async fn report(
    db: &Db,
    reporter: &Identity,
    about: &About,
    (category, text): (Category, Option<&str>),
) -> Result<Reported> {
    let subject = about.subject();
    if let Some(earlier) = earlier(db, reporter, &subject).await? {
        return Ok(earlier);
    }
    let now = db.now().await?;
    let weight = weight(db, reporter).await?;
    let mut tx = db.begin().await?;
    tx.lock_name(&format!("report {}", reporter.id)).await?;
    check_limit(&mut tx, reporter, now).await?;
    let case_id = case::join(&mut tx, about, weight, now).await?;
    let stored: Option<Reported> = tx
        .optional(
            "INSERT INTO report (id, reporter, subject, player_id, category, text, at, case_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING id, at",
            values![
                &random::id(),
                reporter.id.as_str(),
                &subject,
                &about.player,
                category.as_str(),
                text,
                now,
                &case_id
            ],
        )
        .await?;
    match stored {
        Some(stored) => {
            tx.commit().await?;
            Ok(stored)
        }
        // The same player's other call came first in the same moment; this one changes nothing.
        None => {
            drop(tx);
            earlier(db, reporter, &subject).await?.ok_or(Error::Unavailable("reports can't be stored now"))
        }
    }
}

async fn earlier(db: &Db, reporter: &Identity, subject: &str) -> Result<Option<Reported>> {
    let sql = "SELECT id, at FROM report WHERE reporter = $1 AND subject = $2";
    Ok(db.optional(sql, values![reporter.id.as_str(), subject]).await?)
}

async fn check_limit(tx: &mut Tx, reporter: &Identity, now: Millis) -> Result<()> {
    let newest: Vec<(Millis,)> = tx
        .all(
            "SELECT at FROM report WHERE reporter = $1 AND at > $2 ORDER BY at DESC LIMIT $3",
            values![reporter.id.as_str(), now - HOUR_MS, AN_HOUR],
        )
        .await?;
    match newest.last() {
        Some((oldest,)) if newest.len() as i64 == AN_HOUR => Err(Error::RateLimited {
            reason: "reports",
            message: "too many reports",
            retry_after_s: (oldest + HOUR_MS - now).max(1).unsigned_abs().div_ceil(1_000),
        }),
        _ => Ok(()),
    }
}

/// Returns the number of players who have reported a subject since a time, in its open case.
///
/// # Errors
/// The database's.
pub async fn reporters_since(db: &Db, about: &About, since: Millis) -> Result<usize> {
    let count: Option<(i64,)> = db
        .optional(
            "SELECT count(*) FROM report_case c JOIN report r ON r.case_id = c.id
             WHERE c.subject = $1 AND c.state <> 'decided' AND r.at > $2",
            values![&about.subject(), since],
        )
        .await?;
    Ok(count.map_or(0, |(count,)| count as usize))
}

/// Two, or one for somebody whose reports were mostly dismissed.
async fn weight(db: &Db, reporter: &Identity) -> Result<i64> {
    const ENOUGH: i64 = 4;
    let row: Option<(i64, i64)> = db
        .optional(
            "SELECT count(*), count(CASE WHEN decision = 'dismiss' THEN 1 END) FROM (
                 SELECT c.decision FROM report r JOIN report_case c ON c.id = r.case_id
                 WHERE r.reporter = $1 AND c.state = 'decided' ORDER BY r.at DESC LIMIT 20) last",
            values![reporter.id.as_str()],
        )
        .await?;
    let (decided, dismissed) = row.unwrap_or_default();
    Ok(if decided >= ENOUGH && dismissed * 2 > decided { 1 } else { 2 })
}

/// A case's reports, the first ones first.
///
/// # Errors
/// The database's.
pub async fn of_case(db: &Db, case_id: &str) -> Result<Vec<Report>> {
    const MOST: i64 = 100;
    let sql = "SELECT id, reporter, category, text, at FROM report WHERE case_id = $1 ORDER BY id LIMIT $2";
    Ok(db.all(sql, values![case_id, MOST]).await?)
}

/// Returns the end of a report, for the one who made it: the case's decision.
///
/// # Errors
/// [`Error::NotFound`] where there is none.
pub async fn decision(db: &Db, id: &str) -> Result<String> {
    let row: Option<(Option<String>,)> = db
        .optional(
            "SELECT c.decision FROM report r JOIN report_case c ON c.id = r.case_id WHERE r.id = $1",
            values![id],
        )
        .await?;
    row.and_then(|(decision,)| decision).ok_or(Error::NotFound("report"))
}

/// A report, as it stands in somebody's record.
#[derive(Debug, Serialize, JsonSchema, FromRow)]
pub struct MadeReport {
    /// The report's id.
    pub id: String,
    /// Id of the player who made the report.
    pub reporter: String,
    /// Id of the player whom the report is about.
    pub player: String,
    /// Category that the reporter chose.
    pub category: String,
    /// Time of the report, in milliseconds since 1970-01-01 UTC.
    pub at: Millis,
    /// Id of the report's case.
    #[serde(rename = "case")]
    pub case_id: String,
}

macro_rules! select_made {
    ($rest:literal) => {
        concat!("SELECT id, reporter, player_id AS player, category, at, case_id FROM report ", $rest)
    };
}

/// Reports are counted so far.
const COUNTED: i64 = 10_000;

/// The newest reports about a player.
///
/// # Errors
/// The database's.
pub async fn about(db: &Db, player: &str, limit: i64) -> Result<Vec<MadeReport>> {
    let sql = select_made!("WHERE player_id = $1 ORDER BY id DESC LIMIT $2");
    Ok(db.all(sql, values![player, limit]).await?)
}

/// The newest reports by a player.
///
/// # Errors
/// The database's.
pub async fn made_by(db: &Db, player: &str, limit: i64) -> Result<Vec<MadeReport>> {
    let sql = select_made!("WHERE reporter = $1 ORDER BY at DESC LIMIT $2");
    Ok(db.all(sql, values![player, limit]).await?)
}

/// Returns the number of reports about a player, and by them; 10,000 where there are more.
///
/// # Errors
/// The database's.
pub async fn counts(db: &Db, player: &str) -> Result<(i64, i64)> {
    let row = db
        .optional(
            "SELECT (SELECT count(*) FROM (SELECT 1 FROM report WHERE player_id = $1 LIMIT $2) AS about),
                    (SELECT count(*) FROM (SELECT 1 FROM report WHERE reporter = $1 LIMIT $2) AS made)",
            values![player, COUNTED],
        )
        .await?;
    Ok(row.unwrap_or_default())
}

/// Reports of a case behind one, with who made them.
///
/// # Errors
/// The database's.
pub async fn of_case_behind(db: &Db, case: &str, after: &str, limit: i64) -> Result<Vec<(String, String)>> {
    let sql = "SELECT id, reporter FROM report WHERE case_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    Ok(db.all(sql, values![case, after, limit]).await?)
}

/// Retention, export and erasure rules of reports.
pub(in crate::store) const LIFE: Life = Life {
    table: "report",
    kept: Kept::Until("for good"),
    exported: Exported::Rows("report", |db, player| Box::pin(exported(db, player))),
    erased: &[
        Erased::Renamed(
            "UPDATE report SET reporter = $2, text = NULL
             WHERE id IN (SELECT id FROM report WHERE reporter = $1 ORDER BY at LIMIT $3)",
        ),
        Erased::Renamed(
            "UPDATE report SET player_id = $2,
                 subject = CASE subject WHEN 'player ' || $1 THEN 'player ' || $2 ELSE subject END
             WHERE id IN (SELECT id FROM report WHERE player_id = $1 ORDER BY id LIMIT $3)",
        ),
    ],
    stays: &[],
};

async fn exported(db: &Db, player: &str) -> Result<Vec<Value>> {
    let sql = "SELECT subject, category, text, at FROM report WHERE reporter = $1 ORDER BY id";
    let rows: Vec<(String, String, Option<String>, Millis)> = db.all(sql, values![player]).await?;
    let row = |(subject, category, text, at)| json!({ "subject": subject, "category": category, "text": text, "at": at });
    Ok(rows.into_iter().map(row).collect())
}
