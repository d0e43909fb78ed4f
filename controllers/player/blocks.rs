//! `/player/block`, `/player/unblock`, `/player/blocks`: whom a player wants to see nothing of.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::Player;
use crate::app::App;
use crate::base::error::{Error, Result};
use crate::chat::values::{Nonce, PageSize, PlayerId};
use crate::store::block::{self, Blocked};

/// See nothing of another player: what they say is `hidden` wherever messages are read or pushed, and their mentions do
/// not count. Neither can write to the other in their direct channel. They are not told.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BlockPlayer {
    /// Player to block.
    player: PlayerId,
    /// Not needed: blocking twice is blocking once.
    #[serde(default)]
    #[expect(dead_code, reason = "every write takes one")]
    nonce: Option<Nonce>,
}

/// A player who is blocked.
#[derive(Serialize, JsonSchema)]
pub struct BlockReply {
    block: Blocked,
}

impl Action for BlockPlayer {
    const ROUTE: Route = Route::post("/player/block");
    type Caller = Player;
    type Reply = BlockReply;

    async fn run(self, app: &App, player: Player) -> Result<BlockReply> {
        if self.player == player.id {
            return Err(Error::InvalidInput("player: this is you".to_owned()));
        }
        Ok(BlockReply { block: block::add(&app.db, &player.id, &self.player).await? })
    }
}

/// See another player again, also what they said meanwhile.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnblockPlayer {
    /// Player to unblock.
    player: PlayerId,
    /// Not needed: unblocking twice is unblocking once.
    #[serde(default)]
    #[expect(dead_code, reason = "every write takes one")]
    nonce: Option<Nonce>,
}

/// Result of an unblock.
#[derive(Serialize, JsonSchema)]
pub struct UnblockReply {
    /// They were blocked until now.
    changed: bool,
}

impl Action for UnblockPlayer {
    const ROUTE: Route = Route::post("/player/unblock");
    type Caller = Player;
    type Reply = UnblockReply;

    async fn run(self, app: &App, player: Player) -> Result<UnblockReply> {
        Ok(UnblockReply { changed: block::remove(&app.db, &player.id, &self.player).await? })
    }
}

/// Players whom the caller blocks, page by page, sorted by id.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnBlocks {
    /// The last player of the page before.
    #[serde(default)]
    after: Option<PlayerId>,
    /// The page's size, 1 to 100.
    #[serde(default)]
    limit: PageSize,
}

/// A page of blocked players.
#[derive(Serialize, JsonSchema)]
pub struct BlockPage {
    blocks: Vec<Blocked>,
    /// More follow: ask again with `next` as `after`.
    more: bool,
    /// Cursor of the next page; null on the last page.
    next: Option<String>,
}

impl Action for OwnBlocks {
    const ROUTE: Route = Route::get("/player/blocks");
    type Caller = Player;
    type Reply = BlockPage;

    async fn run(self, app: &App, player: Player) -> Result<BlockPage> {
        let blocks = block::page(&app.db, &player.id, self.after.as_ref(), self.limit.and_one()).await?;
        let (blocks, next) = self.limit.page(blocks, |last| last.player.clone());
        Ok(BlockPage { blocks, more: next.is_some(), next })
    }
}
