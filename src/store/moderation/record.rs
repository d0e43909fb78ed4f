//! What a player said last, for moderators.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::base::error::{Error, Result};
use crate::store::Db;
use crate::store::engine::sql::values;
use crate::store::message::Message;

/// Channels that are looked into: those with the newest activity.
const CHANNELS: i64 = 100;

/// Something that a player said, as others see it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Said(#[schemars(with = "Message")] Box<RawValue>);

impl Said {
    /// Did the filter mask something in it?
    pub fn is_masked(&self) -> bool {
        // Behind `masked` stands nothing of the client's.
        self.0.get().ends_with(r#""masked":true}"#)
    }
}

/// The last messages of a player outside of direct channels, the newest first.
///
/// # Errors
/// The database's.
pub async fn last_said(db: &Db, player: &str, limit: i64) -> Result<Vec<Said>> {
    // By the index of nonces, which each message has: a place's whole history may be long. So the order is no column's.
    let rows: Vec<(String,)> = db
        .all(
            "SELECT m.shown FROM (SELECT s.channel_key FROM spoken_in s JOIN channel c ON c.key = s.channel_key
                 WHERE s.player_id = $1 AND c.kind <> 'direct' ORDER BY c.last_at DESC LIMIT $2) place
             JOIN message m ON m.channel_key = place.channel_key AND m.sender_id = $1 AND m.nonce > ''
             WHERE m.ref IS NULL AND m.change IS NULL ORDER BY m.sent_at + 0 DESC, m.seq + 0 DESC LIMIT $3",
            values![player, CHANNELS, limit],
        )
        .await?;
    let said = |(shown,)| RawValue::from_string(shown).map(Said).map_err(Error::internal);
    rows.into_iter().map(said).collect()
}
