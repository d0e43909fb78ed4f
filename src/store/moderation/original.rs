//! Messages as they were really written: read by moderators, with a reason that goes to the audit before anything is
//! shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use crate::base::error::{Error, Result};
use crate::chat::identity::Identity;
use crate::store::Db;
use crate::store::audit::{self, AuditEntry};
use crate::store::channel::Channel;
use crate::store::engine::sql::values;

/// A message as its sender wrote it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Original {
    /// The text.
    pub text: String,
    /// The object that came with it.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub payload: Option<Box<RawValue>>,
}

/// Reads what was written, and writes down who did and why.
///
/// # Errors
/// [`Error::NotFound`] where nothing was said under that number.
pub async fn read(db: &Db, channel: &Channel, seq: i64, reason: &str, by: &Identity) -> Result<Original> {
    // Where others see what was written, that is kept once.
    let said: Option<(String, String)> = db
        .optional(
            "SELECT sender_id, coalesce(original, shown) FROM message 
             WHERE channel_key = $1 AND seq = $2 AND ref IS NULL AND change IS NULL",
            values![channel.key(), seq],
        )
        .await?;
    let (sender, written) = said.ok_or(Error::NotFound("message"))?;
    let now = db.now().await?;
    let mut tx = db.begin().await?;
    let detail = json!({ "channel": channel.id, "seq": seq });
    let entry = AuditEntry { action: "message.originals", player: Some(&sender), detail, text: Some(reason) };
    audit::add(&mut tx, by, &entry, now).await?;
    tx.commit().await?;
    audit::seal_behind(db).await;
    serde_json::from_str(&written).map_err(Error::internal)
}
