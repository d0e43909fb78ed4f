//! Which part of a text the walk goes over: around the places that can be read in more than one way.

use std::ops::Range;

use super::readings::{is_ambiguous, may_be_ambiguous, mixed_places};
use super::suspicion::Longest;

/// The bytes around places that can be read in more than one way; none where there is no such place.
pub(super) fn region(folded: &str, longest: Longest) -> Option<Range<usize>> {
    if !folded.bytes().any(may_be_ambiguous) {
        return None;
    }
    let mut places = None::<(usize, usize)>;
    let mut note = |at: usize| places = Some((places.map_or(at, |(first, _)| first), at));
    let (mut before, mut word) = (None, Word::default());
    let mut characters = folded.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        word.take(at, character, &mut note);
        // Chinese and most of English go the short way.
        let candidate = !character.is_ascii_lowercase() && character != ' ' || character == 'v';
        if candidate && is_ambiguous(before, character, characters.peek().map(|(_, after)| *after)) {
            note(at);
        }
        before = Some(character);
    }
    word.take(folded.len(), ' ', &mut note);
    let (first, last) = places?;
    Some(longest.around(folded, first, last))
}

/// Entries of several words: so many words before one that mixes scripts may belong to it.
const WORDS_BEFORE: usize = 3;

/// Returns the parts of a text in which words that mix scripts may begin: those words, and a little before them. The
/// parts are in the order of the text and don't overlap.
pub(super) fn mixed(folded: &str) -> Vec<Range<usize>> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    for place in mixed_places(folded) {
        let done = parts.last().map_or(0, |part| part.end);
        let start = done + words_before(&folded[done..place.start]);
        match parts.last_mut() {
            Some(last) if start == done => last.end = place.end,
            _ => parts.push(start..place.end),
        }
    }
    parts
}

/// Returns the start of the last word of a text, or of some words before it; letters that stand alone make one word
/// together.
fn words_before(text: &str) -> usize {
    let (mut words, mut letters, mut end) = (0, 0, text.len());
    for (at, character) in text.char_indices().rev() {
        if character != ' ' {
            letters += 1;
            end = at;
            continue;
        }
        words += usize::from(letters > 1);
        letters = 0;
        if words > WORDS_BEFORE {
            return end;
        }
    }
    0
}

/// The word that is being read: digits in it that stand for several letters are ambiguous where it has a letter too.
#[derive(Default)]
struct Word {
    has_letter: bool,
    digits: Option<(usize, usize)>,
}

impl Word {
    fn take(&mut self, at: usize, character: char, note: &mut impl FnMut(usize)) {
        match character {
            '1' | '2' | '6' => self.digits = Some((self.digits.map_or(at, |(first, _)| first), at)),
            _ if character.is_ascii_alphabetic() => self.has_letter = true,
            _ if character.is_ascii_digit() => {}
            _ => {
                if let (true, Some((first, last))) = (self.has_letter, self.digits) {
                    note(first);
                    note(last);
                }
                *self = Self::default();
            }
        }
    }
}
