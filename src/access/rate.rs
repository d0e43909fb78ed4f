//! How often somebody may ask: a limit on requests by player, and by address where there is no token; and one on joining
//! and leaving.
//!
//! Kept in memory, by each process for itself: with several behind one name, a player may make as many times the limit.
//! It is there against abuse; what must hold exactly (messages) is counted in the database.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use quick_cache::sync::Cache;

use crate::base::address::network;
use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::chat::identity::{Identity, Scope};
use crate::chat::values::{Limit, PlayerId};

/// Players and addresses that are remembered; those that asked longest ago are forgotten first.
const REMEMBERED: usize = 65_536;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Who {
    Player(PlayerId),
    Address(IpAddr),
}

/// The counts.
pub struct Rates {
    /// Name of the limit in errors: the reason for programs, and the message for people.
    what: (&'static str, &'static str),
    limit: Option<Limit>,
    /// By whom: when all that was asked for would be paid off at the limit's pace, in microseconds.
    paid_off: Cache<Who, Arc<AtomicI64>>,
}

impl Rates {
    /// Without a limit, nothing is counted.
    pub fn new(limit: Option<Limit>) -> Self {
        Self::of(("rate", "too many requests"), limit)
    }

    /// A limit of something that players do.
    pub fn of(what: (&'static str, &'static str), limit: Option<Limit>) -> Self {
        Self { what, limit, paid_off: Cache::new(REMEMBERED) }
    }

    /// Counts a request of somebody with a token. Moderators and the game's server are not held to it.
    ///
    /// # Errors
    /// [`Error::RateLimited`] beyond the limit.
    pub fn count_caller(&self, caller: &Identity, now: Millis) -> Result<()> {
        match caller.scope {
            Scope::Player => self.count(|| Who::Player(caller.id.clone()), now),
            Scope::Moderator | Scope::Server => Ok(()),
        }
    }

    /// Counts a request from an address without a token that holds.
    ///
    /// # Errors
    /// [`Error::RateLimited`] beyond the limit.
    pub fn count_address(&self, address: IpAddr, now: Millis) -> Result<()> {
        self.count(|| Who::Address(network(address)), now)
    }

    /// Would one more of an address pass? Nothing is counted.
    ///
    /// # Errors
    /// [`Error::RateLimited`] beyond the limit.
    pub fn would_pass(&self, address: IpAddr, now: Millis) -> Result<()> {
        let Some(limit) = self.limit else { return Ok(()) };
        let paid_off = self.paid_off.get(&Who::Address(network(address)));
        let until = paid_off.map_or(0, |until| until.load(Ordering::Acquire));
        one_more(limit, until, now).map(drop).map_err(|wait_us| self.refusal(wait_us))
    }

    fn refusal(&self, wait_us: i64) -> Error {
        Error::RateLimited {
            reason: self.what.0,
            message: self.what.1,
            retry_after_s: wait_us.unsigned_abs().div_ceil(1_000_000).max(1),
        }
    }

    fn count(&self, who: impl Fn() -> Who, now: Millis) -> Result<()> {
        let Some(limit) = self.limit else { return Ok(()) };
        let paid_off = self.paid_off.get_or_insert_with(&who(), || Ok::<_, Error>(Arc::default()))?;
        let counted = paid_off
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |until| one_more(limit, until, now).ok());
        let refused = |until| one_more(limit, until, now).err().unwrap_or_default();
        counted.map(drop).map_err(|until| self.refusal(refused(until)))
    }
}

/// Returns the time at which all requests and one more would be paid off, or the time that this one has to wait, both
/// in microseconds. Each request costs a share of the window; a whole window may be owed at once.
fn one_more(limit: Limit, until: i64, now: Millis) -> Result<i64, i64> {
    let (now, window) = (now * 1_000, limit.window_ms * 1_000);
    let cost = (window / limit.count as i64).max(1);
    // A time that can't be: the clock has stepped back.
    let owed = if until > now + window { now } else { until.max(now) };
    if owed + cost <= now + window { Ok(owed + cost) } else { Err(until + cost - now - window) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_790_000_000_000;

    fn rates() -> Rates {
        Rates::new(Some(Limit { count: 60, window_ms: 10_000 }))
    }

    fn address() -> IpAddr {
        "203.0.113.7".parse().unwrap()
    }

    /// Returns the number of so many requests at one moment that pass.
    fn passing(rates: &Rates, requests: usize, now: Millis) -> usize {
        (0..requests).filter(|_| rates.count_address(address(), now).is_ok()).count()
    }

    #[test]
    fn a_window_of_requests_passes_at_once_and_then_a_share_at_a_time() {
        let rates = rates();
        assert_eq!(passing(&rates, 100, NOW), 60);
        assert_eq!(passing(&rates, 100, NOW + 1_000), 6);
        assert_eq!(passing(&rates, 100, NOW + 60_000), 60, "no more than a window is saved up");
        let Err(Error::RateLimited { retry_after_s, .. }) = rates.count_address(address(), NOW + 60_000)
        else {
            panic!("the limit holds")
        };
        assert_eq!(retry_after_s, 1);
        assert!(rates.count_address(address(), NOW + 61_000).is_ok(), "waiting as long as it says is enough");
    }

    #[test]
    fn a_clock_that_stepped_back_locks_nobody_out() {
        let rates = rates();
        assert_eq!(passing(&rates, 100, NOW), 60);
        assert_eq!(passing(&rates, 100, NOW - 3_600_000), 60);
    }

    #[test]
    fn without_a_limit_everything_passes() {
        assert_eq!(passing(&Rates::new(None), 1_000, NOW), 1_000);
    }
}
