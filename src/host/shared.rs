//! What all connections of the plain server share.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::announcer::Announcer;
use super::feed::Feed;
use super::sockets::Sockets;
use crate::api::router::Router;

/// State that every connection shares.
pub(super) struct Shared {
    pub(super) router: Arc<Router>,
    /// Whole requests that are answered at once.
    pub(super) room: Arc<Semaphore>,
    /// Memory that all answers together may hold, in units of 16 KiB.
    pub(super) unsent: Arc<Semaphore>,
    /// Feed of the channels that sockets follow.
    pub(super) feed: Arc<Feed>,
    /// Announcer of what the game says to many players.
    pub(super) announcer: Arc<Announcer>,
    /// The sockets that are open.
    pub(super) sockets: Arc<Sockets>,
    /// The server was told to stop: each answer says that it is the connection's last.
    pub(super) stopping: watch::Receiver<bool>,
    /// Number of times that clients with sockets were asked to come back.
    pub(super) moves: watch::Receiver<u64>,
    /// The farewell is over: only whole requests are still answered.
    pub(super) closing: watch::Receiver<bool>,
}

/// Permit for a large answer's share of memory; small ones need none.
pub(super) type Unsent = Option<OwnedSemaphorePermit>;

/// Answers larger than this count among what is unsent, in units of this size.
const UNIT: usize = 16 * 1024;

impl Shared {
    /// The share of so many bytes; none where all shares are taken by what is not read yet.
    pub(super) fn unsent(&self, bytes: usize) -> Option<Unsent> {
        match (bytes / UNIT) as u32 {
            0 => Some(None),
            units => Arc::clone(&self.unsent).try_acquire_many_owned(units).ok().map(Some),
        }
    }
}

/// Returns once this turns true.
pub(super) async fn signalled(word: &mut watch::Receiver<bool>) {
    let _ = word.wait_for(|word| *word).await;
}
