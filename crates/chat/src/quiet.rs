//! When a device is to be left alone: from one time of day to another, on the clock of a zone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use guildhall_base::calendar::minute_of_day;
use guildhall_base::clock::Millis;

/// Quiet hours; over midnight where `from` is later than `to`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    /// Time of day when they begin: `22:00`.
    from: TimeOfDay,
    /// Time of day when they end: `08:00`.
    to: TimeOfDay,
    /// The IANA time zone whose clock is meant.
    zone: Zone,
}

/// Hours and minutes.
#[derive(Clone, Copy, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
struct TimeOfDay(u32);

impl TryFrom<String> for TimeOfDay {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, &'static str> {
        let read = |part: &str, below: u32| {
            let is_two = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse::<u32>().ok().filter(|number| is_two && *number < below)
        };
        let parts =
            text.split_once(':').and_then(|(hours, minutes)| Some((read(hours, 24)?, read(minutes, 60)?)));
        parts.map(|(hours, minutes)| Self(hours * 60 + minutes)).ok_or("a time of day is such as 22:00")
    }
}

impl From<TimeOfDay> for String {
    fn from(time: TimeOfDay) -> Self {
        format!("{:02}:{:02}", time.0 / 60, time.0 % 60)
    }
}

/// A zone that there is.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
struct Zone(String);

impl TryFrom<String> for Zone {
    type Error = &'static str;
    fn try_from(name: String) -> Result<Self, &'static str> {
        match minute_of_day(0, &name) {
            Some(_) => Ok(Self(name)),
            None => Err("is no IANA time zone, such as Asia/Shanghai"),
        }
    }
}

impl QuietHours {
    /// Is it quiet then?
    pub fn cover(&self, at: Millis) -> bool {
        let (from, to) = (self.from.0, self.to.0);
        let Some(now) = minute_of_day(at, &self.zone.0) else { return false };
        if from <= to { (from..to).contains(&now) } else { now >= from || now < to }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_hours_may_go_over_midnight_and_mean_a_zones_clock() {
        let hours = |from: &str, to: &str, zone: &str| {
            serde_json::from_value::<QuietHours>(serde_json::json!({ "from": from, "to": to, "zone": zone }))
                .unwrap()
        };
        // 2026-11-27T13:30:00Z is 21:30 in Shanghai.
        let at = 1_795_786_200_000;
        let table = [
            ("21:00", "22:00", "Asia/Shanghai", true),
            ("21:30", "21:31", "Asia/Shanghai", true),
            ("21:31", "08:00", "Asia/Shanghai", false),
            ("20:00", "08:00", "Asia/Shanghai", true),
            ("22:00", "21:30", "Asia/Shanghai", false),
            ("13:00", "14:00", "UTC", true),
            ("13:00", "13:00", "UTC", false),
        ];
        for (from, to, zone, quiet) in table {
            assert_eq!(hours(from, to, zone).cover(at), quiet, "{from} to {to} in {zone}");
        }
        for (from, to, zone) in [
            ("24:00", "08:00", "UTC"),
            ("8:00", "09:00", "UTC"),
            ("08:60", "09:00", "UTC"),
            ("08:00", "09:00", "Mars"),
        ] {
            let wrong = serde_json::json!({ "from": from, "to": to, "zone": zone });
            assert!(serde_json::from_value::<QuietHours>(wrong).is_err(), "{from} {to} {zone}");
        }
    }
}
