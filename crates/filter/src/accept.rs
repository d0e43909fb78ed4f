//! Which finds count: the rules that tell a hidden word from innocent neighbours.
//!
//! They were measured rather than thought out: each keeps some of "push it", "pen is", 666, 嘻嘻哈哈, good/god and 45
//! innocent, and lets the others be caught.

use std::ops::Range;

use super::fold::{is_voicing, is_word_character};
use super::view::{Gap, Plain, Squeezed, Unit};

/// A pattern's data beside its text: the entry's number and its rules, packed in four bytes, as there are very many
/// patterns.
#[derive(Clone, Copy)]
pub(super) struct Pattern(u32);

impl Pattern {
    /// Entries are numbered up to this.
    pub(super) const MAX_ENTRY: u32 = u32::MAX >> Rules::BITS;

    pub(super) fn new(entry: u32, rules: Rules) -> Self {
        Self(entry.min(Self::MAX_ENTRY) << Rules::BITS | u32::from(rules.0))
    }

    /// The entry's number; for allowed phrases it means nothing.
    pub(super) fn entry(self) -> u32 {
        self.0 >> Rules::BITS
    }

    pub(super) fn rules(self) -> Rules {
        Rules(self.0 as u16 & ((1 << Rules::BITS) - 1))
    }
}

/// Conditions that a find must meet; one bit each, as there are very many patterns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules(u16);

impl Rules {
    const BITS: u32 = 10;
    /// An allowed phrase.
    pub(super) const ALLOW: Self = Self(1);
    /// Must begin where a word begins.
    pub(super) const STARTS_WORD: Self = Self(1 << 1);
    /// Must end where a word ends.
    pub(super) const ENDS_WORD: Self = Self(1 << 2);
    /// Begins or ends in a script with words.
    pub(super) const IN_WORDS: Self = Self(1 << 3);
    /// The entry itself has separators, so the text may have some too.
    pub(super) const HAS_GAPS: Self = Self(1 << 4);
    /// Holds a letter, so digits alone are not it; one without is not letters that look like its digits.
    pub(super) const HAS_LETTER: Self = Self(1 << 5);
    /// More pieces follow: a wildcard.
    pub(super) const HAS_TAIL: Self = Self(1 << 6);
    /// Has repeats of its own.
    pub(super) const HAS_RUNS: Self = Self(1 << 7);
    /// Is meant for the plain view.
    pub(super) const PLAIN: Self = Self(1 << 8);
    /// Is meant for squeezed views. Where an entry reads the same in both, one pattern serves them.
    pub(super) const SQUEEZED: Self = Self(1 << 9);

    pub(super) fn with(self, more: Self, wanted: bool) -> Self {
        if wanted { Self(self.0 | more.0) } else { self }
    }

    pub(super) fn has(self, rule: Self) -> bool {
        self.0 & rule.0 != 0
    }
}

/// A find in the plain view: ends of words, where the entry asks for them.
pub(super) fn in_plain(plain: &Plain, span: &Range<usize>, rules: Rules) -> bool {
    rules.has(Rules::PLAIN)
        && (!rules.has(Rules::STARTS_WORD) || plain.is_word_edge(span.start))
        && (!rules.has(Rules::ENDS_WORD) || plain.is_word_edge(span.end))
        && !plain.text[span.end..].starts_with(is_voicing)
}

/// Does a letter touch a find?
#[derive(Clone, Copy)]
pub(super) struct Around {
    pub(super) before: bool,
    pub(super) after: bool,
    /// True if the letter after the find is the s of a plural.
    pub(super) plural: bool,
}

/// A find in a squeezed view. `runs` are the entry's own repeats; none means that it has none.
pub(super) fn in_squeezed(view: &Squeezed, at: Range<usize>, rules: Rules, runs: Option<&[u16]>) -> bool {
    let voiced = view.units.get(at.end).is_some_and(|unit| is_voicing(unit.letter));
    !voiced && in_units(&view.units[at.clone()], || Around::of(view, at), rules, runs)
}

/// A find of some letters.
pub(super) fn in_units(
    units: &[Unit],
    around: impl FnOnce() -> Around,
    rules: Rules,
    runs: Option<&[u16]>,
) -> bool {
    // As it stands, the plural of a word is another word.
    let alone =
        |around: Around| !around.before && !(around.after && !(around.plural && is_disguised(units, runs)));
    repeats_agree(units, runs)
        && gaps_agree(units, rules)
        && (!rules.has(Rules::IN_WORDS) || alone(around()))
        && units.iter().any(|unit| unit.is_letter) == rules.has(Rules::HAS_LETTER)
}

/// Is it anything else than the letters of the entry, side by side?
fn is_disguised(units: &[Unit], runs: Option<&[u16]>) -> bool {
    let own = |place: usize| runs.map_or(1, |runs| runs[place]);
    units.iter().enumerate().any(|(place, unit)| {
        let apart = unit.inner_gap != Gap::None || (place > 0 && unit.gap != Gap::None);
        apart || !unit.is_letter || unit.is_sign || unit.run != own(place)
    })
}

/// Each letter as often as in the entry, or drawn out (three times and more), or the whole word evenly multiplied.
fn repeats_agree(units: &[Unit], runs: Option<&[u16]>) -> bool {
    let own = |place: usize| runs.map_or(1, |runs| runs[place]);
    let each =
        |(place, unit): (usize, &Unit)| unit.run == own(place) || (unit.run >= 3 && unit.run > own(place));
    let factor = units[0].run / own(0);
    units.iter().enumerate().all(each)
        || (factor > 1 && units.iter().enumerate().all(|(place, unit)| unit.run == own(place) * factor))
}

/// Signs between letters are what hides a word. Spaces and punctuation stand in sentences too, so they count only
/// where every letter stands by itself.
fn gaps_agree(units: &[Unit], rules: Rules) -> bool {
    let inner = || units[1..].iter().map(|unit| unit.gap).chain(units.iter().map(|unit| unit.inner_gap));
    if rules.has(Rules::HAS_GAPS) || inner().all(|gap| gap != Gap::Sentence) {
        return true;
    }
    let apart = |unit: &Unit| unit.apart;
    if rules.has(Rules::IN_WORDS) || units.len() < 3 {
        return units.iter().all(apart);
    }
    units[1..units.len() - 1].iter().all(apart) && units[1..].iter().all(|unit| unit.gap != Gap::None)
}

impl Around {
    fn of(view: &Squeezed, at: Range<usize>) -> Self {
        let is_word = |unit: &Unit| is_word_character(unit.letter) && !unit.is_sign;
        let touches = |unit: &Unit| unit.gap == Gap::None && is_word(unit);
        let after = |place: usize| view.units.get(place).is_some_and(touches);
        let before =
            at.start > 0 && view.units[at.start].gap == Gap::None && is_word(&view.units[at.start - 1]);
        let plural = || view.units[at.end].letter == 's' && view.units[at.end].run == 1 && !after(at.end + 1);
        let after_it = after(at.end);
        Self { before, after: after_it, plural: after_it && plural() }
    }
}
