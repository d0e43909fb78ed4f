//! Officers: members who keep order in a channel, besides the moderators.

use crate::app::App;
use crate::base::error::{Error, Result};
use crate::chat::identity::Identity;
use crate::chat::rights::{Refusal, Right};
use crate::chat::values::{ChannelId, Kind, PlayerId, Role};
use crate::store::channel::{self, Channel};
use crate::store::member;
use crate::store::rights::Rights;

/// Gives a member a role.
///
/// # Errors
/// [`Error::NotFound`] for one who is no member; a direct channel has no officers.
pub async fn set_role(
    app: &App,
    place: &ChannelId,
    player: &PlayerId,
    role: Role,
    by: &Identity,
) -> Result<()> {
    let channel = channel::visible(&app.db, place, by).await?;
    if channel.kind() == Kind::Direct {
        return Err(Error::Conflict("a direct channel has no officers".into()));
    }
    member::set_role(&app.db, &channel, player, role, by).await
}

/// Decides whether this caller has an officer's right in a channel that was found for them.
///
/// # Errors
/// The database's.
pub async fn may(
    app: &App,
    right: Right,
    channel: &Channel,
    caller: &Identity,
) -> Result<Result<(), Refusal>> {
    let role = match caller.is_staff() {
        true => None,
        false => member::role(&app.db, channel.key(), caller.id.as_str()).await?,
    };
    let rights = Rights::if_sanctioned(&app.db, caller, channel.asker_is_sanctioned()).await?;
    Ok(rights.may(right, &channel.place(), role))
}

/// Returns the error for callers who are neither moderators nor officers there.
pub fn refused() -> Error {
    Refusal::NotOfficer.into()
}

/// The channel in which this caller, a player, keeps order.
///
/// # Errors
/// [`Error::Forbidden`] where they don't.
pub async fn of_officer(app: &App, place: &str, caller: &Identity) -> Result<Channel> {
    let id = place.strip_prefix("channel:").ok_or_else(refused)?;
    let id = ChannelId::parse(id.to_owned()).map_err(|_| refused())?;
    let channel = channel::find(&app.db, &id, Some(&caller.id)).await?.ok_or_else(refused)?;
    may(app, Right::Mute, &channel, caller).await??;
    Ok(channel)
}
