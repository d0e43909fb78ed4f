//! Who is in a channel, how far they have read, and their inbox.
//!
//! Unread is a subtraction of two counters, so an inbox never reads history to count.

use sqlx::{FromRow, SqliteConnection};

use super::channel::Channel;
use super::{Db, json};
use crate::clock::Millis;
use crate::domain::PlayerId;
use crate::error::{Error, Result};

/// Channels an inbox shows; those spoken in last come first.
pub const MAX_INBOX: usize = 1_000;

/// A member, as the list shows one.
#[derive(Debug, FromRow)]
pub struct Member {
    /// The player.
    pub player_id: String,
    /// When they joined.
    pub joined_at: Millis,
}

/// Adds members; those who are in stay as they are. Says how many are new.
///
/// # Errors
/// The database's.
pub async fn add(db: &Db, channel: &Channel, players: &[PlayerId]) -> Result<u64> {
    let mut tx = db.begin().await?;
    let added = insert(&mut tx, channel.key, players, db.clock.now()).await?;
    tx.commit().await?;
    Ok(added)
}

/// New members start with everything said so far as read.
pub(super) async fn insert(
    tx: &mut SqliteConnection,
    channel_key: i64,
    players: &[PlayerId],
    now: Millis,
) -> Result<u64> {
    let added = sqlx::query(
        "INSERT INTO member (channel_key, player_id, joined_at, read_seq, read_said)
         SELECT c.key, j.value, $3, c.last_seq, c.last_said FROM channel c, json_each($2) j WHERE c.key = $1
         ON CONFLICT DO NOTHING",
    )
    .bind(channel_key)
    .bind(json(&players)?)
    .bind(now)
    .execute(&mut *tx)
    .await?
    .rows_affected();
    count(tx, channel_key, added.cast_signed()).await?;
    Ok(added)
}

/// Removes members, and what they had not read. Says how many were in.
///
/// # Errors
/// The database's.
pub async fn remove(db: &Db, channel: &Channel, players: &[PlayerId]) -> Result<u64> {
    let players = json(&players)?;
    let mut tx = db.begin().await?;
    let removed = sqlx::query(
        "DELETE FROM member WHERE channel_key = $1 AND player_id IN (SELECT value FROM json_each($2))",
    )
    .bind(channel.key)
    .bind(&players)
    .execute(&mut *tx)
    .await?
    .rows_affected();
    sqlx::query(
        "DELETE FROM mention WHERE channel_key = $1 AND player_id IN (SELECT value FROM json_each($2))",
    )
    .bind(channel.key)
    .bind(&players)
    .execute(&mut *tx)
    .await?;
    count(&mut tx, channel.key, -removed.cast_signed()).await?;
    tx.commit().await?;
    Ok(removed)
}

async fn count(tx: &mut SqliteConnection, channel_key: i64, change: i64) -> Result<()> {
    sqlx::query("UPDATE channel SET member_count = member_count + $2 WHERE key = $1")
        .bind(channel_key)
        .bind(change)
        .execute(tx)
        .await?;
    Ok(())
}

/// Up to `limit` members whose ids sort after `after`.
///
/// # Errors
/// The database's.
pub async fn page(db: &Db, channel: &Channel, after: Option<&PlayerId>, limit: i64) -> Result<Vec<Member>> {
    let members = sqlx::query_as(
        "SELECT player_id, joined_at FROM member WHERE channel_key = $1 AND player_id > $2 ORDER BY player_id LIMIT $3",
    )
    .bind(channel.key)
    .bind(after.map_or("", PlayerId::as_str))
    .bind(limit)
    .fetch_all(&db.read)
    .await?;
    Ok(members)
}

/// One channel in an inbox.
#[derive(Debug, FromRow)]
pub struct InboxRow {
    /// The channel, seen by its member.
    #[sqlx(flatten)]
    pub channel: Channel,
    /// How far the member has read.
    pub read_seq: i64,
    /// Things said that the member has not read.
    pub unread: i64,
    /// Mentions of the member among them.
    pub unread_mentions: i64,
}

/// All channels of a player, those spoken in last first.
///
/// # Errors
/// The database's.
pub async fn inbox(db: &Db, player: &PlayerId) -> Result<Vec<InboxRow>> {
    let rows = sqlx::query_as(
        "SELECT c.key, c.id, c.kind, c.name, c.open, c.min_level, c.slow_mode_s, c.read_only, c.epoch, c.last_seq,
                c.first_seq, c.member_count, c.created_at, TRUE AS member, m.read_seq,
                -- What retention deleted can't be read any more and does not count.
                min(c.last_said - m.read_said, c.last_seq - max(m.read_seq, c.first_seq - 1)) AS unread,
                (SELECT count(*) FROM mention x
                  WHERE x.player_id = $1 AND x.channel_key = c.key AND x.seq > m.read_seq) AS unread_mentions
         FROM member m JOIN channel c ON c.key = m.channel_key
         LEFT JOIN message l ON l.channel_key = c.key AND l.seq = c.last_seq
         WHERE m.player_id = $1
         ORDER BY coalesce(l.sent_at, c.created_at) DESC, c.id LIMIT $2",
    )
    .bind(player.as_str())
    .bind(MAX_INBOX as i64)
    .fetch_all(&db.read)
    .await?;
    Ok(rows)
}

/// Moves a member's read mark forward to `seq`, never back.
///
/// # Errors
/// [`Error::InvalidInput`] past the last message, [`Error::Forbidden`] for one who is no member.
pub async fn read(db: &Db, channel: &Channel, player: &PlayerId, seq: i64) -> Result<()> {
    if seq > channel.last_seq {
        return Err(Error::InvalidInput(format!(
            "seq is past the channel's last message, {}",
            channel.last_seq
        )));
    }
    let mut tx = db.begin().await?;
    let marked = sqlx::query(
        "UPDATE member SET read_seq = max(read_seq, $3), read_said = max(read_said, coalesce(
            (SELECT said FROM message WHERE channel_key = $1 AND seq <= $3 ORDER BY seq DESC LIMIT 1), 0))
         WHERE channel_key = $1 AND player_id = $2",
    )
    .bind(channel.key)
    .bind(player.as_str())
    .bind(seq)
    .execute(&mut *tx)
    .await?
    .rows_affected();
    if marked == 0 {
        return Err(Error::Forbidden {
            reason: "not_a_member",
            message: "join the channel first".to_owned(),
        });
    }
    sqlx::query("DELETE FROM mention WHERE player_id = $2 AND channel_key = $1 AND seq <= $3")
        .bind(channel.key)
        .bind(player.as_str())
        .bind(seq)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}
