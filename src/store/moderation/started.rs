//! Slow work about a player, as somebody begins it: its task, and its row of the audit.

use serde_json::Value;

use crate::base::error::{Error, Result};
use crate::chat::identity::Identity;
use crate::store::Db;
use crate::store::audit::{self, AuditEntry};
use crate::store::outbox::{self, NewTask};

/// Work that is to begin.
pub struct NewWork<'a> {
    /// Name of the action in the audit: `player.purge`, …
    pub action: &'static str,
    /// Id of the work's task.
    pub id: &'a str,
    /// Id of the player whom the work is about.
    pub player: &'a str,
    /// Details, for programs.
    pub detail: Value,
    /// Reason, if one was given.
    pub reason: Option<&'a str>,
}

/// Begins the work; under an id that was used already, that is the work begun before.
///
/// # Errors
/// [`Error::Conflict`] for the id of another one.
pub async fn begin(db: &Db, new: NewWork<'_>, by: &Identity, task: &NewTask) -> Result<()> {
    let now = db.now().await?;
    let mut tx = db.begin().await?;
    if !outbox::add_once(&mut tx, db, new.id, task, now).await? {
        drop(tx);
        let same = outbox::is_of_key(db, new.id, &task.key).await?;
        return same
            .then_some(())
            .ok_or_else(|| Error::Conflict("this nonce was used for another player".into()));
    }
    let mut detail = new.detail;
    detail["task"] = new.id.into();
    let entry = AuditEntry { action: new.action, player: Some(new.player), detail, text: new.reason };
    audit::add(&mut tx, by, &entry, now).await?;
    tx.commit().await?;
    db.note_enqueued();
    audit::seal_behind(db).await;
    Ok(())
}
