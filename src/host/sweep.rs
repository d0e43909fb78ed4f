//! The sweep: finds what other processes stored in channels that somebody here waits for. Several servers on one database
//! need nothing else to deliver each other's messages within a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::app::App;
use crate::store::channel;

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// A look may take this share of the time: with very many channels the pause grows.
const SHARE: u32 = 20;
/// Channels in one query.
const SLICE: usize = 2_000;

/// Looks until told to stop. Where nobody waits it asks nothing.
pub async fn run(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    let mut pause = PAUSE;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let begun = Instant::now();
        look(&app).await;
        pause = PAUSE.max(begun.elapsed() * SHARE);
    }
}

async fn look(app: &App) {
    let hub = app.db.hub();
    for slice in hub.watched().chunks(SLICE) {
        match channel::moved(&app.db, slice).await {
            Ok(moved) => {
                metrics::counter!("guildhall_swept_total").increment(moved.len() as u64);
                moved.iter().for_each(|id| hub.tell(id));
            }
            Err(error) => tracing::debug!(%error, "channels can't be looked at; trying again"),
        }
    }
}
