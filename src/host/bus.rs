//! The bus as a server sees it: what is stored here is told to other processes, and what they tell is heard.

use std::sync::Arc;

use super::feed::Feed;
use crate::app::App;
use crate::hub::Hint;

/// Tells and hears until the process ends; nothing where there is no bus.
pub(super) async fn run(app: Arc<App>, feed: Arc<Feed>) {
    let Some(bus) = &app.bus else { return };
    let hear = async {
        let mut heard = match bus.listen().await {
            Ok(heard) => heard,
            Err(error) => return tracing::error!(error, "the bus can't be listened to"),
        };
        while let Some(hint) = heard.next().await {
            match hint {
                Hint::Said(key, seq) => app.db.hub().hear(key, seq),
                Hint::Types { channel, player, .. } => drop(feed.typed(&channel, &player)),
            }
        }
    };
    tokio::join!(bus.forward(), hear);
}
