//! `/device/*`: where players are reached while they are away, and of what they want to be told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::Player;
use crate::app::App;
use crate::base::error::Result;
use crate::chat::quiet::QuietHours;
use crate::chat::values::{ChannelId, DeviceToken, Language, Name, Nonce, Time};
use crate::outside::push::Platform;
use crate::service::device::{self, Device};

/// Push service that reaches a device.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DevicePlatform {
    /// Firebase Cloud Messaging.
    Fcm,
    /// Apple's push service.
    Apns,
    /// The studio's own gateway.
    Generic,
}

impl From<DevicePlatform> for Platform {
    fn from(platform: DevicePlatform) -> Self {
        match platform {
            DevicePlatform::Fcm => Self::Fcm,
            DevicePlatform::Apns => Self::Apns,
            DevicePlatform::Generic => Self::Generic,
        }
    }
}

/// Environment of Apple's push service that knows a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// That of the store's builds.
    #[default]
    Production,
    /// That of development builds.
    Sandbox,
}

/// Register a device, so that its player is told what was said to them while they were away.
///
/// At each start of the client: tokens change, and the zone and level of the caller's token are kept with it. A device is
/// one player's at a time, and a player has ten.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterDevice {
    /// Push service that reaches the device.
    platform: DevicePlatform,
    /// The push service's token for the device.
    token: DeviceToken,
    /// Language that its player reads; if absent, the language of the player's token.
    #[serde(default)]
    language: Option<Language>,
    /// Quiet hours, in which the device is left alone.
    #[serde(default)]
    quiet_hours: Option<QuietHours>,
    /// The app's id at Apple, where it is not the settings' own.
    #[serde(default)]
    topic: Option<Name>,
    /// Environment of Apple's push service that knows the device.
    #[serde(default)]
    environment: Environment,
    /// Not needed: a device is registered once.
    #[serde(default)]
    #[expect(dead_code, reason = "every write takes one")]
    nonce: Option<Nonce>,
}

/// Empty reply: the call is done.
#[derive(Serialize, JsonSchema)]
pub struct DeviceReply {}

impl Action for RegisterDevice {
    const ROUTE: Route = Route::post("/device/register");
    type Caller = Player;
    type Reply = DeviceReply;

    async fn run(self, app: &App, by: Player) -> Result<DeviceReply> {
        let Self { platform, token, language, quiet_hours, topic, environment, .. } = self;
        let sandbox = environment == Environment::Sandbox;
        let platform = Platform::from(platform);
        device::register(app, Device { platform, token, language, quiet_hours, topic, sandbox }, &by).await?;
        Ok(DeviceReply {})
    }
}

/// Forget a device of the caller's, as when they sign out. One that is not there is no error.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnregisterDevice {
    /// The push service's token for the device.
    token: DeviceToken,
    /// Not needed: a device is forgotten once.
    #[serde(default)]
    #[expect(dead_code, reason = "every write takes one")]
    nonce: Option<Nonce>,
}

impl Action for UnregisterDevice {
    const ROUTE: Route = Route::post("/device/unregister");
    type Caller = Player;
    type Reply = DeviceReply;

    async fn run(self, app: &App, by: Player) -> Result<DeviceReply> {
        device::unregister(app, &self.token, &by).await?;
        Ok(DeviceReply {})
    }
}

/// Messages in a channel that the caller wants to be notified of.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NotifyOf {
    /// All messages.
    All,
    /// Messages that mention the caller.
    Mentions,
    /// No messages.
    None,
}

/// Set which messages of a channel notify the caller: all, mentions, or none; and mute the channel until a time.
///
/// The default is all in direct channels and tickets, and mentions in other channels.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreferDevice {
    /// The channel's id.
    channel: ChannelId,
    /// Messages that notify the caller.
    notify: NotifyOf,
    /// No notifications before this time: milliseconds since 1970-01-01 UTC.
    #[serde(default)]
    mute_until: Option<Time>,
    /// Not needed: the last one holds.
    #[serde(default)]
    #[expect(dead_code, reason = "every write takes one")]
    nonce: Option<Nonce>,
}

impl Action for PreferDevice {
    const ROUTE: Route = Route::post("/device/preference");
    type Caller = Player;
    type Reply = DeviceReply;

    async fn run(self, app: &App, by: Player) -> Result<DeviceReply> {
        let notify = match self.notify {
            NotifyOf::All => "all",
            NotifyOf::Mentions => "mentions",
            NotifyOf::None => "none",
        };
        let until = self.mute_until.map_or(0, Time::get);
        device::prefer(app, &self.channel, (notify, until), &by).await?;
        Ok(DeviceReply {})
    }
}
