//! Wordlists as planners write them: one entry a line, `#` comments, `@` directives at the top of a file.
//!
//! Every fault names its file and line and says the mend, and all faults of a list are told together.

/// What happens to a text that an entry hits; later is stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It passes, and a moderator looks at it.
    Review,
    /// It passes with the word masked.
    Mask,
    /// It is refused.
    Reject,
}

impl Action {
    /// The word in lists, cases and figures.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Review => "review",
            Self::Mask => "mask",
            Self::Reject => "reject",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Review, Self::Mask, Self::Reject].into_iter().find(|action| action.as_str() == word)
    }
}

/// Where an entry must stand to count.
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
    pub category: String,
    /// What a hit does.
    pub action: Action,
    /// Where it counts.
    pub matching: Matching,
}

/// All lists of a folder.
#[derive(Clone, Debug, Default)]
pub struct Wordlist {
    /// What is blocked.
    pub entries: Vec<Entry>,
    /// Phrases that are innocent, whatever they hold.
    pub allow: Vec<String>,
    /// The planners' examples: a list that fails its own is not used.
    pub cases: Vec<Case>,
}

/// One of the planners' examples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Where it stands: `cases.tsv:3`.
    pub place: String,
    /// A text.
    pub text: String,
    /// The strongest action it must meet; none passes.
    pub expected: Option<Action>,
    /// What others must see, if that is given.
    pub masked: Option<String>,
}

/// The most bytes of all files together.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;
/// The most bytes of an entry.
const MAX_ENTRY_BYTES: usize = 200;
/// The most categories: more are a folder of something else.
const MAX_FILES: usize = 1_000;
/// Faults told at once.
const MAX_FAULTS: usize = 50;

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
                Ok(text) => list.read_file(name, text.strip_prefix('\u{feff}').unwrap_or(text), &mut faults),
            }
        }
        if list.entries.is_empty() && faults.is_empty() {
            faults.push("no entries: a list that blocks nothing is most likely a mistake".to_owned());
        }
        faults.truncate(MAX_FAULTS);
        if faults.is_empty() { Ok(list) } else { Err(faults) }
    }

    fn read_file(&mut self, name: &str, text: &str, faults: &mut Vec<String>) {
        let mut defaults = Options::default();
        for (number, line) in text.lines().enumerate() {
            let place = format!("{name}:{}", number + 1);
            let line = line.trim_end_matches('\r');
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let read = match name {
                ALLOW_FILE => entry_text(line).map(|text| self.allow.push(text.to_owned())),
                CASES_FILE => Case::parse(&place, line).map(|case| self.cases.push(case)),
                _ if line.starts_with('@') => defaults.directive(line),
                _ => defaults.entry(name, line).map(|entry| self.entries.push(entry)),
            };
            if let Err(why) = read {
                faults.push(format!("{place}: {why}"));
            }
        }
    }
}

/// What a file's directives say, and what an entry may say otherwise.
#[derive(Clone, Copy)]
struct Options {
    action: Action,
    matching: Matching,
}

impl Default for Options {
    fn default() -> Self {
        Self { action: Action::Mask, matching: Matching::Auto }
    }
}

impl Options {
    fn directive(&mut self, line: &str) -> Result<(), String> {
        let (name, value) =
            line.split_once(char::is_whitespace).ok_or("a directive needs a value: @action mask")?;
        match name {
            "@action" => {
                self.action = Action::from_word(value.trim()).ok_or("@action is mask, reject or review")?
            }
            "@match" => {
                self.matching = matching(value.trim()).ok_or("@match is auto, word, prefix or substring")?;
            }
            "@lang" => {}
            _ => return Err(format!("unknown directive {name}; there are @action, @match and @lang")),
        }
        Ok(())
    }

    fn entry(mut self, file: &str, line: &str) -> Result<Entry, String> {
        let (text, options) = line.split_once('|').unwrap_or((line, ""));
        for option in options.split_whitespace() {
            match (Action::from_word(option), matching(option)) {
                (Some(action), _) => self.action = action,
                (_, Some(matching)) => self.matching = matching,
                _ => return Err(format!("unknown option '{option}' after the |")),
            }
        }
        let text = entry_text(text)?;
        if text.chars().count() < 2 {
            return Err(format!(
                "'{text}' is one character and would hit nearly everything; write a longer entry"
            ));
        }
        let category = file.strip_suffix(".txt").unwrap_or(file).to_owned();
        Ok(Entry { text: text.to_owned(), category, action: self.action, matching: self.matching })
    }
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
    fn parse(place: &str, line: &str) -> Result<Self, String> {
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
        Ok(Self { place: place.to_owned(), text: text.to_owned(), expected, masked })
    }
}
