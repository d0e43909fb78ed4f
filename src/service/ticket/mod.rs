//! Players' questions to the game's support: opened, taken, answered and closed, each in a channel of its own.

use crate::app::App;
use crate::base::error::{Error, Result};
use crate::chat::identity::Identity;
use crate::chat::payload::Payload;
use crate::chat::said::NewMessage;
use crate::chat::values::{ChannelId, Kind, Name, Nonce, PlayerId, RecordId, Settings, Text};
use crate::service::message::{self, SUPPORT};
use crate::service::ticket::events::{TicketEvent, TicketTold};
use crate::store::channel;
use crate::store::create::{self, NewChannel};
use crate::store::outbox::NewTask;
use crate::store::ticket::{self, NewTicket, Ticket};
use crate::work::task;

pub mod events;
pub mod wechat;

/// A question.
#[derive(Debug)]
pub struct Question {
    /// Topic of the question.
    pub topic: Name,
    /// Text of the question.
    pub text: Text,
    /// Information from the client about itself.
    pub context: Option<Payload>,
}

/// Opens a ticket, once for a nonce.
///
/// # Errors
/// The filter refuses the text; too many are open.
pub async fn open(app: &App, question: Question, nonce: Option<&Nonce>, by: &Identity) -> Result<Ticket> {
    let Question { topic, text, context } = question;
    let id = task::digest(&task::id_of("ticket", by, nonce));
    let is_new = matches!(ticket::find(&app.db, &id).await, Err(Error::NotFound(_)));
    if is_new {
        ticket::check(&app.db, by.id.as_str()).await?;
    }
    let channel = channel_for(app, &id, &topic, &by.id).await?;
    let new = NewTicket {
        id: &id,
        channel: channel.as_str(),
        player: by.id.as_str(),
        topic: topic.as_str(),
        context: context.as_ref().map(Payload::as_str),
    };
    // A text that the filter refuses opens nothing; and what was said is in the queue by itself, whatever happens here.
    speak(app, by, channel.clone(), text, &format!("{id}:open")).await?;
    store(app, new).await?;
    ticket::find(&app.db, &id).await
}

/// A ticket's channel, which is named after it, made where there is none.
async fn channel_for(app: &App, ticket: &str, topic: &Name, player: &PlayerId) -> Result<ChannelId> {
    let id = ChannelId::parse(format!("{}{ticket}", SUPPORT)).map_err(Error::internal)?;
    let new = NewChannel {
        id: id.clone(),
        kind: Kind::Support,
        name: Some(topic.clone()),
        members: vec![player.clone()],
        settings: Settings::default(),
    };
    create::create(&app.db, new).await?;
    Ok(id)
}

/// Stores a ticket, once, and has the game's server told.
async fn store(app: &App, new: NewTicket<'_>) -> Result<()> {
    let told = event_task(app, new.id, TicketEvent::Opened)?;
    ticket::open(&app.db, new, told.as_ref()).await
}

fn event_task(app: &App, id: &str, what: TicketEvent) -> Result<Option<NewTask>> {
    let ticket = RecordId::parse(id).map_err(Error::internal)?;
    app.webhooks.is_some().then(|| task::new(&TicketTold { ticket, what })).transpose()
}

/// A nonce that stands for something longer.
fn once(what: &str) -> Result<Nonce> {
    Nonce::parse(task::digest(what)).map_err(Error::internal)
}

/// Says something in a ticket's channel, once for a nonce. Its number.
async fn speak(app: &App, by: &Identity, channel: ChannelId, text: Text, nonce: &str) -> Result<i64> {
    let said = NewMessage { channel, text, payload: None, mentions: Vec::new(), nonce: Some(once(nonce)?) };
    message::send(app, said, by).await?.message.seq()
}

/// Takes a ticket, for half an hour.
///
/// # Errors
/// [`Error::NotFound`] where there is none, [`Error::Conflict`] where somebody else has it.
pub async fn claim(app: &App, id: &RecordId, by: &Identity) -> Result<Ticket> {
    let told = event_task(app, id.as_str(), TicketEvent::Claimed)?;
    let event = format!("claimed:{}:{}", task::digest(id.as_str()), task::digest(&by.key()));
    let told = told.as_ref().map(|told| (event.as_str(), told));
    ticket::claim(&app.db, id.as_str(), &by.key(), false, told).await
}

/// Answers a ticket, once for a nonce; it is the caller's from then on.
///
/// # Errors
/// [`Error::NotFound`] where there is none, [`Error::Conflict`] where somebody else has it.
pub async fn reply(
    app: &App,
    id: &RecordId,
    text: Text,
    nonce: Option<&Nonce>,
    by: &Identity,
) -> Result<Ticket> {
    let ticket = ticket::claim(&app.db, id.as_str(), &by.key(), true, None).await?;
    let once = task::id_of("reply", by, nonce);
    let channel = ChannelId::parse(ticket.channel.as_str()).map_err(Error::internal)?;
    let seq = speak(app, by, channel, text, &format!("{}:{once}", ticket.id)).await?;
    ticket::note_said(&app.db, &ticket.channel, seq, true).await?;
    ticket::find(&app.db, &ticket.id).await
}

/// Closes a ticket, with a last word if there is one. Players close their own.
///
/// # Errors
/// [`Error::NotFound`] where there is none of theirs.
pub async fn close(
    app: &App,
    id: &RecordId,
    text: Option<Text>,
    nonce: Option<&Nonce>,
    by: &Identity,
) -> Result<Ticket> {
    let ticket = ticket::find(&app.db, id.as_str()).await?;
    if !by.is_staff() && ticket.player_id != by.id.as_str() {
        return Err(Error::NotFound("ticket"));
    }
    let place = ChannelId::parse(ticket.channel.as_str()).map_err(Error::internal)?;
    let mut last = 0;
    if let Some(text) = text {
        let once = task::id_of("close", by, nonce);
        last = speak(app, by, place.clone(), text, &format!("{}:{once}", ticket.id)).await?;
    }
    let last_seq = channel::find(&app.db, &place, None).await?.map_or(0, |channel| channel.last_seq);
    let told = event_task(app, &ticket.id, TicketEvent::Closed)?;
    ticket::close(&app.db, &ticket.id, last.max(last_seq), told.as_ref()).await
}
