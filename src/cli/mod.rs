//! The command line: what the program does when it is called by a person, a service manager or a platform.
//!
//! `serve` runs the program for as long as it is wanted, as a server, a worker or a function; `token`, `say`, `wordlist`,
//! `audit`, `schedule` and `task` are commands for people. Stands above everything: it hands the registries of
//! actions and tasks to those who run them.

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::Builder;

use crate::api::openapi;
use crate::base::error::StartError;
use crate::base::version::BUILD;
use crate::config::{Config, Platform, data_folder};
use crate::controllers::{ACTIONS, about};
use crate::host::live::asyncapi;
use crate::host::log;
use crate::store::{Db, EMBEDDED_FILE};

mod audit;
mod message;
mod schedule;
mod serve;
mod task;
mod token;
mod wordlist;

use serve::Tasks;

/// A game's chat API as one function.
///
/// Without a command it serves: as an AWS Lambda function where Lambda starts it (its handler says as what: `api`,
/// `worker` or `migrate`), else as a plain server.
/// Settings come from the environment; `guildhall config` lists them.
#[derive(Parser)]
#[command(version = BUILD, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Answer requests, and run tasks.
    Serve,
    /// Hold sockets and answer requests, but run no tasks: beside functions, on their database, with a worker of theirs.
    Live,
    /// Run tasks: from Kafka where `KAFKA_BROKERS` is set, else from the outbox. `serve` does the latter by itself.
    Worker,
    /// Bring the database's tables to this version; part of a release, before the new version takes requests.
    Migrate,
    /// Sign a token, as the game's server would, and print it.
    Token(token::Token),
    /// Say something in a channel, as `/message/send` does, and print the message.
    Say(message::Say),
    /// Print every setting with its default, as a Markdown table; checks the environment's own.
    Config,
    /// Print the API as an OpenAPI document.
    Openapi,
    /// Print what goes over sockets as an AsyncAPI document.
    Asyncapi,
    /// Check, compare, try and publish wordlists.
    #[command(subcommand)]
    Wordlist(wordlist::WordlistCommand),
    /// Check, list and export the audit of what was done about players.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// List, show, retry and run tasks.
    #[command(subcommand)]
    Task(task::TaskCommand),
    /// List what is scheduled, and run it once more.
    #[command(subcommand)]
    Schedule(schedule::ScheduleCommand),
}

/// A wrong environment, as opposed to a fault while running.
const BAD_CONFIG: u8 = 2;

impl Cli {
    /// Does what was asked.
    pub fn run(self) -> ExitCode {
        let config = match Config::from_env() {
            Ok(config) => config,
            Err(faults) => return complain(&faults, BAD_CONFIG),
        };
        let _log = match log::start(&config) {
            Ok(log) => log,
            Err(fault) => return complain(&fault, BAD_CONFIG),
        };
        for stranger in Config::strangers() {
            tracing::warn!("{stranger}");
        }
        let threads = threads(&config.platform);
        let done = match self.command {
            None | Some(Command::Serve) => in_runtime(threads, serve::serve(config, Tasks::Run)),
            Some(Command::Live) => in_runtime(threads, serve::serve(config, Tasks::Leave)),
            Some(Command::Worker) => in_runtime(threads, serve::worker(config)),
            Some(Command::Migrate) => in_runtime(threads, migrate(config)),
            Some(Command::Token(token)) => token.print(&config),
            Some(Command::Say(say)) => in_runtime(threads, say.run(config)),
            Some(Command::Config) => say(&variables_table()),
            Some(Command::Openapi) => say(&openapi_text()),
            Some(Command::Asyncapi) => say(&asyncapi_text()),
            Some(Command::Wordlist(command)) => in_runtime(threads, command.run(&config)),
            Some(Command::Audit(command)) => in_runtime(threads, command.run(config)),
            Some(Command::Task(command)) => in_runtime(threads, command.run(config)),
            Some(Command::Schedule(command)) => in_runtime(threads, command.run(config)),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(fault) => complain(&fault, 1),
        }
    }
}

fn complain(fault: &dyn std::fmt::Display, code: u8) -> ExitCode {
    // Where nobody can be told, the code has to do.
    let _ = writeln!(std::io::stderr().lock(), "guildhall: {}", fault.to_string().trim_end());
    ExitCode::from(code)
}

/// A command that looks at what is there, or changes it, makes no database where none is.
fn require_database(config: &Config, what: &'static str) -> Result<(), StartError> {
    let file = config.data.join(EMBEDDED_FILE);
    if config.database_url.is_some() || file.exists() {
        return Ok(());
    }
    let why =
        format!("there is no {}: set GUILDHALL_DATA or DATABASE_URL as the server has it", file.display());
    Err(StartError::new(what, why))
}

/// Tells a person something beside what was asked for.
fn say_aside(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints, and takes a closed pipe (`| head`) for an answer.
fn say(text: &str) -> Result<(), StartError> {
    match writeln!(std::io::stdout().lock(), "{}", text.trim_end()) {
        Err(fault) if fault.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(StartError::new("printing", fault))
        }
        _ => Ok(()),
    }
}

/// One for all where a platform gives an instance one event at a time, and less than one core as a rule: handing it from
/// thread to thread would be a third of what it costs.
fn threads(platform: &Platform) -> Builder {
    match platform {
        Platform::Lambda { .. } | Platform::Scf { .. } => Builder::new_current_thread(),
        Platform::Own => Builder::new_multi_thread(),
    }
}

fn in_runtime(
    mut threads: Builder,
    work: impl Future<Output = Result<(), StartError>>,
) -> Result<(), StartError> {
    let runtime = threads.enable_all().build();
    runtime.map_err(|fault| StartError::new("starting threads", fault))?.block_on(work)
}

async fn migrate(config: Config) -> Result<(), StartError> {
    if config.database_url.is_none() {
        data_folder::prepare(&config.data)?;
    }
    let steps = Db::migrate(&config).await.map_err(|fault| StartError::new("migrating", fault))?;
    say(&format!("the database is current; {steps} migration(s) were run"))
}

/// The table of docs/settings.md.
pub fn variables_table() -> String {
    let mut table = "| variable | default | meaning |\n|---|---|---|\n".to_owned();
    for variable in Config::variables() {
        let default = match variable.default {
            "" => "empty".to_owned(),
            words if words.contains(' ') || matches!(words, "off" | "none") => words.to_owned(),
            value => format!("`{value}`"),
        };
        table.push_str(&format!("| `{}` | {default} | {} |\n", variable.name, variable.meaning));
    }
    table
}

/// The same for sockets.
pub fn asyncapi_text() -> String {
    format!("{:#}\n", asyncapi::document())
}

/// The committed document's text: what published versions answer.
pub fn openapi_text() -> String {
    format!("{:#}\n", openapi::document(ACTIONS, about, false))
}
