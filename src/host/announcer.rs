//! Announcements to players: read here once, and pushed to those of this server's sockets whom they concern.
//!
//! Nothing is written for each player, so each server looks for new ones by itself, twice a second, as long as somebody has
//! a socket here. Whoever comes later finds them by `/announcement/active`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, watch};

use super::sockets::Sockets;
use crate::app::App;
use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::store::announcement::{self, Shown};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// For so long, one may become visible behind one that was made later.
const LATE: Duration = Duration::from_secs(10);
/// Where to begin before now, when the first socket opens.
const BACK_MS: Millis = 5_000;
/// Announcements that wait for slow sockets; whoever is further behind asks what is active.
const WAITING: usize = 64;

/// Tells sockets of announcements.
pub(super) struct Announcer {
    heard: broadcast::Sender<Arc<Shown>>,
}

/// How far it has read.
#[derive(Default)]
struct Read {
    /// Nothing that comes late lies before this; none while nobody has a socket.
    after: Option<i64>,
    told: VecDeque<(Instant, i64)>,
}

impl Announcer {
    pub(super) fn new() -> Self {
        Self { heard: broadcast::Sender::new(WAITING) }
    }

    /// What comes from now on.
    pub(super) fn listen(&self) -> broadcast::Receiver<Arc<Shown>> {
        self.heard.subscribe()
    }

    /// Looks until told to stop.
    pub(super) async fn run(&self, app: &App, sockets: &Sockets, mut stop: watch::Receiver<bool>) {
        let mut read = Read::default();
        loop {
            if self.heard.receiver_count() == 0 && sockets.is_empty() {
                read = Read::default();
            } else if let Err(error) = self.look(app, &mut read).await {
                tracing::debug!(%error, "announcements can't be looked at; trying again");
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn look(&self, app: &App, read: &mut Read) -> Result<()> {
        let Some(after) = read.after else {
            // What was said while the first socket opened is pushed to it.
            read.after = Some(announcement::last(&app.db, BACK_MS).await?);
            return Ok(());
        };
        let mut shown = announcement::shown(&app.db, after).await?;
        shown.reverse();
        for one in shown {
            if read.told.iter().all(|(_, number)| *number != one.number) {
                read.told.push_back((Instant::now(), one.number));
                let _ = self.heard.send(Arc::new(one));
            }
        }
        while read.told.front().is_some_and(|(at, _)| at.elapsed() > LATE) {
            let passed = read.told.pop_front().map(|(_, number)| number);
            read.after = read.after.max(passed);
        }
        Ok(())
    }
}
