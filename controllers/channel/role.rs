//! `/channel/role`: who keeps order in a channel, besides the moderators.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::Server;
use crate::app::App;
use crate::base::error::Result;
use crate::chat::values::{ChannelId, Nonce, PlayerId, Role};
use crate::service::moderation::officers;

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
    /// The member's new role.
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
        officers::set_role(app, &self.channel, &self.player, self.role, &by).await?;
        Ok(RoleReply { channel: self.channel.to_string(), player: self.player, role: self.role })
    }
}
