//! `/appeal/*`: a player objects to a sanction, and somebody looks at it again. No ban reaches here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::{Moderator, Player};
use crate::app::App;
use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::chat::states::AppealState;
use crate::chat::values::{Nonce, PageSize, RecordId, Text};
use crate::service::moderation::appeal as service;
use crate::store::moderation::appeal::{self, Appeal};

/// Object to a sanction of one's own, once. The same words again are the same appeal.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitAppeal {
    /// The sanction's id.
    sanction: RecordId,
    /// Reason why the sanction is wrong.
    text: Text,
    /// Not needed: there is one appeal a sanction.
    #[serde(default)]
    #[expect(dead_code, reason = "every write takes one")]
    nonce: Option<Nonce>,
}

/// An appeal, as its author sees it.
#[derive(Serialize, JsonSchema)]
pub struct OwnAppeal {
    id: String,
    /// Against which sanction.
    sanction: String,
    text: String,
    /// State of the appeal.
    state: AppealState,
    /// Time when it was made, in milliseconds since 1970-01-01 UTC.
    at: Millis,
    /// Time when it was decided, in milliseconds since 1970-01-01 UTC; null before that.
    decided_at: Option<Millis>,
    /// Reason for the decision; null before it.
    reason: Option<String>,
    /// True if the person who decided the appeal had also given the sanction.
    by_giver: bool,
}

impl From<Appeal> for OwnAppeal {
    fn from(appeal: Appeal) -> Self {
        let Appeal { id, sanction_id, text, state, at, decided_at, reason, by_giver, .. } = appeal;
        Self { id, sanction: sanction_id, text, state, at, decided_at, reason, by_giver }
    }
}

/// One's own appeal.
#[derive(Serialize, JsonSchema)]
pub struct OwnAppealReply {
    appeal: OwnAppeal,
}

impl Action for SubmitAppeal {
    const ROUTE: Route = Route::post("/appeal/submit");
    type Caller = Player;
    type Reply = OwnAppealReply;

    async fn run(self, app: &App, player: Player) -> Result<OwnAppealReply> {
        let (sanction, text) = (self.sanction.as_str(), self.text.as_str());
        Ok(OwnAppealReply {
            appeal: appeal::submit(&app.db, player.id.as_str(), sanction, text).await?.into(),
        })
    }
}

/// The caller's own appeals, the newest first, page by page.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnAppeals {
    /// The last id of the page before.
    #[serde(default)]
    after: Option<RecordId>,
    /// The page's size, 1 to 100.
    #[serde(default)]
    limit: PageSize,
}

/// A page of one's own appeals.
#[derive(Serialize, JsonSchema)]
pub struct OwnAppealPage {
    appeals: Vec<OwnAppeal>,
    /// More follow: ask again with `next` as `after`.
    more: bool,
    /// Cursor of the next page; null on the last page.
    next: Option<String>,
}

impl Action for OwnAppeals {
    const ROUTE: Route = Route::get("/appeal/mine");
    type Caller = Player;
    type Reply = OwnAppealPage;

    async fn run(self, app: &App, player: Player) -> Result<OwnAppealPage> {
        let after = self.after.as_ref().map(RecordId::as_str);
        let found = appeal::of_player(&app.db, player.id.as_str(), after, self.limit.and_one()).await?;
        let (appeals, next) = self.limit.page(found, |last| last.id.clone());
        let appeals = appeals.into_iter().map(OwnAppeal::from).collect();
        Ok(OwnAppealPage { appeals, more: next.is_some(), next })
    }
}

/// Appeals in a state, the oldest first, page by page.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AppealQueue {
    /// State of the appeals to list.
    #[serde(default)]
    state: AppealState,
    /// The last id of the page before.
    #[serde(default)]
    after: Option<RecordId>,
    /// The page's size, 1 to 100.
    #[serde(default)]
    limit: PageSize,
}

/// A page of appeals.
#[derive(Serialize, JsonSchema)]
pub struct AppealPage {
    appeals: Vec<Appeal>,
    /// More follow: ask again with `next` as `after`.
    more: bool,
    /// Cursor of the next page; null on the last page.
    next: Option<String>,
}

impl Action for AppealQueue {
    const ROUTE: Route = Route::get("/appeal/queue");
    type Caller = Moderator;
    type Reply = AppealPage;

    async fn run(self, app: &App, _: Moderator) -> Result<AppealPage> {
        let after = self.after.as_ref().map(RecordId::as_str);
        let found = appeal::queue(&app.db, self.state, after, self.limit.and_one()).await?;
        let (appeals, next) = self.limit.page(found, |last| last.id.clone());
        Ok(AppealPage { appeals, more: next.is_some(), next })
    }
}

/// Decide an appeal: the sanction stays, or is lifted. The player is told why.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecideAppeal {
    /// The appeal's id.
    id: RecordId,
    /// Decision on the appeal.
    decision: AppealDecision,
    /// Reason for the decision; the player is told.
    reason: Text,
    /// Chosen by the caller: the same nonce twice is one decision; without it, a second one is a conflict.
    #[serde(default)]
    nonce: Option<Nonce>,
}

/// Decision on an appeal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AppealDecision {
    /// The sanction stays.
    Uphold,
    /// The sanction is lifted.
    Lift,
}

/// An appeal that is decided.
#[derive(Serialize, JsonSchema)]
pub struct AppealReply {
    appeal: Appeal,
}

impl Action for DecideAppeal {
    const ROUTE: Route = Route::post("/appeal/decide");
    type Caller = Moderator;
    type Reply = AppealReply;

    async fn run(self, app: &App, by: Moderator) -> Result<AppealReply> {
        let ended = (self.decision == AppealDecision::Lift, &self.reason);
        let appeal = service::decide(app, &self.id, ended, self.nonce.as_ref(), &by).await?;
        Ok(AppealReply { appeal })
    }
}
