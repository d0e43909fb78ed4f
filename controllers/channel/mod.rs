//! `/channel/*`: where people speak, who is there, and how far they have read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::{Known, Player, Server};
use crate::app::App;
use crate::base::error::Result;
use crate::chat::rights::Right;
use crate::chat::values::{
    ChannelId, Few, InboxCursor, Kind, MAX_MEMBERS, Name, PageSize, PlayerId, Seq, Settings, as_set,
};
use crate::service::channel as service;
use crate::store::channel::{self, Channel};
use crate::store::create::NewChannel;
use crate::store::member::{self, InboxRow};
use crate::store::message::{self, Message, Stored, Viewer};
use crate::store::rights::Rights;

mod members;
pub mod online;
pub mod role;

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

/// The caller's channels in which anything was said, those with the newest activity first, page by page.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inbox {
    /// The `next` of the page before; none for the first.
    #[serde(default)]
    after: Option<InboxCursor>,
    /// The page's size, 1 to 100.
    #[serde(default = "whole_page")]
    limit: PageSize,
}

fn whole_page() -> PageSize {
    PageSize::MAX
}

/// A page of an inbox.
#[derive(Serialize, JsonSchema)]
pub struct InboxReply {
    channels: Vec<InboxEntry>,
    /// More follow: ask again with `next` as `after`.
    more: bool,
    /// Cursor of the next page; null on the last page.
    next: Option<InboxCursor>,
}

/// One channel of an inbox.
#[derive(Serialize, JsonSchema)]
pub struct InboxEntry {
    channel: ChannelView,
    /// The newest entry.
    #[schemars(with = "Option<Message>")]
    last_message: Option<Stored>,
    /// Number of the last message that the caller has read.
    read_seq: i64,
    /// Things said that the caller has not read; the caller's own sends count as read.
    unread: i64,
    /// Mentions of the caller among them; 1,000 where there are more.
    unread_mentions: i64,
}

impl Action for Inbox {
    const ROUTE: Route = Route::get("/channel/inbox");
    type Caller = Player;
    type Reply = InboxReply;

    async fn run(self, app: &App, player: Player) -> Result<InboxReply> {
        let found = member::inbox(&app.db, &player.id, self.after.as_ref(), self.limit.and_one()).await?;
        let (mut rows, next) = self.limit.page(found, InboxRow::cursor);
        if rows.iter().any(|row| row.channel.asker_is_sanctioned()) {
            let rights = Rights::of(&app.db, &player).await?;
            rows.retain(|row| row.channel.allows(&rights, Right::Read).is_ok());
        }
        let channels: Vec<&Channel> = rows.iter().map(|row| &row.channel).collect();
        let viewer = Viewer::of(&app.db, &player, rows.iter().find_map(|row| row.block_version)).await?;
        let newest = message::newest(&app.db, &channels, &viewer).await?;
        let entry = |(row, last_message): (InboxRow, Option<Stored>)| InboxEntry {
            channel: row.channel.into(),
            last_message,
            read_seq: row.read_seq,
            unread: row.unread.max(0),
            unread_mentions: row.unread_mentions,
        };
        let channels = rows.into_iter().zip(newest).map(entry).collect();
        Ok(InboxReply { channels, more: next.is_some(), next })
    }
}

/// Move the caller's read mark forward; it never goes back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MarkRead {
    channel: ChannelId,
    /// The last message that was read.
    seq: Seq,
}

/// The caller's read mark in a channel.
#[derive(Serialize, JsonSchema)]
pub struct Marked {
    channel: String,
    seq: i64,
}

impl Action for MarkRead {
    const ROUTE: Route = Route::post("/channel/read");
    type Caller = Player;
    type Reply = Marked;

    async fn run(self, app: &App, player: Player) -> Result<Marked> {
        let channel = channel::visible(&app.db, &self.channel, &player).await?;
        member::read(&app.db, &channel, &player.id, self.seq.get()).await?;
        Ok(Marked { channel: channel.id, seq: self.seq.get() })
    }
}
