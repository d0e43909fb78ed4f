//! Tell players who are away what was said to them: first whom it concerns, then, a few seconds later, what of it they have
//! not read.
//!
//! Several messages become one push, with a count. Who has a socket is told there: where one is open, it is looked again
//! when a socket that is dead would have been closed. Safe to run twice: a push takes the place of an earlier one.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app::App;
use crate::base::clock::Millis;
use crate::base::error::Error;
use crate::chat::identity::{Identity, Scope};
use crate::chat::quiet::QuietHours;
use crate::chat::values::{ChannelId, Cursor, Kind, PlayerId};
use crate::outside::push::{Notice, Platform, PushError, To};
use crate::store::device::{self, Device, Pending, Said, Untold};
use crate::store::message::{self, Which};
use crate::store::{channel, online};
use crate::work::task::{self, Failure, Task};

/// How long it is waited before a push: most who are there have read by then.
const WAIT_MS: Millis = 5_000;
/// A socket that is still open so long after a message has answered since.
const ALIVE_MS: Millis = 65_000;
/// Messages that are counted.
const COUNTED: i64 = 50;
/// Characters of a body.
const BODY: usize = 200;

/// Something was said that may have to be pushed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// Where.
    pub channel: ChannelId,
    /// Its number; the store fills it in.
    pub seq: i64,
}

/// A player has something to be told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// Who.
    pub player: PlayerId,
}

/// What is looked at of a message.
#[derive(Deserialize)]
struct Seen {
    kind: String,
    sender: Sender,
    text: String,
    #[serde(default)]
    mentions: Vec<String>,
}

#[derive(Deserialize)]
struct Sender {
    id: String,
    name: String,
}

impl Task for Notify {
    const NAME: &'static str = "notify.v1";
    const ATTEMPTS: i64 = 5;

    fn key(&self) -> String {
        format!("notify:{}", self.channel)
    }

    async fn run(self, app: &App, _: &str) -> Result<(), Failure> {
        let Self { channel: id, seq } = self;
        let Some(channel) = channel::find(&app.db, &id, None).await? else { return Ok(()) };
        let message = message::get(&app.db, id.as_str(), seq).await?;
        let seen: Seen =
            serde_json::from_str(message.as_str()).map_err(|fault| Failure::GiveUp(fault.to_string()))?;
        let all = matches!(channel.kind(), Kind::Direct | Kind::Support);
        let mentions = serde_json::json!(seen.mentions).to_string();
        let said = Said {
            channel: id.as_str(),
            channel_key: channel.key(),
            seq,
            sender: &seen.sender.id,
            all,
            mentions: &mentions,
        };
        let at = app.db.now().await? + WAIT_MS;
        if matches!(channel.kind(), Kind::World | Kind::System) {
            // Very many are in it: only those who are mentioned are looked at.
            let mut wanted = Vec::new();
            for player in seen.mentions {
                if device::wants(&app.db, &said, &player).await? {
                    wanted.push(player);
                }
            }
            return tell_later(app, &wanted, &said, at).await;
        }
        let mut after = String::new();
        loop {
            let (players, last) = device::to_tell(&app.db, &said, &after).await?;
            tell_later(app, &players, &said, at).await?;
            let Some(last) = last else { return Ok(()) };
            after = last;
        }
    }
}

/// One push a player and few seconds, however much is said.
async fn tell_later(app: &App, players: &[String], said: &Said<'_>, at: Millis) -> Result<(), Failure> {
    let untold: Vec<Untold<'_>> =
        players.iter().filter_map(|player| push_of(player, at).transpose()).collect::<Result<_, Error>>()?;
    Ok(device::note_pending(&app.db, said, &untold, at).await?)
}

/// What tells a player at a time; nothing for an id that is none.
fn push_of(player: &str, at: Millis) -> Result<Option<Untold<'_>>, Error> {
    let Ok(id) = PlayerId::parse(player) else { return Ok(None) };
    let task = task::new(&Push { player: id })?;
    Ok(Some(Untold { player, id: task_id(player, at), task }))
}

/// The id of the task that tells a player what there is at a time.
fn task_id(player: &str, at: Millis) -> String {
    format!("push:{}:{}", task::digest(player), at / WAIT_MS)
}

impl Task for Push {
    const NAME: &'static str = "push.v1";
    const ATTEMPTS: i64 = 8;

    fn key(&self) -> String {
        format!("push:{}", self.player)
    }

    async fn run(self, app: &App, id: &str) -> Result<(), Failure> {
        let player = self.player;
        let now = app.db.now().await?;
        let all = device::pending(&app.db, player.as_str(), now - online::SILENT_MS).await?;
        if all.is_empty() {
            return Ok(());
        }
        let devices = device::of_player(&app.db, player.as_str()).await?;
        for pending in all {
            if pending.online && now - pending.at < ALIVE_MS {
                let again = task::new(&Self { player: player.clone() })?;
                let at = pending.at + ALIVE_MS;
                let task = task_id(player.as_str(), at);
                crate::store::outbox::enqueue_later(&app.db, &task, &again, at).await?;
                continue;
            }
            if !pending.online
                && let Some(notice) = notice(app, &player, &pending, id).await?
            {
                for device in &devices {
                    tell(app, device, &notice).await?;
                }
            }
            device::note_told(&app.db, player.as_str(), &pending).await?;
        }
        Ok(())
    }
}

/// What is to be told of a channel, as the player sees it now; none where they have read it, or see nothing of it.
async fn notice(
    app: &App,
    player: &PlayerId,
    pending: &Pending,
    id: &str,
) -> Result<Option<Notice>, Failure> {
    let reader = Identity { id: player.clone(), scope: Scope::Player, ..Identity::us() };
    let after = (pending.from_seq - 1).max(pending.read_seq);
    let after = Cursor::try_from(after).map_err(|fault| Failure::GiveUp(fault.to_owned()))?;
    let channel =
        ChannelId::parse(pending.channel.as_str()).map_err(|fault| Failure::GiveUp(fault.to_owned()))?;
    let page = match message::page(&app.db, &channel, &reader, Which::After(after.get()), COUNTED).await {
        Ok(page) => page,
        // They are not in it any more.
        Err(Error::NotFound(_) | Error::Forbidden { .. } | Error::Banned { .. }) => return Ok(None),
        Err(fault) => return Err(fault.into()),
    };
    let entries: Vec<Value> =
        serde_json::from_str(page.messages.as_str()).map_err(|fault| Failure::GiveUp(fault.to_string()))?;
    let seen = entries.into_iter().filter_map(|entry| serde_json::from_value::<Seen>(entry).ok());
    let is_news = |seen: &Seen| {
        matches!(seen.kind.as_str(), "text" | "system")
            && !seen.text.is_empty()
            && seen.sender.id != player.as_str()
    };
    let news: Vec<Seen> = seen.filter(is_news).collect();
    let Some(last) = news.last() else { return Ok(None) };
    Ok(Some(Notice {
        id: id.to_owned(),
        title: Some(last.sender.name.clone()),
        body: last.text.chars().take(BODY).collect(),
        count: news.len(),
        channel: Some(pending.channel.clone()),
        collapse: task::digest(&pending.channel),
    }))
}

/// Tells a device, unless it is to be left alone now; one that is gone is forgotten.
pub(super) async fn tell(app: &App, device: &Device, notice: &Notice) -> Result<(), Failure> {
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
