//! Open a case about a message that the filter wants to be looked at.
//!
//! Safe to run twice: there is one open case about a message.

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::store::channel;
use crate::store::moderation::automatic;
use crate::store::moderation::case::About;
use crate::work::task::{Failure, Task};

/// A message.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// The message's channel.
    pub channel: String,
    /// The message's number.
    pub seq: i64,
}

impl Task for Review {
    const NAME: &'static str = "review.v1";
    const ATTEMPTS: i64 = 10;

    fn key(&self) -> String {
        format!("review:{}", self.channel)
    }

    async fn run(self, app: &App, _: &str) -> Result<(), Failure> {
        let gone = || Failure::GiveUp("the channel is gone".to_owned());
        let channel = channel::among(&app.db, &[&self.channel]).await?.pop().ok_or_else(gone)?;
        let about = About::message(&app.db, &channel, self.seq).await?;
        Ok(automatic::open_case(&app.db, &about).await?)
    }
}
