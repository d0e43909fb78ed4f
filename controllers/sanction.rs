//! `/sanction/*`: what moderators do to players who break the rules, and undo.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::{Known, Moderator};
use crate::app::App;
use crate::base::error::Result;
use crate::chat::sanctions::SanctionKind;
use crate::chat::values::{Nonce, PageSize, Place, PlayerId, RecordId, SanctionSeconds, Text};
use crate::service::moderation::sanction::{self as service, SanctionRequest};
use crate::store::moderation::sanction::{self, Given, SanctionFilter};

/// Warn, mute, shadow or ban a player.
///
/// `mute` keeps them from speaking, `ban` from reading too; `warn` only tells them. `shadow` lets them speak so that only
/// they see it, and is told to nobody. It holds from the next request on,
/// wherever that goes, and on open sockets within a second. Channels of kind `system` and `support` are never covered, and
/// neither are moderators and the game's server. The player is told the reason in their own `system` channel.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GiveSanction {
    /// Player who gets the sanction.
    player: PlayerId,
    /// Kind of the sanction.
    kind: SanctionKind,
    /// Place where it holds: `everywhere`, `kind:world` (or `guild`, `party`, `direct`), or `channel:ID`.
    r#where: Place,
    /// For how long, ten years at most; without it for good.
    #[serde(default)]
    seconds: Option<SanctionSeconds>,
    /// Reason that the player is told.
    reason: Text,
    /// Note for other moderators; the player is not told.
    #[serde(default)]
    note: Option<Text>,
    /// Chosen by the caller: the same nonce twice is the same sanction once.
    #[serde(default)]
    nonce: Option<Nonce>,
}

/// A sanction.
#[derive(Serialize, JsonSchema)]
pub struct SanctionReply {
    sanction: Given,
}

impl Action for GiveSanction {
    const ROUTE: Route = Route::post("/sanction/give");
    type Caller = Known;
    type Reply = SanctionReply;

    async fn run(self, app: &App, by: Known) -> Result<SanctionReply> {
        let Self { player, kind, r#where: place, seconds, reason, note, nonce } = self;
        let asked = SanctionRequest { player, kind, place, seconds, reason, note };
        let sanction = service::give(app, asked, nonce.as_ref(), &by).await?;
        Ok(SanctionReply { sanction })
    }
}

/// Take a sanction back; one that was lifted stays as it is. The player is told.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LiftSanction {
    /// The sanction's id.
    id: RecordId,
    /// Reason that the player is told.
    reason: Text,
    /// Not needed: lifting twice is lifting once.
    #[serde(default)]
    #[expect(dead_code, reason = "every write takes one")]
    nonce: Option<Nonce>,
}

impl Action for LiftSanction {
    const ROUTE: Route = Route::post("/sanction/lift");
    type Caller = Known;
    type Reply = SanctionReply;

    async fn run(self, app: &App, by: Known) -> Result<SanctionReply> {
        Ok(SanctionReply { sanction: service::lift(app, &self.id, &self.reason, &by).await? })
    }
}

/// Sanctions, the newest first, page by page.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListSanctions {
    /// Those of one player.
    #[serde(default)]
    player: Option<PlayerId>,
    /// Those that were given for this place, as it was named then.
    #[serde(default)]
    r#where: Option<Place>,
    /// `active` for those that hold now, `all` for every one.
    #[serde(default)]
    state: WhichSanctions,
    /// The last id of the page before.
    #[serde(default)]
    after: Option<RecordId>,
    /// The page's size, 1 to 100.
    #[serde(default)]
    limit: PageSize,
}

/// Sanctions to list.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhichSanctions {
    /// Those that hold now.
    #[default]
    Active,
    /// Also warnings, and what has ended or was lifted.
    All,
}

/// A page of sanctions.
#[derive(Serialize, JsonSchema)]
pub struct SanctionPage {
    sanctions: Vec<Given>,
    /// More follow: ask again with `next` as `after`.
    more: bool,
    /// Cursor of the next page; null on the last page.
    next: Option<String>,
}

impl Action for ListSanctions {
    const ROUTE: Route = Route::get("/sanction/list");
    type Caller = Moderator;
    type Reply = SanctionPage;

    async fn run(self, app: &App, _: Moderator) -> Result<SanctionPage> {
        let wanted = SanctionFilter {
            player: self.player.as_ref().map(PlayerId::as_str),
            place: self.r#where.as_ref().map(Place::as_str),
            active: matches!(self.state, WhichSanctions::Active),
            told: false,
            after: self.after.as_ref().map(RecordId::as_str),
            limit: self.limit.and_one(),
        };
        let found = sanction::list(&app.db, wanted).await?;
        let (sanctions, next) = self.limit.page(found, |last| last.id.clone());
        Ok(SanctionPage { sanctions, more: next.is_some(), next })
    }
}
