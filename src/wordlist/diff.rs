//! What a change of the lists does: entries that came and went, and texts that would newly be hit or newly pass.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::filter::{Entry, Filter, Hit, Wordlist};

/// Texts shown for each entry.
const SAMPLES: usize = 3;

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
    /// Texts that both lists judged.
    pub texts: usize,
    /// What would newly be hit, by entry.
    pub newly_hit: Vec<Change>,
    /// What would newly pass, by entry.
    pub newly_passing: Vec<Change>,
}

/// An entry, as a report shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Line {
    /// The list it is on.
    pub category: String,
    /// As the planner wrote it.
    pub entry: String,
    /// What it does.
    pub action: &'static str,
}

/// What one entry changes.
#[derive(Debug, Serialize)]
pub struct Change {
    /// The entry.
    pub entry: String,
    /// How many texts.
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
        texts: texts.len(),
        newly_hit: changes(hit),
        newly_passing: changes(passing),
    })
}

fn lines(list: &Wordlist) -> Vec<Line> {
    let line = |entry: &Entry| Line {
        category: entry.category.clone(),
        entry: entry.text.clone(),
        action: entry.action.as_str(),
    };
    let mut lines: Vec<Line> = list.entries.iter().map(line).collect();
    lines.sort();
    lines
}

type Noted = BTreeMap<String, (usize, Vec<String>)>;

fn note(noted: &mut Noted, hits: &[Hit<'_>], text: &str) {
    for hit in hits {
        let (count, samples) = noted.entry(hit.entry.to_owned()).or_default();
        *count += 1;
        if samples.len() < SAMPLES {
            samples.push(text.to_owned());
        }
    }
}

/// The largest changes first.
fn changes(noted: Noted) -> Vec<Change> {
    let mut changes: Vec<Change> =
        noted.into_iter().map(|(entry, (texts, samples))| Change { entry, texts, samples }).collect();
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
            move |line: &Line| format!("{sign} {:<10} {:<7} {}", line.category, line.action, line.entry)
        };
        section("files gone", self.files_gone.clone());
        section("added", self.added.iter().map(line('+')).collect());
        section("removed", self.removed.iter().map(line('-')).collect());
        section("newly allowed", self.allowed.iter().map(|phrase| format!("+ {phrase}")).collect());
        section("not allowed any more", self.disallowed.iter().map(|phrase| format!("- {phrase}")).collect());
        let change = |change: &Change| {
            format!("{:>6} texts  {}  e.g. {}", change.texts, change.entry, change.samples.join(" / "))
        };
        section("would newly be hit", self.newly_hit.iter().map(change).collect());
        section("would newly pass", self.newly_passing.iter().map(change).collect());
        text.push_str(&format!("{} texts were judged by both lists\n", self.texts));
        text
    }

    /// The same as a page of its own.
    pub fn to_html(&self) -> String {
        let rows = |changes: &[Change]| -> String {
            let row = |change: &Change| {
                let samples: Vec<String> = change.samples.iter().map(|text| escape(text)).collect();
                format!(
                    "<tr><td>{}</td><td class=n>{}</td><td>{}</td></tr>",
                    escape(&change.entry),
                    change.texts,
                    samples.join("<br>")
                )
            };
            changes.iter().map(row).collect()
        };
        let lines = |lines: &[Line], class: &str| -> String {
            let row = |line: &Line| {
                format!(
                    "<tr class={class}><td>{}</td><td>{}</td><td>{}</td></tr>",
                    escape(&line.entry),
                    escape(&line.category),
                    line.action
                )
            };
            lines.iter().map(row).collect()
        };
        let phrases = |phrases: &[String], class: &str| -> String {
            phrases
                .iter()
                .map(|phrase| {
                    format!("<tr class={class}><td>{}</td><td>allow</td><td>pass</td></tr>", escape(phrase))
                })
                .collect()
        };
        let gone: Vec<String> = self.files_gone.iter().map(|name| escape(name)).collect();
        let gone = if gone.is_empty() {
            String::new()
        } else {
            format!("<p><b>Files gone:</b> {}</p>", gone.join(", "))
        };
        format!(
            "<!doctype html><html lang=en><meta charset=utf-8><title>Wordlist changes</title><style>\
             body{{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}}\
             table{{border-collapse:collapse;width:100%;margin:.5rem 0 2rem}}td,th{{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd;vertical-align:top}}\
             .n{{text-align:right;font-variant-numeric:tabular-nums}}.add td:first-child::before{{content:'+ ';color:#080}}.del td:first-child::before{{content:'- ';color:#b00}}\
             </style><h1>Wordlist changes</h1><p>{} added, {} removed; {} texts judged by both lists.</p>{}\
             <h2>Entries</h2><table><tr><th>entry<th>list<th>does</tr>{}{}{}{}</table>\
             <h2>Would newly be hit</h2><table><tr><th>entry<th class=n>texts<th>for example</tr>{}</table>\
             <h2>Would newly pass</h2><table><tr><th>entry<th class=n>texts<th>for example</tr>{}</table></html>\n",
            self.added.len() + self.allowed.len(),
            self.removed.len() + self.disallowed.len(),
            self.texts,
            gone,
            lines(&self.added, "add"),
            lines(&self.removed, "del"),
            phrases(&self.allowed, "add"),
            phrases(&self.disallowed, "del"),
            rows(&self.newly_hit),
            rows(&self.newly_passing),
        )
    }
}

/// Texts are players' own: in a page they must stay text.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
