//! Channels that are made, and who comes and goes.

use crate::app::App;
use crate::base::error::{Error, Result};
use crate::chat::identity::Identity;
use crate::chat::rights::{ChannelState, Right};
use crate::chat::values::{ChannelId, Kind, PlayerId};
use crate::config::moderation::{DirectFrom, Moderation};
use crate::store::channel::{self, Channel};
use crate::store::create::{self, DIRECT, NewChannel, OF_PLAYER};
use crate::store::member;
use crate::store::rights::Rights;

/// Makes a channel; the same call again finds the same one.
///
/// # Errors
/// [`Error::Conflict`] where it is there with other input; an id, or members, that such a channel can't have.
pub async fn create(app: &App, new: NewChannel) -> Result<Channel> {
    if new.kind == Kind::Direct && (new.members.len() != 2 || new.settings.open) {
        return Err(Error::InvalidInput("a direct channel has two members and is not open".to_owned()));
    }
    if let Some(prefix) = [DIRECT, OF_PLAYER].iter().find(|prefix| new.id.as_str().starts_with(**prefix)) {
        return Err(Error::InvalidInput(format!("id: ids that begin with {prefix} are made by themselves")));
    }
    create::create(&app.db, new).await
}

/// The one direct channel of the caller and another player, made where there is none.
///
/// # Errors
/// The caller is banned there, or may not write to this player; their limit of a day.
pub async fn direct(app: &App, other: PlayerId, player: &Identity) -> Result<Channel> {
    if other == player.id {
        return Err(Error::InvalidInput("player: a direct channel is with somebody else".to_owned()));
    }
    let channel = NewChannel::direct(player.id.clone(), other.clone()).id;
    let place = ChannelState::seen(channel.as_str(), Kind::Direct);
    Rights::of(&app.db, player).await?.may(Right::Read, &place, None)?;
    let Moderation { direct_from, direct_limit, .. } = app.config.moderation;
    let limit = direct_limit.filter(|_| !player.is_staff());
    let from = if player.is_staff() { DirectFrom::Anyone } else { direct_from };
    create::direct(&app.db, player.id.clone(), other, (from, limit)).await
}

/// Joins an open channel; who is in stays in.
///
/// # Errors
/// [`Error::Forbidden`] where it is not open.
pub async fn join(app: &App, place: &ChannelId, player: &Identity) -> Result<Channel> {
    app.joins.count_caller(player, app.clock.now())?;
    let mut channel = channel::allowing(&app.db, place, player, Right::Join).await?;
    if !channel.member {
        let joined = member::add(&app.db, &channel, std::slice::from_ref(&player.id)).await?;
        channel.member_count += joined.cast_signed();
    }
    Ok(channel)
}

/// Leaves a channel. Says how many members that changed.
///
/// # Errors
/// [`Error::Forbidden`] for a direct channel, which stays.
pub async fn leave(app: &App, place: &ChannelId, player: &Identity) -> Result<u64> {
    app.joins.count_caller(player, app.clock.now())?;
    let channel = channel::visible(&app.db, place, player).await?;
    if channel.kind() == Kind::Direct {
        return Err(Error::Forbidden {
            reason: "direct",
            message: "a direct channel can't be left".to_owned(),
        });
    }
    member::remove(&app.db, &channel, std::slice::from_ref(&player.id)).await
}

/// Adds players. Says how many are new.
///
/// # Errors
/// [`Error::Conflict`] for a direct channel.
pub async fn add(app: &App, place: &ChannelId, players: &[PlayerId], by: &Identity) -> Result<u64> {
    member::add(&app.db, &changeable(app, place, by).await?, players).await
}

/// Removes players. Says how many were in.
///
/// # Errors
/// [`Error::Conflict`] for a direct channel.
pub async fn remove(app: &App, place: &ChannelId, players: &[PlayerId], by: &Identity) -> Result<u64> {
    member::remove(&app.db, &changeable(app, place, by).await?, players).await
}

async fn changeable(app: &App, place: &ChannelId, by: &Identity) -> Result<Channel> {
    let channel = channel::visible(&app.db, place, by).await?;
    if channel.kind() == Kind::Direct {
        return Err(Error::Conflict("a direct channel keeps its two members".into()));
    }
    Ok(channel)
}
