//! Tell the game's server that something was said.
//!
//! Safe to run twice: the event carries the task's id, by which the receiver tells repeats.

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::outside::webhooks::Event;
use crate::store::message::{self, Stored};
use crate::work::task::{Failure, Task};

/// A message that was stored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// The message's channel.
    pub channel: String,
    /// The message's number; the store fills it in.
    pub seq: i64,
}

/// Data of the event.
#[derive(Serialize)]
struct Data {
    message: Stored,
}

impl Task for Webhook {
    const NAME: &'static str = "webhook.v1";
    const ATTEMPTS: i64 = 10;
    const IN_ORDER: bool = true;

    fn is_set_up(app: &App) -> bool {
        app.webhooks.is_some()
    }

    /// One channel, one order.
    fn key(&self) -> String {
        self.channel.clone()
    }

    async fn run(self, app: &App, id: &str) -> Result<(), Failure> {
        let Some(poster) = &app.webhooks else {
            return Err(Failure::Retry("GUILDHALL_WEBHOOK_URL is not set here".to_owned()));
        };
        let message = message::get(&app.db, &self.channel, self.seq).await?;
        let event = Event { kind: "message.sent", id, data: Data { message } };
        Ok(poster.post(&event, app.clock.now()).await?)
    }
}
