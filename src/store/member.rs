//! Members of channels, their read marks, and their inbox.
//!
//! Unread is a subtraction of two counters, so an inbox never reads history to count.

use std::collections::HashSet;

use sqlx::FromRow;

use super::audit::{self, AuditEntry};
use super::block::block_version;
use super::channel::Channel;
use super::engine::sql::{Sql, Tx, by_dialect, values};
use super::rights::sanctioned;
use super::{Db, json, right_change};
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::chat::identity::Identity;
use crate::chat::values::{InboxCursor, MAX_EXACT, PlayerId, Role};
use crate::hub::Hub;
use crate::store::engine::DbResult;
use crate::store::life::{Erased, Exported, Kept, Life};
use serde_json::{Value, json};

/// A member, as the list shows one.
#[derive(Debug, FromRow)]
pub struct Member {
    /// The player.
    pub player_id: String,
    /// Time when the player joined.
    pub joined_at: Millis,
    /// `officer`, for one who keeps order here.
    pub role: Option<String>,
}

/// Adds members; those who are in stay as they are. Says how many are new.
///
/// # Errors
/// The database's.
pub async fn add(db: &Db, channel: &Channel, players: &[PlayerId]) -> Result<u64> {
    let mut tx = db.begin().await?;
    tx.lock_channel(channel.key).await?;
    let added = insert(&mut tx, channel.key, players, db.now().await?).await?;
    tx.commit().await?;
    tell(db, channel.id.as_str(), players);
    Ok(added)
}

/// New members start with everything said so far as read.
pub(super) async fn insert(
    tx: &mut Tx,
    channel_key: i64,
    players: &[PlayerId],
    now: Millis,
) -> DbResult<u64> {
    const INSERT: Sql = by_dialect(
        "INSERT INTO member (channel_key, player_id, joined_at, read_seq, read_said)
         SELECT c.key, j.value, $3, c.last_seq, c.last_said FROM channel c, json_each($2) j WHERE c.key = $1
         ON CONFLICT DO NOTHING",
        "INSERT INTO member (channel_key, player_id, joined_at, read_seq, read_said)
         SELECT c.key, j.value, $3, c.last_seq, c.last_said
         FROM channel c, json_array_elements_text($2::json) AS j (value) WHERE c.key = $1
         ON CONFLICT DO NOTHING",
    );
    let players: Vec<&str> = players.iter().map(PlayerId::as_str).collect();
    let players = serde_json::json!(players).to_string();
    let added = tx.execute(INSERT, values![channel_key, &players, now]).await?;
    right_change::note(tx, channel_key, &players, now).await?;
    count(tx, channel_key, added.cast_signed()).await?;
    Ok(added)
}

/// Removes members, and what they had not read. Says how many were in.
///
/// # Errors
/// The database's.
pub async fn remove(db: &Db, channel: &Channel, players: &[PlayerId]) -> Result<u64> {
    const REMOVE: Sql = by_dialect(
        "DELETE FROM member WHERE channel_key = $1 AND player_id IN (SELECT value FROM json_each($2))",
        "DELETE FROM member WHERE channel_key = $1
         AND player_id = ANY (ARRAY(SELECT json_array_elements_text($2::json)))",
    );
    // Of very many, some: those that stay count no more, and go with their messages.
    const FORGET: Sql = by_dialect(
        "DELETE FROM mention WHERE channel_key = $1 AND (player_id, seq) IN
         (SELECT m.player_id, m.seq FROM json_each($2) j
          CROSS JOIN mention m ON m.player_id = j.value AND m.channel_key = $1 LIMIT 1000)",
        "DELETE FROM mention m USING
         (SELECT x.player_id, x.seq FROM json_array_elements_text($2::json) AS j (value) CROSS JOIN LATERAL
              (SELECT player_id, seq FROM mention WHERE channel_key = $1 AND player_id = j.value LIMIT 1000) x
          LIMIT 1000) few
         WHERE m.channel_key = $1 AND m.player_id = few.player_id AND m.seq = few.seq",
    );
    let (all, players) = (players, json(&players)?);
    let now = db.now().await?;
    let mut tx = db.begin().await?;
    tx.lock_channel(channel.key).await?;
    let removed = tx.execute(REMOVE, values![channel.key, &players]).await?;
    tx.execute(FORGET, values![channel.key, &players]).await?;
    right_change::note(&mut tx, channel.key, &players, now).await?;
    count(&mut tx, channel.key, -removed.cast_signed()).await?;
    tx.commit().await?;
    tell(db, channel.id.as_str(), all);
    Ok(removed)
}

/// Notifies all who wait for the channel, and the players whose memberships changed.
pub(super) fn tell(db: &Db, channel: &str, players: &[PlayerId]) {
    db.hub().tell_members(channel);
    players.iter().for_each(|player| db.hub().tell(&Hub::of_player(player.as_str())));
}

async fn count(tx: &mut Tx, channel_key: i64, change: i64) -> DbResult<()> {
    let count = "UPDATE channel SET member_count = member_count + $2 WHERE key = $1";
    tx.execute(count, values![channel_key, change]).await?;
    Ok(())
}

/// Up to `limit` members whose ids sort after `after`.
///
/// # Errors
/// The database's.
pub async fn page(db: &Db, channel: &Channel, after: Option<&PlayerId>, limit: i64) -> Result<Vec<Member>> {
    let members = db
        .all(
            "SELECT player_id, joined_at, role FROM member WHERE channel_key = $1 AND player_id > $2
             ORDER BY player_id LIMIT $3",
            values![channel.key, after.map_or("", PlayerId::as_str), limit],
        )
        .await?;
    Ok(members)
}

/// Returns a member's role in a channel; none for a player who is no member.
///
/// # Errors
/// The database's.
pub async fn role(db: &Db, channel_key: i64, player: &str) -> Result<Option<Role>> {
    let row: Option<(Option<String>,)> = db
        .optional(
            "SELECT role FROM member WHERE channel_key = $1 AND player_id = $2",
            values![channel_key, player],
        )
        .await?;
    Ok(row.map(|(role,)| Role::of(role.as_deref())))
}

/// Makes a member an officer, or one like all others again; in the audit.
///
/// # Errors
/// [`Error::NotFound`] for one who is no member.
pub async fn set_role(
    db: &Db,
    channel: &Channel,
    player: &PlayerId,
    role: Role,
    by: &Identity,
) -> Result<()> {
    let now = db.now().await?;
    let mut tx = db.begin().await?;
    let word = (role == Role::Officer).then_some("officer");
    let sql = "UPDATE member SET role = $3 WHERE channel_key = $1 AND player_id = $2";
    if tx.execute(sql, values![channel.key, player.as_str(), word]).await? == 0 {
        return Err(Error::NotFound("member"));
    }
    let detail = serde_json::json!({ "channel": channel.id, "role": role });
    let entry = AuditEntry { action: "channel.role", player: Some(player.as_str()), detail, text: None };
    audit::add(&mut tx, by, &entry, now).await?;
    tx.commit().await?;
    audit::seal_behind(db).await;
    Ok(())
}

/// One channel in an inbox.
#[derive(Debug, FromRow)]
pub struct InboxRow {
    /// The channel, seen by its member.
    #[sqlx(flatten)]
    pub channel: Channel,
    /// Number up to which the member has read.
    pub read_seq: i64,
    /// Things said that the member has not read.
    pub unread: i64,
    /// Mentions of the member among them.
    pub unread_mentions: i64,
    last_at: Millis,
    /// Current version of the member's blocks.
    pub block_version: Option<i64>,
}

impl InboxRow {
    /// Returns the cursor of the next page, if this channel is the last of a page.
    pub fn cursor(&self) -> InboxCursor {
        InboxCursor::behind(self.last_at, &self.channel.id)
    }
}

/// A page of an inbox: which channels, from two narrow rows of each, and then all that is shown of those. What retention
/// deleted can't be read any more and does not count as unread.
macro_rules! select_inbox {
    ($least:literal, $greatest:literal) => {
        concat!(
            "SELECT c.key, c.id, c.kind, c.name, c.open, c.min_level, c.slow_mode_s, c.read_only, c.filter, c.epoch, c.last_seq, ",
            "c.first_seq, c.member_count, c.created_at, c.last_at, TRUE AS member, ",
            sanctioned!("$1"),
            ", ",
            block_version!("$1"),
            ", m.read_seq, ",
            $least, "(c.last_said - m.read_said, c.last_seq - ", $greatest, "(m.read_seq, c.first_seq - 1)) AS unread, ",
            "(SELECT count(*) FROM (SELECT 1 FROM mention x ",
            " WHERE x.player_id = $1 AND x.channel_key = c.key AND x.seq > m.read_seq LIMIT 1000) AS few) AS unread_mentions ",
            "FROM (SELECT c.key FROM member m JOIN channel c ON c.key = m.channel_key ",
            "      WHERE m.player_id = $1 AND c.last_said > 0 ",
            "        AND (c.last_at < $2 OR (c.last_at = $2 AND c.id > $3)) ",
            "      ORDER BY c.last_at DESC, c.id LIMIT $4) page ",
            "JOIN channel c ON c.key = page.key JOIN member m ON m.channel_key = c.key AND m.player_id = $1 ",
            "ORDER BY c.last_at DESC, c.id"
        )
    };
}

/// Up to `limit` channels of a player in which anything was said, those with the newest activity first.
///
/// # Errors
/// The database's.
pub async fn inbox(
    db: &Db,
    player: &PlayerId,
    after: Option<&InboxCursor>,
    limit: i64,
) -> Result<Vec<InboxRow>> {
    const INBOX: Sql = by_dialect(select_inbox!("min", "max"), select_inbox!("least", "greatest"));
    let (at, id) = after.map_or((MAX_EXACT, ""), InboxCursor::parts);
    Ok(db.all(INBOX, values![player.as_str(), at, id, limit]).await?)
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
    let marked = tx.execute(MARK, values![channel.key, player.as_str(), seq]).await?;
    if marked == 0 {
        return Err(Error::Forbidden {
            reason: "not_a_member",
            message: "join the channel first".to_owned(),
        });
    }
    // Of very many, some: those that stay count no more, and go when more is read.
    const MENTIONS: &str =
        "DELETE FROM mention WHERE player_id = $2 AND channel_key = $1 AND seq <= coalesce(
         (SELECT m.seq FROM mention m WHERE m.player_id = $2 AND m.channel_key = $1 AND m.seq <= $3
          ORDER BY m.seq LIMIT 1 OFFSET 999), $3)";
    tx.execute(MENTIONS, values![channel.key, player.as_str(), seq]).await?;
    tx.commit().await?;
    Ok(())
}

macro_rules! mark_read {
    ($greatest:literal) => {
        concat!(
            "UPDATE member SET read_seq = ",
            $greatest,
            "(read_seq, $3), ",
            "read_said = ",
            $greatest,
            "(read_said, coalesce(",
            "(SELECT said FROM message WHERE channel_key = $1 AND seq <= $3 ORDER BY seq DESC LIMIT 1), 0)) ",
            "WHERE channel_key = $1 AND player_id = $2"
        )
    };
}

const MARK: Sql = by_dialect(mark_read!("max"), mark_read!("greatest"));

/// A channel of a member, and how far they had read when they joined or since.
#[derive(FromRow)]
struct Joined {
    #[sqlx(flatten)]
    channel: Channel,
    read_seq: i64,
}

/// Up to `limit` channels that a player is a member of, those with the newest activity first, each with the player's read
/// mark.
///
/// # Errors
/// The database's.
pub async fn channels(db: &Db, player: &PlayerId, limit: i64) -> Result<Vec<(Channel, i64)>> {
    let joined: Vec<Joined> = db
        .all(
            "SELECT c.key, c.id, c.kind, c.name, c.open, c.min_level, c.slow_mode_s, c.read_only, c.filter, c.epoch, c.last_seq,
                    c.first_seq, c.member_count, c.created_at, TRUE AS member, FALSE AS sanctioned, m.read_seq
             FROM member m JOIN channel c ON c.key = m.channel_key WHERE m.player_id = $1
             ORDER BY c.last_at DESC, c.id LIMIT $2",
            values![player.as_str(), limit],
        )
        .await?;
    Ok(joined.into_iter().map(|joined| (joined.channel, joined.read_seq)).collect())
}

/// Those of some players in some channels who are members there: channel's id and player's id.
///
/// # Errors
/// The database's.
pub async fn among(db: &Db, asked: &[(&str, Vec<String>)]) -> Result<HashSet<(String, String)>> {
    const AMONG: Sql = by_dialect(
        "SELECT c.id, m.player_id FROM json_each($1) j JOIN channel c ON c.id = j.value ->> 0
         JOIN member m ON m.channel_key = c.key AND m.player_id = j.value ->> 1",
        "SELECT c.id, m.player_id FROM json_array_elements($1::json) j (value)
         JOIN channel c ON c.id = j.value ->> 0
         CROSS JOIN LATERAL (SELECT player_id FROM member
             WHERE channel_key = c.key AND player_id = j.value ->> 1 OFFSET 0) m",
    );
    let pairs: Vec<(&str, &str)> = asked
        .iter()
        .flat_map(|(channel, players)| players.iter().map(move |player| (*channel, player.as_str())))
        .collect();
    Ok(db.all(AMONG, values![&json(&pairs)?]).await?.into_iter().collect())
}

/// Retention, export and erasure rules of members.
pub(in crate::store) const LIFE: Life = Life {
    table: "member",
    kept: Kept::Until("as long as the channel, or until they leave"),
    exported: Exported::Rows("member", |db, player| Box::pin(exported(db, player))),
    erased: &[Erased::Apart("they leave each channel, as others see: service::player::erase")],
    stays: &[],
};

async fn exported(db: &Db, player: &str) -> Result<Vec<Value>> {
    let rows: Vec<(String, String, Millis, i64)> = db
        .all(
            "SELECT c.id, c.kind, m.joined_at, m.read_seq FROM member m JOIN channel c ON c.key = m.channel_key
             WHERE m.player_id = $1 ORDER BY c.id",
            values![player],
        )
        .await?;
    let row = |(channel, kind, joined_at, read_seq)| json!({ "channel": channel, "kind": kind, "joined_at": joined_at, "read_seq": read_seq });
    Ok(rows.into_iter().map(row).collect())
}
