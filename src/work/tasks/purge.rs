//! Empty everything that a player said since a time, channel by channel.
//!
//! Safe to run twice: what is empty stays so, and each channel is told once for a task.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app::App;
use crate::base::clock::Millis;
use crate::chat::identity::{Identity, Scope};
use crate::chat::values::PlayerId;
use crate::store::message::{self, Purge as Emptying};
use crate::store::task_progress;
use crate::work::task::{Failure, Task};

/// So many times as long as a step takes, it rests.
const PAUSE: u32 = 3;

/// What a player said since a time.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Purge {
    /// Whose words.
    pub player: PlayerId,
    /// Those since this time.
    pub since: Millis,
    /// Who has decided it, as the entries tell.
    pub by: PlayerId,
    /// What they are.
    pub scope: Scope,
    /// Their name.
    pub name: String,
}

impl Task for Purge {
    const NAME: &'static str = "purge.v1";
    const ATTEMPTS: i64 = 10;

    /// One at a time for a player.
    fn key(&self) -> String {
        format!("purge:{}", self.player)
    }

    async fn run(self, app: &App, id: &str) -> Result<(), Failure> {
        let Self { player, since, by, scope, name } = self;
        let by = Identity { id: by, name, scope, ..Identity::us() };
        let purge = Emptying { task: id, player: player.as_str(), since };
        let (mut after_key, mut channels, mut messages) = (0, 0, 0);
        while let Some((key, channel)) = message::next_to_purge(&app.db, player.as_str(), after_key).await? {
            let (mut after, mut here) = (String::new(), 0);
            let mut found = false;
            loop {
                let started = Instant::now();
                let some = message::purge_some(&app.db, &channel, purge, &after).await?;
                let Some((emptied, last)) = some else { break };
                (after, here, found) = (last, here + emptied, true);
                let progress = json!({ "done": false, "channels": channels, "messages": messages + here });
                task_progress::note(&app.db, id, &progress).await?;
                // Others, who wait for the disk too, get more of the time than this.
                tokio::time::sleep(started.elapsed() * PAUSE).await;
            }
            here += message::tell_purge(&app.db, &channel, purge, found, &by).await?;
            (after_key, channels, messages) = (key, channels + 1, messages + here);
        }
        let progress = json!({ "done": true, "channels": channels, "messages": messages });
        Ok(task_progress::note(&app.db, id, &progress).await?)
    }
}
