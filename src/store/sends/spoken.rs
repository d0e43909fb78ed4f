//! Where players have spoken, as far as this process knows: so that it is written once an hour at most, rather than with
//! every send.

use std::collections::BTreeSet;

use quick_cache::sync::Cache;

use crate::base::clock::Millis;

/// Players in channels that are remembered.
const MOST: usize = 32_768;
/// It is written again after this: the rows of a player who was erased are gone.
const AGAIN_MS: Millis = 3_600_000;

/// Which players have spoken where.
pub(in crate::store) struct Spoken(Cache<(String, i64), Millis>);

impl Default for Spoken {
    fn default() -> Self {
        Self(Cache::new(MOST))
    }
}

impl Spoken {
    /// Is it known, and was it written not long ago?
    pub(in crate::store) fn has_spoken(&self, player: &str, channel_key: i64, now: Millis) -> bool {
        let known = self.0.get(&(player.to_owned(), channel_key));
        known.is_some_and(|at| (0..AGAIN_MS).contains(&(now - at)))
    }

    /// Notes what was written.
    pub(in crate::store) fn note(&self, spoken: &BTreeSet<(&str, i64)>, now: Millis) {
        for (player, channel_key) in spoken {
            self.0.insert(((*player).to_owned(), *channel_key), now);
        }
    }
}
