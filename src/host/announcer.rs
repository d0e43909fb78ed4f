//! Announcements to players: read here once, and pushed to those of this server's sockets whom they concern.
//!
//! Nothing is written for each player, so each server looks for new ones by itself, twice a second, as long as somebody has
//! a socket here. Whoever comes later finds them by `/announcement/active`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, watch};

use super::behind::ReadPosition;
use super::sockets::Sockets;
use crate::app::App;
use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::chat::announcing::Audience;
use crate::store::announcement::{self, ShownAnnouncement};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// Milliseconds before now at which reading begins, when the first socket opens.
const BACK_MS: Millis = 5_000;
/// Announcements that wait for slow sockets; whoever is further behind asks what is active.
const WAITING: usize = 64;

/// Tells sockets of announcements.
pub(super) struct Announcer {
    heard: broadcast::Sender<Arc<ShownAnnouncement>>,
}

impl Announcer {
    pub(super) fn new() -> Self {
        Self { heard: broadcast::Sender::new(WAITING) }
    }

    /// Returns a receiver of the announcements from now on.
    pub(super) fn listen(&self) -> broadcast::Receiver<Arc<ShownAnnouncement>> {
        self.heard.subscribe()
    }

    /// Looks until told to stop.
    pub(super) async fn run(&self, app: &App, sockets: &Sockets, mut stop: watch::Receiver<bool>) {
        // None while nobody has a socket.
        let mut read = None;
        loop {
            if self.heard.receiver_count() == 0 && sockets.is_empty() {
                read = None;
            } else if let Err(error) = self.look(app, &mut read).await {
                tracing::debug!(error = error.for_log(), "announcements can't be looked at; trying again");
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn look(&self, app: &App, read: &mut Option<ReadPosition>) -> Result<()> {
        let Some(read) = read else {
            // What was said while the first socket opened is pushed to it.
            *read = Some(ReadPosition::number(announcement::last(&app.db, BACK_MS).await?));
            return Ok(());
        };
        let known = read.known();
        let is_new = |number, _: &Audience| !known.contains(&number);
        let shown = announcement::shown(&app.db, read.after(), usize::MAX, is_new).await?;
        read.note(shown.iter().rev().map(|one| one.number));
        for one in shown.into_iter().rev() {
            let _ = self.heard.send(Arc::new(one));
        }
        Ok(())
    }
}
