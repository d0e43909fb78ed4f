//! Latest messages of all channels, for planners who try a list on them.

use std::cmp::Reverse;

use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::store::Db;
use crate::store::engine::sql::{Sql, by_dialect, values};

/// Channels that one statement looks at.
const STEP: i64 = 1_000;

/// Returns the latest messages as they were written, newest first; for planners who try a list on them. Looks at every
/// channel, a thousand at a time, and into those where somebody spoke last.
///
/// # Errors
/// The database's.
pub async fn recent_texts(db: &Db, limit: i64) -> Result<Vec<String>> {
    const CHANNELS: &str = "SELECT key, last_at FROM channel WHERE key > $1 ORDER BY key LIMIT $2";
    const RECENT: Sql = by_dialect(
        "SELECT sent_at, coalesce(original ->> 'text', shown ->> 'text') FROM message
         WHERE channel_key = $1 AND ref IS NULL AND change IS NULL ORDER BY seq DESC LIMIT $2",
        "SELECT sent_at, coalesce(original::json ->> 'text', shown::json ->> 'text') FROM message
         WHERE channel_key = $1 AND ref IS NULL AND change IS NULL ORDER BY seq DESC LIMIT $2",
    );
    let most = usize::try_from(limit).unwrap_or_default();
    let mut channels: Vec<(Millis, i64)> = Vec::new();
    let mut after = 0;
    loop {
        let step: Vec<(i64, Millis)> = db.all(CHANNELS, values![after, STEP]).await?;
        let Some((last, _)) = step.last() else { break };
        after = *last;
        channels.extend(step.into_iter().map(|(key, at)| (at, key)));
        channels.sort_unstable_by_key(|channel| Reverse(*channel));
        channels.truncate(most);
    }
    let mut texts: Vec<(Millis, String)> = Vec::new();
    for (last_at, key) in channels {
        if texts.len() == most && texts.last().is_some_and(|(at, _)| *at > last_at) {
            break;
        }
        texts.extend(db.all(RECENT, values![key, limit]).await?);
        texts.sort_by_key(|(at, _)| Reverse(*at));
        texts.truncate(most);
    }
    Ok(texts.into_iter().map(|(_, text)| text).collect())
}
