//! The word filter: text in, verdict out. Pure: no clock, no files, no network.
//!
//! Text and list are folded by the same table. One automaton then finds every entry in the folded text; where a word
//! may be hidden (separators, repeats, leet), it searches again what is left when those are taken away.
//! Accept rules decide which finds count, allowed phrases cover innocent ones, and what remains is traced back to
//! spans of the original text. The folded text is seen by nobody.
//!
//! Knows no other room.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::Range;

use aho_corasick::BuildError;
use unicode_segmentation::UnicodeSegmentation;

mod accept;
mod action;
mod build;
pub mod display;
mod fold;
mod forms;
pub mod policy;
mod readings;
mod suspicion;
mod variants;
mod view;
mod walk;
pub mod words;

use accept::Rules;
use build::{Finder, Sources};
pub use fold::fold_text;
use suspicion::suspicious;
use view::{Letter, Plain, Reading, Squeezed};
pub use words::{Action, Entry, Matching, Options, Wordlist};

/// What masked characters become.
const MASK: char = '*';
/// A wildcard stands for at most so many characters.
const WILDCARD: usize = 8;
/// Text behind this mark is shown backwards.
const RIGHT_TO_LEFT: char = '\u{202e}';

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

/// What the filter says of a text.
#[derive(Debug, Default)]
pub struct Verdict<'f> {
    /// Blocked spans in the order of their starts; they may overlap.
    pub hits: Vec<Hit<'f>>,
}

/// One blocked span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit<'f> {
    /// Where, in bytes of the original text, on character boundaries.
    pub span: Range<usize>,
    /// The entry, as the planner wrote it.
    pub entry: &'f str,
    /// The list that the entry is on.
    pub category: &'f str,
    /// What that list asks for.
    pub action: Action,
    /// How bad it is, from 1 to 3.
    pub severity: u8,
    /// How it was found.
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

/// Buffers that are used again from text to text.
#[derive(Default)]
struct Buffers {
    plain: Plain,
    squeezed: Squeezed,
    letters: Vec<Letter>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
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
        let mut hits = BUFFERS.with_borrow_mut(|buffers| self.search(text, buffers));
        if text.contains(RIGHT_TO_LEFT) {
            self.search_backwards(text, &mut hits);
        }
        if hits.len() > 1 {
            hits.sort_by_key(|hit| (hit.span.start, hit.span.end, hit.view));
            hits.dedup_by(|later, first| later.span == first.span && later.entry == first.entry);
        }
        Verdict { hits }
    }

    /// Judges a text behind the sender's last ones: a word that several short messages spell out, whole, is a hit on
    /// this one. `before` is in the order they were sent.
    pub fn judge_after(&self, before: &[&str], text: &str) -> Verdict<'_> {
        let mut verdict = self.judge(text);
        if !verdict.hits.is_empty() {
            return verdict;
        }
        for first in (0..before.len()).rev() {
            let joined: String = before[first..].iter().chain([&text]).map(|part| part.trim()).collect();
            let whole = |hit: &&Hit<'_>| hit.span == (0..joined.len()) && hit.action != Action::Review;
            if let Some(hit) = self.judge(&joined).hits.iter().find(whole) {
                verdict.hits.push(Hit { span: 0..text.len(), ..hit.clone() });
                break;
            }
        }
        verdict
    }

    fn search(&self, text: &str, buffers: &mut Buffers) -> Vec<Hit<'_>> {
        let Buffers { plain, squeezed, letters } = buffers;
        let (mut hits, mut allowed) = (Vec::new(), Vec::new());
        plain.read(text);
        for (pattern, span) in self.words.finds(&plain.text) {
            if !accept::in_plain(&plain.text, &span, pattern.rules) {
                continue;
            }
            let Some(span) = self.with_tail(&plain.text, span, pattern.rules, pattern.number) else {
                continue;
            };
            let span = plain.original(span, text);
            match pattern.rules.has(Rules::ALLOW) {
                true => allowed.push(span),
                false => hits.push(self.hit(pattern.entry, span, View::Plain)),
            }
        }
        let whole = 0..plain.text.len();
        let part = if self.spelled && plain.text.bytes().any(|byte| byte.is_ascii_alphabetic()) {
            Some(whole.clone())
        } else {
            suspicious(&plain.text, self.words.longest)
        };
        let joined = part
            .and_then(|part| self.search_squeezed(text, (plain, part), (squeezed, Reading::Leet), &mut hits));
        if let Some(part) = both(walk::region(&plain.text, self.words.longest), joined) {
            let found = walk::finds(&self.words, (&plain.text, false), part, (letters, squeezed));
            hits.extend(
                found.map(|(entry, span)| self.hit(entry, plain.original(span, text), View::Squeezed)),
            );
        }
        if !text.is_ascii() && readings::mixes_scripts(text) {
            let found = walk::finds(&self.words, (&plain.text, true), whole.clone(), (letters, squeezed));
            let found = found.map(|(entry, span)| (entry, plain.original(span, text)));
            // A word of one script alone is a word of that script.
            let mixed = found.filter(|(_, span)| readings::mixes_scripts(&text[span.clone()]));
            hits.extend(mixed.map(|(entry, span)| self.hit(entry, span, View::Squeezed)));
        }
        if self.no_digits.is_some() && plain.text.bytes().any(|byte| byte.is_ascii_digit()) {
            self.search_squeezed(text, (plain, whole.clone()), (squeezed, Reading::NoDigits), &mut hits);
        }
        if self.sound.is_some() && !plain.text.is_ascii() {
            self.search_squeezed(text, (plain, whole), (squeezed, Reading::Sound), &mut hits);
        }
        hits.retain(|hit| {
            !allowed.iter().any(|span| span.start <= hit.span.start && hit.span.end <= span.end)
        });
        hits
    }

    /// Answers with a part of the plain text that is worth a walk: there the first or last letter of an entry seems to be
    /// repeated by the word beside it ("b a n d i t there").
    fn search_squeezed<'f>(
        &'f self,
        text: &str,
        (plain, part): (&Plain, Range<usize>),
        (view, reading): (&mut Squeezed, Reading),
        hits: &mut Vec<Hit<'f>>,
    ) -> Option<Range<usize>> {
        view.read(plain, part, reading);
        let mut joined = None;
        let mut add = |finder: &Finder, name| {
            for (entry, units, counts) in found(view, finder) {
                if counts {
                    hits.push(self.hit(entry, plain.original(view.span(units), text), name));
                } else if view.may_be_joined(&units) {
                    joined = both(joined.take(), Some(view.span(units)));
                }
            }
        };
        match reading {
            Reading::NoDigits => self.no_digits.iter().for_each(|finder| add(finder, View::NoDigits)),
            Reading::Sound => self.sound.iter().for_each(|finder| add(finder, View::Sound)),
            Reading::Leet => add(&self.words, View::Squeezed),
        }
        joined
    }

    /// Follows a wildcard's further pieces, and grows the span over them.
    fn with_tail(&self, folded: &str, span: Range<usize>, rules: Rules, number: u32) -> Option<Range<usize>> {
        if !rules.has(Rules::HAS_TAIL) {
            return Some(span);
        }
        let mut end = span.end;
        for piece in self.words.tail(number) {
            let mut starts = folded[end..].char_indices().map(|(at, _)| end + at).take(WILDCARD + 1);
            end = starts.find(|at| folded[*at..].starts_with(piece.as_str()))? + piece.len();
        }
        Some(span.start..end)
    }

    /// What stands behind a right-to-left mark is read backwards, as it is shown.
    fn search_backwards<'f>(&'f self, text: &str, hits: &mut Vec<Hit<'f>>) {
        for (mark, _) in text.match_indices(RIGHT_TO_LEFT) {
            let start = mark + RIGHT_TO_LEFT.len_utf8();
            let end = text[start..].find(['\u{202c}', RIGHT_TO_LEFT]).map_or(text.len(), |at| start + at);
            let shown: String = text[start..end].chars().rev().collect();
            let found = BUFFERS.with_borrow_mut(|buffers| self.search(&shown, buffers));
            hits.extend(found.into_iter().map(|hit| {
                let span = end - hit.span.end..end - hit.span.start;
                Hit { span, ..hit }
            }));
        }
    }

    fn hit(&self, entry: u32, span: Range<usize>, view: View) -> Hit<'_> {
        let (entry, category, action, severity) = self.sources.get(entry);
        Hit { span, entry, category, action, severity, view }
    }
}

/// The finds in a squeezed view: their entries, their units, and whether they count.
fn found<'a>(view: &'a Squeezed, finder: &'a Finder) -> impl Iterator<Item = (u32, Range<usize>, bool)> + 'a {
    finder.finds(&view.text).filter(|(found, _)| found.rules.has(Rules::SQUEEZED)).map(|(found, span)| {
        let units = view.unit_at[span.start] as usize..view.unit_at[span.end - 1] as usize + 1;
        let counts = !view.touches_cut(&units)
            && accept::in_squeezed(view, units.clone(), found.rules, finder.runs(&found));
        (found.entry, units, counts)
    })
}

/// The span of two, where there are two.
fn both(one: Option<Range<usize>>, other: Option<Range<usize>>) -> Option<Range<usize>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.start.min(other.start)..one.end.max(other.end)),
        (one, other) => one.or(other),
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
            let seen = |grapheme: &&str| grapheme.chars().any(|c| fold::fold(c) != fold::Folding::Dropped);
            shown.extend(text[start..hit.span.end].graphemes(true).filter(seen).map(|_| MASK));
            at = hit.span.end;
        }
        if at == 0 {
            return Cow::Borrowed(text);
        }
        shown.push_str(&text[at..]);
        Cow::Owned(shown)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Everything that the squeezed view finds in a whole text.
    fn found_in_whole(filter: &Filter, text: &str) -> Vec<(Range<usize>, String)> {
        let mut hits = Vec::new();
        let mut plain = Plain::default();
        plain.read(text);
        let whole = 0..plain.text.len();
        filter.search_squeezed(text, (&plain, whole), (&mut Squeezed::default(), Reading::Leet), &mut hits);
        hits.into_iter().map(|hit| (hit.span, hit.entry.to_owned())).collect()
    }

    #[test]
    fn a_latin_letter_alone_may_be_the_middle_of_a_chinese_word() {
        let list = Wordlist::parse(&[("w.txt".to_owned(), "敏d敏".into())]).unwrap();
        let filter = Filter::build(&list).unwrap();
        assert_eq!(filter.judge("感敏 d 敏3").hits.len(), 1);
        assert!(filter.judge("感敏 d敏3").hits.is_empty());
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
            for found in found_in_whole(&filter, &text) {
                prop_assert!(judged.contains(&found), "{found:?} in {text:?}, judged {judged:?}");
            }
        }
    }
}
