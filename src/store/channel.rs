//! Channels: made once, found by id, seen by whom they are for.

use std::ops::RangeInclusive;
use std::sync::Arc;

use sqlx::FromRow;

use super::block::block_version;
use super::engine::sql::{Sql, by_dialect, values};
use super::rights::{Rights, sanctioned};
use super::{Db, json};
use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::chat::identity::Identity;
use crate::chat::rights::{ChannelState, Refusal, Right};
use crate::chat::values::{ChannelId, Kind, Level, PlayerId, Role, Seconds, Settings};
use crate::filter::policy::{Policy, Strictness};
use crate::store::life::{Erased, Exported, Kept, Life};

/// A channel as it is kept, with what it is to the one who asked for it.
#[derive(Clone, Debug, FromRow)]
pub struct Channel {
    pub(super) key: i64,
    /// The channel's id.
    pub id: String,
    kind: String,
    /// A name to show.
    pub name: Option<String>,
    open: bool,
    min_level: i64,
    slow_mode_s: i64,
    read_only: bool,
    filter: Option<String>,
    /// Changes when numbering starts over.
    pub epoch: String,
    /// The last message's number, 0 before the first.
    pub last_seq: i64,
    /// Number at which the history begins.
    pub first_seq: i64,
    /// Number of members.
    pub member_count: i64,
    /// Time of creation.
    pub created_at: Millis,
    /// Is the one who asked a member?
    pub member: bool,
    /// Does the one who asked have a sanction, here or elsewhere?
    sanctioned: bool,
}

/// An entry's key: its channel's number among all channels, and its own in the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct EntryKey {
    pub(in crate::store) channel_key: i64,
    pub(in crate::store) seq: i64,
}

impl Channel {
    /// The key of one of its entries.
    pub(in crate::store) const fn entry(&self, seq: i64) -> EntryKey {
        EntryKey { channel_key: self.key, seq }
    }

    /// Returns the channel's number among all channels, by which processes name the channel to each other.
    pub fn key(&self) -> i64 {
        self.key
    }

    /// Returns the channel's kind.
    pub fn kind(&self) -> Kind {
        Kind::from_word(&self.kind).expect("only kinds are stored")
    }

    /// Returns the channel's settings.
    pub fn settings(&self) -> Settings {
        let filter = self.filter.as_deref().and_then(|filter| serde_json::from_str(filter).ok());
        let settings = stored_settings(self.open, self.min_level, self.slow_mode_s, self.read_only);
        Settings { filter, ..settings }
    }

    /// Does the one who asked have a sanction, here or elsewhere?
    pub fn asker_is_sanctioned(&self) -> bool {
        self.sanctioned
    }

    /// State of the channel, as far as rights depend on it.
    pub fn place(&self) -> ChannelState<'_> {
        let Self { open, min_level, read_only, .. } = *self;
        ChannelState { id: &self.id, kind: self.kind(), open, min_level, read_only }
    }

    /// The role of whoever asked, as far as it is known: an officer is a member here.
    fn role(&self) -> Option<Role> {
        self.member.then_some(Role::Member)
    }

    /// Decides whether the caller who asked for it may do something here that takes no officer.
    ///
    /// # Errors
    /// The reason against it.
    pub fn allows(&self, rights: &Rights, right: Right) -> Result<(), Refusal> {
        rights.may(right, &self.place(), self.role())
    }
}

/// Settings from columns, which hold only what the types allowed in.
pub(super) fn stored_settings(open: bool, min_level: i64, slow_mode_s: i64, read_only: bool) -> Settings {
    Settings {
        open,
        min_level: Level::try_from(min_level).unwrap_or_default(),
        slow_mode_s: Seconds::try_from(slow_mode_s).unwrap_or_default(),
        read_only,
        filter: None,
    }
}

/// Every read of a channel: `$2` is who asks.
macro_rules! select_channel {
    ($rest:literal) => {
        concat!(
            "SELECT c.key, c.id, c.kind, c.name, c.open, c.min_level, c.slow_mode_s, c.read_only, c.filter, c.epoch, c.last_seq, ",
            "c.first_seq, c.member_count, c.created_at, m.player_id IS NOT NULL AS member, ",
            sanctioned!("$2"),
            " ",
            "FROM channel c LEFT JOIN member m ON m.channel_key = c.key AND m.player_id = $2 ",
            $rest
        )
    };
}

/// The direct channel of a pair, if there is one; `member` is about the viewer.
pub(super) async fn of_pair(db: &Db, pair: &str, viewer: &PlayerId) -> Result<Option<Channel>> {
    Ok(db.optional(select_channel!("WHERE c.pair = $1"), values![pair, viewer.as_str()]).await?)
}

/// The channel, whoever may see it; `member` is about the viewer.
///
/// # Errors
/// The database's.
pub async fn find(db: &Db, id: &ChannelId, viewer: Option<&PlayerId>) -> Result<Option<Channel>> {
    let viewer = viewer.map(PlayerId::as_str);
    Ok(db.optional(select_channel!("WHERE c.id = $1"), values![id.as_str(), viewer]).await?)
}

/// The channel, where this caller may know of it.
///
/// # Errors
/// [`Refusal::Unseen`], the same for none and for one that is not theirs; [`Refusal::Banned`].
pub async fn visible(db: &Db, id: &ChannelId, caller: &Identity) -> Result<Channel> {
    allowing(db, id, caller, Right::Read).await
}

/// The channel, where this caller has a right there that takes no officer.
///
/// # Errors
/// The reason against it.
pub async fn allowing(db: &Db, id: &ChannelId, caller: &Identity, right: Right) -> Result<Channel> {
    let channel = find(db, id, Some(&caller.id)).await?.ok_or(Refusal::Unseen)?;
    channel.allows(&Rights::if_sanctioned(db, caller, channel.sanctioned).await?, right)?;
    Ok(channel)
}

const AMONG: Sql = by_dialect(
    select_channel!("WHERE c.id IN (SELECT value FROM json_each($1))"),
    select_channel!("WHERE c.id = ANY (ARRAY(SELECT json_array_elements_text($1::json)))"),
);

/// Those of the channels that this caller may know of, in no order.
///
/// # Errors
/// The database's.
pub async fn visible_among(db: &Db, ids: &[&ChannelId], caller: &Identity) -> Result<Vec<Channel>> {
    let mut channels: Vec<Channel> = db.all(AMONG, values![&json(&ids)?, caller.id.as_str()]).await?;
    let sanctioned = channels.iter().any(|channel| channel.sanctioned);
    let rights = Rights::if_sanctioned(db, caller, sanctioned).await?;
    channels.retain(|channel| channel.allows(&rights, Right::Read).is_ok());
    Ok(channels)
}

/// Returns the strictness of the filter in a channel: the channel's own, else the policy's for its kind. Neither kind
/// nor strictness of a channel changes, so the database is asked once.
///
/// # Errors
/// The database's.
pub async fn strictness(db: &Db, id: &ChannelId, policy: &Policy) -> Result<Strictness> {
    let place = match db.places.get(id.as_str()) {
        Some(place) => place,
        None => {
            let sql = "SELECT kind, filter FROM channel WHERE id = $1";
            let row: Option<(String, Option<String>)> = db.optional(sql, values![id.as_str()]).await?;
            let Some((kind, filter)) = row else { return Ok(Strictness::default()) };
            let filter = filter.and_then(|filter| serde_json::from_str(&filter).ok()).unwrap_or_default();
            let place = Arc::new((kind, filter));
            db.places.insert(id.to_string(), Arc::clone(&place));
            place
        }
    };
    let (kind, own): &(String, Strictness) = &place;
    Ok(policy.of(kind).map_or_else(|| own.clone(), |of_kind| own.over(of_kind)))
}

/// A channel's counters and the caller's rights in it: all that a poll asks for.
#[derive(Debug)]
pub struct Standing {
    /// The channel's number among all channels.
    pub key: i64,
    /// The channel's id.
    pub id: String,
    /// Changes when numbering starts over.
    pub epoch: String,
    /// Number at which the history begins.
    pub first_seq: i64,
    /// The last message's number.
    pub last_seq: i64,
    /// The caller is banned here.
    pub banned: bool,
    /// Current version of the caller's blocks.
    pub block_version: Option<i64>,
}

impl Standing {
    /// The numbers of a page after a cursor, and whether there are more.
    pub fn behind(&self, after: i64, limit: i64) -> (RangeInclusive<i64>, bool) {
        let start = (after + 1).max(self.first_seq);
        let end = (start + limit - 1).min(self.last_seq);
        (start..=end, end < self.last_seq)
    }
}

/// Returns the standings of those of the channels that this caller may know of, in no order.
///
/// # Errors
/// The database's.
pub async fn standings(db: &Db, ids: &[&ChannelId], caller: &Identity) -> Result<Vec<Standing>> {
    const STANDINGS: Sql = by_dialect(
        concat!(
            "SELECT c.key, c.id, c.kind, c.epoch, c.first_seq, c.last_seq, ",
            sanctioned!("$2"),
            ", ",
            block_version!("$2"),
            " FROM json_each($1) j JOIN channel c ON c.id = j.value
             WHERE $3 OR c.open OR EXISTS (SELECT 1 FROM member m WHERE m.channel_key = c.key AND m.player_id = $2)"
        ),
        concat!(
            "SELECT c.key, c.id, c.kind, c.epoch, c.first_seq, c.last_seq, ",
            sanctioned!("$2"),
            ", ",
            block_version!("$2"),
            " FROM json_array_elements_text($1::json) AS j (value) JOIN channel c ON c.id = j.value
             -- Not EXISTS: PostgreSQL would read all of a player's channels where most players have few.
             WHERE $3 OR c.open OR (SELECT 1 FROM member m WHERE m.channel_key = c.key AND m.player_id = $2) IS NOT NULL"
        ),
    );
    type Row = (i64, String, String, String, i64, i64, bool, Option<i64>);
    let rows: Vec<Row> =
        db.all(STANDINGS, values![&json(&ids)?, caller.id.as_str(), caller.is_staff()]).await?;
    let sanctioned = rows.iter().any(|(.., sanctioned, _)| *sanctioned);
    let rights = Rights::if_sanctioned(db, caller, sanctioned).await?;
    let standing = |(key, id, kind, epoch, first_seq, last_seq, _, block_version): Row| {
        let read = |kind| rights.may(Right::Read, &ChannelState::seen(&id, kind), None);
        let banned = Kind::from_word(&kind).is_some_and(|kind| read(kind).is_err());
        Standing { key, id, epoch, first_seq, last_seq, banned, block_version }
    };
    Ok(rows.into_iter().map(standing).collect())
}

/// Those of some channels whose last number is another than the one that is known.
///
/// # Errors
/// The database's.
pub async fn moved(db: &Db, known: &[(Arc<str>, i64)]) -> Result<Vec<String>> {
    const MOVED: Sql = by_dialect(
        "SELECT c.id FROM json_each($1) j JOIN channel c ON c.id = j.value ->> 0
         WHERE c.last_seq <> j.value ->> 1",
        "SELECT c.id FROM json_array_elements($1::json) j (value) JOIN channel c ON c.id = j.value ->> 0
         WHERE c.last_seq <> (j.value ->> 1)::bigint",
    );
    let known: Vec<(&str, i64)> = known.iter().map(|(id, seq)| (&**id, *seq)).collect();
    let moved: Vec<(String,)> = db.all(MOVED, values![&json(&known)?]).await?;
    Ok(moved.into_iter().map(|(id,)| id).collect())
}

/// Some channels, seen by nobody in particular.
///
/// # Errors
/// The database's.
pub async fn among(db: &Db, ids: &[&str]) -> Result<Vec<Channel>> {
    Ok(db.all(AMONG, values![&json(&ids)?, ""]).await?)
}

/// Retention, export and erasure rules of channels.
pub(in crate::store) const LIFE: Life = Life {
    table: "channel",
    kept: Kept::Until("for good"),
    exported: Exported::No("what others see, too"),
    erased: &[
        Erased::By(
            "UPDATE channel SET name = NULL WHERE id IN (SELECT channel FROM ticket WHERE player_id = $1)",
        ),
        Erased::Apart("direct ones are renamed, a player's own is deleted: player::erase"),
    ],
    stays: &[],
};
