//! Messages: how they look, pages of them, and taking one back.
//!
//! Numbers have no gaps, so a page is arithmetic on them: no sorting, and `more` needs no extra row.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::FromRow;

use super::channel::Channel;
use super::{Db, json};
use crate::auth::Identity;
use crate::clock::Millis;
use crate::error::{Error, Result};

/// What an entry in a channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MessageKind {
    /// Somebody said something.
    Text,
    /// The message `ref` was taken back; hide it.
    Recall,
    /// Somebody said something and it was taken back: text and payload are gone.
    Recalled,
}

impl MessageKind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Recall => "recall",
            Self::Recalled => "recalled",
        }
    }

    fn from_word(word: &str) -> Self {
        [Self::Text, Self::Recall].into_iter().find(|kind| kind.as_str() == word).unwrap_or(Self::Recalled)
    }
}

/// Who said it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Sender {
    /// The player's id.
    pub id: String,
    /// The name at that time.
    pub name: String,
}

/// One entry in a channel, as everybody sees it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Message {
    /// The channel's id.
    pub channel: String,
    /// Its number there, from 1 and without gaps.
    pub seq: i64,
    /// What the entry is.
    pub kind: MessageKind,
    /// Who said it, or took something back.
    pub sender: Sender,
    /// What was said, with blocked words masked; empty for changes and for what was taken back.
    pub text: String,
    /// The object the client sent along.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub payload: Option<Box<RawValue>>,
    /// Players it calls by name.
    #[schemars(with = "Vec<String>")]
    pub mentions: Box<RawValue>,
    /// When it was stored: milliseconds since 1970-01-01 UTC.
    pub sent_at: Millis,
    /// The number of the message that a change is about.
    #[serde(rename = "ref")]
    pub reference: Option<i64>,
    /// Did the filter mask something?
    pub masked: bool,
}

/// The columns of a [`Message`], in one order everywhere.
macro_rules! message_columns {
    () => {
        "m.channel_key, m.seq, m.kind, m.sender_id, m.sender_name, m.text, m.payload, m.mentions, m.sent_at, m.ref AS reference, m.masked"
    };
}

#[derive(FromRow)]
struct Row {
    channel_key: i64,
    seq: i64,
    kind: String,
    sender_id: String,
    sender_name: String,
    text: String,
    payload: Option<String>,
    mentions: String,
    sent_at: Millis,
    reference: Option<i64>,
    masked: bool,
}

impl Row {
    fn into_message(self, channel: &str) -> Result<Message> {
        let raw = |text| RawValue::from_string(text).map_err(Error::internal);
        Ok(Message {
            channel: channel.to_owned(),
            seq: self.seq,
            kind: MessageKind::from_word(&self.kind),
            sender: Sender { id: self.sender_id, name: self.sender_name },
            text: self.text,
            payload: self.payload.map(raw).transpose()?,
            mentions: raw(self.mentions)?,
            sent_at: self.sent_at,
            reference: self.reference,
            masked: self.masked,
        })
    }
}

/// The messages of some numbers, ascending; those that retention deleted are not there.
///
/// # Errors
/// The database's.
pub async fn range(db: &Db, channel: &Channel, seqs: RangeInclusive<i64>) -> Result<Vec<Message>> {
    let rows: Vec<Row> = sqlx::query_as(concat!(
        "SELECT ",
        message_columns!(),
        " FROM message m WHERE m.channel_key = $1 AND m.seq BETWEEN $2 AND $3 ORDER BY m.seq"
    ))
    .bind(channel.key)
    .bind(seqs.start())
    .bind(seqs.end())
    .fetch_all(&db.read)
    .await?;
    rows.into_iter().map(|row| row.into_message(&channel.id)).collect()
}

/// The messages of one range in each of several channels, in the channels' order, each ascending.
///
/// # Errors
/// The database's.
pub async fn ranges(db: &Db, wanted: &[(&Channel, RangeInclusive<i64>)]) -> Result<Vec<Vec<Message>>> {
    let bounds: Vec<(i64, i64, i64)> =
        wanted.iter().map(|(channel, seqs)| (channel.key, *seqs.start(), *seqs.end())).collect();
    let rows: Vec<Row> = sqlx::query_as(concat!(
        "SELECT ",
        message_columns!(),
        " FROM json_each($1) j CROSS JOIN message m ON m.channel_key = j.value ->> 0",
        " AND m.seq BETWEEN j.value ->> 1 AND j.value ->> 2 ORDER BY m.channel_key, m.seq"
    ))
    .bind(json(&bounds)?)
    .fetch_all(&db.read)
    .await?;
    let mut pages: Vec<Vec<Message>> = wanted.iter().map(|_| Vec::new()).collect();
    let place: std::collections::HashMap<i64, usize> =
        wanted.iter().enumerate().map(|(place, (channel, _))| (channel.key, place)).collect();
    for row in rows {
        let place = place[&row.channel_key];
        pages[place].push(row.into_message(&wanted[place].0.id)?);
    }
    Ok(pages)
}

/// One message by the channel's key and its number.
pub(super) async fn by_key(db: &Db, channel_key: i64, channel: &str, seq: i64) -> Result<Message> {
    let row: Row = sqlx::query_as(concat!(
        "SELECT ",
        message_columns!(),
        " FROM message m WHERE m.channel_key = $1 AND m.seq = $2"
    ))
    .bind(channel_key)
    .bind(seq)
    .fetch_optional(&db.read)
    .await?
    .ok_or(Error::NotFound("message"))?;
    row.into_message(channel)
}

/// One message by its channel's id, whoever may see it; for tasks.
///
/// # Errors
/// [`Error::NotFound`] where there is none, or none any more.
pub async fn get(db: &Db, channel: &str, seq: i64) -> Result<Message> {
    let key: Option<i64> = sqlx::query_scalar("SELECT key FROM channel WHERE id = $1")
        .bind(channel)
        .fetch_optional(&db.read)
        .await?;
    by_key(db, key.ok_or(Error::NotFound("channel"))?, channel, seq).await
}

/// Takes a message back: its text and payload go, and an entry that says so comes. Doing it again finds that entry.
///
/// # Errors
/// [`Error::NotFound`] where nothing was said under that number, [`Error::Forbidden`] where it is another's, or
/// older than `window_ms` and the caller is no moderator.
pub async fn recall(
    db: &Db,
    channel: &Channel,
    seq: i64,
    by: &Identity,
    window_ms: Millis,
) -> Result<Message> {
    let now = db.clock.now();
    let mut tx = db.begin().await?;
    let said: Option<(String, Millis, String)> = sqlx::query_as(
        "SELECT sender_id, sent_at, kind FROM message WHERE channel_key = $1 AND seq = $2 AND ref IS NULL",
    )
    .bind(channel.key)
    .bind(seq)
    .fetch_optional(&mut *tx)
    .await?;
    let (sender, sent_at, kind) = said.ok_or(Error::NotFound("message"))?;
    if !by.is_staff() && sender != by.id.as_str() {
        return Err(Error::Forbidden {
            reason: "not_yours",
            message: "only your own messages can be recalled".to_owned(),
        });
    }
    if kind == MessageKind::Recalled.as_str() {
        let entry: i64 = sqlx::query_scalar("SELECT seq FROM message WHERE channel_key = $1 AND ref = $2")
            .bind(channel.key)
            .bind(seq)
            .fetch_one(&mut *tx)
            .await?;
        drop(tx);
        return by_key(db, channel.key, &channel.id, entry).await;
    }
    if !by.is_staff() && now > sent_at + window_ms {
        return Err(Error::Forbidden {
            reason: "too_late",
            message: "this message is too old to recall".to_owned(),
        });
    }
    let entry = insert_recall(&mut tx, channel, seq, by, now).await?;
    tx.commit().await?;
    by_key(db, channel.key, &channel.id, entry).await
}

/// The original stays, for moderators; what others saw is emptied.
async fn insert_recall(
    tx: &mut sqlx::SqliteConnection,
    channel: &Channel,
    seq: i64,
    by: &Identity,
    now: Millis,
) -> Result<i64> {
    sqlx::query(
        "UPDATE message SET kind = $3, original = coalesce(original, json_object('text', text, 'payload', payload)), text = '', payload = NULL, mentions = '[]'
         WHERE channel_key = $1 AND seq = $2",
    )
    .bind(channel.key)
    .bind(seq)
    .bind(MessageKind::Recalled.as_str())
    .execute(&mut *tx)
    .await?;
    sqlx::query("DELETE FROM mention WHERE channel_key = $1 AND seq = $2")
        .bind(channel.key)
        .bind(seq)
        .execute(&mut *tx)
        .await?;
    let (entry, said): (i64, i64) = sqlx::query_as(
        "UPDATE channel SET last_seq = last_seq + 1 WHERE key = $1 RETURNING last_seq, last_said",
    )
    .bind(channel.key)
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query(
        "INSERT INTO message (channel_key, seq, said, kind, sender_id, sender_name, text, mentions, sent_at, ref, masked)
         VALUES ($1, $2, $3, $4, $5, $6, '', '[]', $7, $8, FALSE)",
    )
    .bind(channel.key)
    .bind(entry)
    .bind(said)
    .bind(MessageKind::Recall.as_str())
    .bind(by.id.as_str())
    .bind(&by.name)
    .bind(now)
    .bind(seq)
    .execute(&mut *tx)
    .await?;
    Ok(entry)
}

/// The next channel of a kind, by its key, whose history begins before a time.
///
/// # Errors
/// The database's.
pub async fn next_outlived(db: &Db, kind: &str, before: Millis, after_key: i64) -> Result<Option<i64>> {
    let key = sqlx::query_scalar(
        "SELECT c.key FROM channel c JOIN message o ON o.channel_key = c.key AND o.seq = c.first_seq
         WHERE c.key > $3 AND c.kind = $1 AND o.sent_at < $2 ORDER BY c.key LIMIT 1",
    )
    .bind(kind)
    .bind(before)
    .bind(after_key)
    .fetch_optional(&db.read)
    .await?;
    Ok(key)
}

/// Deletes up to `batch` of a channel's oldest messages, those sent before a time, and moves the start of its
/// history. Says how many went. The channel's counter stays, so numbers are never used again.
///
/// # Errors
/// The database's.
pub async fn delete_outlived(db: &Db, channel_key: i64, before: Millis, batch: i64) -> Result<u64> {
    let mut tx = db.begin().await?;
    let last: Option<i64> = sqlx::query_scalar(
        "SELECT max(m.seq) FROM message m JOIN channel c ON c.key = m.channel_key
         WHERE m.channel_key = $1 AND m.seq >= c.first_seq AND m.seq < c.first_seq + $3 AND m.sent_at < $2",
    )
    .bind(channel_key)
    .bind(before)
    .bind(batch)
    .fetch_one(&mut *tx)
    .await?;
    let mut deleted = 0; // the last statement's count
    for statement in [
        "DELETE FROM mention WHERE channel_key = $1 AND seq <= $2",
        "UPDATE channel SET first_seq = $2 + 1 WHERE key = $1 AND $2 IS NOT NULL",
        "DELETE FROM message WHERE channel_key = $1 AND seq <= $2",
    ] {
        deleted =
            sqlx::query(statement).bind(channel_key).bind(last).execute(&mut *tx).await?.rows_affected();
    }
    tx.commit().await?;
    Ok(deleted)
}
