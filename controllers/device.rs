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

/// How a device is reached.
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

/// Which of Apple's services knows a device.
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
    /// How it is reached.
    platform: DevicePlatform,
    /// What the provider calls it.
    token: DeviceToken,
    /// What its player reads; that of their token where absent.
    #[serde(default)]
    language: Option<Language>,
    /// When it is to be left alone.
    #[serde(default)]
    quiet_hours: Option<QuietHours>,
    /// The app's id at Apple, where it is not the settings' own.
    #[serde(default)]
    topic: Option<Name>,
    /// Which of Apple's services knows it.
    #[serde(default)]
    environment: Environment,
    /// Not needed: a device is registered once.
    #[serde(default)]
    #[expect(dead_code, reason = "every write takes one")]
    nonce: Option<Nonce>,
}

/// It is done.
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
    /// What the provider calls it.
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

/// Of what in a channel the caller wants to be told.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NotifyOf {
    /// Of all.
    All,
    /// Where they are mentioned.
    Mentions,
    /// Of nothing.
    None,
}

/// Say of what in a channel the caller wants to be told: all, where they are mentioned, or nothing; and not before a time.
///
/// Without that it is all in direct channels and tickets, and mentions in others.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreferDevice {
    /// Where.
    channel: ChannelId,
    /// Of what.
    notify: NotifyOf,
    /// Of nothing until then.
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
