//! Whom players block: they see nothing of them, and are not called by them.

use std::collections::HashSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use sqlx::FromRow;

use super::engine::sql::values;
use super::{Db, right_change};
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::chat::identity::{Identity, Scope};
use crate::chat::values::PlayerId;
use crate::hub::Hub;

/// Players that one may block.
const MOST: i64 = 1_000;

/// Whom somebody blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocks(Option<Arc<HashSet<String>>>);

impl Blocks {
    /// Is it nobody?
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Is it this player?
    pub fn has(&self, player: &str) -> bool {
        self.0.as_ref().is_some_and(|blocked| blocked.contains(player))
    }
}

/// Does somebody block anybody? Most block nobody, and then nothing more is asked.
macro_rules! blocking {
    ($who:literal) => {
        concat!("EXISTS (SELECT 1 FROM block b WHERE b.player_id = ", $who, ") AS blocking")
    };
}
pub(in crate::store) use blocking;

/// Does one of the two players of the direct channel `c` block the other? `$who` is one of them.
macro_rules! refused {
    ($who:literal) => {
        concat!(
            // Ids hold no space: without one of them, the pair is the other's id; without neither, it is nobody's.
            "(c.pair IS NOT NULL AND EXISTS (SELECT 1 FROM (SELECT trim(replace(' ' || c.pair || ' ', ' ' || ",
            $who,
            " || ' ', ' ')) AS id) other JOIN block b ON (b.player_id = other.id AND b.blocked_id = ",
            $who,
            ") OR (b.player_id = ",
            $who,
            " AND b.blocked_id = other.id))) AS refused"
        )
    };
}
pub(in crate::store) use refused;

/// Whom a caller blocks; the game's server blocks nobody.
///
/// # Errors
/// The database's.
pub async fn of(db: &Db, caller: &Identity) -> Result<Blocks> {
    if caller.scope == Scope::Server {
        return Ok(Blocks::default());
    }
    let sql = "SELECT blocked_id FROM block WHERE player_id = $1";
    let blocked: Vec<(String,)> = db.all(sql, values![caller.id.as_str()]).await?;
    let blocked: HashSet<String> = blocked.into_iter().map(|(id,)| id).collect();
    Ok(Blocks((!blocked.is_empty()).then(|| Arc::new(blocked))))
}

/// A player who is blocked.
#[derive(Debug, Serialize, JsonSchema, FromRow)]
pub struct Blocked {
    /// Whom.
    pub player: String,
    /// Since when: milliseconds since 1970-01-01 UTC.
    pub at: Millis,
}

/// Blocks a player; one who is blocked stays so. Mentions by them no longer count.
///
/// # Errors
/// [`Error::Conflict`] past the most that one may block.
pub async fn add(db: &Db, player: &PlayerId, blocked: &PlayerId) -> Result<Blocked> {
    let now = db.now().await?;
    let mut tx = db.begin().await?;
    let added = tx
        .execute(
            "INSERT INTO block (player_id, blocked_id, at) SELECT $1, $2, $3
             WHERE (SELECT count(*) FROM block WHERE player_id = $1) < $4 ON CONFLICT DO NOTHING",
            values![player.as_str(), blocked.as_str(), now, MOST],
        )
        .await?;
    let row: Option<Blocked> = tx
        .optional(
            "SELECT blocked_id AS player, at FROM block WHERE player_id = $1 AND blocked_id = $2",
            values![player.as_str(), blocked.as_str()],
        )
        .await?;
    let too_many = || Error::Conflict(format!("a player blocks at most {MOST} others").into());
    let row = row.ok_or_else(too_many)?;
    if added > 0 {
        tx.execute(
            "DELETE FROM mention WHERE player_id = $1 AND EXISTS (SELECT 1 FROM message m
             WHERE m.channel_key = mention.channel_key AND m.seq = mention.seq AND m.sender_id = $2)",
            values![player.as_str(), blocked.as_str()],
        )
        .await?;
        right_change::note_player(&mut tx, player.as_str(), now).await?;
    }
    tx.commit().await?;
    db.hub().tell(&Hub::of_player(player.as_str()));
    Ok(row)
}

/// Blocks a player no more. Says whether they were blocked.
///
/// # Errors
/// The database's.
pub async fn remove(db: &Db, player: &PlayerId, blocked: &PlayerId) -> Result<bool> {
    let now = db.now().await?;
    let mut tx = db.begin().await?;
    let sql = "DELETE FROM block WHERE player_id = $1 AND blocked_id = $2";
    let removed = tx.execute(sql, values![player.as_str(), blocked.as_str()]).await? > 0;
    if removed {
        right_change::note_player(&mut tx, player.as_str(), now).await?;
        tx.commit().await?;
        db.hub().tell(&Hub::of_player(player.as_str()));
    }
    Ok(removed)
}

/// Players whom somebody blocks, sorted by id, behind one of them.
///
/// # Errors
/// The database's.
pub async fn page(db: &Db, player: &PlayerId, after: Option<&PlayerId>, limit: i64) -> Result<Vec<Blocked>> {
    let sql = "SELECT blocked_id AS player, at FROM block WHERE player_id = $1 AND blocked_id > $2
               ORDER BY blocked_id LIMIT $3";
    Ok(db.all(sql, values![player.as_str(), after.map_or("", PlayerId::as_str), limit]).await?)
}
