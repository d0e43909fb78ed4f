//! What is wrong with a list before players meet it: faults, and entries that do nothing or far too much.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use serde::Serialize;

use super::Files;
use crate::filter::words::{ALLOW_FILE, Case, Wordlist};
use crate::filter::{Action, Entry, Filter, fold_text};

/// An entry that hits more of a clean corpus than this is a mistake.
const CLEAN_SHARE: f64 = 0.001;
/// Findings of one kind shown in full; a large imported list has thousands.
pub const SHOWN: usize = 200;

/// Severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Worth knowing; nothing is wrong.
    Note,
    /// The list works, and could be better.
    Warning,
    /// The list must not be used.
    Error,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Severity of the finding.
    pub level: Level,
    /// File and line.
    pub place: String,
    /// One word for programs: `fault`, `duplicate`, `covered`, `allowed`, `idle-allow`, `clean-text`, `innocent`, `case`,
    /// `vanished`.
    pub kind: &'static str,
    /// Fault, and how to mend it.
    pub message: String,
}

/// Result of a check.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Entries the list blocks.
    pub entries: usize,
    /// Phrases it allows.
    pub allowed: usize,
    /// Examples it was held to.
    pub cases: usize,
    /// Lines that nobody would block, which the list was held to.
    pub clean: usize,
    /// Number of clean lines that each category hits; the most first.
    pub innocent: Vec<CleanHits>,
    /// All that is wrong, worst first.
    pub findings: Vec<Finding>,
}

/// Hits of a category in clean lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CleanHits {
    /// The category.
    pub category: String,
    /// Number of its entries.
    pub entries: usize,
    /// Clean lines that one of them hits.
    pub lines: usize,
}

impl Report {
    /// May the list be used?
    pub fn holds(&self) -> bool {
        self.findings.iter().all(|finding| finding.level != Level::Error)
    }
}

/// Checks a list. `clean` are lines that nobody would block; `step` is told how many of how many steps are done.
pub fn check(files: &Files, clean: &[&str], mut step: impl FnMut(usize, usize)) -> Report {
    let list = match Wordlist::parse(files) {
        Ok(list) => list,
        Err(faults) => {
            let findings = faults.into_iter().map(fault).collect();
            return Report { entries: 0, allowed: 0, cases: 0, clean: 0, innocent: Vec::new(), findings };
        }
    };
    let steps = list.entries.len() + clean.len();
    let mut report = Report {
        entries: list.entries.len(),
        allowed: list.allow.len(),
        cases: list.cases.len(),
        clean: clean.len(),
        innocent: Vec::new(),
        findings: duplicates(&list),
    };
    match Filter::build(&list) {
        Err(fault) => report.findings.push(finding(Level::Error, "", "fault", fault.to_string())),
        Ok(filter) => {
            for (done, entry) in list.entries.iter().enumerate() {
                report.findings.extend(standing(&filter, entry));
                step(done, steps);
            }
            report.findings.extend(idle_allowances(&filter, &list));
            let told = |done: usize| step(list.entries.len() + done, steps);
            let hits = Hits::of(&filter, clean, told);
            report.findings.extend(hits.findings(&list, clean.len()));
            report.innocent = hits.by_category(&list);
            report.findings.extend(list.cases.iter().filter_map(|case| failing(&filter, case)));
        }
    }
    report.findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    report
}

/// A file that a list had and has no more.
pub fn vanished(name: String) -> Finding {
    let message = "the file was there before and is gone; if that is meant, all is well".to_owned();
    Finding { level: Level::Warning, place: name, kind: "vanished", message }
}

fn finding(level: Level, place: &str, kind: &'static str, message: String) -> Finding {
    Finding { level, place: place.to_owned(), kind, message }
}

/// `file:line: what` as the reader of lists tells it.
fn fault(text: String) -> Finding {
    let mut parts = text.splitn(3, ':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(file), Some(line), Some(what)) if line.parse::<u32>().is_ok() => {
            finding(Level::Error, &format!("{file}:{line}"), "fault", what.trim().to_owned())
        }
        _ => finding(Level::Error, "", "fault", text),
    }
}

fn place(entry: &Entry) -> String {
    format!("{}.txt:{}", entry.category, entry.line)
}

/// Entries that are the same once case, width and look-alikes are gone.
fn duplicates(list: &Wordlist) -> Vec<Finding> {
    let mut first: HashMap<String, &Entry> = HashMap::with_capacity(list.entries.len());
    let mut findings = Vec::new();
    for entry in &list.entries {
        match first.entry(fold_text(&entry.text)) {
            std::collections::hash_map::Entry::Vacant(new) => {
                new.insert(entry);
            }
            std::collections::hash_map::Entry::Occupied(known) => {
                let message =
                    format!("'{}' is the same as {}; delete one of them", entry.text, place(known.get()));
                findings.push(finding(Level::Warning, &place(entry), "duplicate", message));
            }
        }
    }
    findings
}

/// Does the entry do anything, beside the others and the allowed phrases?
fn standing(filter: &Filter, entry: &Entry) -> Option<Finding> {
    let verdict = filter.judge(&entry.text);
    if verdict.hits.is_empty() {
        let message = format!(
            "'{}' never hits: an allowed phrase covers it; delete it here or in {ALLOW_FILE}",
            entry.text
        );
        return Some(finding(Level::Error, &place(entry), "allowed", message));
    }
    let folded = fold_text(&entry.text);
    let stronger = verdict.hits.iter().find(|hit| {
        hit.action >= entry.action && fold_text(hit.entry).len() < folded.len() && hit.entry != entry.text
    })?;
    let message =
        format!("'{}' is already hit by '{}' ({}); delete it", entry.text, stronger.entry, stronger.category);
    Some(finding(Level::Warning, &place(entry), "covered", message))
}

/// Allowed phrases that hold no entry.
fn idle_allowances(filter: &Filter, list: &Wordlist) -> Vec<Finding> {
    let bare = Wordlist { allow: Vec::new(), ..list.clone() };
    let bare = if list.allow.is_empty() { None } else { Filter::build(&bare).ok() };
    let idle = |phrase: &&String| bare.as_ref().unwrap_or(filter).judge(phrase).hits.is_empty();
    list.allow
        .iter()
        .filter(idle)
        .map(|phrase| {
            let message = format!("'{phrase}' holds no blocked word, so allowing it does nothing yet");
            finding(Level::Note, ALLOW_FILE, "idle-allow", message)
        })
        .collect()
}

/// Hits of a list in text that nobody would block.
#[derive(Default)]
struct Hits<'f, 'c> {
    /// By entry: how many lines, the first of them, and the phrase around its hit.
    entries: HashMap<&'f str, (usize, &'c str, &'c str)>,
    /// By category: how many lines.
    categories: HashMap<&'f str, usize>,
}

impl<'f, 'c> Hits<'f, 'c> {
    fn of(filter: &'f Filter, clean: &[&'c str], mut told: impl FnMut(usize)) -> Self {
        let mut hits = Self::default();
        for (done, &line) in clean.iter().enumerate() {
            told(done);
            let verdict = filter.judge(line);
            let (mut entries, mut categories) = (HashSet::new(), HashSet::new());
            for hit in &verdict.hits {
                if entries.insert(hit.entry) {
                    let phrase = phrase_around(line, &hit.span);
                    hits.entries.entry(hit.entry).or_insert((0, line, phrase)).0 += 1;
                }
                if categories.insert(hit.category) {
                    *hits.categories.entry(hit.category).or_default() += 1;
                }
            }
        }
        hits
    }

    /// Entries that hit clean text: too often is an error, at all is worth a look.
    fn findings(&self, list: &Wordlist, clean: usize) -> Vec<Finding> {
        let told = |entry: &Entry| {
            let (count, line, phrase) = *self.entries.get(entry.text.as_str())?;
            let mend = if phrase.chars().count() > entry.text.chars().count() {
                format!("if that is innocent, write '{phrase}' into {ALLOW_FILE}, or make the entry longer")
            } else {
                "make it longer, or give it '| word'".to_owned()
            };
            let message =
                format!("'{}' hits {count} of {clean} clean lines, such as '{line}'; {mend}", entry.text);
            let often = count as f64 > clean as f64 * CLEAN_SHARE;
            let (level, kind) =
                if often { (Level::Error, "clean-text") } else { (Level::Warning, "innocent") };
            Some(finding(level, &place(entry), kind, message))
        };
        list.entries.iter().filter_map(told).collect()
    }

    fn by_category(&self, list: &Wordlist) -> Vec<CleanHits> {
        let mut entries: BTreeMap<&str, usize> = BTreeMap::new();
        list.entries.iter().for_each(|entry| *entries.entry(&entry.category).or_default() += 1);
        let innocent = |(category, entries): (&str, usize)| {
            let lines = self.categories.get(category).copied().unwrap_or_default();
            CleanHits { category: category.to_owned(), entries, lines }
        };
        let mut all: Vec<CleanHits> = entries.into_iter().map(innocent).collect();
        all.sort_by_key(|innocent| std::cmp::Reverse(innocent.lines));
        all
    }
}

/// The words that a hit touches; where words are written together, with one character on either side.
fn phrase_around<'c>(line: &'c str, span: &Range<usize>) -> &'c str {
    let grown = |mut characters: &mut dyn Iterator<Item = char>| -> usize {
        let mut bytes = 0;
        for character in &mut characters {
            if !character.is_alphanumeric() && character != '\'' {
                break;
            }
            bytes += character.len_utf8();
            if !character.is_ascii() && character > '\u{e00}' {
                break;
            }
        }
        bytes
    };
    let before = grown(&mut line[..span.start].chars().rev());
    let after = grown(&mut line[span.end..].chars());
    &line[span.start - before..span.end + after]
}

/// Returns a finding if an example gets another result than it expects.
pub fn failing(filter: &Filter, case: &Case) -> Option<Finding> {
    let verdict = filter.judge(&case.text);
    let action = verdict.worst().map(|hit| hit.action);
    let masked = verdict.masked(&case.text);
    let word = |action: Option<Action>| action.map_or("pass", Action::as_str);
    let message = if action != case.expected {
        format!("'{}' should {}, but would {}", case.text, word(case.expected), word(action))
    } else if case.masked.as_ref().is_some_and(|expected| *expected != masked) {
        format!(
            "'{}' should be shown as '{}', but would be as '{masked}'",
            case.text,
            case.masked.as_deref().unwrap_or_default()
        )
    } else {
        return None;
    };
    Some(finding(Level::Error, &case.place, "case", message))
}
