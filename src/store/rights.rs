//! Facts for decisions about rights ([`crate::chat::rights`]): the sanctions of whoever asks, for one channel or for many, and
//! the parts of other queries that say whether there are any.
//!
//! Apart from `sanction`, as channels and sends look in here with every request. Nothing else reads sanctions to decide.

use std::time::Duration;

use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::chat::identity::Identity;
use crate::chat::rights::{ChannelState, Facts, Refusal, Right, Who, may};
use crate::chat::sanctions::{Sanction, SanctionKind};
use crate::chat::values::Role;
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

/// Reads the sanctions of that query's result: kind, place, end and reason of each.
pub(in crate::store) fn sanctions(list: Option<&str>) -> Vec<Sanction> {
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

/// A caller's rights, in any channel, as they are at one time.
#[derive(Debug)]
pub struct Rights {
    who: Who,
    sanctions: Vec<Sanction>,
    now: Millis,
}

impl Rights {
    /// Rights of a caller with no sanction.
    pub fn unsanctioned(caller: &Identity) -> Self {
        Self { who: caller.into(), sanctions: Vec::new(), now: 0 }
    }

    /// Loads a caller's rights; staff has no sanctions.
    ///
    /// # Errors
    /// The database's.
    pub async fn of(db: &Db, caller: &Identity) -> Result<Self> {
        if caller.is_staff() {
            return Ok(Self::unsanctioned(caller));
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
        let sanctions = rows.into_iter().filter_map(sanction).collect();
        Ok(Self { who: caller.into(), sanctions, now: db.now().await? })
    }

    /// Loads a caller's rights where a query before has found sanctions of theirs; most have none, and then nothing is asked.
    ///
    /// # Errors
    /// The database's.
    pub async fn if_sanctioned(db: &Db, caller: &Identity, sanctioned: bool) -> Result<Self> {
        if sanctioned { Self::of(db, caller).await } else { Ok(Self::unsanctioned(caller)) }
    }

    /// Time until the next of the sanctions ends, a day at most; none where none will.
    pub fn next_end(&self) -> Option<Duration> {
        const MOST_MS: Millis = 86_400_000;
        let left =
            |sanction: &Sanction| sanction.until.map(|until| until - self.now).filter(|left| *left > 0);
        let next = self.sanctions.iter().filter_map(left).min()?;
        Some(Duration::from_millis(next.min(MOST_MS).unsigned_abs()))
    }

    /// Decides whether the caller may do something in a channel, as a member with this role or as none.
    ///
    /// # Errors
    /// The reason against it.
    pub fn may(&self, right: Right, place: &ChannelState<'_>, role: Option<Role>) -> Result<(), Refusal> {
        let facts = Facts { now: self.now, role, sanctions: &self.sanctions, blocked: false };
        may(self.who, right, place, &facts)
    }
}
