//! What is done without a moderator, where the settings say so: a mute after many refusals, and a message that is hidden
//! after many reports.

use crate::app::App;
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::base::random;
use crate::chat::identity::Identity;
use crate::chat::sanctions::{SanctionKind, everywhere};
use crate::service::moderation::told::{PlayerNews, TellPlayer};
use crate::store::channel::Channel;
use crate::store::moderation::case::About;
use crate::store::moderation::sanction::{self, NewSanction};
use crate::store::moderation::{By, automatic, refusal, report};
use crate::work::task;

/// Refusals are counted over so long.
const REFUSALS_MS: Millis = 600_000;
/// And reports over so long.
const REPORTS_MS: Millis = 3_600_000;

/// The filter refused something of a player's: that is noted, and may be once too often.
///
/// # Errors
/// The database's.
pub async fn after_refusal(app: &App, player: &Identity) -> Result<()> {
    if player.is_staff() {
        return Ok(());
    }
    let now = app.db.now().await?;
    let refused = refusal::note(&app.db, player.id.as_str(), now - REFUSALS_MS).await?;
    let Some((most, for_ms)) = app.config.moderation.mute_after.filter(|(most, _)| refused >= *most) else {
        return Ok(());
    };
    let id = random::id();
    let told = TellPlayer { player: player.id.clone(), news: PlayerNews::Sanction(id.clone()) };
    let new = NewSanction {
        id,
        player: player.id.clone(),
        kind: SanctionKind::Mute,
        place: everywhere().to_string(),
        seconds: Some(for_ms / 1_000),
        reason: "too many of your messages were refused by the word filter".to_owned(),
        note: Some(format!("{most} refusals within ten minutes")),
        automatic: true,
    };
    // Once in that time, whichever process saw the last refusal.
    let nonce = format!("{}:{}", now / REFUSALS_MS, player.id);
    let by = By { who: &Identity::us(), nonce: Some(&nonce) };
    match sanction::give(&app.db, &new, &by, Some(&task::new(&told)?)).await {
        // It was given under other settings.
        Ok(_) | Err(Error::Conflict(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A message was reported: that may be once too often.
///
/// # Errors
/// The database's.
pub async fn after_report(app: &App, channel: &Channel, seq: i64, about: &About) -> Result<()> {
    let Some(most) = app.config.moderation.hide_after else { return Ok(()) };
    let since = app.db.now().await? - REPORTS_MS;
    if report::reporters_since(&app.db, about, since).await? >= most {
        automatic::hide(&app.db, channel, seq, &about.player).await?;
    }
    Ok(())
}
