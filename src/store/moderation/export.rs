//! What is kept about a player, as they may have it: a line of JSON for each row, page by page.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sqlx::FromRow;

use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::chat::values::PlayerId;
use crate::store::engine::sql::values;
use crate::store::{Db, json as text};

/// Messages that are read at one time.
const PAGE: i64 = 500;

/// One line of an archive.
#[derive(Serialize)]
struct Line<T> {
    table: &'static str,
    row: T,
}

fn line(table: &'static str, row: impl Serialize) -> Result<String> {
    Ok(text(&Line { table, row })? + "\n")
}

#[derive(FromRow)]
struct Said {
    nonce: String,
    shown: String,
    original: Option<String>,
}

/// Some of what a player said in a channel, those whose nonces sort behind one, as they see it and as they wrote it; and
/// the last one's nonce. None behind the last.
///
/// # Errors
/// The database's.
pub async fn said(
    db: &Db,
    player: &PlayerId,
    channel_key: i64,
    after: &str,
) -> Result<Option<(String, String)>> {
    let rows: Vec<Said> = db
        .all(
            "SELECT m.nonce, coalesce(o.shown, m.shown) AS shown, m.original FROM message m
             LEFT JOIN own_view o ON o.channel_key = m.channel_key AND o.seq = m.seq AND o.player_id = $2
             WHERE m.channel_key = $1 AND m.sender_id = $2 AND m.nonce > $3 ORDER BY m.nonce LIMIT $4",
            values![channel_key, player.as_str(), after, PAGE],
        )
        .await?;
    let Some(last) = rows.last().map(|row| row.nonce.clone()) else { return Ok(None) };
    let raw = |json: String| RawValue::from_string(json).map_err(Error::internal);
    let mut lines = String::new();
    for row in rows {
        let written = row.original.map(raw).transpose()?;
        lines += &line("message", json!({ "message": raw(row.shown)?, "written": written }))?;
    }
    Ok(Some((lines, last)))
}

/// Everything else, as lines.
///
/// # Errors
/// The database's.
pub async fn rest(db: &Db, player: &PlayerId) -> Result<String> {
    let id = player.as_str();
    let mut lines = String::new();
    let members: Vec<(String, String, Millis, i64)> = db
        .all(
            "SELECT c.id, c.kind, m.joined_at, m.read_seq FROM member m JOIN channel c ON c.key = m.channel_key
             WHERE m.player_id = $1 ORDER BY c.id",
            values![id],
        )
        .await?;
    for (channel, kind, joined_at, read_seq) in members {
        let row = json!({ "channel": channel, "kind": kind, "joined_at": joined_at, "read_seq": read_seq });
        lines += &line("member", row)?;
    }
    let blocks: Vec<(String, Millis)> = db
        .all("SELECT blocked_id, at FROM block WHERE player_id = $1 ORDER BY blocked_id", values![id])
        .await?;
    for (player, at) in blocks {
        lines += &line("block", json!({ "player": player, "at": at }))?;
    }
    lines += &sanctions(db, id).await?;
    let reports: Vec<(String, String, Option<String>, Millis)> = db
        .all("SELECT subject, category, text, at FROM report WHERE reporter = $1 ORDER BY id", values![id])
        .await?;
    for (subject, category, text, at) in reports {
        let row = json!({ "subject": subject, "category": category, "text": text, "at": at });
        lines += &line("report", row)?;
    }
    let refusals: Vec<(Millis,)> =
        db.all("SELECT at FROM refusal WHERE player_id = $1 ORDER BY at", values![id]).await?;
    for (at,) in refusals {
        lines += &line("refusal", json!({ "at": at }))?;
    }
    let ranks: Vec<(String, i64, Millis)> = db
        .all(
            "SELECT board, value, reported_at FROM rank_report WHERE player_id = $1 ORDER BY board",
            values![id],
        )
        .await?;
    for (board, value, at) in ranks {
        lines += &line("rank", json!({ "board": board, "value": value, "at": at }))?;
    }
    let devices: Vec<(String, String, Option<String>, Millis)> = db
        .all(
            "SELECT platform, token, language, registered_at FROM device WHERE player_id = $1 ORDER BY registered_at",
            values![id],
        )
        .await?;
    for (platform, token, language, at) in devices {
        lines +=
            &line("device", json!({ "platform": platform, "token": token, "language": language, "at": at }))?;
    }
    let tickets: Vec<(String, String, Option<String>, Millis)> = db
        .all(
            "SELECT id, topic, context, opened_at FROM ticket WHERE player_id = $1 ORDER BY opened_at",
            values![id],
        )
        .await?;
    for (ticket, topic, context, at) in tickets {
        lines += &line("ticket", json!({ "id": ticket, "topic": topic, "context": context, "at": at }))?;
    }
    Ok(lines)
}

/// Sanctions that the player knows of, and what they said against them.
async fn sanctions(db: &Db, id: &str) -> Result<String> {
    type Row = (String, String, String, String, Millis, Option<Millis>, Option<String>, Option<String>);
    let rows: Vec<Row> = db
        .all(
            "SELECT s.id, s.kind, s.place, s.reason, s.given_at, s.until, a.text, a.state FROM sanction s
             LEFT JOIN appeal a ON a.sanction_id = s.id
             WHERE s.player_id = $1 AND s.kind <> 'shadow' ORDER BY s.id",
            values![id],
        )
        .await?;
    let mut lines = String::new();
    for (sanction, kind, place, reason, given_at, until, appeal, state) in rows {
        let appeal = appeal.map_or(Value::Null, |text| json!({ "text": text, "state": state }));
        let row = json!({
            "id": sanction, "kind": kind, "where": place, "reason": reason, "given_at": given_at, "until": until,
            "appeal": appeal,
        });
        lines += &line("sanction", row)?;
    }
    Ok(lines)
}
