//! A send: judged by the filter and the limits, stored, and followed by its tasks.

use crate::app::App;
use crate::base::error::{Error, Result};
use crate::chat::identity::Identity;
use crate::chat::said::{NewMessage, Screened};
use crate::chat::screening::Refused;
use crate::chat::values::ChannelId;
use crate::filter::policy::Strictness;
use crate::service::message::SUPPORT;
use crate::service::message::webhook::Webhook;
use crate::service::moderation::automatic;
use crate::service::moderation::review::Review;
use crate::service::notify::Notify;
use crate::service::ticket::events::TicketSaid;
use crate::store::channel;
use crate::store::message::MessageKind;
use crate::store::outbox::FollowUp;
use crate::store::sends::{self, Draft, Sent};
use crate::store::wordlist_hit;
use crate::work::task;

/// Says something, as far as the filter, the limits and the place allow it.
///
/// # Errors
/// Why it may not be said.
pub async fn send(app: &App, said: NewMessage, caller: &Identity) -> Result<Sent> {
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

/// Screens a send: if the filter found something, the strictness of the send's place applies.
async fn screened(app: &App, said: &NewMessage, caller: &Identity) -> Result<Result<Screened, Refused>> {
    let list = app.blocklist.current();
    let judged = app.judged(&list, said, caller).await?;
    let strictness = if judged.is_empty() {
        Strictness::default()
    } else {
        channel::strictness(&app.db, &said.channel, &list.policy).await?
    };
    Ok(app.screen(&list).see(said, &judged, caller, Some(&strictness).filter(|wants| !wants.is_empty())))
}

/// Returns the message that the same nonce stored before, if this text is sent too often; none if it may be sent.
async fn repeated(app: &App, said: &NewMessage, caller: &Identity) -> Result<Option<Sent>> {
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

fn follow_ups(app: &App, channel: &ChannelId, shown: &Screened, by: &Identity) -> Result<Vec<FollowUp>> {
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
