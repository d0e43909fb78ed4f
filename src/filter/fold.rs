//! Folding: one form for all the ways to write a character, with the way back to the original.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;

/// A folded text, and where each of its bytes came from.
pub(super) struct Folded {
    pub(super) text: String,
    /// For each byte of `text`, the byte of the original where its character starts.
    origin: Vec<u32>,
}

impl Folded {
    /// The original's span of a span of the folded text, grown to whole characters.
    pub(super) fn original(&self, span: Range<usize>, text: &str) -> Range<usize> {
        let start = self.origin[span.start] as usize;
        let last = self.origin[span.end - 1] as usize;
        start..last + text[last..].chars().next().map_or(0, char::len_utf8)
    }
}

/// Lower case and compatibility forms (NFKC), character by character, so that every folded byte has one origin.
pub(super) fn fold(text: &str) -> Folded {
    let mut folded =
        Folded { text: String::with_capacity(text.len()), origin: Vec::with_capacity(text.len()) };
    for (at, character) in text.char_indices() {
        if character.is_ascii() {
            folded.text.push(character.to_ascii_lowercase());
        } else {
            folded.text.extend(std::iter::once(character).nfkc().flat_map(char::to_lowercase));
        }
        folded.origin.resize(folded.text.len(), at as u32);
    }
    folded
}
