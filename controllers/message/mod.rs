//! `/message/*`: say something in a channel, and read what was said.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::Known;
use crate::app::App;
use crate::base::error::{Error, Result};
use crate::chat::identity::Identity;
use crate::chat::payload::Payload;
use crate::chat::said::{Said, Shown};
use crate::chat::screening::Refused;
use crate::chat::values::{
    ChannelId, Cursor, Few, MAX_EXACT, MAX_MENTIONS, Nonce, PageSize, PlayerId, Seq, Text, as_set,
};
use crate::controllers::channel::role;
use crate::filter::policy::Strictness;
use crate::store::channel;
use crate::store::message::{self, Message, MessageKind, Page, Stored, Which};
use crate::store::outbox::FollowUp;
use crate::store::sends::{self, Draft, Sent};
use crate::store::wordlist_hit;
use crate::work::tasks::notify::Notify;
use crate::work::tasks::review::Review;
use crate::work::tasks::ticket::TicketSaid;
use crate::work::tasks::webhook::Webhook;
use crate::work::{automatic, task};

mod originals;
mod sync;

pub use originals::MessageOriginals;
pub use sync::{SyncCursor, SyncMessages, SyncedChannel, news};

/// Say something in a channel.
///
/// Blocked words come back masked. The message is stored, durably, before the reply. The caller must be a member;
/// moderators and the game's server speak anywhere and without limits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendMessage {
    /// Where to speak.
    channel: ChannelId,
    /// What to say: 1 to 2000 bytes.
    text: Text,
    /// Something for clients to show: coordinates, a battle report, a gift. Strings in it are filtered too.
    #[serde(default)]
    payload: Option<Payload>,
    /// Players to call by name, 20 at most; members among them see it in their inbox.
    #[serde(default)]
    mentions: Few<PlayerId, MAX_MENTIONS>,
    /// Chosen by the client: the same nonce twice is the same message once. Without one, a retry says it again.
    #[serde(default)]
    nonce: Option<Nonce>,
}

/// A message that is stored.
#[derive(Serialize, JsonSchema)]
pub struct SentReply {
    #[schemars(with = "Message")]
    message: Stored,
    /// An earlier call with this nonce stored it; this one changed nothing.
    replayed: bool,
}

impl Action for SendMessage {
    const ROUTE: Route = Route::post("/message/send");
    type Caller = Known;
    type Reply = SentReply;

    async fn run(self, app: &App, caller: Known) -> Result<SentReply> {
        let mentions = as_set(self.mentions.into_vec());
        let said = Said {
            channel: self.channel,
            text: self.text,
            payload: self.payload,
            mentions,
            nonce: self.nonce,
        };
        let Sent { message, replayed } = send(app, said, &caller).await?;
        Ok(SentReply { message, replayed })
    }
}

/// What the ids of tickets' channels begin with.
pub const SUPPORT: &str = "support:";

/// Says something, as far as the filter, the limits and the place allow it.
///
/// # Errors
/// Why it may not be said.
pub async fn send(app: &App, said: Said, caller: &Identity) -> Result<Sent> {
    match screened(app, &said, caller).await? {
        Ok(shown) => {
            if let Some(earlier) = repeated(app, &said, caller).await? {
                return Ok(Sent { replayed: true, ..earlier });
            }
            let follow_ups = follow_ups(app, &said.channel, &shown, caller)?;
            let (limit, sender) = (app.config.send_limit, caller.clone());
            let sent = sends::append(
                &app.db,
                Draft { kind: MessageKind::Text, said: said.clone(), shown, sender, limit, follow_ups },
            )
            .await?;
            app.recent.note(&said, caller, app.clock.now());
            if !sent.replayed && !caller.is_staff() {
                app.repeats.note(caller.id.as_str(), said.text.as_str(), app.clock.now());
            }
            Ok(sent)
        }
        // A retry learns what came of the first try, even if today's wordlist would refuse it.
        Err(refused) => match sends::earlier(&app.db, &said, caller).await? {
            Some(sent) => Ok(sent),
            None => {
                wordlist_hit::note_refused(&app.db, &refused.hits);
                automatic::after_refusal(app, caller).await?;
                Err(refused.into())
            }
        },
    }
}

/// What becomes of a send: where the filter found something, as its place wants it.
async fn screened(app: &App, said: &Said, caller: &Identity) -> Result<Result<Shown, Refused>> {
    let list = app.blocklist.current();
    let judged = app.judged(&list, said, caller).await?;
    let strictness = if judged.is_empty() {
        Strictness::default()
    } else {
        channel::strictness(&app.db, &said.channel, &list.policy).await?
    };
    Ok(app.screen(&list).see(said, &judged, caller, Some(&strictness).filter(|wants| !wants.is_empty())))
}

/// What the same nonce stored before, where this is said too often; none where it may be said.
async fn repeated(app: &App, said: &Said, caller: &Identity) -> Result<Option<Sent>> {
    if caller.is_staff() {
        return Ok(None);
    }
    match app.repeats.wait(caller.id.as_str(), said.text.as_str(), app.clock.now()) {
        None => Ok(None),
        Some(retry_after_s) => match sends::earlier(&app.db, said, caller).await? {
            Some(sent) => Ok(Some(sent)),
            None => Err(Error::RateLimited {
                reason: "repeats",
                message: "you have just said that",
                retry_after_s,
            }),
        },
    }
}

fn follow_ups(app: &App, channel: &ChannelId, shown: &Shown, by: &Identity) -> Result<Vec<FollowUp>> {
    let id = || channel.to_string();
    let webhook = app.webhooks.is_some().then(|| Webhook { channel: id(), seq: 0 });
    let reviewed = shown.review && app.config.moderation.review_cases;
    let review = reviewed.then(|| Review { channel: id(), seq: 0 });
    let by_support = by.is_staff();
    let in_ticket = channel.as_str().starts_with(SUPPORT);
    let ticket = in_ticket.then(|| TicketSaid { channel: channel.clone(), seq: 0, by_support });
    let notify = app.push.is_on().then(|| Notify { channel: channel.clone(), seq: 0 });
    let webhook = webhook.iter().map(task::following);
    let others = review.iter().map(task::following).chain(ticket.iter().map(task::following));
    let others = others.chain(notify.iter().map(task::following));
    webhook.chain(others).collect()
}

/// A page of a channel's messages, ascending.
///
/// Without a cursor it is the newest page. `before` goes back in history, `after` goes forward; both exclude the
/// message they name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListMessages {
    channel: ChannelId,
    /// Messages before this number, the nearest ones. Not together with `after`.
    #[serde(default)]
    before: Option<Seq>,
    /// Messages after this number, the nearest ones; 0 starts where history begins.
    #[serde(default)]
    after: Option<Cursor>,
    /// The page's size, 1 to 100.
    #[serde(default)]
    limit: PageSize,
}

/// A page of messages.
#[derive(Serialize, JsonSchema)]
pub struct MessagePage {
    /// In ascending order of `seq`.
    #[schemars(with = "Vec<Message>")]
    messages: Stored,
    /// Changes when numbering starts over.
    epoch: String,
    /// There is more in the direction that was asked for.
    more: bool,
    /// Where history begins: older messages were deleted.
    first_seq: i64,
}

impl Action for ListMessages {
    const ROUTE: Route = Route::get("/message/list");
    type Caller = Known;
    type Reply = MessagePage;

    async fn run(self, app: &App, caller: Known) -> Result<MessagePage> {
        let limit = self.limit.get();
        let which = match (self.before, self.after) {
            (Some(_), Some(_)) => {
                return Err(Error::InvalidInput("query: before or after, not both".to_owned()));
            }
            (None, Some(after)) => Which::After(after.get()),
            (before, None) => Which::Before(before.map_or(MAX_EXACT, Seq::get)),
        };
        let page = message::page(&app.db, &self.channel, &caller, which, limit).await?;
        let Page { messages, epoch, more, first_seq, .. } = page;
        Ok(MessagePage { messages, epoch, more, first_seq })
    }
}

/// Take a message back: its text and payload go, and an entry with `ref` tells everybody.
///
/// Players take back their own, within a configured time; moderators and the game's server any, a channel's officers any
/// player's. Doing it again finds the same entry.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecallMessage {
    channel: ChannelId,
    /// The message's number.
    seq: Seq,
}

/// A message that was taken back.
#[derive(Serialize, JsonSchema)]
pub struct RecallReply {
    /// The entry that says so.
    #[schemars(with = "Message")]
    message: Stored,
}

impl Action for RecallMessage {
    const ROUTE: Route = Route::post("/message/recall");
    type Caller = Known;
    type Reply = RecallReply;

    async fn run(self, app: &App, caller: Known) -> Result<RecallReply> {
        let channel = channel::visible(&app.db, &self.channel, &caller).await?;
        let window = app.config.recall_window_ms;
        let name = app.screen(&app.blocklist.current()).name(&caller);
        let by = Identity { name, ..Identity::clone(&caller) };
        let keeps_order = by.is_staff() || role::is_officer(app, &channel, &by).await?;
        let window = (!keeps_order).then_some(window);
        let message = message::recall(&app.db, &channel, self.seq.get(), &by, window).await?;
        Ok(RecallReply { message })
    }
}
