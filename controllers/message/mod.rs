//! `/message/*`: say something in a channel, and read what was said.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::Known;
use crate::app::App;
use crate::base::error::{Error, Result};
use crate::chat::payload::Payload;
use crate::chat::said::NewMessage;
use crate::chat::values::{
    ChannelId, Cursor, Few, MAX_EXACT, MAX_MENTIONS, Nonce, PageSize, PlayerId, Seq, Text, as_set,
};
use crate::service::message as service;
use crate::store::message::{self, Message, Page, PageEdge, Stored};
use crate::store::sends::Sent;

mod originals;
mod sync;

pub use originals::MessageOriginals;
pub use sync::SyncMessages;

/// Say something in a channel.
///
/// Blocked words come back masked. The message is stored, durably, before the reply. The caller must be a member;
/// moderators and the game's server speak anywhere and without limits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendMessage {
    /// Channel to send to.
    channel: ChannelId,
    /// Text to send: 1 to 2000 bytes.
    text: Text,
    /// Something for clients to show: coordinates, a battle report, a gift. Strings in it are filtered too.
    #[serde(default)]
    payload: Option<Payload>,
    /// Players to call by name, 20 at most; members among them see it in their inbox.
    #[serde(default)]
    mentions: Few<PlayerId, MAX_MENTIONS>,
    /// Chosen by the client: the same nonce twice is the same message once. Without one, a retry says it again.
    #[serde(default)]
    nonce: Option<Nonce>,
}

/// A message that is stored.
#[derive(Serialize, JsonSchema)]
pub struct SentReply {
    #[schemars(with = "Message")]
    message: Stored,
    /// An earlier call with this nonce stored it; this one changed nothing.
    replayed: bool,
}

impl Action for SendMessage {
    const ROUTE: Route = Route::post("/message/send");
    type Caller = Known;
    type Reply = SentReply;

    async fn run(self, app: &App, caller: Known) -> Result<SentReply> {
        let mentions = as_set(self.mentions.into_vec());
        let said = NewMessage {
            channel: self.channel,
            text: self.text,
            payload: self.payload,
            mentions,
            nonce: self.nonce,
        };
        let Sent { message, replayed } = service::send(app, said, &caller).await?;
        Ok(SentReply { message, replayed })
    }
}

/// A page of a channel's messages, ascending.
///
/// Without a cursor it is the newest page. `before` goes back in history, `after` goes forward; both exclude the
/// message they name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListMessages {
    channel: ChannelId,
    /// Messages before this number, the nearest ones. Not together with `after`.
    #[serde(default)]
    before: Option<Seq>,
    /// Messages after this number, the nearest ones; 0 starts where history begins.
    #[serde(default)]
    after: Option<Cursor>,
    /// The page's size, 1 to 100.
    #[serde(default)]
    limit: PageSize,
}

/// A page of messages.
#[derive(Serialize, JsonSchema)]
pub struct MessagePage {
    /// In ascending order of `seq`.
    #[schemars(with = "Vec<Message>")]
    messages: Stored,
    /// Changes when numbering starts over.
    epoch: String,
    /// There is more in the direction that was asked for.
    more: bool,
    /// Number to continue with: the next page's `before`, or its `after` if this call had `after`; null if there is no
    /// more.
    next: Option<i64>,
    /// Number at which history begins: older messages were deleted.
    first_seq: i64,
}

impl Action for ListMessages {
    const ROUTE: Route = Route::get("/message/list");
    type Caller = Known;
    type Reply = MessagePage;

    async fn run(self, app: &App, caller: Known) -> Result<MessagePage> {
        let limit = self.limit.get();
        let which = match (self.before, self.after) {
            (Some(_), Some(_)) => {
                return Err(Error::InvalidInput("query: before or after, not both".to_owned()));
            }
            (None, Some(after)) => PageEdge::After(after.get()),
            (before, None) => PageEdge::Before(before.map_or(MAX_EXACT, Seq::get)),
        };
        let page = message::page(&app.db, &self.channel, &caller, which, limit).await?;
        let Page { messages, epoch, more, first_seq, .. } = page;
        let next = match which {
            _ if !more => None,
            PageEdge::After(_) => messages.last_seq()?,
            PageEdge::Before(_) => messages.first_seq()?,
        };
        Ok(MessagePage { messages, epoch, more, next, first_seq })
    }
}

/// Take a message back: its text and payload go, and an entry with `ref` tells everybody.
///
/// Players take back their own, within a configured time; moderators and the game's server any, a channel's officers any
/// player's. Doing it again finds the same entry.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecallMessage {
    channel: ChannelId,
    /// The message's number.
    seq: Seq,
}

/// A message that was taken back.
#[derive(Serialize, JsonSchema)]
pub struct RecallReply {
    /// The entry that says so.
    #[schemars(with = "Message")]
    message: Stored,
}

impl Action for RecallMessage {
    const ROUTE: Route = Route::post("/message/recall");
    type Caller = Known;
    type Reply = RecallReply;

    async fn run(self, app: &App, caller: Known) -> Result<RecallReply> {
        Ok(RecallReply { message: service::recall(app, &self.channel, self.seq, &caller).await? })
    }
}
