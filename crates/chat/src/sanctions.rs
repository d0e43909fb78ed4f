//! Sanctions: which there are, where one holds, which of several counts, and which the ladder proposes next. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::states::UnknownWord;
use crate::values::{Kind, Place};
use guildhall_base::clock::Millis;

/// Kind of a sanction against a player.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SanctionKind {
    /// They are told; nothing else changes.
    Warn,
    /// They can't speak.
    Mute,
    /// They speak, and only they see it. They are not told.
    Shadow,
    /// They can't speak or read.
    Ban,
}

impl SanctionKind {
    /// Every kind, the mildest first.
    pub const ALL: [Self; 4] = [Self::Warn, Self::Mute, Self::Shadow, Self::Ban];

    /// The word in JSON, SQL and the environment.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Mute => "mute",
            Self::Shadow => "shadow",
            Self::Ban => "ban",
        }
    }

    /// Does the player learn of it?
    pub const fn is_told(self) -> bool {
        !matches!(self, Self::Shadow)
    }

    /// The kind that a word names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl TryFrom<String> for SanctionKind {
    type Error = UnknownWord;

    fn try_from(word: String) -> Result<Self, UnknownWord> {
        Self::from_word(&word).ok_or(UnknownWord(word))
    }
}

/// A sanction that was not lifted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sanction {
    /// Kind of the sanction.
    pub kind: SanctionKind,
    /// Place where it holds.
    pub place: String,
    /// Until when; none is for good.
    pub until: Option<Millis>,
    /// Reason that the player was told.
    pub reason: String,
}

impl Sanction {
    /// Does it hold in this channel?
    pub fn covers(&self, kind: Kind, channel: &str) -> bool {
        kind.has_sanctions()
            && match self.place.split_once(':') {
                Some(("kind", word)) => word == kind.as_str(),
                Some((_, id)) => id == channel,
                None => true,
            }
    }
}

/// Of those of a kind that hold now, the last to end.
pub fn in_force<'a>(
    sanctions: impl IntoIterator<Item = &'a Sanction>,
    kind: SanctionKind,
    now: Millis,
) -> Option<&'a Sanction> {
    let holds =
        |sanction: &&Sanction| sanction.kind == kind && sanction.until.is_none_or(|until| until > now);
    sanctions.into_iter().filter(holds).max_by_key(|sanction| sanction.until.unwrap_or(Millis::MAX))
}

/// Step of the ladder: the sanction for a player with so many sanctions on their record already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Kind of the sanction.
    pub kind: SanctionKind,
    /// For how long; none is for good.
    pub for_ms: Option<Millis>,
}

/// The steps, the first one for the first time; the last one stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladder(Vec<Step>);

impl Ladder {
    /// Milliseconds for which a sanction counts on a record: 90 days.
    pub const RECORD_MS: Millis = 90 * 86_400_000;

    /// Steps in their order; none where there are none.
    pub fn new(steps: Vec<Step>) -> Option<Self> {
        (!steps.is_empty()).then_some(Self(steps))
    }

    /// The step for somebody with so many sanctions on their record.
    pub fn after(&self, sanctions: usize) -> Step {
        self.0[sanctions.min(self.0.len() - 1)]
    }
}

/// Everywhere, where a moderator names no place.
pub fn everywhere() -> Place {
    Place::parse("everywhere").expect("it is a place")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sanction(kind: SanctionKind, place: &str, until: Option<Millis>) -> Sanction {
        Sanction { kind, place: place.to_owned(), until, reason: "r".to_owned() }
    }

    #[test]
    fn the_last_to_end_counts_and_what_ended_does_not() {
        use SanctionKind::{Ban, Mute};
        let all = [
            sanction(Mute, "everywhere", Some(100)),
            sanction(Mute, "everywhere", Some(300)),
            sanction(Ban, "everywhere", None),
        ];
        assert_eq!(in_force(&all, Mute, 50), Some(&all[1]));
        assert_eq!(in_force(&all, Mute, 299), Some(&all[1]));
        assert_eq!(in_force(&all, Mute, 300), None);
        assert_eq!(in_force(&all, Ban, i64::MAX - 1), Some(&all[2]));
    }

    #[test]
    fn a_place_covers_what_it_names_and_never_the_games_own_channels() {
        for (place, kind, channel, covers) in [
            ("everywhere", Kind::World, "w", true),
            ("everywhere", Kind::System, "s", false),
            ("everywhere", Kind::Support, "s", false),
            ("kind:world", Kind::World, "w", true),
            ("kind:world", Kind::Guild, "w", false),
            ("channel:w:1", Kind::World, "w:1", true),
            ("channel:w:1", Kind::World, "w", false),
            ("channel:s", Kind::System, "s", false),
        ] {
            let sanction = sanction(SanctionKind::Mute, place, None);
            assert_eq!(sanction.covers(kind, channel), covers, "{place} {kind:?} {channel}");
        }
    }

    #[test]
    fn the_ladder_ends_on_its_last_step() {
        let step = |kind, for_ms| Step { kind, for_ms };
        let ladder =
            Ladder::new(vec![step(SanctionKind::Warn, None), step(SanctionKind::Mute, Some(1))]).unwrap();
        assert_eq!(ladder.after(0).kind, SanctionKind::Warn);
        assert_eq!(ladder.after(1), ladder.after(9));
        assert_eq!(Ladder::new(Vec::new()), None);
    }
}
