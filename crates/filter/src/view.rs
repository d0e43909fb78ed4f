//! Views: the forms of a text that are searched, each with the way back to the original.
//!
//! [`Plain`] is the folded text as it stands. [`Squeezed`] is what is left of it when somebody hides a word in it:
//! separators are dropped, repeated letters run together, and signs that stand for letters (leet) are read as such.
//! What was dropped is remembered, so that the accept rules can tell a hidden word from an innocent neighbourhood.

use std::ops::Range;

use super::fold::{is_alphabetic, is_alphanumeric, is_sign_for_letters, is_word_character, push_folded};

/// The folded text, separators and all.
#[derive(Default)]
pub(super) struct Plain {
    pub(super) text: String,
    /// For each byte of `text`, where its character starts in the original; empty where that is the same byte.
    origin: Vec<u32>,
    /// The bytes of `text` where letters begin that are signs in the original, in their order.
    signs: Vec<u32>,
}

impl Plain {
    /// Folds a text into this buffer.
    pub(super) fn read(&mut self, text: &str) {
        self.text.clear();
        self.origin.clear();
        self.signs.clear();
        if text.is_ascii() && !has_wide_space_or_control(text) {
            self.text.push_str(text);
            self.text.make_ascii_lowercase();
            return;
        }
        for (at, character) in text.char_indices() {
            let start = self.text.len();
            let is_another = push_folded(&mut self.text, character);
            if is_another && is_sign_for_letters(character) {
                let letters =
                    self.text[start..].char_indices().filter(|(_, letter)| is_word_character(*letter));
                self.signs.extend(letters.map(|(letter, _)| (start + letter) as u32));
            }
            self.origin.resize(self.text.len(), at as u32);
        }
    }

    /// Takes a text that is folded already.
    pub(super) fn read_folded(&mut self, folded: &str) {
        self.text.clear();
        self.origin.clear();
        self.signs.clear();
        self.text.push_str(folded);
    }

    /// Is the letter that begins at this byte a sign in the original?
    pub(super) fn is_sign(&self, at: usize) -> bool {
        !self.signs.is_empty() && self.signs.binary_search(&(at as u32)).is_ok()
    }

    /// The character before a byte, if that is no sign.
    pub(super) fn before(&self, at: usize) -> Option<char> {
        let before = self.text[..at].chars().next_back()?;
        (!self.is_sign(at - before.len_utf8())).then_some(before)
    }

    /// The character at a byte, if that is no sign.
    pub(super) fn after(&self, at: usize) -> Option<char> {
        self.text[at..].chars().next().filter(|_| !self.is_sign(at))
    }

    /// Is this an end of a word, at this byte?
    pub(super) fn is_word_edge(&self, at: usize) -> bool {
        !(self.before(at).is_some_and(is_word_character) && self.after(at).is_some_and(is_word_character))
    }

    /// The span of the original that a span of the folded text came from. Dropped characters (marks, invisible) go with
    /// the one that they hang on.
    pub(super) fn original(&self, span: Range<usize>, text: &str) -> Range<usize> {
        if self.origin.is_empty() {
            return span;
        }
        let last = self.origin[span.end - 1];
        let next = self.origin[span.end..].iter().find(|origin| **origin != last);
        self.origin[span.start] as usize..next.map_or(text.len(), |next| *next as usize)
    }
}

/// Spaces that folding makes one.
fn has_wide_space_or_control(ascii: &str) -> bool {
    let mut before = false;
    ascii.bytes().any(|byte| {
        let space = byte.is_ascii_whitespace();
        let wide = space && (before || byte != b' ');
        before = space;
        wide || byte < b' ' || byte == 0x7f
    })
}

/// Characters between two letters.
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

/// A letter as it was read, and where.
#[derive(Clone, Copy)]
pub(super) struct Letter {
    pub(super) letter: char,
    pub(super) start: u32,
    pub(super) end: u32,
    /// Gap before the letter.
    pub(super) gap: Gap,
    /// Rather than a sign read as one.
    pub(super) is_letter: bool,
    /// True if the letter is folded from a sign in the original.
    pub(super) is_sign: bool,
}

/// A letter and its repeats.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    pub(super) letter: char,
    /// Start and end in the plain view.
    start: u32,
    end: u32,
    /// Number of times that the letter stands there.
    pub(super) run: u16,
    /// The strongest gap before the letter or among its repeats.
    pub(super) gap: Gap,
    /// Gap among the letter's repeats.
    pub(super) inner_gap: Gap,
    /// Each of its letters stood apart from its neighbours.
    pub(super) apart: bool,
    /// At least one of them was a letter rather than a sign read as one.
    pub(super) is_letter: bool,
    /// All of them are signs in the original that are folded to letters.
    pub(super) is_sign: bool,
}

/// Ways in which a squeezed view reads characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Leet digits and signs as letters.
    Leet,
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
    /// Does the text go on before the first and behind the last unit?
    cut: (bool, bool),
}

impl Squeezed {
    /// Reads what the plain view holds, or a part of it, into this buffer. What touches a cut is not to be trusted.
    pub(super) fn read(&mut self, plain: &Plain, part: Range<usize>, reading: Reading) {
        self.text.clear();
        self.units.clear();
        self.unit_at.clear();
        self.cut = (part.start > 0, part.end < plain.text.len());
        let mut characters = plain.text[part.clone()].char_indices();
        let (mut before, mut gap) = (None, Gap::None);
        while let Some((at, character)) = characters.next() {
            let start = part.start + at;
            let (letter, takes_two) = reading.letter(before, character, || characters.clone().next());
            before = Some(character);
            if !is_alphanumeric(letter) && !is_syllable(letter) {
                gap = gap.max(gap_of(character));
                continue;
            }
            if takes_two {
                before = characters.next().map(|(_, second)| second);
            }
            let is_letter = is_alphabetic(character) || is_syllable(letter);
            let (end, is_sign) = ((part.start + characters.offset()) as u32, plain.is_sign(start));
            self.push(Letter { letter, start: start as u32, end, gap, is_letter, is_sign });
            gap = Gap::None;
        }
    }

    /// Takes letters that were found one by one.
    pub(super) fn read_letters(&mut self, letters: &[Letter]) {
        self.text.clear();
        self.units.clear();
        self.unit_at.clear();
        self.cut = (false, false);
        letters.iter().for_each(|letter| self.push(*letter));
    }

    /// Says whether letters stand right before and behind what was read.
    pub(super) fn set_neighbours(&mut self, before: bool, after: bool) {
        if let Some(first) = self.units.first_mut() {
            first.apart &= !before;
        }
        if let Some(last) = self.units.last_mut() {
            last.apart &= !after;
        }
    }

    /// Adds a letter: to the last unit, where it repeats it.
    fn push(&mut self, one: Letter) {
        // A sign that is folded to a letter stands for itself, too.
        let is_neighbour = |unit: &&mut Unit| one.gap == Gap::None && unit.is_sign == one.is_sign;
        let neighbour = self.units.last_mut().filter(is_neighbour);
        let apart = neighbour.is_none();
        if let Some(neighbour) = neighbour {
            neighbour.apart = false;
        }
        match self.units.last_mut() {
            Some(unit) if unit.letter == one.letter && unit.is_sign == one.is_sign => {
                unit.run = unit.run.saturating_add(1);
                unit.end = one.end;
                unit.inner_gap = unit.inner_gap.max(one.gap);
                unit.apart &= apart;
                unit.is_letter |= one.is_letter;
            }
            _ => {
                self.text.push(one.letter);
                self.unit_at.resize(self.text.len(), self.units.len() as u32);
                let Letter { letter, start, end, gap, is_letter, is_sign } = one;
                self.units.push(Unit {
                    letter,
                    start,
                    end,
                    run: 1,
                    gap,
                    inner_gap: Gap::None,
                    apart,
                    is_letter,
                    is_sign,
                });
            }
        }
    }

    /// Do these units touch a place where the text was cut?
    pub(super) fn touches_cut(&self, units: &Range<usize>) -> bool {
        (self.cut.0 && units.start == 0) || (self.cut.1 && units.end == self.units.len())
    }

    /// Is the first or last of these repeated across a gap, so that one part of it may be another word's?
    pub(super) fn may_be_joined(&self, units: &Range<usize>) -> bool {
        [units.start, units.end - 1].iter().any(|end| self.units[*end].inner_gap == Gap::Sentence)
    }

    /// The span of the plain view that some units came from.
    pub(super) fn span(&self, units: Range<usize>) -> Range<usize> {
        self.units[units.start].start as usize..self.units[units.end - 1].end as usize
    }
}

impl Reading {
    /// Returns the letter that a character is read as, and true if the next character was taken too.
    fn letter(
        self,
        before: Option<char>,
        character: char,
        after: impl FnOnce() -> Option<(usize, char)>,
    ) -> (char, bool) {
        let after = || after().map(|(_, after)| after);
        match self {
            Self::Leet if !could_be_leet(character) => (character, false),
            Self::Leet => leet(before, character, after()),
            Self::NoDigits if character.is_numeric() => (' ', false),
            Self::NoDigits => (character, false),
            Self::Sound => (super::variants::sound(character), false),
        }
    }
}

fn could_be_leet(character: char) -> bool {
    character.is_ascii_digit() || matches!(character, '(' | '@' | '$' | '!' | '|' | '+')
}

/// A digit or sign beside Latin letters, read as the letter it stands for; and whether that took two characters.
fn leet(before: Option<char>, character: char, after: Option<char>) -> (char, bool) {
    let latin =
        |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '@' | '$' | '('));
    let other_script = |c: Option<char>| c.is_some_and(|c| !c.is_ascii() && is_alphanumeric(c));
    let letter = match character {
        // A number in Chinese text is a number.
        '0'..='9' if other_script(before) || other_script(after) => character,
        '1' => 'i',
        '0' => 'o',
        '3' => 'e',
        '4' => 'a',
        '5' => 's',
        '7' => 't',
        '8' => 'b',
        '9' => 'g',
        '(' if after == Some(')') && latin(before) => return ('o', true),
        '@' if latin(before) || latin(after) => 'a',
        '$' if latin(before) || latin(after) => 's',
        '!' | '|' if latin(before) && latin(after) => 'i',
        '+' if latin(before) && latin(after) => 't',
        other => other,
    };
    (letter, false)
}

/// Syllables are numbered in a private plane of Unicode.
fn is_syllable(letter: char) -> bool {
    letter >= super::variants::FIRST_SYLLABLE
}

/// Returns the gap that a character makes that is no letter.
pub(super) fn gap_of(character: char) -> Gap {
    if is_of_a_sentence(character) { Gap::Sentence } else { Gap::Sign }
}

pub(super) fn is_of_a_sentence(character: char) -> bool {
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
