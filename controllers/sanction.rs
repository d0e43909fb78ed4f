//! `/sanction/*`: what moderators do to players who break the rules, and undo.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::{Known, Moderator};
use crate::app::App;
use crate::base::error::{Error, Result};
use crate::base::random;
use crate::chat::identity::Identity;
use crate::chat::sanctions::SanctionKind;
use crate::chat::values::{Nonce, PageSize, Place, PlayerId, RecordId, Role, SanctionSeconds, Text};
use crate::controllers::channel::role;
use crate::store::member;
use crate::store::moderation::By;
use crate::store::moderation::sanction::{self, Given, NewSanction, Wanted};
use crate::work::task;
use crate::work::tasks::told::{News, Told};

/// Warn, mute, shadow or ban a player.
///
/// `mute` keeps them from speaking, `ban` from reading too; `warn` only tells them. `shadow` lets them speak so that only
/// they see it, and is told to nobody. It holds from the next request on,
/// wherever that goes, and on open sockets within a second. Channels of kind `system` and `support` are never covered, and
/// neither are moderators and the game's server. The player is told the reason in their own `system` channel.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GiveSanction {
    /// Whom.
    player: PlayerId,
    /// What.
    kind: SanctionKind,
    /// Where: `everywhere`, `kind:world` (or `guild`, `party`, `direct`), or `channel:ID`.
    r#where: Place,
    /// For how long, ten years at most; without it for good.
    #[serde(default)]
    seconds: Option<SanctionSeconds>,
    /// What the player is told.
    reason: Text,
    /// What other moderators may know and the player is not told.
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
        if !by.is_staff() {
            self.check_officer(app, &by).await?;
        }
        let id = random::id();
        let told = Told { player: self.player.clone(), news: News::Sanction(id.clone()) };
        let new = NewSanction {
            id,
            player: self.player,
            kind: self.kind,
            place: self.r#where.to_string(),
            seconds: self.seconds.map(SanctionSeconds::get),
            reason: self.reason.as_str().to_owned(),
            note: self.note.map(|note| note.as_str().to_owned()),
            automatic: false,
        };
        let nonce = self.nonce.as_ref().map(Nonce::as_str);
        let told = self.kind.is_told().then(|| task::new(&told)).transpose()?;
        let sanction = sanction::give(&app.db, &new, &By { who: &by, nonce }, told.as_ref()).await?;
        Ok(SanctionReply { sanction })
    }
}

impl GiveSanction {
    /// A channel's officers mute its members, for a week at most.
    async fn check_officer(&self, app: &App, by: &Identity) -> Result<()> {
        const MOST_S: i64 = 7 * 86_400;
        let channel = role::of_officer(app, self.r#where.as_str(), by).await?;
        if self.kind != SanctionKind::Mute || self.seconds.is_none_or(|seconds| seconds.get() > MOST_S) {
            return Err(Error::Forbidden {
                reason: "officer",
                message: "an officer mutes, for a week at most".to_owned(),
            });
        }
        match member::role(&app.db, channel.key(), self.player.as_str()).await? {
            Some(Role::Member) => Ok(()),
            Some(Role::Officer) => Err(Error::Forbidden {
                reason: "officer",
                message: "an officer has no say over officers".to_owned(),
            }),
            None => Err(Error::NotFound("member")),
        }
    }
}

/// A channel's officers lift what one of them gave.
async fn check_lifts(app: &App, given: &Given, by: &Identity) -> Result<()> {
    let channel = role::of_officer(app, &given.place, by).await?;
    let giver = member::role(&app.db, channel.key(), &given.given_by).await?;
    if given.kind == SanctionKind::Mute.as_str() && giver == Some(Role::Officer) {
        Ok(())
    } else {
        Err(role::refused())
    }
}

/// Take a sanction back; one that was lifted stays as it is. The player is told.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LiftSanction {
    /// The sanction's id.
    id: RecordId,
    /// Why, as the player is told.
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
        let given = sanction::find(&app.db, self.id.as_str()).await;
        // A player learns nothing of sanctions that they have no say in.
        let given = if by.is_staff() { given? } else { given.map_err(|_| role::refused())? };
        if !by.is_staff() {
            check_lifts(app, &given, &by).await?;
        }
        let is_told = given.is_told();
        let player = PlayerId::parse(given.player_id).map_err(crate::base::error::Error::internal)?;
        let told = Told { player, news: News::Lifted(given.id) };
        let told = is_told.then(|| task::new(&told)).transpose()?;
        let sanction =
            sanction::lift(&app.db, self.id.as_str(), self.reason.as_str(), &by, told.as_ref()).await?;
        Ok(SanctionReply { sanction })
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

/// Which sanctions to list.
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
    /// More follow: ask again after the last id.
    more: bool,
}

impl Action for ListSanctions {
    const ROUTE: Route = Route::get("/sanction/list");
    type Caller = Moderator;
    type Reply = SanctionPage;

    async fn run(self, app: &App, _: Moderator) -> Result<SanctionPage> {
        let wanted = Wanted {
            player: self.player.as_ref().map(PlayerId::as_str),
            place: self.r#where.as_ref().map(Place::as_str),
            active: matches!(self.state, WhichSanctions::Active),
            told: false,
            after: self.after.as_ref().map(RecordId::as_str),
            limit: self.limit.and_one(),
        };
        let (sanctions, more) = self.limit.page(sanction::list(&app.db, wanted).await?);
        Ok(SanctionPage { sanctions, more })
    }
}
