//! Views: the forms of a text that are searched, each with the way back to the original.
//!
//! [`Plain`] is the folded text as it stands. [`Squeezed`] is what is left of it when somebody hides a word in it:
//! separators are dropped, repeated letters run together, and signs that stand for letters (leet) are read as such.
//! What was dropped is remembered, so that the accept rules can tell a hidden word from an innocent neighbourhood.

use std::ops::Range;

use super::fold::{Folding, fold, is_alphanumeric, is_word_character, push_folded};

/// The folded text, separators and all.
#[derive(Default)]
pub(super) struct Plain {
    pub(super) text: String,
    /// For each byte of `text`, where its character starts in the original; empty where that is the same byte.
    origin: Vec<u32>,
}

impl Plain {
    /// Folds a text into this buffer.
    pub(super) fn read(&mut self, text: &str) {
        self.text.clear();
        self.origin.clear();
        if text.is_ascii() && !has_wide_space(text) {
            self.text.push_str(text);
            self.text.make_ascii_lowercase();
            return;
        }
        for (at, character) in text.char_indices() {
            push_folded(&mut self.text, character);
            self.origin.resize(self.text.len(), at as u32);
        }
    }

    /// The span of the original that a span of the folded text came from.
    pub(super) fn original(&self, span: Range<usize>, text: &str) -> Range<usize> {
        if self.origin.is_empty() {
            return span;
        }
        let start = self.origin[span.start] as usize;
        start..end_of(text, self.origin[span.end - 1] as usize)
    }
}

/// Spaces that folding makes one.
fn has_wide_space(ascii: &str) -> bool {
    let mut before = false;
    ascii.bytes().any(|byte| {
        let space = byte.is_ascii_whitespace();
        let wide = space && (before || byte != b' ');
        before = space;
        wide
    })
}

/// The end of the character at `at`, with the dropped ones (marks, invisible) that hang on it.
pub(super) fn end_of(text: &str, at: usize) -> usize {
    let mut characters = text[at..].char_indices().skip(1);
    let next = characters.find(|(_, character)| character.is_ascii() || fold(*character) != Folding::Dropped);
    next.map_or(text.len(), |(offset, _)| at + offset)
}

/// What stood between two letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gap {
    /// Nothing.
    #[default]
    None,
    /// Signs that no sentence has there: `*`, `_`, emoji.
    Sign,
    /// A space or punctuation, which sentences have too.
    Sentence,
}

/// One letter that is left, with how it stood.
#[derive(Clone, Copy)]
struct Cell {
    letter: char,
    start: u32,
    end: u32,
    gap: Gap,
    /// The letter stood there itself; else a digit or a sign was read as one.
    is_letter: bool,
}

/// A letter and its repeats.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    pub(super) letter: char,
    start: u32,
    end: u32,
    /// How often it stands there.
    pub(super) run: u16,
    /// What stood before it or among its repeats, the strongest.
    pub(super) gap: Gap,
    /// What stood among its repeats.
    pub(super) inner_gap: Gap,
    /// Each of its letters stood apart from its neighbours.
    pub(super) apart: bool,
    /// At least one of them was a letter rather than a sign read as one.
    pub(super) is_letter: bool,
}

/// How a squeezed view reads characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Leet digits and signs as letters.
    Leet,
    /// The same, with `1`, `!` and `|` as l rather than as i.
    LeetWithL,
    /// Digits as separators.
    NoDigits,
    /// Han characters as the syllables they sound like.
    Sound,
}

/// The letters that are left, repeats run together.
#[derive(Default)]
pub(super) struct Squeezed {
    pub(super) text: String,
    pub(super) units: Vec<Unit>,
    /// For each byte of `text`, its unit.
    pub(super) unit_at: Vec<u32>,
    cells: Vec<Cell>,
    folded: Vec<(char, u32)>,
    /// Does the text go on before the first and behind the last unit?
    cut: (bool, bool),
    /// Was a sign read as an i that could be an l?
    pub(super) ambiguous: bool,
}

impl Squeezed {
    /// Reads a text into this buffer.
    pub(super) fn read(&mut self, text: &str, reading: Reading) {
        self.read_part(text, 0..text.len(), reading);
    }

    /// Reads a part of a text into this buffer. What touches a cut is not to be trusted.
    pub(super) fn read_part(&mut self, text: &str, part: Range<usize>, reading: Reading) {
        self.cut = (part.start > 0, part.end < text.len());
        self.folded.clear();
        for (at, character) in
            text[part.clone()].char_indices().map(|(at, character)| (part.start + at, character))
        {
            match fold(character) {
                Folding::Dropped => {}
                Folding::One(one) => self.folded.push((one, at as u32)),
                Folding::Many(many) => self.folded.extend(many.iter().map(|one| (*one, at as u32))),
            }
        }
        self.find_cells(text, reading);
        self.join_runs();
    }

    fn find_cells(&mut self, text: &str, reading: Reading) {
        self.cells.clear();
        self.ambiguous = false;
        let mut gap = Gap::None;
        let mut at = 0;
        while let Some(&(character, start)) = self.folded.get(at) {
            let before = at.checked_sub(1).map(|before| self.folded[before].0);
            let after = self.folded.get(at + 1).map(|after| after.0);
            let read = match reading {
                Reading::Leet => leet(before, character, after, 'i'),
                Reading::LeetWithL => leet(before, character, after, 'l'),
                Reading::NoDigits => (!character.is_numeric()).then_some((character, 1)),
                Reading::Sound => Some((super::variants::sound(character), 1)),
            };
            let letter = read.filter(|(letter, _)| is_alphanumeric(*letter) || is_syllable(*letter));
            if let Some((letter, length)) = letter {
                let last = self.folded[at + length - 1].1;
                let end = last + text[last as usize..].chars().next().map_or(0, char::len_utf8) as u32;
                let is_letter = character.is_alphabetic() || is_syllable(letter);
                self.ambiguous |= letter == 'i' && character != 'i';
                self.cells.push(Cell { letter, start, end, gap, is_letter });
                gap = Gap::None;
                at += length;
            } else {
                gap = gap.max(if is_of_a_sentence(character) { Gap::Sentence } else { Gap::Sign });
                at += 1;
            }
        }
    }

    fn join_runs(&mut self) {
        self.text.clear();
        self.units.clear();
        self.unit_at.clear();
        for (at, cell) in self.cells.iter().enumerate() {
            let apart = (at == 0 || cell.gap != Gap::None)
                && self.cells.get(at + 1).is_none_or(|next| next.gap != Gap::None);
            match self.units.last_mut() {
                Some(unit) if unit.letter == cell.letter => {
                    unit.run = unit.run.saturating_add(1);
                    unit.end = cell.end;
                    unit.inner_gap = unit.inner_gap.max(cell.gap);
                    unit.apart &= apart;
                    unit.is_letter |= cell.is_letter;
                }
                _ => {
                    let Cell { letter, start, end, gap, is_letter } = *cell;
                    self.text.push(letter);
                    self.unit_at.resize(self.text.len(), self.units.len() as u32);
                    self.units.push(Unit {
                        letter,
                        start,
                        end,
                        run: 1,
                        gap,
                        inner_gap: Gap::None,
                        apart,
                        is_letter,
                    });
                }
            }
        }
    }

    /// Do these units touch a place where the text was cut?
    pub(super) fn touches_cut(&self, units: &Range<usize>) -> bool {
        (self.cut.0 && units.start == 0) || (self.cut.1 && units.end == self.units.len())
    }

    /// The span of the original that some units came from.
    pub(super) fn original(&self, units: Range<usize>, text: &str) -> Range<usize> {
        let (first, last) = (self.units[units.start], self.units[units.end - 1]);
        let before_end = text[..last.end as usize].char_indices().next_back().map_or(0, |(at, _)| at);
        first.start as usize..end_of(text, before_end)
    }
}

/// A digit or sign beside Latin letters, read as the letter it stands for; with how many characters that took.
fn leet(before: Option<char>, character: char, after: Option<char>, one: char) -> Option<(char, usize)> {
    let latin =
        |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '@' | '$' | '('));
    let other_script = |c: Option<char>| c.is_some_and(|c| !c.is_ascii() && is_alphanumeric(c));
    let letter = match character {
        // A number in Chinese text is a number.
        '0'..='9' if other_script(before) || other_script(after) => character,
        '1' => one,
        '0' => 'o',
        '3' => 'e',
        '4' => 'a',
        '5' => 's',
        '7' => 't',
        '8' => 'b',
        '9' => 'g',
        '(' if after == Some(')') && latin(before) => return Some(('o', 2)),
        '@' if latin(before) || latin(after) => 'a',
        '$' if latin(before) || latin(after) => 's',
        '!' | '|' if latin(before) && latin(after) => one,
        '+' if latin(before) && latin(after) => 't',
        other => other,
    };
    Some((letter, 1))
}

/// Syllables are numbered in a private plane of Unicode.
fn is_syllable(letter: char) -> bool {
    letter >= super::variants::FIRST_SYLLABLE
}

fn is_of_a_sentence(character: char) -> bool {
    character.is_whitespace()
        || matches!(
            character,
            '.' | ','
                | '!'
                | '?'
                | ';'
                | ':'
                | '\''
                | '"'
                | '('
                | ')'
                | '。'
                | '、'
                | '“'
                | '”'
                | '‘'
                | '’'
                | '…'
                | '「'
                | '」'
                | '《'
                | '》'
                | '—'
        )
}

/// Where in a folded text a word could be hidden in a way that the plain view does not see: the bytes from the first
/// to the last suspicious place, with room for a word of `longest` letters around them. Most texts have none, and are
/// searched once. Sees too much rather than too little.
pub(super) fn suspicious(folded: &str, longest: usize) -> Option<Range<usize>> {
    let mut seen = Seen::default();
    let mut places =
        folded.char_indices().filter(|(_, character)| seen.is_suspicious(*character)).map(|(at, _)| at);
    let first = places.next();
    let last = places.last().or(first);
    let (first, last) =
        if seen.is_suspicious(' ') { (first.unwrap_or(folded.len()), folded.len()) } else { (first?, last?) };
    // What made a place suspicious may have begun two letters before it; one more shows how the word is bordered.
    let room = longest + 3;
    let start = walk(folded[..first].char_indices().rev(), room).unwrap_or(0);
    let ahead = folded[last..].char_indices().map(|(at, one)| (last + at + one.len_utf8(), one));
    Some(start..walk(ahead, room).unwrap_or(folded.len()))
}

/// The place of the letter that is so many letters away, repeats counted once.
fn walk(characters: impl Iterator<Item = (usize, char)>, mut letters: usize) -> Option<usize> {
    let mut before = None;
    for (at, character) in characters {
        if is_alphanumeric(character) && before.replace(character) != Some(character) {
            letters -= 1;
            if letters == 0 {
                return Some(at);
            }
        }
    }
    None
}

/// What [`suspicious`] remembers of the characters so far.
#[derive(Default)]
struct Seen {
    /// The last character, how often it stood there in a row, and whether the one before it was doubled.
    last: char,
    run: u32,
    doubled_before: bool,
    /// Letters since the last gap, and how many letters in a row stood apart.
    letters: u32,
    apart: u32,
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
            self.apart = match self.letters {
                0 => self.apart,
                1 if self.last.is_ascii() => self.apart + 1,
                1 => 2,
                _ => 0,
            };
            self.sign = (self.sign || self.letters > 0) && !is_of_a_sentence(character);
            (self.letters, self.run, self.doubled_before) = (0, 0, false);
            self.apart >= 2
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

/// Is this an end of a word in the folded text, at this byte?
pub(super) fn is_word_edge(folded: &str, at: usize) -> bool {
    let before = folded[..at].chars().next_back();
    let after = folded[at..].chars().next();
    !(before.is_some_and(is_word_character) && after.is_some_and(is_word_character))
}
