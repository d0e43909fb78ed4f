//! A decision on a case: what becomes of the message and of its author, and who is told, in one transaction.

use serde_json::json;

use super::By;
use super::case::{self, Case};
use super::sanction::{self, Given, NewSanction};
use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::chat::reports::Decision;
use crate::store::audit::{self, AuditEntry};
use crate::store::channel::Channel;
use crate::store::engine::sql::values;
use crate::store::outbox::{self, NewTask};
use crate::store::{Db, message};

/// A decision on a case.
pub struct Decided<'a> {
    /// The case's id.
    pub id: &'a str,
    /// The decision.
    pub decision: Decision,
    /// Reason; a player who gets a sanction is told it.
    pub reason: &'a str,
    /// Sanction for the author.
    pub sanction: Option<NewSanction>,
    /// Channel of the message, if the case is about one.
    pub channel: Option<Channel>,
}

/// Decides a case: its message is taken back, its author gets what was decided, and the tasks that tell it are stored, in one
/// transaction.
///
/// # Errors
/// [`Conflict`](crate::base::error::Error::Conflict) where it is decided, or somebody else has it.
pub async fn decide(
    db: &Db,
    decided: &Decided<'_>,
    by: &By<'_>,
    tell: &[NewTask],
) -> Result<(Case, Option<Given>)> {
    let now = db.now().await?;
    let before = case::row(db, decided.id).await?;
    let mut tx = db.begin().await?;
    let mut told = None;
    // Everything that takes several locks takes the channel's first.
    if let Some((channel, seq)) = decided.channel.as_ref().zip(before.seq) {
        tx.lock_channel(channel.key()).await?;
        told = match decided.decision {
            // It may have been hidden until somebody looked.
            Decision::Dismiss => message::unhide(&mut tx, channel, seq, now).await?,
            // Its author is not to see that anything was done.
            Decision::Shadow => message::hide(&mut tx, channel, seq, now).await?,
            _ => message::take_back(&mut tx, channel, seq, by.who, now).await?,
        };
    }
    let key = by.who.key();
    let won = tx
        .execute(
            "UPDATE report_case SET state = 'decided', decided_by = $2, decided_at = $3, decide_nonce = $4, decision = $5,
                reason = $6, sanction_id = $7
             WHERE id = $1 AND (state = 'open' OR (state = 'claimed' AND (claimed_by = $2 OR claimed_at <= $8)))",
            values![
                decided.id,
                &*key,
                now,
                by.nonce,
                decided.decision.as_str(),
                decided.reason,
                decided.sanction.as_ref().map(|sanction| sanction.id.as_str()),
                now - case::CLAIM_MS
            ],
        )
        .await?;
    if won == 0 {
        drop(tx);
        return again(db, decided, by, now).await;
    }
    let mut given = None;
    if let Some(new) = &decided.sanction {
        given =
            sanction::insert(&mut tx, new, &By { who: by.who, nonce: None }, Some(decided.id), now).await?;
    }
    let detail = json!({ "case": decided.id, "decision": decided.decision, "channel": before.channel, "seq": before.seq });
    let player = Some(before.player_id.as_str());
    let entry = AuditEntry { action: "case.decide", player, detail, text: Some(decided.reason) };
    audit::add(&mut tx, by.who, &entry, now).await?;
    for task in tell {
        outbox::add(&mut tx, db, task, now).await?;
    }
    tx.commit().await?;
    if let Some((channel, number)) = decided.channel.as_ref().zip(told) {
        db.hub().said(&channel.id, channel.key(), number);
    }
    sanction::tell_rights_changed(db, &before.player_id);
    audit::seal_behind(db).await;
    Ok((case::row(db, decided.id).await?.shown(now), given))
}

/// Returns the result of an earlier call with the same nonce.
async fn again(db: &Db, decided: &Decided<'_>, by: &By<'_>, now: Millis) -> Result<(Case, Option<Given>)> {
    let row = case::row(db, decided.id).await?;
    let same = by.nonce.is_some()
        && row.decide_nonce.as_deref() == by.nonce
        && row.decided_by.as_deref() == Some(&*by.who.key())
        && row.decision.as_deref() == Some(decided.decision.as_str());
    if !same {
        return Err(case::taken(&row));
    }
    let given = match &row.sanction_id {
        Some(id) => Some(sanction::find(db, id).await?),
        None => None,
    };
    Ok((row.shown(now), given))
}
