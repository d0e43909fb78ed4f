//! One channel of the feed: its tail, who follows it, and what only passes: who types, who comes and goes.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::base::error::Result;
use crate::chat::identity::Identity;
use crate::chat::rights::Right;
use crate::chat::values::Role;
use crate::host::live::frame::Push;
use crate::store::channel::Channel;
use crate::store::message::{self, EntryHeader, Kept, MessageKind, OwnView, Viewer};
use crate::store::rights::Rights;

/// Entries of a channel that are kept, and that are read behind them at one time.
const TAIL: usize = 64;
/// Bytes of entries of a channel that are kept.
const TAIL_BYTES: usize = 32 * 1024;
/// Rights that another process may have changed are asked for again after this time.
const RIGHTS: Duration = Duration::from_millis(500);
/// Transient frames that are kept for those who have not taken them.
const PASSING: usize = 16;
/// Time between two notices that the same player types.
const TYPES: Duration = Duration::from_secs(3);
/// A room with more followers gathers what is said for so long, and hears of nobody who types.
const BIG: usize = 500;
const GATHER: Duration = Duration::from_millis(50);

/// A channel and its followers.
pub(super) struct Room {
    pub(super) name: Arc<str>,
    pub(super) state: Mutex<State>,
}

pub(super) struct State {
    /// The channel, as far as it is known.
    pub(super) channel: Channel,
    tail: VecDeque<(i64, Kept)>,
    bytes: usize,
    /// The number up to which entries were read.
    pub(super) reached: i64,
    pub(super) followers: HashMap<String, Follower>,
    /// Number of players who have begun to follow.
    pub(super) joined: u64,
    /// Number of member changes in this process when rights were read last, and the time of that.
    pub(super) rights: Option<(u64, Instant)>,
    /// Time of the last notification that there is something new.
    pub(super) heard: Instant,
    /// Until when a big room gathers what is said.
    gathers_until: Option<Instant>,
    /// The followers are to be notified then.
    will_ring: bool,
    passing: Passing,
    /// The members who are online, once that is known.
    online: Option<BTreeSet<String>>,
    /// Time of the last notice that each player types.
    types: HashMap<String, Instant>,
    /// The frame that was written last: most followers want the same one.
    frame: Option<(i64, i64, Utf8Bytes)>,
}

/// Somebody who follows a channel, on some sockets.
pub(super) struct Follower {
    pub(super) who: Identity,
    pub(super) sockets: usize,
    pub(super) may_read: bool,
}

/// The newest transient frames, which are sent once to those who follow now and stored nowhere (typing, presence), and
/// the number of all. A frame about somebody who types is not sent to them.
#[derive(Default)]
struct Passing {
    frames: VecDeque<(Utf8Bytes, Option<String>)>,
    count: u64,
}

impl Passing {
    fn add(&mut self, told: &Push<'_>, except: Option<&str>) {
        let Ok(frame) = serde_json::to_string(told) else { return };
        self.frames.push_back((frame.into(), except.map(str::to_owned)));
        self.count += 1;
        if self.frames.len() > PASSING {
            self.frames.pop_front();
        }
    }
}

/// Counts of a channel's changes, as they were before its members were asked for.
#[derive(Clone, Copy)]
pub(super) struct ChangeCounts {
    /// Changes of members.
    pub(super) changes: u64,
    /// Followers that joined.
    pub(super) joined: u64,
}

/// Position of an entry, and its subject.
pub(super) struct EntryHead {
    pub(super) seq: i64,
    reference: Option<i64>,
    /// None for one that a later version knows.
    kind: Option<MessageKind>,
}

/// An entry that is to be kept.
pub(super) struct FeedEntry {
    place: EntryHead,
    kept: Kept,
}

/// The entries of a list; `own` says what one player sees in place of some.
pub(super) fn entries(list: &str, mut own: impl FnMut(i64) -> Option<OwnView>) -> Result<Vec<FeedEntry>> {
    let entry = |entry: &&RawValue| {
        let glance = EntryHeader::of(entry.get())?;
        let own = own(glance.seq);
        let EntryHeader { seq, mut reference, kind, .. } = glance;
        // What somebody took back of what only they see is changed in the tail too.
        if let Some(own) = &own {
            reference = reference.or(EntryHeader::of(own.shown())?.reference);
        }
        let kept = Kept::new(entry.get().into(), &glance, own);
        Ok(FeedEntry { place: EntryHead { seq, reference, kind }, kept })
    };
    message::entries(list)?.iter().map(entry).collect()
}

impl State {
    pub(super) fn new(channel: &Channel) -> Self {
        Self {
            channel: channel.clone(),
            tail: VecDeque::new(),
            bytes: 0,
            reached: channel.last_seq,
            followers: HashMap::new(),
            joined: 0,
            rights: None,
            heard: Instant::now(),
            gathers_until: None,
            will_ring: false,
            passing: Passing::default(),
            online: None,
            types: HashMap::new(),
            frame: None,
        }
    }

    /// The numbers that are to be read: those behind the tail, the newest of them where there are many.
    pub(super) fn wanted(&self, channel: &Channel) -> std::ops::RangeInclusive<i64> {
        let first = if self.channel.epoch == channel.epoch { self.reached + 1 } else { channel.last_seq };
        first.max(channel.last_seq - TAIL as i64 + 1).max(1)..=channel.last_seq
    }

    pub(super) fn players(&self) -> Vec<String> {
        self.followers.values().map(|follower| follower.who.id.to_string()).collect()
    }

    pub(super) fn rights_are_old(&self, changes: u64) -> bool {
        self.rights.is_none_or(|(known, at)| known != changes || at.elapsed() > RIGHTS)
    }

    pub(super) fn take_rights(
        &mut self,
        channel: &Channel,
        members: &HashSet<(String, String)>,
        known: ChangeCounts,
    ) {
        for follower in self.followers.values_mut() {
            let member = members.contains(&(channel.id.clone(), follower.who.id.to_string()));
            let role = member.then_some(Role::Member);
            let rights = Rights::unsanctioned(&follower.who);
            follower.may_read = rights.may(Right::See, &channel.place(), role).is_ok();
        }
        // Whoever joined meanwhile was not asked for.
        self.rights = (self.joined == known.joined).then(|| (known.changes, Instant::now()));
    }

    pub(super) fn take_entries(&mut self, channel: &Channel, entries: Vec<FeedEntry>) {
        let goes_on = entries.first().is_none_or(|first| first.place.seq == self.reached + 1);
        if !goes_on || self.channel.epoch != channel.epoch {
            self.drop_front(i64::MAX);
        }
        for FeedEntry { place: EntryHead { seq, reference, kind }, kept } in entries {
            // What is kept of the entry that this one changes is old: whoever still wants it reads the store.
            if let Some(changed) = reference {
                self.drop_front(changed);
            }
            if kind == Some(MessageKind::Purge) {
                self.drop_front(i64::MAX);
            }
            self.bytes += kept.json().len();
            self.tail.push_back((seq, kept));
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
            self.bytes -= gone.map_or(0, |(_, kept)| kept.json().len());
        }
    }

    /// The frame that tells somebody the entries behind a number.
    pub(super) fn frame(&mut self, after: i64, viewer: &Viewer) -> Option<(Utf8Bytes, i64)> {
        // Nothing is kept behind it where retention took what came next.
        let last = self.tail.back().map(|(last, _)| *last).filter(|last| *last > after)?;
        let new = || self.tail.iter().filter(|(seq, _)| *seq > after).map(|(_, kept)| kept);
        if new().any(|kept| kept.is_otherwise_to(viewer)) {
            let entries: Result<Vec<String>> = new().map(|kept| kept.seen_by(viewer)).collect();
            return Some((self.telling(&entries.ok()?.join(",")), last));
        }
        if let Some((from, to, frame)) = &self.frame
            && (*from, *to) == (after, last)
        {
            return Some((frame.clone(), last));
        }
        let entries: Vec<&str> = new().map(Kept::json).collect();
        let frame = self.telling(&entries.join(","));
        self.frame = Some((after, last, frame.clone()));
        Some((frame, last))
    }

    fn telling(&self, entries: &str) -> Utf8Bytes {
        let Channel { id, epoch, first_seq, .. } = &self.channel;
        format!(
            r#"{{"push":"messages","channel":"{id}","epoch":"{epoch}","reset":false,"first_seq":{first_seq},"messages":[{entries}]}}"#
        )
        .into()
    }

    /// Returns the time to wait before the followers are notified; none if that is waited for already.
    pub(super) fn ring_in(&mut self) -> Option<Duration> {
        if self.will_ring {
            return None;
        }
        if self.followers.len() <= BIG {
            return Some(Duration::ZERO);
        }
        let now = Instant::now();
        let wait = self.gathers_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        self.gathers_until = Some(now + wait + GATHER);
        self.will_ring = !wait.is_zero();
        Some(wait)
    }

    /// They are rung for.
    pub(super) fn rings(&mut self) {
        self.will_ring = false;
    }

    /// Is what is kept of the channel further on than a number?
    pub(super) fn begins_behind(&self, after: i64) -> bool {
        self.tail.front().is_none_or(|(first, _)| *first > after + 1)
    }

    /// Somebody types. False where that was told a moment ago, or is not told at all.
    pub(super) fn note_typing(&mut self, player: &str) -> bool {
        self.types.retain(|_, at| at.elapsed() < TYPES);
        if self.followers.len() > BIG || self.types.contains_key(player) {
            return false;
        }
        self.types.insert(player.to_owned(), Instant::now());
        self.passing.add(&Push::Typing { channel: &self.channel.id, player }, Some(player));
        true
    }

    /// The members who are online by now. False where nobody came or went. At first it is told who is there: somebody may
    /// have asked just before.
    pub(super) fn note_online(&mut self, now: BTreeSet<String>) -> bool {
        if self.online.as_ref() == Some(&now) {
            return false;
        }
        let nobody = BTreeSet::new();
        let before = self.online.as_ref().unwrap_or(&nobody);
        let push = Push::Presence {
            channel: &self.channel.id,
            reset: self.online.is_none(),
            online: now.difference(before).map(String::as_str).collect(),
            offline: before.difference(&now).map(String::as_str).collect(),
        };
        self.passing.add(&push, None);
        self.online = Some(now);
        true
    }

    /// Returns the number of transient frames until now.
    pub(super) fn passed(&self) -> u64 {
        self.passing.count
    }

    /// Returns the transient frames after the first `count`, for one player. A player who missed some gets all who are
    /// online.
    pub(super) fn passed_since(&self, count: u64, player: &str, viewer: &Viewer) -> Vec<Utf8Bytes> {
        let new = (self.passing.count - count) as usize;
        let frames = self.passing.frames.iter().rev().take(new).rev();
        let is_for = |except: &str| except != player && !viewer.blocks(except);
        let frames = frames.filter(|(_, except)| except.as_deref().is_none_or(is_for));
        let mut frames: Vec<Utf8Bytes> = frames.map(|(frame, _)| frame.clone()).collect();
        if new > self.passing.frames.len()
            && let Some(online) = &self.online
        {
            let online = online.iter().map(String::as_str).collect();
            let whole =
                Push::Presence { channel: &self.channel.id, reset: true, online, offline: Vec::new() };
            frames.extend(serde_json::to_string(&whole).map(Utf8Bytes::from));
        }
        frames
    }
}
