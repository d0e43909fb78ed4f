//! `guildhall wordlist …`: what planners and their CI do with lists before players meet them.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use unicode_width::UnicodeWidthStr;

use super::{say, say_aside};
use crate::base::calendar::in_words;
use crate::base::clock::Clock;
use crate::base::error::StartError;
use crate::config::{Config, Location};
use crate::filter::policy::PLACES;
use crate::filter::{Filter, Verdict, View, Wordlist};
use crate::outside::objects::Objects;
use crate::store::{Db, EMBEDDED_FILE, message};
use crate::wordlist::check::{self, CleanHits, Level, Report, SHOWN, check};
use crate::wordlist::published::{self, Pointer, PointerState};
use crate::wordlist::{Files, diff, read_folder, vanished};

/// Lines that nobody would block, written for this project.
const CLEAN: &str = include_str!("../wordlist/clean.txt");
/// The most bytes of a file of texts.
const MAX_TEXTS_BYTES: u64 = 256 * 1024 * 1024;

/// Commands for wordlists, for people and for CI.
#[derive(Subcommand)]
pub(super) enum WordlistCommand {
    /// Look for faults, entries that do nothing, and entries that hit clean text. Exit code 1 if there are errors.
    Check {
        /// The folder; the configured one where absent.
        folder: Option<PathBuf>,
        /// A file of lines that nobody would block, instead of those that are built in.
        #[arg(long, value_name = "FILE")]
        clean: Option<PathBuf>,
        /// The folder as it was before: files that are gone since are told.
        #[arg(long, value_name = "FOLDER")]
        before: Option<PathBuf>,
        /// Warnings count as errors.
        #[arg(long)]
        strict: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show what a change does: entries added and removed, and texts that would newly be hit or newly pass.
    Diff {
        /// The folder before.
        old: PathBuf,
        /// The folder after.
        new: PathBuf,
        /// Texts to judge by both, one a line; the stored recent messages where absent.
        #[arg(long, value_name = "FILE")]
        texts: Option<PathBuf>,
        /// Number of the newest stored messages to judge.
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(i64).range(0..=1_000_000))]
        recent: i64,
        /// Write the report as a page, too.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show what a text hits and why, drawn under it.
    Test {
        /// The text.
        text: String,
        /// In a channel of this kind, as `policy.toml` has it: world, guild, party, direct or support.
        #[arg(long = "in", value_name = "KIND", value_parser = PossibleValuesParser::new(PLACES))]
        place: Option<String>,
        /// The folder; the configured one where absent.
        #[arg(long)]
        folder: Option<PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Publish a folder's list: servers that read the published place use it within five minutes.
    Publish {
        /// The folder to publish.
        #[arg(default_value = "wordlists")]
        folder: PathBuf,
        #[command(flatten)]
        to: Target,
        /// Publish even though the check fails or half of the list is gone.
        #[arg(long)]
        force: bool,
    },
    /// List what was published, and when, and by whom.
    History {
        #[command(flatten)]
        to: Target,
    },
    /// Write the list that is published at a place as one file, for a package that starts without storage.
    Fetch {
        /// Place of published lists: a folder, or `s3://bucket/prefix`.
        from: Location,
        /// The file; beside the program it must be named `wordlist.json`.
        file: PathBuf,
    },
    /// Go back to the list before, or to the one whose hash begins so.
    Rollback {
        /// The beginning of the hash.
        version: Option<String>,
        #[command(flatten)]
        to: Target,
    },
}

/// Place of published lists, and the name of whoever publishes.
#[derive(Args)]
pub(super) struct Target {
    /// Place of published lists: a folder, or `s3://bucket/prefix`.
    #[arg(long, value_name = "PLACE")]
    to: Location,
    /// Name of whoever does this, for the history.
    #[arg(long, default_value = "unknown")]
    by: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

type Done = Result<(), StartError>;

fn fault(fault: impl std::fmt::Display) -> StartError {
    StartError::new("wordlist", fault)
}

impl WordlistCommand {
    pub(super) async fn run(self, config: &Config) -> Done {
        let configured = |folder: Option<PathBuf>| match (folder, &config.wordlists) {
            (Some(folder), _) => Ok(folder),
            (None, Location::Folder(folder)) => Ok(folder.clone()),
            (None, place) => Err(fault(format!("name the folder; what is configured is {place}"))),
        };
        match self {
            Self::Check { folder, clean, before, strict, json } => {
                let files = read_folder(&configured(folder)?).map_err(fault)?;
                let mut report = checked(&files, clean.as_deref())?;
                if let Some(before) = before {
                    let before = read_folder(&before).map_err(fault)?;
                    report.findings.extend(vanished(&before, &files).into_iter().map(check::vanished));
                }
                if json {
                    print_json(&report)?
                } else {
                    print_report(&report)?
                }
                let worst = if strict { Level::Warning } else { Level::Error };
                let holds = report.findings.iter().all(|finding| finding.level < worst);
                if holds { Ok(()) } else { Err(fault("the list must not be used")) }
            }
            Self::Diff { old, new, texts, recent, html, json } => {
                let texts = match texts {
                    Some(file) => lines(&read_text(&file)?),
                    None => stored(config, recent).await?,
                };
                let (old, new) = (read_folder(&old).map_err(fault)?, read_folder(&new).map_err(fault)?);
                let gone = vanished(&old, &new);
                let (old, new) = (parse(&old)?, parse(&new)?);
                let bar = progress("judging", texts.len());
                let mut diff =
                    diff::diff(&old, &new, &texts, |done| bar.set_position(done as u64)).map_err(fault)?;
                diff.files_gone = gone;
                bar.finish_and_clear();
                if let Some(file) = html {
                    std::fs::write(&file, diff.to_html())
                        .map_err(|why| fault(format!("{}: {why}", file.display())))?;
                }
                if json { print_json(&diff) } else { say(&diff.to_text()) }
            }
            Self::Test { text, place, folder, json } => {
                test(&text, place.as_deref(), &configured(folder)?, json)
            }
            Self::Publish { folder, to, force } => publish(&folder, &to, force, config).await,
            Self::Fetch { from, file } => {
                let objects = Objects::at(&from, &config.s3).await;
                let pointer = published::pointer(&objects).await.map_err(fault)?;
                let pointer = pointer.ok_or_else(|| fault(format!("nothing was published at {from}")))?;
                let files = published::files(&objects, &pointer).await.map_err(fault)?;
                let bytes = published::bundle(&files).map_err(fault)?;
                std::fs::write(&file, bytes).map_err(|why| fault(format!("{}: {why}", file.display())))?;
                say(&format!("{} entries in {}", pointer.entries, file.display()))
            }
            Self::History { to } => history(&to, config).await,
            Self::Rollback { version, to } => {
                let objects = Objects::at(&to.to, &config.s3).await;
                let now = Clock::default().now();
                let pointer = published::rollback(&objects, version.as_deref(), &to.by, now).await;
                let pointer = pointer.map_err(fault)?;
                to.print("in use again", &pointer)
            }
        }
    }
}

fn checked(files: &Files, clean: Option<&Path>) -> Result<Report, StartError> {
    let clean = clean.map_or_else(|| Ok(CLEAN.to_owned()), read_text)?;
    let clean = lines(&clean);
    let clean: Vec<&str> = clean.iter().map(String::as_str).collect();
    let bar = progress("checking", 0);
    let report = check(files, &clean, |done, steps| {
        bar.set_length(steps as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    Ok(report)
}

fn parse(files: &Files) -> Result<Wordlist, StartError> {
    Wordlist::parse(files).map_err(|faults| fault(faults.join("\n  ")))
}

fn read_text(file: &Path) -> Result<String, StartError> {
    let named = |why: std::io::Error| fault(format!("{}: {why}", file.display()));
    if std::fs::metadata(file).map_err(named)?.len() > MAX_TEXTS_BYTES {
        return Err(fault(format!("{} is larger than {MAX_TEXTS_BYTES} bytes", file.display())));
    }
    std::fs::read_to_string(file).map_err(named)
}

/// The lines that are not empty and no comments.
fn lines(text: &str) -> Vec<String> {
    text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// Returns the players' newest messages, as they wrote them.
async fn stored(config: &Config, recent: i64) -> Result<Vec<String>, StartError> {
    let clock = Clock::default();
    if config.database_url.is_none() && !config.data.join(EMBEDDED_FILE).exists() {
        return Ok(Vec::new());
    }
    let db = Db::open(config, clock).await.map_err(|why| StartError::new("opening the database", why))?;
    message::recent_texts(&db, recent).await.map_err(fault)
}

/// Shows the entries that a text hits, in any place or in one.
fn test(text: &str, place: Option<&str>, folder: &Path, json: bool) -> Done {
    let list = parse(&read_folder(folder).map_err(fault)?)?;
    let filter = Filter::build(&list).map_err(fault)?;
    let mut verdict = filter.judge(text);
    if let Some(strictness) = place.and_then(|place| list.policy.of(place)) {
        strictness.apply(&mut verdict);
    }
    if json { print_json(&verdict_json(&verdict, text)) } else { say(&drawn(&verdict, text)) }
}

async fn publish(folder: &Path, to: &Target, force: bool, config: &Config) -> Done {
    let files = read_folder(folder).map_err(fault)?;
    let report = checked(&files, None)?;
    let objects = Objects::at(&to.to, &config.s3).await;
    let seen = match published::look(&objects, None).await {
        // A pointer that is broken is mended by force.
        Err(_) if force => None,
        seen => Some(seen.map_err(fault)?),
    };
    if !force {
        if !report.holds() {
            print_report(&report)?;
            return Err(fault("not published: the check fails; --force publishes all the same"));
        }
        if let Some(PointerState::At(before, _)) = &seen
            && report.entries * 2 < before.entries
        {
            let counts = format!("{} entries instead of {}", report.entries, before.entries);
            return Err(fault(format!("not published: {counts}; --force publishes all the same")));
        }
    }
    if let Some(PointerState::At(before, _)) = &seen
        && let Ok(before) = published::files(&objects, before).await
    {
        for name in vanished(&before, &files) {
            say_aside(&format!("warning: {name} was published before and is gone"));
        }
    }
    let stamp = (to.by.as_str(), Clock::default().now());
    let pointer = published::publish(&objects, &files, report.entries, stamp, seen.as_ref()).await;
    let pointer = pointer.map_err(fault)?;
    to.print("published", &pointer)
}

async fn history(to: &Target, config: &Config) -> Done {
    let objects = Objects::at(&to.to, &config.s3).await;
    let history = published::history(&objects).await.map_err(fault)?;
    if to.json {
        return print_json(&history);
    }
    history.iter().rev().try_for_each(|pointer| to.print(&pointer.by_way_of, pointer))
}

impl Target {
    fn print(&self, what: &str, pointer: &Pointer) -> Done {
        if self.json {
            return print_json(pointer);
        }
        let Pointer { sha256, entries, published_at, by, .. } = pointer;
        let (sha256, at) = (&sha256[..12.min(sha256.len())], in_words(*published_at));
        say(&format!("{what:<12} {sha256}  {entries} entries  at {at} by {by}"))
    }
}

fn print_json(value: &impl serde::Serialize) -> Done {
    say(&serde_json::to_string_pretty(value).map_err(fault)?)
}

fn print_report(report: &Report) -> Done {
    for finding in report.findings.iter().take(SHOWN) {
        let level = match finding.level {
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        say(&format!("{level}: {}: {}", finding.place, finding.message))?;
    }
    if report.findings.len() > SHOWN {
        say(&format!("… and {} more; --json has them all", report.findings.len() - SHOWN))?;
    }
    for hit in report.innocent.iter().filter(|hit| hit.lines > 0) {
        let CleanHits { category, entries, lines } = hit;
        let share = *lines as f64 * 100.0 / report.clean as f64;
        say(&format!(
            "{category}: {entries} entries hit {lines} of {} clean lines ({share:.2} %)",
            report.clean
        ))?;
    }
    let count = |level| report.findings.iter().filter(|finding| finding.level == level).count();
    let Report { entries, allowed, cases, clean, .. } = report;
    let (errors, warnings) = (count(Level::Error), count(Level::Warning));
    say(&format!(
        "{entries} entries, {allowed} allowed phrases, {cases} cases, {clean} clean lines: {errors} errors, {warnings} warnings"
    ))
}

fn verdict_json(verdict: &Verdict<'_>, text: &str) -> serde_json::Value {
    let hit = |hit: &crate::filter::Hit<'_>| {
        json!({
            "start": hit.span.start, "end": hit.span.end, "text": &text[hit.span.clone()], "entry": hit.entry,
            "category": hit.category, "action": hit.action.as_str(), "severity": hit.severity, "view": hit.view.as_str(),
        })
    };
    let action = verdict.worst().map_or("pass", |worst| worst.action.as_str());
    json!({ "action": action, "masked": verdict.masked(text), "hits": verdict.hits.iter().map(hit).collect::<Vec<_>>() })
}

/// The text, and under it a line for each hit.
fn drawn(verdict: &Verdict<'_>, text: &str) -> String {
    let mut drawing = format!("{text}\n");
    for hit in &verdict.hits {
        let indent = " ".repeat(text[..hit.span.start].width());
        let marks = "^".repeat(text[hit.span.clone()].width().max(1));
        let how = match hit.view {
            View::Plain => String::new(),
            view => format!(", found {}", view.as_str()),
        };
        let (entry, category, action, severity) =
            (hit.entry, hit.category, hit.action.as_str(), hit.severity);
        drawing.push_str(&format!(
            "{indent}{marks} '{entry}' in {category}: {action}, severity {severity}{how}\n"
        ));
    }
    match verdict.worst() {
        None => drawing.push_str("passes"),
        Some(worst) => drawing.push_str(&format!("{}: {}", worst.action.as_str(), verdict.masked(text))),
    }
    drawing
}

/// A bar where a person watches; nothing in a pipe.
fn progress(what: &'static str, steps: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(steps as u64).with_style(style).with_message(what)
}
