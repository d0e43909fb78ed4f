//! `/message/sync`: what is new in many channels at once, now or as soon as there is something.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use crate::api::action::{Action, Route};
use crate::api::caller::Known;
use crate::app::App;
use crate::base::error::{Error, Result};
use crate::base::{random, seat};
use crate::chat::identity::Identity;
use crate::chat::values::{ChannelId, Cursor, Few, MAX_SYNC_CHANNELS, PageSize};
use crate::hub::Watch;
use crate::store::channel::{self, Standing};
use crate::store::message::{self, Message, Stored, Viewer};

/// What is new in many channels at once: the call that a client polls with.
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

/// Where a client stands in a channel.
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

/// What is new, in the order of the request.
#[derive(Serialize, JsonSchema)]
pub struct SyncReply {
    channels: Vec<SyncedChannel>,
    /// The longest that `wait_s` may be; 0 where nobody waits.
    wait_max_s: u64,
    /// Nothing is new, and no waiting was possible: ask again after so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u64>,
    #[serde(skip)]
    waited: bool,
}

/// What is new in one channel.
#[derive(Serialize, JsonSchema)]
pub struct SyncedChannel {
    /// Its id.
    pub channel: String,
    /// None where the caller sees no such channel.
    pub epoch: Option<String>,
    /// Numbering started over: forget what you have; the messages here are the first ones.
    pub reset: bool,
    /// Where history begins: numbers below it were deleted, and are not missing. None where the caller sees no such channel.
    pub first_seq: Option<i64>,
    /// The channel's key, the last number there is, and the last that is known with this.
    #[serde(skip)]
    key: Option<i64>,
    #[serde(skip)]
    last_seq: i64,
    #[serde(skip)]
    reached: i64,
    /// In ascending order of `seq`.
    #[schemars(with = "Vec<Message>")]
    pub messages: Stored,
    /// Ask again: there is more.
    pub more: bool,
    /// `not_found` where the caller sees no such channel (any more), `forbidden` where they are banned; the others are
    /// answered all the same.
    pub error: Option<&'static str>,
}

/// Messages in one reply of sync; past that, channels say `more`.
const SYNC_MESSAGES: i64 = 500;
/// Bytes of messages in one reply of sync: with what stands around them it has at most 1 MiB.
const SYNC_BYTES: usize = 1_000_000;

impl Action for SyncMessages {
    const ROUTE: Route = Route::post("/message/sync");
    type Caller = Known;
    type Reply = SyncReply;
    const WAITS: bool = true;

    async fn run(self, app: &App, caller: Known) -> Result<SyncReply> {
        let cursors = self.channels.into_vec();
        let ids: Vec<&ChannelId> = cursors.iter().map(|cursor| &cursor.channel).collect();
        if distinct(&ids) < ids.len() {
            return Err(Error::InvalidInput("body: channels: name each channel once".to_owned()));
        }
        let question = Question { app, caller: &caller, cursors: &cursors, limit: self.limit.get() };
        let longest = app.config.live_wait;
        let wanted = Duration::from_secs(self.wait_s.unwrap_or_default().into());
        // A token's end is the end of what it allows.
        let left = Duration::from_millis((caller.until - app.clock.now()).max(0).unsigned_abs());
        let wait = wanted.min(longest).min(left);
        let watch = if wait.is_zero() || !seat::may_wait() { None } else { app.db.hub().watch() };
        let mut reply = match watch {
            None => question.ask().await?,
            Some(watch) => question.wait(watch, wait).await?,
        };
        reply.wait_max_s = longest.as_secs();
        let refused = !wanted.is_zero() && !reply.waited && !reply.has_news();
        reply.retry_after_s = refused.then(|| 1 + random::below(3));
        Ok(reply)
    }
}

/// One question about what is new.
struct Question<'a> {
    app: &'a App,
    caller: &'a Identity,
    cursors: &'a [SyncCursor],
    limit: i64,
}

impl Question<'_> {
    /// The page, once there is something on it, or the wait is over.
    async fn wait(&self, watch: Watch, wait: Duration) -> Result<SyncReply> {
        let until = Instant::now() + wait;
        self.cursors.iter().for_each(|cursor| watch.add(cursor.channel.as_str()));
        let mut reply = self.ask().await?;
        while !reply.has_news() {
            for channel in &reply.channels {
                if let Some(key) = channel.key {
                    watch.read(&channel.channel, key, channel.last_seq);
                }
            }
            if !matches!(seat::away(timeout_at(until, watch.rung())).await, Ok(Some(_))) {
                break;
            }
            reply = self.app.db.hub().look(self.ask()).await?;
        }
        Ok(SyncReply { waited: true, ..reply })
    }

    /// What is new by now.
    async fn ask(&self) -> Result<SyncReply> {
        let Self { app, caller, cursors, limit } = *self;
        let ids: Vec<&ChannelId> = cursors.iter().map(|cursor| &cursor.channel).collect();
        let visible = channel::standings(&app.db, &ids, caller).await?;
        let visible: HashMap<&str, &Standing> =
            visible.iter().map(|channel| (channel.id.as_str(), channel)).collect();
        let mut room = SYNC_MESSAGES;
        let mut wanted = Vec::new();
        let mut replies = Vec::with_capacity(cursors.len());
        for cursor in cursors {
            let Some(channel) = visible.get(cursor.channel.as_str()) else {
                replies.push(SyncedChannel::refused(cursor, "not_found"));
                continue;
            };
            if channel.banned {
                replies.push(SyncedChannel::refused(cursor, "forbidden"));
                continue;
            }
            let reset = cursor.is_from_another(channel);
            let after = if reset { 0 } else { cursor.after.get() };
            let (seqs, more) = channel.behind(after, limit.min(room));
            room -= (seqs.end() - seqs.start() + 1).max(0);
            replies.push(SyncedChannel::found(channel, reset, more));
            if !seqs.is_empty() {
                wanted.push((replies.len() - 1, channel.key, seqs));
            }
        }
        let ranges: Vec<_> = wanted.iter().map(|(_, key, seqs)| (*key, seqs.clone())).collect();
        // Where nothing is new, one question was enough.
        let block_version = visible.values().find_map(|channel| channel.block_version);
        let pages = if ranges.is_empty() { Vec::new() } else { self.seen(&ranges, block_version).await? };
        let mut room = SYNC_BYTES;
        for ((place, _, seqs), page) in wanted.iter().zip(pages) {
            let (page, whole) = page.within(room)?;
            room = room.saturating_sub(page.as_str().len());
            replies[*place].reached = if whole { *seqs.end() } else { page.last_seq()?.unwrap_or_default() };
            replies[*place].messages = page;
            replies[*place].more |= !whole;
        }
        Ok(SyncReply { channels: replies, wait_max_s: 0, retry_after_s: None, waited: false })
    }
}

impl Question<'_> {
    /// The messages of some ranges, as the caller sees them.
    async fn seen(
        &self,
        ranges: &[(i64, RangeInclusive<i64>)],
        block_version: Option<i64>,
    ) -> Result<Vec<Stored>> {
        let Self { app, caller, .. } = *self;
        let lists = message::ranges(&app.db, ranges).await?;
        let viewer = Viewer::of(&app.db, caller, block_version).await?;
        message::seen(&app.db, &viewer, ranges.iter().map(|(key, _)| *key).zip(lists).collect()).await
    }
}

impl SyncReply {
    /// Is there anything that the client does not know?
    fn has_news(&self) -> bool {
        self.channels.iter().any(|channel| channel.error.is_some() || channel.has_news())
    }
}

/// What is new behind some cursors, for a host that pushes it: at most `limit` entries for each.
///
/// # Errors
/// The database's.
pub async fn news(
    app: &App,
    caller: &Identity,
    cursors: &[SyncCursor],
    limit: i64,
) -> Result<Vec<SyncedChannel>> {
    let reply = Question { app, caller, cursors, limit }.ask().await?;
    Ok(reply.channels)
}

impl SyncCursor {
    /// Where.
    pub fn channel(&self) -> &str {
        self.channel.as_str()
    }

    /// Where somebody stands.
    ///
    /// # Errors
    /// This is no channel's id, or no number of an entry.
    pub fn new(channel: &str, after: i64, epoch: Option<&str>) -> Result<Self> {
        let invalid = |fault: String| Error::InvalidInput(fault);
        let channel =
            ChannelId::try_from(Cow::Borrowed(channel)).map_err(|fault| invalid(fault.to_string()))?;
        let after = Cursor::try_from(after).map_err(|fault| invalid(fault.to_string()))?;
        Ok(Self { channel, after, epoch: epoch.map(str::to_owned) })
    }

    /// Another epoch, or a number that this one has not reached.
    fn is_from_another(&self, channel: &Standing) -> bool {
        self.epoch.as_ref().is_some_and(|epoch| *epoch != channel.epoch)
            || self.after.get() > channel.last_seq
    }
}

impl SyncedChannel {
    /// Is there anything that the client does not know?
    pub fn has_news(&self) -> bool {
        self.reset || self.messages.as_str() != "[]"
    }

    /// The last number that a client knows with this.
    pub fn reached(&self) -> i64 {
        self.reached
    }

    fn refused(cursor: &SyncCursor, error: &'static str) -> Self {
        let channel = cursor.channel.to_string();
        Self {
            channel,
            epoch: None,
            reset: false,
            first_seq: None,
            key: None,
            last_seq: 0,
            reached: 0,
            messages: Stored::none(),
            more: false,
            error: Some(error),
        }
    }

    fn found(channel: &Standing, reset: bool, more: bool) -> Self {
        let epoch = Some(channel.epoch.clone());
        let (first_seq, last_seq) = (Some(channel.first_seq), channel.last_seq);
        let (key, channel, messages) = (Some(channel.key), channel.id.clone(), Stored::none());
        Self { channel, epoch, reset, first_seq, key, last_seq, reached: 0, messages, more, error: None }
    }
}

fn distinct(ids: &[&ChannelId]) -> usize {
    ids.iter().collect::<std::collections::HashSet<_>>().len()
}
