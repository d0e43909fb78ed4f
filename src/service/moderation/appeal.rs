//! Decisions about appeals; their players are told.

use super::told::{PlayerNews, TellPlayer};
use crate::app::App;
use crate::base::error::{Error, Result};
use crate::chat::identity::Identity;
use crate::chat::values::{Nonce, PlayerId, RecordId, Text};
use crate::store::moderation::By;
use crate::store::moderation::appeal::{self, Appeal};
use crate::work::task;

/// Decides an appeal, once for a nonce: the sanction is lifted, or stays.
///
/// # Errors
/// [`Error::NotFound`] where there is none, [`Error::Conflict`] where it is decided.
pub async fn decide(
    app: &App,
    id: &RecordId,
    (lifts, reason): (bool, &Text),
    nonce: Option<&Nonce>,
    by: &Identity,
) -> Result<Appeal> {
    let appeal = appeal::find(&app.db, id.as_str()).await?;
    let player = PlayerId::parse(appeal.player_id).map_err(Error::internal)?;
    let told = task::new(&TellPlayer { player, news: PlayerNews::Appeal(appeal.id) })?;
    let by = By { who: by, nonce: nonce.map(Nonce::as_str) };
    appeal::decide(&app.db, id.as_str(), (lifts, reason.as_str()), &by, &told).await
}
