//! `/rank/*`: values for boards that others keep, such as a platform's list of friends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::Known;
use crate::app::App;
use crate::base::error::Result;
use crate::chat::values::{Keep, Name, Nonce, PlayerId, RankValue};
use crate::service::rank;

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
    /// Rule that decides which of several values counts.
    keep: Keep,
    /// Player whose value it is; only the game's server sends it, and must.
    #[serde(default)]
    player: Option<PlayerId>,
    /// Not needed: what is kept is the same, however often it is reported.
    #[serde(default)]
    #[expect(dead_code, reason = "every write takes one")]
    nonce: Option<Nonce>,
}

/// Empty reply: the value is stored, or a better one is.
#[derive(Serialize, JsonSchema)]
pub struct RankReply {}

impl Action for ReportRank {
    const ROUTE: Route = Route::post("/rank/report");
    type Caller = Known;
    type Reply = RankReply;

    async fn run(self, app: &App, by: Known) -> Result<RankReply> {
        rank::report(app, &self.board, (self.value, self.keep), self.player, &by).await?;
        Ok(RankReply {})
    }
}
