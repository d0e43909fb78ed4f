//! The sockets that are open, by player: each has so many, and a newer one takes the oldest one's place.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::base::lock::lock;

/// Sockets of one player.
const EACH: usize = 8;

/// Open sockets by player.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    open: Mutex<HashMap<String, VecDeque<Arc<Notify>>>>,
    /// Players who came or went since that was asked.
    changed: Mutex<HashSet<String>>,
}

/// One socket's place, for as long as it lives.
#[derive(Debug)]
pub(super) struct SocketSlot {
    sockets: Arc<Sockets>,
    player: String,
    displaced: Arc<Notify>,
}

impl Sockets {
    fn open(&self) -> MutexGuard<'_, HashMap<String, VecDeque<Arc<Notify>>>> {
        lock(&self.open)
    }

    /// Does nobody have a socket, and did nobody leave?
    pub(super) fn is_empty(&self) -> bool {
        self.open().is_empty() && lock(&self.changed).is_empty()
    }

    /// The players who came, and those who went, since this was asked.
    pub(super) fn changes(&self) -> (Vec<String>, Vec<String>) {
        let changed = std::mem::take(&mut *lock(&self.changed));
        let open = self.open();
        changed.into_iter().partition(|player| open.contains_key(player))
    }

    /// These are to be told again.
    pub(super) fn tell_again(&self, players: impl Iterator<Item = String>) {
        lock(&self.changed).extend(players);
    }

    /// All are to be told.
    pub(super) fn tell_all(&self) {
        let players: Vec<String> = self.open().keys().cloned().collect();
        self.tell_again(players.into_iter());
    }

    /// A place for one more socket of a player.
    pub(super) fn enter(self: &Arc<Self>, player: &str) -> SocketSlot {
        let displaced = Arc::new(Notify::new());
        let mut open = self.open();
        let own = open.entry(player.to_owned()).or_default();
        own.push_back(Arc::clone(&displaced));
        if own.len() == 1 {
            lock(&self.changed).insert(player.to_owned());
        }
        if own.len() > EACH
            && let Some(oldest) = own.pop_front()
        {
            oldest.notify_one();
        }
        drop(open);
        metrics::gauge!("guildhall_sockets").increment(1.0);
        SocketSlot { sockets: Arc::clone(self), player: player.to_owned(), displaced }
    }
}

impl SocketSlot {
    /// Returns once a newer socket has taken the place.
    pub(super) async fn displaced(&self) {
        self.displaced.notified().await;
    }
}

impl Drop for SocketSlot {
    fn drop(&mut self) {
        metrics::gauge!("guildhall_sockets").decrement(1.0);
        let mut open = self.sockets.open();
        if let Some(own) = open.get_mut(&self.player) {
            own.retain(|other| !Arc::ptr_eq(other, &self.displaced));
            if own.is_empty() {
                open.remove(&self.player);
                lock(&self.sockets.changed).insert(self.player.clone());
            }
        }
    }
}
