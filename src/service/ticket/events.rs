//! What is said in a ticket changes whose turn it is; and the game's server, which may have a desk of its own, hears of it.
//!
//! Safe to run twice: what counted already changes nothing, and the event carries the task's id.

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::base::error::Error;
use crate::chat::values::{ChannelId, RecordId};
use crate::outside::webhooks::Event;
use crate::store::ticket::{self, Ticket};
use crate::work::task::{Failure, Task};

/// Something was said in a ticket's channel.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicketSaid {
    /// The ticket's channel.
    pub channel: ChannelId,
    /// The message's number; the store fills it in.
    pub seq: i64,
    /// By the support, rather than by the player.
    pub by_support: bool,
}

/// Event of a ticket.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TicketEvent {
    /// A player opened it.
    Opened,
    /// Somebody of the support took it.
    Claimed,
    /// The ticket was closed.
    Closed,
}

/// Something else happened to a ticket.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicketTold {
    /// The ticket's id.
    pub ticket: RecordId,
    /// The event.
    pub what: TicketEvent,
}

#[derive(Serialize)]
struct Data {
    ticket: Ticket,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<i64>,
}

impl Task for TicketSaid {
    const NAME: &'static str = "ticket.v1";
    const ATTEMPTS: i64 = 10;
    const IN_ORDER: bool = true;

    fn key(&self) -> String {
        format!("ticket:{}", self.channel)
    }

    async fn run(self, app: &App, id: &str) -> Result<(), Failure> {
        let Self { channel, seq, by_support } = self;
        if !by_support {
            // Whoever asked may have died before the ticket was stored: what was said to the support is in its queue.
            ticket::open_missing(&app.db, channel.as_str(), seq).await?;
        }
        ticket::note_said(&app.db, channel.as_str(), seq, by_support).await?;
        let ticket = match ticket::of_channel(&app.db, channel.as_str()).await {
            // The support's own word in a channel that is no player's yet.
            Err(Error::NotFound(_)) => return Ok(()),
            found => found?,
        };
        let kind = if by_support { "ticket.replied" } else { "ticket.message" };
        tell(app, kind, id, Data { ticket, seq: Some(seq) }).await
    }
}

impl Task for TicketTold {
    const NAME: &'static str = "desk.v1";
    const ATTEMPTS: i64 = 10;
    const IN_ORDER: bool = true;

    fn is_set_up(app: &App) -> bool {
        app.webhooks.is_some()
    }

    fn key(&self) -> String {
        format!("ticket:{}", self.ticket.as_str())
    }

    async fn run(self, app: &App, id: &str) -> Result<(), Failure> {
        let ticket = ticket::find(&app.db, self.ticket.as_str()).await?;
        let kind = match self.what {
            TicketEvent::Opened => "ticket.opened",
            TicketEvent::Claimed => "ticket.claimed",
            TicketEvent::Closed => "ticket.closed",
        };
        tell(app, kind, id, Data { ticket, seq: None }).await
    }
}

async fn tell(app: &App, kind: &'static str, id: &str, data: Data) -> Result<(), Failure> {
    match &app.webhooks {
        Some(poster) => Ok(poster.post(&Event { kind, id, data }, app.clock.now()).await?),
        None => Ok(()),
    }
}
