//! Which part of a text is worth a second look: most texts hide nothing, and are searched once.

use std::ops::Range;

use super::fold::is_alphanumeric;
use super::view::is_of_a_sentence;

/// Returns the part of a folded text in which a word could be hidden in a way that the plain view does not see: the
/// bytes from the first to the last suspicious place, with room for the longest words around them. Most texts have
/// none, and are searched once. Returns too much rather than too little.
pub(super) fn suspicious(folded: &str, longest: Longest) -> Option<Range<usize>> {
    let mut seen = Seen::default();
    let mut places =
        folded.char_indices().filter(|(_, character)| seen.is_suspicious(*character)).map(|(at, _)| at);
    let first = places.next();
    let last = places.last().or(first);
    let (first, last) =
        if seen.is_suspicious(' ') { (first.unwrap_or(folded.len()), folded.len()) } else { (first?, last?) };
    Some(longest.around(folded, first, last))
}

/// The letters of the longest patterns: of all, and of those that are not ASCII alone. Chinese words are short.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Longest {
    of_all: usize,
    beyond_ascii: usize,
}

impl Longest {
    /// Letters of room beyond the longest word: the cause of suspicion may have begun two letters before its place, and
    /// one more shows how the word is bordered.
    const MORE: usize = 3;

    pub(super) fn of<'t>(texts: impl Iterator<Item = &'t str>) -> Self {
        texts.fold(Self::default(), |longest, text| {
            let letters = text.chars().count();
            let beyond_ascii = if text.is_ascii() { 0 } else { letters };
            Self { of_all: longest.of_all.max(letters), beyond_ascii: longest.beyond_ascii.max(beyond_ascii) }
        })
    }

    /// The part of a text that the longest words through these places could reach.
    pub(super) fn around(self, folded: &str, first: usize, last: usize) -> Range<usize> {
        let start = self.walk(folded[..first].char_indices().rev()).unwrap_or(0);
        let ahead = folded[last..].char_indices().map(|(at, one)| (last + at + one.len_utf8(), one));
        start..self.walk(ahead).unwrap_or(folded.len())
    }

    /// The place that no word from where this starts can reach; repeats count once.
    fn walk(self, characters: impl Iterator<Item = (usize, char)>) -> Option<usize> {
        let (mut letters, mut room, mut before) = (0, self.of_all, None);
        for (at, character) in characters {
            if is_alphanumeric(character) && before.replace(character) != Some(character) {
                letters += 1;
                if !character.is_ascii() {
                    room = self.beyond_ascii;
                }
                if letters >= room + Self::MORE {
                    return Some(at);
                }
            }
        }
        None
    }
}

/// State of [`suspicious`] after the characters so far.
#[derive(Default)]
struct Seen {
    /// The last character, how often it stood there in a row, and whether the one before it was doubled.
    last: char,
    run: u32,
    doubled_before: bool,
    /// Letters since the last gap, and how many letters in a row stood apart.
    letters: u32,
    apart: u32,
    /// The last letter before the last gap.
    word_before: char,
    /// A sign that no sentence has there, right behind a letter or another sign.
    sign: bool,
}

impl Seen {
    fn is_suspicious(&mut self, character: char) -> bool {
        let suspicious = if is_alphanumeric(character) {
            let leet = |one: char, other: char| one.is_ascii_digit() && other.is_ascii_alphabetic();
            let run = if character == self.last { self.run + 1 } else { 1 };
            let doubled_before = if run == 1 { self.run == 2 } else { self.doubled_before };
            let suspicious = self.sign
                || leet(self.last, character)
                || leet(character, self.last)
                || (run == 3 && !character.is_ascii_digit())
                || (run == 2 && doubled_before && !character.is_ascii_digit());
            (self.run, self.doubled_before) = (run, doubled_before);
            self.letters += 1;
            suspicious
        } else {
            // Chinese has no words that a space ends: one Latin letter alone may be the middle of an entry.
            let among_latin = self.last.is_ascii() && self.word_before.is_ascii();
            self.apart = match self.letters {
                0 => self.apart,
                1 if among_latin => self.apart + 1,
                1 => 2,
                _ => 0,
            };
            if self.letters > 0 {
                self.word_before = self.last;
            }
            // Behind a letter that is an o, and no other letter need follow to make it one.
            let ring = self.last == '(' && character == ')' && self.sign;
            self.sign = (self.sign || self.letters > 0) && !is_of_a_sentence(character);
            (self.letters, self.run, self.doubled_before) = (0, 0, false);
            ring || self.apart >= 2
                || matches!(character, '@' | '$' | '(' | '!' | '|' | '+')
                    && self.sign_reads_as_letter(character)
        };
        self.last = character;
        suspicious
    }

    /// `@` and `$` begin words; the others are read as letters within one, where the next letter tells.
    fn sign_reads_as_letter(&mut self, character: char) -> bool {
        self.sign |= !matches!(character, '@' | '$') && self.last.is_ascii_alphanumeric();
        matches!(character, '@' | '$')
    }
}
