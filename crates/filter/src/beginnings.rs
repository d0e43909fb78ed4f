//! Where words may begin: the places from which the walk goes along the patterns.

use std::ops::Range;

use super::fold::is_word_character;
use super::view::Plain;

/// Words with a sign in place of a letter have so many that are written as letters or digits, within so many characters.
const HOLE_WORD_LETTERS: usize = 3;
const HOLE_WORD: usize = 24;

/// A place at which a word may begin.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Beginning {
    pub(super) at: u32,
    pub(super) behind_space: bool,
}

/// Adds those of a part of a text.
pub(super) fn add_beginnings(
    plain: &Plain,
    part: &Range<usize>,
    begins_inside: bool,
    beginnings: &mut Vec<Beginning>,
) {
    let text = plain.text.as_str();
    let mut before = text[..part.start].chars().next_back();
    for (at, character) in text[part.clone()].char_indices() {
        let at = part.start + at;
        let before = before.replace(character);
        let is_letter = is_word_character(character) && !plain.is_sign(at);
        let inside = is_letter && before.is_some_and(is_word_character) && plain.before(at).is_some();
        if character != ' ' && (!inside || begins_inside) {
            beginnings
                .push(Beginning { at: at as u32, behind_space: before.is_none_or(char::is_whitespace) });
        }
    }
}

/// Has what stands here up to the next space the letters of a word with one put in? Few faces drawn with signs have.
pub(super) fn has_letters(text: &str) -> bool {
    let word = text.chars().take_while(|character| *character != ' ').take(HOLE_WORD);
    word.filter(|character| is_word_character(*character)).nth(HOLE_WORD_LETTERS - 1).is_some()
}
