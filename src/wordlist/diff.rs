//! What a change of the lists does: entries that came and went, and texts that would newly be hit or newly pass.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::filter::{Entry, Filter, Hit, Wordlist};

/// Texts shown for each entry.
const SAMPLES: usize = 20;
/// Of them, in a terminal.
const SHORT: usize = 3;

/// A difference of two lists.
#[derive(Debug, Default, Serialize)]
pub struct Diff {
    /// Entries that are new, or do something else now.
    pub added: Vec<Line>,
    /// Entries that are gone, or did something else.
    pub removed: Vec<Line>,
    /// Files that are gone.
    pub files_gone: Vec<String>,
    /// Phrases that are newly allowed.
    pub allowed: Vec<String>,
    /// Phrases that are not allowed any more.
    pub disallowed: Vec<String>,
    /// Rules that are new in the policy.
    pub policy_added: Vec<String>,
    /// Rules that are gone from the policy.
    pub policy_removed: Vec<String>,
    /// Texts that both lists judged.
    pub texts: usize,
    /// Texts that would newly be hit, by entry.
    pub newly_hit: Vec<Change>,
    /// Texts that would newly pass, by entry.
    pub newly_passing: Vec<Change>,
}

/// An entry, as a report shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Line {
    /// The list it is on.
    pub category: String,
    /// As the planner wrote it.
    pub entry: String,
    /// Action on a hit.
    pub action: &'static str,
    /// Severity, from 1 to 3.
    pub severity: u8,
}

/// Changes that one entry makes.
#[derive(Debug, Serialize)]
pub struct Change {
    /// The entry.
    pub entry: String,
    /// The list it is on.
    pub category: String,
    /// Severity, from 1 to 3.
    pub severity: u8,
    /// Number of texts.
    pub texts: usize,
    /// Some of them.
    pub samples: Vec<String>,
}

/// Compares two lists, and what they say of some texts. `step` is told how many texts are done.
///
/// # Errors
/// A list can't be built.
pub fn diff(
    old: &Wordlist,
    new: &Wordlist,
    texts: &[String],
    mut step: impl FnMut(usize),
) -> Result<Diff, String> {
    let (old_lines, new_lines) = (lines(old), lines(new));
    let only = |one: &[Line], other: &[Line]| {
        one.iter().filter(|line| other.binary_search(line).is_err()).cloned().collect()
    };
    let phrases = |one: &[String], other: &[String]| {
        one.iter().filter(|phrase| !other.contains(phrase)).cloned().collect()
    };
    let build = |list: &Wordlist| Filter::build(list).map_err(|fault| fault.to_string());
    let (old_filter, new_filter) = (build(old)?, build(new)?);
    let (mut hit, mut passing) = (BTreeMap::new(), BTreeMap::new());
    for (done, text) in texts.iter().enumerate() {
        step(done);
        let (before, after) = (old_filter.judge(text), new_filter.judge(text));
        match (before.hits.first(), after.hits.first()) {
            (None, Some(_)) => note(&mut hit, &after.hits, text),
            (Some(_), None) => note(&mut passing, &before.hits, text),
            _ => {}
        }
    }
    Ok(Diff {
        files_gone: Vec::new(),
        added: only(&new_lines, &old_lines),
        removed: only(&old_lines, &new_lines),
        allowed: phrases(&new.allow, &old.allow),
        disallowed: phrases(&old.allow, &new.allow),
        policy_added: phrases(&new.policy.lines(), &old.policy.lines()),
        policy_removed: phrases(&old.policy.lines(), &new.policy.lines()),
        texts: texts.len(),
        newly_hit: changes(hit),
        newly_passing: changes(passing),
    })
}

fn lines(list: &Wordlist) -> Vec<Line> {
    let line = |entry: &Entry| Line {
        category: entry.category.to_string(),
        entry: entry.text.clone(),
        action: entry.action.as_str(),
        severity: entry.severity,
    };
    let mut lines: Vec<Line> = list.entries.iter().map(line).collect();
    lines.sort();
    lines
}

/// Changes by entry.
type Noted = BTreeMap<String, Change>;

fn note(noted: &mut Noted, hits: &[Hit<'_>], text: &str) {
    for hit in hits {
        let (entry, category, severity) = (hit.entry.to_owned(), hit.category.to_owned(), hit.severity);
        let new = || Change { entry, category, severity, texts: 0, samples: Vec::new() };
        let change = noted.entry(hit.entry.to_owned()).or_insert_with(new);
        change.texts += 1;
        if change.samples.len() < SAMPLES {
            change.samples.push(text.to_owned());
        }
    }
}

/// The largest changes first.
fn changes(noted: Noted) -> Vec<Change> {
    let mut changes: Vec<Change> = noted.into_values().collect();
    changes.sort_by_key(|change| std::cmp::Reverse(change.texts));
    changes
}

impl Diff {
    /// The report for a terminal or a pull request's comment.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let mut section = |title: &str, lines: Vec<String>| {
            if !lines.is_empty() {
                text.push_str(&format!("{title} ({})\n", lines.len()));
                lines.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
                text.push('\n');
            }
        };
        let line = |sign: char| {
            move |line: &Line| {
                format!("{sign} {:<10} {:<7} {} {}", line.category, line.action, line.severity, line.entry)
            }
        };
        section("files gone", self.files_gone.clone());
        let signed =
            |sign: &str, lines: &[String]| lines.iter().map(|line| format!("{sign} {line}")).collect();
        section("newly wanted by the policy", signed("+", &self.policy_added));
        section("no more wanted by the policy", signed("-", &self.policy_removed));
        section("added", self.added.iter().map(line('+')).collect());
        section("removed", self.removed.iter().map(line('-')).collect());
        section("newly allowed", self.allowed.iter().map(|phrase| format!("+ {phrase}")).collect());
        section("not allowed any more", self.disallowed.iter().map(|phrase| format!("- {phrase}")).collect());
        let change = |change: &Change| {
            let samples = &change.samples[..SHORT.min(change.samples.len())];
            format!(
                "{:>6} texts  {} ({})  e.g. {}",
                change.texts,
                change.entry,
                change.category,
                samples.join(" / ")
            )
        };
        section("would newly be hit", self.newly_hit.iter().map(change).collect());
        section("would newly pass", self.newly_passing.iter().map(change).collect());
        text.push_str(&format!("{} texts were judged by both lists\n", self.texts));
        text
    }
}
