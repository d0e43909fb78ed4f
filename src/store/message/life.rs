//! Retention, export and erasure rules of messages and of rows that belong to them.

use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::config::Config;
use crate::store::engine::sql::values;
use crate::store::life::{Erased, Exported, Kept, Life, NOBODYS, ROWS};
use crate::store::{Db, spoken};

/// Channels of a kind that one step looks at.
const CHANNELS: i64 = 20;

/// Retention, export and erasure rules of messages.
pub(in crate::store) const LIFE: Life = Life {
    table: "message",
    kept: Kept::Swept("as long as `GUILDHALL_RETENTION` says of their kind", |db, config, now| {
        Box::pin(forget_outlived(db, config, now))
    }),
    exported: Exported::Apart("page by page: player::export"),
    erased: &[Erased::Apart("emptied, a few at a time: player::erase")],
    stays: &[],
};

/// Retention, export and erasure rules of unread mentions.
pub(in crate::store) const MENTION: Life = Life {
    table: "mention",
    kept: Kept::Until("until they are read, or their message is gone"),
    exported: Exported::No("it is in the message"),
    erased: &[Erased::Some(
        "DELETE FROM mention WHERE player_id = $1 AND (channel_key, seq) IN
         (SELECT channel_key, seq FROM mention WHERE player_id = $1 ORDER BY channel_key, seq LIMIT $2)",
    )],
    stays: &[],
};

/// Retention, export and erasure rules of the list of messages that mention a player.
pub(in crate::store) const MENTIONED_IN: Life = Life {
    table: "mentioned_in",
    kept: Kept::Until("as long as the message"),
    exported: Exported::No("it is in the message"),
    erased: &[Erased::Apart("with the names in the messages: player::erase")],
    stays: &[],
};

/// Retention, export and erasure rules of own views, which the sender alone sees.
pub(in crate::store) const OWN_VIEW: Life = Life {
    table: "own_view",
    kept: Kept::Until("as long as the message"),
    exported: Exported::Apart("with the messages"),
    erased: &[Erased::Some(
        "DELETE FROM own_view WHERE (channel_key, seq) IN
         (SELECT channel_key, seq FROM own_view WHERE player_id = $1 LIMIT $2)",
    )],
    stays: &[],
};

/// Retention, export and erasure rules of entries that report a purge.
pub(in crate::store) const PURGE_ENTRY: Life = Life {
    table: "purge_entry",
    kept: Kept::Until("thirty days behind an erasure, else as long as the message"),
    exported: NOBODYS,
    erased: &[],
    stays: &[],
};

/// Deletes some of the oldest messages of channels whose kind keeps them no longer.
async fn forget_outlived(db: &Db, config: &Config, now: Millis) -> Result<u64> {
    let mut deleted = 0;
    for (kind, age) in &config.retention {
        for key in outlived(db, kind, now - age, CHANNELS).await? {
            deleted += delete_outlived(db, key, now - age, ROWS).await?.max(1);
        }
    }
    Ok(deleted)
}

/// Channels of a kind whose history begins before a time, those with the oldest first: so many at most.
async fn outlived(db: &Db, kind: &str, before: Millis, limit: i64) -> Result<Vec<i64>> {
    const OUTLIVED: &str =
        "SELECT key FROM channel WHERE kind = $1 AND oldest_at < $2 ORDER BY oldest_at LIMIT $3";
    let keys: Vec<(i64,)> = db.all(OUTLIVED, values![kind, before, limit]).await?;
    Ok(keys.into_iter().map(|(key,)| key).collect())
}

/// Deletes up to `batch` of a channel's oldest messages, those sent before a time; forgets up to `batch` players who have none
/// there any more; and moves the start of its history. Says how many went. The channel's counter stays, so numbers are never
/// used again.
async fn delete_outlived(db: &Db, channel_key: i64, before: Millis, batch: i64) -> Result<u64> {
    const LAST: &str = "SELECT max(seq) FROM
        (SELECT seq, sent_at FROM message WHERE channel_key = $1 ORDER BY seq LIMIT $3) AS first WHERE sent_at < $2";
    const OLDEST: &str =
        "SELECT sent_at FROM message WHERE channel_key = $1 AND seq >= $2 ORDER BY seq LIMIT 1";
    const FORGET: &str = "DELETE FROM spoken_in WHERE channel_key = $1 AND player_id IN
        (SELECT player_id FROM spoken_in WHERE channel_key = $1 AND at < $2 ORDER BY at LIMIT $3)";
    let mut tx = db.begin().await?;
    tx.lock_channel(channel_key).await?;
    let (last,): (Option<i64>,) = tx.one(LAST, values![channel_key, before, batch]).await?;
    let mut deleted = 0; // the last statement's count
    if let Some(last) = last {
        for statement in [
            "DELETE FROM mention WHERE channel_key = $1 AND seq <= $2",
            "DELETE FROM mentioned_in WHERE channel_key = $1 AND seq <= $2",
            "DELETE FROM own_view WHERE channel_key = $1 AND seq <= $2",
            "UPDATE channel SET first_seq = $2 + 1 WHERE key = $1",
            "DELETE FROM message WHERE channel_key = $1 AND seq <= $2",
        ] {
            deleted = tx.execute(statement, values![channel_key, last]).await?;
        }
    }
    let (first,): (i64,) =
        tx.one("SELECT first_seq FROM channel WHERE key = $1", values![channel_key]).await?;
    let oldest: Option<(Millis,)> = tx.optional(OLDEST, values![channel_key, first]).await?;
    let oldest = oldest.map(|(sent_at,)| sent_at);
    // Where nothing is left, nobody has anything there: no process believes longer than that what it wrote (`Spoken`).
    let silent = oldest.map_or(Millis::MAX, |at| at - spoken::WITHIN_MS);
    let forgotten = tx.execute(FORGET, values![channel_key, silent, batch]).await?;
    // Looked at again until all are forgotten. Also where nothing is that old: what was noted was too early, and is right now.
    if oldest.is_some() || forgotten < batch.unsigned_abs() {
        tx.execute("UPDATE channel SET oldest_at = $2 WHERE key = $1", values![channel_key, oldest]).await?;
    }
    tx.commit().await?;
    Ok(deleted + forgotten)
}
