//! Writes the filter's fold table: for every character, what it is taken for.
//!
//! `cargo run --release --manifest-path tools/fold-table/Cargo.toml` writes `crates/filter/src/fold_table.bin`;
//! with `--check` it compares instead, and fails where the committed table is another.
//!
//! Sources, all compiled into crates: Unicode's compatibility forms (unicode-normalization), its categories and
//! scripts (unicode-properties, unicode-script) and the confusables of UTS #39 (unicode-security), under the Unicode
//! licence; look-alikes beyond those from decancer (MIT); traditional to simplified Chinese from OpenCC's
//! dictionaries (ferrous-opencc, Apache-2.0). The tables at the end of this file are our own.
//!
//! The file: 34816 numbers of blocks (u16), one for each 32 characters; then blocks of 32 entries (u32): 0 is
//! the character itself, a character, `DROPPED`, or `MANY | offset << 8 | count` into the characters (u32) behind.

use std::collections::HashMap;
use std::process::ExitCode;

use ferrous_opencc::OpenCC;
use ferrous_opencc::config::BuiltinConfig;
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
use unicode_script::{Script, UnicodeScript};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/filter/src/fold_table.bin");
/// Characters in a block: the smaller, the more of them are alike.
const BLOCK: usize = 32;
const DROPPED: u32 = u32::MAX;
const MANY: u32 = 1 << 31;

fn main() -> ExitCode {
    let table = table();
    if std::env::args().any(|argument| argument == "--check") {
        if std::fs::read(PATH).is_ok_and(|committed| committed == table) {
            return ExitCode::SUCCESS;
        }
        eprintln!(
            "the fold table is not what its generator writes: run it without --check and commit the result"
        );
        return ExitCode::FAILURE;
    }
    std::fs::write(PATH, &table).expect("the table can be written");
    println!("{} bytes", table.len());
    ExitCode::SUCCESS
}

fn table() -> Vec<u8> {
    let folder = Folder {
        to_simplified: OpenCC::from_config(BuiltinConfig::T2s).expect("the dictionary is built in"),
    };
    let mut blocks: Vec<[u32; BLOCK]> = Vec::new();
    let mut known: HashMap<[u32; BLOCK], u16> = HashMap::new();
    let mut pool: Vec<u32> = Vec::new();
    let mut pieces: HashMap<Vec<u32>, u32> = HashMap::new();
    let mut stage = Vec::new();
    for block in 0..0x11_0000 / BLOCK {
        let mut entries = [0; BLOCK];
        for (low, entry) in entries.iter_mut().enumerate() {
            let Some(character) = char::from_u32((block * BLOCK + low) as u32) else { continue };
            let folded: Vec<u32> = folder.settle(character).into_iter().map(u32::from).collect();
            *entry = match folded[..] {
                [] => DROPPED,
                [one] if one == u32::from(character) => 0,
                [one] => one,
                _ => *pieces.entry(folded.clone()).or_insert_with(|| {
                    let offset = pool.len() as u32;
                    pool.extend(&folded);
                    MANY | offset << 8 | folded.len() as u32
                }),
            };
        }
        let number = *known.entry(entries).or_insert_with(|| {
            blocks.push(entries);
            (blocks.len() - 1) as u16
        });
        stage.extend(number.to_le_bytes());
    }
    let entries = blocks.iter().flatten().chain(&pool).flat_map(|entry| entry.to_le_bytes());
    stage.into_iter().chain(entries).collect()
}

struct Folder {
    to_simplified: OpenCC,
}

impl Folder {
    /// Folds until nothing changes, so that folding twice is folding once.
    fn settle(&self, character: char) -> Vec<char> {
        let mut now = vec![character];
        for _ in 0..8 {
            let next: Vec<char> = now.iter().flat_map(|c| self.fold(*c)).collect();
            if next == now {
                break;
            }
            now = next;
        }
        now
    }

    fn fold(&self, character: char) -> Vec<char> {
        if let Some(letter) = framed_letter(character) {
            return vec![letter];
        }
        if let Some((_, digit)) = NUMERALS.iter().find(|(numeral, _)| *numeral == character) {
            return vec![*digit];
        }
        if character == 'ß' {
            return vec!['s', 's'];
        }
        let plain: Vec<char> = if ('\u{ac00}'..='\u{d7a3}').contains(&character) {
            vec![character]
        } else {
            character.nfkd().flat_map(char::to_lowercase).nfkd().filter(|c| !is_dropped(*c)).collect()
        };
        plain.into_iter().flat_map(|c| self.look_alike(c)).collect()
    }

    fn look_alike(&self, character: char) -> Vec<char> {
        if character.is_ascii() {
            return vec![character];
        }
        if let Some(digit) = digit(character) {
            return vec![digit];
        }
        match character.script() {
            Script::Han => self.to_simplified.convert(&character.to_string()).chars().collect(),
            Script::Hiragana | Script::Katakana | Script::Hangul | Script::Bopomofo => vec![character],
            script => latin_twin(character, script).unwrap_or_else(|| vec![character]),
        }
    }
}

/// What the character would be read as, where that is Latin letters or digits. Asked of both cases, so that a
/// word keeps one form in both.
fn latin_twin(character: char, script: Script) -> Option<Vec<char>> {
    let confusable = |c: char| -> Option<Vec<char>> {
        let twin: String =
            unicode_security::confusable_detection::skeleton(c.encode_utf8(&mut [0; 4])).collect();
        as_latin(&twin)
    };
    let upper = || {
        let mut upper = character.to_uppercase();
        upper.next().filter(|_| upper.next().is_none()).and_then(confusable)
    };
    // Beyond Latin it would run letters together that are different ones to those who read them.
    let cured = || {
        let widely_used = matches!(script, Script::Latin | Script::Common) || character == 'β';
        let letter_like = character.is_alphanumeric() || ('\u{2460}'..='\u{24ff}').contains(&character);
        let options = decancer::Options::default();
        (widely_used && letter_like)
            .then(|| decancer::cure_char(character, options).to_string())
            .and_then(|twin| as_latin(&twin))
    };
    // A letter that looks like a digit would be read as another letter where digits stand for some.
    let fits = |twin: &Vec<char>| !character.is_alphabetic() || !twin.iter().all(char::is_ascii_digit);
    confusable(character).or_else(upper).filter(fits).or_else(|| cured().filter(fits))
}

fn as_latin(twin: &str) -> Option<Vec<char>> {
    let letters: Vec<char> = twin.nfkd().flat_map(char::to_lowercase).filter(|c| !is_dropped(*c)).collect();
    let latin = !letters.is_empty() && letters.len() <= 3 && letters.iter().all(char::is_ascii_alphanumeric);
    latin.then_some(letters)
}

/// Decimal digits stand in runs of ten, from zero.
fn digit(character: char) -> Option<char> {
    let is_digit = |c: char| c.general_category() == GeneralCategory::DecimalNumber;
    if !is_digit(character) {
        return None;
    }
    let mut first = u32::from(character);
    while char::from_u32(first - 1).is_some_and(is_digit) {
        first -= 1;
    }
    char::from_digit((u32::from(character) - first) % 10, 10)
}

/// Seen as nothing: default ignorables, and marks that any letter can bear. Vowel signs of scripts that write
/// vowels as marks stay, and so do the voicing marks of kana, which make another syllable.
fn is_dropped(character: char) -> bool {
    let mark = matches!(
        character.general_category(),
        GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark
    );
    let borne_by_any =
        matches!(character.script(), Script::Inherited | Script::Hebrew | Script::Arabic | Script::Cyrillic);
    let voicing = matches!(character, '\u{3099}' | '\u{309a}');
    (mark && borne_by_any && !voicing)
        || IGNORABLE.iter().any(|(first, last)| (*first..=*last).contains(&character))
}

/// Letters in circles, squares and flags that Unicode's own forms leave alone.
fn framed_letter(character: char) -> Option<char> {
    let first = [0x1f150, 0x1f170, 0x1f1e6]
        .into_iter()
        .find(|first| (*first..first + 26).contains(&u32::from(character)))?;
    char::from_u32(u32::from('a') + u32::from(character) - first)
}

/// Numerals of Chinese banknotes and contracts, which stand for digits in advertisements.
const NUMERALS: &[(char, char)] = &[
    ('零', '0'),
    ('壹', '1'),
    ('贰', '2'),
    ('貳', '2'),
    ('叁', '3'),
    ('參', '3'),
    ('肆', '4'),
    ('伍', '5'),
    ('陆', '6'),
    ('陸', '6'),
    ('柒', '7'),
    ('捌', '8'),
    ('玖', '9'),
];

/// Unicode's Default_Ignorable_Code_Point, and what else is drawn without being read.
const IGNORABLE: &[(char, char)] = &[
    // Controls that are no blanks.
    ('\u{80}', '\u{84}'),
    ('\u{86}', '\u{9f}'),
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    // Arabic's lengthening stroke, which is no default ignorable.
    ('\u{640}', '\u{640}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    // Braille's blank.
    ('\u{2800}', '\u{2800}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    // With the marks of annotations behind them.
    ('\u{fff0}', '\u{fffb}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];
