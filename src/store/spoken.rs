//! Channels in which players have spoken, as far as this process knows: so that a row is written once an hour at most,
//! rather than with every send.

use std::collections::BTreeSet;

use quick_cache::sync::Cache;

use crate::base::clock::Millis;
use crate::config::Retention;
use crate::store::life::{Erased, Exported, Kept, Life};

/// Players in channels that are remembered.
const MOST: usize = 32_768;
/// Time after which a row is written again at the latest: the rows of an erased player are gone.
const AGAIN_MS: Millis = 3_600_000;

/// Known pairs of a player and a channel in which they have spoken.
pub(in crate::store) struct Spoken {
    at: Cache<(String, i64), Millis>,
    believed_ms: Millis,
}

impl Spoken {
    /// Nothing yet. Where messages are kept for a shorter time, it is written more often: rows end with the last message.
    pub(in crate::store) fn new(retention: &Retention) -> Self {
        let shortest = retention.values().map(|age| age / 2).min().unwrap_or(AGAIN_MS);
        Self { at: Cache::new(MOST), believed_ms: AGAIN_MS.min(shortest) }
    }

    /// Is it known, and was it written not long ago?
    pub(in crate::store) fn has_spoken(&self, player: &str, channel_key: i64, now: Millis) -> bool {
        let known = self.at.get(&(player.to_owned(), channel_key));
        known.is_some_and(|at| (0..self.believed_ms).contains(&(now - at)))
    }

    /// Notes what was written.
    pub(in crate::store) fn note(&self, spoken: &BTreeSet<(&str, i64)>, now: Millis) {
        for (player, channel_key) in spoken {
            self.at.insert(((*player).to_owned(), *channel_key), now);
        }
    }
}

/// A row of `spoken_in` tells of the last time, or of one so long before: it is written anew once a day, and a process
/// believes for an hour that it has been.
pub(super) const WITHIN_MS: Millis = 86_400_000 + AGAIN_MS;

/// Retention, export and erasure rules of the list of channels in which a player has spoken.
pub(super) const LIFE: Life = Life {
    table: "spoken_in",
    kept: Kept::Until("until the channel keeps nothing of theirs any more, or the player is forgotten"),
    exported: Exported::No("told by the messages"),
    erased: &[Erased::Some(
        "DELETE FROM spoken_in WHERE player_id = $1 AND channel_key IN
         (SELECT channel_key FROM spoken_in WHERE player_id = $1 ORDER BY channel_key LIMIT $2)",
    )],
    stays: &[],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_again_before_the_last_message_can_be_too_old() {
        let spoken = |retention: &[(&'static str, Millis)]| {
            let spoken = Spoken::new(&retention.iter().copied().collect());
            spoken.note(&BTreeSet::from([("anna", 1)]), 1_000_000);
            spoken
        };
        let is_believed = |spoken: &Spoken, later: Millis| spoken.has_spoken("anna", 1, 1_000_000 + later);
        let kept = spoken(&[]);
        assert!(is_believed(&kept, AGAIN_MS - 1) && !is_believed(&kept, AGAIN_MS) && !is_believed(&kept, -1));
        let short = spoken(&[("world", 60_000), ("guild", 86_400_000)]);
        assert!(is_believed(&short, 29_999) && !is_believed(&short, 30_000));
    }
}
