//! `/player/export` and `/player/erase`: players' rights to what is kept about them, asked for by the game's server.

use schemars::JsonSchema;
use serde::Deserialize;

use super::purge::TaskReply;
use crate::api::action::{Action, Route};
use crate::api::caller::Server;
use crate::app::App;
use crate::base::error::Result;
use crate::chat::values::{Nonce, PlayerId};
use crate::service::player::{erase, export};

/// Write what is kept about a player into object storage (`GUILDHALL_EXPORTS`).
///
/// `/task/show` says how far it is, and in the end has the `links` to the archive's parts, which hold for a day. A part has
/// one JSON object a line: the `table`, and the `row`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportPlayer {
    /// Player whose data is exported.
    player: PlayerId,
    /// Chosen by the caller: the same nonce twice is one export.
    #[serde(default)]
    nonce: Option<Nonce>,
}

impl Action for ExportPlayer {
    const ROUTE: Route = Route::post("/player/export");
    type Caller = Server;
    type Reply = TaskReply;

    async fn run(self, app: &App, by: Server) -> Result<TaskReply> {
        Ok(TaskReply { task: export::begin(app, &self.player, self.nonce.as_ref(), &by).await? })
    }
}

/// Forget a player: their words, their name, their memberships and what is kept about them.
///
/// What has to stay (that something was said, sanctions, evidence) stays under a pseudonym. Each channel gets one entry of
/// kind `purge` that names them, so that clients forget too; after thirty days the name goes from there. Give them no more
/// tokens first: who speaks after that is remembered again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErasePlayer {
    /// Player to forget.
    player: PlayerId,
    /// Chosen by the caller: the same nonce twice is one erasure.
    #[serde(default)]
    nonce: Option<Nonce>,
}

impl Action for ErasePlayer {
    const ROUTE: Route = Route::post("/player/erase");
    type Caller = Server;
    type Reply = TaskReply;

    async fn run(self, app: &App, by: Server) -> Result<TaskReply> {
        Ok(TaskReply { task: erase::begin(app, &self.player, self.nonce.as_ref(), &by).await? })
    }
}
