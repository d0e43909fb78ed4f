//! Customers' messages that come from elsewhere, as tickets.

use std::collections::BTreeMap;

use serde_json::json;

use super::{channel_for, once, store};
use crate::app::App;
use crate::base::error::{Error, Result};
use crate::chat::identity::Identity;
use crate::chat::payload::Payload;
use crate::chat::said::NewMessage;
use crate::chat::values::{MAX_TEXT_BYTES, Name, PlayerId, Text};
use crate::outside::wechat_service::Pushed;
use crate::service::message;
use crate::store::ticket::NewTicket;
use crate::work::task;

/// Parts of one message: a text of `WeChat`'s is not longer.
const PARTS: usize = 2;

/// Takes a customer's message: it opens a ticket, or goes on with the one that this customer has.
///
/// # Errors
/// The filter refuses the text; it can't be stored now.
pub async fn take(app: &App, pushed: Pushed) -> Result<()> {
    let Some(message) = pushed.id.as_ref().filter(|_| pushed.kind != "event") else { return Ok(()) };
    let customer = PlayerId::parse(pushed.from.as_str())
        .map_err(|fault| Error::InvalidInput(format!("body: FromUserName: {fault}")))?;
    let id = task::digest(&format!("wechat:{customer}"));
    let topic = Name::parse("wechat").map_err(Error::internal)?;
    let channel = channel_for(app, &id, &topic, &customer).await?;
    // They have no token: they may no more than a player.
    let by = Identity::player(customer);
    for (part, text) in texts(&pushed)?.into_iter().enumerate() {
        let payload = if pushed.text.is_none() { payload(&pushed.kind, &pushed.rest) } else { None };
        let nonce = once(&format!("{id}:{message}:{part}"))?;
        let said =
            NewMessage { channel: channel.clone(), text, payload, mentions: Vec::new(), nonce: Some(nonce) };
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

/// Returns the customer's text in parts; for a picture and the like, its kind.
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

/// Returns the fields of a picture and the like; none if that is too much.
fn payload(kind: &str, rest: &BTreeMap<String, String>) -> Option<Payload> {
    let payload = json!({ "type": "wechat", "kind": kind, "fields": rest });
    serde_json::from_str(&payload.to_string()).ok()
}
