//! The hub: who waits for what is said in which channel, within this process. It does no I/O.
//!
//! The store tells it when something was committed, and the sweep (`host/sweep.rs`) when another process did. A hint says
//! that there may be something, and never what: whoever waited reads the store, with the rights they have by then. So a
//! hint too many costs one look, and one that is lost is made good by the sweep.
//!
//! What this process stored is also put out for the bus, which tells other processes (`host/bus.rs`).
//!
//! Knows `base` alone.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

use crate::base::lock::lock;

/// Those who may wait at once.
const WAITING: usize = 16_384;
/// Those who may look at once after a hint: a crowd that waits for one channel must not be all at the store's door.
const LOOKING: usize = 64;

/// Hints that wait for the bus; more are not put out, and the sweep finds what they would have told.
const PUT_OUT: usize = 8_192;

/// Notification to other processes.
#[derive(Debug)]
pub enum Hint {
    /// A channel, by its key, has entries up to a number.
    Said(i64, i64),
    /// Somebody types in a channel.
    Types {
        /// The channel's key.
        key: i64,
        /// The channel's id.
        channel: String,
        /// The player who types.
        player: String,
    },
}

/// Those who wait, by channel.
pub struct Hub {
    channels: Mutex<HashMap<Arc<str>, Watched>>,
    /// Names of watched channels by their keys, by which hints from the bus name them.
    keys: Mutex<HashMap<i64, Arc<str>>>,
    /// To the bus, where there is one.
    out: OnceLock<mpsc::Sender<Hint>>,
    next: AtomicU64,
    closed: AtomicBool,
    places: Arc<Semaphore>,
    looking: Semaphore,
}

/// A channel that somebody waits for.
#[derive(Default)]
struct Watched {
    /// The last number that the bus told of.
    heard: i64,
    /// The channel's key, once it was read.
    key: Option<i64>,
    /// Number of times that this process changed its members, since somebody waits for it.
    member_changes: u64,
    waiters: HashMap<u64, Waiter>,
}

/// One of those who wait for a channel.
struct Waiter {
    bell: Arc<Bell>,
    /// The last number that this one has read; none before the first time. What others have read tells it nothing.
    known: Option<i64>,
}

impl Watched {
    /// The last number that all of them know.
    fn known(&self) -> i64 {
        self.waiters.values().filter_map(|waiter| waiter.known).min().unwrap_or_default()
    }

    fn ring(&self, name: &Arc<str>) {
        self.waiters.values().for_each(|waiter| waiter.bell.ring(name));
    }
}

/// Rung where something was said.
#[derive(Default)]
struct Bell {
    channels: Mutex<HashSet<Arc<str>>>,
    rung: Notify,
}

impl Bell {
    fn ring(&self, channel: &Arc<str>) {
        lock(&self.channels).insert(Arc::clone(channel));
        self.rung.notify_one();
    }
}

/// Waits for some channels, for as long as it lives.
pub struct Watch {
    hub: Arc<Hub>,
    number: u64,
    bell: Arc<Bell>,
    channels: Mutex<HashSet<Arc<str>>>,
    _place: OwnedSemaphorePermit,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            channels: Mutex::default(),
            keys: Mutex::default(),
            out: OnceLock::new(),
            next: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            places: Arc::new(Semaphore::new(WAITING)),
            looking: Semaphore::new(LOOKING),
        }
    }
}

impl Hub {
    /// A place among those who wait; none where all are taken, or where nobody shall wait any more.
    pub fn watch(self: &Arc<Self>) -> Option<Watch> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let open = !self.closed.load(Ordering::Acquire);
        metrics::gauge!("guildhall_waiting").set(self.waiting() as f64);
        let (hub, bell, channels) = (Arc::clone(self), Arc::default(), Mutex::default());
        open.then_some(Watch { hub, number, bell, channels, _place: place })
    }

    /// Returns the number of those who wait.
    pub fn waiting(&self) -> usize {
        WAITING - self.places.available_permits()
    }

    /// Returns the receiving end of hints for other processes. Called once, by the bus.
    pub fn put_out(&self) -> mpsc::Receiver<Hint> {
        let (sender, receiver) = mpsc::channel(PUT_OUT);
        let _ = self.out.set(sender);
        receiver
    }

    /// Something for other processes.
    pub fn hint(&self, hint: Hint) {
        if let Some(out) = self.out.get() {
            let _ = out.try_send(hint);
        }
    }

    /// This process stored an entry: those who wait here are told, and others by a hint.
    pub fn said(&self, channel: &str, key: i64, seq: i64) {
        self.tell(channel);
        self.hint(Hint::Said(key, seq));
    }

    /// Another process says that a channel has entries up to a number.
    pub fn hear(&self, key: i64, seq: i64) {
        let Some(name) = lock(&self.keys).get(&key).cloned() else { return };
        let is_new = lock(&self.channels).get_mut(&name).is_some_and(|watched| {
            let known = watched.known();
            let last = known.max(watched.heard);
            if seq > last + 1 {
                metrics::counter!("guildhall_gaps_total").increment(1);
            }
            watched.heard = last.max(seq);
            known < seq
        });
        if is_new {
            self.tell(&name);
        }
    }

    /// Something may have changed in this channel: what was said there, or who may read it.
    pub fn tell(&self, channel: &str) {
        if let Some((name, watched)) = lock(&self.channels).get_key_value(channel) {
            watched.ring(name);
        }
    }

    /// Notifies those who wait that the readers of this channel may have changed.
    pub fn tell_members(&self, channel: &str) {
        if let Some(watched) = lock(&self.channels).get_mut(channel) {
            watched.member_changes += 1;
        }
        self.tell(channel);
    }

    /// Returns the number of such notifications since somebody waits for the channel.
    pub fn member_changes(&self, channel: &str) -> u64 {
        lock(&self.channels).get(channel).map_or(0, |watched| watched.member_changes)
    }

    /// The name under which a player's own matters are told: no channel has such an id.
    pub fn of_player(player: &str) -> String {
        format!("player/{player}")
    }

    /// The channels that somebody waits for, and the last number of each that all of them know.
    pub fn watched(&self) -> Vec<(Arc<str>, i64)> {
        let channels = lock(&self.channels);
        let of_channels = channels.iter().filter(|(name, _)| !name.contains('/'));
        of_channels.map(|(name, watched)| (Arc::clone(name), watched.known())).collect()
    }

    /// Does anybody wait for anything?
    pub fn is_watched(&self) -> bool {
        !lock(&self.channels).is_empty()
    }

    fn leave(&self, number: u64, name: &Arc<str>) {
        let mut channels = lock(&self.channels);
        if let Some(watched) = channels.get_mut(name) {
            watched.waiters.remove(&number);
            if watched.waiters.is_empty() {
                if let Some(key) = watched.key {
                    lock(&self.keys).remove(&key);
                }
                channels.remove(name);
            }
        }
    }

    /// Ends all waiting: nobody waits from here on.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        for (name, watched) in &*lock(&self.channels) {
            watched.ring(name);
        }
    }

    /// Looks at the store when it is this one's turn.
    pub async fn look<F: Future>(&self, looking: F) -> F::Output {
        let _turn = self.looking.acquire().await;
        looking.await
    }
}

impl Watch {
    /// Waits for this channel too. Only then read it: what is said from here on rings.
    pub fn add(&self, channel: &str) {
        let mut channels = lock(&self.hub.channels);
        let name =
            channels.get_key_value(channel).map_or_else(|| channel.into(), |(name, _)| Arc::clone(name));
        let waiter = || Waiter { bell: Arc::clone(&self.bell), known: None };
        channels.entry(Arc::clone(&name)).or_default().waiters.entry(self.number).or_insert_with(waiter);
        drop(channels);
        lock(&self.channels).insert(name);
    }

    /// Waits for this channel no more.
    pub fn remove(&self, channel: &str) {
        let taken = lock(&self.channels).take(channel);
        if let Some(name) = taken {
            self.hub.leave(self.number, &name);
        }
    }

    /// Notes the channel's key and the last number that was read: neither the sweep nor the bus need notify this one of it
    /// again. Others who wait for the channel, and have read less, are notified.
    pub fn read(&self, channel: &str, key: i64, last_seq: i64) {
        let mut channels = lock(&self.hub.channels);
        let Some((name, _)) = channels.get_key_value(channel) else { return };
        let name = Arc::clone(name);
        if let Some(watched) = channels.get_mut(channel) {
            for (number, waiter) in &mut watched.waiters {
                if *number == self.number {
                    waiter.known = Some(last_seq);
                } else if waiter.known.is_some_and(|known| known < last_seq) {
                    waiter.bell.ring(&name);
                }
            }
            if watched.key != Some(key) {
                watched.key = Some(key);
                lock(&self.hub.keys).insert(key, name);
            }
        }
    }

    /// The channels that rang since this was asked last, once there are any; none when all waiting ends.
    pub async fn rung(&self) -> Option<HashSet<Arc<str>>> {
        loop {
            if self.hub.closed.load(Ordering::Acquire) {
                return None;
            }
            let rung = std::mem::take(&mut *lock(&self.bell.channels));
            if !rung.is_empty() {
                return Some(rung);
            }
            self.bell.rung.notified().await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        lock(&self.channels).iter().for_each(|name| self.hub.leave(self.number, name));
        metrics::gauge!("guildhall_waiting").set(self.hub.waiting().saturating_sub(1) as f64);
    }
}
