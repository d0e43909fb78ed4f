//! What goes to players' devices while they are away: one provider a file.
//!
//! Nothing here decides who is told what. A provider says of each push that it was taken, that the device is gone, or that it
//! may be tried later; secrets and tokens are in no log.

use std::sync::Arc;

use serde::Serialize;

use super::calls::{CallError, Calls};
use crate::base::clock::{Clock, Millis};
use crate::config::Push as Settings;

mod apns;
mod fcm;
mod generic;
mod jwt;

/// Push service that reaches a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// Google's Firebase Cloud Messaging, HTTP v1.
    Fcm,
    /// Apple's push service.
    Apns,
    /// A gateway of the studio's own, by signed posts.
    Generic,
}

impl Platform {
    /// The word in JSON and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fcm => "fcm",
            Self::Apns => "apns",
            Self::Generic => "generic",
        }
    }

    /// The platform that a word names.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Fcm, Self::Apns, Self::Generic].into_iter().find(|platform| platform.as_str() == word)
    }
}

/// A device, as its client registered it.
#[derive(Clone, Copy, Debug)]
pub struct To<'a> {
    /// Push service that reaches the device.
    pub platform: Platform,
    /// The provider's name for the device.
    pub token: &'a str,
    /// The app's id at Apple; that of the settings where absent.
    pub topic: Option<&'a str>,
    /// Is it a development build, which Apple serves elsewhere?
    pub sandbox: bool,
    /// Time of its registration, in milliseconds since 1970-01-01 UTC.
    pub registered_at: Millis,
}

/// A push notification.
#[derive(Clone, Debug, Serialize)]
pub struct Notice {
    /// Id of the notification, the same at every try.
    pub id: String,
    /// Name of the speaker; none for the game itself.
    pub title: Option<String>,
    /// Text of the message: the last of several.
    pub body: String,
    /// Number of messages.
    pub count: usize,
    /// Channel of the message; none for announcements.
    pub channel: Option<String>,
    /// A later one with the same word takes this one's place.
    pub collapse: String,
}

impl Notice {
    /// Returns the alert that the device shows.
    fn alert(&self) -> serde_json::Value {
        let mut alert = serde_json::json!({ "body": self.body });
        if let Some(title) = &self.title {
            alert["title"] = title.as_str().into();
        }
        alert
    }
}

/// Reason why a push was not taken.
#[derive(Debug)]
pub enum PushError {
    /// The device is gone: it is not told again.
    Gone,
    /// Nothing is set up for its platform.
    Off,
    /// The provider will never take it.
    Refused(String),
    /// The provider may take it later.
    Passing(CallError),
}

impl From<CallError> for PushError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(answer) => Self::Refused(format!("the provider answered {}", answer.status)),
            passing => Self::Passing(passing),
        }
    }
}

/// All providers that are set up.
pub struct Push {
    fcm: Option<fcm::Fcm>,
    apns: Option<apns::Apns>,
    generic: Option<generic::Generic>,
    clock: Clock,
}

impl Push {
    /// Those that the settings name.
    ///
    /// # Errors
    /// A key that can't be read or is none.
    pub fn new(settings: &Settings, calls: &Arc<Calls>, clock: Clock) -> Result<Self, String> {
        Ok(Self {
            fcm: settings.fcm.as_ref().map(|fcm| fcm::Fcm::new(fcm, Arc::clone(calls))).transpose()?,
            apns: settings.apns.as_ref().map(|apns| apns::Apns::new(apns, Arc::clone(calls))).transpose()?,
            generic: settings.generic.clone().map(|to| generic::Generic::new(to, Arc::clone(calls))),
            clock,
        })
    }

    /// Is anything set up?
    pub fn is_on(&self) -> bool {
        self.fcm.is_some() || self.apns.is_some() || self.generic.is_some()
    }

    /// Tells a device.
    ///
    /// # Errors
    /// It was not taken.
    pub async fn tell(&self, to: To<'_>, notice: &Notice) -> Result<(), PushError> {
        let now = self.clock.now();
        match to.platform {
            Platform::Fcm => self.fcm.as_ref().ok_or(PushError::Off)?.tell(to, notice, now).await,
            Platform::Apns => self.apns.as_ref().ok_or(PushError::Off)?.tell(to, notice, now).await,
            Platform::Generic => self.generic.as_ref().ok_or(PushError::Off)?.tell(to, notice, now).await,
        }
    }
}
