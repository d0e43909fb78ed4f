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
use crate::chat::announcing::{Audience, Reach, Texts};
use crate::chat::identity::Identity;
use crate::chat::payload::Payload;
use crate::chat::planning::When;
use crate::chat::states::AnnouncementState;
use crate::chat::values::{ChannelId, Level, Name, Nonce, RecordId, ShowSeconds};
use crate::outside::push::Notice;
use crate::service::message::system;
use crate::service::notify;
use crate::store::announcement::{self, Announcement, NewAnnouncement};
use crate::store::device::{self, Device};
use crate::store::schedule::NewSchedule;
use crate::store::task_progress;
use crate::store::{channel, online, outbox, schedule};
use crate::work::task::{self, Failure, Task};

/// Channels that are read at one time.
const PAGE: i64 = 50;

/// An announcement to be made.
#[derive(Debug)]
pub struct AnnouncementRequest {
    /// Text by language.
    pub texts: Texts,
    /// Players or channels to reach.
    pub audience: Audience,
    /// Time or calendar at which it is due.
    pub when: When,
    /// To those who are away too.
    pub push: bool,
    /// Seconds for which players are shown it.
    pub show_s: ShowSeconds,
}

/// Makes an announcement, once for a nonce, with the schedule that says it.
///
/// # Errors
/// There is nobody to tell, or the time never comes; the nonce stands for another one.
pub async fn create(
    app: &App,
    asked: AnnouncementRequest,
    nonce: Option<&Nonce>,
    by: &Identity,
) -> Result<Announcement, Error> {
    let AnnouncementRequest { texts, audience, when, push, show_s } = asked;
    check(app, &audience).await?;
    let id = task::digest(&task::id_of("announcement", by, nonce));
    let plan = when.plan(app.db.now().await?)?;
    let asked = json!([texts, audience, when, push, show_s.get()]).to_string();
    let announce = Announce { announcement: RecordId::parse(id.as_str()).map_err(Error::internal)? };
    let show_ms = show_s.get() * 1_000;
    let new = NewAnnouncement { id: &id, texts: &texts, audience: &audience, push, show_ms };
    let (schedule, task) = (format!("announcement:{id}"), task::new(&announce)?);
    let (by, digest) = (by.key(), task::digest(&asked));
    let plan = NewSchedule { id: &schedule, task: &task, plan: &plan, by: &by, digest: &digest };
    announcement::create(&app.db, new, plan).await
}

/// Returns the number of channels an announcement would be sent to, up to ten thousand; none if it is shown to players.
///
/// # Errors
/// There is nobody to tell.
pub async fn reached(app: &App, audience: &Audience) -> Result<Option<i64>, Error> {
    check(app, audience).await?;
    match audience.reach().map_err(|fault| Error::InvalidInput(fault.to_owned()))? {
        Reach::Channel(_) => Ok(Some(1)),
        Reach::Kind(kind) => Ok(Some(announcement::count_channels(&app.db, kind.as_str()).await?)),
        Reach::Players => Ok(None),
    }
}

/// Is there somebody to tell?
async fn check(app: &App, audience: &Audience) -> Result<(), Error> {
    match audience.reach().map_err(|fault| Error::InvalidInput(fault.to_owned()))? {
        Reach::Channel(id) => match channel::find(&app.db, id, None).await? {
            Some(_) => Ok(()),
            None => Err(Error::NotFound("channel")),
        },
        Reach::Kind(_) | Reach::Players => Ok(()),
    }
}

/// An announcement that is due.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announce {
    /// The announcement's id.
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
        if !announcement::note(&app.db, &announcement.id, AnnouncementState::Running, announcement.reached)
            .await?
        {
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
        let ended = announcement.next_at.is_none();
        let state = if ended { AnnouncementState::Done } else { AnnouncementState::Planned };
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
    /// The announcement's id.
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
            if announcement.state == AnnouncementState::Cancelled {
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
        if !announcement::note(
            &app.db,
            &announcement.id,
            AnnouncementState::Running,
            announcement.reached + channels,
        )
        .await?
        {
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
    system::say(app, channel.clone(), text.clone(), payload, nonce).await
}
