//! Players who are online: those who have a socket in a process that lives.

use std::time::{Duration, Instant};

use super::channel::Channel;
use super::engine::sql::{Sql, by_dialect, values};
use super::{Db, json};
use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::store::life::{Erased, Exported, Kept, Life};

/// A process that said nothing for so long is gone.
pub const SILENT_MS: Millis = 60_000;

/// Players came to a process.
///
/// # Errors
/// The database's.
pub async fn enter(db: &Db, process: &str, players: &[String]) -> Result<()> {
    const ENTER: Sql = by_dialect(
        "INSERT INTO online (player_id, process_id) SELECT value, $1 FROM json_each($2) WHERE TRUE ON CONFLICT DO NOTHING",
        "INSERT INTO online (player_id, process_id)
         SELECT value, $1 FROM json_array_elements_text($2::json) AS j (value) ON CONFLICT DO NOTHING",
    );
    db.execute(ENTER, values![process, &json(&players)?]).await?;
    Ok(())
}

/// Players left a process.
///
/// # Errors
/// The database's.
pub async fn leave(db: &Db, process: &str, players: &[String]) -> Result<()> {
    const LEAVE: Sql = by_dialect(
        "DELETE FROM online WHERE process_id = $1 AND player_id IN (SELECT value FROM json_each($2))",
        "DELETE FROM online
         WHERE process_id = $1 AND player_id = ANY (ARRAY(SELECT json_array_elements_text($2::json)))",
    );
    db.execute(LEAVE, values![process, &json(&players)?]).await?;
    Ok(())
}

/// Time for which a count is believed: two seconds, or so many times as long as the count took, as a world has very
/// many members. So counting takes a fiftieth of a connection's time at most, however many members there are.
const BELIEVED: Duration = Duration::from_secs(2);
const TIMES: u32 = 50;
const BELIEVED_MOST: Duration = Duration::from_secs(60);
/// Number of members up to which a channel's members are looked for among those online, and named; in a larger channel
/// it is the other way round, and they are counted.
pub const FEW: i64 = 1_000;

/// Returns the number of members of a channel who are online in processes that lived since a time, as counted last.
///
/// # Errors
/// The database's.
pub async fn count(db: &Db, channel: &Channel, since: Millis) -> Result<i64> {
    const OF_FEW: Sql = by_dialect(
        "SELECT count(DISTINCT o.player_id) FROM member m CROSS JOIN online o ON o.player_id = m.player_id
         CROSS JOIN process p ON p.id = o.process_id WHERE m.channel_key = $1 AND p.seen_at >= $2",
        "WITH m AS MATERIALIZED (SELECT player_id FROM member WHERE channel_key = $1)
         SELECT count(DISTINCT o.player_id) FROM m JOIN online o ON o.player_id = m.player_id
         JOIN process p ON p.id = o.process_id WHERE p.seen_at >= $2",
    );
    const OF_MANY: &str =
        "SELECT count(DISTINCT o.player_id) FROM process p JOIN online o ON o.process_id = p.id
        JOIN member m ON m.player_id = o.player_id AND m.channel_key = $1 WHERE p.seen_at >= $2";
    let known = db.online.get(&channel.key);
    if let Some((until, count)) = known {
        if Instant::now() < until {
            return Ok(count);
        }
        // One counts, and the others go by the old count meanwhile.
        db.online.insert(channel.key, (Instant::now() + BELIEVED, count));
    }
    let begun = Instant::now();
    let values = values![channel.key, since];
    let count: Option<(i64,)> = if channel.member_count <= FEW {
        db.optional(OF_FEW, values).await?
    } else {
        db.optional(OF_MANY, values).await?
    };
    let count = count.map_or(0, |(count,)| count);
    let believed = (begun.elapsed() * TIMES).clamp(BELIEVED, BELIEVED_MOST);
    db.online.insert(channel.key, (Instant::now() + believed, count));
    Ok(count)
}

/// The members of some channels who are online, as (channel's id, player's id), sorted.
///
/// # Errors
/// The database's.
pub async fn members(db: &Db, channels: &[&str], since: Millis) -> Result<Vec<(String, String)>> {
    const MEMBERS: Sql = by_dialect(
        "SELECT DISTINCT c.id, m.player_id FROM json_each($1) j JOIN channel c ON c.id = j.value
         JOIN member m ON m.channel_key = c.key JOIN online o ON o.player_id = m.player_id
         JOIN process p ON p.id = o.process_id WHERE p.seen_at >= $2 ORDER BY 1, 2",
        "SELECT DISTINCT c.id, m.player_id FROM json_array_elements_text($1::json) AS j (value)
         JOIN channel c ON c.id = j.value JOIN member m ON m.channel_key = c.key
         JOIN online o ON o.player_id = m.player_id
         JOIN process p ON p.id = o.process_id WHERE p.seen_at >= $2 ORDER BY 1, 2",
    );
    Ok(db.all(MEMBERS, values![&json(&channels)?, since]).await?)
}

/// Retention, export and erasure rules of the list of players who are online.
pub(in crate::store) const LIFE: Life = Life {
    table: "online",
    kept: Kept::Until("as long as they are online, or their process lives"),
    exported: Exported::No("gone when they leave"),
    erased: &[Erased::By("DELETE FROM online WHERE player_id = $1")],
    stays: &[],
};
