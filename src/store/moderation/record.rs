//! A player's latest messages, for moderators.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::base::error::{Error, Result};
use crate::store::Db;
use crate::store::engine::sql::{Sql, by_dialect, values};
use crate::store::message::Message;

/// Channels that are looked into: those with the newest activity.
const CHANNELS: i64 = 100;

/// Something that a player said, as others see it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(rename = "SaidMessage")]
pub struct RecordedMessage(#[schemars(with = "Message")] Box<RawValue>);

impl RecordedMessage {
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
pub async fn last_said(db: &Db, player: &str, limit: i64) -> Result<Vec<RecordedMessage>> {
    // By the index of nonces, which each message has: a place's whole history may be long. It knows the numbers too, so that of
    // each place the last few alone are read. The order of what it finds is no column's.
    const SAID: Sql = by_dialect(
        "SELECT m.shown FROM (SELECT s.channel_key FROM spoken_in s JOIN channel c ON c.key = s.channel_key
             WHERE s.player_id = $1 AND c.kind <> 'direct' ORDER BY c.last_at DESC LIMIT $2) place
         CROSS JOIN message m WHERE m.channel_key = place.channel_key AND m.seq IN
             (SELECT n.seq FROM message n WHERE n.channel_key = place.channel_key AND n.sender_id = $1 AND n.nonce > ''
              ORDER BY n.seq + 0 DESC LIMIT $3)
         ORDER BY m.sent_at + 0 DESC, m.seq + 0 DESC LIMIT $3",
        "SELECT m.shown FROM (SELECT s.channel_key FROM spoken_in s JOIN channel c ON c.key = s.channel_key
             WHERE s.player_id = $1 AND c.kind <> 'direct' ORDER BY c.last_at DESC LIMIT $2) place
         CROSS JOIN LATERAL
             (SELECT n.seq FROM message n WHERE n.channel_key = place.channel_key AND n.sender_id = $1 AND n.nonce > ''
              ORDER BY n.seq + 0 DESC LIMIT $3) last
         CROSS JOIN LATERAL
             (SELECT shown, sent_at FROM message WHERE channel_key = place.channel_key AND seq = last.seq OFFSET 0) m
         ORDER BY m.sent_at DESC, last.seq DESC LIMIT $3",
    );
    let rows: Vec<(String,)> = db.all(SAID, values![player, CHANNELS, limit]).await?;
    let said = |(shown,)| RawValue::from_string(shown).map(RecordedMessage).map_err(Error::internal);
    rows.into_iter().map(said).collect()
}
