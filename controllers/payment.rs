//! `/payment/*`: what payment providers call back with.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::api::action::{Call, Callback, Route};
use crate::app::App;
use crate::base::error::{Error, Result};
use crate::outside::payments::{self, Provider};
use crate::service::payment;

/// Take a payment provider's callback: its signature is checked, it is stored once, and the game's server is told.
///
/// The body is the provider's own, and so is the answer. An event that is known, or of an unknown kind, is taken too; the
/// game's server hears of each once, as `payment.received`, those of one player in the order of storing.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct PaymentCallback {
    /// Payment provider that calls back.
    provider: Named,
}

/// Payment provider that calls back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "PaymentProvider")]
enum Named {
    /// Stripe.
    Stripe,
    /// `WeChat` Pay, version 3.
    Wechat,
    /// The App Store, version 2.
    Apple,
    /// Google Play.
    Google,
    /// Whoever signs as Standard Webhooks has it.
    Standard,
}

impl Callback for PaymentCallback {
    const ROUTE: Route = Route::post("/payment/callback");

    async fn run(self, app: &App, call: Call<'_>) -> Result<Bytes> {
        take(app, call, self.provider).await
    }

    fn refusal(query: &str, error: &Error) -> Option<Bytes> {
        let is_wechat =
            form_urlencoded::parse(query.as_bytes()).any(|pair| pair == ("provider".into(), "wechat".into()));
        is_wechat.then(|| wechat_refusal(error))
    }
}

/// The same for `WeChat` Pay, whose address takes no parameters.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct WechatPayment {}

impl Callback for WechatPayment {
    const ROUTE: Route = Route::post("/payment/wechat");

    async fn run(self, app: &App, call: Call<'_>) -> Result<Bytes> {
        take(app, call, Named::Wechat).await
    }

    fn refusal(_: &str, error: &Error) -> Option<Bytes> {
        Some(wechat_refusal(error))
    }
}

/// As `WeChat` reads it.
fn wechat_refusal(error: &Error) -> Bytes {
    json!({ "code": "FAIL", "message": error.to_string() }).to_string().into()
}

async fn take(app: &App, call: Call<'_>, named: Named) -> Result<Bytes> {
    let provider = match named {
        Named::Stripe => Provider::Stripe,
        Named::Wechat => Provider::Wechat,
        Named::Apple => Provider::Apple,
        Named::Google => Provider::Google,
        Named::Standard => Provider::Standard,
    };
    let now = app.db.now().await?;
    payment::take(app, provider, payments::Callback { headers: call.headers, body: call.body, now }).await?;
    let answer = match named {
        Named::Wechat => r#"{"code":"SUCCESS","message":"OK"}"#,
        _ => r#"{"received":true}"#,
    };
    Ok(Bytes::from_static(answer.as_bytes()))
}
