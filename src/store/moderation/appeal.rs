//! Appeals: a player objects to a sanction, once, and somebody decides.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use sqlx::FromRow;

use super::By;
use super::sanction;
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::base::random;
use crate::chat::states::AppealState;
use crate::store::Db;
use crate::store::audit::{self, AuditEntry};
use crate::store::engine::sql::values;
use crate::store::life::{Erased, Exported, Kept, Life};
use crate::store::outbox::{self, NewTask};

/// An appeal.
#[derive(Clone, Debug, Serialize, JsonSchema, FromRow)]
pub struct Appeal {
    /// The appeal's id; later ones sort behind.
    pub id: String,
    /// Id of the sanction that the appeal is against.
    #[serde(rename = "sanction")]
    pub sanction_id: String,
    /// Id of the player who objects.
    #[serde(rename = "player")]
    pub player_id: String,
    /// Text, in the player's words.
    pub text: String,
    /// State of the appeal.
    #[sqlx(try_from = "String")]
    pub state: AppealState,
    /// Time of the appeal, in milliseconds since 1970-01-01 UTC.
    pub at: Millis,
    /// Time of the decision.
    pub decided_at: Option<Millis>,
    /// Reason for the decision.
    pub reason: Option<String>,
    /// True if the one who decided it had also given the sanction.
    pub by_giver: bool,
    #[serde(skip)]
    #[schemars(skip)]
    decided_by: Option<String>,
    #[serde(skip)]
    #[schemars(skip)]
    decide_nonce: Option<String>,
}

macro_rules! select_appeal {
    ($rest:literal) => {
        concat!(
            "SELECT a.id, a.sanction_id, a.player_id, a.text, a.state, a.at, a.decided_at, a.reason, a.decided_by, ",
            "a.decide_nonce, coalesce(a.decided_by = s.given_by, FALSE) AS by_giver ",
            "FROM appeal a LEFT JOIN sanction s ON s.id = a.sanction_id ",
            $rest
        )
    };
}

/// One appeal.
///
/// # Errors
/// [`Error::NotFound`] where there is none.
pub async fn find(db: &Db, id: &str) -> Result<Appeal> {
    let appeal = db.optional(select_appeal!("WHERE a.id = $1"), values![id]).await?;
    appeal.ok_or(Error::NotFound("appeal"))
}

/// Objects to a sanction of one's own; the same again is the same appeal.
///
/// # Errors
/// [`Error::NotFound`] for what is no sanction of theirs, [`Error::Conflict`] where they objected in other words.
pub async fn submit(db: &Db, player: &str, sanction_id: &str, text: &str) -> Result<Appeal> {
    let given = sanction::find(db, sanction_id).await?;
    if given.player_id != player || !given.is_told() {
        return Err(Error::NotFound("sanction"));
    }
    if given.lifted_at.is_some() {
        return Err(Error::Conflict("this sanction was lifted".into()));
    }
    db.execute(
        "INSERT INTO appeal (id, sanction_id, player_id, text, state, at) VALUES ($1, $2, $3, $4, 'open', $5)
         ON CONFLICT DO NOTHING",
        values![&random::id(), sanction_id, player, text, db.now().await?],
    )
    .await?;
    let stored: Option<Appeal> =
        db.optional(select_appeal!("WHERE a.sanction_id = $1"), values![sanction_id]).await?;
    let conflict = || Error::Conflict("there is an appeal against this sanction".into());
    stored.filter(|appeal| appeal.text == text).ok_or_else(conflict)
}

/// A player's appeals, the newest first.
///
/// # Errors
/// The database's.
pub async fn of_player(db: &Db, player: &str, after: Option<&str>, limit: i64) -> Result<Vec<Appeal>> {
    let sql =
        select_appeal!("WHERE a.player_id = $1 AND ($2 IS NULL OR a.id < $2) ORDER BY a.id DESC LIMIT $3");
    Ok(db.all(sql, values![player, after, limit]).await?)
}

/// Appeals in a state, the oldest first.
///
/// # Errors
/// The database's.
pub async fn queue(db: &Db, state: AppealState, after: Option<&str>, limit: i64) -> Result<Vec<Appeal>> {
    let sql = select_appeal!("WHERE a.state = $1 AND ($2 IS NULL OR a.id > $2) ORDER BY a.id LIMIT $3");
    Ok(db.all(sql, values![state.as_str(), after, limit]).await?)
}

/// Decides an appeal; `lifts` takes the sanction back.
///
/// # Errors
/// [`Error::Conflict`] where it is decided.
pub async fn decide(
    db: &Db,
    id: &str,
    (lifts, reason): (bool, &str),
    by: &By<'_>,
    tell: &NewTask,
) -> Result<Appeal> {
    let now = db.now().await?;
    let before = find(db, id).await?;
    let state = if lifts { AppealState::Lifted } else { AppealState::Upheld };
    let mut tx = db.begin().await?;
    let won = tx
        .execute(
            "UPDATE appeal SET state = $2, reason = $3, decided_by = $4, decided_at = $5, decide_nonce = $6
             WHERE id = $1 AND state = 'open'",
            values![id, state.as_str(), reason, &*by.who.key(), now, by.nonce],
        )
        .await?;
    if won == 0 {
        drop(tx);
        let decided = find(db, id).await?;
        let same = by.nonce.is_some()
            && decided.decide_nonce.as_deref() == by.nonce
            && decided.decided_by.as_deref() == Some(&*by.who.key())
            && decided.state == state;
        return same.then_some(decided).ok_or_else(|| Error::Conflict("this appeal is decided".into()));
    }
    let detail = json!({ "appeal": id, "sanction": before.sanction_id, "state": state });
    let player = Some(before.player_id.as_str());
    audit::add(
        &mut tx,
        by.who,
        &AuditEntry { action: "appeal.decide", player, detail, text: Some(reason) },
        now,
    )
    .await?;
    if lifts {
        sanction::lift_in(&mut tx, &before.sanction_id, reason, by.who, now).await?;
    }
    outbox::add(&mut tx, db, tell, now).await?;
    tx.commit().await?;
    sanction::tell_rights_changed(db, &before.player_id);
    audit::seal_behind(db).await;
    find(db, id).await
}

/// Retention, export and erasure rules of appeals.
pub(in crate::store) const LIFE: Life = Life {
    table: "appeal",
    kept: Kept::Until("for good"),
    exported: Exported::Apart("with the sanctions"),
    erased: &[Erased::Renamed(
        "UPDATE appeal SET player_id = $2, text = ''
         WHERE id IN (SELECT id FROM appeal WHERE player_id = $1 ORDER BY id LIMIT $3)",
    )],
    stays: &[("decided_by", "staff, not a player")],
};
