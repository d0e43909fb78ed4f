//! Sanctions: given, lifted and listed. What they do to whoever speaks or reads is decided by `rights`.

use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::FromRow;

use super::By;
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::base::random;
use crate::chat::identity::Identity;
use crate::chat::sanctions::SanctionKind;
use crate::chat::values::PlayerId;
use crate::hub::Hub;
use crate::store::audit::{self, AuditEntry};
use crate::store::engine::sql::{Tx, values};
use crate::store::life::{Erased, Exported, Kept, Life};
use crate::store::outbox::{self, NewTask};
use crate::store::{Db, right_change};
use serde_json::{Value, json};

/// A sanction as moderators see it.
#[derive(Clone, Debug, Serialize, JsonSchema, FromRow)]
#[schemars(rename = "Sanction")]
pub struct Given {
    /// The sanction's id; later ones sort behind.
    pub id: String,
    /// Id of the player who has the sanction.
    #[serde(rename = "player")]
    pub player_id: String,
    /// Kind of the sanction.
    #[sqlx(try_from = "String")]
    pub kind: SanctionKind,
    /// Place where the sanction holds: `everywhere`, `kind:world`, or `channel:ID`.
    #[serde(rename = "where")]
    pub place: String,
    /// Reason that the player is told.
    pub reason: String,
    /// Note that the player is not told.
    pub note: Option<String>,
    /// Id of the one who gave the sanction.
    pub given_by: String,
    /// Time of giving, in milliseconds since 1970-01-01 UTC.
    pub given_at: Millis,
    /// End of the sanction; absent where it holds for good.
    pub until: Option<Millis>,
    /// True if the program gave the sanction by itself.
    pub automatic: bool,
    /// Id of the case in which the sanction was decided.
    #[serde(rename = "case")]
    pub case_id: Option<String>,
    /// Time of lifting.
    pub lifted_at: Option<Millis>,
    /// Id of the one who lifted the sanction.
    pub lifted_by: Option<String>,
    /// Reason for lifting.
    pub lift_reason: Option<String>,
    #[serde(skip)]
    #[schemars(skip)]
    pub(super) digest: String,
}

impl Given {
    /// May its player know of it?
    pub fn is_told(&self) -> bool {
        self.kind.is_told()
    }

    /// Does it hold now? A warning is over once it is said.
    pub fn holds(&self, now: Millis) -> bool {
        self.kind != SanctionKind::Warn
            && self.lifted_at.is_none()
            && self.until.is_none_or(|until| until > now)
    }
}

/// A sanction to give.
#[derive(Debug, Serialize)]
pub struct NewSanction {
    /// The sanction's id, by which the task that tells the player finds the sanction.
    #[serde(skip)]
    pub id: String,
    /// Id of the player who gets the sanction.
    pub player: PlayerId,
    /// Kind of the sanction.
    pub kind: SanctionKind,
    /// Place where the sanction holds.
    pub place: String,
    /// Duration in seconds; none is for good.
    pub seconds: Option<i64>,
    /// Reason that the player is told.
    pub reason: String,
    /// Note that the player is not told.
    pub note: Option<String>,
    /// Given by the program rather than by somebody.
    #[serde(skip)]
    pub automatic: bool,
}

impl NewSanction {
    fn digest(&self) -> Result<String> {
        Ok(random::to_hex(&Sha256::digest(crate::store::json(self)?)[..16]))
    }
}

macro_rules! with_columns {
    ($before:literal, $($behind:literal),*) => {
        concat!(
            $before,
            " id, player_id, kind, place, reason, note, given_by, given_at, until, automatic, case_id, lifted_at, ",
            "lifted_by, lift_reason, digest ",
            $($behind),*
        )
    };
}
macro_rules! select_sanction {
    ($rest:literal) => {
        with_columns!("SELECT", "FROM sanction ", $rest)
    };
}

/// Gives a sanction; with the nonce of one that was given it is that one. The player is told by the task.
///
/// # Errors
/// [`Error::Conflict`] for a nonce that was used for another one.
pub async fn give(db: &Db, new: &NewSanction, by: &By<'_>, tell: Option<&NewTask>) -> Result<Given> {
    let now = db.now().await?;
    let mut tx = db.begin().await?;
    let Some(given) = insert(&mut tx, new, by, None, now).await? else {
        return earlier(&mut tx, new, by).await;
    };
    if let Some(tell) = tell {
        outbox::add(&mut tx, db, tell, now).await?;
    }
    tx.commit().await?;
    tell_rights_changed(db, &given.player_id);
    audit::seal_behind(db).await;
    Ok(given)
}

/// The processes that hold the player's sockets look at their rights again, and workers at their tasks.
pub(super) fn tell_rights_changed(db: &Db, player: &str) {
    db.note_enqueued();
    db.hub().tell(&Hub::of_player(player));
}

/// Returns the sanction that the same nonce gave.
async fn earlier(tx: &mut Tx, new: &NewSanction, by: &By<'_>) -> Result<Given> {
    let earlier: Given = tx
        .one(select_sanction!("WHERE given_by = $1 AND nonce = $2"), values![&*by.who.key(), by.nonce])
        .await?;
    let conflict = || Error::Conflict("this nonce was used for another sanction".into());
    (earlier.digest == new.digest()?).then_some(earlier).ok_or_else(conflict)
}

/// Writes a sanction and its row of the audit; none where its nonce was used.
pub(super) async fn insert(
    tx: &mut Tx,
    new: &NewSanction,
    by: &By<'_>,
    case_id: Option<&str>,
    now: Millis,
) -> Result<Option<Given>> {
    let until = new.seconds.map(|seconds| now + seconds * 1_000);
    let given: Option<Given> = tx
        .optional(
            with_columns!(
                "INSERT INTO sanction (id, player_id, kind, place, reason, note, given_by, given_at, until, automatic, case_id,
                nonce, digest) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING RETURNING",
            ),
            values![
                &new.id,
                new.player.as_str(),
                new.kind.as_str(),
                &new.place,
                &new.reason,
                new.note.as_deref(),
                &*by.who.key(),
                now,
                until,
                new.automatic,
                case_id,
                by.nonce,
                &new.digest()?,
            ],
        )
        .await?;
    let Some(given) = given else { return Ok(None) };
    let detail =
        json!({ "sanction": new.id, "kind": new.kind, "where": new.place, "until": until, "case": case_id });
    let player = Some(new.player.as_str());
    let entry = AuditEntry { action: "sanction.give", player, detail, text: Some(&new.reason) };
    audit::add(tx, by.who, &entry, now).await?;
    right_change::note_player(tx, new.player.as_str(), now).await?;
    Ok(Some(given))
}

/// Lifts a sanction; one that was lifted stays as it is.
///
/// # Errors
/// [`Error::NotFound`] where there is none.
pub async fn lift(db: &Db, id: &str, reason: &str, by: &Identity, tell: Option<&NewTask>) -> Result<Given> {
    let now = db.now().await?;
    let mut tx = db.begin().await?;
    if let Some(lifted) = lift_in(&mut tx, id, reason, by, now).await? {
        if let Some(tell) = tell {
            outbox::add(&mut tx, db, tell, now).await?;
        }
        tx.commit().await?;
        tell_rights_changed(db, &lifted.player_id);
        audit::seal_behind(db).await;
        return Ok(lifted);
    }
    drop(tx);
    find(db, id).await
}

/// Lifts a sanction, and writes that down; none where there is none to lift.
pub(super) async fn lift_in(
    tx: &mut Tx,
    id: &str,
    reason: &str,
    by: &Identity,
    now: Millis,
) -> Result<Option<Given>> {
    let lifted: Option<Given> = tx
        .optional(
            with_columns!(
                "UPDATE sanction SET lifted_at = $2, lifted_by = $3, lift_reason = $4 WHERE id = $1 AND lifted_at IS NULL RETURNING",
            ),
            values![id, now, &*by.key(), reason],
        )
        .await?;
    let Some(lifted) = lifted else { return Ok(None) };
    let player = Some(lifted.player_id.as_str());
    let entry =
        AuditEntry { action: "sanction.lift", player, detail: json!({ "sanction": id }), text: Some(reason) };
    audit::add(tx, by, &entry, now).await?;
    right_change::note_player(tx, &lifted.player_id, now).await?;
    Ok(Some(lifted))
}

/// One sanction.
///
/// # Errors
/// [`Error::NotFound`] where there is none.
pub async fn find(db: &Db, id: &str) -> Result<Given> {
    let given = db.optional(select_sanction!("WHERE id = $1"), values![id]).await?;
    given.ok_or(Error::NotFound("sanction"))
}

/// A filter for sanctions, with the size of a page.
#[derive(Clone, Copy, Debug, Default)]
pub struct SanctionFilter<'a> {
    /// Of this player.
    pub player: Option<&'a str>,
    /// Of this place, as it was named.
    pub place: Option<&'a str>,
    /// Those that hold now.
    pub active: bool,
    /// Those that their player knows of.
    pub told: bool,
    /// Those behind the last one of the page before.
    pub after: Option<&'a str>,
    /// So many.
    pub limit: i64,
}

/// Sanctions, the newest first.
///
/// # Errors
/// The database's.
pub async fn list(db: &Db, wanted: SanctionFilter<'_>) -> Result<Vec<Given>> {
    let SanctionFilter { player, place, active, told, after, limit } = wanted;
    // One statement for each way to find them, so that each has its index.
    let sql: &str = match (player, place) {
        (Some(_), _) => select_sanction!(
            "WHERE player_id = $1 AND ($2 IS NULL OR place = $2) AND ($3 IS NULL OR id < $3)
             AND (NOT $4 OR (kind <> 'warn' AND lifted_at IS NULL AND (until IS NULL OR until > $5)))
             AND (NOT $7 OR kind <> 'shadow') ORDER BY id DESC LIMIT $6"
        ),
        (None, Some(_)) => select_sanction!(
            "WHERE $1 IS NULL AND place = $2 AND ($3 IS NULL OR id < $3)
             AND (NOT $4 OR (kind <> 'warn' AND lifted_at IS NULL AND (until IS NULL OR until > $5)))
             AND (NOT $7 OR kind <> 'shadow') ORDER BY id DESC LIMIT $6"
        ),
        (None, None) => select_sanction!(
            "WHERE $1 IS NULL AND $2 IS NULL AND ($3 IS NULL OR id < $3)
             AND (NOT $4 OR (kind <> 'warn' AND lifted_at IS NULL AND (until IS NULL OR until > $5)))
             AND (NOT $7 OR kind <> 'shadow') ORDER BY id DESC LIMIT $6"
        ),
    };
    Ok(db.all(sql, values![player, place, after, active, db.now().await?, limit, told]).await?)
}

/// Returns the number of sanctions that a player was given since a time and that were not lifted.
///
/// # Errors
/// The database's.
pub async fn count_since(db: &Db, player: &str, since: Millis) -> Result<usize> {
    let count: Option<(i64,)> = db
        .optional(
            "SELECT count(*) FROM sanction WHERE player_id = $1 AND given_at > $2 AND lifted_at IS NULL",
            values![player, since],
        )
        .await?;
    Ok(count.map_or(0, |(count,)| count as usize))
}

/// Retention, export and erasure rules of sanctions.
pub(in crate::store) const LIFE: Life = Life {
    table: "sanction",
    kept: Kept::Until("for good"),
    exported: Exported::Rows("sanction", |db, player| Box::pin(exported(db, player))),
    erased: &[Erased::Renamed(
        "UPDATE sanction SET player_id = $2 WHERE id IN (SELECT id FROM sanction WHERE player_id = $1 ORDER BY id LIMIT $3)",
    )],
    stays: &[("given_by", "staff, not a player"), ("lifted_by", "staff, not a player")],
};

/// Those that the player knows of, and what they said against them.
async fn exported(db: &Db, player: &str) -> Result<Vec<Value>> {
    type Row = (String, String, String, String, Millis, Option<Millis>, Option<String>, Option<String>);
    let rows: Vec<Row> = db
        .all(
            "SELECT s.id, s.kind, s.place, s.reason, s.given_at, s.until, a.text, a.state FROM sanction s
             LEFT JOIN appeal a ON a.sanction_id = s.id
             WHERE s.player_id = $1 AND s.kind <> 'shadow' ORDER BY s.id",
            values![player],
        )
        .await?;
    let row = |(sanction, kind, place, reason, given_at, until, appeal, state): Row| {
        let appeal = appeal.map_or(Value::Null, |text| json!({ "text": text, "state": state }));
        json!({
            "id": sanction, "kind": kind, "where": place, "reason": reason, "given_at": given_at, "until": until,
            "appeal": appeal,
        })
    };
    Ok(rows.into_iter().map(row).collect())
}
