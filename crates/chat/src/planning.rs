//! When something is due: at once, at a time, or again and again by a calendar.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::values::Time;
use guildhall_base::calendar::Calendar;
use guildhall_base::clock::Millis;
use guildhall_base::error::{Error, Result};

/// Age in milliseconds up to which a missed time is made good.
pub const CATCH_UP_MS: Millis = 3_600_000;

/// Times at which something is due.
#[derive(Clone, Debug)]
pub struct Plan {
    /// First.
    pub first: Millis,
    /// Again: five fields and a zone.
    pub again: Option<(String, String)>,
    /// Not after this time.
    pub until: Option<Millis>,
}

impl Plan {
    /// The next times, so many at most.
    pub fn times(&self, count: usize) -> Vec<Millis> {
        let Some((cron, zone)) = &self.again else { return vec![self.first] };
        let Ok(calendar) = Calendar::parse(cron, zone) else { return Vec::new() };
        let times = std::iter::successors(Some(self.first), |at| calendar.next(*at));
        times.take_while(|at| self.until.is_none_or(|until| *at <= until)).take(count).collect()
    }
}

/// Time at which something is due: `{"now": true}`, `{"at": …}`, or `{"cron": "0 20 * * 5", "zone": "Asia/Shanghai"}`.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// At once.
    now: bool,
    /// Once, at a time in milliseconds since 1970-01-01 UTC.
    at: Option<Time>,
    /// Again and again: minute, hour, day of the month, month, day of the week (0 and 7 are Sunday); where both days are
    /// given, either is enough.
    cron: Option<String>,
    /// The IANA time zone whose clock the fields mean; UTC where absent. A time that daylight saving skips runs at the first
    /// moment behind the gap, one that comes twice at its first.
    zone: Option<String>,
    /// Not due after this time.
    until: Option<Time>,
}

impl When {
    /// Returns the plan that it means now.
    ///
    /// # Errors
    /// It is no time, or none that will come.
    pub fn plan(&self, now: Millis) -> Result<Plan> {
        let wrong = |why: String| Error::InvalidInput(format!("when: {why}"));
        let until = self.until.map(Time::get);
        match (self.now, self.at, &self.cron) {
            (true, None, None) if self.zone.is_none() => Ok(Plan { first: now, again: None, until: None }),
            (false, Some(at), None) if self.zone.is_none() && until.is_none() => {
                if at.get() < now - CATCH_UP_MS {
                    return Err(wrong("at is over".to_owned()));
                }
                Ok(Plan { first: at.get(), again: None, until: None })
            }
            (false, None, Some(cron)) => {
                let zone = self.zone.as_deref().unwrap_or("UTC");
                let first = Calendar::parse(cron, zone).map_err(wrong)?.next(now);
                let first = first.filter(|first| until.is_none_or(|until| *first <= until));
                let first = first.ok_or_else(|| wrong("this never comes".to_owned()))?;
                Ok(Plan { first, again: Some((cron.clone(), zone.to_owned())), until })
            }
            _ => Err(wrong("is one of now, at, or cron with zone and until".to_owned())),
        }
    }
}
