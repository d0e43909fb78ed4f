//! `/device/*`: where players are reached while they are away, and of what they want to be told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::Player;
use crate::app::App;
use crate::base::error::{Error, Result};
use crate::chat::quiet::QuietHours;
use crate::chat::values::{ChannelId, DeviceToken, Language, Name, Nonce, Time};
use crate::outside::push::Platform;
use crate::store::channel;
use crate::store::device::{self, NewDevice};
use crate::work::task;

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
        let platform = Platform::from(self.platform).as_str();
        let quiet = self
            .quiet_hours
            .map(|quiet| serde_json::to_string(&quiet))
            .transpose()
            .map_err(Error::internal)?;
        let new = NewDevice {
            id: &task::digest(&format!("{platform} {}", self.token.as_str())),
            player: by.id.as_str(),
            platform,
            token: self.token.as_str(),
            language: self.language.as_ref().or(by.lang.as_ref()).map(Language::as_str),
            zone: by.zone.as_ref().map(Name::as_str),
            level: by.level.get(),
            quiet: quiet.as_deref(),
            topic: self.topic.as_ref().map(Name::as_str),
            sandbox: self.environment == Environment::Sandbox,
        };
        device::register(&app.db, new).await?;
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
        device::unregister(&app.db, by.id.as_str(), self.token.as_str()).await?;
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
        let channel = channel::visible(&app.db, &self.channel, &by).await?;
        let notify = match self.notify {
            NotifyOf::All => "all",
            NotifyOf::Mentions => "mentions",
            NotifyOf::None => "none",
        };
        let until = self.mute_until.map_or(0, Time::get);
        device::prefer(&app.db, by.id.as_str(), &channel.id, notify, until).await?;
        Ok(DeviceReply {})
    }
}
