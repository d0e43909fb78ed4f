//! Tell the game's server what a payment provider called back with, and the player, where the studio wants that.
//!
//! What is told is the oldest of its order that was not told, whichever task comes first: so a later one never overtakes
//! an earlier one that failed. Safe to run twice: an event carries its own id.

use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use crate::app::App;
use crate::base::error::Error;
use crate::chat::values::{Name, PlayerId};
use crate::outside::calls::CallError;
use crate::outside::payments::{Callback, Provider, Received};
use crate::outside::webhooks::Event;
use crate::service::moderation::told::tell;
use crate::store::payment::{self, NewPayment, Untold};
use crate::work::task::{self, Failure, Task};

/// Something was stored that is to be told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payment {
    /// Those of one order are told one after the other.
    pub order: Name,
}

/// Data of the event.
#[derive(Serialize)]
struct Data<'a> {
    provider: &'a str,
    event: &'a str,
    kind: &'a str,
    player: Option<&'a str>,
    payload: &'a RawValue,
}

/// Takes what a payment provider calls back with: its signature is checked, it is stored once, and the game's server told.
///
/// # Errors
/// The provider did not say it, or it can't be stored now.
pub async fn take(app: &App, provider: Provider, callback: Callback<'_>) -> Result<(), Error> {
    let name = provider.as_str();
    let Received { event, kind, player, purchase, payload } =
        app.payments.verify(provider, callback, &app.calls).await?;
    let player = player.filter(|player| PlayerId::parse(player.as_str()).is_ok());
    let order = match (&player, &purchase) {
        (Some(player), _) => format!("player:{player}"),
        // A purchase's name may be long: Google's are.
        (None, purchase) => format!("{name}:{}", task::digest(purchase.as_ref().unwrap_or(&event))),
    };
    let told = task::new(&Payment { order: Name::parse(order.as_str()).map_err(Error::internal)? })?;
    let new = NewPayment {
        provider: name,
        event: &event,
        kind: &kind,
        player: player.as_deref(),
        order: &order,
        payload: &payload,
    };
    let is_new = payment::store(&app.db, new, &told).await?;
    tracing::info!(provider = name, event, kind, is_new, "a payment provider called back");
    Ok(())
}

impl Task for Payment {
    const NAME: &'static str = "payment.v1";
    const ATTEMPTS: i64 = 10;
    const IN_ORDER: bool = true;
    /// False: a payment is told as long as there is time.
    const GIVES_WAY: bool = false;

    fn is_set_up(app: &App) -> bool {
        app.webhooks.is_some() || !app.config.services.payments.told.is_empty()
    }

    fn key(&self) -> String {
        format!("payment:{}", self.order.as_str())
    }

    async fn run(self, app: &App, _: &str) -> Result<(), Failure> {
        while let Some(untold) = payment::untold(&app.db, self.order.as_str()).await? {
            if let Some(poster) = &app.webhooks {
                let Untold { id, provider, event, kind, player_id, .. } = &untold;
                let (player, payload) = (player_id.as_deref(), untold.payload()?);
                let data = Data { provider, event, kind, player, payload };
                let event = Event { kind: "payment.received", id, data };
                // Nobody's money is given up over a game server that has a fault now: what it refuses comes again.
                poster.post(&event, app.clock.now()).await.map_err(|fault| match fault {
                    CallError::Refused(_) => Failure::Retry(fault.to_string()),
                    passing => passing.into(),
                })?;
            }
            tell_player(app, &untold).await?;
            payment::note_told(&app.db, &untold.id).await?;
        }
        Ok(())
    }
}

/// Tells a player of their purchase, where its kind is one that they are told of.
async fn tell_player(
    app: &App,
    Untold { id, provider, kind, player_id, .. }: &Untold,
) -> Result<(), Failure> {
    let player = player_id.as_ref().and_then(|player| PlayerId::parse(player.as_str()).ok());
    match player {
        Some(player) if app.config.services.payments.told.contains(kind) => {
            let payload = json!({ "type": "payment", "provider": provider, "kind": kind });
            tell(app, &player, ("Your purchase has arrived.".to_owned(), payload), &format!("payment:{id}"))
                .await
        }
        _ => Ok(()),
    }
}
