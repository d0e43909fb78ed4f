//! Messages: how they look, and lists of them. (`page` is one channel's page; `recall` takes a message back.)

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::channel::Channel;
use super::engine::sql::{Sql, by_dialect, values};
use super::{Db, json};
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::chat::identity::{Identity, Scope};
use crate::chat::values::PlayerId;

mod change;
mod hide;
mod page;
mod purge;
mod recall;
mod recent;
mod stored;
mod view;

pub(super) use hide::{hide, unhide};
pub(super) use page::Pages;
pub use page::{Page, PageEdge, page};
pub use purge::{Purge, Purged, next_to_purge, purge_some, tell_purge};
pub use recall::recall;
pub(super) use recall::{entry_of, take_back};
pub use recent::recent_texts;
pub use stored::entries;
pub use stored::{EntryHeader, Stored};
pub(super) use stored::{Numbered, Pieces};
mod life;

pub(super) use life::{LIFE, MENTION, MENTIONED_IN, OWN_VIEW, PURGE_ENTRY};
pub use view::{Kept, OwnView, Viewer, own_views, seen};

/// Kind of an entry in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MessageKind {
    /// Somebody said something.
    Text,
    /// The game itself tells something.
    System,
    /// The message `ref` was taken back; hide it.
    Recall,
    /// Somebody said something and it was taken back: text and payload are gone.
    Recalled,
    /// Something that is not for this reader: who said it, text, payload and mentions are empty.
    Hidden,
    /// The message `ref` is `hidden` from now on, until a moderator has looked at it.
    Hide,
    /// The message `ref` is to be seen again: read it again.
    Unhide,
    /// Messages that the player `payload.player` sent since `payload.since` and before this entry are empty now.
    Purge,
}

impl MessageKind {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Text,
        Self::System,
        Self::Recall,
        Self::Recalled,
        Self::Hidden,
        Self::Hide,
        Self::Unhide,
        Self::Purge,
    ];

    /// The word in entries.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::System => "system",
            Self::Recall => "recall",
            Self::Recalled => "recalled",
            Self::Hidden => "hidden",
            Self::Hide => "hide",
            Self::Unhide => "unhide",
            Self::Purge => "purge",
        }
    }

    /// The kind of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }

    /// Returns the word for this kind in the database's column `change`; none for what was said, and for a recall.
    const fn change(self) -> Option<&'static str> {
        match self {
            Self::Text | Self::System | Self::Recall | Self::Recalled | Self::Hidden => None,
            Self::Hide => Some("hide"),
            Self::Unhide => Some("unhide"),
            Self::Purge => Some("purge"),
        }
    }
}

/// The sender of a message.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Sender {
    /// The player's id.
    pub id: String,
    /// The name at that time.
    pub name: String,
    /// `server` for the game's own server, which may have any id; absent for players.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
}

impl Sender {
    /// Somebody under the name that others may see.
    pub(super) fn of(who: &Identity, name: &str) -> Self {
        let scope = (who.scope == Scope::Server).then_some(Scope::Server);
        Self { id: who.id.to_string(), name: name.to_owned(), scope }
    }

    /// Nobody in particular.
    const fn nobody() -> Self {
        Self { id: String::new(), name: String::new(), scope: None }
    }
}

/// One entry in a channel, as everybody sees it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// The channel's id.
    pub channel: String,
    /// The entry's number in the channel: from 1, without gaps.
    pub seq: i64,
    /// The entry's kind.
    pub kind: MessageKind,
    /// Sender of the message, or the one who recalled a message.
    pub sender: Sender,
    /// Text, with blocked words masked; empty for changes and for recalled messages.
    pub text: String,
    /// The object the client sent along.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub payload: Option<Box<RawValue>>,
    /// Ids of the players whom the message mentions.
    pub mentions: Vec<PlayerId>,
    /// Time of storing, in milliseconds since 1970-01-01 UTC.
    pub sent_at: Millis,
    /// The number of the message that a change is about.
    #[serde(rename = "ref")]
    pub reference: Option<i64>,
    /// Did the filter mask something?
    pub masked: bool,
}

impl Message {
    /// As it looks to everybody from whom it is hidden, for whatever reason.
    pub(super) fn hidden(self) -> Self {
        Self {
            kind: MessageKind::Hidden,
            sender: Sender::nobody(),
            text: String::new(),
            payload: None,
            mentions: Vec::new(),
            reference: None,
            masked: false,
            ..self
        }
    }

    /// An entry in whose place something stands that is none.
    const fn unreadable(channel: String, seq: i64, sent_at: Millis) -> Self {
        Self {
            channel,
            seq,
            kind: MessageKind::Hidden,
            sender: Sender::nobody(),
            text: String::new(),
            payload: None,
            mentions: Vec::new(),
            sent_at,
            reference: None,
            masked: false,
        }
    }

    /// As it looks once it was taken back.
    fn recalled(self) -> Self {
        let (text, payload, mentions) = (String::new(), None, Vec::new());
        Self { kind: MessageKind::Recalled, text, payload, mentions, ..self }
    }

    /// As it looks once its sender is forgotten: what they said is gone, and what they took back is taken back by nobody.
    pub(super) fn erased(self, pseudonym: &str) -> Self {
        let sender = Sender { id: pseudonym.to_owned(), ..Sender::nobody() };
        match self.kind {
            MessageKind::Hidden => self,
            MessageKind::Text | MessageKind::System | MessageKind::Recalled => {
                Self { sender, masked: false, ..self.recalled() }
            }
            _ => Self { sender, ..self },
        }
    }

    /// With another name for a player whom it calls; none where it does not.
    pub(super) fn naming(mut self, player: &PlayerId, pseudonym: &str) -> Result<Option<Self>> {
        let named = self.mentions.iter().any(|named| named == player);
        let pseudonym = PlayerId::parse(pseudonym.to_owned()).map_err(Error::internal)?;
        self.mentions
            .iter_mut()
            .filter(|named| *named == player)
            .for_each(|named| *named = pseudonym.clone());
        Ok(named.then_some(self))
    }

    /// Returns the text and payload that the sender wrote, as far as the shown message tells.
    fn written(&self) -> Result<String> {
        json(&Written { text: &self.text, payload: self.payload.as_deref() })
    }
}

/// Text and payload that a sender wrote, as they are kept for moderators.
#[derive(Serialize)]
pub(super) struct Written<'a> {
    pub(super) text: &'a str,
    pub(super) payload: Option<&'a RawValue>,
}

/// The messages of one range in each of several channels, by their keys: a list each, in the order asked, each ascending.
///
/// # Errors
/// The database's.
pub async fn ranges(db: &Db, wanted: &[(i64, RangeInclusive<i64>)]) -> Result<Vec<Stored>> {
    let bounds: Vec<(i64, i64, i64)> =
        wanted.iter().map(|(key, seqs)| (*key, *seqs.start(), *seqs.end())).collect();
    const RANGES: Sql = by_dialect(
        "SELECT (SELECT group_concat(shown, ',') FROM
                    (SELECT shown FROM message WHERE channel_key = j.value ->> 0
                     AND seq BETWEEN j.value ->> 1 AND j.value ->> 2 ORDER BY seq))
         FROM json_each($1) j ORDER BY j.key",
        "SELECT (SELECT string_agg(shown, ',' ORDER BY seq) FROM message
                 WHERE channel_key = (j.value ->> 0)::bigint
                   AND seq BETWEEN (j.value ->> 1)::bigint AND (j.value ->> 2)::bigint)
         FROM json_array_elements($1::json) WITH ORDINALITY AS j (value, n) ORDER BY j.n",
    );
    let lists: Vec<(Option<String>,)> = db.all(RANGES, values![&json(&bounds)?]).await?;
    let mut pages = Vec::with_capacity(lists.len());
    for ((list,), (channel_key, seqs)) in lists.into_iter().zip(wanted) {
        pages.push(match Stored::list(list) {
            Ok(page) => page,
            Err(_) => mended(db, *channel_key, seqs).await?,
        });
    }
    Ok(pages)
}

/// The messages of a range, one by one, where they can't be read as a list: an entry that is none stands there as hidden from
/// all, so that it holds up no other entry, channel or reader. It is logged and counted.
///
/// # Errors
/// The database's.
pub async fn mended(db: &Db, channel_key: i64, seqs: &RangeInclusive<i64>) -> Result<Stored> {
    const ROWS: &str =
        "SELECT m.seq, m.shown, m.sent_at, c.id FROM message m JOIN channel c ON c.key = m.channel_key
        WHERE m.channel_key = $1 AND m.seq BETWEEN $2 AND $3 ORDER BY m.seq";
    let rows: Vec<(i64, String, Millis, String)> =
        db.all(ROWS, values![channel_key, *seqs.start(), *seqs.end()]).await?;
    let mut entries = Vec::with_capacity(rows.len());
    for (seq, shown, sent_at, channel) in rows {
        if EntryHeader::of(&shown).is_ok_and(|header| header.seq == seq) {
            entries.push(shown);
            continue;
        }
        metrics::counter!("guildhall_entries_unreadable_total").increment(1);
        tracing::error!(channel, seq, "a stored entry can't be read; readers see it as hidden");
        entries.push(json(&Message::unreadable(channel, seq, sent_at))?);
    }
    Stored::list(Some(entries.join(",")))
}

/// The newest message in each of several channels as somebody sees it, in the order asked.
///
/// # Errors
/// The database's.
pub async fn newest(db: &Db, channels: &[&Channel], viewer: &Viewer) -> Result<Vec<Option<Stored>>> {
    let keys: Vec<(i64, i64)> = channels.iter().map(|channel| (channel.key, channel.last_seq)).collect();
    const NEWEST: Sql = by_dialect(
        "SELECT m.shown FROM json_each($1) j
         LEFT JOIN message m ON m.channel_key = j.value ->> 0 AND m.seq = j.value ->> 1 ORDER BY j.key",
        "SELECT (SELECT shown FROM message
                 WHERE channel_key = (j.value ->> 0)::bigint AND seq = (j.value ->> 1)::bigint)
         FROM json_array_elements($1::json) WITH ORDINALITY AS j (value, n) ORDER BY j.n",
    );
    let messages: Vec<(Option<String>,)> = db.all(NEWEST, values![&json(&keys)?]).await?;
    let mut there = Vec::new();
    for (channel, (message,)) in channels.iter().zip(&messages) {
        let Some(message) = message.clone() else { continue };
        let message = match Stored::one(message) {
            Ok(message) => message,
            Err(_) => {
                let list = mended(db, channel.key, &(channel.last_seq..=channel.last_seq)).await?;
                let entry = list.entries()?.first().map(|entry| entry.get().to_owned());
                Stored::one(entry.ok_or(Error::NotFound("message"))?)?
            }
        };
        there.push((channel.key, message));
    }
    let mut seen = seen(db, viewer, there).await?.into_iter();
    Ok(messages.into_iter().map(|(message,)| message.and_then(|_| seen.next())).collect())
}

/// One message by the channel's key and its number.
pub(super) async fn by_key(db: &Db, channel_key: i64, seq: i64) -> Result<Stored> {
    let shown: Option<(String,)> = db
        .optional("SELECT shown FROM message WHERE channel_key = $1 AND seq = $2", values![channel_key, seq])
        .await?;
    Stored::one(shown.ok_or(Error::NotFound("message"))?.0)
}

/// A message, with what was written and what was said around it.
pub(super) struct Neighbours {
    /// The sender's key, under which their messages are stored.
    pub(super) sender: String,
    /// As it is seen now.
    pub(super) message: Stored,
    /// The message as it was written, where that differs.
    pub(super) original: Option<Stored>,
    /// Those before it, and those after it.
    pub(super) before: Stored,
    pub(super) after: Stored,
}

/// A message with up to `around` entries before and after it.
pub(super) async fn neighbours(db: &Db, channel: &Channel, seq: i64, around: i64) -> Result<Neighbours> {
    let said: Option<(String, String, Option<String>)> = db
        .optional(
            "SELECT sender_id, shown, original FROM message
             WHERE channel_key = $1 AND seq = $2 AND ref IS NULL AND change IS NULL",
            values![channel.key, seq],
        )
        .await?;
    let (sender, shown, original) = said.ok_or(Error::NotFound("message"))?;
    let wanted = [(channel.key, seq - around..=seq - 1), (channel.key, seq + 1..=seq + around)];
    let mut lists = ranges(db, &wanted).await?.into_iter();
    Ok(Neighbours {
        sender,
        message: Stored::one(shown)?,
        original: original.map(Stored::one).transpose()?,
        before: lists.next().unwrap_or_else(Stored::none),
        after: lists.next().unwrap_or_else(Stored::none),
    })
}

/// One message by its channel's id, whoever may see it; for tasks.
///
/// # Errors
/// [`Error::NotFound`] where there is none, or none any more.
pub async fn get(db: &Db, channel: &str, seq: i64) -> Result<Stored> {
    let key: Option<(i64,)> = db.optional("SELECT key FROM channel WHERE id = $1", values![channel]).await?;
    by_key(db, key.ok_or(Error::NotFound("channel"))?.0, seq).await
}
