//! What the game itself says in a channel.

use crate::app::App;
use crate::base::error::Result;
use crate::chat::identity::Identity;
use crate::chat::payload::Payload;
use crate::chat::said::{NewMessage, Screened};
use crate::chat::values::{ChannelId, Nonce, Text};
use crate::store::message::MessageKind;
use crate::store::sends::{self, Draft};

/// Says something, once for a nonce; nothing that the game says is filtered.
///
/// # Errors
/// [`NotFound`](crate::base::error::Error::NotFound) where there is no such channel; the database's.
pub async fn say(app: &App, channel: ChannelId, text: Text, payload: Payload, nonce: Nonce) -> Result<()> {
    let shown = Screened {
        name: "Guildhall".to_owned(),
        text: text.as_str().to_owned(),
        payload: Some(payload.as_str().to_owned()),
        masked: false,
        wordlist: None,
        review: false,
        hits: Vec::new(),
    };
    let said = NewMessage { channel, text, payload: Some(payload), mentions: Vec::new(), nonce: Some(nonce) };
    let sender = Identity::us();
    let draft = Draft { kind: MessageKind::System, said, shown, sender, limit: None, follow_ups: Vec::new() };
    sends::append(&app.db, draft).await.map(drop)
}
