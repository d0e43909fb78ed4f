//! What is new in many channels at once, now or as soon as there is something.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::app::App;
use crate::base::error::{Error, Result};
use crate::base::seat;
use crate::chat::identity::Identity;
use crate::chat::values::{ChannelId, Cursor};
use crate::hub::Watch;
use crate::store::channel::{self, Standing};
use crate::store::message::{self, Stored, Viewer};

/// Messages in one answer; past that, channels say that there is more.
const MESSAGES: i64 = 500;
/// Bytes of messages in one answer: with what stands around them a reply has at most 1 MiB.
const BYTES: usize = 1_000_000;

/// A client's position in a channel.
#[derive(Clone, Debug)]
pub struct Position {
    /// The channel.
    pub channel: ChannelId,
    /// The last number the client has; 0 for none.
    pub after: Cursor,
    /// The epoch the client has it from; none if it does not know.
    pub epoch: Option<String>,
}

/// Reason why somebody sees nothing of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// There is none that they see.
    NotFound,
    /// They are banned there.
    Forbidden,
}

/// New messages in one channel.
pub struct ChannelNews {
    /// The channel's id.
    pub channel: String,
    /// None where the caller sees no such channel.
    pub epoch: Option<String>,
    /// Numbering started over: what the client has is to be forgotten.
    pub reset: bool,
    /// Number at which history begins; none if the caller sees no such channel.
    pub first_seq: Option<i64>,
    /// In ascending order of their numbers.
    pub messages: Stored,
    /// There is more.
    pub more: bool,
    /// Reason why there is nothing.
    pub error: Option<Unseen>,
    /// The last number that a client knows with this.
    pub reached: i64,
    key: Option<i64>,
    last_seq: i64,
}

/// New messages, in the order of the question.
pub struct Answer {
    /// By channel.
    pub channels: Vec<ChannelNews>,
    /// True if the call waited for news, or would have waited had there been none.
    pub waited: bool,
}

impl Answer {
    /// Is there anything that the client does not know?
    pub fn has_news(&self) -> bool {
        self.channels.iter().any(|channel| channel.error.is_some() || channel.has_news())
    }
}

/// Returns the new messages behind some positions: at most `limit` entries for each.
///
/// # Errors
/// The database's.
pub async fn news(
    app: &App,
    caller: &Identity,
    positions: &[Position],
    limit: i64,
) -> Result<Vec<ChannelNews>> {
    Question { app, caller, positions, limit }.ask().await
}

/// The same, once there is something, or the wait is over; at once where nobody may wait now.
///
/// # Errors
/// The database's.
pub async fn wait_for_news(
    app: &App,
    caller: &Identity,
    positions: &[Position],
    limit: i64,
    wait: Duration,
) -> Result<Answer> {
    let question = Question { app, caller, positions, limit };
    // A token's end is the end of what it allows.
    let left = Duration::from_millis((caller.until - app.clock.now()).max(0).unsigned_abs());
    let wait = wait.min(app.config.live_wait).min(left);
    let watch = if wait.is_zero() || !seat::may_wait() { None } else { app.db.hub().watch() };
    match watch {
        None => Ok(Answer { channels: question.ask().await?, waited: false }),
        Some(watch) => question.wait(watch, wait).await,
    }
}

/// One question about what is new.
struct Question<'a> {
    app: &'a App,
    caller: &'a Identity,
    positions: &'a [Position],
    limit: i64,
}

impl Question<'_> {
    async fn wait(&self, watch: Watch, wait: Duration) -> Result<Answer> {
        let until = Instant::now() + wait;
        self.positions.iter().for_each(|position| watch.add(position.channel.as_str()));
        let mut answer = Answer { channels: self.ask().await?, waited: true };
        while !answer.has_news() {
            for channel in &answer.channels {
                if let Some(key) = channel.key {
                    watch.read(&channel.channel, key, channel.last_seq);
                }
            }
            if !matches!(seat::away(timeout_at(until, watch.rung())).await, Ok(Some(_))) {
                break;
            }
            answer.channels = self.app.db.hub().look(self.ask()).await?;
        }
        Ok(answer)
    }

    /// Reads what is new by now.
    async fn ask(&self) -> Result<Vec<ChannelNews>> {
        let Self { app, caller, positions, limit } = *self;
        let ids: Vec<&ChannelId> = positions.iter().map(|position| &position.channel).collect();
        let visible = channel::standings(&app.db, &ids, caller).await?;
        let visible: HashMap<&str, &Standing> =
            visible.iter().map(|channel| (channel.id.as_str(), channel)).collect();
        let mut room = MESSAGES;
        let mut wanted = Vec::new();
        let mut replies = Vec::with_capacity(positions.len());
        for position in positions {
            let Some(channel) = visible.get(position.channel.as_str()) else {
                replies.push(ChannelNews::refused(position, Unseen::NotFound));
                continue;
            };
            if channel.banned {
                replies.push(ChannelNews::refused(position, Unseen::Forbidden));
                continue;
            }
            let reset = position.is_from_another(channel);
            let after = if reset { 0 } else { position.after.get() };
            let (seqs, more) = channel.behind(after, limit.min(room));
            room -= (seqs.end() - seqs.start() + 1).max(0);
            replies.push(ChannelNews::found(channel, reset, more));
            if !seqs.is_empty() {
                wanted.push((replies.len() - 1, channel.key, seqs));
            }
        }
        let ranges: Vec<_> = wanted.iter().map(|(_, key, seqs)| (*key, seqs.clone())).collect();
        // Where nothing is new, one question was enough.
        let block_version = visible.values().find_map(|channel| channel.block_version);
        let pages = if ranges.is_empty() { Vec::new() } else { self.seen(&ranges, block_version).await? };
        let mut room = BYTES;
        for ((place, _, seqs), page) in wanted.iter().zip(pages) {
            let (page, whole) = page.within(room)?;
            room = room.saturating_sub(page.as_str().len());
            replies[*place].reached = if whole { *seqs.end() } else { page.last_seq()?.unwrap_or_default() };
            replies[*place].messages = page;
            replies[*place].more |= !whole;
        }
        Ok(replies)
    }

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

impl Position {
    /// Makes a position in a channel.
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

impl ChannelNews {
    /// Is there anything that the client does not know?
    pub fn has_news(&self) -> bool {
        self.reset || self.messages.as_str() != "[]"
    }

    fn refused(position: &Position, error: Unseen) -> Self {
        let channel = position.channel.to_string();
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
