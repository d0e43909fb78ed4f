//! `/ticket/*`: players' questions to the game's support.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::{Known, Moderator, Player};
use crate::app::App;
use crate::base::error::Result;
use crate::chat::payload::Payload;
use crate::chat::states::TicketState;
use crate::chat::values::{Name, Nonce, PageSize, RecordId, Text};
use crate::service::ticket::{self as service, Question};
use crate::store::ticket::{self, Ticket, Waits};

mod wechat;

pub use wechat::{CheckWechat, TakeWechat};

/// A player's own tickets that are shown.
const MINE: i64 = 100;

/// Ask the game's support something.
///
/// The answer comes in the ticket's channel, where the player goes on by `/message/send`; that opens a closed ticket again.
/// Ten tickets may be open, and ten opened in an hour. A ban or a mute is no matter here.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenTicket {
    /// Topic of the question, such as `payment`.
    topic: Name,
    /// The question.
    text: Text,
    /// Information from the client about itself: version, device, location of its log.
    #[serde(default)]
    context: Option<Payload>,
    /// Chosen by the client: the same nonce twice is the same ticket once.
    #[serde(default)]
    nonce: Option<Nonce>,
}

/// One ticket.
#[derive(Serialize, JsonSchema)]
pub struct TicketReply {
    ticket: Ticket,
}

impl Action for OpenTicket {
    const ROUTE: Route = Route::post("/ticket/open");
    type Caller = Player;
    type Reply = TicketReply;

    async fn run(self, app: &App, by: Player) -> Result<TicketReply> {
        let Self { topic, text, context, nonce } = self;
        let question = Question { topic, text, context };
        Ok(TicketReply { ticket: service::open(app, question, nonce.as_ref(), &by).await? })
    }
}

/// The caller's own tickets, the newest first, a hundred at most.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnTickets {}

/// A player's tickets.
#[derive(Serialize, JsonSchema)]
pub struct TicketList {
    tickets: Vec<Ticket>,
}

impl Action for OwnTickets {
    const ROUTE: Route = Route::get("/ticket/mine");
    type Caller = Player;
    type Reply = TicketList;

    async fn run(self, app: &App, by: Player) -> Result<TicketList> {
        Ok(TicketList { tickets: ticket::of_player(&app.db, by.id.as_str(), MINE).await? })
    }
}

/// Tickets in a state, those that wait longest first, page by page; and how long players wait.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TicketQueue {
    /// State of the tickets to list.
    #[serde(default)]
    state: TicketState,
    /// The last id of the page before.
    #[serde(default)]
    after: Option<RecordId>,
    /// The page's size, 1 to 100.
    #[serde(default)]
    limit: PageSize,
}

/// A page of tickets.
#[derive(Serialize, JsonSchema)]
pub struct TicketPage {
    tickets: Vec<Ticket>,
    /// More follow: ask again with `next` as `after`.
    more: bool,
    /// Cursor of the next page; null on the last page.
    next: Option<String>,
    /// Times that players wait now.
    waits: Waits,
}

impl Action for TicketQueue {
    const ROUTE: Route = Route::get("/ticket/queue");
    type Caller = Moderator;
    type Reply = TicketPage;

    async fn run(self, app: &App, _: Moderator) -> Result<TicketPage> {
        let after = self.after.as_ref().map(RecordId::as_str);
        let found = ticket::queue(&app.db, self.state, after, self.limit.and_one()).await?;
        let (tickets, next) = self.limit.page(found, |last| last.id.clone());
        Ok(TicketPage { tickets, more: next.is_some(), next, waits: ticket::waits(&app.db).await? })
    }
}

/// Take a ticket: others see who has it, and can't take it for half an hour after the last thing that was done.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimTicket {
    /// The ticket's id.
    id: RecordId,
    /// Not needed: who has it may claim it again.
    #[serde(default)]
    #[expect(dead_code, reason = "every write takes one")]
    nonce: Option<Nonce>,
}

impl Action for ClaimTicket {
    const ROUTE: Route = Route::post("/ticket/claim");
    type Caller = Moderator;
    type Reply = TicketReply;

    async fn run(self, app: &App, by: Moderator) -> Result<TicketReply> {
        Ok(TicketReply { ticket: service::claim(app, &self.id, &by).await? })
    }
}

/// Answer a ticket, in its channel; it is the caller's from then on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplyToTicket {
    /// The ticket's id.
    id: RecordId,
    /// The answer.
    text: Text,
    /// Chosen by the client: the same nonce twice is the same answer once.
    #[serde(default)]
    nonce: Option<Nonce>,
}

impl Action for ReplyToTicket {
    const ROUTE: Route = Route::post("/ticket/reply");
    type Caller = Moderator;
    type Reply = TicketReply;

    async fn run(self, app: &App, by: Moderator) -> Result<TicketReply> {
        let Self { id, text, nonce } = self;
        Ok(TicketReply { ticket: service::reply(app, &id, text, nonce.as_ref(), &by).await? })
    }
}

/// Close a ticket, with a last word if there is one. Players close their own; what they say later opens it again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseTicket {
    /// The ticket's id.
    id: RecordId,
    /// A last word.
    #[serde(default)]
    text: Option<Text>,
    /// Chosen by the client: the same nonce twice is the same last word once.
    #[serde(default)]
    nonce: Option<Nonce>,
}

impl Action for CloseTicket {
    const ROUTE: Route = Route::post("/ticket/close");
    type Caller = Known;
    type Reply = TicketReply;

    async fn run(self, app: &App, by: Known) -> Result<TicketReply> {
        let Self { id, text, nonce } = self;
        Ok(TicketReply { ticket: service::close(app, &id, text, nonce.as_ref(), &by).await? })
    }
}
