//! What moderators go by, what is done without them, and limits on what players do to each other.

use super::parse::{age, limit, number, switch};
use super::{Location, Parsed, Reader};
use crate::base::clock::Millis;
use crate::chat::sanctions::{Ladder, SanctionKind, Step};
use crate::chat::values::Limit;

/// Settings of moderation, by moderators and automatic.
#[derive(Clone, Debug)]
pub struct Moderation {
    /// Sanctions for a case's author, by earlier ones on their record.
    pub ladder: Ladder,
    /// Milliseconds that evidence is kept after a case's decision.
    pub evidence_ms: Millis,
    /// So many reporters within an hour hide a message.
    pub hide_after: Option<usize>,
    /// So many refusals within ten minutes mute their player, for how long.
    pub mute_after: Option<(i64, Millis)>,
    /// Limit on nearly the same message of a player in a time.
    pub repeats: Option<Limit>,
    /// Does what the filter wants to be looked at open a case?
    pub review_cases: bool,
    /// Direct channels that a player may open in a day.
    pub direct_limit: Option<usize>,
    /// Players with whom one may be opened.
    pub direct_from: DirectFrom,
    /// Limit on a player's joining and leaving in a time.
    pub join_limit: Option<Limit>,
    /// Place of archives of players' data, if not the data folder.
    pub exports: Option<Location>,
}

/// Players with whom a player may open a direct channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectFrom {
    /// Anybody.
    Anyone,
    /// Somebody who is in another channel of theirs.
    SharedChannel,
    /// Nobody: the game's server makes them.
    Nobody,
}

pub(super) fn read(env: &mut Reader<'_>) -> Moderation {
    Moderation {
        ladder: env.get(
            "GUILDHALL_LADDER",
            "warn,mute:1h,mute:24h,mute:7d,ban:30d",
            "what a case proposes for its player, by how many sanctions they got within 90 days; without a time it is for good",
            read_ladder,
        ),
        evidence_ms: env.get(
            "GUILDHALL_EVIDENCE",
            "180d",
            "how long a reported message is kept for moderators, from the case's decision on",
            age,
        ),
        hide_after: env.get(
            "GUILDHALL_HIDE_AFTER",
            "off",
            "hides a message from everybody but its author once so many players (2 to 1000) reported it within an hour, until its case is decided",
            |text| at_most(text, 2, 1_000),
        ),
        mute_after: env.get(
            "GUILDHALL_MUTE_AFTER",
            "off",
            "mutes a player by itself: `10:1h` is for an hour, after ten messages that the filter refused within ten minutes",
            mute_after,
        ),
        repeats: env.get(
            "GUILDHALL_REPEATS",
            "off",
            "how often a player may say the same, or nearly, in a time: with `3/60s` the fourth time within a minute is refused",
            |text| limit(text, 8),
        ),
        review_cases: env.get(
            "GUILDHALL_REVIEW_CASES",
            "off",
            "`on` opens a case for each message in which the filter found an entry with the action `review`",
            switch,
        ),
        direct_limit: env.get(
            "GUILDHALL_DIRECT_LIMIT",
            "20",
            "direct channels that a player may open in a day, 1 to 1000; those that are there are not counted; `off` lifts it",
            |text| at_most(text, 1, 1_000),
        ),
        direct_from: env.get(
            "GUILDHALL_DIRECT_FROM",
            "anyone",
            "whom a player may open a direct channel with: `anyone`, `shared-channel` (somebody who is in another channel of theirs), or `nobody`",
            direct_from,
        ),
        join_limit: env.get(
            "GUILDHALL_JOIN_LIMIT",
            "30/60s",
            "how often a player may join and leave channels in a time; `off` lifts it",
            |text| limit(text, 1_000),
        ),
        exports: env.optional(
            "GUILDHALL_EXPORTS",
            "exports in the data folder",
            "folder, or `s3://bucket/prefix`, for archives of players' data (`/player/export`); keep it private, and let it delete what is old",
            str::parse,
        ),
    }
}

fn at_most(text: &str, least: u64, most: u64) -> Parsed<Option<usize>> {
    if text == "off" { Ok(None) } else { number(text, least, most).map(|number| Some(number as usize)) }
}

/// `10:1h`: how many, and for how long.
fn mute_after(text: &str) -> Parsed<Option<(i64, Millis)>> {
    if text == "off" {
        return Ok(None);
    }
    let wrong = || format!("is '{text}', not a number of refusals and a time such as 10:1h, or off");
    let (count, time) = text.split_once(':').ok_or_else(wrong)?;
    let count = number(count, 1, 1_000).map_err(|_| wrong())?;
    let time = age(time).ok().filter(|ms| *ms >= 1_000).ok_or_else(wrong)?;
    Ok(Some((count.cast_signed(), time)))
}

fn direct_from(text: &str) -> Parsed<DirectFrom> {
    match text {
        "anyone" => Ok(DirectFrom::Anyone),
        "shared-channel" => Ok(DirectFrom::SharedChannel),
        "nobody" => Ok(DirectFrom::Nobody),
        _ => Err(format!("is '{text}', not anyone, shared-channel or nobody")),
    }
}

/// `warn,mute:1h,ban`: what, and for how long.
fn read_ladder(text: &str) -> Parsed<Ladder> {
    let step = |step: &str| {
        let (kind, time) = step.split_once(':').map_or((step, None), |(kind, time)| (kind, Some(time)));
        let kind = SanctionKind::from_word(kind)
            .ok_or_else(|| format!("has the step '{step}', not warn, mute:1h, ban:30d or the like"))?;
        Ok(Step { kind, for_ms: time.map(age).transpose()? })
    };
    let steps = text.split(',').map(|one| step(one.trim())).collect::<Parsed<Vec<Step>>>()?;
    Ladder::new(steps).ok_or_else(|| "has no step".to_owned())
}
