//! Say an announcement: into channels, one after the other and no faster than a setting says; or to players, by one row that
//! is shown to all whom it concerns.
//!
//! Safe to run twice: a message's nonce names the time that it was due. It goes on where an earlier try ended, and ends where
//! somebody cancels it.

use std::time::Duration;

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app::App;
use crate::base::clock::Millis;
use crate::base::error::Error;
use crate::chat::announcing::Reach;
use crate::chat::payload::Payload;
use crate::chat::values::{ChannelId, Level, Name, Nonce, RecordId};
use crate::outside::push::Notice;
use crate::store::announcement::{self, Announcement};
use crate::store::device::{self, Device};
use crate::store::task_progress;
use crate::store::{online, outbox, schedule};
use crate::work::system_message;
use crate::work::task::{self, Failure, Task};
use crate::work::tasks::notify;

/// Channels that are read at one time.
const PAGE: i64 = 50;

/// Which is due.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announce {
    /// Its id.
    pub announcement: RecordId,
}

impl Task for Announce {
    const NAME: &'static str = "announce.v1";
    const ATTEMPTS: i64 = 20;

    fn key(&self) -> String {
        format!("announce:{}", self.announcement.as_str())
    }

    async fn run(self, app: &App, id: &str) -> Result<(), Failure> {
        let announcement = announcement::find(&app.db, self.announcement.as_str()).await?;
        if !announcement::note(&app.db, &announcement.id, "running", announcement.reached).await? {
            return Ok(());
        }
        let reach = announcement.audience.reach().map_err(|fault| Failure::GiveUp(fault.to_owned()))?;
        let reached = match reach {
            Reach::Players => {
                show(app, self.announcement, &announcement, id).await?;
                announcement.reached
            }
            Reach::Channel(channel) => match say(app, &announcement, channel, id).await {
                // It was deleted: there is nobody to tell.
                Ok(()) | Err(Error::NotFound(_)) => announcement.reached + 1,
                Err(fault) => return Err(fault.into()),
            },
            Reach::Kind(kind) => match say_in_all(app, &announcement, kind.as_str(), id).await? {
                Some(reached) => reached,
                None => return Ok(()),
            },
        };
        let state = if announcement.next_at.is_none() { "done" } else { "planned" };
        announcement::note(&app.db, &announcement.id, state, reached).await?;
        Ok(())
    }
}

/// Shows it to players, and has the devices of those told who are away.
async fn show(app: &App, which: RecordId, announcement: &Announcement, id: &str) -> Result<(), Failure> {
    let due = schedule::due_of(id).unwrap_or(announcement.created_at);
    announcement::show(&app.db, announcement, due).await?;
    if announcement.push && app.push.is_on() {
        let task = format!("announce:{}:{due}", announcement.id);
        let push = task::new(&PushAnnouncement { announcement: which })?;
        outbox::enqueue_later(&app.db, &task, &push, app.db.now().await?).await?;
    }
    Ok(())
}

/// Tell the devices of those who are away, page by page, where an announcement concerns players.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushAnnouncement {
    /// Which.
    pub announcement: RecordId,
}

/// Devices that are told at one time.
const AT_ONCE: usize = 64;

impl Task for PushAnnouncement {
    const NAME: &'static str = "outreach.v1";
    const ATTEMPTS: i64 = 20;

    fn is_set_up(app: &App) -> bool {
        app.push.is_on()
    }

    fn key(&self) -> String {
        format!("outreach:{}", self.announcement.as_str())
    }

    async fn run(self, app: &App, id: &str) -> Result<(), Failure> {
        #[derive(Default, Deserialize)]
        struct Progress {
            after: String,
            told: usize,
        }
        let progress = task_progress::of(&app.db, id).await?;
        let Progress { mut after, mut told } =
            progress.and_then(|progress| serde_json::from_str(progress.get()).ok()).unwrap_or_default();
        let audience = announcement::find(&app.db, self.announcement.as_str()).await?.audience;
        let (least, most) =
            (audience.min_level.map_or(0, Level::get), audience.max_level.map_or(Millis::MAX, Level::get));
        loop {
            let announcement = announcement::find(&app.db, self.announcement.as_str()).await?;
            if announcement.state == "cancelled" {
                return Ok(());
            }
            let since = app.db.now().await? - online::SILENT_MS;
            let zone = audience.zone.as_ref().map(Name::as_str);
            let page = device::away(&app.db, &after, (zone, least, most), since).await?;
            let Some(last) = page.last() else { return Ok(()) };
            let mut telling = Vec::with_capacity(page.len());
            for device in &page {
                telling.push(tell_device(app, device, &announcement, id));
            }
            let ended: Vec<Result<(), Failure>> =
                futures_util::stream::iter(telling).buffer_unordered(AT_ONCE).collect().await;
            ended.into_iter().collect::<Result<(), Failure>>()?;
            (after, told) = (last.id.clone(), told + page.len());
            task_progress::note(&app.db, id, &json!({ "after": after, "told": told })).await?;
        }
    }
}

async fn tell_device(
    app: &App,
    device: &Device,
    announcement: &Announcement,
    id: &str,
) -> Result<(), Failure> {
    let (_, text) = announcement.texts.pick(device.language.as_deref());
    let notice = Notice {
        id: task::digest(&format!("{id} {}", device.id)),
        title: None,
        body: text.as_str().to_owned(),
        count: 1,
        channel: None,
        collapse: task::digest(id),
    };
    notify::tell(app, device, &notice).await
}

/// Says it in every channel of a kind; how many those were, none where it was cancelled in the middle.
async fn say_in_all(
    app: &App,
    announcement: &Announcement,
    kind: &str,
    id: &str,
) -> Result<Option<i64>, Failure> {
    #[derive(Default, Deserialize)]
    struct Progress {
        after: i64,
        channels: i64,
    }
    let pause = Duration::from_secs(1) / app.config.services.announcements_per_s.max(1);
    let progress = task_progress::of(&app.db, id).await?;
    let Progress { mut after, mut channels } =
        progress.and_then(|progress| serde_json::from_str(progress.get()).ok()).unwrap_or_default();
    loop {
        let page = announcement::next_channels(&app.db, kind, after, PAGE).await?;
        let Some((last, _)) = page.last() else { return Ok(Some(announcement.reached + channels)) };
        for (_, channel) in &page {
            let channel =
                ChannelId::parse(channel.as_str()).map_err(|fault| Failure::GiveUp(fault.to_owned()))?;
            match say(app, announcement, &channel, id).await {
                Ok(()) => channels += 1,
                Err(Error::NotFound(_)) => {}
                Err(fault) => return Err(fault.into()),
            }
            tokio::time::sleep(pause).await;
        }
        after = *last;
        task_progress::note(&app.db, id, &json!({ "after": after, "channels": channels })).await?;
        if !announcement::note(&app.db, &announcement.id, "running", announcement.reached + channels).await? {
            return Ok(None);
        }
    }
}

async fn say(app: &App, announcement: &Announcement, channel: &ChannelId, id: &str) -> Result<(), Error> {
    let (_, text) = announcement.texts.pick(None);
    let payload =
        json!({ "type": "announcement", "announcement": announcement.id, "texts": announcement.texts.all() });
    // Clients that find no texts have the one in the message; all of them may be too many.
    let payload = serde_json::from_str::<Payload>(&payload.to_string()).or_else(|_| {
        let short = json!({ "type": "announcement", "announcement": announcement.id });
        serde_json::from_str(&short.to_string())
    });
    let payload = payload.map_err(Error::internal)?;
    let nonce = Nonce::parse(task::digest(id)).map_err(Error::internal)?;
    system_message::say(app, channel.clone(), text.clone(), payload, nonce).await
}
