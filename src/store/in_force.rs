//! Sanctions in force for a player who speaks or reads now: parts of queries that run anyway, and bans.
//!
//! Apart from `sanction`, as channels and sends look in here with every request.

use std::time::Duration;

use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::chat::identity::Identity;
use crate::chat::sanctions::{Sanction, SanctionKind, in_force};
use crate::chat::values::Kind;
use crate::store::Db;
use crate::store::engine::sql::values;

/// A sender's sanctions in one channel, in a query about sends. `$who` is the player, `c` the channel.
macro_rules! covering {
    ($list:literal, $who:literal) => {
        concat!(
            "(SELECT ",
            $list,
            " FROM sanction s WHERE s.player_id = ",
            $who,
            " AND s.lifted_at IS NULL AND s.kind <> 'warn' AND c.kind NOT IN ('system', 'support')",
            " AND s.place IN ('everywhere', 'kind:' || c.kind, 'channel:' || c.id)) AS sanctions"
        )
    };
}
pub(in crate::store) use covering;

/// Reads the sanctions from that query's result: kind, place, end and reason of each.
pub(in crate::store) fn read(list: Option<&str>) -> Vec<Sanction> {
    let rows: Vec<(SanctionKind, String, Option<Millis>, String)> =
        list.and_then(|list| serde_json::from_str(list).ok()).unwrap_or_default();
    let sanction = |(kind, place, until, reason)| Sanction { kind, place, until, reason };
    rows.into_iter().map(sanction).collect()
}

/// Does somebody have sanctions that were not lifted? Most have none, and then nothing more is asked.
macro_rules! sanctioned {
    ($who:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM sanction s WHERE s.player_id = ",
            $who,
            " AND s.lifted_at IS NULL AND s.kind <> 'warn') AS sanctioned"
        )
    };
}
pub(in crate::store) use sanctioned;

/// A player's sanctions that were not lifted, also those that have ended: above all, their bans.
#[derive(Debug, Default)]
pub struct Bans {
    all: Vec<Sanction>,
    now: Millis,
}

impl Bans {
    /// Those of a caller; staff has none.
    ///
    /// # Errors
    /// The database's.
    pub async fn of(db: &Db, caller: &Identity) -> Result<Self> {
        if caller.is_staff() {
            return Ok(Self::default());
        }
        let rows: Vec<(String, String, Option<Millis>, String)> = db
            .all(
                "SELECT kind, place, until, reason FROM sanction
                 WHERE player_id = $1 AND lifted_at IS NULL AND kind <> 'warn'",
                values![caller.id.as_str()],
            )
            .await?;
        let sanction = |(kind, place, until, reason): (String, _, _, _)| {
            SanctionKind::from_word(&kind).map(|kind| Sanction { kind, place, until, reason })
        };
        Ok(Self { all: rows.into_iter().filter_map(sanction).collect(), now: db.now().await? })
    }

    /// Returns the time until one of them ends, a day at most; none where no end is ahead.
    pub fn next_end(&self) -> Option<Duration> {
        const MOST_MS: Millis = 86_400_000;
        let left =
            |sanction: &Sanction| sanction.until.map(|until| until - self.now).filter(|left| *left > 0);
        let next = self.all.iter().filter_map(left).min()?;
        Some(Duration::from_millis(next.min(MOST_MS).unsigned_abs()))
    }

    fn covering(&self, what: SanctionKind, kind: Kind, channel: &str) -> Option<&Sanction> {
        in_force(self.all.iter().filter(|sanction| sanction.covers(kind, channel)), what, self.now)
    }

    /// Would others hear this player here? As far as that was known when it was asked.
    pub fn is_heard(&self, kind: Kind, channel: &str) -> bool {
        [SanctionKind::Mute, SanctionKind::Shadow]
            .into_iter()
            .all(|silent| self.covering(silent, kind, channel).is_none())
    }

    /// May this channel be read?
    ///
    /// # Errors
    /// [`Error::Banned`].
    pub fn check(&self, kind: Kind, channel: &str) -> Result<()> {
        match self.covering(SanctionKind::Ban, kind, channel) {
            Some(ban) => Err(Error::Banned { until: ban.until, why: ban.reason.clone() }),
            None => Ok(()),
        }
    }
}
