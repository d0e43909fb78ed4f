//! Tell players who are away what was said to them: first whom it concerns, then, a few seconds later, what of it they have
//! not read.
//!
//! Several messages become one push, with a count. Who has a socket is told there: where one is open, it is looked again
//! when a socket that is dead would have been closed. Safe to run twice: a push takes the place of an earlier one.

use std::time::Duration;

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::base::clock::Millis;
use crate::base::error::Error;
use crate::chat::identity::Identity;
use crate::chat::quiet::QuietHours;
use crate::chat::values::{ChannelId, Kind, PlayerId};
use crate::outside::push::{Notice, Platform, PushError, To};
use crate::store::device::{self, Device, MessageToPush};
use crate::store::message::{self, EntryHeader, MessageKind, PageEdge};
use crate::store::push_due::{self, Due, Looked};
use crate::store::{channel, online};
use crate::work::task::{self, Failure, Task};

/// Milliseconds to wait before a push: most who are there have read by then.
const WAIT_MS: Millis = 5_000;
/// A socket that is still open so long after a message has answered since.
const ALIVE_MS: Millis = 65_000;
/// Players that are told at one time.
const PAGE: usize = 64;
/// The longest pause between two tries.
const LONGEST_MS: Millis = 600_000;
/// Number of tries for one push.
const TRIES: i64 = 8;
/// Number of tries to record what was pushed, and the pause in between.
const RECORDINGS: usize = 5;
const RECORDING_PAUSE: Duration = Duration::from_secs(1);
/// Messages that are counted.
const COUNTED: i64 = 50;
/// Characters of a body.
const BODY: usize = 200;

/// Something was said that may have to be pushed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// The message's channel.
    pub channel: ChannelId,
    /// The message's number; the store fills it in.
    pub seq: i64,
}

/// Some players have something to be told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// Shard of the players: those of it who are due.
    pub shard: i64,
}

impl Task for Notify {
    const NAME: &'static str = "notify.v1";
    const ATTEMPTS: i64 = 5;

    fn is_set_up(app: &App) -> bool {
        app.push.is_on()
    }

    fn key(&self) -> String {
        format!("notify:{}", self.channel)
    }

    async fn run(self, app: &App, _: &str) -> Result<(), Failure> {
        let Self { channel: id, seq } = self;
        let Some(channel) = channel::find(&app.db, &id, None).await? else { return Ok(()) };
        let message = message::get(&app.db, id.as_str(), seq).await?;
        let seen = EntryHeader::of(message.as_str())?;
        let mentions = seen.mentions()?;
        let all = matches!(channel.kind(), Kind::Direct | Kind::Support);
        let named = serde_json::json!(mentions).to_string();
        let said = MessageToPush {
            channel: id.as_str(),
            channel_key: channel.key(),
            seq,
            sender: &seen.sender.id,
            all,
            mentions: &named,
        };
        let at = app.db.now().await? + WAIT_MS;
        if matches!(channel.kind(), Kind::World | Kind::System) {
            // Very many are in it: only those who are mentioned are looked at.
            let mut wanted = Vec::new();
            for player in mentions {
                if device::wants(&app.db, &said, &player).await? {
                    wanted.push(player.into_owned());
                }
            }
            return tell_later(app, &wanted, &said, at).await;
        }
        let mut after = String::new();
        loop {
            let mut players = device::to_tell(&app.db, &said, &after).await?;
            tell_later(app, &players, &said, at).await?;
            if players.len() < device::PAGE {
                return Ok(());
            }
            after = players.pop().unwrap_or_default();
        }
    }
}

/// One push a player, channel and few seconds, however much is said.
async fn tell_later(
    app: &App,
    players: &[String],
    said: &MessageToPush<'_>,
    at: Millis,
) -> Result<(), Failure> {
    Ok(push_due::note(&app.db, said, players, at, |shard| task::new(&Push { shard })).await?)
}

impl Task for Push {
    const NAME: &'static str = "push.v2";
    const ATTEMPTS: i64 = 20;

    fn is_set_up(app: &App) -> bool {
        app.push.is_on()
    }

    fn key(&self) -> String {
        format!("push:{}", self.shard)
    }

    async fn run(self, app: &App, id: &str) -> Result<(), Failure> {
        let now = app.db.now().await?;
        let page = push_due::due(&app.db, self.shard, now - online::SILENT_MS, PAGE as i64).await?;
        if !page.is_empty() {
            let players: Vec<&str> = page.iter().map(|due| due.player_id.as_str()).collect();
            let devices = device::of_players(&app.db, &players).await?;
            let mut looking = Vec::with_capacity(page.len());
            for due in &page {
                looking.push(look(app, due, of_player(&devices, &due.player_id), now));
            }
            let looked: Vec<Looked> =
                futures_util::stream::iter(looking).buffer_unordered(PAGE).collect().await;
            record(app, &looked, now + WAIT_MS).await?;
        }
        Ok(push_due::look_again(&app.db, self.shard, id, &task::new(&self)?).await?)
    }
}

/// Records what became of them, through a database that is away for a moment: what is not recorded is told again.
async fn record(app: &App, looked: &[Looked], later: Millis) -> Result<(), Error> {
    for _ in 1..RECORDINGS {
        match push_due::note_looked(&app.db, looked, later).await {
            Ok(()) => return Ok(()),
            Err(error) => {
                tracing::warn!(error = error.for_log(), "what was pushed can't be recorded; trying again")
            }
        }
        tokio::time::sleep(RECORDING_PAUSE).await;
    }
    push_due::note_looked(&app.db, looked, later).await
}

/// Devices are in the order of players.
fn of_player<'a>(devices: &'a [Device], player: &str) -> &'a [Device] {
    let begin = devices.partition_point(|device| device.player_id.as_str() < player);
    let rest = &devices[begin..];
    &rest[..rest.partition_point(|device| device.player_id == player)]
}

/// Tells a player of what is due, or says when to look again.
async fn look(app: &App, due: &Due, devices: &[Device], now: Millis) -> Looked {
    let looked = |at, tries| Looked {
        player: due.player_id.clone(),
        key: due.channel_key,
        last: due.last_seq,
        due: at,
        tries,
    };
    if due.read_seq >= due.last_seq {
        return looked(None, 0);
    }
    if due.online && now - due.at < ALIVE_MS {
        return looked(Some(due.at + ALIVE_MS), due.tries);
    }
    if due.online || devices.is_empty() {
        return looked(None, 0);
    }
    let (why, after_ms) = match tell_all(app, due, devices).await {
        Ok(()) => return looked(None, 0),
        Err(Failure::Retry(why) | Failure::Fault(why)) => (why, 0),
        Err(Failure::Later { why, after_ms, .. }) => (why, after_ms),
        // That was no try.
        Err(Failure::LeftAlone(after_ms)) => return looked(Some(now + after_ms), due.tries),
        Err(Failure::GiveUp(why)) => {
            tracing::warn!(why, "a push can't be made");
            return looked(None, 0);
        }
    };
    let tries = due.tries + 1;
    if tries < TRIES {
        tracing::info!(why, tries, "a push is tried again later");
        return looked(Some(now + task::backoff_ms(due.tries, LONGEST_MS).max(after_ms)), tries);
    }
    tracing::warn!(why, tries, "a push was given up");
    metrics::counter!("guildhall_device_pushes_total", "platform" => "any", "outcome" => "given up")
        .increment(1);
    looked(None, 0)
}

async fn tell_all(app: &App, due: &Due, devices: &[Device]) -> Result<(), Failure> {
    if let Some(notice) = notice(app, due).await? {
        for device in devices {
            tell(app, device, &notice).await?;
        }
    }
    Ok(())
}

/// Returns the notice of a channel, as the player sees it now; none if they have read it, or see nothing of it.
async fn notice(app: &App, due: &Due) -> Result<Option<Notice>, Failure> {
    let Some(id) = &due.channel else { return Ok(None) };
    let count = due.last_seq - (due.from_seq - 1).max(due.read_seq);
    if count <= 0 {
        return Ok(None);
    }
    let wrong = |fault: &'static str| Failure::GiveUp(fault.to_owned());
    let player = PlayerId::parse(due.player_id.as_str()).map_err(wrong)?;
    let channel = ChannelId::parse(id.as_str()).map_err(wrong)?;
    let reader = Identity::player(player);
    let which = PageEdge::Before(due.last_seq + 1);
    let page = match message::page(&app.db, &channel, &reader, which, count.min(COUNTED)).await {
        Ok(page) => page,
        // They are not in it any more.
        Err(Error::NotFound(_) | Error::Forbidden { .. } | Error::Banned { .. }) => return Ok(None),
        Err(fault) => return Err(fault.into()),
    };
    let mut news = Vec::new();
    for entry in page.messages.entries()? {
        let entry = EntryHeader::of(entry.get())?;
        if is_news(&entry, due)? {
            news.push(entry);
        }
    }
    let Some(last) = news.last() else { return Ok(None) };
    Ok(Some(Notice {
        id: task::digest(&format!("{} {id} {}", due.player_id, due.last_seq)),
        title: Some(last.sender.name.clone().into_owned()),
        body: last.text.chars().take(BODY).collect(),
        count: news.len(),
        channel: Some(id.clone()),
        collapse: task::digest(id),
    }))
}

/// Is it something that its player wants to be told?
fn is_news(entry: &EntryHeader<'_>, due: &Due) -> Result<bool, Error> {
    let is_said =
        matches!(entry.kind, Some(MessageKind::Text | MessageKind::System)) && !entry.text.is_empty();
    if !is_said || entry.sender.id == due.player_id {
        return Ok(false);
    }
    let is_named = || Ok(entry.mentions()?.iter().any(|named| *named == due.player_id));
    if due.notify == "mentions" { is_named() } else { Ok(due.notify == "all") }
}

/// Tells a device, unless it is to be left alone now; one that is gone is forgotten.
///
/// # Errors
/// It may work later.
pub async fn tell(app: &App, device: &Device, notice: &Notice) -> Result<(), Failure> {
    let quiet = device.quiet.as_ref().and_then(|quiet| serde_json::from_str::<QuietHours>(quiet).ok());
    if quiet.is_some_and(|quiet| quiet.cover(app.clock.now())) {
        return Ok(());
    }
    let Some(platform) = Platform::from_word(&device.platform) else { return Ok(()) };
    let Device { token, topic, sandbox, registered_at, .. } = device;
    let to =
        To { platform, token, topic: topic.as_deref(), sandbox: *sandbox, registered_at: *registered_at };
    let outcome = match app.push.tell(to, notice).await {
        Ok(()) => "sent",
        Err(PushError::Gone) => {
            device::forget(&app.db, device).await?;
            "gone"
        }
        Err(PushError::Off) => "off",
        Err(PushError::Refused(why)) => {
            tracing::warn!(platform = platform.as_str(), why, "a push was refused");
            "refused"
        }
        Err(PushError::Passing(fault)) => return Err(fault.into()),
    };
    metrics::counter!("guildhall_device_pushes_total", "platform" => platform.as_str(), "outcome" => outcome)
        .increment(1);
    Ok(())
}
