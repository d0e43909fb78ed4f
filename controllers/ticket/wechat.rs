//! `/ticket/wechat`: customers' messages that come from elsewhere, as tickets.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{channel_for, once, store};
use crate::api::action::{Call, Callback, Route};
use crate::app::App;
use crate::base::error::{Error, Result};
use crate::chat::identity::{Identity, Scope};
use crate::chat::payload::Payload;
use crate::chat::said::Said;
use crate::chat::values::{MAX_TEXT_BYTES, Name, PlayerId, Text};
use crate::controllers::message;
use crate::outside::wechat_service::{Pushed, Signed, WechatService};
use crate::store::ticket::NewTicket;
use crate::work::task;

/// Parts of one message: a text of `WeChat`'s is not longer.
const PARTS: usize = 2;
const TAKEN: Bytes = Bytes::from_static(b"success");

/// What proves that `WeChat` asks. Never logged: it could be sent again.
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
    /// What is answered.
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
        match take(app, pushed).await {
            Ok(()) => Ok(TAKEN),
            Err(Error::Rejected { category }) => {
                tracing::info!(category, "a customer's message was refused by the wordlist");
                Ok(TAKEN)
            }
            Err(error) => Err(error),
        }
    }
}

async fn take(app: &App, pushed: Pushed) -> Result<()> {
    let Some(message) = pushed.id.as_ref().filter(|_| pushed.kind != "event") else { return Ok(()) };
    let customer = PlayerId::parse(pushed.from.as_str())
        .map_err(|fault| Error::InvalidInput(format!("body: FromUserName: {fault}")))?;
    let id = task::digest(&format!("wechat:{customer}"));
    let topic = Name::parse("wechat").map_err(Error::internal)?;
    let channel = channel_for(app, &id, &topic, &customer).await?;
    let by = who(customer);
    for (part, text) in texts(&pushed)?.into_iter().enumerate() {
        let payload = if pushed.text.is_none() { payload(&pushed.kind, &pushed.rest) } else { None };
        let nonce = once(&format!("{id}:{message}:{part}"))?;
        let said = Said { channel: channel.clone(), text, payload, mentions: Vec::new(), nonce: Some(nonce) };
        message::send(app, said, &by).await?;
    }
    let context = json!({ "from": "wechat" }).to_string();
    let new = NewTicket {
        id: &id,
        channel: channel.as_str(),
        player: by.id.as_str(),
        topic: topic.as_str(),
        context: Some(&context),
    };
    store(app, new).await
}

/// The customer, who has no token: they may no more than a player.
fn who(customer: PlayerId) -> Identity {
    let name = customer.as_str().to_owned();
    Identity { id: customer, name, scope: Scope::Player, ..Identity::us() }
}

/// What the customer says; for a picture and the like, what it is.
fn texts(pushed: &Pushed) -> Result<Vec<Text>> {
    let mut rest = pushed.text.as_deref().unwrap_or_default();
    let mut texts = Vec::new();
    while !rest.is_empty() {
        let (part, after) = rest.split_at(rest.floor_char_boundary(MAX_TEXT_BYTES));
        // Half a text may be all spaces.
        texts.extend(Text::parse(part).ok());
        rest = after;
    }
    if texts.is_empty() {
        let kind: String = pushed.kind.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
        texts.push(Text::parse(format!("[{kind}]")).map_err(Error::internal)?);
    }
    if texts.len() > PARTS {
        return Err(Error::InvalidInput(format!("body: Content is over {} bytes", PARTS * MAX_TEXT_BYTES)));
    }
    Ok(texts)
}

/// Where the picture is, and the like; nothing where that is too much.
fn payload(kind: &str, rest: &BTreeMap<String, String>) -> Option<Payload> {
    let payload = json!({ "type": "wechat", "kind": kind, "fields": rest });
    serde_json::from_str(&payload.to_string()).ok()
}
