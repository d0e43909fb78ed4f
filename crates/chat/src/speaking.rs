//! Whether somebody may speak in a channel now, and how often: pure, over facts that one query fetched.

use guildhall_base::clock::Millis;

use crate::rights::{ChannelState, Facts, Refusal, Right, Who, may};
use crate::values::Limit;

/// All that the decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The speaker.
    pub who: Who,
    /// The channel.
    pub place: ChannelState<'a>,
    /// The speaker in this channel.
    pub facts: Facts<'a>,
    /// Seconds that the channel's slow mode asks for between two messages of a player; 0 without one.
    pub slow_mode_s: i64,
    /// The speaker's last message in this channel; kept only where it has a slow mode.
    pub last_here: Option<Millis>,
    /// The speaker's last messages anywhere, oldest first; as many as the limit counts.
    pub recent: &'a [Millis],
    /// The limit on all of a player's messages.
    pub limit: Option<Limit>,
}

/// The audience of somebody who may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Everybody who may read the channel.
    Everybody,
    /// Only the speaker, who is not told.
    SpeakerAlone,
}

/// The decision. Lasting reasons come before passing ones, so nobody waits for nothing.
///
/// # Errors
/// The first reason that holds.
pub fn may_speak(context: &Context<'_>) -> Result<Audience, Refusal> {
    let Context { who, place, facts, slow_mode_s, last_here, recent, limit } = context;
    may(*who, Right::Speak, place, facts)?;
    if who.staff {
        return Ok(Audience::Everybody);
    }
    let now = facts.now;
    // A time that is still to come was written before the clock stepped back: it says nothing of how long ago that was.
    if let Some(last) = last_here.filter(|last| *last <= now) {
        wait(last + slow_mode_s * 1_000, now).map_or(Ok(()), |s| Err(Refusal::SlowMode(s)))?;
    }
    if let Some(limit) = limit
        && let recent = recent.iter().filter(|spoken| **spoken <= now)
        && let Some(oldest_that_counts) = recent.rev().nth(limit.count - 1)
    {
        wait(oldest_that_counts + limit.window_ms, now).map_or(Ok(()), |s| Err(Refusal::SendLimit(s)))?;
    }
    let noticed = may(*who, Right::BeNoticed, place, facts).is_ok();
    Ok(if noticed { Audience::Everybody } else { Audience::SpeakerAlone })
}

/// Whole seconds from now until then, rounded up; `None` once it is then.
fn wait(then: Millis, now: Millis) -> Option<u64> {
    (then > now).then(|| (then - now).unsigned_abs().div_ceil(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sanctions::{Sanction, SanctionKind};
    use crate::values::{Kind, Role};

    const NOW: Millis = 1_000_000;
    const ALL: Audience = Audience::Everybody;

    fn context() -> Context<'static> {
        Context {
            who: Who { staff: false, level: 10 },
            place: ChannelState { id: "w", kind: Kind::World, open: true, min_level: 0, read_only: false },
            facts: Facts { now: NOW, role: Some(Role::Member), sanctions: &[], blocked: false },
            slow_mode_s: 0,
            last_here: None,
            recent: &[],
            limit: Some(Limit { count: 3, window_ms: 5_000 }),
        }
    }

    #[test]
    fn the_table() {
        let slow = |last_here| Context { slow_mode_s: 30, last_here: Some(last_here), ..context() };
        let full: &[Millis] = &[NOW - 4_999, NOW - 2_000, NOW];
        let aged: &[Millis] = &[NOW - 5_000, NOW - 2_000, NOW];
        let longer: &[Millis] = &[NOW - 9_000, NOW - 4_000, NOW - 2_000, NOW];
        let future: &[Millis] = &[NOW + 3_600_000, NOW + 3_600_001, NOW + 3_600_002];
        let read_only = ChannelState { read_only: true, ..context().place };
        let staff = Who { staff: true, level: 0 };
        let shadow = |until| Sanction {
            kind: SanctionKind::Shadow,
            place: "everywhere".to_owned(),
            until: Some(until),
            reason: String::new(),
        };
        let (shadow, ended) = ([shadow(NOW + 1)], [shadow(NOW)]);
        let with = |sanctions| Facts { sanctions, ..context().facts };
        let table: &[(&str, Context<'_>, Result<Audience, Refusal>)] = &[
            ("a member speaks", context(), Ok(ALL)),
            ("slow mode, at once", slow(NOW), Err(Refusal::SlowMode(30))),
            ("slow mode rounds up", slow(NOW - 29_999), Err(Refusal::SlowMode(1))),
            ("slow mode is over", slow(NOW - 30_000), Ok(ALL)),
            ("slow mode was lifted", Context { last_here: Some(NOW), ..context() }, Ok(ALL)),
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
                Context { recent: future, ..slow(NOW + 3_600_000) },
                Ok(ALL),
            ),
            ("no limit", Context { recent: full, limit: None, ..context() }, Ok(ALL)),
            (
                "lasting before passing",
                Context { place: read_only, recent: full, ..context() },
                Err(Refusal::ReadOnly),
            ),
            ("staff is held to no pace", Context { who: staff, recent: full, ..slow(NOW) }, Ok(ALL)),
            ("a shadow speaks", Context { facts: with(&shadow), ..context() }, Ok(Audience::SpeakerAlone)),
            (
                "a shadow is held to all limits",
                Context { facts: with(&shadow), place: read_only, ..context() },
                Err(Refusal::ReadOnly),
            ),
            ("a shadow that ended", Context { facts: with(&ended), ..context() }, Ok(ALL)),
        ];
        for (case, context, expected) in table {
            assert_eq!(may_speak(context), *expected, "{case}");
        }
    }
}
