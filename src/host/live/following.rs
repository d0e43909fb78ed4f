//! What one socket follows: where its client stands in each channel, and what is to be pushed.
//!
//! A follower is a cursor into the feed. When the hub rings for its channels, what is behind the cursors is taken from
//! there, or from the store where it is further back, and written before anything else is looked at: a client that takes
//! its time holds nobody up, and is told everything once and in order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::frame::{Change, Follow, Followed, Push, Standing};
use crate::app::App;
use crate::base::error::{Error, Result};
use crate::chat::identity::Identity;
use crate::chat::rights::{self, Right};
use crate::chat::values::{ChannelId, Kind};
use crate::host::feed::{self, Feed, NewFrames};
use crate::host::shared::{Shared, Unsent};
use crate::hub::{Hub, Watch};
use crate::service::message::{ChannelNews, Position, news};
use crate::store::block::{self, Blocks};
use crate::store::message::Viewer;
use crate::store::rights::Rights;
use crate::store::{channel, member};

/// Channels that one socket follows.
const CHANNELS: usize = 2_000;
/// The caller's channels that `all` is.
const ALL: i64 = 1_000;
/// Channels that are read at one time.
const AT_ONCE: usize = 20;
/// Entries of a channel that are read behind one cursor at a time: a client may read slowly what is held for it.
const PAGE: i64 = 25;

/// The channels and cursors of a socket.
pub(super) struct Following {
    app: Arc<App>,
    feed: Arc<Feed>,
    watch: Watch,
    cursors: HashMap<Arc<str>, Cursor>,
    /// Rung for, and not read since.
    due: HashSet<Arc<str>>,
    all: bool,
    /// The name under which the caller's own matters are told, once something is followed.
    own: Option<Arc<str>>,
    /// The reader, with the players whom they block.
    viewer: Viewer,
    /// The caller's rights, as far as they are known.
    rights: Rights,
    /// Time when a sanction of the caller's ends next: then they are in its channels again.
    ban_ends: Option<tokio::time::Instant>,
}

/// The client's position in a channel.
struct Cursor {
    share: feed::Following,
    /// Number of transient frames that were taken.
    passed: u64,
    after: i64,
    epoch: Option<String>,
    /// Followed because the caller is a member, rather than by its name.
    by_all: bool,
    kind: Kind,
}

/// A frame, and since when it was known that there is something to tell; not for what was said long ago.
pub(super) struct PushedFrame {
    pub(super) frame: Utf8Bytes,
    pub(super) heard: Option<Instant>,
}

impl PushedFrame {
    const fn of(frame: Utf8Bytes) -> Self {
        Self { frame, heard: None }
    }
}

impl Following {
    pub(super) fn new(app: &Arc<App>, feed: &Arc<Feed>, watch: Watch, who: &Identity) -> Self {
        let (viewer, rights) = (Viewer::with(who, Blocks::default()), Rights::unsanctioned(who));
        let (app, feed) = (Arc::clone(app), Arc::clone(feed));
        let (cursors, due) = (HashMap::new(), HashSet::new());
        Self { app, feed, watch, cursors, due, all: false, own: None, viewer, rights, ban_ends: None }
    }

    /// Waits until something may be new.
    pub(super) async fn wait(&mut self) {
        if !self.due.is_empty() {
            return;
        }
        let ban_ends = async {
            match self.ban_ends {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            rung = self.watch.rung() => match rung {
                Some(rung) => self.due = rung,
                // The server stops, and says so otherwise.
                None => std::future::pending().await,
            },
            () = ban_ends => self.due.extend(self.own.clone()),
        }
    }

    /// Reads the caller's sanctions, and the time when one ends next: then they are read again.
    async fn look_at_rights(&mut self, who: &Identity) -> Result<()> {
        let rights = Rights::of(&self.app.db, who).await?;
        self.ban_ends = rights.next_end().map(|left| tokio::time::Instant::now() + left);
        self.rights = rights;
        Ok(())
    }

    /// Reads whom the caller blocks. Returns true if those are others than before.
    async fn look_at_blocks(&mut self, who: &Identity) -> Result<bool> {
        Ok(self.viewer.block(block::of(&self.app.db, who).await?))
    }

    /// Follows more, and says what is there; what is behind the cursors is due.
    pub(super) async fn follow(&mut self, who: &Identity, follow: Follow) -> Result<Vec<Followed>> {
        let mut followed = Vec::new();
        let named = follow.channels.into_vec();
        if self.cursors.len() + named.len() > CHANNELS {
            return Err(Error::InvalidInput(format!("a socket follows at most {CHANNELS} channels")));
        }
        let own = Hub::of_player(who.id.as_str());
        self.watch.add(&own);
        if self.own.is_none() {
            self.look_at_blocks(who).await?;
        }
        if self.own.is_none() || follow.all {
            self.look_at_rights(who).await?;
        }
        self.own = Some(own.into());
        if follow.all {
            self.all = true;
            let room = CHANNELS - self.cursors.len() - named.len();
            for (channel, _) in self.memberships(who).await?.into_iter().take(room) {
                followed.push(found(&channel));
                let after = channel.last_seq;
                self.add(who, &channel, (after, Some(channel.epoch.clone())), true);
            }
        }
        let ids: Vec<&ChannelId> = named.iter().map(|standing| &standing.channel).collect();
        let hub = Arc::clone(self.app.db.hub());
        let visible = hub.look(channel::visible_among(&self.app.db, &ids, who)).await?;
        for Standing { channel: id, after, epoch } in named {
            let Some(channel) = visible.iter().find(|channel| channel.id == id.as_str()) else {
                self.forget(id.as_str());
                followed.push(missing(&id));
                continue;
            };
            followed.push(found(channel));
            let after = after.map_or(channel.last_seq, |after| after.get());
            // A number that this channel has not reached is another's: it starts over, as it does in sync.
            let ahead = (after > channel.last_seq).then(String::new);
            let epoch = ahead.or(epoch).or_else(|| Some(channel.epoch.clone()));
            self.add(who, channel, (after, epoch), false);
            // What was said since it was looked at is read now.
            hub.tell(id.as_str());
        }
        Ok(followed)
    }

    fn add(
        &mut self,
        who: &Identity,
        channel: &channel::Channel,
        (after, epoch): (i64, Option<String>),
        by_all: bool,
    ) {
        let id = channel.id.as_str();
        let share = self.feed.follow(channel, who);
        self.watch.add(&Feed::name(id));
        self.due.insert(Feed::name(id).into());
        let passed = share.passed();
        self.cursors.insert(id.into(), Cursor { share, passed, after, epoch, by_all, kind: channel.kind() });
    }

    pub(super) fn forget(&mut self, id: &str) {
        self.watch.remove(&Feed::name(id));
        self.due.remove(&*Feed::name(id));
        self.cursors.remove(id);
    }

    /// The caller's channels, but for those where they are banned.
    async fn memberships(&self, who: &Identity) -> Result<Vec<(channel::Channel, i64)>> {
        let mut joined = self.app.db.hub().look(member::channels(&self.app.db, &who.id, ALL)).await?;
        joined.retain(|(channel, _)| channel.allows(&self.rights, Right::Read).is_ok());
        Ok(joined)
    }

    /// The client's player types in a channel that it follows.
    pub(super) fn types(&self, who: &Identity, id: &str) -> Result<()> {
        let place = self.cursors.get(id).ok_or(Error::NotFound("channel"))?;
        if self.rights.may(Right::BeNoticed, &rights::ChannelState::seen(id, place.kind), None).is_ok() {
            self.feed.types(id, who.id.as_str());
        }
        Ok(())
    }

    /// Frames that tell some of what is new, and what they hold in memory until they are written.
    pub(super) async fn read(
        &mut self,
        who: &Identity,
        shared: &Shared,
    ) -> Result<(Vec<PushedFrame>, Unsent)> {
        let mut frames = Vec::new();
        let own = Hub::of_player(who.id.as_str());
        if self.due.contains(&*own) {
            frames.extend(self.compare(who).await?.into_iter().map(PushedFrame::of));
            self.due.remove(&*own);
        }
        let some: Vec<Arc<str>> = self.due.iter().take(AT_ONCE).cloned().collect();
        let mut further = Vec::new();
        for name in &some {
            let Some(id) = name.strip_prefix(Feed::PREFIX) else { continue };
            let Some(place) = self.cursors.get_mut(id) else { continue };
            match place.share.behind(place.after, place.epoch.as_deref(), &self.viewer) {
                NewFrames::Nothing => {}
                NewFrames::Hidden => {
                    self.forget(id);
                    frames.push(PushedFrame::of(membership(id, Change::Left)?));
                }
                NewFrames::Frame(frame, reached, heard) => {
                    place.after = reached;
                    frames.push(PushedFrame { frame, heard: Some(heard) });
                }
                NewFrames::Further => further.push(Position::new(id, place.after, place.epoch.as_deref())?),
            }
            if let Some(place) = self.cursors.get_mut(id) {
                let (passing, passed) = place.share.passed_since(place.passed, &self.viewer);
                place.passed = passed;
                frames.extend(passing.into_iter().map(PushedFrame::of));
            }
        }
        let mut held = None;
        match self.look_further(who, &further, shared).await {
            Ok((channels, unsent)) => {
                held = unsent;
                for channel in channels {
                    frames.extend(self.take(&channel)?.map(PushedFrame::of));
                }
            }
            // What was taken from the feed has moved its cursor, so it must be written; the rest stays due.
            Err(error) if frames.is_empty() => return Err(error),
            Err(error) => tracing::debug!(error = error.for_log(), "what is further back can't be read now"),
        }
        for name in &some {
            let is_behind = further.iter().any(|position| **name == Feed::name(position.channel.as_str()));
            if !is_behind {
                self.due.remove(name);
            }
        }
        Ok((frames, held))
    }

    /// Reads what the feed does not have from the store.
    async fn look_further(
        &self,
        who: &Identity,
        positions: &[Position],
        shared: &Shared,
    ) -> Result<(Vec<ChannelNews>, Unsent)> {
        if positions.is_empty() {
            return Ok((Vec::new(), None));
        }
        let hub = Arc::clone(self.app.db.hub());
        let channels = hub.look(news(&self.app, who, positions, PAGE)).await?;
        let bytes: usize = channels.iter().map(|channel| channel.messages.as_str().len()).sum();
        // Once as a frame, and once in the socket's buffer.
        let held = shared.unsent(bytes * 2).ok_or(Error::Unavailable("too much is unread"))?;
        Ok((channels, held))
    }

    /// Moves a cursor over what was read for it. It stays due until the store has nothing more.
    fn take(&mut self, channel: &ChannelNews) -> Result<Option<Utf8Bytes>> {
        let id = channel.channel.as_str();
        if channel.error.is_some() {
            self.forget(id);
            return membership(id, Change::Left).map(Some);
        }
        if !channel.has_news() {
            self.due.remove(&*Feed::name(id));
            return Ok(None);
        }
        if let Some(place) = self.cursors.get_mut(id) {
            (place.after, place.epoch) = (channel.reached, channel.epoch.clone());
        }
        let (epoch, reset, first_seq) = (channel.epoch.as_deref(), channel.reset, channel.first_seq);
        text(&Push::Messages { channel: id, epoch, reset, first_seq, messages: &channel.messages }).map(Some)
    }

    /// Channels joined and left since they were looked at last, and those from which the caller is banned.
    async fn compare(&mut self, who: &Identity) -> Result<Vec<Utf8Bytes>> {
        self.look_at_rights(who).await?;
        let read = |id: &str, kind| self.rights.may(Right::Read, &rights::ChannelState::seen(id, kind), None);
        let banned = self.those(|id, place| read(id, place.kind).is_err());
        let mut frames = self.leave(&banned)?;
        if self.look_at_blocks(who).await? {
            frames.push(text(&Push::Blocks)?);
        }
        if !self.all {
            return Ok(frames);
        }
        let now = self.memberships(who).await?;
        let is_in = |id: &str| now.iter().any(|(channel, _)| channel.id == id);
        // The thousand most active ones may be others by now; those one is still in go on.
        let complete = now.len() < ALL as usize;
        let out = self.those(|id, place| complete && place.by_all && !is_in(id));
        frames.extend(self.leave(&out)?);
        for (channel, joined_after) in &now {
            if !self.cursors.contains_key(channel.id.as_str()) && self.cursors.len() < CHANNELS {
                self.add(who, channel, (*joined_after, Some(channel.epoch.clone())), true);
                frames.push(membership(&channel.id, Change::Joined)?);
            }
        }
        Ok(frames)
    }
}

impl Following {
    /// Some of the channels that are followed.
    fn those(&self, is_one: impl Fn(&str, &Cursor) -> bool) -> Vec<Arc<str>> {
        self.cursors.iter().filter(|(id, place)| is_one(id, place)).map(|(id, _)| Arc::clone(id)).collect()
    }

    /// Leaves some channels, and says so.
    fn leave(&mut self, left: &[Arc<str>]) -> Result<Vec<Utf8Bytes>> {
        left.iter().for_each(|id| self.forget(id));
        left.iter().map(|id| membership(id, Change::Left)).collect()
    }
}

fn text(push: &Push<'_>) -> Result<Utf8Bytes> {
    serde_json::to_string(push).map(Utf8Bytes::from).map_err(Error::internal)
}

fn membership(channel: &str, change: Change) -> Result<Utf8Bytes> {
    text(&Push::Membership { channel, change })
}

fn found(channel: &channel::Channel) -> Followed {
    Followed {
        channel: channel.id.clone(),
        epoch: Some(channel.epoch.clone()),
        first_seq: Some(channel.first_seq),
        last_seq: Some(channel.last_seq),
        error: None,
    }
}

fn missing(id: &ChannelId) -> Followed {
    let error = Some("not_found");
    Followed { channel: id.to_string(), epoch: None, first_seq: None, last_seq: None, error }
}
