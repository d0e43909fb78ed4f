//! Announcements: texts that the game shows to many players at once, each with its audience and the times it was shown.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use sqlx::FromRow;

use super::engine::sql::{Sql, by_dialect, values};
use super::schedule::{self, NewSchedule};
use super::{Db, json};
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::chat::announcing::{Audience, Texts};
use crate::chat::states::AnnouncementState;
use crate::store::life::{Kept, Life, ROWS};

/// Announcements that are looked at for one player, the newest ones.
const SHOWN: i64 = 500;
/// Channels are counted so far: more are "very many".
const COUNTED: i64 = 10_000;

/// An announcement to be made.
#[derive(Debug)]
pub struct NewAnnouncement<'a> {
    /// The announcement's id. The same call uses the same id.
    pub id: &'a str,
    /// Text in each language.
    pub texts: &'a Texts,
    /// Players who are to see it.
    pub audience: &'a Audience,
    /// True if players who are away get a push too.
    pub push: bool,
    /// Milliseconds for which players are shown each occurrence.
    pub show_ms: Millis,
}

/// An announcement.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// The announcement's id.
    pub id: String,
    /// Text in each language.
    pub texts: Texts,
    /// Players who are to see it.
    pub audience: Audience,
    /// True if players who are away get a push too.
    pub push: bool,
    /// Milliseconds for which players are shown each occurrence.
    pub show_ms: Millis,
    /// State of the announcement.
    pub state: AnnouncementState,
    /// Time when it is due next.
    pub next_at: Option<Millis>,
    /// Time of creation.
    pub created_at: Millis,
    /// Number of channels that have received it.
    pub reached: i64,
}

#[derive(FromRow)]
struct Row {
    id: String,
    texts: String,
    audience: String,
    push: bool,
    show_ms: Millis,
    #[sqlx(try_from = "String")]
    state: AnnouncementState,
    next_at: Option<Millis>,
    created_at: Millis,
    reached: i64,
}

impl TryFrom<Row> for Announcement {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self> {
        let Row { id, texts, audience, push, show_ms, state, next_at, created_at, reached } = row;
        let texts = serde_json::from_str(&texts).map_err(Error::internal)?;
        let audience = serde_json::from_str(&audience).map_err(Error::internal)?;
        Ok(Self { id, texts, audience, push, show_ms, state, next_at, created_at, reached })
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT a.id, a.texts, a.audience, a.push, a.show_ms, s.next_at, a.created_at, a.reached,
                    CASE WHEN a.state = 'planned' AND s.state = 'cancelled' THEN 'cancelled'
                         WHEN a.state = 'planned' AND s.state = 'done'
                              AND NOT EXISTS (SELECT 1 FROM occurrence o WHERE o.schedule_id = s.id) THEN 'done'
                         ELSE a.state END AS state
             FROM announcement a LEFT JOIN schedule s ON s.id = a.schedule_id ",
            $rest
        )
    };
}

/// Makes an announcement with the schedule that says it; a second time changes nothing.
///
/// # Errors
/// [`Error::Conflict`] where it is there with other content.
pub async fn create(db: &Db, new: NewAnnouncement<'_>, plan: NewSchedule<'_>) -> Result<Announcement> {
    let now = db.now().await?;
    let (texts, audience) = (json(new.texts)?, json(new.audience)?);
    let mut tx = db.begin().await?;
    if schedule::add(&mut tx, db, &plan, now).await? {
        tx.execute(
            "INSERT INTO announcement (id, texts, audience, push, show_ms, state, schedule_id, created_by, created_at)
             VALUES ($1, $2, $3, $4, $5, 'planned', $6, $7, $8)",
            values![new.id, &texts, &audience, new.push, new.show_ms, plan.id, plan.by, now],
        )
        .await?;
    }
    tx.commit().await?;
    db.note_enqueued();
    find(db, new.id).await
}

/// One announcement.
///
/// # Errors
/// [`Error::NotFound`] where there is none.
pub async fn find(db: &Db, id: &str) -> Result<Announcement> {
    let found: Option<Row> = db.optional(select!("WHERE a.id = $1"), values![id]).await?;
    found.ok_or(Error::NotFound("announcement"))?.try_into()
}

/// Announcements, the newest first, behind one.
///
/// # Errors
/// [`Error::NotFound`] where the last of the page before is none.
pub async fn list(db: &Db, after: Option<&str>, limit: i64) -> Result<Vec<Announcement>> {
    let (at, after) = match after {
        Some(id) => (find(db, id).await?.created_at, id),
        None => (Millis::MAX, ""),
    };
    let sql = select!("WHERE (a.created_at, a.id) < ($1, $2) ORDER BY a.created_at DESC, a.id DESC LIMIT $3");
    let page: Vec<Row> = db.all(sql, values![at, after, limit]).await?;
    page.into_iter().map(Announcement::try_from).collect()
}

/// Ends an announcement: it is said no more, also in the middle, and shown no more. One that is over stays as it is, and is
/// shown no more.
///
/// # Errors
/// [`Error::NotFound`] where there is none.
pub async fn cancel(db: &Db, id: &str) -> Result<Announcement> {
    let now = db.now().await?;
    let mut tx = db.begin().await?;
    for sql in [
        "UPDATE schedule SET state = 'cancelled', next_at = NULL
         WHERE id = (SELECT schedule_id FROM announcement WHERE id = $1) AND state = 'planned' AND $2 > 0",
        "UPDATE announcement SET state = 'cancelled' WHERE id = $1 AND state <> 'done' AND $2 > 0",
        "UPDATE announced SET until = $2 WHERE announcement_id = $1 AND until > $2",
    ] {
        tx.execute(sql, values![id, now]).await?;
    }
    tx.commit().await?;
    find(db, id).await
}

/// Notes how far an announcement is; one that was cancelled stays so. Says whether it goes on.
///
/// # Errors
/// The database's.
pub async fn note(db: &Db, id: &str, state: AnnouncementState, reached: i64) -> Result<bool> {
    let sql = "UPDATE announcement SET state = $2, reached = $3 WHERE id = $1 AND state <> 'cancelled'";
    Ok(db.execute(sql, values![id, state.as_str(), reached]).await? > 0)
}

/// Shows an announcement to all players whom it concerns, from now on; once for a time that it was due.
///
/// # Errors
/// The database's.
pub async fn show(db: &Db, announcement: &Announcement, due: Millis) -> Result<()> {
    let now = db.now().await?;
    let sql = "INSERT INTO announced (announcement_id, due_at, at, until) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
    db.execute(sql, values![&announcement.id, due, now, now + announcement.show_ms]).await?;
    Ok(())
}

/// An announcement that is shown.
#[derive(Clone, Debug)]
pub struct ShownAnnouncement {
    /// Grows with each.
    pub number: i64,
    /// Time from which it is shown.
    pub at: Millis,
    /// The announcement's id.
    pub id: String,
    /// Text in each language.
    pub texts: Texts,
    /// Players who are to see it.
    pub audience: Audience,
}

/// Up to `limit` that are shown now, came behind a number and are wanted by their number and audience, the newest first.
///
/// # Errors
/// The database's.
pub async fn shown(
    db: &Db,
    after: i64,
    limit: usize,
    wants: impl Fn(i64, &Audience) -> bool,
) -> Result<Vec<ShownAnnouncement>> {
    const TEXTS: Sql = by_dialect(
        "SELECT a.id, a.texts FROM json_each($1) j CROSS JOIN announcement a ON a.id = j.value",
        "SELECT a.id, a.texts FROM announcement a
         WHERE a.id = ANY (ARRAY(SELECT json_array_elements_text($1::json)))",
    );
    let now = db.now().await?;
    let rows: Vec<(i64, Millis, String, String)> = db
        .all(
            "SELECT n.number, n.at, a.id, a.audience FROM
                 (SELECT number, at, announcement_id FROM announced WHERE until > $1 ORDER BY until DESC LIMIT $4) n
             JOIN announcement a ON a.id = n.announcement_id
             WHERE n.number > $2 ORDER BY n.number DESC LIMIT $3",
            values![now, after, SHOWN, 2 * SHOWN],
        )
        .await?;
    let mut wanted = Vec::new();
    for (number, at, id, audience) in rows {
        let audience: Audience = serde_json::from_str(&audience).map_err(Error::internal)?;
        if wanted.len() < limit && wants(number, &audience) {
            wanted.push((number, at, id, audience));
        }
    }
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    // Texts are long: only those that are shown are read.
    let ids: HashSet<&str> = wanted.iter().map(|(_, _, id, _)| id.as_str()).collect();
    let texts: HashMap<String, String> = db.all(TEXTS, values![&json(&ids)?]).await?.into_iter().collect();
    let mut shown = Vec::with_capacity(wanted.len());
    for (number, at, id, audience) in wanted {
        // One that was forgotten in between is shown no more.
        if let Some(texts) = texts.get(&id) {
            let texts = serde_json::from_str(texts).map_err(Error::internal)?;
            shown.push(ShownAnnouncement { number, at, id, texts, audience });
        }
    }
    Ok(shown)
}

/// The number of the last that was shown so many milliseconds ago, or before.
///
/// # Errors
/// The database's.
pub async fn last(db: &Db, ago_ms: Millis) -> Result<i64> {
    let sql = "SELECT number FROM announced WHERE at <= $1 ORDER BY number DESC LIMIT 1";
    let last: Option<(i64,)> = db.optional(sql, values![db.now().await? - ago_ms]).await?;
    Ok(last.map_or(0, |(last,)| last))
}

/// The next channels of a kind behind a key: key and id.
///
/// # Errors
/// The database's.
pub async fn next_channels(db: &Db, kind: &str, after: i64, limit: i64) -> Result<Vec<(i64, String)>> {
    let sql = "SELECT key, id FROM channel WHERE key > $1 AND kind = $2 ORDER BY key LIMIT $3";
    Ok(db.all(sql, values![after, kind, limit]).await?)
}

/// Returns the number of channels of a kind, ten thousand at most.
///
/// # Errors
/// The database's.
pub async fn count_channels(db: &Db, kind: &str) -> Result<i64> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM channel WHERE kind = $1 ORDER BY key LIMIT $2) AS c";
    let count: Option<(i64,)> = db.optional(sql, values![kind, COUNTED]).await?;
    Ok(count.map_or(0, |(count,)| count))
}

/// Forgets announcements that were made before a time and are over, and when they were shown. Says how many.
///
/// # Errors
/// The database's.
async fn forget(db: &Db, before: Millis, batch: i64) -> Result<u64> {
    let sql = "DELETE FROM announced WHERE number IN (SELECT number FROM announced WHERE until < $1 ORDER BY until LIMIT $2)";
    let announced = db.execute(sql, values![before, batch]).await?;
    let sql = "DELETE FROM announcement WHERE id IN
               (SELECT a.id FROM announcement a WHERE a.created_at < $1 AND NOT EXISTS
                    (SELECT 1 FROM schedule s WHERE s.id = a.schedule_id AND s.state = 'planned')
                AND NOT EXISTS (SELECT 1 FROM announced n WHERE n.announcement_id = a.id)
                ORDER BY a.created_at LIMIT $2)";
    Ok(announced + db.execute(sql, values![before, batch]).await?)
}

/// An announcement that is shown now, in one player's language.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[schemars(rename = "ActiveAnnouncement")]
pub struct InLanguage<'a> {
    /// The announcement's id.
    pub id: &'a str,
    /// Text in the language below.
    pub text: &'a str,
    /// Language of the text.
    pub language: &'a str,
    /// Time from which it is shown, in milliseconds since 1970-01-01 UTC.
    pub at: Millis,
}

impl ShownAnnouncement {
    /// As one player reads it.
    pub fn in_language(&self, language: Option<&str>) -> InLanguage<'_> {
        let (language, text) = self.texts.pick(language);
        InLanguage { id: &self.id, text: text.as_str(), language: language.as_str(), at: self.at }
    }
}

/// Retention, export and erasure rules of announcements.
pub(in crate::store) const LIFE: Life = Life {
    table: "announcement",
    kept: Kept::Swept("90 days, once they are over", |db, _, now| {
        Box::pin(forget(db, now - REMEMBER_MS, ROWS))
    }),
    exported: crate::store::life::NOBODYS,
    erased: &[],
    stays: &[("created_by", "staff, not a player")],
};

/// Retention, export and erasure rules of the times at which announcements were shown.
pub(in crate::store) const ANNOUNCED: Life = Life {
    table: "announced",
    kept: Kept::Until("with the announcements"),
    exported: crate::store::life::NOBODYS,
    erased: &[],
    stays: &[],
};

/// Milliseconds for which an announcement that is over is kept: 90 days.
const REMEMBER_MS: Millis = 90 * 86_400_000;
