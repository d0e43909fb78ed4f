//! `/channel/online`: who of a channel's members has a socket open.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::Known;
use crate::app::App;
use crate::base::error::Result;
use crate::chat::rights::Right;
use crate::chat::values::ChannelId;
use crate::store::{channel, online};

/// Number of a channel's members who are online, and their ids.
///
/// A player is online while they have a socket. Where a server is killed, its players go offline within a minute.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelOnline {
    channel: ChannelId,
}

/// Members who are online.
#[derive(Serialize, JsonSchema)]
pub struct OnlineMembers {
    /// Number of members who are online.
    online: i64,
    /// Their ids, sorted, in guilds, parties and direct channels of up to 1,000 members; of others the number alone is told.
    players: Option<BTreeSet<String>>,
}

impl Action for ChannelOnline {
    const ROUTE: Route = Route::get("/channel/online");
    type Caller = Known;
    type Reply = OnlineMembers;

    async fn run(self, app: &App, caller: Known) -> Result<OnlineMembers> {
        let channel = channel::allowing(&app.db, &self.channel, &caller, Right::SeeOnline).await?;
        let since = app.db.now().await? - online::SILENT_MS;
        if !channel.kind().is_a_circle() || channel.member_count > online::FEW {
            let online = online::count(&app.db, &channel, since).await?;
            return Ok(OnlineMembers { online, players: None });
        }
        let members = online::members(&app.db, &[&channel.id], since).await?;
        let players: BTreeSet<String> = members.into_iter().map(|(_, player)| player).collect();
        Ok(OnlineMembers { online: players.len() as i64, players: Some(players) })
    }
}
