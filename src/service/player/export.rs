//! Write what is kept about a player into object storage, as one archive in parts, for the game to hand to them.
//!
//! Safe to run twice: the same parts are written again.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::App;
use crate::base::clock::Millis;
use crate::base::error::Error;
use crate::chat::identity::Identity;
use crate::chat::values::{Nonce, PlayerId};
use crate::config::Location;
use crate::outside::objects::{Objects, When};
use crate::service::player::{Work, begun};
use crate::store::player::{erase, export};
use crate::store::task_progress;
use crate::work::task::{self, Failure, Task};

/// A part is written once it has so many bytes.
const PART: usize = 4 << 20;
/// Milliseconds for which links hold: one day.
const LINK_MS: Millis = 86_400_000;

/// A player.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// Player whose data is exported.
    pub player: PlayerId,
}

/// Begins an export, once for a nonce. Gives the task's id.
///
/// # Errors
/// The database's.
pub async fn begin(
    app: &App,
    player: &PlayerId,
    nonce: Option<&Nonce>,
    by: &Identity,
) -> Result<String, Error> {
    let task = task::new(&Export { player: player.clone() })?;
    begun(app, Work { nonce, ..Work::on(player, "player.export") }, &task, by).await
}

impl Task for Export {
    const NAME: &'static str = "export.v1";
    const ATTEMPTS: i64 = 10;

    fn key(&self) -> String {
        format!("export:{}", self.player)
    }

    async fn run(self, app: &App, id: &str) -> Result<(), Failure> {
        let place = app.config.moderation.exports.clone();
        let place = place.unwrap_or_else(|| Location::Folder(app.config.data.join("exports")));
        let mut archive = Archive {
            objects: Objects::at(&place, &app.config.s3).await,
            folder: folder(app, id).await?,
            part: export::rest(&app.db, &self.player).await?,
            names: Vec::new(),
            messages: 0,
        };
        let mut after_key = 0;
        while let Some((key, ..)) = erase::next_place(&app.db, &self.player, after_key).await? {
            let mut after = String::new();
            while let Some((lines, last)) = export::said(&app.db, &self.player, key, &after).await? {
                after = last;
                archive.add(&lines).await?;
                let progress = json!({
                    "done": false, "messages": archive.messages, "parts": archive.names.len(), "folder": archive.folder
                });
                task_progress::note(&app.db, id, &progress).await?;
            }
            after_key = key;
        }
        archive.write().await?;
        let mut links = Vec::new();
        for name in &archive.names {
            links.push(archive.objects.link(name, LINK_MS).await.map_err(Failure::Retry)?);
        }
        let until = app.db.now().await? + LINK_MS;
        let progress = json!({ "done": true, "messages": archive.messages, "links": links, "until": until });
        Ok(task_progress::note(&app.db, id, &progress).await?)
    }
}

/// Returns the archive's folder: that of an earlier try, so that its parts are written over. Nobody who knows a task's
/// id can guess it.
async fn folder(app: &App, id: &str) -> Result<String, Failure> {
    let said = task_progress::of(&app.db, id).await?;
    let said = said.and_then(|said| serde_json::from_str::<Value>(said.get()).ok());
    let earlier = said.and_then(|said| Some(said["folder"].as_str()?.to_owned()));
    let folder =
        earlier.unwrap_or_else(|| format!("{}-{}", id.replace(':', "-"), crate::base::random::hex::<16>()));
    // Before anything is written there.
    let progress = json!({ "done": false, "messages": 0, "parts": 0, "folder": folder });
    task_progress::note(&app.db, id, &progress).await?;
    Ok(folder)
}

struct Archive {
    objects: Objects,
    folder: String,
    part: String,
    names: Vec<String>,
    messages: usize,
}

impl Archive {
    async fn add(&mut self, lines: &str) -> Result<(), Failure> {
        self.part += lines;
        self.messages += lines.lines().count();
        if self.part.len() >= PART { self.write().await } else { Ok(()) }
    }

    async fn write(&mut self) -> Result<(), Failure> {
        let name = format!("{}/{:04}.ndjson", self.folder, self.names.len() + 1);
        let bytes = std::mem::take(&mut self.part).into_bytes();
        let put = self.objects.put(&name, bytes, When::Always).await;
        put.map_err(|fault| Failure::Retry(String::from(fault)))?;
        self.names.push(name);
        Ok(())
    }
}
