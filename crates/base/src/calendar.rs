//! When something is due that comes again and again: cron in a time zone.
//!
//! A wall-clock time runs once, whatever daylight saving does: one that is skipped runs at the first moment behind the gap,
//! one that comes twice runs at its first. So the pattern is followed on the wall's clock, and each time it names is then
//! looked up in the zone.

use std::cmp::Ordering;

use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use croner::{CivilDateTime, Cron, CronDateTime, Resolution, Weekday};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, Zoned};

use super::clock::Millis;

/// A pattern of more is no pattern.
const PATTERN_BYTES: usize = 200;
/// A pattern names a time within so many years, or none at all: the 29th of February falls on a given weekday once in 28, or
/// in 40 where a century's year has no such day.
const YEARS: i32 = 40;
/// Times that the wall shows twice are passed over; there are no more of them in a row.
const PASSED_OVER: usize = 24 * 60;

/// A pattern of five fields and the zone whose clock it is read on.
pub struct Calendar {
    cron: Cron,
    zone: TimeZone,
}

impl Calendar {
    /// Reads both.
    ///
    /// # Errors
    /// Which of them is none, and why.
    pub fn parse(cron: &str, zone: &str) -> Result<Self, String> {
        if cron.len() > PATTERN_BYTES {
            return Err(format!("cron: is longer than {PATTERN_BYTES} bytes"));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(cron).map_err(|fault| format!("cron: {fault}"))?;
        let zone = TimeZone::get(zone)
            .map_err(|_| "zone: is no IANA time zone, such as Asia/Shanghai".to_owned())?;
        Ok(Self { cron, zone })
    }

    /// The first time behind one; none where there is none for years.
    pub fn next(&self, after: Millis) -> Option<Millis> {
        let after = Timestamp::from_millisecond(after).ok()?;
        let mut wall = self.zone.to_datetime(after);
        for _ in 0..PASSED_OVER {
            wall = self.next_on_wall(wall)?;
            let at = self.moment(wall)?;
            if at > after {
                return Some(at.as_millisecond());
            }
        }
        None
    }

    /// The last time behind one and up to another, if there is any.
    pub fn newest(&self, after: Millis, until: Millis) -> Option<Millis> {
        let times = std::iter::successors(self.next(after), |at| self.next(*at));
        times.take_while(|at| *at <= until).last()
    }

    fn next_on_wall(&self, wall: DateTime) -> Option<DateTime> {
        // Where no clock is ever changed.
        let at: Zoned = wall.to_zoned(TimeZone::UTC).ok()?;
        let until = i32::from(at.year()) + YEARS;
        let next = self.cron.find_next_occurrence(&Near { at, until }, false).ok()?;
        Some(next.at.datetime())
    }

    fn moment(&self, wall: DateTime) -> Option<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(wall);
        match ambiguous.offset() {
            AmbiguousOffset::Gap { before, .. } => {
                let inside = before.to_timestamp(wall).ok()?;
                // By the offset of before the gap the time lies behind the change, at most as far as the gap is wide.
                self.zone
                    .preceding(inside + jiff::SignedDuration::from_secs(1))
                    .next()
                    .map(|change| change.timestamp())
            }
            _ => ambiguous.earlier().ok(),
        }
    }
}

/// A time from which no search goes on for ever: for what never comes, the library would look up to the year 5000.
#[derive(Clone)]
struct Near {
    at: Zoned,
    until: i32,
}

impl CronDateTime for Near {
    fn to_civil(&self) -> CivilDateTime {
        self.at.to_civil()
    }

    fn civil_weekday(&self) -> Weekday {
        self.at.civil_weekday()
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        if civil.date().year() > self.until {
            return Err(CronError::TimeSearchLimitExceeded);
        }
        let near = |at| Self { at, until: self.until };
        Ok(match self.at.resolve_civil(civil)? {
            Resolution::Single(at) => Resolution::Single(near(at)),
            Resolution::Ambiguous(first, second) => Resolution::Ambiguous(near(first), near(second)),
            Resolution::Gap => Resolution::Gap,
        })
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        Some(Self { at: CronDateTime::checked_add_seconds(&self.at, seconds)?, until: self.until })
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.at.cmp_instant(&other.at)
    }
}

/// A time in words: RFC 3339, in UTC, to the millisecond.
pub fn in_words(at: Millis) -> String {
    Timestamp::from_millisecond(at).map_or_else(|_| format!("{at} ms"), |at| format!("{at:.3}"))
}

/// The time that RFC 3339 writes so; none where it is none.
pub fn of_words(text: &str) -> Option<Millis> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

/// The minute of the day on a zone's clock; none where there is no such zone.
pub fn minute_of_day(at: Millis, zone: &str) -> Option<u32> {
    let wall = TimeZone::get(zone).ok()?.to_datetime(Timestamp::from_millisecond(at).ok()?);
    Some(u32::from(wall.hour().unsigned_abs()) * 60 + u32::from(wall.minute().unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_words_come_back() {
        assert_eq!(in_words(1_796_083_200_123), "2026-12-01T00:00:00.123Z");
        assert_eq!(in_words(-1), "1969-12-31T23:59:59.999Z");
        for at in [0, 1, 1_796_083_200_123, 4_102_444_800_000] {
            assert_eq!(of_words(&in_words(at)), Some(at));
        }
        assert_eq!(of_words("2026-12-01T02:00:00.123+02:00"), Some(1_796_083_200_123));
        assert_eq!(of_words("yesterday"), None);
        assert_eq!(in_words(i64::MAX), format!("{} ms", i64::MAX));
    }

    fn at(text: &str) -> Millis {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    /// A pattern, a zone, behind which time, and the times that follow.
    const TABLE: [(&str, &str, &str, &[&str]); 15] = [
        (
            "0 20 * * 5",
            "Asia/Shanghai",
            "2026-11-27T11:59:59Z",
            &["2026-11-27T12:00:00Z", "2026-12-04T12:00:00Z"],
        ),
        ("0 20 * * 5", "Asia/Shanghai", "2026-11-27T12:00:00Z", &["2026-12-04T12:00:00Z"]),
        ("0 0 * * 0", "UTC", "2026-11-27T00:00:00Z", &["2026-11-29T00:00:00Z"]),
        ("0 0 * * 7", "UTC", "2026-11-27T00:00:00Z", &["2026-11-29T00:00:00Z"]),
        // The day of the month or of the week.
        (
            "0 0 1 * 1",
            "UTC",
            "2026-11-27T00:00:00Z",
            &["2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z", "2026-12-07T00:00:00Z"],
        ),
        ("0 0 29 2 *", "UTC", "2026-11-27T00:00:00Z", &["2028-02-29T00:00:00Z"]),
        // A leap day that is a Monday: no year 2100 has one.
        (
            "0 0 29 2 +1",
            "UTC",
            "2026-11-27T00:00:00Z",
            &["2044-02-29T00:00:00Z", "2072-02-29T00:00:00Z", "2112-02-29T00:00:00Z"],
        ),
        // Kyiv, 2026-03-29: from 03:00 to 04:00. What is skipped runs at 04:00, once.
        (
            "30 3 * * *",
            "Europe/Kyiv",
            "2026-03-28T12:00:00Z",
            &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
        ),
        (
            "*/30 3 * * *",
            "Europe/Kyiv",
            "2026-03-28T12:00:00Z",
            &["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"],
        ),
        (
            "*/30 * * * *",
            "Europe/Kyiv",
            "2026-03-29T00:30:00Z",
            &["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"],
        ),
        // Kyiv, 2026-10-25: from 04:00 back to 03:00. What comes twice runs the first time.
        (
            "30 3 * * *",
            "Europe/Kyiv",
            "2026-10-24T12:00:00Z",
            &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
        ),
        (
            "*/30 * * * *",
            "Europe/Kyiv",
            "2026-10-25T00:00:00Z",
            &["2026-10-25T00:30:00Z", "2026-10-25T02:00:00Z"],
        ),
        ("30 3 * * *", "Europe/Kyiv", "2026-10-25T01:00:00Z", &["2026-10-26T01:30:00Z"]),
        // Half an hour, at midnight's side of the world.
        (
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T10:00:00Z",
            &["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"],
        ),
        (
            "0 0 * * *",
            "America/Havana",
            "2026-03-07T12:00:00Z",
            &["2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"],
        ),
    ];

    #[test]
    fn times_are_the_walls_also_where_daylight_saving_begins_and_ends() {
        for (cron, zone, after, expected) in TABLE {
            let calendar = Calendar::parse(cron, zone).unwrap();
            let mut last = at(after);
            for next in expected {
                let due = calendar.next(last).unwrap();
                assert_eq!(
                    Timestamp::from_millisecond(due).unwrap().to_string(),
                    *next,
                    "{cron} in {zone} behind {after}"
                );
                last = due;
            }
        }
    }

    #[test]
    fn what_is_no_pattern_and_no_zone_is_refused_and_what_never_comes_has_no_next() {
        for cron in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "0 24 * * *",
            "0 0 0 * *",
            "a b c d e",
            &"1,".repeat(200),
        ] {
            assert!(Calendar::parse(cron, "UTC").is_err(), "{cron}");
        }
        for zone in ["", "Mars/Olympus", "../etc/passwd", "UTC+25"] {
            assert!(Calendar::parse("* * * * *", zone).is_err(), "{zone}");
        }
        assert_eq!(Calendar::parse("0 0 30 2 *", "UTC").unwrap().next(at("2026-11-27T00:00:00Z")), None);
    }

    #[test]
    fn the_newest_of_what_was_missed_is_found() {
        let hourly = Calendar::parse("5 * * * *", "UTC").unwrap();
        let newest = |after, until| hourly.newest(at(after), at(until));
        assert_eq!(newest("2026-11-27T00:00:00Z", "2026-11-27T09:30:00Z"), Some(at("2026-11-27T09:05:00Z")));
        assert_eq!(newest("2026-11-27T09:05:00Z", "2026-11-27T10:04:59Z"), None);
    }
}
