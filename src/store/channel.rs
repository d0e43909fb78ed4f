//! Channels: made once, found by id, seen by whom they are for.

use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::FromRow;

use super::sql::{Sql, Tx, by_dialect, values};
use super::{Db, is_twin, json, member};
use crate::clock::Millis;
use crate::domain::{ChannelId, Kind, Level, Name, PlayerId, Seconds, Settings};
use crate::error::{Error, Result};
use crate::random;
use crate::token::Identity;

/// A channel as it is kept, with what it is to the one who asked for it.
#[derive(Clone, Debug, FromRow)]
pub struct Channel {
    pub(super) key: i64,
    /// Its id.
    pub id: String,
    kind: String,
    /// A name to show.
    pub name: Option<String>,
    open: bool,
    min_level: i64,
    slow_mode_s: i64,
    read_only: bool,
    /// Changes when numbering starts over.
    pub epoch: String,
    /// The last message's number, 0 before the first.
    pub last_seq: i64,
    /// Where history begins.
    pub first_seq: i64,
    /// How many members it has.
    pub member_count: i64,
    /// When it was made.
    pub created_at: Millis,
    /// Is the one who asked a member?
    pub member: bool,
}

impl Channel {
    /// What it is for.
    pub fn kind(&self) -> Kind {
        Kind::from_word(&self.kind).expect("only kinds are stored")
    }

    /// How it behaves.
    pub fn settings(&self) -> Settings {
        stored_settings(self.open, self.min_level, self.slow_mode_s, self.read_only)
    }

    /// May this caller know of it?
    pub fn is_visible_to(&self, caller: &Identity) -> bool {
        self.member || self.open || caller.is_staff()
    }
}

/// Settings from columns, which hold only what the types allowed in.
pub(super) fn stored_settings(open: bool, min_level: i64, slow_mode_s: i64, read_only: bool) -> Settings {
    Settings {
        open,
        min_level: Level::try_from(min_level).unwrap_or_default(),
        slow_mode_s: Seconds::try_from(slow_mode_s).unwrap_or_default(),
        read_only,
    }
}

/// A channel to make. Hashed whole: the same call twice is the same channel.
#[derive(Debug, Serialize)]
pub struct NewChannel {
    /// Its id.
    pub id: ChannelId,
    /// What it is for.
    pub kind: Kind,
    /// A name to show.
    pub name: Option<Name>,
    /// Its first members, sorted, each once; a direct channel's two.
    pub members: Vec<PlayerId>,
    /// How it behaves.
    pub settings: Settings,
}

impl NewChannel {
    /// The direct channel of two players. Its id follows from theirs, so both ask for the same one.
    pub fn direct(one: PlayerId, other: PlayerId) -> Self {
        let members = crate::domain::as_set(vec![one, other]);
        let hash = Sha256::digest(pair(&members));
        let id = ChannelId::parse(format!("direct:{}", random::to_hex(&hash[..16]))).expect("hex fits an id");
        Self { id, kind: Kind::Direct, name: None, members, settings: Settings::default() }
    }

    fn pair(&self) -> Option<String> {
        (self.kind == Kind::Direct).then(|| pair(&self.members))
    }
}

/// Ids hold no space, so the joined pair names two players only.
fn pair(members: &[PlayerId]) -> String {
    members.iter().map(PlayerId::as_str).collect::<Vec<_>>().join(" ")
}

/// Every read of a channel: `$2` is who asks.
macro_rules! select_channel {
    ($rest:literal) => {
        concat!(
            "SELECT c.key, c.id, c.kind, c.name, c.open, c.min_level, c.slow_mode_s, c.read_only, c.epoch, c.last_seq, ",
            "c.first_seq, c.member_count, c.created_at, m.player_id IS NOT NULL AS member ",
            "FROM channel c LEFT JOIN member m ON m.channel_key = c.key AND m.player_id = $2 ",
            $rest
        )
    };
}

/// Makes a channel, or finds the one that the same call made before.
///
/// # Errors
/// [`Error::Conflict`] where the id, or the two players' direct channel, exists with other input.
pub async fn create(db: &Db, new: NewChannel) -> Result<Channel> {
    let digest = random::to_hex(&Sha256::digest(json(&new)?));
    match create_once(db, &new, &digest).await {
        // Another made it in the same moment; now it is there to compare with.
        Err(Fault::Database(error)) if is_twin(&error) => create_once(db, &new, &digest).await,
        created => created,
    }?;
    find(db, &new.id, None).await?.ok_or(Error::NotFound("channel"))
}

enum Fault {
    Database(sqlx::Error),
    Conflict,
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Database(error) => error.into(),
            Fault::Conflict => Self::Conflict("the channel exists with other input".into()),
        }
    }
}

async fn create_once(db: &Db, new: &NewChannel, digest: &str) -> Result<(), Fault> {
    let now = db.clock.now();
    let pair = new.pair();
    let mut tx = db.begin().await?;
    let existing: Option<(String,)> = tx
        .optional(
            "SELECT digest FROM channel WHERE id = $1 OR pair = $2",
            values![new.id.as_str(), pair.as_deref()],
        )
        .await?;
    match existing {
        Some((stored,)) if stored == digest => {}
        Some(_) => return Err(Fault::Conflict),
        None => {
            let key = insert(&mut tx, new, digest, now).await?;
            member::insert(&mut tx, key, &new.members, now).await?;
        }
    }
    tx.commit().await?;
    Ok(())
}

async fn insert(tx: &mut Tx, new: &NewChannel, digest: &str, now: Millis) -> sqlx::Result<i64> {
    let (key,) = tx
        .one(
            "INSERT INTO channel (id, kind, name, open, min_level, slow_mode_s, read_only, pair, digest, epoch, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING key",
            values![
                new.id.as_str(),
                new.kind.as_str(),
                new.name.as_ref().map(Name::as_str),
                new.settings.open,
                new.settings.min_level.get(),
                new.settings.slow_mode_s.get(),
                new.settings.read_only,
                new.pair().as_deref(),
                digest,
                &random::hex::<8>(),
                now,
            ],
        )
        .await?;
    Ok(key)
}

/// The one direct channel of two players, made where there is none.
///
/// # Errors
/// The database's.
pub async fn direct(db: &Db, one: PlayerId, other: PlayerId) -> Result<Channel> {
    let viewer = one.clone();
    let new = NewChannel::direct(one, other);
    let found = db
        .optional(select_channel!("WHERE c.pair = $1"), values![&pair(&new.members), viewer.as_str()])
        .await?;
    match found {
        Some(channel) => Ok(channel),
        None => Ok(Channel { member: true, ..create(db, new).await? }),
    }
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
/// [`Error::NotFound`], the same for none and for one that is not theirs.
pub async fn visible(db: &Db, id: &ChannelId, caller: &Identity) -> Result<Channel> {
    find(db, id, Some(&caller.id))
        .await?
        .filter(|channel| channel.is_visible_to(caller))
        .ok_or(Error::NotFound("channel"))
}

/// Those of the channels that this caller may know of, in no order.
///
/// # Errors
/// The database's.
pub async fn visible_among(db: &Db, ids: &[&ChannelId], caller: &Identity) -> Result<Vec<Channel>> {
    const AMONG: Sql = by_dialect(
        select_channel!("WHERE c.id IN (SELECT value FROM json_each($1))"),
        select_channel!("WHERE c.id IN (SELECT value FROM json_array_elements_text($1::json))"),
    );
    let channels: Vec<Channel> = db.all(AMONG, values![&json(&ids)?, caller.id.as_str()]).await?;
    Ok(channels.into_iter().filter(|channel| channel.is_visible_to(caller)).collect())
}
