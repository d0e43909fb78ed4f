//! `/ticket/*`: players' questions to the game's support.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::{Known, Moderator, Player};
use crate::app::App;
use crate::base::error::{Error, Result};
use crate::chat::identity::Identity;
use crate::chat::payload::Payload;
use crate::chat::said::Said;
use crate::chat::values::{ChannelId, Kind, Name, Nonce, PageSize, PlayerId, RecordId, Settings, Text};
use crate::controllers::message;
use crate::store::create::{self, NewChannel};
use crate::store::outbox::{self, NewTask};
use crate::store::ticket::{self, NewTicket, Ticket, Waits};
use crate::work::task;
use crate::work::tasks::ticket::{TicketTold, What};

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
    /// What it is about, such as `payment`.
    topic: Name,
    /// The question.
    text: Text,
    /// What the client says of itself: version, device, where its log is.
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
        let id = task::digest(&task::id_of("ticket", &by, nonce.as_ref()));
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
        speak(app, &by, channel.clone(), text, &format!("{id}:open")).await?;
        store(app, new).await?;
        Ok(TicketReply { ticket: ticket::find(&app.db, &id).await? })
    }
}

/// A ticket's channel, which is named after it, made where there is none.
async fn channel_for(app: &App, ticket: &str, topic: &Name, player: &PlayerId) -> Result<ChannelId> {
    let id = ChannelId::parse(format!("{}{ticket}", message::SUPPORT)).map_err(Error::internal)?;
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
    let told = told(app, new.id, What::Opened)?;
    ticket::open(&app.db, new, told.as_ref()).await
}

fn told(app: &App, id: &str, what: What) -> Result<Option<NewTask>> {
    let ticket = RecordId::parse(id).map_err(Error::internal)?;
    app.webhooks.is_some().then(|| task::new(&TicketTold { ticket, what })).transpose()
}

/// A nonce that stands for something longer.
fn once(what: &str) -> Result<Nonce> {
    Nonce::parse(task::digest(what)).map_err(Error::internal)
}

/// Says something in a ticket's channel, once for a nonce. Its number.
async fn speak(app: &App, by: &Identity, channel: ChannelId, text: Text, nonce: &str) -> Result<i64> {
    let said = Said { channel, text, payload: None, mentions: Vec::new(), nonce: Some(once(nonce)?) };
    message::send(app, said, by).await?.message.seq()
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
    /// Which.
    #[serde(default)]
    state: TicketState,
    /// The last id of the page before.
    #[serde(default)]
    after: Option<RecordId>,
    /// The page's size, 1 to 100.
    #[serde(default)]
    limit: PageSize,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TicketState {
    /// The support's.
    #[default]
    Open,
    /// The player's.
    Waiting,
    /// Nobody's.
    Closed,
}

impl TicketState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Waiting => "waiting",
            Self::Closed => "closed",
        }
    }
}

/// A page of tickets.
#[derive(Serialize, JsonSchema)]
pub struct TicketPage {
    tickets: Vec<Ticket>,
    /// More follow: ask again after the last id.
    more: bool,
    /// How long players wait now.
    waits: Waits,
}

impl Action for TicketQueue {
    const ROUTE: Route = Route::get("/ticket/queue");
    type Caller = Moderator;
    type Reply = TicketPage;

    async fn run(self, app: &App, _: Moderator) -> Result<TicketPage> {
        let after = self.after.as_ref().map(RecordId::as_str);
        let found = ticket::queue(&app.db, self.state.as_str(), after, self.limit.and_one()).await?;
        let (tickets, more) = self.limit.page(found);
        Ok(TicketPage { tickets, more, waits: ticket::waits(&app.db).await? })
    }
}

/// Take a ticket: others see who has it, and can't take it for half an hour after the last thing that was done.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimTicket {
    /// Which.
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
        let ticket = ticket::claim(&app.db, self.id.as_str(), &by.key(), false).await?;
        if let Some(told) = told(app, self.id.as_str(), What::Claimed)? {
            outbox::enqueue_later(
                &app.db,
                &format!("claimed:{}:{}", task::digest(&ticket.id), task::digest(&by.key())),
                &told,
                app.db.now().await?,
            )
            .await?;
        }
        Ok(TicketReply { ticket })
    }
}

/// Answer a ticket, in its channel; it is the caller's from then on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplyToTicket {
    /// Which.
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
        let ticket = ticket::claim(&app.db, id.as_str(), &by.key(), true).await?;
        let once = task::id_of("reply", &by, nonce.as_ref());
        let channel = ChannelId::parse(ticket.channel.as_str()).map_err(Error::internal)?;
        let seq = speak(app, &by, channel, text, &format!("{}:{once}", ticket.id)).await?;
        ticket::note_said(&app.db, &ticket.channel, seq, true).await?;
        Ok(TicketReply { ticket: ticket::find(&app.db, &ticket.id).await? })
    }
}

/// Close a ticket, with a last word if there is one. Players close their own; what they say later opens it again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseTicket {
    /// Which.
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
        let ticket = ticket::find(&app.db, id.as_str()).await?;
        if !by.is_staff() && ticket.player_id != by.id.as_str() {
            return Err(Error::NotFound("ticket"));
        }
        let channel = ChannelId::parse(ticket.channel.as_str()).map_err(Error::internal)?;
        let mut last = 0;
        if let Some(text) = text {
            let once = task::id_of("close", &by, nonce.as_ref());
            last = speak(app, &by, channel.clone(), text, &format!("{}:{once}", ticket.id)).await?;
        }
        let last_seq =
            crate::store::channel::find(&app.db, &channel, None).await?.map_or(0, |channel| channel.last_seq);
        let was_closed = ticket.state == "closed";
        let ticket = ticket::close(&app.db, &ticket.id, last.max(last_seq)).await?;
        if let Some(told) = told(app, &ticket.id, What::Closed)?.filter(|_| !was_closed) {
            let event =
                format!("closed:{}:{}", task::digest(&ticket.id), ticket.closed_at.unwrap_or_default());
            outbox::enqueue_later(&app.db, &event, &told, app.db.now().await?).await?;
        }
        Ok(TicketReply { ticket })
    }
}
