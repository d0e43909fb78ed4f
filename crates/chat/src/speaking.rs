//! Whether somebody may speak in a channel now: one decision, pure, over facts that one query fetched.

use crate::sanctions::{Sanction, SanctionKind, in_force};
use crate::values::Limit;
use crate::values::Settings;
use guildhall_base::clock::Millis;
use guildhall_base::error::Error;

/// All that the decision depends on.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// Now.
    pub now: Millis,
    /// The channel's settings.
    pub settings: &'a Settings,
    /// Is the speaker a member?
    pub member: bool,
    /// A moderator or the game's server: held to nothing below.
    pub staff: bool,
    /// The speaker's level.
    pub level: i64,
    /// The speaker's sanctions that cover this channel, also such as have ended.
    pub sanctions: &'a [Sanction],
    /// Does one of the two players of a direct channel block the other?
    pub blocked: bool,
    /// Time of the speaker's last message in this channel; kept only if the channel has a slow mode.
    pub last_here: Option<Millis>,
    /// Times of the speaker's last messages anywhere, oldest first; as many as the limit counts.
    pub recent: &'a [Millis],
    /// The limit on all of a player's messages.
    pub limit: Option<Limit>,
}

/// Audience of a speaker who may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Everybody who may read the channel.
    ByAll,
    /// Only the speaker, who is not told.
    ByNobody,
}

/// Reason why somebody may not speak. Seconds are rounded up, at least 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The channel is closed and the speaker not in it: it must look as if there were none.
    Unseen,
    /// The speaker may neither speak nor read.
    Banned(Sanction),
    /// The speaker may not speak.
    Muted(Sanction),
    /// The channel is open, but not joined.
    NotMember,
    /// Only staff speaks here.
    ReadOnly,
    /// The level this channel asks for.
    LevelTooLow(i64),
    /// Seconds until the channel's slow mode lets the speaker speak again.
    SlowMode(u64),
    /// Seconds until the player's own limit does.
    SendLimit(u64),
}

/// The decision. Lasting reasons come before passing ones, so nobody waits for nothing.
///
/// # Errors
/// The first reason that holds.
pub fn may_speak(context: &Context<'_>) -> Result<Heard, Refusal> {
    if context.staff {
        return Ok(Heard::ByAll);
    }
    let Settings { open, min_level, slow_mode_s, read_only, filter: _ } = *context.settings;
    if !context.member && !open {
        return Err(Refusal::Unseen);
    }
    let sanction = |kind| in_force(context.sanctions, kind, context.now).cloned();
    if let Some(ban) = sanction(SanctionKind::Ban) {
        return Err(Refusal::Banned(ban));
    }
    if !context.member {
        return Err(Refusal::NotMember);
    }
    if let Some(mute) = sanction(SanctionKind::Mute) {
        return Err(Refusal::Muted(mute));
    }
    // Being blocked is never told: it looks like a channel for reading.
    if read_only || context.blocked {
        return Err(Refusal::ReadOnly);
    }
    if context.level < min_level.get() {
        return Err(Refusal::LevelTooLow(min_level.get()));
    }
    // A time that is still to come was written before the clock stepped back: it says nothing of how long ago that was.
    if let Some(last) = context.last_here.filter(|last| *last <= context.now) {
        wait(last + slow_mode_s.get() * 1_000, context.now).map_or(Ok(()), |s| Err(Refusal::SlowMode(s)))?;
    }
    if let Some(limit) = context.limit
        && let recent = context.recent.iter().filter(|spoken| **spoken <= context.now)
        && let Some(oldest_that_counts) = recent.rev().nth(limit.count - 1)
    {
        wait(oldest_that_counts + limit.window_ms, context.now)
            .map_or(Ok(()), |s| Err(Refusal::SendLimit(s)))?;
    }
    Ok(if sanction(SanctionKind::Shadow).is_some() { Heard::ByNobody } else { Heard::ByAll })
}

/// Whole seconds from now until then, rounded up; `None` once it is then.
fn wait(then: Millis, now: Millis) -> Option<u64> {
    (then > now).then(|| (then - now).unsigned_abs().div_ceil(1_000))
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let forbidden = |reason, message: String| Self::Forbidden { reason, message };
        match refusal {
            Refusal::Unseen => Self::NotFound("channel"),
            Refusal::Banned(Sanction { until, reason: why, .. }) => Self::Banned { until, why },
            Refusal::Muted(Sanction { until, reason, place, .. }) => Self::Muted { until, reason, place },
            Refusal::NotMember => forbidden("not_a_member", "join the channel first".to_owned()),
            Refusal::ReadOnly => forbidden("read_only", "this channel is for reading".to_owned()),
            Refusal::LevelTooLow(level) => {
                forbidden("min_level", format!("speaking here needs level {level}"))
            }
            Refusal::SlowMode(retry_after_s) => Self::RateLimited {
                reason: "slow_mode",
                message: "this channel is in slow mode",
                retry_after_s,
            },
            Refusal::SendLimit(retry_after_s) => {
                Self::RateLimited { reason: "send_limit", message: "too many messages", retry_after_s }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::values::{Level, Seconds};

    const NOW: Millis = 1_000_000;
    const ALL: Heard = Heard::ByAll;
    static PLAIN: LazyLock<Settings> = LazyLock::new(Settings::default);

    fn context() -> Context<'static> {
        Context {
            now: NOW,
            settings: &PLAIN,
            member: true,
            staff: false,
            level: 10,
            sanctions: &[],
            blocked: false,
            last_here: None,
            recent: &[],
            limit: Some(Limit { count: 3, window_ms: 5_000 }),
        }
    }

    fn settings(change: impl Fn(&mut Settings)) -> Settings {
        let mut settings = Settings::default();
        change(&mut settings);
        settings
    }

    #[test]
    fn the_table() {
        let open = settings(|s| s.open = true);
        let read_only = settings(|s| s.read_only = true);
        let level_11 = settings(|s| s.min_level = Level::try_from(11).unwrap());
        let level_10 = settings(|s| s.min_level = Level::try_from(10).unwrap());
        let slow = settings(|s| s.slow_mode_s = Seconds::try_from(30).unwrap());
        let full: &[Millis] = &[NOW - 4_999, NOW - 2_000, NOW];
        let aged: &[Millis] = &[NOW - 5_000, NOW - 2_000, NOW];
        let longer: &[Millis] = &[NOW - 9_000, NOW - 4_000, NOW - 2_000, NOW];
        let future: &[Millis] = &[NOW + 3_600_000, NOW + 3_600_001, NOW + 3_600_002];
        let table: &[(&str, Context<'_>, Result<Heard, Refusal>)] = &[
            ("a member speaks", context(), Ok(ALL)),
            ("a closed channel is unseen", Context { member: false, ..context() }, Err(Refusal::Unseen)),
            (
                "an open one asks to join",
                Context { member: false, settings: &open, ..context() },
                Err(Refusal::NotMember),
            ),
            ("read-only", Context { settings: &read_only, ..context() }, Err(Refusal::ReadOnly)),
            ("a level too low", Context { settings: &level_11, ..context() }, Err(Refusal::LevelTooLow(11))),
            ("just the level", Context { settings: &level_10, ..context() }, Ok(ALL)),
            (
                "slow mode, at once",
                Context { settings: &slow, last_here: Some(NOW), ..context() },
                Err(Refusal::SlowMode(30)),
            ),
            (
                "slow mode rounds up",
                Context { settings: &slow, last_here: Some(NOW - 29_999), ..context() },
                Err(Refusal::SlowMode(1)),
            ),
            (
                "slow mode is over",
                Context { settings: &slow, last_here: Some(NOW - 30_000), ..context() },
                Ok(ALL),
            ),
            ("slow mode was lifted", Context { last_here: Some(NOW), ..context() }, Ok(ALL)),
            (
                "a direct channel with a block in it",
                Context { blocked: true, ..context() },
                Err(Refusal::ReadOnly),
            ),
            ("below the limit", Context { recent: &full[1..], ..context() }, Ok(ALL)),
            ("at the limit", Context { recent: full, ..context() }, Err(Refusal::SendLimit(1))),
            ("the oldest has aged", Context { recent: aged, ..context() }, Ok(ALL)),
            (
                "only the last three count",
                Context { recent: longer, ..context() },
                Err(Refusal::SendLimit(1)),
            ),
            (
                "a clock that stepped back holds nobody up",
                Context { recent: future, last_here: Some(NOW + 3_600_000), settings: &slow, ..context() },
                Ok(ALL),
            ),
            ("no limit", Context { recent: full, limit: None, ..context() }, Ok(ALL)),
            (
                "lasting before passing",
                Context { settings: &read_only, recent: full, ..context() },
                Err(Refusal::ReadOnly),
            ),
            (
                "staff",
                Context { staff: true, member: false, settings: &read_only, recent: full, ..context() },
                Ok(ALL),
            ),
        ];
        hold(table);
    }

    fn hold(table: &[(&str, Context<'_>, Result<Heard, Refusal>)]) {
        for (case, context, expected) in table {
            assert_eq!(may_speak(context), *expected, "{case}");
        }
    }

    #[test]
    fn the_table_of_sanctions() {
        let open = settings(|s| s.open = true);
        let read_only = settings(|s| s.read_only = true);
        let sanction =
            |kind, until| Sanction { kind, place: "everywhere".to_owned(), until, reason: String::new() };
        let mute = [sanction(SanctionKind::Mute, Some(NOW + 1))];
        let over = [sanction(SanctionKind::Mute, Some(NOW)), sanction(SanctionKind::Ban, Some(NOW - 1))];
        let both = [mute[0].clone(), sanction(SanctionKind::Ban, None)];
        let shadow = [sanction(SanctionKind::Shadow, Some(NOW + 1))];
        let ended = [sanction(SanctionKind::Shadow, Some(NOW))];
        let warned = [sanction(SanctionKind::Warn, None)];
        hold(&[
            ("muted", Context { sanctions: &mute, ..context() }, Err(Refusal::Muted(mute[0].clone()))),
            (
                "muted, and the channel is for reading",
                Context { sanctions: &mute, settings: &read_only, ..context() },
                Err(Refusal::Muted(mute[0].clone())),
            ),
            ("what ended holds nobody up", Context { sanctions: &over, ..context() }, Ok(ALL)),
            ("a shadow speaks", Context { sanctions: &shadow, ..context() }, Ok(Heard::ByNobody)),
            (
                "a shadow is held to all limits",
                Context { sanctions: &shadow, settings: &read_only, ..context() },
                Err(Refusal::ReadOnly),
            ),
            ("a shadow that ended", Context { sanctions: &ended, ..context() }, Ok(ALL)),
            ("a warning is a word", Context { sanctions: &warned, ..context() }, Ok(ALL)),
            (
                "a ban is more than a mute",
                Context { sanctions: &both, ..context() },
                Err(Refusal::Banned(both[1].clone())),
            ),
            (
                "a ban is told to who did not join",
                Context { sanctions: &both, member: false, settings: &open, ..context() },
                Err(Refusal::Banned(both[1].clone())),
            ),
            (
                "a ban tells nothing of a closed channel",
                Context { sanctions: &both, member: false, ..context() },
                Err(Refusal::Unseen),
            ),
            ("staff is never sanctioned", Context { sanctions: &both, staff: true, ..context() }, Ok(ALL)),
        ]);
    }
}
