//! Blocks between players: a player sees nothing of a blocked player, and is not mentioned by them.

use std::collections::HashSet;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use schemars::JsonSchema;
use serde::Serialize;
use sqlx::FromRow;

use super::engine::sql::{Sql, Tx, by_dialect, values};
use super::{Db, right_change};
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::chat::identity::{Identity, Scope};
use crate::chat::values::PlayerId;
use crate::hub::Hub;
use crate::store::engine::DbResult;
use crate::store::life::{Erased, Exported, Kept, Life, ROWS};
use serde_json::{Value, json};

/// Players that one may block.
const MOST: i64 = 1_000;
/// Unread mentions that are looked through for those of somebody who is blocked.
const MENTIONS: i64 = 2_000;

/// The players whom one player blocks.
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

/// SQL for the current version of a player's blocks: a number that grows. Most players never blocked anybody and have
/// none.
macro_rules! block_version {
    ($who:literal) => {
        concat!("(SELECT v.version FROM block_version v WHERE v.player_id = ", $who, ") AS block_version")
    };
}
pub(in crate::store) use block_version;

/// Does one of the two players of the direct channel `c` block the other? `$who` is one of them.
macro_rules! refused {
    ($who:literal) => {
        concat!(
            // Ids hold no space: without one of them, the pair is the other's id; without neither, it is nobody's.
            "(c.pair IS NOT NULL AND EXISTS (SELECT 1 FROM (SELECT trim(replace(' ' || c.pair || ' ', ' ' || ",
            $who,
            " || ' ', ' ')) AS id) other
              WHERE EXISTS (SELECT 1 FROM block b WHERE b.player_id = other.id AND b.blocked_id = ",
            $who,
            ") OR EXISTS (SELECT 1 FROM block b WHERE b.player_id = ",
            $who,
            " AND b.blocked_id = other.id))) AS refused"
        )
    };
}
pub(in crate::store) use refused;

/// Blocks that were read before, by player, with their number.
pub(in crate::store) struct KnownBlocks(Cache<String, (i64, Blocks), Size>);

#[derive(Clone)]
struct Size;

impl Weighter<String, (i64, Blocks)> for Size {
    fn weight(&self, player: &String, (_, Blocks(blocked)): &(i64, Blocks)) -> u64 {
        const EACH: usize = 96;
        (EACH + player.len() + blocked.as_ref().map_or(0, |blocked| blocked.len() * EACH)) as u64
    }
}

impl Default for KnownBlocks {
    fn default() -> Self {
        const BYTES: u64 = 16 << 20;
        const PLAYERS: usize = 4_096;
        Self(Cache::with_weighter(PLAYERS, BYTES, Size))
    }
}

/// Returns the players whom a caller blocks, from memory where the known blocks have this version. The game's server
/// blocks nobody.
///
/// # Errors
/// The database's.
pub(in crate::store) async fn at_version(db: &Db, caller: &Identity, version: Option<i64>) -> Result<Blocks> {
    let Some(version) = version.filter(|_| caller.scope != Scope::Server) else {
        return Ok(Blocks::default());
    };
    if let Some((known, blocks)) = db.blocks.0.get(caller.id.as_str())
        && known == version
    {
        return Ok(blocks);
    }
    let (version, blocks) = read(db, caller.id.as_str()).await?;
    db.blocks.0.insert(caller.id.to_string(), (version, blocks.clone()));
    Ok(blocks)
}

async fn read(db: &Db, player: &str) -> Result<(i64, Blocks)> {
    let rows: Vec<(i64, Option<String>)> = db
        .all(
            "SELECT v.version, b.blocked_id FROM block_version v LEFT JOIN block b ON b.player_id = v.player_id
             WHERE v.player_id = $1",
            values![player],
        )
        .await?;
    let version = rows.first().map_or(0, |(version, _)| *version);
    let blocked: HashSet<String> = rows.into_iter().filter_map(|(_, id)| id).collect();
    Ok((version, Blocks((!blocked.is_empty()).then(|| Arc::new(blocked)))))
}

/// Returns the players whom a caller blocks now. The game's server blocks nobody.
///
/// # Errors
/// The database's.
pub async fn of(db: &Db, caller: &Identity) -> Result<Blocks> {
    if caller.scope == Scope::Server {
        return Ok(Blocks::default());
    }
    Ok(read(db, caller.id.as_str()).await?.1)
}

/// Somebody's blocks are others now.
async fn changed(tx: &mut Tx, player: &str, now: Millis) -> DbResult<()> {
    // From the time on: who was erased and comes back has no number again that is known.
    let sql = "INSERT INTO block_version (player_id, version) VALUES ($1, $2)
               ON CONFLICT (player_id) DO UPDATE SET version = block_version.version + 1";
    tx.execute(sql, values![player, now]).await?;
    Ok(())
}

/// A player who is blocked.
#[derive(Debug, Serialize, JsonSchema, FromRow)]
pub struct Blocked {
    /// The blocked player's id.
    pub player: String,
    /// Time of the block, in milliseconds since 1970-01-01 UTC.
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
            "DELETE FROM mention WHERE player_id = $1 AND (channel_key, seq) IN (SELECT m.channel_key, m.seq FROM
                 (SELECT channel_key, seq FROM mention WHERE player_id = $1 ORDER BY channel_key, seq LIMIT $3) n
                 CROSS JOIN message m WHERE m.channel_key = n.channel_key AND m.seq = n.seq AND m.sender_id = $2)",
            values![player.as_str(), blocked.as_str(), MENTIONS],
        )
        .await?;
        changed(&mut tx, player.as_str(), now).await?;
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
        changed(&mut tx, player.as_str(), now).await?;
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

/// Retention, export and erasure rules of the versions of block lists.
pub(in crate::store) const VERSION: Life = Life {
    table: "block_version",
    kept: Kept::Until("until the player is forgotten"),
    exported: crate::store::life::NOBODYS,
    erased: &[Erased::By("DELETE FROM block_version WHERE player_id = $1")],
    stays: &[],
};

/// Retention, export and erasure rules of blocks.
pub(in crate::store) const LIFE: Life = Life {
    table: "block",
    kept: Kept::Until("until they are taken back"),
    exported: Exported::Rows("block", |db, player| Box::pin(exported(db, player))),
    erased: &[
        Erased::Some(
            "DELETE FROM block WHERE (player_id, blocked_id) IN (SELECT player_id, blocked_id FROM block WHERE player_id = $1 LIMIT $2)",
        ),
        Erased::Steps(|db, player| Box::pin(forget_blocked(db, player))),
    ],
    stays: &[],
};

/// Some of those who block the player do so no more; what processes remember of their blocks is old then.
async fn forget_blocked(db: &Db, player: &str) -> Result<u64> {
    const BY: &str = "SELECT player_id FROM block WHERE blocked_id = $1 LIMIT $2";
    const OLD: Sql = by_dialect(
        "UPDATE block_version SET version = version + 1 WHERE player_id IN (SELECT value FROM json_each($1))",
        "UPDATE block_version SET version = version + 1
         WHERE player_id = ANY (ARRAY(SELECT json_array_elements_text($1::json)))",
    );
    const FORGET: Sql = by_dialect(
        "DELETE FROM block WHERE blocked_id = $2 AND player_id IN (SELECT value FROM json_each($1))",
        "DELETE FROM block WHERE blocked_id = $2
         AND player_id = ANY (ARRAY(SELECT json_array_elements_text($1::json)))",
    );
    let mut tx = db.begin().await?;
    let by: Vec<(String,)> = tx.all(BY, values![player, ROWS]).await?;
    let by = super::json(&by.into_iter().map(|(id,)| id).collect::<Vec<_>>())?;
    tx.execute(OLD, values![&by]).await?;
    let forgotten = tx.execute(FORGET, values![&by, player]).await?;
    tx.commit().await?;
    Ok(forgotten)
}

async fn exported(db: &Db, player: &str) -> Result<Vec<Value>> {
    let sql = "SELECT blocked_id, at FROM block WHERE player_id = $1 ORDER BY blocked_id";
    let rows: Vec<(String, Millis)> = db.all(sql, values![player]).await?;
    Ok(rows.into_iter().map(|(player, at)| json!({ "player": player, "at": at })).collect())
}
