//! `/player/record`: what is known of a player, for moderators.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::Moderator;
use crate::app::App;
use crate::base::error::Result;
use crate::chat::sanctions::Ladder;
use crate::chat::values::PlayerId;
use crate::store::moderation::record::{self, RecordedMessage};
use crate::store::moderation::refusal;
use crate::store::moderation::report::{self, MadeReport};
use crate::store::moderation::sanction::{self, Given, SanctionFilter};

/// Record of a player: their last messages as others see them, their sanctions, reports about and by them, and how
/// often the filter masked something of theirs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlayerRecord {
    /// The player's id.
    player: PlayerId,
}

/// A player's record.
#[derive(Serialize, JsonSchema)]
pub struct RecordReply {
    /// The last fifty that they said outside of direct channels, the newest first. What others do not see is empty here too:
    /// `/message/originals` reads it, with a reason.
    messages: Vec<RecordedMessage>,
    /// Their last fifty sanctions, lifted ones too, the newest first.
    sanctions: Vec<Given>,
    /// The last fifty reports about them, and by them.
    reports_about: Vec<MadeReport>,
    reports_by: Vec<MadeReport>,
    hits: Hits,
}

/// Number of times that the filter acted on what they said.
#[derive(Serialize, JsonSchema)]
pub(super) struct Hits {
    /// Number of the messages in `messages` that it masked.
    masked: usize,
    /// Number of messages that it refused within 90 days.
    refused: i64,
}

impl Action for PlayerRecord {
    const ROUTE: Route = Route::get("/player/record");
    type Caller = Moderator;
    type Reply = RecordReply;

    async fn run(self, app: &App, _: Moderator) -> Result<RecordReply> {
        const MOST: i64 = 50;
        let (db, player) = (&app.db, self.player.as_str());
        let wanted = SanctionFilter { player: Some(player), limit: MOST, ..SanctionFilter::default() };
        let messages = record::last_said(db, player, MOST).await?;
        let masked = messages.iter().filter(|said| said.is_masked()).count();
        let refused = refusal::count(db, player, db.now().await? - Ladder::RECORD_MS).await?;
        Ok(RecordReply {
            messages,
            sanctions: sanction::list(db, wanted).await?,
            reports_about: report::about(db, player, MOST).await?,
            reports_by: report::made_by(db, player, MOST).await?,
            hits: Hits { masked, refused },
        })
    }
}
