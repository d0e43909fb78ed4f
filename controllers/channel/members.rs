//! `/channel/members`, `/channel/members-add`, `/channel/members-remove`: who is in a channel.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Changed;
use crate::api::action::{Action, Route};
use crate::api::caller::{Known, Server};
use crate::app::App;
use crate::base::error::Result;
use crate::chat::values::{ChannelId, Few, MAX_MEMBERS, PageSize, PlayerId, Role};
use crate::service::channel as service;
use crate::store::{channel, member};

/// Add players to a channel.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddMembers {
    channel: ChannelId,
    /// Players, 1000 at most.
    members: Few<PlayerId, MAX_MEMBERS>,
}

impl Action for AddMembers {
    const ROUTE: Route = Route::post("/channel/members-add");
    type Caller = Server;
    type Reply = Changed;

    async fn run(self, app: &App, server: Server) -> Result<Changed> {
        let members = self.members.into_vec();
        Ok(Changed { changed: service::add(app, &self.channel, &members, &server).await? })
    }
}

/// Remove players from a channel.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveMembers {
    channel: ChannelId,
    /// Players, 1000 at most.
    members: Few<PlayerId, MAX_MEMBERS>,
}

impl Action for RemoveMembers {
    const ROUTE: Route = Route::post("/channel/members-remove");
    type Caller = Server;
    type Reply = Changed;

    async fn run(self, app: &App, server: Server) -> Result<Changed> {
        let members = self.members.into_vec();
        Ok(Changed { changed: service::remove(app, &self.channel, &members, &server).await? })
    }
}

/// Members of a channel, page by page, sorted by id.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelMembers {
    channel: ChannelId,
    /// The last id of the page before; none for the first.
    #[serde(default)]
    after: Option<PlayerId>,
    #[serde(default)]
    limit: PageSize,
}

/// A page of members.
#[derive(Serialize, JsonSchema)]
pub struct MemberPage {
    members: Vec<MemberInfo>,
    /// More follow: ask again with `next` as `after`.
    more: bool,
    /// Cursor of the next page; null on the last page.
    next: Option<String>,
}

/// A member.
#[derive(Serialize, JsonSchema)]
pub(super) struct MemberInfo {
    /// The player's id.
    id: String,
    /// Milliseconds since 1970-01-01 UTC.
    joined_at: i64,
    /// The member's role in this channel.
    role: Role,
}

impl Action for ChannelMembers {
    const ROUTE: Route = Route::get("/channel/members");
    type Caller = Known;
    type Reply = MemberPage;

    async fn run(self, app: &App, caller: Known) -> Result<MemberPage> {
        let channel = channel::visible(&app.db, &self.channel, &caller).await?;
        let found = member::page(&app.db, &channel, self.after.as_ref(), self.limit.and_one()).await?;
        let (members, next) = self.limit.page(found, |last| last.player_id.clone());
        let info = |m: member::Member| MemberInfo {
            id: m.player_id,
            joined_at: m.joined_at,
            role: Role::of(m.role.as_deref()),
        };
        let members = members.into_iter().map(info).collect();
        Ok(MemberPage { members, more: next.is_some(), next })
    }
}
