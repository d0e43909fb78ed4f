//! Cases: all open reports about one message or one player, with the evidence, from the first report to the decision.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use sqlx::FromRow;

use super::By;
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::base::random;
use crate::chat::reports::Decision;
use crate::chat::states::CaseState;
use crate::store::Db;
use crate::store::channel::Channel;
use crate::store::engine::sql::{Sql, Tx, by_dialect, values};
use crate::store::life::{Erased, Exported, Kept, Life, ROWS};
use crate::store::message::{self, Neighbours};

/// Milliseconds for which a claim holds: half an hour.
pub(super) const CLAIM_MS: Millis = 30 * 60_000;
/// Messages before and after a reported one that are kept with it.
const AROUND: i64 = 10;

/// The subject of a report: a message or a player.
#[derive(Debug)]
pub struct About {
    /// Id of the player whom the report is about: the message's author, or the reported player.
    pub player: String,
    message: Option<(String, i64, String)>,
}

impl About {
    /// A player, rather than something they said.
    pub fn player(player: &str) -> Self {
        Self { player: player.to_owned(), message: None }
    }

    /// A message, copied as it is now with what was said around it.
    ///
    /// # Errors
    /// [`Error::NotFound`] where nothing was said under that number.
    pub async fn message(db: &Db, channel: &Channel, seq: i64) -> Result<Self> {
        let Neighbours { sender, message, original, before, after } =
            message::neighbours(db, channel, seq, AROUND).await?;
        let evidence = json!({ "message": message, "original": original, "before": before, "after": after });
        Ok(Self { player: sender, message: Some((channel.id.clone(), seq, evidence.to_string())) })
    }

    /// Returns the subject's text, which is the same for all reports about the same message or player.
    pub(super) fn subject(&self) -> String {
        match &self.message {
            Some((channel, seq, _)) => format!("message {channel} {seq}"),
            None => format!("player {}", self.player),
        }
    }
}

/// Counts a report for the open case about a subject; the first one opens it. Says which case that is.
pub(super) async fn join(tx: &mut Tx, about: &About, weight: i64, now: Millis) -> Result<String> {
    const JOIN: &str = "UPDATE report_case SET reports = reports + 1, weight = weight + $2
         WHERE subject = $1 AND state <> 'decided' RETURNING id";
    let subject = about.subject();
    if let Some((id,)) = tx.optional(JOIN, values![&subject, weight]).await? {
        return Ok(id);
    }
    if let Some(id) = open(tx, about, Reported { count: 1, weight }, now).await? {
        return Ok(id);
    }
    // Another report opened it in the same moment.
    let joined: Option<(String,)> = tx.optional(JOIN, values![&subject, weight]).await?;
    joined.map(|(id,)| id).ok_or(Error::Unavailable("reports can't be stored now"))
}

/// Opens a case that nobody reported, which weighs less than any that somebody did. None where there is one.
pub(super) async fn open_unreported(tx: &mut Tx, about: &About, now: Millis) -> Result<Option<String>> {
    open(tx, about, Reported { count: 0, weight: 0 }, now).await
}

/// Reports with which a case begins, and their weight.
#[derive(Clone, Copy)]
struct Reported {
    count: i64,
    weight: i64,
}

async fn open(tx: &mut Tx, about: &About, reported: Reported, now: Millis) -> Result<Option<String>> {
    let message = about.message.as_ref();
    let opened: Option<(String,)> = tx
        .optional(
            "INSERT INTO report_case (id, subject, player_id, channel, seq, state, opened_at, reports, weight, evidence)
             VALUES ($1, $2, $3, $4, $5, 'open', $6, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING id",
            values![
                &random::id(),
                &about.subject(),
                &about.player,
                message.map(|(channel, ..)| channel.as_str()),
                message.map(|(_, seq, _)| *seq),
                now,
                reported.count,
                reported.weight,
                message.map(|(.., evidence)| evidence.as_str())
            ],
        )
        .await?;
    Ok(opened.map(|(id,)| id))
}

#[derive(FromRow)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) player_id: String,
    pub(super) channel: Option<String>,
    pub(super) seq: Option<i64>,
    #[sqlx(try_from = "String")]
    pub(super) state: CaseState,
    pub(super) opened_at: Millis,
    pub(super) reports: i64,
    pub(super) claimed_by: Option<String>,
    pub(super) claimed_at: Option<Millis>,
    pub(super) claim_nonce: Option<String>,
    pub(super) decided_by: Option<String>,
    pub(super) decided_at: Option<Millis>,
    pub(super) decide_nonce: Option<String>,
    pub(super) decision: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) sanction_id: Option<String>,
    pub(super) categories: Option<String>,
}

/// The subject of a case: a message or a player.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CaseSubject")]
pub struct Subject {
    /// Id of the message's author, or of the reported player.
    pub player: String,
    /// Id of the message's channel; absent for a report about a player.
    pub channel: Option<String>,
    /// The message's number.
    pub seq: Option<i64>,
}

/// A case, as moderators see it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Case {
    /// The case's id.
    pub id: String,
    /// Message or player that the case is about.
    pub about: Subject,
    /// Number of reports.
    pub reports: i64,
    /// Categories that the reports name.
    pub categories: Vec<String>,
    /// Time of the first report, in milliseconds since 1970-01-01 UTC.
    pub opened_at: Millis,
    /// State of the case. A claim ends after half an hour.
    pub state: CaseState,
    /// Id of the one who claimed the case.
    pub claimed_by: Option<String>,
    /// Decision on the case.
    pub decision: Option<Decision>,
    /// Reason for the decision.
    pub reason: Option<String>,
    /// Id of the one who decided the case.
    pub decided_by: Option<String>,
    /// Time of the decision.
    pub decided_at: Option<Millis>,
    /// Id of the sanction that was given.
    pub sanction: Option<String>,
}

impl Row {
    fn is_claimed(&self, now: Millis) -> bool {
        self.state == CaseState::Claimed && self.claimed_at.is_some_and(|at| at > now - CLAIM_MS)
    }

    pub(super) fn shown(self, now: Millis) -> Case {
        let claimed = self.is_claimed(now);
        let ended = self.state == CaseState::Claimed && !claimed;
        let state = if ended { CaseState::Open } else { self.state };
        Case {
            id: self.id,
            about: Subject { player: self.player_id, channel: self.channel, seq: self.seq },
            reports: self.reports,
            categories: self.categories.and_then(|list| serde_json::from_str(&list).ok()).unwrap_or_default(),
            opened_at: self.opened_at,
            claimed_by: self.claimed_by.filter(|_| claimed || state == CaseState::Decided),
            state,
            decision: self.decision.as_deref().and_then(Decision::from_word),
            reason: self.reason,
            decided_by: self.decided_by,
            decided_at: self.decided_at,
            sanction: self.sanction_id,
        }
    }
}

macro_rules! select_case {
    ($list:literal, $($rest:literal),+) => {
        concat!(
            "SELECT c.id, c.player_id, c.channel, c.seq, c.state, c.opened_at, c.reports, c.claimed_by, ",
            "c.claimed_at, c.claim_nonce, c.decided_by, c.decided_at, c.decide_nonce, c.decision, c.reason, c.sanction_id, ",
            "(SELECT ", $list, " FROM (SELECT category FROM report WHERE case_id = c.id ORDER BY id LIMIT 200) AS r) AS categories ",
            "FROM report_case c ",
            $($rest),+
        )
    };
}
macro_rules! of_cases {
    ($($rest:literal),+) => {
        by_dialect(
            select_case!("json_group_array(DISTINCT r.category)", $($rest),+),
            select_case!("json_agg(DISTINCT r.category)::text", $($rest),+),
        )
    };
}

const BY_ID: Sql = of_cases!("WHERE c.id = $1");

pub(super) async fn row(db: &Db, id: &str) -> Result<Row> {
    let row = db.optional(BY_ID, values![id]).await?;
    row.ok_or(Error::NotFound("case"))
}

/// One case.
///
/// # Errors
/// [`Error::NotFound`] where there is none.
pub async fn find(db: &Db, id: &str) -> Result<Case> {
    let now = db.now().await?;
    Ok(row(db, id).await?.shown(now))
}

/// A case's evidence, where it has some and that is still kept.
///
/// # Errors
/// The database's.
pub async fn evidence(db: &Db, id: &str) -> Result<Option<Box<RawValue>>> {
    let sql = "SELECT evidence FROM report_case WHERE id = $1";
    let evidence: Option<(Option<String>,)> = db.optional(sql, values![id]).await?;
    let evidence = evidence.and_then(|(evidence,)| evidence).map(RawValue::from_string);
    evidence.transpose().map_err(Error::internal)
}

macro_rules! queue {
    ($which:literal) => {
        of_cases!(
            "JOIN (SELECT * FROM (
                 SELECT c.id FROM report_case c WHERE ",
            $which,
            " AND c.weight = $2 AND (c.opened_at, c.id) > ($3, $4) ORDER BY c.opened_at, c.id LIMIT $5) same
             UNION ALL SELECT * FROM (
                 SELECT c.id FROM report_case c WHERE ",
            $which,
            " AND c.weight < $2 ORDER BY c.weight DESC, c.opened_at, c.id LIMIT $5) less) page ON page.id = c.id
             ORDER BY c.weight DESC, c.opened_at, c.id LIMIT $5"
        )
    };
}

/// Cases: those that weigh most first, then the oldest; those behind one of the page before.
///
/// # Errors
/// The database's.
pub async fn queue(db: &Db, state: CaseState, after: Option<&str>, limit: i64) -> Result<Vec<Case>> {
    // A claim that is over is an open case again.
    const OPEN: Sql = queue!("c.state <> 'decided' AND (c.state = 'open' OR c.claimed_at <= $1)");
    const CLAIMED: Sql = queue!("c.state = 'claimed' AND c.claimed_at > $1");
    const DECIDED: Sql = queue!("c.state = 'decided' AND $1 > 0");
    const PLACE: &str = "SELECT weight, opened_at FROM report_case WHERE id = $1";
    let sql = match state {
        CaseState::Open => OPEN,
        CaseState::Claimed => CLAIMED,
        CaseState::Decided => DECIDED,
    };
    let now = db.now().await?;
    let place: Option<(i64, Millis)> = match after {
        Some(after) => db.optional(PLACE, values![after]).await?,
        None => None,
    };
    // No case weighs as much as what the first page begins behind.
    let (weight, opened_at) = place.unwrap_or((i64::MAX, 0));
    let after = after.unwrap_or_default();
    let rows: Vec<Row> = db.all(sql, values![now - CLAIM_MS, weight, opened_at, after, limit]).await?;
    Ok(rows.into_iter().map(|row| row.shown(now)).collect())
}

/// Takes a case, so that no two moderators work on it.
///
/// # Errors
/// [`Error::Conflict`] where somebody has it, or it is decided.
pub async fn claim(db: &Db, id: &str, by: &By<'_>) -> Result<Case> {
    let now = db.now().await?;
    let claimed = db
        .execute(
            "UPDATE report_case SET state = 'claimed', claimed_by = $2, claimed_at = $3, claim_nonce = $4
             WHERE id = $1 AND (state = 'open' OR (state = 'claimed' AND claimed_at <= $5))",
            values![id, &*by.who.key(), now, by.nonce, now - CLAIM_MS],
        )
        .await?;
    let row = row(db, id).await?;
    let again = by.nonce.is_some()
        && row.claim_nonce.as_deref() == by.nonce
        && row.claimed_by.as_deref() == Some(&*by.who.key());
    if claimed > 0 || again {
        return Ok(row.shown(now));
    }
    Err(taken(&row))
}

pub(super) fn taken(row: &Row) -> Error {
    let by = row.claimed_by.as_deref().unwrap_or("another moderator");
    match row.state {
        CaseState::Decided => Error::Conflict("this case is decided".into()),
        _ => Error::Conflict(format!("{by} has this case").into()),
    }
}

/// Forgets the evidence of cases that were decided before a time. Says how many there were.
///
/// # Errors
/// The database's.
async fn forget_evidence(db: &Db, before: Millis, batch: i64) -> Result<u64> {
    let forgotten = db
        .execute(
            "UPDATE report_case SET evidence = NULL WHERE id IN (
                 SELECT id FROM report_case WHERE evidence IS NOT NULL AND decided_at < $1 ORDER BY decided_at LIMIT $2)",
            values![before, batch],
        )
        .await?;
    Ok(forgotten)
}

/// Retention, export and erasure rules of cases.
pub(in crate::store) const LIFE: Life = Life {
    table: "report_case",
    kept: Kept::Swept("for good; evidence `GUILDHALL_EVIDENCE` behind the decision", |db, config, now| {
        Box::pin(forget_evidence(db, now - config.moderation.evidence_ms, ROWS))
    }),
    exported: Exported::No("what others reported"),
    erased: &[
        Erased::Renamed(
            "UPDATE report_case SET player_id = $2,
                 subject = CASE subject WHEN 'player ' || $1 THEN 'player ' || $2 ELSE subject END
             WHERE id IN (SELECT id FROM report_case WHERE player_id = $1 ORDER BY id LIMIT $3)",
        ),
        Erased::Apart("evidence is renamed, case by case: player::erase"),
    ],
    stays: &[("claimed_by", "staff, not a player"), ("decided_by", "staff, not a player")],
};
