//! `/announcement/*`: what the game says to many, now, at a time, or again and again.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::{Moderator, Player};
use crate::app::App;
use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::chat::announcing::{Audience, Texts};
use crate::chat::planning::When;
use crate::chat::states::AnnouncementState;
use crate::chat::values::{Language, Nonce, PageSize, RecordId, ShowSeconds, Text};
use crate::service::announcement::{self as service, AnnouncementRequest};
use crate::store::announcement::{self, Announcement, InLanguage};

/// Announcements that a player is shown at one time, the newest ones.
const ACTIVE: usize = 50;
/// Times that a preview names.
const NEXT: usize = 5;

/// Say something to many.
///
/// Into channels it is a system message: its text in English or the first language, all languages in its payload. To
/// players it is stored once, with whom it concerns: sockets of those get it pushed, and `/announcement/active` shows it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateAnnouncement {
    /// Text of the announcement by language: `{"en": "…", "zh-CN": "…"}`.
    texts: Texts,
    /// Players or channels to reach.
    audience: Audience,
    /// Time or calendar at which it is due.
    when: When,
    /// To those who are away too, by their devices.
    #[serde(default)]
    push: bool,
    /// Seconds for which players are shown the announcement: a week if absent, 90 days at most.
    #[serde(default)]
    show_s: ShowSeconds,
    /// Chosen by the caller: the same nonce twice is the same announcement once.
    #[serde(default)]
    nonce: Option<Nonce>,
}

/// An announcement, as those see it who make them.
#[derive(Serialize, JsonSchema)]
pub struct AnnouncementView {
    id: String,
    /// State of the announcement.
    state: AnnouncementState,
    /// Next time it is due, in milliseconds since 1970-01-01 UTC; null if it is over.
    next_at: Option<Millis>,
    texts: BTreeMap<Language, Text>,
    audience: Audience,
    push: bool,
    /// Seconds for which players are shown each announcement.
    show_s: i64,
    /// Number of channels it was sent to.
    channels: i64,
    /// Milliseconds since 1970-01-01 UTC.
    created_at: Millis,
}

impl From<Announcement> for AnnouncementView {
    fn from(of: Announcement) -> Self {
        let Announcement { id, texts, audience, push, show_ms, state, next_at, created_at, reached } = of;
        let (texts, show_s) = (texts.all().clone(), show_ms / 1_000);
        Self { id, state, next_at, texts, audience, push, show_s, channels: reached, created_at }
    }
}

/// One announcement.
#[derive(Serialize, JsonSchema)]
pub struct AnnouncementReply {
    announcement: AnnouncementView,
}

impl Action for CreateAnnouncement {
    const ROUTE: Route = Route::post("/announcement/create");
    type Caller = Moderator;
    type Reply = AnnouncementReply;

    async fn run(self, app: &App, by: Moderator) -> Result<AnnouncementReply> {
        let Self { texts, audience, when, push, show_s, nonce } = self;
        let asked = AnnouncementRequest { texts, audience, when, push, show_s };
        Ok(AnnouncementReply { announcement: service::create(app, asked, nonce.as_ref(), &by).await?.into() })
    }
}

/// Announcements for the caller now: those that concern their zone and level, in their language, the newest first.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActiveAnnouncements {
    /// Their language, where their token does not say it.
    #[serde(default)]
    language: Option<Language>,
}

/// Announcements to show.
#[derive(Serialize, JsonSchema)]
pub struct ActiveReply {
    #[schemars(with = "Vec<InLanguage<'static>>")]
    announcements: Vec<serde_json::Value>,
}

impl Action for ActiveAnnouncements {
    const ROUTE: Route = Route::get("/announcement/active");
    type Caller = Player;
    type Reply = ActiveReply;

    async fn run(self, app: &App, by: Player) -> Result<ActiveReply> {
        let language = by.lang.as_ref().or(self.language.as_ref()).map(Language::as_str);
        let theirs = announcement::shown(&app.db, 0, ACTIVE, |_, audience| audience.concerns(&by)).await?;
        Ok(ActiveReply {
            announcements: theirs
                .iter()
                .map(|shown| serde_json::json!(shown.in_language(language)))
                .collect(),
        })
    }
}

/// All announcements, the newest first, page by page.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListAnnouncements {
    /// The last id of the page before.
    #[serde(default)]
    after: Option<RecordId>,
    /// The page's size, 1 to 100.
    #[serde(default)]
    limit: PageSize,
}

/// A page of announcements.
#[derive(Serialize, JsonSchema)]
pub struct AnnouncementPage {
    announcements: Vec<AnnouncementView>,
    /// More follow: ask again with `next` as `after`.
    more: bool,
    /// Cursor of the next page; null on the last page.
    next: Option<String>,
}

impl Action for ListAnnouncements {
    const ROUTE: Route = Route::get("/announcement/list");
    type Caller = Moderator;
    type Reply = AnnouncementPage;

    async fn run(self, app: &App, _: Moderator) -> Result<AnnouncementPage> {
        let after = self.after.as_ref().map(RecordId::as_str);
        let found = announcement::list(&app.db, after, self.limit.and_one()).await?;
        let (page, next) = self.limit.page(found, |last| last.id.clone());
        let announcements = page.into_iter().map(Into::into).collect();
        Ok(AnnouncementPage { announcements, more: next.is_some(), next })
    }
}

/// See what an announcement would do, without making it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewAnnouncement {
    /// As for `create`.
    texts: Texts,
    /// As for `create`.
    audience: Audience,
    /// As for `create`.
    when: When,
    /// As for `create`.
    #[serde(default)]
    #[expect(dead_code, reason = "takes what create takes")]
    push: bool,
    /// As for `create`.
    #[serde(default)]
    #[expect(dead_code, reason = "takes what create takes")]
    show_s: ShowSeconds,
    /// Not needed: nothing is made.
    #[serde(default)]
    #[expect(dead_code, reason = "takes what create takes")]
    nonce: Option<Nonce>,
}

/// Effect that an announcement would have.
#[derive(Serialize, JsonSchema)]
pub struct Preview {
    /// Next times at which it would be due, five at most, in milliseconds since 1970-01-01 UTC.
    next: Vec<Millis>,
    /// Number of channels it would be sent to; 10,000 means ten thousand or more; null if it is shown to players.
    channels: Option<i64>,
    /// Languages of the text, and the fallback for players who read another one.
    languages: Vec<String>,
    fallback: String,
    /// Text that a player would read in each language.
    texts: BTreeMap<Language, Text>,
}

impl Action for PreviewAnnouncement {
    const ROUTE: Route = Route::post("/announcement/preview");
    type Caller = Moderator;
    type Reply = Preview;

    async fn run(self, app: &App, _: Moderator) -> Result<Preview> {
        let channels = service::reached(app, &self.audience).await?;
        let next = self.when.plan(app.db.now().await?)?.times(NEXT);
        let languages = self.texts.all().keys().map(|language| language.as_str().to_owned()).collect();
        let fallback = self.texts.pick(None).0.as_str().to_owned();
        Ok(Preview { next, channels, languages, fallback, texts: self.texts.all().clone() })
    }
}

/// End an announcement: it is said no more, also in the middle, and players are shown it no more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelAnnouncement {
    /// The announcement's id.
    id: RecordId,
    /// Not needed: it ends once.
    #[serde(default)]
    #[expect(dead_code, reason = "every write takes one")]
    nonce: Option<Nonce>,
}

impl Action for CancelAnnouncement {
    const ROUTE: Route = Route::post("/announcement/cancel");
    type Caller = Moderator;
    type Reply = AnnouncementReply;

    async fn run(self, app: &App, _: Moderator) -> Result<AnnouncementReply> {
        Ok(AnnouncementReply { announcement: announcement::cancel(&app.db, self.id.as_str()).await?.into() })
    }
}
