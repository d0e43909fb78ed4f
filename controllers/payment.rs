//! `/payment/*`: what payment providers call back with.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::api::action::{Call, Callback, Route};
use crate::app::App;
use crate::base::error::{Error, Result};
use crate::chat::values::{Name, PlayerId};
use crate::outside::payments::{self, Provider, Received};
use crate::store::payment::{self, NewPayment};
use crate::work::task;
use crate::work::tasks::payment::Payment;

/// Take a payment provider's callback: its signature is checked, it is stored once, and the game's server is told.
///
/// The body is the provider's own, and so is the answer. An event that is known, or of an unknown kind, is taken too; the
/// game's server hears of each once, as `payment.received`, those of one player in the order of storing.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct PaymentCallback {
    /// Who calls back.
    provider: Named,
}

/// Who calls back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
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
    let (provider, name) = match named {
        Named::Stripe => (Provider::Stripe, "stripe"),
        Named::Wechat => (Provider::Wechat, "wechat"),
        Named::Apple => (Provider::Apple, "apple"),
        Named::Google => (Provider::Google, "google"),
        Named::Standard => (Provider::Standard, "standard"),
    };
    let now = app.db.now().await?;
    let callback = payments::Callback { headers: call.headers, body: call.body, now };
    let Received { event, kind, player, purchase, payload } =
        app.payments.verify(provider, callback, &app.calls).await?;
    let player = player.filter(|player| PlayerId::parse(player.as_str()).is_ok());
    let order = match (&player, &purchase) {
        (Some(player), _) => format!("player:{player}"),
        // A purchase's name may be long: Google's are.
        (None, purchase) => format!("{name}:{}", task::digest(purchase.as_ref().unwrap_or(&event))),
    };
    let told = task::new(&Payment { order: Name::parse(order.as_str()).map_err(Error::internal)? })?;
    let new = NewPayment {
        provider: name,
        event: &event,
        kind: &kind,
        player: player.as_deref(),
        order: &order,
        payload: &payload,
    };
    let is_new = payment::store(&app.db, new, &told).await?;
    tracing::info!(provider = name, event, kind, is_new, "a payment provider called back");
    let answer = match named {
        Named::Wechat => r#"{"code":"SUCCESS","message":"OK"}"#,
        _ => r#"{"received":true}"#,
    };
    Ok(Bytes::from_static(answer.as_bytes()))
}
