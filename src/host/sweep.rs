//! The sweep: finds what other processes stored in channels that somebody here waits for, and whose rights they changed.
//! Several servers on one database need nothing else to deliver each other's messages within a second. Where a bus tells
//! of messages, the sweep looks seldom, for what the bus lost.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::behind::ReadPosition;
use crate::app::App;
use crate::base::error::Result;
use crate::hub::Hub;
use crate::store::{channel, right_change};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// The pause between two looks for messages, where a bus tells of them.
const WITH_BUS: Duration = Duration::from_secs(5);
/// A look may take this share of the time: with very many channels the pause grows.
const SHARE: u32 = 20;
/// Channels in one query.
const SLICE: usize = 2_000;
/// Number of ids before the last change at which reading begins, when somebody begins to wait.
const BACK: i64 = 5_000;

/// Looks until told to stop. Where nobody waits it asks nothing.
pub async fn run(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    let mut pause = PAUSE;
    let mut rights = Rights::default();
    let mut said_next = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let begun = Instant::now();
        if let Err(error) = rights.look(&app).await {
            tracing::debug!(error = error.for_log(), "rights can't be looked at; trying again");
        }
        if begun >= said_next {
            look(&app).await;
            let is_told = app.bus.as_ref().is_some_and(|bus| bus.is_connected());
            said_next = begun + if is_told { WITH_BUS } else { PAUSE };
        }
        pause = self::pause(PAUSE, begun.elapsed());
    }
}

/// The pause before the next look, behind one that took so long.
pub(super) fn pause(least: Duration, took: Duration) -> Duration {
    least.max(took * SHARE)
}

async fn look(app: &App) {
    let hub = app.db.hub();
    for slice in hub.watched().chunks(SLICE) {
        match channel::moved(&app.db, slice).await {
            Ok(moved) => {
                metrics::counter!("guildhall_swept_total").increment(moved.len() as u64);
                moved.iter().for_each(|id| hub.tell(id));
            }
            Err(error) => {
                tracing::debug!(error = error.for_log(), "channels can't be looked at; trying again")
            }
        }
    }
}

/// Position up to which changes of rights were read; none while nobody waits.
#[derive(Default)]
struct Rights(Option<ReadPosition>);

impl Rights {
    async fn look(&mut self, app: &App) -> Result<()> {
        let hub = app.db.hub();
        if !hub.is_watched() {
            self.0 = None;
            return Ok(());
        }
        let read = match &mut self.0 {
            Some(read) => read,
            None => {
                let last = right_change::last(&app.db).await?;
                self.0.insert(ReadPosition::number((last - BACK).max(0)))
            }
        };
        let changes = right_change::behind(&app.db, read.after(), &read.known()).await?;
        let channels: BTreeSet<&str> =
            changes.iter().filter_map(|change| change.channel.as_deref()).collect();
        let players: BTreeSet<&str> = changes.iter().map(|change| change.player_id.as_str()).collect();
        channels.into_iter().for_each(|channel| hub.tell_members(channel));
        players.into_iter().for_each(|player| hub.tell(&Hub::of_player(player)));
        read.note(changes.iter().map(|change| change.id));
        Ok(())
    }
}
