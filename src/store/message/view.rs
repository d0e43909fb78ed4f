//! Entries that one reader sees differently from the others: those hidden from everybody else, and nothing of blocked
//! players.
//!
//! What most see is stored as it is served. So a reader who blocks nobody, and a page on which nothing is hidden, cost
//! nothing. Where something is hidden, the own views of it are asked for whoever reads: the time it takes tells nobody
//! whose it is.

use std::collections::HashMap;
use std::sync::Arc;

use super::stored::{may_have_views, senders};
use super::{EntryHeader, Message, MessageKind, Sender, Stored};
use crate::base::error::Result;
use crate::chat::identity::Identity;
use crate::store::block::{self, Blocks};
use crate::store::engine::sql::{Sql, by_dialect, values};
use crate::store::{Db, json};

/// Somebody who reads.
pub struct Viewer {
    key: String,
    blocks: Blocks,
}

impl Viewer {
    /// A caller, with those they block, by the number that these have now.
    ///
    /// # Errors
    /// The database's.
    pub async fn of(db: &Db, caller: &Identity, block_version: Option<i64>) -> Result<Self> {
        Ok(Self::with(caller, block::at_version(db, caller, block_version).await?))
    }

    /// Do they block this player?
    pub fn blocks(&self, player: &str) -> bool {
        self.blocks.has(player)
    }

    /// They block these from now on. Says whether those are others than before.
    pub fn block(&mut self, blocks: Blocks) -> bool {
        let changed = self.blocks != blocks;
        self.blocks = blocks;
        changed
    }

    /// A caller who blocks these.
    pub fn with(caller: &Identity, blocks: Blocks) -> Self {
        Self { key: caller.key().into_owned(), blocks }
    }

    /// Returns the entry that this reader sees instead; none where they see what most do.
    fn instead(&self, entry: &EntryHeader<'_>, own: Option<&OwnView>) -> Result<Option<String>> {
        if let Some(own) = own.filter(|own| *own.player == *self.key) {
            return Ok(Some(own.shown.to_string()));
        }
        if entry.sender.scope.is_some() || !self.blocks.has(&entry.sender.id) {
            return Ok(None);
        }
        // That something is taken back is told all the same.
        let is_recall = entry.kind == Some(MessageKind::Recall);
        let kind = if is_recall { MessageKind::Recall } else { MessageKind::Hidden };
        let reference = entry.reference.filter(|_| is_recall);
        json(&without_content(entry, kind, reference)).map(Some)
    }
}

/// An entry as one player sees it.
#[derive(Clone, Debug)]
pub struct OwnView {
    player: Arc<str>,
    shown: Arc<str>,
}

impl OwnView {
    /// The entry, as they see it.
    pub fn shown(&self) -> &str {
        &self.shown
    }
}

/// Own views, by the channel's key and the entry's number.
pub(super) type OwnViews = HashMap<(i64, i64), OwnView>;

/// An entry without what was said: `hidden`, or that something was taken back.
fn without_content(entry: &EntryHeader<'_>, kind: MessageKind, reference: Option<i64>) -> Message {
    Message {
        channel: entry.channel.clone().into_owned(),
        seq: entry.seq,
        kind,
        sender: Sender::nobody(),
        text: String::new(),
        payload: None,
        mentions: Vec::new(),
        sent_at: entry.sent_at,
        reference,
        masked: false,
    }
}

/// Returns the own views of entries that are hidden from everybody but one player.
///
/// # Errors
/// The database's.
pub async fn own_views(db: &Db, lists: impl Iterator<Item = (i64, &Stored)>) -> Result<OwnViews> {
    const OWN: Sql = by_dialect(
        "SELECT o.channel_key, o.seq, o.player_id, o.shown FROM json_each($1) j
         JOIN own_view o ON o.channel_key = j.value ->> 0 AND o.seq = j.value ->> 1",
        "SELECT o.channel_key, o.seq, o.player_id, o.shown FROM json_array_elements($1::json) AS j (value)
         JOIN own_view o ON o.channel_key = (j.value ->> 0)::bigint AND o.seq = (j.value ->> 1)::bigint",
    );
    let mut wanted = Vec::new();
    for (key, list) in lists.filter(|(_, list)| may_have_views(list.as_str())) {
        for entry in list.entries()? {
            let Ok(entry) = EntryHeader::of(entry.get()) else { continue };
            wanted.extend(entry.has_views().then_some((key, entry.seq)));
        }
    }
    if wanted.is_empty() {
        return Ok(OwnViews::default());
    }
    let rows: Vec<(i64, i64, String, String)> = db.all(OWN, values![&json(&wanted)?]).await?;
    let view = |(key, seq, player, shown): (_, _, String, String)| {
        ((key, seq), OwnView { player: player.into(), shown: shown.into() })
    };
    Ok(rows.into_iter().map(view).collect())
}

/// Lists of entries of channels, by their keys, as somebody sees them. Single entries may stand for lists.
///
/// # Errors
/// The database's.
pub async fn seen(db: &Db, viewer: &Viewer, lists: Vec<(i64, Stored)>) -> Result<Vec<Stored>> {
    let own = own_views(db, lists.iter().map(|(key, list)| (*key, list))).await?;
    let seen = |(key, list): (i64, Stored)| {
        if !may_have_views(list.as_str()) && !senders(list.as_str()).any(|id| viewer.blocks.has(id)) {
            return Ok(list);
        }
        let mut seen = Vec::new();
        for entry in list.entries()? {
            let Ok(header) = EntryHeader::of(entry.get()) else { continue };
            let instead = viewer.instead(&header, own.get(&(key, header.seq)))?;
            seen.push(instead.unwrap_or_else(|| entry.get().to_owned()));
        }
        let seen = seen.join(",");
        if list.is_list() { Stored::list(Some(seen)) } else { Stored::one(seen) }
    };
    lists.into_iter().map(seen).collect()
}

/// An entry as it is kept for many readers, with what one of them sees instead.
pub struct Kept {
    json: Arc<str>,
    /// A player, where it is one who said it.
    sender: Option<Box<str>>,
    own: Option<OwnView>,
}

impl Kept {
    /// An entry that was looked at.
    pub fn new(json: Arc<str>, glance: &EntryHeader<'_>, own: Option<OwnView>) -> Self {
        let sender = glance.sender.scope.is_none().then(|| (*glance.sender.id).into());
        Self { json, sender, own }
    }

    /// As most see it.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// Does this reader see it otherwise than most?
    pub fn is_otherwise_to(&self, viewer: &Viewer) -> bool {
        self.own.as_ref().is_some_and(|own| *own.player == *viewer.key)
            || self.sender.as_ref().is_some_and(|sender| viewer.blocks.has(sender))
    }

    /// As this reader sees it.
    ///
    /// # Errors
    /// It is no entry.
    pub fn seen_by(&self, viewer: &Viewer) -> Result<String> {
        let instead = viewer.instead(&EntryHeader::of(&self.json)?, self.own.as_ref())?;
        Ok(instead.unwrap_or_else(|| self.json.to_string()))
    }
}
