//! `/ticket/wechat`: customers' messages that come from elsewhere, as tickets.

use std::fmt;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::api::action::{Call, Callback, Route};
use crate::app::App;
use crate::base::error::{Error, Result};
use crate::outside::wechat_service::{Signed, WechatService};
use crate::service::ticket::wechat;

const TAKEN: Bytes = Bytes::from_static(b"success");

/// Proof that the request comes from `WeChat`. Never logged: it could be sent again.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Proof {
    /// SHA-1 over token, time and nonce.
    signature: String,
    /// The same over these and the encrypted message, in secure mode.
    msg_signature: String,
    /// Seconds since 1970.
    timestamp: String,
    /// Random.
    nonce: String,
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<proof>")
    }
}

impl Proof {
    fn signed(&self) -> Signed<'_> {
        Signed {
            signature: &self.signature,
            message_signature: &self.msg_signature,
            time: &self.timestamp,
            nonce: &self.nonce,
        }
    }
}

fn service(app: &App) -> Result<&WechatService> {
    app.wechat_service.as_ref().ok_or_else(|| {
        let message = "WeChat's customer service is not set up here".to_owned();
        Error::Forbidden { reason: "off", message }
    })
}

/// Answer `WeChat`'s question whether this is the customer service's address: with what it sent, where it proves itself.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CheckWechat {
    #[serde(flatten)]
    proof: Proof,
    /// Text that is sent back.
    #[serde(default)]
    echostr: String,
}

impl Callback for CheckWechat {
    const ROUTE: Route = Route::get("/ticket/wechat");
    const CONTENT_TYPE: &'static str = "text/plain; charset=utf-8";

    async fn run(self, app: &App, _: Call<'_>) -> Result<Bytes> {
        service(app)?.verify(self.proof.signed(), app.db.now().await?)?;
        Ok(self.echostr.into())
    }
}

/// Take a customer's message from `WeChat`: it opens a ticket, or goes on with the one that this customer has.
///
/// The ticket's player is the customer's `openid`, its topic `wechat`. Each message is taken once, by its `MsgId`; events,
/// such as a customer who only looks in, are answered and forgotten. `success` is answered also where the wordlist refuses
/// the text, as it would again. Any other answer makes `WeChat` come again.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct TakeWechat {
    #[serde(flatten)]
    proof: Proof,
}

impl Callback for TakeWechat {
    const ROUTE: Route = Route::post("/ticket/wechat");
    const CONTENT_TYPE: &'static str = "text/plain; charset=utf-8";

    async fn run(self, app: &App, call: Call<'_>) -> Result<Bytes> {
        let now = app.db.now().await?;
        let pushed = service(app)?.open(self.proof.signed(), call.body, now)?;
        match wechat::take(app, pushed).await {
            Ok(()) => Ok(TAKEN),
            Err(Error::Rejected { category }) => {
                tracing::info!(category, "a customer's message was refused by the wordlist");
                Ok(TAKEN)
            }
            Err(error) => Err(error),
        }
    }
}
