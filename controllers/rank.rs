//! `/rank/*`: values for boards that others keep, such as a platform's list of friends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::Known;
use crate::app::App;
use crate::base::error::{Error, Result};
use crate::chat::identity::Scope;
use crate::chat::values::{Keep, Name, Nonce, PlayerId, RankValue};
use crate::store::rank;
use crate::work::task;
use crate::work::tasks::rank::Rank;

/// Report a player's value for a board.
///
/// It is answered at once. Reports of a player and board are gathered (`GUILDHALL_RANK_GATHER`), and what is newest or
/// best of them is told to who keeps the board (`GUILDHALL_RANK_URL`), never an older one behind a newer one. The game's
/// server reports; players report their own where `GUILDHALL_RANK_FROM` is `players`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportRank {
    /// The board.
    board: Name,
    /// The value, a whole number.
    value: RankValue,
    /// Which of several values counts.
    keep: Keep,
    /// Whose it is; only for the game's server, which must say it.
    #[serde(default)]
    player: Option<PlayerId>,
    /// Not needed: what is kept is the same, however often it is reported.
    #[serde(default)]
    #[expect(dead_code, reason = "every write takes one")]
    nonce: Option<Nonce>,
}

/// It is kept, or something better is.
#[derive(Serialize, JsonSchema)]
pub struct RankReply {}

impl Action for ReportRank {
    const ROUTE: Route = Route::post("/rank/report");
    type Caller = Known;
    type Reply = RankReply;

    async fn run(self, app: &App, by: Known) -> Result<RankReply> {
        let forbidden = |reason, message: &str| Error::Forbidden { reason, message: message.to_owned() };
        let Some(config) = &app.config.services.rank else {
            return Err(forbidden("off", "ranks are told to nobody: GUILDHALL_RANK_URL is not set"));
        };
        let player = match (self.player, by.scope == Scope::Server) {
            (Some(player), true) => player,
            (None, true) => {
                return Err(Error::InvalidInput("player: the game's server says whose".to_owned()));
            }
            (_, false) if !config.by_players => {
                return Err(forbidden("scope", "the game's server reports ranks"));
            }
            (None, false) => by.id.clone(),
            (Some(player), false) if player == by.id => player,
            (Some(_), false) => return Err(forbidden("not_yours", "players report their own ranks")),
        };
        let told = task::new(&Rank { board: self.board.clone(), player: player.clone() })?;
        let whose = (self.board.as_str(), player.as_str());
        rank::report(&app.db, whose, (self.value.get(), self.keep), &told, config.gather_ms).await?;
        Ok(RankReply {})
    }
}
