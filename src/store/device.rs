//! Players' devices, and what they want to be told.

use sqlx::FromRow;

use super::Db;
use super::engine::sql::{Sql, by_dialect, values};
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::store::life::{Erased, Exported, Kept, Life};
use serde_json::{Value, json};

/// Devices of one player.
const EACH: i64 = 10;
/// Channels of which one player says what they want to be told.
const PREFERENCES: i64 = 1_000;
/// Devices, or players, that one question finds.
pub const PAGE: usize = 500;

/// A device to be registered.
#[derive(Debug)]
pub struct NewDevice<'a> {
    /// A hash of platform and token.
    pub id: &'a str,
    /// Id of the player who has the device now.
    pub player: &'a str,
    /// `fcm`, `apns` or `generic`.
    pub platform: &'a str,
    /// The provider's token for the device.
    pub token: &'a str,
    /// Language of the player.
    pub language: Option<&'a str>,
    /// The zone that the player plays in.
    pub zone: Option<&'a str>,
    /// The player's level.
    pub level: i64,
    /// Quiet hours, as JSON: no push then.
    pub quiet: Option<&'a str>,
    /// The app's id at Apple.
    pub topic: Option<&'a str>,
    /// Is it a development build?
    pub sandbox: bool,
}

/// A device.
#[derive(Clone, Debug, FromRow)]
pub struct Device {
    /// A hash of platform and token.
    pub id: String,
    /// Id of the player who has the device.
    pub player_id: String,
    /// `fcm`, `apns` or `generic`.
    pub platform: String,
    /// The provider's token for the device.
    pub token: String,
    /// Language of the player.
    pub language: Option<String>,
    /// Quiet hours, as JSON: no push then.
    pub quiet: Option<String>,
    /// The app's id at Apple.
    pub topic: Option<String>,
    /// Is it a development build?
    pub sandbox: bool,
    /// Time of registration.
    pub registered_at: Millis,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT d.id, d.player_id, d.platform, d.token, d.language, d.quiet, d.topic, d.sandbox, d.registered_at
             FROM device d ",
            $rest
        )
    };
}

/// Registers a device, which may have been another player's. Of more than ten the oldest are forgotten.
///
/// # Errors
/// The database's.
pub async fn register(db: &Db, new: NewDevice<'_>) -> Result<()> {
    let now = db.now().await?;
    let mut tx = db.begin().await?;
    tx.execute(
        "INSERT INTO device (id, player_id, platform, token, language, zone, level, quiet, topic, sandbox, registered_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (id) DO UPDATE SET player_id = excluded.player_id, language = excluded.language, zone = excluded.zone,
             level = excluded.level, quiet = excluded.quiet, topic = excluded.topic, sandbox = excluded.sandbox,
             registered_at = excluded.registered_at",
        values![
            new.id, new.player, new.platform, new.token, new.language, new.zone, new.level, new.quiet, new.topic,
            new.sandbox, now
        ],
    )
    .await?;
    let sql = "DELETE FROM device WHERE player_id = $1 AND id NOT IN
               (SELECT id FROM device WHERE player_id = $1 ORDER BY registered_at DESC, id LIMIT $2)";
    tx.execute(sql, values![new.player, EACH]).await?;
    Ok(tx.commit().await?)
}

/// Forgets a player's devices of a token, on whatever platform. How many there were.
///
/// # Errors
/// The database's.
pub async fn unregister(db: &Db, player: &str, token: &str) -> Result<u64> {
    Ok(db.execute("DELETE FROM device WHERE player_id = $1 AND token = $2", values![player, token]).await?)
}

/// Forgets a device that its provider calls gone, as it was registered then.
///
/// # Errors
/// The database's.
pub async fn forget(db: &Db, device: &Device) -> Result<()> {
    let sql = "DELETE FROM device WHERE id = $1 AND registered_at = $2";
    db.execute(sql, values![&device.id, device.registered_at]).await?;
    Ok(())
}

/// A player's devices.
///
/// # Errors
/// The database's.
pub async fn of_player(db: &Db, player: &str) -> Result<Vec<Device>> {
    Ok(db.all(select!("WHERE d.player_id = $1 ORDER BY d.id"), values![player]).await?)
}

/// Devices of some players, in the order of players.
///
/// # Errors
/// The database's.
pub async fn of_players(db: &Db, players: &[&str]) -> Result<Vec<Device>> {
    const DEVICES: Sql = by_dialect(
        select!("WHERE d.player_id IN (SELECT value FROM json_each($1)) ORDER BY d.player_id, d.id"),
        select!(
            "WHERE d.player_id = ANY (ARRAY(SELECT json_array_elements_text($1::json))) ORDER BY d.player_id, d.id"
        ),
    );
    Ok(db.all(DEVICES, values![&super::json(&players)?]).await?)
}

/// Says of what in a channel a player wants to be told.
///
/// # Errors
/// [`Error::Conflict`] where they said so of too many channels.
pub async fn prefer(db: &Db, player: &str, channel: &str, notify: &str, mute_until: Millis) -> Result<()> {
    let others: Option<(i64,)> = db
        .optional(
            "SELECT count(*) FROM device_preference WHERE player_id = $1 AND channel <> $2",
            values![player, channel],
        )
        .await?;
    if others.is_some_and(|(others,)| others >= PREFERENCES) {
        return Err(Error::Conflict(format!("preferences are of {PREFERENCES} channels at most").into()));
    }
    let sql = "INSERT INTO device_preference (player_id, channel, notify, mute_until) VALUES ($1, $2, $3, $4)
               ON CONFLICT (player_id, channel) DO UPDATE SET notify = excluded.notify, mute_until = excluded.mute_until";
    db.execute(sql, values![player, channel, notify, mute_until]).await?;
    Ok(())
}

/// Something was said, and who may have to be told.
#[derive(Debug)]
pub struct MessageToPush<'a> {
    /// The channel's id.
    pub channel: &'a str,
    /// The channel's key.
    pub channel_key: i64,
    /// The message's number.
    pub seq: i64,
    /// The sender's id.
    pub sender: &'a str,
    /// Are all told who say nothing else, or only those who are mentioned?
    pub all: bool,
    /// Ids of the mentioned players, as a JSON list.
    pub mentions: &'a str,
}

/// The next members behind one who have a device and want to be told: not the sender, nor who blocks the sender. There may
/// be more where there are as many as one question finds.
///
/// # Errors
/// The database's.
pub async fn to_tell(db: &Db, said: &MessageToPush<'_>, after: &str) -> Result<Vec<String>> {
    macro_rules! to_tell {
        ($mentioned:literal) => {
            concat!(
                "SELECT m.player_id FROM member m
                 LEFT JOIN device_preference p ON p.player_id = m.player_id AND p.channel = $1
                 WHERE m.channel_key = $2 AND m.player_id > $3 AND m.player_id <> $4
                   AND (coalesce(p.notify, $6) = 'all' OR coalesce(p.notify, $6) = 'mentions' AND m.player_id IN (SELECT value FROM ",
                $mentioned,
                "))
                   AND coalesce(p.mute_until, 0) <= $5
                   AND EXISTS (SELECT 1 FROM device d WHERE d.player_id = m.player_id)
                   AND NOT EXISTS (SELECT 1 FROM block b WHERE b.player_id = m.player_id AND b.blocked_id = $4)
                 ORDER BY m.player_id LIMIT $7"
            )
        };
    }
    const TO_TELL: Sql =
        by_dialect(to_tell!("json_each($8)"), to_tell!("json_array_elements_text($8::json)"));
    let usual = if said.all { "all" } else { "mentions" };
    let values = values![
        said.channel,
        said.channel_key,
        after,
        said.sender,
        db.now().await?,
        usual,
        PAGE as i64,
        said.mentions
    ];
    let rows: Vec<(String,)> = db.all(TO_TELL, values).await?;
    Ok(rows.into_iter().map(|(player,)| player).collect())
}

/// Is a member somebody who has a device and wants to be told, and does not block the sender?
///
/// # Errors
/// The database's.
pub async fn wants(db: &Db, said: &MessageToPush<'_>, player: &str) -> Result<bool> {
    let now = db.now().await?;
    let found: Option<(i64,)> = db
        .optional(
            "SELECT CAST(1 AS BIGINT) FROM member m
             LEFT JOIN device_preference p ON p.player_id = m.player_id AND p.channel = $1
             WHERE m.channel_key = $2 AND m.player_id = $3 AND m.player_id <> $4
               AND EXISTS (SELECT 1 FROM device d WHERE d.player_id = m.player_id)
               AND NOT EXISTS (SELECT 1 FROM block b WHERE b.player_id = m.player_id AND b.blocked_id = $4)
               AND coalesce(p.notify, 'all') <> 'none' AND coalesce(p.mute_until, 0) <= $5",
            values![said.channel, said.channel_key, player, said.sender, now],
        )
        .await?;
    Ok(found.is_some())
}

/// The next devices behind one, of players of a zone and of some levels who have no socket now.
///
/// # Errors
/// The database's.
pub async fn away(
    db: &Db,
    after: &str,
    (zone, least, most): (Option<&str>, i64, i64),
    online_since: Millis,
) -> Result<Vec<Device>> {
    let sql = select!(
        "WHERE d.id > $1 AND ($2 IS NULL OR d.zone = $2) AND d.level BETWEEN $3 AND $4
           AND NOT EXISTS (SELECT 1 FROM online o JOIN process p ON p.id = o.process_id
                           WHERE o.player_id = d.player_id AND p.seen_at >= $5)
         ORDER BY d.id LIMIT $6"
    );
    Ok(db.all(sql, values![after, zone, least, most, online_since, PAGE as i64]).await?)
}

/// Retention, export and erasure rules of devices.
pub(in crate::store) const LIFE: Life = Life {
    table: "device",
    kept: Kept::Until("until they are unregistered, or their provider knows them no more"),
    exported: Exported::Rows("device", |db, player| Box::pin(exported(db, player))),
    erased: &[Erased::By("DELETE FROM device WHERE player_id = $1")],
    stays: &[],
};

/// Retention, export and erasure rules of players' push preferences for channels.
pub(in crate::store) const PREFERENCE: Life = Life {
    table: "device_preference",
    kept: Kept::Until("until the player is forgotten"),
    exported: Exported::No("settings"),
    erased: &[Erased::Some(
        "DELETE FROM device_preference WHERE (player_id, channel) IN (SELECT player_id, channel FROM device_preference WHERE player_id = $1 LIMIT $2)",
    )],
    stays: &[],
};

async fn exported(db: &Db, player: &str) -> Result<Vec<Value>> {
    let sql = "SELECT platform, token, language, registered_at FROM device WHERE player_id = $1 ORDER BY registered_at";
    let rows: Vec<(String, String, Option<String>, Millis)> = db.all(sql, values![player]).await?;
    let row = |(platform, token, language, at)| json!({ "platform": platform, "token": token, "language": language, "at": at });
    Ok(rows.into_iter().map(row).collect())
}
