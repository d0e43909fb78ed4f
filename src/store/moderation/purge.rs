//! A purge as moderators begin it: its task, and its row of the audit.

use serde_json::json;

use super::audit::{self, Entry};
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::chat::identity::Identity;
use crate::store::Db;
use crate::store::outbox::{self, NewTask};

/// A purge that is to begin.
pub struct NewPurge<'a> {
    /// Its task's id.
    pub id: &'a str,
    /// Whose words.
    pub player: &'a str,
    /// Those since this time.
    pub since: Millis,
    /// Why.
    pub reason: &'a str,
}

/// Begins a purge; under an id that was used it is the one that was begun.
///
/// # Errors
/// [`Error::Conflict`] for the id of another one.
pub async fn begin(db: &Db, new: &NewPurge<'_>, by: &Identity, task: &NewTask) -> Result<()> {
    let now = db.now().await?;
    let mut tx = db.begin().await?;
    if !outbox::add_once(&mut tx, db, new.id, task, now).await? {
        drop(tx);
        let same = outbox::find(db, new.id).await?.payload == task.payload;
        return if same {
            Ok(())
        } else {
            Err(Error::Conflict("this nonce was used for another purge".into()))
        };
    }
    let detail = json!({ "task": new.id, "since": new.since });
    let entry = Entry { action: "player.purge", player: Some(new.player), detail, text: Some(new.reason) };
    audit::add(&mut tx, by, &entry, now).await?;
    tx.commit().await?;
    db.note_enqueued();
    audit::seal_behind(db).await;
    Ok(())
}
