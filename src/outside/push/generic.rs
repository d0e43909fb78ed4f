//! A gateway of the studio's own, for platforms that are not known here: signed posts, as the game's server gets them.

use std::sync::Arc;

use serde::Serialize;

use super::{CallError, Calls, Notice, PushError, To};
use crate::base::clock::Millis;
use crate::config::WebhookConfig;
use crate::outside::webhooks::{Event, Poster};

/// The gateway.
pub(super) struct Generic(Poster);

#[derive(Serialize)]
struct Data<'a> {
    token: &'a str,
    notice: &'a Notice,
}

impl Generic {
    pub(super) fn new(to: WebhookConfig, calls: Arc<Calls>) -> Self {
        Self(Poster::new(calls, to))
    }

    /// 410 says that the device is gone.
    pub(super) async fn tell(&self, to: To<'_>, notice: &Notice, now: Millis) -> Result<(), PushError> {
        let event = Event { kind: "push.notice", id: &notice.id, data: Data { token: to.token, notice } };
        match self.0.post(&event, now).await {
            Err(CallError::Refused(answer)) if answer.status == 410 => Err(PushError::Gone),
            posted => Ok(posted?),
        }
    }
}
