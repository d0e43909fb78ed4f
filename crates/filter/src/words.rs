//! Wordlists as planners write them: one entry a line, `#` comments, `@` directives at the top of a file.
//!
//! Every fault names its file and line and says the mend, and all faults of a list are told together.

use std::sync::Arc;

pub use super::action::Action;
use super::fold::has_two_letters;
use super::policy::{POLICY_FILE, Policy};

/// Position that an entry must have to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matching {
    /// Short Latin words alone, longer ones at a word's start, anything else anywhere.
    Auto,
    /// As a whole word.
    Word,
    /// At a word's start.
    Prefix,
    /// Anywhere.
    Substring,
}

/// One blocked entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As the planner wrote it.
    pub text: String,
    /// The file's name without its ending.
    pub category: Arc<str>,
    /// Action of a hit.
    pub action: Action,
    /// Severity, from 1 (rude) to 3 (dangerous): stricter places ask for lower ones.
    pub severity: u8,
    /// Position that the entry must have to count.
    pub matching: Matching,
    /// More ways to find it.
    pub options: Options,
    /// Line in its category's file, for messages.
    pub line: u32,
}

/// Ways to find an entry that also hit innocent text, and so must be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options(u8);

impl Options {
    /// Typed as it sounds, in Latin letters.
    pub const PINYIN: Self = Self(1);
    /// Other characters of the same sound.
    pub const HOMOPHONE: Self = Self(1 << 1);
    /// Characters taken apart into their halves.
    pub const SPLIT: Self = Self(1 << 2);
    /// `*` stands for up to eight characters.
    pub const WILDCARD: Self = Self(1 << 3);
    /// Backwards.
    pub const REVERSED: Self = Self(1 << 4);
    /// With digits between its characters.
    pub const DIGITS: Self = Self(1 << 5);

    const WORDS: [(&'static str, Self); 6] = [
        ("pinyin", Self::PINYIN),
        ("homophone", Self::HOMOPHONE),
        ("split", Self::SPLIT),
        ("wildcard", Self::WILDCARD),
        ("reversed", Self::REVERSED),
        ("digits", Self::DIGITS),
    ];

    /// Was it asked for?
    pub const fn has(self, option: Self) -> bool {
        self.0 & option.0 != 0
    }

    fn with_word(self, word: &str) -> Option<Self> {
        let option = Self::WORDS.iter().find(|(known, _)| *known == word)?.1;
        Some(Self(self.0 | option.0))
    }
}

/// All lists of a folder.
#[derive(Clone, Debug, Default)]
pub struct Wordlist {
    /// Blocked entries.
    pub entries: Vec<Entry>,
    /// Phrases that are innocent, whatever they hold.
    pub allow: Vec<String>,
    /// The planners' examples: a list that fails its own is not used.
    pub cases: Vec<Case>,
    /// The planners' strictness by place.
    pub policy: Policy,
}

/// One of the planners' examples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// File and line: `cases.tsv:3`.
    pub place: String,
    /// A text.
    pub text: String,
    /// The strongest action it must meet; none passes.
    pub expected: Option<Action>,
    /// Text that others must see, if given.
    pub masked: Option<String>,
}

/// The most bytes of all files together.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;
/// The most bytes of an entry.
const MAX_ENTRY_BYTES: usize = 200;
/// The most categories: more are a folder of something else.
const MAX_FILES: usize = 1_000;
/// The most entries.
const MAX_ENTRIES: usize = 4_000_000;
/// Faults told at once.
const MAX_FAULTS: usize = 50;

/// Severity of an entry that names none.
const SEVERITY: u8 = 2;

/// The file of innocent phrases.
pub const ALLOW_FILE: &str = "allow.txt";
/// The file of examples.
pub const CASES_FILE: &str = "cases.tsv";

impl Wordlist {
    /// Reads a folder's files, given as name and content.
    ///
    /// # Errors
    /// Every fault found, one a line.
    pub fn parse(files: &[(String, Vec<u8>)]) -> Result<Self, Vec<String>> {
        let mut list = Self::default();
        let mut faults = Vec::new();
        if files.len() > MAX_FILES || files.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > MAX_BYTES {
            return Err(vec![format!(
                "more than {MAX_FILES} files or {MAX_BYTES} bytes: is this the right folder?"
            )]);
        }
        for (name, bytes) in files {
            match std::str::from_utf8(bytes) {
                Err(fault) => {
                    let line = bytes[..fault.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
                    faults.push(format!("{name}:{line}: not UTF-8; save the file as UTF-8"));
                }
                Ok(text) if name == POLICY_FILE => match Policy::parse(text) {
                    Ok(policy) => list.policy = policy,
                    Err(fault) => faults.push(fault),
                },
                Ok(text) => list.read_file(name, text.strip_prefix('\u{feff}').unwrap_or(text), &mut faults),
            }
        }
        let is_there =
            |category: &str| files.iter().any(|(name, _)| name.strip_suffix(".txt") == Some(category));
        if let Some((place, category)) = list.policy.unknown(is_there) {
            faults.push(format!("{POLICY_FILE}: [{place}] names {category}, and there is no {category}.txt"));
        }
        if list.entries.is_empty() && faults.is_empty() {
            faults.push("no entries: a list that blocks nothing is most likely a mistake".to_owned());
        }
        if list.entries.len() > MAX_ENTRIES {
            faults.push(format!("more than {MAX_ENTRIES} entries"));
        }
        faults.truncate(MAX_FAULTS);
        if faults.is_empty() { Ok(list) } else { Err(faults) }
    }

    fn read_file(&mut self, name: &str, text: &str, faults: &mut Vec<String>) {
        let mut manner = Manner::default();
        let category = Arc::from(name.strip_suffix(".txt").unwrap_or(name));
        for (number, line) in text.lines().enumerate() {
            let place = || format!("{name}:{}", number + 1);
            let line = line.trim_end_matches('\r');
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let read = match name {
                _ if is_conflict_marker(line) => {
                    Err("a marker of git's: two changes met here and nobody chose; choose, and delete the markers".to_owned())
                }
                ALLOW_FILE => entry_text(line).map(|text| self.allow.push(text.to_owned())),
                CASES_FILE => Case::parse(place(), line).map(|case| self.cases.push(case)),
                _ if line.starts_with('@') => manner.directive(line),
                _ => manner.entry(&category, number + 1, line).map(|entry| self.entries.push(entry)),
            };
            if let Err(why) = read {
                faults.push(format!("{}: {why}", place()));
            }
        }
    }
}

/// Settings from a file's directives, which an entry may override.
#[derive(Clone, Copy)]
struct Manner {
    action: Action,
    severity: u8,
    matching: Matching,
    options: Options,
}

impl Default for Manner {
    fn default() -> Self {
        let (action, matching) = (Action::Mask, Matching::Auto);
        Self { action, severity: SEVERITY, matching, options: Options::default() }
    }
}

impl Manner {
    fn directive(&mut self, line: &str) -> Result<(), String> {
        let (name, value) =
            line.split_once(char::is_whitespace).ok_or("a directive needs a value: @action mask")?;
        let value = value.trim();
        match name {
            "@action" => self.action = Action::from_word(value).ok_or("@action is mask, reject or review")?,
            "@match" => {
                self.matching = matching(value).ok_or("@match is auto, word, prefix or substring")?;
            }
            "@severity" => self.severity = severity(value).ok_or("@severity is 1, 2 or 3")?,
            "@lang" if is_language(value) => {}
            "@lang" => {
                return Err(format!("'{value}' is no language; write @lang zh, @lang en or @lang any"));
            }
            _ => {
                return Err(format!(
                    "unknown directive {name}; there are @action, @severity, @match and @lang"
                ));
            }
        }
        Ok(())
    }

    fn entry(mut self, category: &Arc<str>, number: usize, line: &str) -> Result<Entry, String> {
        let (text, options) = line.split_once('|').unwrap_or((line, ""));
        for word in options.split_whitespace() {
            let severity = word.strip_prefix("severity=").and_then(severity);
            match (Action::from_word(word), matching(word), self.options.with_word(word)) {
                (Some(action), ..) => self.action = action,
                (_, Some(matching), _) => self.matching = matching,
                (.., Some(options)) => self.options = options,
                _ if severity.is_some() => self.severity = severity.unwrap_or(SEVERITY),
                _ if word.strip_prefix("lang=").is_some_and(is_language) => {}
                _ => return Err(format!("unknown option '{word}' after the |; there are {OPTION_WORDS}")),
            }
        }
        let text = entry_text(text)?;
        if !has_two_letters(text) {
            return Err(format!(
                "'{text}' is one character and would hit nearly everything; write a longer entry"
            ));
        }
        let Self { action, severity, matching, options } = self;
        Ok(Entry {
            text: text.to_owned(),
            category: Arc::clone(category),
            action,
            severity,
            matching,
            options,
            line: number as u32,
        })
    }
}

const OPTION_WORDS: &str = "mask, reject, review, auto, word, prefix, substring, pinyin, homophone, split, wildcard, reversed, digits, severity=1, severity=2, severity=3, lang=…";

/// A language tag such as `zh`, `en-GB` or `any`.
fn is_language(value: &str) -> bool {
    (2..=16).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn severity(word: &str) -> Option<u8> {
    word.parse().ok().filter(|severity| (1..=3).contains(severity))
}

fn entry_text(line: &str) -> Result<&str, String> {
    let text = line.trim();
    if text.is_empty() || text.len() > MAX_ENTRY_BYTES {
        return Err(format!("an entry is 1 to {MAX_ENTRY_BYTES} bytes"));
    }
    Ok(text)
}

fn matching(word: &str) -> Option<Matching> {
    match word {
        "auto" => Some(Matching::Auto),
        "word" => Some(Matching::Word),
        "prefix" => Some(Matching::Prefix),
        "substring" => Some(Matching::Substring),
        _ => None,
    }
}

impl Case {
    fn parse(place: String, line: &str) -> Result<Self, String> {
        const SHAPE: &str =
            "a case is: text, tab, pass|mask|reject|review, and then, if wanted, tab, masked text";
        let mut columns = line.split('\t');
        let (Some(text), Some(expected)) = (columns.next(), columns.next()) else {
            return Err(SHAPE.to_owned());
        };
        let expected = match expected {
            "pass" => None,
            other => Some(Action::from_word(other).ok_or(SHAPE)?),
        };
        let masked = columns.next().filter(|masked| !masked.is_empty()).map(str::to_owned);
        Ok(Self { place, text: text.to_owned(), expected, masked })
    }
}
/// Returns true for a line that git writes between two versions that it could not merge.
fn is_conflict_marker(line: &str) -> bool {
    let marks =
        |mark: &str| line == mark || line.strip_prefix(mark).is_some_and(|rest| rest.starts_with(' '));
    ["<<<<<<<", "|||||||", "=======", ">>>>>>>"].into_iter().any(marks)
}
