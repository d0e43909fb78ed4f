//! Where players have spoken. Sends write it; here, what was said before they did is filled in.

use super::Db;
use super::engine::sql::{Sql, by_dialect, values};
use crate::base::error::Result;

/// Fills in who spoke in the next channel behind one, by its key: which one that was, none behind the last.
///
/// # Errors
/// The database's.
pub async fn fill_in(db: &Db, after_key: i64) -> Result<Option<i64>> {
    // Where there was no nonce, an index does not find what was said.
    const NAME: Sql = by_dialect(
        "UPDATE message SET nonce = 'own:old:' || seq
         WHERE channel_key = $1 AND nonce IS NULL AND ref IS NULL AND change IS NULL AND seq IN (
             SELECT seq FROM message WHERE channel_key = $1 AND nonce IS NULL AND ref IS NULL AND change IS NULL
             ORDER BY seq LIMIT $2)",
        "UPDATE message SET nonce = 'own:old:' || seq
         WHERE channel_key = $1 AND seq IN (
             SELECT seq FROM message WHERE channel_key = $1 AND nonce IS NULL AND ref IS NULL AND change IS NULL
             ORDER BY seq LIMIT $2)",
    );
    const BATCH: i64 = 500;
    let next: Option<(i64,)> = db
        .optional("SELECT key FROM channel WHERE key > $1 ORDER BY key LIMIT 1", values![after_key])
        .await?;
    let Some((key,)) = next else { return Ok(None) };
    while db.execute(NAME, values![key, BATCH]).await? == BATCH.unsigned_abs() {}
    db.execute(
        "INSERT INTO spoken_in (player_id, channel_key)
         SELECT DISTINCT sender_id, channel_key FROM message
         WHERE channel_key = $1 AND ref IS NULL AND change IS NULL AND sender_id NOT LIKE 'server/%'
         ON CONFLICT DO NOTHING",
        values![key],
    )
    .await?;
    Ok(Some(key))
}
