//! `/channel/*`: where people speak, who is there, and how far they have read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::{Known, Player, Server};
use crate::app::App;
use crate::base::error::Result;
use crate::chat::values::{ChannelId, Few, Kind, MAX_MEMBERS, Name, PlayerId, Settings, as_set};
use crate::service::channel as service;
use crate::store::channel::{self, Channel};
use crate::store::create::NewChannel;

mod inbox;
mod members;
pub mod online;
pub mod role;

pub use inbox::{Inbox, MarkRead};
pub use members::{AddMembers, ChannelMembers, RemoveMembers};

/// A channel, as those see it who may.
#[derive(Serialize, JsonSchema)]
pub struct ChannelView {
    id: String,
    kind: Kind,
    name: Option<String>,
    settings: Settings,
    /// Changes when numbering starts over; a client with another one forgets what it has.
    epoch: String,
    /// The last message's number, 0 before the first.
    last_seq: i64,
    /// Number at which history begins: older messages were deleted.
    first_seq: i64,
    /// Number of members.
    members: i64,
    /// Milliseconds since 1970-01-01 UTC.
    created_at: i64,
}

impl From<Channel> for ChannelView {
    fn from(channel: Channel) -> Self {
        Self {
            kind: channel.kind(),
            settings: channel.settings(),
            id: channel.id,
            name: channel.name,
            epoch: channel.epoch,
            last_seq: channel.last_seq,
            first_seq: channel.first_seq,
            members: channel.member_count,
            created_at: channel.created_at,
        }
    }
}

/// Make a channel.
///
/// The same call again finds the same channel; with other input it is a conflict (409). A direct channel has
/// exactly two members, and two players have one at most.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateChannel {
    /// The channel's id, chosen by the game's server.
    id: ChannelId,
    /// Purpose of the channel.
    kind: Kind,
    /// A name to show.
    #[serde(default)]
    name: Option<Name>,
    /// The channel's first members, 1000 at most.
    #[serde(default)]
    members: Few<PlayerId, MAX_MEMBERS>,
    /// Settings of the channel; by default it is closed and has no limits.
    #[serde(default)]
    settings: Settings,
}

impl Action for CreateChannel {
    const ROUTE: Route = Route::post("/channel/create");
    type Caller = Server;
    type Reply = ChannelView;

    async fn run(self, app: &App, _: Server) -> Result<ChannelView> {
        let Self { id, kind, name, members, settings } = self;
        let new = NewChannel { id, kind, name, members: as_set(members.into_vec()), settings };
        Ok(service::create(app, new).await?.into())
    }
}

/// The one direct channel of the caller and another player, made where there is none.
///
/// A player opens `GUILDHALL_DIRECT_LIMIT` in a day at most (`rate_limited`, reason `direct`); `GUILDHALL_DIRECT_FROM` says
/// with whom (`forbidden`, reason `strangers`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DirectChannel {
    /// The other player.
    player: PlayerId,
}

impl Action for DirectChannel {
    const ROUTE: Route = Route::post("/channel/direct");
    type Caller = Player;
    type Reply = ChannelView;

    async fn run(self, app: &App, player: Player) -> Result<ChannelView> {
        Ok(service::direct(app, self.player, &player).await?.into())
    }
}

/// Join an open channel; once in, joining again changes nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinChannel {
    channel: ChannelId,
}

impl Action for JoinChannel {
    const ROUTE: Route = Route::post("/channel/join");
    type Caller = Player;
    type Reply = ChannelView;

    async fn run(self, app: &App, player: Player) -> Result<ChannelView> {
        Ok(service::join(app, &self.channel, &player).await?.into())
    }
}

/// Leave a channel; once out, leaving again changes nothing. Direct channels stay.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaveChannel {
    channel: ChannelId,
}

/// Number of members that a call changed.
#[derive(Serialize, JsonSchema)]
pub struct Changed {
    /// Members for whom something changed; those who were in, or out, already are not counted.
    changed: u64,
}

impl Action for LeaveChannel {
    const ROUTE: Route = Route::post("/channel/leave");
    type Caller = Player;
    type Reply = Changed;

    async fn run(self, app: &App, player: Player) -> Result<Changed> {
        Ok(Changed { changed: service::leave(app, &self.channel, &player).await? })
    }
}

/// Details of a channel: its kind, name, settings, message numbers and number of members.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelInfo {
    channel: ChannelId,
}

impl Action for ChannelInfo {
    const ROUTE: Route = Route::get("/channel/info");
    type Caller = Known;
    type Reply = ChannelView;

    async fn run(self, app: &App, caller: Known) -> Result<ChannelView> {
        Ok(channel::visible(&app.db, &self.channel, &caller).await?.into())
    }
}
