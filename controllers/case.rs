//! `/case/*`: what moderators look at, and how they decide it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::api::action::{Action, Route};
use crate::api::caller::Moderator;
use crate::app::App;
use crate::base::error::Result;
use crate::chat::reports::Decision;
use crate::chat::sanctions::{Ladder, SanctionKind};
use crate::chat::states::CaseState;
use crate::chat::values::{Nonce, PageSize, Place, RecordId, SanctionSeconds, Text};
use crate::service::moderation::decide::{self, Verdict};
use crate::store::moderation::By;
use crate::store::moderation::case::{self, Case};
use crate::store::moderation::report::{self, Report};
use crate::store::moderation::sanction::{self, Given, SanctionFilter};

/// Cases in a state, those that weigh most first, then the oldest, page by page.
///
/// A report weighs 2, and 1 where its author's reports were mostly dismissed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaseQueue {
    /// State of the cases to list.
    #[serde(default)]
    state: CaseState,
    /// The last id of the page before.
    #[serde(default)]
    after: Option<RecordId>,
    /// The page's size, 1 to 100.
    #[serde(default)]
    limit: PageSize,
}

/// A page of cases.
#[derive(Serialize, JsonSchema)]
pub struct CasePage {
    cases: Vec<Case>,
    /// More follow: ask again with `next` as `after`.
    more: bool,
    /// Cursor of the next page; null on the last page.
    next: Option<String>,
}

impl Action for CaseQueue {
    const ROUTE: Route = Route::get("/case/queue");
    type Caller = Moderator;
    type Reply = CasePage;

    async fn run(self, app: &App, _: Moderator) -> Result<CasePage> {
        let after = self.after.as_ref().map(RecordId::as_str);
        let found = case::queue(&app.db, self.state, after, self.limit.and_one()).await?;
        let (cases, next) = self.limit.page(found, |last| last.id.clone());
        Ok(CasePage { cases, more: next.is_some(), next })
    }
}

/// One case: its reports, the evidence, the player's record, and what the ladder proposes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShowCase {
    /// The case's id.
    id: RecordId,
}

/// All there is to decide a case by.
#[derive(Serialize, JsonSchema)]
pub struct WholeCase {
    case: Case,
    /// The first hundred.
    reports: Vec<Report>,
    /// The message as it was when the first report came, with what was written (`original`, where that was something else)
    /// and ten entries before and after; none for a report about a player, or where it is not kept any more.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    evidence: Option<Box<RawValue>>,
    record: PlayerHistory,
    proposal: Proposal,
}

/// Record of a player.
#[derive(Serialize, JsonSchema)]
pub struct PlayerHistory {
    /// Their last twenty sanctions, lifted ones too.
    sanctions: Vec<Given>,
    /// Reports about them, and by them; 10,000 where there are more.
    reports_about: i64,
    reports_by: i64,
}

/// Sanction that the ladder (`GUILDHALL_LADDER`) proposes for a player with this record.
#[derive(Serialize, JsonSchema)]
pub struct Proposal {
    kind: SanctionKind,
    /// For how long; none is for good.
    seconds: Option<i64>,
}

impl Action for ShowCase {
    const ROUTE: Route = Route::get("/case/show");
    type Caller = Moderator;
    type Reply = WholeCase;

    async fn run(self, app: &App, _: Moderator) -> Result<WholeCase> {
        let db = &app.db;
        let case = case::find(db, self.id.as_str()).await?;
        let evidence = case::evidence(db, &case.id).await?;
        let player = case.about.player.as_str();
        let wanted = SanctionFilter { player: Some(player), limit: 20, ..SanctionFilter::default() };
        let (reports_about, reports_by) = report::counts(db, player).await?;
        let record =
            PlayerHistory { sanctions: sanction::list(db, wanted).await?, reports_about, reports_by };
        let since = db.now().await? - Ladder::RECORD_MS;
        let step = app.config.moderation.ladder.after(sanction::count_since(db, player, since).await?);
        let proposal = Proposal { kind: step.kind, seconds: step.for_ms.map(|ms| ms / 1_000) };
        let reports = report::of_case(db, &case.id).await?;
        Ok(WholeCase { case, reports, evidence, record, proposal })
    }
}

/// Take a case, so that no two moderators work on it. A claim ends after half an hour.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimCase {
    /// The case's id.
    id: RecordId,
    /// Chosen by the caller: the same nonce twice is one claim; without it, a second one is a conflict.
    #[serde(default)]
    nonce: Option<Nonce>,
}

/// A case.
#[derive(Serialize, JsonSchema)]
pub struct ClaimReply {
    case: Case,
}

impl Action for ClaimCase {
    const ROUTE: Route = Route::post("/case/claim");
    type Caller = Moderator;
    type Reply = ClaimReply;

    async fn run(self, app: &App, by: Moderator) -> Result<ClaimReply> {
        let nonce = self.nonce.as_ref().map(Nonce::as_str);
        Ok(ClaimReply { case: case::claim(&app.db, self.id.as_str(), &By { who: &by, nonce }).await? })
    }
}

/// Decide a case. Its reporters are told that it was looked at.
///
/// Every decision but `dismiss` takes the message back, where the case is about one; `shadow` hides it from everybody but
/// its author. `warn`, `mute`, `shadow` and `ban` also give its author that sanction, who is told the reason, but for
/// `shadow`. `dismiss` shows a message again that was hidden by itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecideCase {
    /// The case's id.
    id: RecordId,
    /// Decision on the case.
    decision: Decision,
    /// Place where a sanction holds; everywhere if absent.
    #[serde(default)]
    r#where: Option<Place>,
    /// For how long; without it for good.
    #[serde(default)]
    seconds: Option<SanctionSeconds>,
    /// Reason for the decision; a player who gets a sanction is told.
    reason: Text,
    /// Note for other moderators; the player is not told.
    #[serde(default)]
    note: Option<Text>,
    /// Chosen by the caller: the same nonce twice is one decision; without it, a second one is a conflict.
    #[serde(default)]
    nonce: Option<Nonce>,
}

/// A case that is decided.
#[derive(Serialize, JsonSchema)]
pub struct DecideReply {
    case: Case,
    /// Sanction that the player got; null if the decision gave none.
    sanction: Option<Given>,
}

impl Action for DecideCase {
    const ROUTE: Route = Route::post("/case/decide");
    type Caller = Moderator;
    type Reply = DecideReply;

    async fn run(self, app: &App, by: Moderator) -> Result<DecideReply> {
        let Self { id, decision, r#where: place, seconds, reason, note, nonce } = self;
        let verdict = Verdict { decision, place, seconds, reason, note };
        let (case, sanction) = decide::decide(app, &id, verdict, nonce.as_ref(), &by).await?;
        Ok(DecideReply { case, sanction })
    }
}
