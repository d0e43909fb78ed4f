//! What becomes of messages and of what hangs on them.

use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::config::Config;
use crate::store::Db;
use crate::store::life::{Erased, Exported, Kept, Life, NOBODYS, ROWS};

/// Channels of a kind that one step looks at.
const CHANNELS: i64 = 20;

/// What becomes of messages.
pub(in crate::store) const LIFE: Life = Life {
    table: "message",
    kept: Kept::Swept("as long as `GUILDHALL_RETENTION` says of their kind", |db, config, now| {
        Box::pin(forget_outlived(db, config, now))
    }),
    exported: Exported::Apart("page by page: moderation::export"),
    erased: &[Erased::Apart("emptied, a few at a time: moderation::erase")],
    stays: &[],
};

/// What becomes of unread mentions.
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

/// What becomes of where players are called by name.
pub(in crate::store) const MENTIONED_IN: Life = Life {
    table: "mentioned_in",
    kept: Kept::Until("as long as the message"),
    exported: Exported::No("it is in the message"),
    erased: &[Erased::Apart("with the names in the messages: moderation::erase")],
    stays: &[],
};

/// What becomes of what the sender alone sees.
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

/// What becomes of entries that tell of a purge.
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
        for key in super::outlived(db, kind, now - age, CHANNELS).await? {
            deleted += super::delete_outlived(db, key, now - age, ROWS).await?.max(1);
        }
    }
    Ok(deleted)
}
