//! Players' questions to the game's support: who waits for whom, since when, and who has each.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::FromRow;

use super::Db;
use super::engine::sql::values;
use super::outbox::{self, NewTask};
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::chat::states::TicketState;
use crate::store::life::{Erased, Exported, Kept, Life, ROWS};
use serde_json::{Value, json};

/// Milliseconds for which a claim holds after the last action: half an hour.
const CLAIM_MS: Millis = 30 * 60_000;
/// Tickets that a player may have open, and may open in an hour.
const OPEN: i64 = 10;
const HOUR_MS: Millis = 3_600_000;
/// Those that wait are counted so far.
const COUNTED: i64 = 10_000;

/// A ticket.
#[derive(Debug, Serialize, FromRow, JsonSchema)]
#[schemars(rename = "Ticket")]
pub struct Ticket {
    /// The ticket's id.
    pub id: String,
    /// Id of the channel in which player and support talk.
    pub channel: String,
    /// Id of the player who asked.
    #[serde(rename = "player")]
    pub player_id: String,
    /// Topic of the question.
    pub topic: String,
    /// Details about the client, as the client gave them.
    #[serde(serialize_with = "as_json")]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub context: Option<String>,
    /// State of the ticket: whose turn it is.
    #[sqlx(try_from = "String")]
    pub state: TicketState,
    /// Id of the one who claimed the ticket. Half an hour after their last answer or claim, another may claim it.
    pub claimed_by: Option<String>,
    /// Time of opening, in milliseconds since 1970-01-01 UTC.
    pub opened_at: Millis,
    /// Time at which the ticket entered its state.
    pub waiting_since: Millis,
    /// Time of the support's first answer.
    pub first_reply_at: Option<Millis>,
    /// Time of closing.
    pub closed_at: Option<Millis>,
}

fn as_json<S: serde::Serializer>(context: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    let raw = context.as_ref().and_then(|context| serde_json::from_str::<&RawValue>(context).ok());
    raw.serialize(serializer)
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, channel, player_id, topic, context, state, claimed_by, opened_at, waiting_since, first_reply_at,
                    closed_at FROM ticket ",
            $rest
        )
    };
}

/// A player's question.
#[derive(Debug)]
pub struct NewTicket<'a> {
    /// The ticket's id. The same call uses the same id.
    pub id: &'a str,
    /// Id of the channel in which player and support talk.
    pub channel: &'a str,
    /// Id of the player who asks.
    pub player: &'a str,
    /// Topic of the question.
    pub topic: &'a str,
    /// Details about the client, as the client gave them, as JSON.
    pub context: Option<&'a str>,
}

/// May a player open one more?
///
/// # Errors
/// [`Error::RateLimited`] for too many in an hour, [`Error::Conflict`] for too many that are open.
pub async fn check(db: &Db, player: &str) -> Result<()> {
    let now = db.now().await?;
    let sql = "SELECT count(CASE WHEN state <> 'closed' THEN 1 END), count(CASE WHEN opened_at > $2 THEN 1 END), max(opened_at)
               FROM (SELECT state, opened_at FROM ticket WHERE player_id = $1 ORDER BY opened_at DESC LIMIT 100) t";
    let counts: Option<(i64, i64, Option<Millis>)> = db.optional(sql, values![player, now - HOUR_MS]).await?;
    let (open, in_hour, last) = counts.unwrap_or_default();
    if in_hour >= OPEN {
        let wait_ms = (last.unwrap_or(now) + HOUR_MS - now).clamp(1_000, HOUR_MS);
        let retry_after_s = wait_ms.unsigned_abs().div_ceil(1_000);
        return Err(Error::RateLimited {
            reason: "tickets",
            message: "too many tickets within an hour",
            retry_after_s,
        });
    }
    if open >= OPEN {
        return Err(Error::Conflict(format!("a player has {OPEN} tickets open at most").into()));
    }
    Ok(())
}

/// Stores a ticket with what tells of it; a second time changes nothing.
///
/// # Errors
/// The database's.
pub async fn open(db: &Db, new: NewTicket<'_>, told: Option<&NewTask>) -> Result<()> {
    let now = db.now().await?;
    let mut tx = db.begin().await?;
    let stored = tx
        .execute(
            "INSERT INTO ticket (id, channel, player_id, topic, context, state, opened_at, waiting_since)
             VALUES ($1, $2, $3, $4, $5, 'open', $6, $6) ON CONFLICT (id) DO NOTHING",
            values![new.id, new.channel, new.player, new.topic, new.context, now],
        )
        .await?;
    if let Some(told) = told.filter(|_| stored > 0) {
        outbox::add(&mut tx, db, told, now).await?;
    }
    Ok(tx.commit().await?)
}

/// Stores the ticket of something that a player said in a channel of support, where there is none.
///
/// # Errors
/// The database's.
pub async fn open_missing(db: &Db, channel: &str, seq: i64) -> Result<()> {
    let sql = "INSERT INTO ticket (id, channel, player_id, topic, state, opened_at, waiting_since)
               SELECT substr(c.id, length('support:') + 1), c.id, m.sender_id, coalesce(c.name, 'support'), 'open', m.sent_at, m.sent_at
               FROM channel c JOIN message m ON m.channel_key = c.key AND m.seq = $2
               WHERE c.id = $1 AND c.kind = 'support' ON CONFLICT DO NOTHING";
    db.execute(sql, values![channel, seq]).await?;
    Ok(())
}

/// One ticket.
///
/// # Errors
/// [`Error::NotFound`] where there is none.
pub async fn find(db: &Db, id: &str) -> Result<Ticket> {
    let found = db.optional(select!("WHERE id = $1"), values![id]).await?;
    found.ok_or(Error::NotFound("ticket"))
}

/// The ticket that is spoken of in a channel.
///
/// # Errors
/// [`Error::NotFound`] where there is none.
pub async fn of_channel(db: &Db, channel: &str) -> Result<Ticket> {
    let found = db.optional(select!("WHERE channel = $1"), values![channel]).await?;
    found.ok_or(Error::NotFound("ticket"))
}

/// A player's tickets, the newest first.
///
/// # Errors
/// The database's.
pub async fn of_player(db: &Db, player: &str, limit: i64) -> Result<Vec<Ticket>> {
    let sql = select!("WHERE player_id = $1 ORDER BY opened_at DESC, id DESC LIMIT $2");
    Ok(db.all(sql, values![player, limit]).await?)
}

/// Tickets in a state behind one, those that wait longest first.
///
/// # Errors
/// [`Error::NotFound`] where the last of the page before is none.
pub async fn queue(db: &Db, state: TicketState, after: Option<&str>, limit: i64) -> Result<Vec<Ticket>> {
    let (since, after) = match after {
        Some(id) => (find(db, id).await?.waiting_since, id),
        None => (0, ""),
    };
    let sql =
        select!("WHERE state = $1 AND (waiting_since, id) > ($2, $3) ORDER BY waiting_since, id LIMIT $4");
    Ok(db.all(sql, values![state.as_str(), since, after, limit]).await?)
}

/// Times that players wait for the support.
#[derive(Debug, Serialize, FromRow, JsonSchema)]
pub struct Waits {
    /// Number of tickets that wait for the support; 10,000 means ten thousand or more.
    pub open: i64,
    /// Time that the ticket which waits longest has waited, in milliseconds.
    pub longest_ms: Millis,
    /// Average time until the first answer, over the last 100 tickets that have one, in milliseconds.
    pub first_reply_ms: Option<Millis>,
}

/// Returns the times that players wait now.
///
/// # Errors
/// The database's.
pub async fn waits(db: &Db) -> Result<Waits> {
    let now = db.now().await?;
    let sql = "SELECT count(*) AS open,
                      coalesce($1 - (SELECT waiting_since FROM ticket WHERE state = 'open' ORDER BY waiting_since LIMIT 1), 0) AS longest_ms,
                      (SELECT CAST(avg(first_reply_at - opened_at) AS BIGINT) FROM
                          (SELECT first_reply_at, opened_at FROM ticket WHERE state = 'waiting' AND first_reply_at IS NOT NULL
                           ORDER BY waiting_since DESC LIMIT 100) t) AS first_reply_ms
               FROM (SELECT 1 FROM ticket WHERE state = 'open' ORDER BY waiting_since LIMIT $2) o";
    Ok(db.optional(sql, values![now, COUNTED]).await?.unwrap_or(Waits {
        open: 0,
        longest_ms: 0,
        first_reply_ms: None,
    }))
}

/// Somebody of the support takes a ticket; a closed one by answering it alone. `told` is an event that tells of it, under its
/// id, once for that.
///
/// # Errors
/// [`Error::Conflict`] where another has it, or it is closed.
pub async fn claim(
    db: &Db,
    id: &str,
    by: &str,
    answers: bool,
    told: Option<(&str, &NewTask)>,
) -> Result<Ticket> {
    let now = db.now().await?;
    let sql = "UPDATE ticket SET claimed_by = $2, claimed_at = $3 WHERE id = $1 AND (state <> 'closed' OR $5)
               AND (claimed_by IS NULL OR claimed_by = $2 OR claimed_at <= $4)";
    let mut tx = db.begin().await?;
    let claimed = tx.execute(sql, values![id, by, now, now - CLAIM_MS, answers]).await?;
    if let Some((event, told)) = told.filter(|_| claimed > 0) {
        outbox::add_once(&mut tx, db, event, told, now).await?;
    }
    tx.commit().await?;
    let ticket = find(db, id).await?;
    match (claimed, ticket.state) {
        (1, _) => Ok(ticket),
        (_, TicketState::Closed) if !answers => Err(Error::Conflict("the ticket is closed".into())),
        _ => Err(Error::Conflict("another has this ticket".into())),
    }
}

/// Notes that something was said: the support's word makes it the player's turn, the player's the support's; also in a ticket
/// that was closed. What was said before something that counted already changes nothing. Says whether anything changed.
///
/// # Errors
/// The database's.
pub async fn note_said(db: &Db, channel: &str, seq: i64, by_support: bool) -> Result<bool> {
    let now = db.now().await?;
    let sql = "UPDATE ticket SET last_seq = $2, closed_at = NULL, claimed_at = CASE WHEN $4 THEN $5 ELSE claimed_at END,
                      first_reply_at = CASE WHEN $4 THEN coalesce(first_reply_at, $5) ELSE first_reply_at END,
                      waiting_since = CASE WHEN state = $3 THEN waiting_since ELSE $5 END, state = $3
               WHERE channel = $1 AND last_seq < $2";
    let state = if by_support { TicketState::Waiting } else { TicketState::Open };
    Ok(db.execute(sql, values![channel, seq, state.as_str(), by_support, now]).await? > 0)
}

/// Closes a ticket, with what tells of it; what was said up to a number opens it no more. A closed one stays as it is.
///
/// # Errors
/// The database's.
pub async fn close(db: &Db, id: &str, last_seq: i64, told: Option<&NewTask>) -> Result<Ticket> {
    let now = db.now().await?;
    let sql = "UPDATE ticket SET state = 'closed', closed_at = $2, waiting_since = $2,
                      last_seq = CASE WHEN last_seq < $3 THEN $3 ELSE last_seq END
               WHERE id = $1 AND state <> 'closed'";
    let mut tx = db.begin().await?;
    let closed = tx.execute(sql, values![id, now, last_seq]).await?;
    if let Some(told) = told.filter(|_| closed > 0) {
        outbox::add(&mut tx, db, told, now).await?;
    }
    tx.commit().await?;
    find(db, id).await
}

/// Forgets tickets that were closed before a time. Says how many.
///
/// # Errors
/// The database's.
async fn forget(db: &Db, before: Millis, batch: i64) -> Result<u64> {
    let sql = "DELETE FROM ticket WHERE id IN
               (SELECT id FROM ticket WHERE state = 'closed' AND waiting_since < $1 ORDER BY waiting_since LIMIT $2)
               AND state = 'closed' AND waiting_since < $1";
    Ok(db.execute(sql, values![before, batch]).await?)
}

/// Retention, export and erasure rules of tickets.
pub(in crate::store) const LIFE: Life = Life {
    table: "ticket",
    kept: Kept::Swept("365 days behind their end", |db, _, now| {
        Box::pin(forget(db, now - REMEMBER_MS, ROWS))
    }),
    exported: Exported::Rows("ticket", |db, player| Box::pin(exported(db, player))),
    erased: &[Erased::Renamed(
        "UPDATE ticket SET player_id = $2, topic = '', context = NULL
         WHERE id IN (SELECT id FROM ticket WHERE player_id = $1 ORDER BY opened_at LIMIT $3)",
    )],
    stays: &[("claimed_by", "staff, not a player")],
};

/// Milliseconds for which a closed ticket is kept: 365 days.
const REMEMBER_MS: Millis = 365 * 86_400_000;

async fn exported(db: &Db, player: &str) -> Result<Vec<Value>> {
    let sql = "SELECT id, topic, context, opened_at FROM ticket WHERE player_id = $1 ORDER BY opened_at";
    let rows: Vec<(String, String, Option<String>, Millis)> = db.all(sql, values![player]).await?;
    let row =
        |(ticket, topic, context, at)| json!({ "id": ticket, "topic": topic, "context": context, "at": at });
    Ok(rows.into_iter().map(row).collect())
}
