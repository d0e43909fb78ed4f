//! The search: one text, every view of it that is worth a look, and the finds that count.

use std::cell::RefCell;
use std::ops::Range;

use super::accept::{self, Rules};
use super::budget::Steps;
use super::build::{Finder, Found, MatchEnd};
use super::mix::ByNumber;
use super::readings;
use super::region::{mixed, region};
use super::suspicion::suspicious;
use super::view::{Plain, Reading, Squeezed};
use super::walk::{self, Paths};
use super::{Filter, View};

/// A wildcard stands for at most so many characters.
const WILDCARD: usize = 8;
/// Steps for a look at an entry that ends at a place, and for a hit.
const LOOK: u32 = 1;
const HIT: u32 = 12;
/// So many entries at each place are looked at even where nothing is left for them, up to so many new hits: the plain search
/// overlooks no place.
const LEAST: usize = 4;
const LEAST_NEW: usize = 2;
/// Text behind this mark is shown backwards.
const RIGHT_TO_LEFT: char = '\u{202e}';

/// A blocked span by its entry's number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Find {
    pub(super) span: Range<usize>,
    pub(super) entry: u32,
    pub(super) view: View,
}

/// Buffers that are used again from text to text.
#[derive(Default)]
struct Buffers {
    plain: Plain,
    squeezed: Squeezed,
    paths: Paths,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// Everything that is found in a text, in no order; finds may overlap.
pub(super) fn all(filter: &Filter, text: &str, steps: &mut Steps) -> Vec<Find> {
    let mut finds = Vec::new();
    BUFFERS.with_borrow_mut(|buffers| {
        filter.search(text, buffers, steps, &mut finds);
        if text.contains(RIGHT_TO_LEFT) {
            filter.search_backwards(text, buffers, steps, &mut finds);
        }
    });
    steps.note(text.len() as u32);
    finds
}

/// Finds of one entry that overlap become one; in the order of their starts.
pub(super) fn merged(mut finds: Vec<Find>) -> Vec<Find> {
    if finds.len() < 2 {
        return finds;
    }
    // Numbers are compared faster than what they are made of, and there may be thousands.
    let two = |first: usize, second: usize| (first as u64) << 32 | second as u64;
    finds.sort_unstable_by_key(|find| {
        (two(find.entry as usize, find.span.start), two(find.span.end, find.view as usize))
    });
    finds.dedup_by(|later, first| {
        let overlap = later.entry == first.entry && later.span.start < first.span.end;
        if overlap {
            first.span.end = first.span.end.max(later.span.end);
            first.view = first.view.min(later.view);
        }
        overlap
    });
    finds.sort_unstable_by_key(|find| {
        (two(find.span.start, find.span.end), two(find.view as usize, find.entry as usize))
    });
    finds
}

impl Filter {
    fn search(&self, text: &str, buffers: &mut Buffers, steps: &mut Steps, finds: &mut Vec<Find>) {
        let Buffers { plain, squeezed, paths } = buffers;
        let begun = finds.len();
        plain.read(text);
        let allowed = self.search_plain(text, plain, steps, finds);
        let whole = 0..plain.text.len();
        let part = if self.spelled && plain.text.bytes().any(|byte| byte.is_ascii_alphabetic()) {
            Some(whole.clone())
        } else {
            suspicious(&plain.text, self.words.longest)
        };
        let joined = part.and_then(|part| {
            self.search_squeezed(text, (plain, part), (squeezed, Reading::Leet), (steps, finds))
        });
        let mixes = !text.is_ascii() && readings::mixes_scripts(text);
        let kept = if mixes { steps.walk / 2 } else { 0 };
        if let Some(part) = both(region(&plain.text, self.words.longest), joined) {
            steps.walk -= kept;
            walk::search(&self.words, (plain, false), &[part], (paths, squeezed, steps));
            steps.walk += kept;
            finds.extend(paths.found().map(|(entry, span)| {
                let span = plain.original(span, text);
                Find { span, entry, view: View::Squeezed }
            }));
        }
        if mixes {
            walk::search(&self.words, (plain, true), &mixed(&plain.text), (paths, squeezed, steps));
            let found = paths.found().map(|(entry, span)| (entry, plain.original(span, text)));
            // A word of one script alone is a word of that script.
            let mixed = found.filter(|(_, span)| readings::mixes_scripts(&text[span.clone()]));
            finds.extend(mixed.map(|(entry, span)| Find { span, entry, view: View::Squeezed }));
        }
        if self.no_digits.is_some() && plain.text.bytes().any(|byte| byte.is_ascii_digit()) {
            self.search_squeezed(text, (plain, whole.clone()), (squeezed, Reading::NoDigits), (steps, finds));
        }
        if self.sound.is_some() && !plain.text.is_ascii() {
            self.search_squeezed(text, (plain, whole), (squeezed, Reading::Sound), (steps, finds));
        }
        steps.note((finds.len() - begun) as u32);
        drop_covered(finds, begun, allowed);
    }

    /// Searches the plain view; returns the spans of allowed phrases.
    fn search_plain(
        &self,
        text: &str,
        plain: &Plain,
        steps: &mut Steps,
        finds: &mut Vec<Find>,
    ) -> Vec<Range<usize>> {
        let mut said = PlainMatches { finds, last: ByNumber::default(), allowed: Vec::new() };
        for end in self.words.ends(&plain.text) {
            self.judge_end(&end, (text, plain), steps, &mut said);
        }
        said.allowed
    }

    /// Judges the entries of the plain view that end at one place. The first few are always looked at.
    fn judge_end(
        &self,
        end: &MatchEnd,
        (text, plain): (&str, &Plain),
        steps: &mut Steps,
        said: &mut PlainMatches<'_>,
    ) {
        let mut new = 0;
        for (met, (found, span)) in end.patterns().enumerate() {
            if !steps.pay_plain(LOOK) && (met >= LEAST || new >= LEAST_NEW) {
                return;
            }
            if !accept::in_plain(plain, &span, found.rules) {
                continue;
            }
            let Some(span) = self.with_tail(&plain.text, span, &found, steps) else {
                continue;
            };
            let span = plain.original(span, text);
            if found.rules.has(Rules::ALLOW) {
                said.allowed.push(span);
            } else if said.add(found.entry, span) {
                new += 1;
                steps.pay_plain(HIT);
            }
        }
    }

    /// Answers with a part of the plain text that is worth a walk: there the first or last letter of an entry seems to be
    /// repeated by the word beside it ("b a n d i t there").
    pub(super) fn search_squeezed(
        &self,
        text: &str,
        (plain, part): (&Plain, Range<usize>),
        (view, reading): (&mut Squeezed, Reading),
        (steps, finds): (&mut Steps, &mut Vec<Find>),
    ) -> Option<Range<usize>> {
        view.read(plain, part, reading);
        let (mut joined, before) = (None, steps.further);
        let mut add = |finder: &Finder, name| {
            for (found, span) in finder.ends(&view.text).flat_map(|end| end.patterns()) {
                if !steps.pay_further(span.len()) {
                    break;
                }
                if !found.rules.has(Rules::SQUEEZED) {
                    continue;
                }
                let (entry, units, counts) = judged(view, finder, &found, span);
                if counts {
                    steps.pay_further(4 * HIT as usize);
                    let span = plain.original(view.span(units), text);
                    finds.push(Find { span, entry, view: name });
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
        steps.spend_on_finds(before - steps.further);
        joined
    }

    /// Follows a wildcard's further pieces, and grows the span over them.
    fn with_tail(
        &self,
        folded: &str,
        span: Range<usize>,
        found: &Found,
        steps: &mut Steps,
    ) -> Option<Range<usize>> {
        if !found.rules.has(Rules::HAS_TAIL) {
            return Some(span);
        }
        let mut end = span.end;
        for piece in self.words.tail(found.number) {
            if !steps.pay_tail() {
                return None;
            }
            let mut starts = folded[end..].char_indices().map(|(at, _)| end + at).take(WILDCARD + 1);
            end = starts.find(|at| folded[*at..].starts_with(piece.as_str()))? + piece.len();
        }
        Some(span.start..end)
    }

    /// Searches text after a right-to-left mark backwards, as it is shown.
    fn search_backwards(&self, text: &str, buffers: &mut Buffers, steps: &mut Steps, finds: &mut Vec<Find>) {
        for (mark, _) in text.match_indices(RIGHT_TO_LEFT) {
            let start = mark + RIGHT_TO_LEFT.len_utf8();
            let end = text[start..].find(['\u{202c}', RIGHT_TO_LEFT]).map_or(text.len(), |at| start + at);
            let end = text.floor_char_boundary(start + steps.pay_backwards(end - start));
            let shown: String = text[start..end].chars().rev().collect();
            let begun = finds.len();
            self.search(&shown, buffers, steps, finds);
            for find in &mut finds[begun..] {
                find.span = end - find.span.end..end - find.span.start;
            }
        }
    }
}

/// Finds of the plain view so far.
struct PlainMatches<'f> {
    finds: &'f mut Vec<Find>,
    /// By entry: its last find.
    last: ByNumber<usize>,
    allowed: Vec<Range<usize>>,
}

impl PlainMatches<'_> {
    /// Adds a find, or draws the entry's last one out over it, where the two overlap. Is it a new one?
    fn add(&mut self, entry: u32, span: Range<usize>) -> bool {
        let next = self.finds.len();
        let last = self.last.entry(u64::from(entry)).or_insert(next);
        if let Some(find) = self.finds.get_mut(*last)
            && span.start < find.span.end
        {
            find.span = find.span.start.min(span.start)..find.span.end.max(span.end);
            return false;
        }
        *last = next;
        self.finds.push(Find { span, entry, view: View::Plain });
        true
    }
}

/// A find in a squeezed view: its entry, its units, and whether it counts.
fn judged(view: &Squeezed, finder: &Finder, found: &Found, span: Range<usize>) -> (u32, Range<usize>, bool) {
    let units = view.unit_at[span.start] as usize..view.unit_at[span.end - 1] as usize + 1;
    let counts = !view.touches_cut(&units)
        && accept::in_squeezed(view, units.clone(), found.rules, finder.runs(found));
    (found.entry, units, counts)
}

/// Drops the finds from `begun` on that an allowed phrase covers entirely.
fn drop_covered(finds: &mut Vec<Find>, begun: usize, mut allowed: Vec<Range<usize>>) {
    if allowed.is_empty() || finds.len() == begun {
        return;
    }
    // By their starts, each with the furthest end so far: one look tells.
    allowed.sort_unstable_by_key(|span| span.start);
    let mut furthest = 0;
    for span in &mut allowed {
        furthest = furthest.max(span.end);
        span.end = furthest;
    }
    let is_covered = |find: &Find| {
        let begin_before = allowed.partition_point(|span| span.start <= find.span.start);
        begin_before.checked_sub(1).is_some_and(|last| find.span.end <= allowed[last].end)
    };
    let mut place = 0;
    finds.retain(|find| {
        place += 1;
        place <= begun || !is_covered(find)
    });
}

/// The span of two, where there are two.
fn both(one: Option<Range<usize>>, other: Option<Range<usize>>) -> Option<Range<usize>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.start.min(other.start)..one.end.max(other.end)),
        (one, other) => one.or(other),
    }
}
