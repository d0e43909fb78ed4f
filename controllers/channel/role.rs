//! `/channel/role`: who keeps order in a channel, besides the moderators.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::Server;
use crate::app::App;
use crate::base::error::{Error, Result};
use crate::chat::identity::{Identity, Scope};
use crate::chat::values::{ChannelId, Kind, Nonce, PlayerId, Role};
use crate::store::channel::{self, Channel};
use crate::store::member;

/// Make a member an officer of a channel, or one like all others again.
///
/// An officer takes back any player's message there (`/message/recall`), mutes other members there for a week at most
/// (`/sanction/give` with `where` being that channel), and lifts what an officer gave (`/sanction/lift`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelRole {
    channel: ChannelId,
    /// The member.
    player: PlayerId,
    /// What they are from now on.
    role: Role,
    /// Not needed: a role is given once.
    #[serde(default)]
    #[expect(dead_code, reason = "every write takes one")]
    nonce: Option<Nonce>,
}

/// A member's role.
#[derive(Serialize, JsonSchema)]
pub struct RoleReply {
    channel: String,
    player: PlayerId,
    role: Role,
}

impl Action for ChannelRole {
    const ROUTE: Route = Route::post("/channel/role");
    type Caller = Server;
    type Reply = RoleReply;

    async fn run(self, app: &App, by: Server) -> Result<RoleReply> {
        let channel = channel::visible(&app.db, &self.channel, &by).await?;
        if channel.kind() == Kind::Direct {
            return Err(Error::Conflict("a direct channel has no officers".into()));
        }
        member::set_role(&app.db, &channel, &self.player, self.role, &by).await?;
        Ok(RoleReply { channel: channel.id, player: self.player, role: self.role })
    }
}

/// Is this caller a player who keeps order in the channel?
///
/// # Errors
/// The database's.
pub async fn is_officer(app: &App, channel: &Channel, caller: &Identity) -> Result<bool> {
    Ok(caller.scope == Scope::Player
        && member::role(&app.db, channel.key(), caller.id.as_str()).await? == Some(Role::Officer))
}

/// What anybody else is told.
pub fn refused() -> Error {
    let message = "this needs a moderator, or an officer of that channel".to_owned();
    Error::Forbidden { reason: "not_officer", message }
}

/// The channel in which this caller, a player, keeps order.
///
/// # Errors
/// [`Error::Forbidden`] where they don't.
pub async fn of_officer(app: &App, place: &str, caller: &Identity) -> Result<Channel> {
    let id = place.strip_prefix("channel:").ok_or_else(refused)?;
    let id = ChannelId::parse(id.to_owned()).map_err(|_| refused())?;
    let channel = channel::find(&app.db, &id, Some(&caller.id)).await?.ok_or_else(refused)?;
    if is_officer(app, &channel, caller).await? { Ok(channel) } else { Err(refused()) }
}
