//! Actions that the program takes by itself, each with its row of the audit.

use serde_json::json;

use super::case::{self, About};
use crate::base::error::Result;
use crate::chat::identity::Identity;
use crate::store::audit::{self, AuditEntry};
use crate::store::channel::Channel;
use crate::store::{Db, message};

/// Hides a message that many have reported, until its case is decided. False where it is hidden or gone.
///
/// # Errors
/// The database's.
pub async fn hide(db: &Db, channel: &Channel, seq: i64, author: &str) -> Result<bool> {
    let now = db.now().await?;
    let mut tx = db.begin().await?;
    tx.lock_channel(channel.key()).await?;
    let Some(number) = message::hide(&mut tx, channel, seq, now).await? else { return Ok(false) };
    let detail = json!({ "channel": channel.id, "seq": seq });
    let entry = AuditEntry { action: "message.hide", player: Some(author), detail, text: None };
    audit::add(&mut tx, &Identity::us(), &entry, now).await?;
    tx.commit().await?;
    db.hub().said(&channel.id, channel.key(), number);
    audit::seal_behind(db).await;
    Ok(true)
}

/// Opens a case about a message that the filter wants to be looked at; where there is one, that is it.
///
/// # Errors
/// The database's.
pub async fn open_case(db: &Db, about: &About) -> Result<()> {
    let now = db.now().await?;
    let mut tx = db.begin().await?;
    if let Some(id) = case::open_unreported(&mut tx, about, now).await? {
        let detail = json!({ "case": id });
        let entry = AuditEntry { action: "case.open", player: Some(&about.player), detail, text: None };
        audit::add(&mut tx, &Identity::us(), &entry, now).await?;
        tx.commit().await?;
        audit::seal_behind(db).await;
    }
    Ok(())
}
