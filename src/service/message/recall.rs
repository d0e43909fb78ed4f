//! A message that is taken back.

use crate::app::App;
use crate::base::error::Result;
use crate::chat::identity::Identity;
use crate::chat::rights::Right;
use crate::chat::values::{ChannelId, Seq};
use crate::service::moderation::officers;
use crate::store::channel;
use crate::store::message::{self, Stored};

/// Takes a message back, and gives the entry that says so. Players take back their own, within the configured time;
/// moderators and the game's server any, a channel's officers any player's.
///
/// # Errors
/// Why it may not be taken back.
pub async fn recall(app: &App, place: &ChannelId, seq: Seq, caller: &Identity) -> Result<Stored> {
    let channel = channel::visible(&app.db, place, caller).await?;
    let window = app.config.recall_window_ms;
    let name = app.screen(&app.blocklist.current()).name(caller);
    let by = Identity { name, ..caller.clone() };
    let keeps_order = officers::may(app, Right::RecallOthers, &channel, &by).await?.is_ok();
    let window = (!keeps_order).then_some(window);
    message::recall(&app.db, &channel, seq.get(), &by, window).await
}
