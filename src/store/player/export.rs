//! Export of a player's data: a line of JSON for each row, page by page.

use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use sqlx::FromRow;

use crate::base::error::{Error, Result};
use crate::chat::values::PlayerId;
use crate::store::engine::sql::values;
use crate::store::{Db, json as text, lives};

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
struct ExportedMessage {
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
    let rows: Vec<ExportedMessage> = db
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
    lives::exported(db, player).await?.into_iter().map(|(name, row)| line(name, row)).collect()
}
