//! The word filter: text in, verdict out. Pure: no clock, no files, no network.
//!
//! Text and list are folded by the same function, so that case and width make no difference; one automaton then finds
//! every entry at once, and its hits are traced back to spans of the original text. The folded text is seen by
//! nobody. A hit counts unless its entry wants a whole word and stands inside one, or an allowed phrase covers it.

use std::borrow::Cow;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, BuildError, MatchKind};
use unicode_segmentation::UnicodeSegmentation;

mod fold;
pub mod words;

pub use words::{Action, Entry, Matching, Wordlist};

/// What masked characters become.
const MASK: char = '*';
/// Latin entries up to this long match whole words only, unless they say otherwise.
const SHORT_LATIN: usize = 4;

/// A wordlist, ready to judge.
pub struct Filter {
    automaton: AhoCorasick,
    /// By the automaton's pattern number.
    patterns: Vec<Pattern>,
    categories: Vec<String>,
}

#[derive(Clone, Copy)]
struct Pattern {
    category: u16,
    /// None for an allowed phrase.
    action: Option<Action>,
    starts_word: bool,
    ends_word: bool,
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
    /// The list that the entry is on.
    pub category: &'f str,
    /// What that list asks for.
    pub action: Action,
}

impl Filter {
    /// Builds the automaton: milliseconds for thousands of entries, so not on a request's path.
    ///
    /// # Errors
    /// More entries than an automaton can number.
    pub fn build(list: &Wordlist) -> Result<Self, BuildError> {
        let mut categories: Vec<String> = Vec::new();
        let mut words: Vec<(Box<str>, Pattern)> = Vec::with_capacity(list.entries.len() + list.allow.len());
        for entry in &list.entries {
            let category =
                categories.iter().position(|known| *known == entry.category).unwrap_or_else(|| {
                    categories.push(entry.category.clone());
                    categories.len() - 1
                });
            let folded = fold::fold(&entry.text);
            let (starts_word, ends_word) = word_edges(&folded.text, entry.matching);
            let pattern =
                Pattern { category: category as u16, action: Some(entry.action), starts_word, ends_word };
            words.push((folded.text.into(), pattern));
        }
        for phrase in &list.allow {
            let pattern = Pattern { category: 0, action: None, starts_word: false, ends_word: false };
            words.push((fold::fold(phrase).text.into(), pattern));
        }
        words.retain(|(word, _)| !word.is_empty());
        // Sorted input builds in half the time.
        words.sort_by(|(one, _), (other, _)| one.cmp(other));
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .prefilter(false)
            .build(words.iter().map(|(word, _)| word.as_bytes()))?;
        Ok(Self { automaton, patterns: words.into_iter().map(|(_, pattern)| pattern).collect(), categories })
    }

    /// Judges a text.
    pub fn judge(&self, text: &str) -> Verdict<'_> {
        let folded = fold::fold(text);
        let mut hits = Vec::new();
        let mut allowed: Vec<Range<usize>> = Vec::new();
        for found in self.automaton.find_overlapping_iter(&folded.text) {
            let pattern = self.patterns[found.pattern().as_usize()];
            if !stands_alone(&folded.text, found.span().range(), pattern) {
                continue;
            }
            let span = folded.original(found.span().range(), text);
            match pattern.action {
                None => allowed.push(span),
                Some(action) => {
                    hits.push(Hit {
                        span,
                        category: &self.categories[usize::from(pattern.category)],
                        action,
                    });
                }
            }
        }
        hits.retain(|hit| {
            !allowed.iter().any(|span| span.start <= hit.span.start && hit.span.end <= span.end)
        });
        hits.sort_by_key(|hit| (hit.span.start, hit.span.end));
        Verdict { hits }
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
            shown.extend(text[start..hit.span.end].graphemes(true).map(|_| MASK));
            at = hit.span.end;
        }
        if at == 0 {
            return Cow::Borrowed(text);
        }
        shown.push_str(&text[at..]);
        Cow::Owned(shown)
    }
}

/// Which ends of an entry must be ends of a word. Only Latin has words that a program can see.
fn word_edges(folded: &str, matching: Matching) -> (bool, bool) {
    let latin = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let (starts, ends) = (latin(folded.chars().next()), latin(folded.chars().next_back()));
    match matching {
        Matching::Auto => (starts, ends && folded.len() <= SHORT_LATIN),
        Matching::Word => (starts, ends),
        Matching::Prefix => (starts, false),
        Matching::Substring => (false, false),
    }
}

fn stands_alone(text: &str, span: Range<usize>, pattern: Pattern) -> bool {
    let in_word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    !(pattern.starts_word && in_word(text[..span.start].chars().next_back())
        || pattern.ends_word && in_word(text[span.end..].chars().next()))
}
