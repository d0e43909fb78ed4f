//! The feed: what is said in a followed channel is read once for all who follow it here, kept for a moment, and written
//! to each from memory.
//!
//! When the hub rings for a channel, its new entries are read behind the last one that is kept (its tail), and after them
//! who of its followers may still read: so whoever was removed before an entry was stored never gets it. Rights are read
//! again where they changed in this process, and each half a second where something is said, as others may have changed
//! them. Then those who follow are rung for, and take what lies behind their cursor out of the tail. Whoever is further
//! back reads the store.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::app::App;
use crate::base::error::{Error, Result};
use crate::base::lock::lock;
use crate::chat::identity::Identity;
use crate::hub::Watch;
use crate::store::channel::{self, Channel};
use crate::store::{member, message};

/// Channels that are read at one time.
const AT_ONCE: usize = 64;
/// Entries of a channel that are kept, and that are read behind them at one time.
const TAIL: usize = 64;
/// Bytes of entries of a channel that are kept.
const TAIL_BYTES: usize = 32 * 1024;
/// Rights that another process may have changed are asked for again after this time.
const RIGHTS: Duration = Duration::from_millis(500);
/// The pause where the store does not answer.
const AGAIN: Duration = Duration::from_millis(500);

/// The channels that are followed in this process.
pub(super) struct Feed {
    app: Arc<App>,
    watch: Watch,
    rooms: Mutex<HashMap<Arc<str>, Arc<Room>>>,
}

/// A channel and its followers.
struct Room {
    name: Arc<str>,
    state: Mutex<State>,
}

struct State {
    /// What is known of the channel.
    channel: Channel,
    tail: VecDeque<(i64, Arc<str>)>,
    bytes: usize,
    /// The number up to which entries were read.
    reached: i64,
    followers: HashMap<String, Follower>,
    /// How many have come to follow.
    joined: u64,
    /// Which change of members this process had made when rights were read last, and when that was.
    rights: Option<(u64, Instant)>,
    /// When it was heard last that there is something new.
    heard: Instant,
    /// The frame that was written last: most followers want the same one.
    frame: Option<(i64, i64, Utf8Bytes)>,
}

/// Somebody who follows a channel, on some sockets.
struct Follower {
    who: Identity,
    sockets: usize,
    may_read: bool,
}

/// One socket's share of a channel.
pub(super) struct Following {
    feed: Arc<Feed>,
    room: Arc<Room>,
    player: String,
}

/// What lies behind a cursor.
pub(super) enum Behind {
    /// Nothing.
    Nothing,
    /// A frame, the number it reaches, and when it was heard that there is something.
    Frame(Utf8Bytes, i64, Instant),
    /// More than is kept: read the store.
    Further,
    /// The follower may not read it any more.
    Hidden,
}

/// What an entry's JSON says of its place.
#[derive(Deserialize)]
struct Numbered {
    seq: i64,
    #[serde(rename = "ref")]
    reference: Option<i64>,
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
                    tracing::debug!(%error, "what is new can't be read now; trying again");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// What stands before a channel's id in the name under which its followers are rung for.
    pub(super) const PREFIX: &str = "feed/";

    /// That name.
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
            self.watch.read(id, channel.last_seq);
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
        let pages = if wanted.is_empty() { Vec::new() } else { message::ranges(db, &wanted).await? };
        let mut entries: HashMap<&str, Vec<(Numbered, Arc<str>)>> = HashMap::new();
        for ((channel, _), page) in wanted.iter().zip(pages) {
            entries.insert(&channel.id, numbered(page.as_str())?);
        }
        // Behind the entries: whoever was removed before one of them was stored is not among those who may read.
        let changes: HashMap<&str, u64> = ids.iter().map(|id| (*id, hub.member_changes(id))).collect();
        let mut joined = HashMap::new();
        let mut asked = Vec::new();
        for channel in &channels {
            let (id, state) = (channel.id.as_str(), lock(&rooms[channel.id.as_str()].state));
            if state.rights_are_old(changes[id]) {
                joined.insert(id, state.joined);
                asked.push((id, if channel.is_visible_to_any() { Vec::new() } else { state.players() }));
            }
        }
        let members = if asked.is_empty() { HashSet::new() } else { member::among(db, &asked).await? };
        for channel in &channels {
            let id = channel.id.as_str();
            let mut state = lock(&rooms[id].state);
            if let Some(joined) = joined.get(id) {
                state.take_rights(channel, &members, (changes[id], *joined));
            }
            state.heard = heard;
            state.take_entries(channel, entries.remove(id).unwrap_or_default());
            self.watch.read(id, channel.last_seq);
        }
        // A channel that is no more has nobody who may read it.
        for (id, room) in rooms.iter().filter(|(id, _)| !channels.iter().any(|channel| channel.id == **id)) {
            lock(&room.state).followers.values_mut().for_each(|follower| follower.may_read = false);
            self.watch.read(id, 0);
        }
        rooms.keys().for_each(|id| hub.tell(&Self::name(id)));
        Ok(())
    }
}

/// The entries of a list.
fn numbered(list: &str) -> Result<Vec<(Numbered, Arc<str>)>> {
    let entries: Vec<&RawValue> = serde_json::from_str(list).map_err(Error::internal)?;
    let numbered = |entry: &&RawValue| Ok((serde_json::from_str(entry.get())?, entry.get().into()));
    entries.iter().map(numbered).collect::<serde_json::Result<_>>().map_err(Error::internal)
}

impl State {
    fn new(channel: &Channel) -> Self {
        Self {
            channel: channel.clone(),
            tail: VecDeque::new(),
            bytes: 0,
            reached: channel.last_seq,
            followers: HashMap::new(),
            joined: 0,
            rights: None,
            heard: Instant::now(),
            frame: None,
        }
    }

    /// The numbers that are to be read: those behind the tail, the newest of them where there are many.
    fn wanted(&self, channel: &Channel) -> std::ops::RangeInclusive<i64> {
        let first = if self.channel.epoch == channel.epoch { self.reached + 1 } else { channel.last_seq };
        first.max(channel.last_seq - TAIL as i64 + 1).max(1)..=channel.last_seq
    }

    fn players(&self) -> Vec<String> {
        self.followers.values().map(|follower| follower.who.id.to_string()).collect()
    }

    fn rights_are_old(&self, changes: u64) -> bool {
        self.rights.is_none_or(|(known, at)| known != changes || at.elapsed() > RIGHTS)
    }

    fn take_rights(
        &mut self,
        channel: &Channel,
        members: &HashSet<(String, String)>,
        (changes, joined): (u64, u64),
    ) {
        for follower in self.followers.values_mut() {
            let member = members.contains(&(channel.id.clone(), follower.who.id.to_string()));
            follower.may_read = member || channel.is_visible_to(&follower.who);
        }
        // Whoever joined meanwhile was not asked for.
        self.rights = (self.joined == joined).then(|| (changes, Instant::now()));
    }

    fn take_entries(&mut self, channel: &Channel, entries: Vec<(Numbered, Arc<str>)>) {
        let goes_on = entries.first().is_none_or(|(first, _)| first.seq == self.reached + 1);
        if !goes_on || self.channel.epoch != channel.epoch {
            self.drop_front(i64::MAX);
        }
        for (Numbered { seq, reference }, json) in entries {
            // What is kept of the entry that this one changes is old: whoever still wants it reads the store.
            if let Some(changed) = reference {
                self.drop_front(changed);
            }
            self.bytes += json.len();
            self.tail.push_back((seq, json));
        }
        while self.tail.len() > TAIL || self.bytes > TAIL_BYTES {
            let first = self.tail[0].0;
            self.drop_front(first);
        }
        self.reached = channel.last_seq;
        self.channel = channel.clone();
        self.frame = None;
    }

    /// Forgets entries up to a number.
    fn drop_front(&mut self, up_to: i64) {
        while self.tail.front().is_some_and(|(seq, _)| *seq <= up_to) {
            let gone = self.tail.pop_front();
            self.bytes -= gone.map_or(0, |(_, json)| json.len());
        }
    }

    /// The frame that tells the entries behind a number.
    fn frame(&mut self, after: i64) -> Option<(Utf8Bytes, i64)> {
        // Nothing is kept behind it where retention took what came next.
        let last = self.tail.back().map(|(last, _)| *last).filter(|last| *last > after)?;
        if let Some((from, to, frame)) = &self.frame
            && (*from, *to) == (after, last)
        {
            return Some((frame.clone(), last));
        }
        let channel = &self.channel;
        let entries = self.tail.iter().filter(|(seq, _)| *seq > after).map(|(_, json)| &**json);
        let entries: Vec<&str> = entries.collect();
        let frame = Utf8Bytes::from(format!(
            r#"{{"push":"messages","channel":"{}","epoch":"{}","reset":false,"first_seq":{},"messages":[{}]}}"#,
            channel.id,
            channel.epoch,
            channel.first_seq,
            entries.join(",")
        ));
        self.frame = Some((after, last, frame.clone()));
        Some((frame, last))
    }
}

impl Following {
    /// What lies behind a cursor.
    pub(super) fn behind(&self, after: i64, epoch: Option<&str>) -> Behind {
        let mut state = lock(&self.room.state);
        let may_read = state.followers.get(&self.player).is_some_and(|follower| follower.may_read);
        if state.rights.is_some() && !may_read {
            return Behind::Hidden;
        }
        let same = epoch.is_none_or(|epoch| epoch == state.channel.epoch);
        if same && after >= state.reached {
            return Behind::Nothing;
        }
        if state.rights.is_none() {
            // They are read now, and then this is asked again.
            self.feed.app.db.hub().tell(&self.room.name);
            return Behind::Nothing;
        }
        if !same || state.tail.front().is_none_or(|(first, _)| *first > after + 1) {
            return Behind::Further;
        }
        match state.frame(after) {
            Some((frame, reached)) => Behind::Frame(frame, reached, state.heard),
            None => Behind::Further,
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
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
