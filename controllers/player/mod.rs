//! `/player/*`: what is about one player. (`blocks` is whom they want to see nothing of; `record` and `purge` are for
//! moderators, `rights` is for the game's server.)

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::Player;
use crate::app::App;
use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::chat::sanctions::SanctionKind;
use crate::chat::values::{PageSize, RecordId};
use crate::store::moderation::sanction::{self, Given, SanctionFilter};

mod blocks;
mod purge;
mod record;
mod rights;

pub use blocks::{BlockPlayer, OwnBlocks, UnblockPlayer};
pub use purge::PurgePlayer;
pub use record::PlayerRecord;
pub use rights::{ErasePlayer, ExportPlayer};

/// The caller's own sanctions, the newest first, with the reasons that they were told. Nobody can be kept from this.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnSanctions {
    /// The last id of the page before.
    #[serde(default)]
    after: Option<RecordId>,
    /// The page's size, 1 to 100.
    #[serde(default)]
    limit: PageSize,
}

/// A sanction, as its player sees it.
#[derive(Serialize, JsonSchema)]
pub struct OwnSanction {
    id: String,
    /// Kind of the sanction; nobody is told of a `shadow`.
    kind: SanctionKind,
    /// `everywhere`, `kind:world`, or `channel:ID`.
    r#where: String,
    /// Reason for the sanction.
    reason: String,
    /// Time when it was given, in milliseconds since 1970-01-01 UTC.
    given_at: Millis,
    /// Until when; none is for good.
    until: Option<Millis>,
    /// Does it hold now?
    active: bool,
    /// Given by the program rather than by somebody.
    automatic: bool,
    /// Time when it was lifted, in milliseconds since 1970-01-01 UTC, and the reason; null if it was not lifted.
    lifted_at: Option<Millis>,
    lift_reason: Option<String>,
}

/// A page of one's own sanctions.
#[derive(Serialize, JsonSchema)]
pub struct OwnSanctionPage {
    sanctions: Vec<OwnSanction>,
    /// More follow: ask again with `next` as `after`.
    more: bool,
    /// Cursor of the next page; null on the last page.
    next: Option<String>,
}

impl Action for OwnSanctions {
    const ROUTE: Route = Route::get("/player/sanctions");
    type Caller = Player;
    type Reply = OwnSanctionPage;

    async fn run(self, app: &App, player: Player) -> Result<OwnSanctionPage> {
        let after = self.after.as_ref().map(RecordId::as_str);
        let wanted = SanctionFilter {
            player: Some(player.id.as_str()),
            told: true,
            after,
            limit: self.limit.and_one(),
            ..SanctionFilter::default()
        };
        let found = sanction::list(&app.db, wanted).await?;
        let (sanctions, next) = self.limit.page(found, |last| last.id.clone());
        let now = app.db.now().await?;
        let own = |given: Given| OwnSanction {
            active: given.holds(now),
            id: given.id,
            kind: given.kind,
            r#where: given.place,
            reason: given.reason,
            given_at: given.given_at,
            until: given.until,
            automatic: given.automatic,
            lifted_at: given.lifted_at,
            lift_reason: given.lift_reason,
        };
        let sanctions = sanctions.into_iter().map(own).collect();
        Ok(OwnSanctionPage { sanctions, more: next.is_some(), next })
    }
}
