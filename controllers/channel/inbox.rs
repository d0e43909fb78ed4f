//! `/channel/inbox` and `/channel/read`: the caller's channels, and how far they have read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ChannelView;
use crate::api::action::{Action, Route};
use crate::api::caller::Player;
use crate::app::App;
use crate::base::error::Result;
use crate::chat::rights::Right;
use crate::chat::values::{ChannelId, InboxCursor, PageSize, Seq};
use crate::store::channel::{self, Channel};
use crate::store::member::{self, InboxRow};
use crate::store::message::{self, Message, Stored, Viewer};
use crate::store::rights::Rights;

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
struct InboxEntry {
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
