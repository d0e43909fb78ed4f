//! Channels made with their members, once: the same call again finds the same channel.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::channel::{self, Channel};
use super::engine::sql::{Tx, values};
use super::{Db, is_twin, json, member};
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::base::random;
use crate::chat::values::{ChannelId, Kind, Name, PlayerId, Settings, as_set};
use crate::config::moderation::DirectFrom;
use crate::store::engine::{DbFault, DbResult};
use crate::store::life::{Erased, Exported, Kept, Life};

/// Prefix of the ids of direct channels.
pub const DIRECT: &str = "direct:";

/// Prefix of the ids of players' own channels.
pub const OF_PLAYER: &str = "system:";

/// A channel to make. Hashed whole: the same call twice is the same channel.
#[derive(Debug, Serialize)]
pub struct NewChannel {
    /// The channel's id.
    pub id: ChannelId,
    /// The channel's kind.
    pub kind: Kind,
    /// A name to show.
    pub name: Option<Name>,
    /// Ids of the first members, sorted, each once; exactly two in a direct channel.
    pub members: Vec<PlayerId>,
    /// The channel's settings.
    pub settings: Settings,
}

impl NewChannel {
    /// The direct channel of two players. Its id follows from theirs, so both ask for the same one.
    pub fn direct(one: PlayerId, other: PlayerId) -> Self {
        let members = as_set(vec![one, other]);
        let hash = Sha256::digest(pair(&members));
        let id =
            ChannelId::parse(format!("{DIRECT}{}", random::to_hex(&hash[..16]))).expect("hex fits an id");
        Self { id, kind: Kind::Direct, name: None, members, settings: Settings::default() }
    }

    /// A player's own channel, in which the game tells them what is about them alone. Its id follows from theirs.
    pub fn of_player(player: &PlayerId) -> Self {
        let hash = random::to_hex(&Sha256::digest(player.as_str())[..8]);
        let id = ChannelId::parse(format!("{OF_PLAYER}{hash}")).expect("hex fits an id");
        let settings = Settings { read_only: true, ..Settings::default() };
        Self { id, kind: Kind::System, name: None, members: vec![player.clone()], settings }
    }

    fn pair(&self) -> Option<String> {
        (self.kind == Kind::Direct).then(|| pair(&self.members))
    }
}

/// Ids hold no space, so the joined pair names two players only.
fn pair(members: &[PlayerId]) -> String {
    members.iter().map(PlayerId::as_str).collect::<Vec<_>>().join(" ")
}

/// Makes a channel, or finds the one that the same call made before.
///
/// # Errors
/// [`Error::Conflict`] where the id, or the two players' direct channel, exists with other input.
pub async fn create(db: &Db, new: NewChannel) -> Result<Channel> {
    let digest = random::to_hex(&Sha256::digest(json(&new)?));
    let now = db.now().await?;
    match create_once(db, &new, &digest, now).await {
        // Another made it in the same moment; now it is there to compare with.
        Err(Fault::Database(error)) if is_twin(&error) => create_once(db, &new, &digest, now).await,
        created => created,
    }?;
    member::tell(db, new.id.as_str(), &new.members);
    channel::find(db, &new.id, None).await?.ok_or(Error::NotFound("channel"))
}

enum Fault {
    Database(DbFault),
    Conflict,
}

impl From<DbFault> for Fault {
    fn from(error: DbFault) -> Self {
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

async fn create_once(db: &Db, new: &NewChannel, digest: &str, now: Millis) -> Result<(), Fault> {
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

async fn insert(tx: &mut Tx, new: &NewChannel, digest: &str, now: Millis) -> DbResult<i64> {
    let filter = new.settings.filter.as_ref().map(|filter| serde_json::json!(filter).to_string());
    let (key,) = tx
        .one(
            "INSERT INTO channel (id, kind, name, open, min_level, slow_mode_s, read_only, pair, digest, epoch, created_at, filter)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING key",
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
                filter.as_deref(),
            ],
        )
        .await?;
    Ok(key)
}

/// Direct channels are counted over so long.
const DAY_MS: Millis = 86_400_000;

/// The one direct channel of two players, made where there is none and the first of them may do so.
///
/// # Errors
/// [`Error::Forbidden`] with somebody whom they may not write to, [`Error::RateLimited`] beyond their limit of a day.
pub async fn direct(
    db: &Db,
    one: PlayerId,
    other: PlayerId,
    (from, limit): (DirectFrom, Option<usize>),
) -> Result<Channel> {
    let viewer = one.clone();
    let new = NewChannel::direct(one, other);
    match channel::of_pair(db, &pair(&new.members), &viewer).await? {
        Some(channel) => Ok(channel),
        None => {
            let [one, other] = new.members.as_slice() else { return Err(Error::NotFound("player")) };
            let other = if *one == viewer { other } else { one };
            check_stranger(db, &viewer, other, from).await?;
            count_opened(db, &viewer, other, limit).await?;
            let mut channel = create(db, new).await?;
            channel.member = true;
            Ok(channel)
        }
    }
}

async fn check_stranger(db: &Db, player: &PlayerId, other: &PlayerId, from: DirectFrom) -> Result<()> {
    const SHARED: &str = "SELECT CAST(1 AS BIGINT) FROM member a
        JOIN member b ON b.channel_key = a.channel_key AND b.player_id = $2
        JOIN channel c ON c.key = a.channel_key AND c.kind NOT IN ('direct', 'system', 'support')
        WHERE a.player_id = $1 LIMIT 1";
    let may = match from {
        DirectFrom::Anyone => true,
        DirectFrom::SharedChannel => {
            let shared: Option<(i64,)> =
                db.optional(SHARED, values![player.as_str(), other.as_str()]).await?;
            shared.is_some()
        }
        DirectFrom::Nobody => false,
    };
    let message = || "this player can't be written to".to_owned();
    if may { Ok(()) } else { Err(Error::Forbidden { reason: "strangers", message: message() }) }
}

/// Counts a direct channel that a player opens with another, once for each other in a day.
async fn count_opened(db: &Db, player: &PlayerId, other: &PlayerId, limit: Option<usize>) -> Result<()> {
    let Some(limit) = limit else { return Ok(()) };
    let now = db.now().await?;
    let mut tx = db.begin().await?;
    tx.lock_name(&format!("direct {player}")).await?;
    let forget = "DELETE FROM direct_opened WHERE player_id = $1 AND at <= $2";
    tx.execute(forget, values![player.as_str(), now - DAY_MS]).await?;
    tx.execute(
        "INSERT INTO direct_opened (player_id, other_id, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        values![player.as_str(), other.as_str(), now],
    )
    .await?;
    let (opened, oldest): (i64, Option<Millis>) = tx
        .one("SELECT count(*), min(at) FROM direct_opened WHERE player_id = $1", values![player.as_str()])
        .await?;
    if opened > limit as i64 {
        let left = oldest.unwrap_or(now) + DAY_MS - now;
        return Err(Error::RateLimited {
            reason: "direct",
            message: "too many direct channels were opened today",
            retry_after_s: left.max(1).unsigned_abs().div_ceil(1_000),
        });
    }
    tx.commit().await?;
    Ok(())
}

/// Retention, export and erasure rules of the counts of direct channels opened lately.
pub(in crate::store) const DIRECT_OPENED: Life = Life {
    table: "direct_opened",
    kept: Kept::Until("a day, and until the player opens another"),
    exported: Exported::No("told by the channels"),
    erased: &[
        Erased::Some(
            "DELETE FROM direct_opened WHERE (player_id, other_id) IN (SELECT player_id, other_id FROM direct_opened WHERE player_id = $1 LIMIT $2)",
        ),
        Erased::Some(
            "DELETE FROM direct_opened WHERE (player_id, other_id) IN (SELECT player_id, other_id FROM direct_opened WHERE other_id = $1 LIMIT $2)",
        ),
    ],
    stays: &[],
};
