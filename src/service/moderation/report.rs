//! Reports of messages and of players.

use super::automatic;
use crate::app::App;
use crate::base::error::{Error, Result};
use crate::chat::identity::Identity;
use crate::chat::reports::Category;
use crate::chat::values::{ChannelId, PlayerId, Seq, Text};
use crate::store::channel;
use crate::store::moderation::case::About;
use crate::store::moderation::report::{self, Reported};

/// Reports a message; very many reports hide it, where the settings say so.
///
/// # Errors
/// There is no such message, or it can't be reported; the limit of an hour.
pub async fn message(
    app: &App,
    (place, seq): (&ChannelId, Seq),
    category: Category,
    text: Option<&Text>,
    player: &Identity,
) -> Result<Reported> {
    let channel = channel::visible(&app.db, place, player).await?;
    let about = About::message(&app.db, &channel, seq.get()).await?;
    // No player's key has a slash: the game's server said it.
    if about.player.contains('/') {
        return Err(Error::InvalidInput("seq: what the game itself says can't be reported".to_owned()));
    }
    if about.player == player.id.as_str() {
        return Err(Error::InvalidInput("seq: this is a message of your own".to_owned()));
    }
    let report = report::report(&app.db, player, &about, (category, text.map(Text::as_str))).await?;
    automatic::after_report(app, &channel, seq.get(), &about).await?;
    Ok(report)
}

/// Reports a player.
///
/// # Errors
/// Nobody reports themselves; the limit of an hour.
pub async fn player(
    app: &App,
    about: &PlayerId,
    category: Category,
    text: Option<&Text>,
    player: &Identity,
) -> Result<Reported> {
    if *about == player.id {
        return Err(Error::InvalidInput("player: this is you".to_owned()));
    }
    let about = About::player(about.as_str());
    report::report(&app.db, player, &about, (category, text.map(Text::as_str))).await
}
