//! Forget a player: what they said, their name, and what is kept about them. What must stay, stays under a pseudonym.
//!
//! Safe to run twice: what is forgotten stays so, and each channel is told once.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::App;
use crate::base::error::Error;
use crate::base::random;
use crate::chat::identity::Identity;
use crate::chat::values::{Nonce, PlayerId};
use crate::service::player::{Work, begun};
use crate::store::message::{self, Purge};
use crate::store::player::erase::{self, Erasure};
use crate::store::{channel, member, outbox, task_progress};
use crate::work::task::{self, Failure, Task};

/// A player.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erase {
    /// Player to forget.
    pub player: PlayerId,
    /// Pseudonym that stands in their place.
    pub pseudonym: String,
}

/// Begins to forget a player, once for a nonce. Gives the task's id.
///
/// # Errors
/// The database's.
pub async fn begin(
    app: &App,
    player: &PlayerId,
    nonce: Option<&Nonce>,
    by: &Identity,
) -> Result<String, Error> {
    let pseudonym = format!("erased:{}", random::hex::<8>());
    let task = task::new(&Erase { player: player.clone(), pseudonym })?;
    begun(app, Work { nonce, ..Work::on(player, "player.erase") }, &task, by).await
}

impl Task for Erase {
    const NAME: &'static str = "erase.v1";
    const ATTEMPTS: i64 = 20;

    fn key(&self) -> String {
        format!("erase:{}", self.player)
    }

    async fn run(self, app: &App, id: &str) -> Result<(), Failure> {
        let erasure = Erasure { player: &self.player, pseudonym: &self.pseudonym };
        // Places that an earlier try was done with are not found again.
        let earlier = task_progress::of(&app.db, id).await?;
        let earlier = earlier.and_then(|said| serde_json::from_str::<Value>(said.get()).ok());
        let channels = earlier.and_then(|said| said["channels"].as_i64()).unwrap_or_default();
        let (mut after_key, mut channels) = (0, channels);
        while let Some((key, name, direct)) = erase::next_place(&app.db, &self.player, after_key).await? {
            erase_in(app, id, &name, erasure).await?;
            if direct {
                erase::rename_in_direct(&app.db, key, erasure).await?;
            } else if let Some(channel) = channel::among(&app.db, &[&name]).await?.pop() {
                member::remove(&app.db, &channel, std::slice::from_ref(&self.player)).await?;
            }
            erase::leave_place(&app.db, &self.player, key).await?;
            (after_key, channels) = (key, channels + 1);
            task_progress::note(&app.db, id, &json!({ "done": false, "channels": channels })).await?;
        }
        while erase::erase_mentions(&app.db, erasure).await? {}
        erase::erase_rest(&app.db, erasure).await?;
        let later = task::new(&Erased { task: id.to_owned(), pseudonym: self.pseudonym.clone() })?;
        let at = app.db.now().await? + erase::TOLD_MS;
        outbox::enqueue_later(&app.db, &format!("{id}:told"), &later, at).await?;
        let progress = json!({ "done": true, "channels": channels, "pseudonym": self.pseudonym });
        Ok(task_progress::note(&app.db, id, &progress).await?)
    }
}

/// One channel: what the player said, one entry that tells it, and what they said meanwhile.
async fn erase_in(app: &App, id: &str, name: &str, erasure: Erasure<'_>) -> Result<(), Failure> {
    let Some(channel) = channel::among(&app.db, &[name]).await?.pop() else { return Ok(()) };
    let found = erase_said(app, channel.key(), erasure).await?;
    let purge = Purge { task: id, player: erasure.player.as_str(), since: 0 };
    message::tell_purge(&app.db, &channel, purge, found, &Identity::us()).await?;
    erase_said(app, channel.key(), erasure).await?;
    Ok(())
}

/// All that they said in a channel; false where that was nothing.
async fn erase_said(app: &App, channel_key: i64, erasure: Erasure<'_>) -> Result<bool, Failure> {
    let mut last = String::new();
    while let Some(next) = erase::erase_some(&app.db, channel_key, erasure, &last).await? {
        last = next;
    }
    Ok(!last.is_empty())
}

/// The entries that told clients whose words are gone, thirty days later.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erased {
    /// The task that wrote them.
    pub task: String,
    /// Pseudonym that stands in the player's place.
    pub pseudonym: String,
}

impl Task for Erased {
    const NAME: &'static str = "erased.v1";
    const ATTEMPTS: i64 = 20;

    fn key(&self) -> String {
        format!("erased:{}", self.task)
    }

    async fn run(self, app: &App, _: &str) -> Result<(), Failure> {
        erase::forget_told(&app.db, &self.task, &self.pseudonym).await?;
        Ok(())
    }
}
