//! Fill in who spoke where, for what was said before that was noted. Enqueued by the migration that makes the table.
//!
//! Safe to run twice: what is there stays.

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::store::spoken_in;
use crate::work::task::{Failure, Task};

/// All channels.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spoken {}

impl Task for Spoken {
    const NAME: &'static str = "spoken.v1";
    const ATTEMPTS: i64 = 100;

    fn key(&self) -> String {
        "spoken".to_owned()
    }

    async fn run(self, app: &App, _: &str) -> Result<(), Failure> {
        let mut after_key = 0;
        while let Some((key, mut from, last)) = spoken_in::next_channel(&app.db, after_key).await? {
            while from <= last {
                from = spoken_in::fill_in(&app.db, key, from).await?;
            }
            after_key = key;
        }
        Ok(())
    }
}
