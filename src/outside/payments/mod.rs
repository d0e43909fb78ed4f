//! What payment providers call back with: each proves itself in its own way, one provider a file.
//!
//! Nothing here stores anything or answers anybody: headers and body go in; what happened, or why it is not believed,
//! comes out. A fault of ours is never a refusal, as a provider that is refused may not come again.

use http::HeaderMap;
use serde_json::Value;

use super::calls::Calls;
use super::keys::Rotating;
use super::signed::{UNSIGNED, elsewhere, malformed, recent};
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::config::Payments as Settings;

mod apple;
mod certificates;
mod google;
mod standard;
mod stripe;
mod wechat;

/// The longest id that is stored as a provider's.
const MAX_ID: usize = 255;

/// Payment provider that calls back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Stripe, by `Stripe-Signature`.
    Stripe,
    /// `WeChat` Pay, version 3.
    Wechat,
    /// Apple's App Store Server Notifications, version 2.
    Apple,
    /// Google Play's real-time developer notifications, by signed push.
    Google,
    /// Anybody who signs as Standard Webhooks has it.
    Standard,
}

impl Provider {
    /// Returns the name, as it is stored and reported.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stripe => "stripe",
            Self::Wechat => "wechat",
            Self::Apple => "apple",
            Self::Google => "google",
            Self::Standard => "standard",
        }
    }
}

/// A callback as it came.
#[derive(Clone, Copy)]
pub struct Callback<'a> {
    /// Request headers.
    pub headers: &'a HeaderMap,
    /// Request body, byte for byte.
    pub body: &'a [u8],
    /// Current time, in milliseconds since 1970-01-01 UTC.
    pub now: Millis,
}

/// An event from a provider, verified.
#[derive(Debug)]
pub struct Received {
    /// The provider's id of the event: the same event has the same.
    pub event: String,
    /// Kind of event, in the provider's words.
    pub kind: String,
    /// Player whose purchase it is, where the game gave the provider the id.
    pub player: Option<String>,
    /// Id of the purchase, where the provider names it.
    pub purchase: Option<String>,
    /// All that the provider told.
    pub payload: Value,
}

/// All providers that are set up.
pub struct Payments {
    stripe: Option<Rotating<stripe::Secrets>>,
    standard: Option<Rotating<standard::Secrets>>,
    wechat: Option<wechat::Wechat>,
    apple: Option<apple::Apple>,
    google: Option<google::Google>,
}

impl Payments {
    /// Those that the settings name.
    ///
    /// # Errors
    /// A key that can't be read or is none, with its setting.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let named = |name: &'static str| move |fault: String| format!("{name}: {fault}");
        let Settings { stripe, standard, wechat, apple, google, .. } = settings;
        Ok(Self {
            stripe: stripe
                .as_ref()
                .map(|from| Rotating::new(from, stripe::Secrets::parse))
                .transpose()
                .map_err(named("GUILDHALL_PAYMENT_STRIPE_SECRET"))?,
            standard: standard
                .as_ref()
                .map(|from| Rotating::new(from, standard::Secrets::parse))
                .transpose()
                .map_err(named("GUILDHALL_PAYMENT_STANDARD_SECRET"))?,
            wechat: wechat
                .as_ref()
                .map(wechat::Wechat::new)
                .transpose()
                .map_err(named("GUILDHALL_PAYMENT_WECHAT_*"))?,
            apple: apple.clone().map(apple::Apple::new),
            google: google.clone().map(google::Google::new),
        })
    }

    /// Is it the provider, and what does it tell?
    ///
    /// # Errors
    /// Why it is not believed: a provider that is not set up, a signature that is not its, a time that is over, another
    /// app's event. [`Error::Unavailable`] where that can't be known now.
    pub async fn verify(
        &self,
        provider: Provider,
        callback: Callback<'_>,
        calls: &Calls,
    ) -> Result<Received> {
        let received = match provider {
            Provider::Stripe => self.stripe.as_ref().ok_or_else(off)?.get(callback.now).verify(callback),
            Provider::Standard => self.standard.as_ref().ok_or_else(off)?.get(callback.now).verify(callback),
            Provider::Wechat => self.wechat.as_ref().ok_or_else(off)?.verify(callback),
            Provider::Apple => self.apple.as_ref().ok_or_else(off)?.verify(callback),
            Provider::Google => self.google.as_ref().ok_or_else(off)?.verify(callback, calls).await,
        }?;
        let is_id = |id: &str| !id.is_empty() && id.len() <= MAX_ID && !id.contains('\0');
        if !is_id(&received.event) || !is_id(&received.kind) {
            return Err(malformed("its id or its kind is missing or too long"));
        }
        Ok(received)
    }
}

fn off() -> Error {
    let message = "this payment provider is not set up here".to_owned();
    Error::Forbidden { reason: "off", message }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).ok_or(UNSIGNED)
}

fn json(body: &[u8]) -> Result<Value> {
    serde_json::from_slice(body).map_err(|fault| malformed(&format!("it is no JSON: {fault}")))
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned).filter(|text| !text.is_empty())
}
