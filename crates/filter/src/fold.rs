//! Folding: one form for all the ways to write a character, from a table made by `tools/fold-table`.
//!
//! Case, width, compatibility forms, marks, invisible characters, look-alikes and traditional Chinese all go in one
//! look-up a character. What a character becomes is for comparing only; nobody is shown it.

use std::sync::LazyLock;

use unicode_normalization::char::compose;

/// Folded form of a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Folding<'t> {
    /// Nothing: a mark, or invisible.
    Dropped,
    /// One character, often itself.
    One(char),
    /// Several.
    Many(&'t [char]),
}

struct Table {
    blocks: Box<[u16]>,
    entries: Box<[u32]>,
    pool: Box<[char]>,
}

const BLOCK: usize = 32;
const BLOCKS: usize = 0x11_0000 / BLOCK;
const DROPPED: u32 = u32::MAX;
const MANY: u32 = 1 << 31;
/// Most characters that one character may become. The few that would become whole sentences stay themselves, or a text
/// of them would be eleven times as long when it is searched.
const LONGEST: u32 = 4;

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let bytes = include_bytes!("fold_table.bin");
    let (blocks, entries) = bytes.split_at(BLOCKS * 2);
    let blocks: Box<[u16]> = blocks.as_chunks().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    let count = (usize::from(blocks.iter().copied().max().unwrap_or_default()) + 1) * BLOCK;
    let mut words = entries.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word));
    let entries = words.by_ref().take(count).collect();
    let pool = words.map(|word| char::from_u32(word).unwrap_or_default()).collect();
    Table { blocks, entries, pool }
});

/// Looks a character up.
pub(super) fn fold(character: char) -> Folding<'static> {
    if character.is_ascii() {
        let is_read = character >= ' ' && character != '\u{7f}' || character.is_whitespace();
        return if is_read { Folding::One(character.to_ascii_lowercase()) } else { Folding::Dropped };
    }
    let (table, code) = (&*TABLE, character as usize);
    match table.entries[usize::from(table.blocks[code / BLOCK]) * BLOCK + code % BLOCK] {
        0 => Folding::One(character),
        DROPPED => Folding::Dropped,
        many if many & MANY != 0 => {
            let (offset, count) = ((many & !MANY) >> 8, many & 0xff);
            if count > LONGEST {
                return Folding::One(character);
            }
            Folding::Many(&table.pool[offset as usize..(offset + count) as usize])
        }
        one => Folding::One(char::from_u32(one).unwrap_or(character)),
    }
}

/// Folds a whole text; for lists and reports.
pub fn fold_text(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    text.chars().for_each(|character| {
        push_folded(&mut folded, character);
    });
    folded
}

/// Is a text more than one character when it is folded, spaces aside?
pub(super) fn has_two_letters(text: &str) -> bool {
    let letters = |character| match fold(character) {
        Folding::Dropped => 0,
        Folding::One(one) => usize::from(!one.is_whitespace()),
        Folding::Many(many) => many.iter().filter(|one| !one.is_whitespace()).count(),
    };
    text.chars().flat_map(|character| 0..letters(character)).nth(1).is_some()
}

/// Adds what a character is taken for; says whether that is something else. White space is one space, however much there is.
pub(super) fn push_folded(text: &mut String, character: char) -> bool {
    match fold(character) {
        Folding::Dropped => return false,
        // Behind anything that it makes no other syllable of, it is a mark like others.
        Folding::One(mark) if is_voicing(mark) && !is_voiced(text, mark) => return false,
        Folding::One(one) if one.is_whitespace() => {
            if !text.ends_with(' ') {
                text.push(' ');
            }
        }
        Folding::One(one) => {
            text.push(one);
            return one != character;
        }
        Folding::Many(many) => text.extend(many),
    }
    true
}

/// Letters and digits of scripts that put words apart, where "the whole word" means something. Thai and all that
/// stands behind it in Unicode (Han, kana, Hangul) is written or bent without such edges.
pub(super) fn is_word_character(folded: char) -> bool {
    const THAI: char = '\u{e00}';
    folded.is_ascii_alphanumeric() || (!folded.is_ascii() && folded < THAI && is_alphanumeric(folded))
}

/// Bits of the characters below Han: letters, and letters or numbers. The standard library takes 40 ns for each
/// character, and a text is asked several times.
static LETTERS: LazyLock<Box<[(u64, u64)]>> = LazyLock::new(|| {
    let bits = |first: u32, is: fn(char) -> bool| {
        let is = |code: u32| char::from_u32(code).is_some_and(is);
        (0..u64::BITS).filter(|bit| is(first + bit)).fold(0, |bits, bit| bits | 1 << bit)
    };
    let block = |block: u32| {
        let first = block * u64::BITS;
        (bits(first, char::is_alphabetic), bits(first, char::is_alphanumeric))
    };
    (0..BELOW_HAN / u64::BITS).map(block).collect()
});
const BELOW_HAN: u32 = 0x3400;

/// `char::is_alphanumeric`, with a short way for the letters that chat is made of.
pub(super) fn is_alphanumeric(folded: char) -> bool {
    match folded {
        '\0'..='\x7f' => folded.is_ascii_alphanumeric(),
        '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' => true,
        '\u{80}'..'\u{3400}' => {
            LETTERS[folded as usize / 64].1 >> (folded as usize % 64) & 1 == 1 || is_voicing(folded)
        }
        _ => folded.is_alphanumeric(),
    }
}

/// The marks that make another syllable of a kana; folding sets them apart from it.
pub(super) fn is_voicing(folded: char) -> bool {
    matches!(folded, '\u{3099}' | '\u{309a}')
}

fn is_voiced(text: &str, mark: char) -> bool {
    text.chars().next_back().is_some_and(|kana| compose(kana, mark).is_some())
}

/// Is this a sign that some take for a letter, as `\u{a1}` is for an i? A word may stand right beside it.
pub(super) fn is_sign_for_letters(character: char) -> bool {
    !character.is_ascii() && !is_alphanumeric(character)
}

/// `char::is_alphabetic`, with the same short way.
pub(super) fn is_alphabetic(folded: char) -> bool {
    match folded {
        '\0'..='\x7f' => folded.is_ascii_alphabetic(),
        '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' => true,
        '\u{80}'..'\u{3400}' => LETTERS[folded as usize / 64].0 >> (folded as usize % 64) & 1 == 1,
        _ => folded.is_alphabetic(),
    }
}
