//! Tell who keeps ranks what a player's value on a board is.
//!
//! It is read when it is told, and those of one player and board are told one after the other: never an older value
//! behind a newer one. Safe to run twice: the same value is told again.

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::base::clock::Millis;
use crate::chat::values::{Name, PlayerId};
use crate::outside::webhooks::Event;
use crate::store::rank::{self, Reported};
use crate::work::task::{Failure, Task};

/// Whose value, and on which board.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rank {
    /// The board.
    pub board: Name,
    /// The player.
    pub player: PlayerId,
}

/// What is told of it.
#[derive(Serialize)]
struct Data<'a> {
    board: &'a str,
    player: &'a str,
    value: i64,
    at: Millis,
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
