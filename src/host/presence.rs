//! Who is online: the players with a socket in this process are written down for all processes, and followers of guilds,
//! parties and direct channels are told who comes and goes.
//!
//! A process says every twenty seconds that it lives. One that was killed is gone after a minute, and its players with it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::feed::Feed;
use super::sockets::Sockets;
use super::sweep;
use crate::app::App;
use crate::base::error::Result;
use crate::base::random;
use crate::store::{online, process};

/// Pause between two writes of players who came and went.
const WRITE: Duration = Duration::from_millis(250);
/// Interval at which the process says that it lives.
const RENEW: Duration = Duration::from_secs(20);
/// Interval between two looks at who is online in the channels that are followed.
const LOOK: Duration = Duration::from_secs(2);
/// Players in one statement, and channels in one query.
const SLICE: usize = 500;
/// Longest time that leaving may take at the end.
const LEAVE: Duration = Duration::from_secs(2);

/// This process among those that hold sockets.
pub(super) struct Presence {
    app: Arc<App>,
    feed: Arc<Feed>,
    sockets: Arc<Sockets>,
    id: String,
    renewed: Option<Instant>,
    looks_next: Instant,
}

impl Presence {
    pub(super) fn new(app: &Arc<App>, feed: &Arc<Feed>, sockets: &Arc<Sockets>) -> Self {
        Self {
            app: Arc::clone(app),
            feed: Arc::clone(feed),
            sockets: Arc::clone(sockets),
            id: random::id(),
            renewed: None,
            looks_next: Instant::now(),
        }
    }

    /// Writes and looks until told to stop. Where nobody ever opened a socket it asks nothing.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(WRITE) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
            if self.renewed.is_none() && self.sockets.is_empty() {
                continue;
            }
            if let Err(error) = self.turn().await {
                tracing::debug!(error = error.for_log(), "who is online can't be written now; trying again");
            }
        }
        if self.renewed.is_some() {
            let _ = tokio::time::timeout(LEAVE, process::leave(&self.app.db, &self.id)).await;
        }
    }

    async fn turn(&mut self) -> Result<()> {
        if self.renewed.is_none_or(|at| at.elapsed() > RENEW) {
            let now = self.app.db.now().await?;
            if !process::renew(&self.app.db, &self.id, now).await? {
                // Under another id where the old one was taken for gone: whoever forgets that may still be at it.
                self.id = random::id();
                process::enter(&self.app.db, &self.id, now).await?;
                self.sockets.tell_all();
            }
            self.renewed = Some(Instant::now());
            process::forget_silent(&self.app.db, now - online::SILENT_MS).await?;
        }
        self.write().await?;
        if Instant::now() >= self.looks_next {
            let begun = Instant::now();
            self.look().await?;
            self.looks_next = Instant::now() + sweep::pause(LOOK, begun.elapsed());
        }
        Ok(())
    }

    async fn write(&self) -> Result<()> {
        let (came, went) = self.sockets.changes();
        let written = async {
            for some in came.chunks(SLICE) {
                online::enter(&self.app.db, &self.id, some).await?;
            }
            for some in went.chunks(SLICE) {
                online::leave(&self.app.db, &self.id, some).await?;
            }
            Ok(())
        };
        let written = written.await;
        if written.is_err() {
            self.sockets.tell_again(came.into_iter().chain(went));
        }
        written
    }

    async fn look(&self) -> Result<()> {
        let since = self.app.db.now().await? - online::SILENT_MS;
        for some in self.feed.circles().chunks(SLICE) {
            let ids: Vec<&str> = some.iter().map(|id| &**id).collect();
            let mut now: HashMap<String, BTreeSet<String>> = HashMap::new();
            for (channel, player) in online::members(&self.app.db, &ids, since).await? {
                now.entry(channel).or_default().insert(player);
            }
            ids.iter().for_each(|id| self.feed.note_online(id, now.remove(*id).unwrap_or_default()));
        }
        Ok(())
    }
}
