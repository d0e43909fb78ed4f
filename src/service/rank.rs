//! Tell who keeps ranks what a player's value on a board is.
//!
//! It is read when it is told, and those of one player and board are told one after the other: never an older value
//! behind a newer one. Safe to run twice: the same value is told again.

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::base::clock::Millis;
use crate::base::error::Error;
use crate::chat::identity::{Identity, Scope};
use crate::chat::values::{Keep, Name, PlayerId, RankValue};
use crate::outside::webhooks::Event;
use crate::store::rank::{self, Reported};
use crate::work::task::{self, Failure, Task};

/// A player's value on a board.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rank {
    /// The board.
    pub board: Name,
    /// The player.
    pub player: PlayerId,
}

/// Data of the event.
#[derive(Serialize)]
struct Data<'a> {
    board: &'a str,
    player: &'a str,
    value: i64,
    at: Millis,
}

/// Keeps a player's value on a board, and has it told. Players report their own, where the settings let them.
///
/// # Errors
/// [`Error::Forbidden`] where nobody is told, or this caller may not report it.
pub async fn report(
    app: &App,
    board: &Name,
    (value, keep): (RankValue, Keep),
    whose: Option<PlayerId>,
    by: &Identity,
) -> Result<(), Error> {
    let forbidden = |reason, message: &str| Error::Forbidden { reason, message: message.to_owned() };
    let Some(config) = &app.config.services.rank else {
        return Err(forbidden("off", "ranks are told to nobody: GUILDHALL_RANK_URL is not set"));
    };
    let player = match (whose, by.scope == Scope::Server) {
        (Some(player), true) => player,
        (None, true) => return Err(Error::InvalidInput("player: the game's server says whose".to_owned())),
        (_, false) if !config.by_players => {
            return Err(forbidden("scope", "the game's server reports ranks"));
        }
        (None, false) => by.id.clone(),
        (Some(player), false) if player == by.id => player,
        (Some(_), false) => return Err(forbidden("not_yours", "players report their own ranks")),
    };
    let told = task::new(&Rank { board: board.clone(), player: player.clone() })?;
    let whose = (board.as_str(), player.as_str());
    rank::report(&app.db, whose, (value.get(), keep), &told, config.gather_ms).await
}

impl Task for Rank {
    const NAME: &'static str = "rank.v1";
    const ATTEMPTS: i64 = 10;
    const IN_ORDER: bool = true;

    fn is_set_up(app: &App) -> bool {
        app.ranks.is_some()
    }

    /// One player, one order.
    fn key(&self) -> String {
        format!("rank:{}", self.player.as_str())
    }

    async fn run(self, app: &App, id: &str) -> Result<(), Failure> {
        let Some(ranks) = &app.ranks else {
            return Err(Failure::Retry("GUILDHALL_RANK_URL is not set here".to_owned()));
        };
        let poster = ranks.turn().await;
        let (board, player) = (self.board.as_str(), self.player.as_str());
        let Some(Reported { value, at }) = rank::take(&app.db, (board, player)).await? else {
            return Ok(());
        };
        let event = Event { kind: "rank.reported", id, data: Data { board, player, value, at } };
        Ok(poster.post(&event, app.clock.now()).await?)
    }
}
