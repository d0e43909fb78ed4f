//! `/message/sync`: what is new in many channels at once, now or as soon as there is something.

use std::collections::HashSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::Known;
use crate::app::App;
use crate::base::error::{Error, Result};
use crate::base::random;
use crate::chat::values::{ChannelId, Cursor, Few, MAX_SYNC_CHANNELS, PageSize};
use crate::service::message::{ChannelNews, Position, Unseen, wait_for_news};
use crate::store::message::{Message, Stored};

/// New messages in many channels at once: the call that a client polls with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SyncMessages {
    /// Each channel once, 100 at most.
    channels: Few<SyncCursor, MAX_SYNC_CHANNELS>,
    /// The most messages for each channel, 1 to 100.
    #[serde(default)]
    limit: PageSize,
    /// Answer only when there is something new, or after so many seconds; `wait_max_s` of the reply at most.
    #[serde(default)]
    wait_s: Option<u32>,
}

/// The client's position in a channel.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SyncCursor {
    channel: ChannelId,
    /// The last number the client has; 0 for none.
    after: Cursor,
    /// The epoch the client has it from; none if it does not know.
    #[serde(default)]
    epoch: Option<String>,
}

/// New messages, in the order of the request.
#[derive(Serialize, JsonSchema)]
pub struct SyncReply {
    channels: Vec<SyncedChannel>,
    /// The longest that `wait_s` may be; 0 where nobody waits.
    wait_max_s: u64,
    /// Nothing is new, and no waiting was possible: ask again after so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u64>,
}

/// New messages in one channel.
#[derive(Serialize, JsonSchema)]
pub(super) struct SyncedChannel {
    /// The channel's id.
    channel: String,
    /// None where the caller sees no such channel.
    epoch: Option<String>,
    /// Numbering started over: forget what you have; the messages here are the first ones.
    reset: bool,
    /// Number at which history begins: messages below it were deleted, and are not missing. Null if the caller sees no
    /// such channel.
    first_seq: Option<i64>,
    /// In ascending order of `seq`.
    #[schemars(with = "Vec<Message>")]
    messages: Stored,
    /// Ask again: there is more.
    more: bool,
    /// `not_found` where the caller sees no such channel (any more), `forbidden` where they are banned; the others are
    /// answered all the same.
    error: Option<SyncError>,
}

/// Reason why a channel is not answered.
#[derive(Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SyncError {
    /// The caller sees no such channel, or does not any more.
    NotFound,
    /// The caller is banned there.
    Forbidden,
}

impl From<Unseen> for SyncError {
    fn from(why: Unseen) -> Self {
        match why {
            Unseen::NotFound => Self::NotFound,
            Unseen::Forbidden => Self::Forbidden,
        }
    }
}

impl Action for SyncMessages {
    const ROUTE: Route = Route::post("/message/sync");
    type Caller = Known;
    type Reply = SyncReply;
    const WAITS: bool = true;

    async fn run(self, app: &App, caller: Known) -> Result<SyncReply> {
        let positions: Vec<Position> = self.channels.into_vec().into_iter().map(Position::from).collect();
        let ids: HashSet<&ChannelId> = positions.iter().map(|position| &position.channel).collect();
        if ids.len() < positions.len() {
            return Err(Error::InvalidInput("body: channels: name each channel once".to_owned()));
        }
        let wanted = Duration::from_secs(self.wait_s.unwrap_or_default().into());
        let answer = wait_for_news(app, &caller, &positions, self.limit.get(), wanted).await?;
        let refused = !wanted.is_zero() && !answer.waited && !answer.has_news();
        Ok(SyncReply {
            retry_after_s: refused.then(|| 1 + random::below(3)),
            wait_max_s: app.config.live_wait.as_secs(),
            channels: answer.channels.into_iter().map(SyncedChannel::from).collect(),
        })
    }
}

impl From<SyncCursor> for Position {
    fn from(cursor: SyncCursor) -> Self {
        let SyncCursor { channel, after, epoch } = cursor;
        Self { channel, after, epoch }
    }
}

impl From<ChannelNews> for SyncedChannel {
    fn from(news: ChannelNews) -> Self {
        let ChannelNews { channel, epoch, reset, first_seq, messages, more, error, .. } = news;
        let error = error.map(SyncError::from);
        Self { channel, epoch, reset, first_seq, messages, more, error }
    }
}
