//! Events that payment providers called back with: each stored once, told to the game's server in the order of storing.

use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::FromRow;

use super::Db;
use super::engine::sql::values;
use super::outbox::{self, NewTask};
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::base::random;
use crate::store::life::{Exported, Kept, Life, ROWS};

/// An event that is to be stored.
#[derive(Debug)]
pub struct NewPayment<'a> {
    /// Name of the payment provider.
    pub provider: &'a str,
    /// The provider's id of it.
    pub event: &'a str,
    /// Kind of the event, in the provider's words.
    pub kind: &'a str,
    /// Id of the player whom the payment belongs to, where that is known.
    pub player: Option<&'a str>,
    /// Those of one order are told one after the other.
    pub order: &'a str,
    /// All that the provider told.
    pub payload: &'a Value,
}

/// An event that is to be told.
#[derive(Debug, FromRow)]
pub struct Untold {
    /// The event's id here.
    pub id: String,
    /// Name of the payment provider.
    pub provider: String,
    /// The provider's id of it.
    pub event: String,
    /// Kind of the event, in the provider's words.
    pub kind: String,
    /// Id of the player whom the payment belongs to, where that is known.
    pub player_id: Option<String>,
    payload: String,
}

impl Untold {
    /// All that the provider told.
    ///
    /// # Errors
    /// It is no JSON.
    pub fn payload(&self) -> Result<&RawValue> {
        serde_json::from_str(&self.payload).map_err(Error::internal)
    }
}

/// Stores an event with what tells it; a second time changes nothing. Says whether it is new.
///
/// # Errors
/// The database's.
pub async fn store(db: &Db, new: NewPayment<'_>, told: &NewTask) -> Result<bool> {
    let now = db.now().await?;
    let payload = super::json(new.payload)?;
    let mut tx = db.begin().await?;
    // Numbers are given in the order of storing to those of one order.
    tx.lock_name(&format!("payment:{}", new.order)).await?;
    let stored = tx
        .execute(
            "INSERT INTO payment (id, provider, event, kind, player_id, tell_order, payload, received_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (provider, event) DO NOTHING",
            values![&random::id(), new.provider, new.event, new.kind, new.player, new.order, &payload, now],
        )
        .await?;
    if stored > 0 {
        outbox::add(&mut tx, db, told, now).await?;
    }
    tx.commit().await?;
    if stored > 0 {
        db.note_enqueued();
    }
    Ok(stored > 0)
}

/// The oldest event of an order that was not told.
///
/// # Errors
/// The database's.
pub async fn untold(db: &Db, order: &str) -> Result<Option<Untold>> {
    let found = db
        .optional(
            "SELECT id, provider, event, kind, player_id, payload FROM payment
             WHERE tell_order = $1 AND payload IS NOT NULL ORDER BY number LIMIT 1",
            values![order],
        )
        .await?;
    Ok(found)
}

/// Notes that an event was told: what it was and whose is not kept; its id is, against repeats.
///
/// # Errors
/// The database's.
pub async fn note_told(db: &Db, id: &str) -> Result<()> {
    let now = db.now().await?;
    let sql =
        "UPDATE payment SET payload = NULL, player_id = NULL, tell_order = '', told_at = $2 WHERE id = $1";
    db.execute(sql, values![id, now]).await?;
    Ok(())
}

/// Forgets events of before a time; what could not be told until then is forgotten too. Says how many.
///
/// # Errors
/// The database's.
async fn forget(db: &Db, before: Millis, batch: i64) -> Result<u64> {
    let sql = "DELETE FROM payment WHERE id IN
               (SELECT id FROM payment WHERE received_at < $1 ORDER BY received_at LIMIT $2)";
    Ok(db.execute(sql, values![before, batch]).await?)
}

/// Retention, export and erasure rules of payment events.
pub(in crate::store) const LIFE: Life = Life {
    table: "payment",
    kept: Kept::Swept("90 days; providers repeat what was not taken for days", |db, _, now| {
        Box::pin(forget(db, now - REMEMBER_MS, ROWS))
    }),
    exported: Exported::No("the game has them; who paid is forgotten once it was told"),
    erased: &[],
    stays: &[("player_id", "until the game's server was told, which ends it"), ("tell_order", "the same")],
};

/// Milliseconds for which the id of a payment event is kept: 90 days.
const REMEMBER_MS: Millis = 90 * 86_400_000;
