//! The feed: what is said in a followed channel is read once for all who follow it here, kept for a moment, and written
//! to each from memory.
//!
//! When the hub rings for a channel, its new entries are read behind the last one that is kept (its tail), and after them
//! who of its followers may still read: so whoever was removed before an entry was stored never gets it. Rights are read
//! again where they changed in this process, and each half a second where something is said, as others may have changed
//! them. Then those who follow are rung for, and take what lies behind their cursor out of the tail. Whoever is further
//! back reads the store.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::app::App;
use crate::base::error::Result;
use crate::base::lock::lock;
use crate::chat::identity::Identity;
use crate::hub::{Hint, Hub, Watch};
use crate::store::channel::{self, Channel};
use crate::store::message::Viewer;
use crate::store::{member, message};

mod room;

use room::{FeedEntry, Follower, Room, State};

/// Channels that are read at one time.
const AT_ONCE: usize = 64;
/// The pause where the store does not answer.
const AGAIN: Duration = Duration::from_millis(500);

/// The channels that are followed in this process.
pub(super) struct Feed {
    app: Arc<App>,
    watch: Watch,
    rooms: Mutex<HashMap<Arc<str>, Arc<Room>>>,
}

/// One socket's share of a channel.
pub(super) struct Following {
    feed: Arc<Feed>,
    room: Arc<Room>,
    player: String,
}

/// State behind a cursor.
pub(super) enum NewFrames {
    /// Nothing.
    Nothing,
    /// A frame, the number it reaches, and when it was heard that there is something.
    Frame(Utf8Bytes, i64, Instant),
    /// More than is kept: read the store.
    Further,
    /// The follower may not read it any more.
    Hidden,
}

impl Feed {
    /// A feed that nobody follows yet. It is the first at the hub.
    pub(super) fn new(app: Arc<App>) -> Arc<Self> {
        let watch = app.db.hub().watch().expect("the hub has room for the first");
        Arc::new(Self { app, watch, rooms: Mutex::default() })
    }

    /// Reads what is new until all waiting ends.
    pub(super) async fn run(self: Arc<Self>) {
        let mut due: HashSet<Arc<str>> = HashSet::new();
        let mut heard = Instant::now();
        loop {
            if due.is_empty() {
                match self.watch.rung().await {
                    Some(rung) => (due, heard) = (rung, Instant::now()),
                    None => return,
                }
            }
            let some: Vec<Arc<str>> = due.iter().take(AT_ONCE).cloned().collect();
            match self.read(&some, heard).await {
                Ok(()) => due.retain(|name| !some.contains(name)),
                Err(error) => {
                    tracing::debug!(error = error.for_log(), "what is new can't be read now; trying again");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// Prefix of a channel's id in the name under which its followers are notified.
    pub(super) const PREFIX: &str = "feed/";

    /// Returns that name.
    pub(super) fn name(channel: &str) -> String {
        format!("{}{channel}", Self::PREFIX)
    }

    /// Follows a channel as it was a moment ago: what was said since is found by the sweep, or at once where the hub is
    /// told. Whether this caller may read it is asked before the first frame.
    pub(super) fn follow(self: &Arc<Self>, channel: &Channel, who: &Identity) -> Following {
        let mut rooms = lock(&self.rooms);
        let id = channel.id.as_str();
        let room = rooms.entry(id.into()).or_insert_with(|| {
            self.watch.add(id);
            self.watch.read(id, channel.key(), channel.last_seq);
            Arc::new(Room { name: id.into(), state: Mutex::new(State::new(channel)) })
        });
        let room = Arc::clone(room);
        // Scope is part of who somebody is: a moderator's rights are not the player's of the same id.
        let player = format!("{}/{}", who.scope.as_str(), who.id);
        {
            let mut state = lock(&room.state);
            let new = || Follower { who: who.clone(), sockets: 0, may_read: false };
            state.followers.entry(player.clone()).or_insert_with(new).sockets += 1;
            state.joined += 1;
            state.rights = None;
        }
        drop(rooms);
        metrics::gauge!("guildhall_follows").increment(1.0);
        Following { feed: Arc::clone(self), room, player }
    }

    async fn read(&self, names: &[Arc<str>], heard: Instant) -> Result<()> {
        let (db, hub) = (&self.app.db, self.app.db.hub());
        let rooms: HashMap<&str, Arc<Room>> = {
            let all = lock(&self.rooms);
            names.iter().filter_map(|name| Some((&**name, Arc::clone(all.get(name)?)))).collect()
        };
        let ids: Vec<&str> = rooms.keys().copied().collect();
        let channels = channel::among(db, &ids).await?;
        let wanted: Vec<_> = channels
            .iter()
            .map(|channel| (channel, lock(&rooms[channel.id.as_str()].state).wanted(channel)))
            .filter(|(_, seqs)| !seqs.is_empty())
            .collect();
        let ranges: Vec<_> = wanted.iter().map(|(channel, seqs)| (channel.key(), seqs.clone())).collect();
        let pages = if wanted.is_empty() { Vec::new() } else { message::ranges(db, &ranges).await? };
        let keys = wanted.iter().map(|(channel, _)| channel.key());
        let mut own = message::own_views(db, keys.zip(&pages)).await?;
        let mut entries: HashMap<&str, Vec<FeedEntry>> = HashMap::new();
        for ((channel, seqs), page) in wanted.iter().zip(&pages) {
            let own = |seq| own.remove(&(channel.key(), seq));
            let read = match room::entries(page.as_str(), own) {
                Ok(read) => read,
                // One that is no entry keeps back neither the others of its channel, nor other channels.
                Err(_) => {
                    let page = message::mended(db, channel.key(), seqs).await?;
                    room::entries(page.as_str(), |_| None)?
                }
            };
            entries.insert(&channel.id, read);
        }
        // Behind the entries: whoever was removed before one of them was stored is not among those who may read.
        let changes: HashMap<&str, u64> = ids.iter().map(|id| (*id, hub.member_changes(id))).collect();
        let mut joined = HashMap::new();
        let mut asked = Vec::new();
        for channel in &channels {
            let (id, state) = (channel.id.as_str(), lock(&rooms[channel.id.as_str()].state));
            if state.rights_are_old(changes[id]) {
                joined.insert(id, state.joined);
                asked.push((id, if channel.place().open { Vec::new() } else { state.players() }));
            }
        }
        let members = if asked.is_empty() { HashSet::new() } else { member::among(db, &asked).await? };
        for channel in &channels {
            let id = channel.id.as_str();
            let mut state = lock(&rooms[id].state);
            if let Some(joined) = joined.get(id) {
                state.take_rights(
                    channel,
                    &members,
                    room::ChangeCounts { changes: changes[id], joined: *joined },
                );
            }
            state.heard = heard;
            state.take_entries(channel, entries.remove(id).unwrap_or_default());
            self.watch.read(id, channel.key(), channel.last_seq);
        }
        // A channel that is no more has nobody who may read it.
        for (id, room) in rooms.iter().filter(|(id, _)| !channels.iter().any(|channel| channel.id == **id)) {
            let mut state = lock(&room.state);
            state.followers.values_mut().for_each(|follower| follower.may_read = false);
            self.watch.read(id, state.channel.key(), 0);
        }
        rooms.values().for_each(|room| ring(hub, room));
        Ok(())
    }

    /// A follower of a channel types: others here are told, and other processes by a hint.
    pub(super) fn types(&self, channel: &str, player: &str) {
        if let Some(key) = self.typed(channel, player) {
            let (channel, player) = (channel.to_owned(), player.to_owned());
            self.app.db.hub().hint(Hint::Types { key, channel, player });
        }
    }

    /// Tells that somebody types, here or in another process. None where that is not told now.
    pub(super) fn typed(&self, channel: &str, player: &str) -> Option<i64> {
        let room = lock(&self.rooms).get(channel).cloned()?;
        let mut state = lock(&room.state);
        let key = state.note_typing(player).then(|| state.channel.key())?;
        drop(state);
        self.app.db.hub().tell(&Self::name(channel));
        Some(key)
    }

    /// The followed channels in which it is told who comes and goes.
    pub(super) fn circles(&self) -> Vec<Arc<str>> {
        let rooms = lock(&self.rooms);
        let circles = rooms.values().filter(|room| lock(&room.state).channel.kind().is_a_circle());
        circles.map(|room| Arc::clone(&room.name)).collect()
    }

    /// Tells who of a channel's members came and went.
    pub(super) fn note_online(&self, channel: &str, online: BTreeSet<String>) {
        let Some(room) = lock(&self.rooms).get(channel).cloned() else { return };
        let changed = lock(&room.state).note_online(online);
        if changed {
            self.app.db.hub().tell(&Self::name(channel));
        }
    }
}

/// Rings for those who follow. A big room rings so many times a second at most: what is said meanwhile goes into one frame.
fn ring(hub: &Arc<Hub>, room: &Arc<Room>) {
    let Some(wait) = lock(&room.state).ring_in() else { return };
    if wait.is_zero() {
        return hub.tell(&Feed::name(&room.name));
    }
    let (hub, room) = (Arc::clone(hub), Arc::clone(room));
    tokio::spawn(async move {
        tokio::time::sleep(wait).await;
        lock(&room.state).rings();
        hub.tell(&Feed::name(&room.name));
    });
}

impl Following {
    /// Returns the number of transient frames in the channel until now.
    pub(super) fn passed(&self) -> u64 {
        lock(&self.room.state).passed()
    }

    /// Returns the transient frames after the first `count`, if the follower may read the channel, and the number of
    /// all until now. Returns none while rights are to be read again: followers are notified once they are.
    pub(super) fn passed_since(&self, count: u64, viewer: &Viewer) -> (Vec<Utf8Bytes>, u64) {
        let hub = self.feed.app.db.hub();
        let changes = hub.member_changes(&self.room.name);
        let state = lock(&self.room.state);
        if state.passed() == count {
            return (Vec::new(), count);
        }
        if state.rights.is_none_or(|(known, _)| known != changes) {
            drop(state);
            hub.tell(&self.room.name);
            return (Vec::new(), count);
        }
        match state.followers.get(&self.player).filter(|follower| follower.may_read) {
            Some(follower) => (state.passed_since(count, follower.who.id.as_str(), viewer), state.passed()),
            None => (Vec::new(), count),
        }
    }

    /// Returns the state behind a cursor.
    pub(super) fn behind(&self, after: i64, epoch: Option<&str>, viewer: &Viewer) -> NewFrames {
        let mut state = lock(&self.room.state);
        let may_read = state.followers.get(&self.player).is_some_and(|follower| follower.may_read);
        if state.rights.is_some() && !may_read {
            return NewFrames::Hidden;
        }
        let same = epoch.is_none_or(|epoch| epoch == state.channel.epoch);
        if same && after >= state.reached {
            return NewFrames::Nothing;
        }
        if state.rights.is_none() {
            // They are read now, and then this is asked again.
            self.feed.app.db.hub().tell(&self.room.name);
            return NewFrames::Nothing;
        }
        if !same || state.begins_behind(after) {
            return NewFrames::Further;
        }
        match state.frame(after, viewer) {
            Some((frame, reached)) => NewFrames::Frame(frame, reached, state.heard),
            None => NewFrames::Further,
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        metrics::gauge!("guildhall_follows").decrement(1.0);
        let mut rooms = lock(&self.feed.rooms);
        let mut state = lock(&self.room.state);
        if let Some(follower) = state.followers.get_mut(&self.player) {
            follower.sockets -= 1;
            if follower.sockets == 0 {
                state.followers.remove(&self.player);
            }
        }
        if state.followers.is_empty() {
            rooms.remove(&self.room.name);
            self.feed.watch.remove(&self.room.name);
        }
    }
}
