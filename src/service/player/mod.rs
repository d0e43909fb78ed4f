//! Long work on what is kept about a player: begun once for a nonce, in the audit, and done by a task.

use serde_json::{Value, json};

use crate::app::App;
use crate::base::error::Result;
use crate::chat::identity::Identity;
use crate::chat::values::{Nonce, PlayerId};
use crate::store::moderation::started::{self, NewWork};
use crate::store::outbox::NewTask;
use crate::work::task;

pub mod erase;
pub mod export;

/// Work to be begun.
pub(super) struct Work<'a> {
    /// Name of the action in the audit log: `player.erase`, …
    pub(super) action: &'static str,
    /// On whom.
    pub(super) player: &'a PlayerId,
    /// The same twice is the same work once.
    pub(super) nonce: Option<&'a Nonce>,
    /// More of it, for the audit.
    pub(super) detail: Value,
    /// Reason for the work.
    pub(super) reason: Option<&'a str>,
}

impl<'a> Work<'a> {
    /// Some without a nonce or a reason.
    pub(super) fn on(player: &'a PlayerId, action: &'static str) -> Self {
        Self { action, player, nonce: None, detail: json!({}), reason: None }
    }
}

/// Begins work, and gives the id of the task that does it.
pub(super) async fn begun(app: &App, work: Work<'_>, task: &NewTask, by: &Identity) -> Result<String> {
    let Work { action, player, nonce, detail, reason } = work;
    let what = action.rsplit('.').next().unwrap_or(action);
    let id = task::id_of(what, by, nonce);
    let new = NewWork { action, id: &id, player: player.as_str(), detail, reason };
    started::begin(&app.db, new, by, task).await?;
    Ok(id)
}
