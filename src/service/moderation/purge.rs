//! Empty everything that a player said since a time, channel by channel.
//!
//! Safe to run twice: what is empty stays so, and each channel is told once for a task.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app::App;
use crate::base::clock::Millis;
use crate::base::error::Error;
use crate::chat::identity::{Identity, Scope};
use crate::chat::values::{Nonce, PlayerId, Text, Time};
use crate::service::player::{Work, begun};
use crate::store::message::{self, Purge as Emptying, Purged};
use crate::store::task_progress;
use crate::work::task::{self, Failure, Task};

/// So many times as long as a step takes, it rests.
const PAUSE: u32 = 3;

/// Progress of a purge.
#[derive(Default, Serialize, Deserialize)]
struct Progress {
    done: bool,
    channels: usize,
    messages: usize,
    /// The channel that it is in, or at which it looks for the next.
    key: i64,
    /// Nonce up to which it has looked there.
    after: String,
    /// Was there anything?
    found: bool,
}

impl Progress {
    fn behind(&self, some: &Purged) -> Self {
        Self {
            after: some.last.clone(),
            found: self.found || some.found > 0,
            messages: self.messages + some.emptied,
            ..*self
        }
    }
}

/// Returns the progress of an earlier try.
async fn earlier(app: &App, id: &str) -> Result<Progress, Failure> {
    let said = task_progress::of(&app.db, id).await?;
    Ok(said.and_then(|said| serde_json::from_str(said.get()).ok()).unwrap_or_default())
}

/// Task that empties what a player said since a time.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Purge {
    /// Player whose messages are emptied.
    pub player: PlayerId,
    /// Those since this time.
    pub since: Millis,
    /// Id of the caller who has decided it, as the entries tell.
    pub by: PlayerId,
    /// Scope of that caller.
    pub scope: Scope,
    /// Their name.
    pub name: String,
}

/// Begins a purge, once for a nonce. Gives the task's id.
///
/// # Errors
/// The database's.
pub async fn begin(
    app: &App,
    (player, since): (&PlayerId, Time),
    reason: &Text,
    nonce: Option<&Nonce>,
    by: &Identity,
) -> Result<String, Error> {
    let name = app.screen(&app.blocklist.current()).name(by);
    let since = since.get();
    let task = Purge { player: player.clone(), since, by: by.id.clone(), scope: by.scope, name };
    let (detail, reason) = (json!({ "since": since }), Some(reason.as_str()));
    let work = Work { nonce, detail, reason, ..Work::on(player, "player.purge") };
    begun(app, work, &task::new(&task)?, by).await
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
        let by = Identity::new(scope, by, name);
        let purge = Emptying { task: id, player: player.as_str(), since };
        let mut at = earlier(app, id).await?;
        // The channel in which an earlier try was is looked at again.
        while let Some((key, channel)) = message::next_to_purge(&app.db, player.as_str(), at.key - 1).await? {
            if key != at.key {
                at = Progress { key, after: String::new(), found: false, ..at };
            }
            loop {
                let started = Instant::now();
                let then = |some: &Purged| json!(at.behind(some));
                let some = message::purge_some(&app.db, &channel, purge, &at.after, then).await?;
                let Some(some) = some else { break };
                at = at.behind(&some);
                // Others, who wait for the disk too, get more of the time than this.
                tokio::time::sleep(started.elapsed() * PAUSE).await;
            }
            let late = message::tell_purge(&app.db, &channel, purge, at.found, &by).await?;
            at = Progress {
                key: key + 1,
                after: String::new(),
                found: false,
                channels: at.channels + 1,
                messages: at.messages + late,
                ..at
            };
            task_progress::note(&app.db, id, &json!(at)).await?;
        }
        let progress = json!({ "done": true, "channels": at.channels, "messages": at.messages });
        Ok(task_progress::note(&app.db, id, &progress).await?)
    }
}
