//! Where players have spoken. Sends write it; here, what was said before they did is filled in.

use super::Db;
use super::engine::sql::values;
use crate::base::error::Result;

/// Numbers of a channel that are looked through at one time.
const RANGE: i64 = 500;

/// The next channel behind one, by its key, with its first and its last number.
///
/// # Errors
/// The database's.
pub async fn next_channel(db: &Db, after_key: i64) -> Result<Option<(i64, i64, i64)>> {
    let sql = "SELECT key, first_seq, last_seq FROM channel WHERE key > $1 ORDER BY key LIMIT 1";
    Ok(db.optional(sql, values![after_key]).await?)
}

/// Fills in who spoke in some numbers of a channel from one on, and gives a name to what has none: where there was no
/// nonce, an index does not find what was said. Where the next ones begin.
///
/// # Errors
/// The database's.
pub async fn fill_in(db: &Db, channel_key: i64, from: i64) -> Result<i64> {
    let next = from + RANGE;
    for statement in [
        "UPDATE message SET nonce = 'own:old:' || seq
         WHERE channel_key = $1 AND seq >= $2 AND seq < $3 AND nonce IS NULL AND ref IS NULL AND change IS NULL",
        "INSERT INTO spoken_in (player_id, channel_key) SELECT DISTINCT sender_id, channel_key FROM message
         WHERE channel_key = $1 AND seq >= $2 AND seq < $3 AND ref IS NULL AND change IS NULL
           AND sender_id NOT LIKE 'server/%' ON CONFLICT DO NOTHING",
    ] {
        db.execute(statement, values![channel_key, from, next]).await?;
    }
    Ok(next)
}
