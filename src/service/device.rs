//! Players' devices: where they are reached while they are away, and of what they want to be told.

use crate::app::App;
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::chat::identity::Identity;
use crate::chat::quiet::QuietHours;
use crate::chat::values::{ChannelId, DeviceToken, Language, Name};
use crate::outside::push::Platform;
use crate::store::channel;
use crate::store::device::{self, NewDevice};
use crate::work::task;

/// A device, as its client describes it.
#[derive(Debug)]
pub struct Device {
    /// Push service that reaches the device.
    pub platform: Platform,
    /// The push service's token for the device.
    pub token: DeviceToken,
    /// Language that its player reads; if absent, the language of the player's token.
    pub language: Option<Language>,
    /// Quiet hours, in which the device is left alone.
    pub quiet_hours: Option<QuietHours>,
    /// The app's id at Apple.
    pub topic: Option<Name>,
    /// Apple's service for development builds knows it.
    pub sandbox: bool,
}

/// Registers a device of a player's; it is one player's at a time.
///
/// # Errors
/// The database's.
pub async fn register(app: &App, device: Device, by: &Identity) -> Result<()> {
    let platform = device.platform.as_str();
    let quiet = device.quiet_hours.map(|quiet| serde_json::to_string(&quiet)).transpose();
    let quiet = quiet.map_err(Error::internal)?;
    let new = NewDevice {
        id: &task::digest(&format!("{platform} {}", device.token.as_str())),
        player: by.id.as_str(),
        platform,
        token: device.token.as_str(),
        language: device.language.as_ref().or(by.lang.as_ref()).map(Language::as_str),
        zone: by.zone.as_ref().map(Name::as_str),
        level: by.level.get(),
        quiet: quiet.as_deref(),
        topic: device.topic.as_ref().map(Name::as_str),
        sandbox: device.sandbox,
    };
    device::register(&app.db, new).await
}

/// Forgets a device of a player's.
///
/// # Errors
/// The database's.
pub async fn unregister(app: &App, token: &DeviceToken, by: &Identity) -> Result<()> {
    device::unregister(&app.db, by.id.as_str(), token.as_str()).await?;
    Ok(())
}

/// Notes of what in a channel a player wants to be told, and from when on.
///
/// # Errors
/// The player sees no such channel.
pub async fn prefer(
    app: &App,
    place: &ChannelId,
    (notify, until): (&str, Millis),
    by: &Identity,
) -> Result<()> {
    let channel = channel::visible(&app.db, place, by).await?;
    device::prefer(&app.db, by.id.as_str(), &channel.id, notify, until).await
}
