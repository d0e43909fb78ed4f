//! The word filter: text in, verdict out. Pure: no clock, no files, no network.
//!
//! Text and list are folded by the same table. One automaton then finds every entry in the folded text; where a word
//! may be hidden (separators, repeats, leet), it searches again what is left when those are taken away.
//! Accept rules decide which finds count, allowed phrases cover innocent ones, and what remains is traced back to
//! spans of the original text. The folded text is seen by nobody.
//!
//! Knows no other room.

use std::borrow::Cow;
use std::ops::Range;

use aho_corasick::BuildError;
use unicode_segmentation::UnicodeSegmentation;

mod accept;
mod action;
mod alike;
mod beginnings;
mod budget;
mod build;
pub mod display;
mod fold;
mod forms;
mod mix;
mod places;
pub mod policy;
mod readings;
mod region;
mod search;
mod suspicion;
mod variants;
mod view;
mod walk;
pub mod words;

pub use budget::Budget;
use build::{Finder, Sources};
pub use fold::fold_text;
use search::Find;
pub use words::{Action, Entry, Matching, Options, Wordlist};

/// Character in place of each masked one.
const MASK: char = '*';

/// A wordlist, ready to judge.
pub struct Filter {
    /// Patterns of the plain view and of what is squeezed: a text that is worth a second look is searched twice, with
    /// one automaton.
    words: Finder,
    no_digits: Option<Finder>,
    sound: Option<Finder>,
    /// Entries that are looked for by how they are spelled make every Latin text worth a second look.
    spelled: bool,
    sources: Sources,
}

/// The filter's judgement of a text.
#[derive(Debug, Default)]
pub struct Verdict<'f> {
    /// Blocked spans in the order of their starts. Those of one entry don't overlap; those of several may.
    pub hits: Vec<Hit<'f>>,
}

/// Finds in a text, without their meaning: that is the [`Verdict`].
#[derive(Debug, Default)]
pub struct Finds {
    finds: Vec<Find>,
    steps: u32,
    whole: bool,
}

/// One blocked span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit<'f> {
    /// Byte range in the original text, on character boundaries.
    pub span: Range<usize>,
    /// The entry, as the planner wrote it.
    pub entry: &'f str,
    /// The list that the entry is on.
    pub category: &'f str,
    /// Action that the list asks for.
    pub action: Action,
    /// Severity, from 1 to 3.
    pub severity: u8,
    /// View of the text in which the entry was found.
    pub view: View,
}

/// The form of the text in which an entry was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum View {
    /// As it stands, folded.
    Plain,
    /// With separators, repeats and leet taken away.
    Squeezed,
    /// With digits taken away too.
    NoDigits,
    /// By its sound.
    Sound,
}

impl View {
    /// The words in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plainly",
            Self::Squeezed => "hidden by separators, repeats or look-alike signs",
            Self::NoDigits => "between digits",
            Self::Sound => "by its sound",
        }
    }
}

impl Filter {
    /// Builds the automata: milliseconds for thousands of entries, so not on a request's path.
    ///
    /// # Errors
    /// More entries than an automaton can number.
    pub fn build(list: &Wordlist) -> Result<Self, BuildError> {
        build::build(list)
    }

    /// Judges a text.
    pub fn judge(&self, text: &str) -> Verdict<'_> {
        self.verdict(&self.find(text, &mut Budget::of(text.len())))
    }

    /// Searches one string of a send, within the budget that is left to that send.
    pub fn find(&self, text: &str, budget: &mut Budget) -> Finds {
        let mut steps = budget.open(text.len());
        let finds = search::merged(search::all(self, text, &mut steps));
        budget.close(&steps);
        Finds { finds, steps: steps.taken, whole: !steps.ended }
    }

    /// Judges a text behind the sender's last ones: a word that several short messages spell out, whole, is a hit on
    /// this one. `before` is in the order they were sent.
    pub fn judge_after(&self, before: &[&str], text: &str) -> Verdict<'_> {
        self.verdict(&self.find_after(before, text, &mut Budget::of(text.len())))
    }

    /// Searches a text together with the sender's last ones; `before` is in the order they were sent.
    pub fn find_after(&self, before: &[&str], text: &str, budget: &mut Budget) -> Finds {
        let mut found = self.find(text, budget);
        if !found.finds.is_empty() {
            return found;
        }
        for first in (0..before.len()).rev() {
            let joined: String = before[first..].iter().chain([&text]).map(|part| part.trim()).collect();
            let mut steps = budget.open(0);
            let finds = search::all(self, &joined, &mut steps);
            budget.close(&steps);
            found.steps += steps.taken;
            found.whole &= !steps.ended;
            let whole = |find: &Find| {
                find.span == (0..joined.len()) && self.sources.get(find.entry).2 != Action::Review
            };
            if let Some(find) = finds.into_iter().find(whole) {
                found.finds.push(Find { span: 0..text.len(), ..find });
                break;
            }
        }
        found
    }

    /// Returns the verdict on finds: adds each one's entry, category, action and severity.
    pub fn verdict(&self, found: &Finds) -> Verdict<'_> {
        let hit = |find: &Find| {
            let (entry, category, action, severity) = self.sources.get(find.entry);
            Hit { span: find.span.clone(), entry, category, action, severity, view: find.view }
        };
        Verdict { hits: found.finds.iter().map(hit).collect() }
    }
}

impl Finds {
    /// The work it took, in steps: what a search for the worst texts makes as large as it can.
    pub const fn steps(&self) -> u32 {
        self.steps
    }

    /// Was the text read in every way it can be read? If not, what was not read has been searched plainly.
    pub const fn is_whole(&self) -> bool {
        self.whole
    }

    /// Was nothing found?
    pub const fn is_empty(&self) -> bool {
        self.finds.is_empty()
    }
}

impl Verdict<'_> {
    /// The hit that asks for the most, if there is any.
    pub fn worst(&self) -> Option<&Hit<'_>> {
        self.hits.iter().max_by_key(|hit| hit.action)
    }

    /// The text as others see it: every character of a span that is to be masked becomes `*`.
    pub fn masked<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut shown = String::new();
        let mut at = 0;
        for hit in self.hits.iter().filter(|hit| hit.action == Action::Mask) {
            if hit.span.end <= at {
                continue;
            }
            let start = hit.span.start.max(at);
            shown.push_str(&text[at..start]);
            let is_seen = |character: char| fold::fold(character) != fold::Folding::Dropped;
            let part = &text[start..hit.span.end];
            let seen = if part.chars().all(stands_alone) {
                part.chars().filter(|character| is_seen(*character)).count()
            } else {
                part.graphemes(true).filter(|grapheme| grapheme.chars().any(is_seen)).count()
            };
            shown.extend(std::iter::repeat_n(MASK, seen));
            at = hit.span.end;
        }
        if at == 0 {
            return Cow::Borrowed(text);
        }
        shown.push_str(&text[at..]);
        Cow::Owned(shown)
    }
}

/// Does a character take a place of its own, whatever stands beside it, if that is another such?
const fn stands_alone(character: char) -> bool {
    matches!(character, ' '..='~' | '\u{4e00}'..='\u{9fff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::view::{Plain, Reading, Squeezed};
    use super::*;

    /// Everything that the squeezed view finds in a whole text.
    fn found_in_whole(filter: &Filter, text: &str) -> Vec<(Range<usize>, String)> {
        let mut finds = Vec::new();
        let mut plain = Plain::default();
        plain.read(text);
        let whole = 0..plain.text.len();
        let mut steps = Budget::of(text.len()).open(text.len());
        filter.search_squeezed(
            text,
            (&plain, whole),
            (&mut Squeezed::default(), Reading::Leet),
            (&mut steps, &mut finds),
        );
        let name = |find: Find| (find.span, filter.sources.get(find.entry).0.to_owned());
        finds.into_iter().map(name).collect()
    }

    #[test]
    fn a_latin_letter_alone_may_be_the_middle_of_a_chinese_word() {
        let list = Wordlist::parse(&[("w.txt".to_owned(), "敏d敏".into())]).unwrap();
        let filter = Filter::build(&list).unwrap();
        assert_eq!(filter.judge("感敏 d 敏3").hits.len(), 1);
        assert!(filter.judge("感敏 d敏3").hits.is_empty());
    }

    #[test]
    fn what_stands_alone_is_a_character_by_itself() {
        let all: Vec<char> = (' '..='\u{ffff}').filter(|character| stands_alone(*character)).collect();
        let text: String = all.iter().chain(all.iter().rev()).collect();
        assert_eq!(text.graphemes(true).count(), 2 * all.len());
    }

    #[test]
    fn two_brackets_at_the_end_are_a_letter() {
        let list = Wordlist::parse(&[("w.txt".to_owned(), b"oo\nbado\n".to_vec())]).unwrap();
        let filter = Filter::build(&list).unwrap();
        for text in ["o()", "bad()", "say bad()", "say bad() now"] {
            assert_eq!(filter.judge(text).hits.len(), 1, "{text}");
        }
        for text in ["call()", "()", "a ()", "good (bad)"] {
            assert!(filter.judge(text).hits.is_empty(), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        /// Searching the second view around suspicious places alone finds what searching all of it finds. (Entries
        /// without digits: one with them is spelled with letters in the second view, which no text gives away.)
        #[test]
        fn the_short_way_misses_nothing(
            words in prop::collection::vec("[abdeo敏感词]{2,5}", 1..6),
            text in "[abdeo敏感词 .,*_@0134$!()-]{0,40}",
        ) {
            let list = Wordlist::parse(&[("w.txt".to_owned(), words.join("\n").into_bytes())]).unwrap();
            let filter = Filter::build(&list).unwrap();
            let judged: Vec<_> = filter.judge(&text).hits.into_iter().map(|hit| (hit.span, hit.entry.to_owned())).collect();
            for (span, entry) in found_in_whole(&filter, &text) {
                let holds = |judged: &(Range<usize>, String)| {
                    judged.1 == entry && judged.0.start <= span.start && span.end <= judged.0.end
                };
                prop_assert!(judged.iter().any(holds), "{entry} at {span:?} in {text:?}, judged {judged:?}");
            }
        }
    }
}
