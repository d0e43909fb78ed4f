//! Rights: whether somebody may do something in a channel now. One decision for every door, pure, over facts that were
//! loaded before.
//!
//! How often somebody may speak is `speaking`'s, which asks here first.

use guildhall_base::clock::Millis;
use guildhall_base::error::Error;

use crate::identity::Identity;
use crate::sanctions::{Sanction, SanctionKind, in_force};
use crate::values::{Kind, Role, Settings};

/// Something that one may do in a channel, or may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Know that the channel is there.
    See,
    /// Read messages, and the channel's settings, members and counts.
    Read,
    /// See who of the members is online.
    SeeOnline,
    /// Become a member.
    Join,
    /// Say something; how often is another question.
    Speak,
    /// Be noticed by others: while typing, and in messages that are stored.
    BeNoticed,
    /// Mute members, and lift such mutes.
    Mute,
    /// Recall messages of others.
    RecallOthers,
}

impl Right {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::See,
        Self::Read,
        Self::SeeOnline,
        Self::Join,
        Self::Speak,
        Self::BeNoticed,
        Self::Mute,
        Self::RecallOthers,
    ];
}

/// The one who asks, as far as rights depend on them.
#[derive(Clone, Copy, Debug)]
pub struct Who {
    /// A moderator or the game's server: no sanction, level or membership holds for them.
    pub staff: bool,
    /// The player's level.
    pub level: i64,
}

impl From<&Identity> for Who {
    fn from(identity: &Identity) -> Self {
        Self { staff: identity.is_staff(), level: identity.level.get() }
    }
}

/// The channel's state, as far as rights depend on it.
#[derive(Clone, Copy, Debug)]
pub struct ChannelState<'a> {
    /// The channel's id.
    pub id: &'a str,
    /// The channel's kind.
    pub kind: Kind,
    /// The channel is open: everybody may see it, and join.
    pub open: bool,
    /// The level that speaking needs.
    pub min_level: i64,
    /// Only staff speaks here.
    pub read_only: bool,
}

impl<'a> ChannelState<'a> {
    /// A channel with these settings.
    pub const fn with(id: &'a str, kind: Kind, settings: &Settings) -> Self {
        let Settings { open, min_level, slow_mode_s: _, read_only, filter: _ } = settings;
        Self { id, kind, open: *open, min_level: min_level.get(), read_only: *read_only }
    }

    /// A channel that a query has found visible to the one who asks: of its settings, nothing else is known.
    pub const fn seen(id: &'a str, kind: Kind) -> Self {
        Self { id, kind, open: true, min_level: 0, read_only: false }
    }
}

/// Facts about the one who asks in this channel, at one time.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Milliseconds since 1970-01-01 UTC.
    pub now: Millis,
    /// Their role as a member; none for others.
    pub role: Option<Role>,
    /// Their sanctions that were not lifted, wherever they hold, also such as have ended.
    pub sanctions: &'a [Sanction],
    /// One of the two players of a direct channel blocks the other.
    pub blocked: bool,
}

/// A reason why somebody may not. Seconds are rounded up, at least 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The channel is closed and the one who asks not in it: it must look as if there were none.
    Unseen,
    /// A ban covers the channel.
    Banned(Sanction),
    /// A mute covers the channel.
    Muted(Sanction),
    /// A shadow covers the channel. Nobody is told.
    Shadowed,
    /// The channel can't be joined.
    Closed,
    /// The channel is open, but not joined.
    NotMember,
    /// Only staff speaks here.
    ReadOnly,
    /// The level that speaking here needs.
    LevelTooLow(i64),
    /// The right is an officer's.
    NotOfficer,
    /// Seconds until the channel's slow mode lets the player speak again.
    SlowMode(u64),
    /// Seconds until the player's own limit does.
    SendLimit(u64),
}

/// Decides whether somebody may do something in a channel. Lasting reasons come before passing ones.
///
/// # Errors
/// The first reason against it.
pub fn may(who: Who, right: Right, place: &ChannelState<'_>, facts: &Facts<'_>) -> Result<(), Refusal> {
    if who.staff {
        // A channel that is closed is joined by nobody, whoever asks.
        return if right == Right::Join { joinable(place, facts) } else { Ok(()) };
    }
    match right {
        Right::See => seen(place, facts),
        Right::Read | Right::SeeOnline => readable(place, facts),
        Right::Join => readable(place, facts).and_then(|()| joinable(place, facts)),
        Right::Speak => {
            readable(place, facts)?;
            if facts.role.is_none() {
                return Err(Refusal::NotMember);
            }
            unsanctioned(SanctionKind::Mute, place, facts).map_err(Refusal::Muted)?;
            // Being blocked is never told: it looks like a channel for reading.
            if place.read_only || facts.blocked {
                return Err(Refusal::ReadOnly);
            }
            if who.level < place.min_level {
                return Err(Refusal::LevelTooLow(place.min_level));
            }
            Ok(())
        }
        Right::BeNoticed => {
            unsanctioned(SanctionKind::Mute, place, facts).map_err(Refusal::Muted)?;
            unsanctioned(SanctionKind::Shadow, place, facts).map_err(|_| Refusal::Shadowed)
        }
        Right::Mute | Right::RecallOthers if facts.role == Some(Role::Officer) => Ok(()),
        Right::Mute | Right::RecallOthers => Err(Refusal::NotOfficer),
    }
}

fn seen(place: &ChannelState<'_>, facts: &Facts<'_>) -> Result<(), Refusal> {
    if place.open || facts.role.is_some() { Ok(()) } else { Err(Refusal::Unseen) }
}

fn readable(place: &ChannelState<'_>, facts: &Facts<'_>) -> Result<(), Refusal> {
    seen(place, facts)?;
    unsanctioned(SanctionKind::Ban, place, facts).map_err(Refusal::Banned)
}

const fn joinable(place: &ChannelState<'_>, facts: &Facts<'_>) -> Result<(), Refusal> {
    if place.open || facts.role.is_some() { Ok(()) } else { Err(Refusal::Closed) }
}

/// Fails with the sanction of this kind that covers the channel now.
fn unsanctioned(what: SanctionKind, place: &ChannelState<'_>, facts: &Facts<'_>) -> Result<(), Sanction> {
    let covering = facts.sanctions.iter().filter(|sanction| sanction.covers(place.kind, place.id));
    in_force(covering, what, facts.now).map_or(Ok(()), |sanction| Err(sanction.clone()))
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let forbidden = |reason, message: &str| Self::Forbidden { reason, message: message.to_owned() };
        match refusal {
            Refusal::Unseen => Self::NotFound("channel"),
            Refusal::Banned(Sanction { until, reason: why, .. }) => Self::Banned { until, why },
            Refusal::Muted(Sanction { until, reason, place, .. }) => Self::Muted { until, reason, place },
            Refusal::Shadowed => Self::internal("a shadow is never told"),
            Refusal::Closed => forbidden("closed", "this channel is not open"),
            Refusal::NotMember => forbidden("not_a_member", "join the channel first"),
            Refusal::ReadOnly => forbidden("read_only", "this channel is for reading"),
            Refusal::LevelTooLow(level) => {
                forbidden("min_level", &format!("speaking here needs level {level}"))
            }
            Refusal::NotOfficer => {
                forbidden("not_officer", "this needs a moderator, or an officer of that channel")
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
    use super::*;

    const NOW: Millis = 1_000_000;
    const PLACE: ChannelState<'static> =
        ChannelState { id: "g", kind: Kind::Guild, open: false, min_level: 0, read_only: false };
    const PLAYER: Who = Who { staff: false, level: 10 };

    fn sanction(kind: SanctionKind, place: &str, until: Option<Millis>) -> Sanction {
        Sanction { kind, place: place.to_owned(), until, reason: String::new() }
    }

    /// The rights that somebody has, in the order of [`Right::ALL`]: `x` for each, `-` for those that they lack.
    fn rights(who: Who, place: &ChannelState<'_>, facts: &Facts<'_>) -> String {
        Right::ALL
            .iter()
            .map(|right| if may(who, *right, place, facts).is_ok() { 'x' } else { '-' })
            .collect()
    }

    #[test]
    fn the_table() {
        let open = ChannelState { open: true, ..PLACE };
        let strict = ChannelState { min_level: 11, ..PLACE };
        let read_only = ChannelState { read_only: true, ..PLACE };
        let system = ChannelState { kind: Kind::System, ..PLACE };
        let stranger = Facts { now: NOW, role: None, sanctions: &[], blocked: false };
        let member = Facts { role: Some(Role::Member), ..stranger };
        let officer = Facts { role: Some(Role::Officer), ..stranger };
        let [ban, mute, shadow, warn, elsewhere, ended] = [
            sanction(SanctionKind::Ban, "everywhere", None),
            sanction(SanctionKind::Mute, "kind:guild", Some(NOW + 1)),
            sanction(SanctionKind::Shadow, "channel:g", None),
            sanction(SanctionKind::Warn, "everywhere", None),
            sanction(SanctionKind::Ban, "channel:h", None),
            sanction(SanctionKind::Ban, "everywhere", Some(NOW)),
        ];
        let with = |sanction, facts| Facts { sanctions: std::slice::from_ref(sanction), ..facts };
        let staff = Who { staff: true, level: 0 };
        // See, Read, SeeOnline, Join, Speak, BeNoticed, Mute, RecallOthers.
        for (case, who, place, facts, expected) in [
            ("a member", PLAYER, &PLACE, member, "xxxxxx--"),
            ("an officer", PLAYER, &PLACE, officer, "xxxxxxxx"),
            ("a stranger", PLAYER, &PLACE, stranger, "-----x--"),
            ("a stranger, open", PLAYER, &open, stranger, "xxxx-x--"),
            ("staff", staff, &PLACE, stranger, "xxx-xxxx"),
            ("staff, open", staff, &open, stranger, "xxxxxxxx"),
            ("a level too low", PLAYER, &strict, member, "xxxx-x--"),
            ("for reading", PLAYER, &read_only, member, "xxxx-x--"),
            ("blocked", PLAYER, &PLACE, Facts { blocked: true, ..member }, "xxxx-x--"),
            ("banned", PLAYER, &PLACE, with(&ban, member), "x----x--"),
            ("banned, open", PLAYER, &open, with(&ban, stranger), "x----x--"),
            ("muted", PLAYER, &PLACE, with(&mute, member), "xxxx----"),
            ("a shadow", PLAYER, &PLACE, with(&shadow, member), "xxxxx---"),
            ("warned", PLAYER, &PLACE, with(&warn, member), "xxxxxx--"),
            ("banned elsewhere", PLAYER, &PLACE, with(&elsewhere, member), "xxxxxx--"),
            ("a ban that ended", PLAYER, &PLACE, with(&ended, member), "xxxxxx--"),
            ("banned, the game's own channel", PLAYER, &system, with(&ban, member), "xxxxxx--"),
            // To be mended with the issue on rights: nobody who may not read keeps order.
            ("an officer who is banned", PLAYER, &PLACE, with(&ban, officer), "x----xxx"),
        ] {
            assert_eq!(rights(who, place, &facts), expected, "{case}");
        }
    }

    #[test]
    fn the_first_reason_is_one_that_lasts() {
        let stranger = Facts { now: NOW, role: None, sanctions: &[], blocked: false };
        let both = [
            sanction(SanctionKind::Mute, "everywhere", Some(NOW + 1)),
            sanction(SanctionKind::Ban, "everywhere", None),
        ];
        let open = ChannelState { open: true, ..PLACE };
        let member = Facts { role: Some(Role::Member), sanctions: &both, ..stranger };
        let mute = Facts { sanctions: &both[..1], ..member };
        let read_only = ChannelState { read_only: true, min_level: 99, ..PLACE };
        let banned = || Err(Refusal::Banned(both[1].clone()));
        for (case, place, facts, expected) in [
            ("a ban is more than a mute", &PLACE, member, banned()),
            ("a ban is told to who did not join", &open, Facts { role: None, ..member }, banned()),
            (
                "a ban tells nothing of a closed channel",
                &PLACE,
                Facts { role: None, ..member },
                Err(Refusal::Unseen),
            ),
            ("a closed channel is unseen", &PLACE, stranger, Err(Refusal::Unseen)),
            ("an open one asks to join", &open, stranger, Err(Refusal::NotMember)),
            ("muted, in a channel for reading", &read_only, mute, Err(Refusal::Muted(both[0].clone()))),
            (
                "for reading, with a level",
                &read_only,
                Facts { sanctions: &[], ..member },
                Err(Refusal::ReadOnly),
            ),
        ] {
            assert_eq!(may(PLAYER, Right::Speak, place, &facts), expected, "{case}");
        }
    }
}
