//! What a character can be read as: signs and digits that stand for letters, signs that draw one together, letters of
//! other scripts that look like Latin ones. Ours, from how they look to a reader.

use std::ops::Range;

use super::fold::is_alphanumeric;
use super::view::{Gap, gap_of};

/// One way to read what stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// A letter; does it count as one that was written, or as a sign that stands for one?
    Letter(char, bool),
    /// Nothing: it parts letters.
    Separator(Gap),
    /// Some letter, no matter which.
    Hole,
}

/// Signs and digits, and the letters they stand for.
const SIGNS: &[(char, &str)] = &[
    ('0', "o"),
    ('1', "il"),
    ('2', "z"),
    ('3', "e"),
    ('4', "a"),
    ('5', "s"),
    ('6', "gb"),
    ('7', "t"),
    ('8', "b"),
    ('9', "g"),
    ('@', "a"),
    ('$', "s"),
    ('!', "il"),
    ('|', "il"),
    ('/', "l"),
    ('\\', "l"),
    ('+', "t"),
    ('(', "c"),
    ('<', "c"),
    ('{', "c"),
    ('[', "c"),
    ('#', "h"),
    ('^', "a"),
    ('€', "e"),
    ('£', "l"),
    ('¥', "y"),
    ('¢', "c"),
    ('§', "s"),
    ('†', "t"),
];

/// Digits among Cyrillic letters.
const CYRILLIC_DIGITS: &[(char, &str)] = &[('0', "o"), ('3', "зэ"), ('4', "ч"), ('6', "бb")];

/// Letters that are drawn with several signs, or with two of another letter. Longer ones come first.
const DRAWN: &[(&str, char)] = &[
    ("\\/\\/", 'w'),
    ("/\\/\\", 'm'),
    ("|\\/|", 'm'),
    ("|\\|", 'n'),
    ("/\\/", 'n'),
    ("|_|", 'u'),
    ("(_)", 'u'),
    ("|-|", 'h'),
    (")-(", 'h'),
    ("-|-", 't'),
    ("\\|/", 'y'),
    ("/\\", 'a'),
    ("\\/", 'v'),
    ("|)", 'd'),
    ("[)", 'd'),
    ("|>", 'd'),
    ("|3", 'b'),
    ("|2", 'r'),
    ("|*", 'p'),
    ("|<", 'k'),
    ("|{", 'k'),
    ("|(", 'k'),
    ("|=", 'f'),
    ("|_", 'l'),
    ("_|", 'j'),
    ("}{", 'h'),
    ("><", 'x'),
    ("()", 'o'),
    ("[]", 'o'),
    ("<>", 'o'),
    ("`/", 'y'),
    ("vv", 'w'),
];

/// Letters that readers take for Latin ones where Latin ones stand beside them. They are other letters to those who
/// write in them, so the fold table leaves them alone.
const TWINS: &[(char, &str)] = &[
    // Greek.
    ('δ', "da"),
    ('λ', "la"),
    ('ξ', "ex"),
    ('π', "n"),
    ('ς', "sc"),
    ('φ', "op"),
    ('ψ', "wy"),
    ('ω', "w"),
    // Cyrillic.
    ('б', "b"),
    ('д', "da"),
    ('ж', "x"),
    ('з', "ez"),
    ('и', "nu"),
    ('л', "nl"),
    ('п', "n"),
    ('ф', "o"),
    ('ц', "u"),
    ('ч', "y"),
    ('щ', "w"),
    ('ъ', "b"),
    ('э', "e"),
    ('я', "r"),
    ('ђ', "h"),
    ('є', "e"),
    // Signs of other scripts in the letter shapes of "fancy text".
    ('卂', "a"),
    ('乃', "b"),
    ('匚', "c"),
    ('乇', "e"),
    ('千', "f"),
    ('卄', "h"),
    ('丨', "il"),
    ('爪', "m"),
    ('几', "n"),
    ('ㄖ', "o"),
    ('卩', "p"),
    ('尺', "r"),
    ('丂', "s"),
    ('ㄒ', "t"),
    ('ㄩ', "u"),
    ('山', "w"),
    ('乂', "x"),
    ('ㄚ', "y"),
    ('乙', "z"),
    ('ㄥ', "l"),
    ('フ', "j"),
];

/// Calls `choose` with every reading of the start of `rest`, and the bytes that each reading takes. `before` is the
/// character in front of it. `twins` asks for look-alikes of other scripts too.
pub(super) fn choices(before: Option<char>, rest: &str, twins: bool, mut choose: impl FnMut(Choice, usize)) {
    let mut characters = rest.chars();
    let Some(character) = characters.next() else { return };
    let (length, after) = (character.len_utf8(), characters.next());
    let mut drawings = drawn_from(character);
    while drawings != 0 {
        let (drawing, letter) = DRAWN[drawings.trailing_zeros() as usize];
        drawings &= drawings - 1;
        if rest.starts_with(drawing) {
            choose(Choice::Letter(letter, true), drawing.len());
        }
    }
    let mut letters = |letters: &str, is_letter| {
        letters.chars().for_each(|letter| choose(Choice::Letter(letter, is_letter), length));
    };
    let beside = |wanted: fn(char) -> bool| before.is_some_and(wanted) || after.is_some_and(wanted);
    if character.is_ascii_digit() && beside(is_other_letter) {
        if beside(is_cyrillic) {
            letters(listed(CYRILLIC_DIGITS, character), false);
        }
        return choose(Choice::Letter(character, false), length);
    }
    letters(sign(character), false);
    if twins && is_twin(character) {
        letters(listed(TWINS, character), true);
    }
    if is_alphanumeric(character) {
        if is_put_in(before, character, after) {
            choose(Choice::Separator(Gap::Sign), length);
        }
        if !character.is_ascii_digit() {
            choose(Choice::Letter(character, true), length);
        }
        return;
    }
    choose(Choice::Separator(gap_of(character)), length);
    if stands_for_any(character) {
        choose(Choice::Hole, length);
    }
}

/// Returns the letters that a table lists for a character; empty if it lists none.
fn listed(table: &[(char, &'static str)], character: char) -> &'static str {
    table.iter().find(|(listed, _)| *listed == character).map_or("", |(_, letters)| letters)
}

/// The letters that a sign stands for. Of ASCII, by one look: the walk asks at every place.
fn sign(character: char) -> &'static str {
    const ASCII: [&str; 128] = {
        let (mut letters, mut at) = ([""; 128], 0);
        while at < SIGNS.len() {
            if SIGNS[at].0.is_ascii() {
                letters[SIGNS[at].0 as usize] = SIGNS[at].1;
            }
            at += 1;
        }
        letters
    };
    match ASCII.get(character as usize) {
        Some(letters) => letters,
        None => listed(SIGNS, character),
    }
}

/// The places in [`DRAWN`] whose drawing begins with this character, as bits.
fn drawn_from(character: char) -> u64 {
    const FIRST: [u64; 128] = {
        assert!(DRAWN.len() <= 64, "a bit for each");
        let (mut drawings, mut at) = ([0; 128], 0);
        while at < DRAWN.len() {
            drawings[DRAWN[at].0.as_bytes()[0] as usize] |= 1 << at;
            at += 1;
        }
        drawings
    };
    FIRST.get(character as usize).copied().unwrap_or_default()
}

/// Is this a place that can be read in more than one way? Sees too much rather than too little.
pub(super) fn is_ambiguous(before: Option<char>, character: char, after: Option<char>) -> bool {
    let letter = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let sign = |c: Option<char>| c.is_some_and(|c| !is_alphanumeric(c) && gap_of(c) == Gap::Sign);
    let held = || (letter(before) && (letter(after) || sign(after))) || (sign(before) && letter(after));
    match character {
        'v' => after == Some('v'),
        '3' | '4' => before.is_some_and(is_cyrillic) || after.is_some_and(is_cyrillic),
        // Of the others it matters whether their word has a letter.
        '0'..='9' => false,
        '@' | '$' | '+' | '|' | '€' | '£' | '¥' | '¢' | '§' | '†' => {
            letter(before) || letter(after) || before == Some('!')
        }
        '!' => letter(before) && (letter(after) || sign(after)),
        '(' | '<' | '[' | '{' | '\\' | '}' | '`' => held() || (sign(before) && sign(after)),
        _ if character.is_ascii_punctuation() => stands_for_any(character) && held(),
        _ => is_put_in(before, character, after),
    }
}

/// Signs that are put in a letter's place. Those that sentences and compound words have there are not.
fn stands_for_any(character: char) -> bool {
    matches!(character, '*' | '#' | '%' | '^' | '&' | '_' | '~' | '=' | '@' | '$' | '+' | '|' | '/' | '\\')
}

/// The first bytes of what [`is_ambiguous`] may say yes to: a glance at most texts is enough.
pub(super) fn may_be_ambiguous(byte: u8) -> bool {
    const BYTES: [bool; 256] = {
        let mut bytes = [false; 256];
        // Signs of Latin-1, of currencies, jamo, and Cyrillic for the digits beside it.
        let firsts = b"12346v!@#$%^&*(_=+[{}\\|/<~`\xc2\xe1\xe2\xd0\xd1\xd2\xd3\xd4";
        let mut at = 0;
        while at < firsts.len() {
            bytes[firsts[at] as usize] = true;
            at += 1;
        }
        bytes
    };
    BYTES[usize::from(byte)]
}

/// Does the text mix scripts within a word, also within one whose letters are parted, or use signs that have no other use in
/// chat than to look like Latin letters?
pub(super) fn mixes_scripts(text: &str) -> bool {
    mixed_places(text).next().is_some()
}

/// Returns the places of mixed scripts: letters that are of another script than the one before them.
pub(super) fn mixed_places(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    // The last letter's alphabet, the letter, and how many characters ago it stood.
    let (mut known, mut last, mut ago) = (Alphabet::None, ' ', 0_u32);
    text.char_indices().filter_map(move |(at, character)| {
        let alphabet = Alphabet::of(character);
        if alphabet == Alphabet::None {
            ago += 1;
            return None;
        }
        let looks = |alphabet, character| alphabet != Alphabet::Other || is_twin(character);
        let mixed = alphabet == Alphabet::Bopomofo
            || (ago <= 1
                && known != Alphabet::None
                && known != alphabet
                && looks(known, last)
                && looks(alphabet, character));
        (known, last, ago) = (alphabet, character, 0);
        mixed.then_some(at..at + character.len_utf8())
    })
}

fn is_twin(character: char) -> bool {
    // By the last bits of the twins: most characters are told apart by one look.
    const SEEN: [u64; 8] = {
        let (mut seen, mut at) = ([0; 8], 0);
        while at < TWINS.len() {
            let bits = TWINS[at].0 as usize % 512;
            seen[bits / 64] |= 1 << (bits % 64);
            at += 1;
        }
        seen
    };
    let bits = character as usize % 512;
    SEEN[bits / 64] >> (bits % 64) & 1 == 1 && TWINS.iter().any(|(twin, _)| *twin == character)
}

/// Alphabets whose letters are taken for each other's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Alphabet {
    None,
    Latin,
    Greek,
    Cyrillic,
    Bopomofo,
    /// Characters of which some look like Latin letters.
    Other,
}

impl Alphabet {
    const fn of(character: char) -> Self {
        match character {
            'a'..='z' | 'A'..='Z' => Self::Latin,
            '\0'..='\u{36f}' => Self::None,
            '\u{370}'..='\u{3ff}' => Self::Greek,
            '\u{400}'..='\u{52f}' => Self::Cyrillic,
            '\u{3105}'..='\u{312f}' => Self::Bopomofo,
            '\u{3041}'..='\u{9fff}' => Self::Other,
            _ => Self::None,
        }
    }
}

/// Letters of other alphabets than Latin, which is what digits beside them are no leet for.
fn is_other_letter(character: char) -> bool {
    !character.is_ascii() && is_alphanumeric(character)
}

fn is_cyrillic(character: char) -> bool {
    matches!(character, '\u{400}'..='\u{52f}')
}

/// Parts of Hangul syllables, as folding leaves them.
fn is_jamo(character: char) -> bool {
    matches!(character, '\u{1100}'..='\u{11ff}')
}

/// A part of a syllable alone between two whole ones. Several are laughter or tears.
fn is_put_in(before: Option<char>, character: char, after: Option<char>) -> bool {
    is_jamo(character) && before.is_some_and(is_syllable_block) && after.is_some_and(is_syllable_block)
}

fn is_syllable_block(character: char) -> bool {
    matches!(character, '\u{ac00}'..='\u{d7a3}')
}
