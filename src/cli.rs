//! The command line: what the program does when it is called by a person, a service manager or a platform.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::app::App;
use crate::clock::Clock;
use crate::config::{Config, Platform, Role};
use crate::controllers::ACTIONS;
use crate::data_folder;
use crate::domain::{Level, Name, PlayerId};
use crate::error::StartError;
use crate::host::{self, server::Server};
use crate::http::Router;
use crate::publisher;
use crate::store::{Db, LOG_FILTER};
use crate::tasks::TASKS;
use crate::token::{self, Claims, Scope};
use crate::version::BUILD;
use crate::worker::Worker;
use crate::{figures, openapi};

mod task;
mod wordlist;

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
    /// Run tasks: from Kafka where `KAFKA_BROKERS` is set, else from the outbox. `serve` does the latter by itself.
    Worker,
    /// Bring the database's tables to this version; part of a release, before the new version takes requests.
    Migrate,
    /// Sign a token, as the game's server would, and print it.
    Token(Token),
    /// Print every setting with its default, as a Markdown table; checks the environment's own.
    Config,
    /// Print the API as an OpenAPI document.
    Openapi,
    /// Check, compare, try and publish wordlists.
    #[command(subcommand)]
    Wordlist(wordlist::WordlistCommand),
    /// List, show, retry and run tasks.
    #[command(subcommand)]
    Task(task::TaskCommand),
}

#[derive(Args)]
struct Token {
    #[command(flatten)]
    who: Who,
    /// The name that others see.
    #[arg(long)]
    name: Option<String>,
    /// The player's level in the game.
    #[arg(long)]
    level: Option<i64>,
    /// How many seconds the token holds.
    #[arg(long, default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    ttl_s: u64,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Who {
    /// A player's id.
    #[arg(long, value_name = "ID")]
    player: Option<String>,
    /// A moderator's id.
    #[arg(long, value_name = "ID")]
    moderator: Option<String>,
    /// The game's own server, by a name of its own.
    #[arg(long, value_name = "ID", num_args = 0..=1, default_missing_value = "server")]
    server: Option<String>,
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
        if let Err(fault) = start_log(&config) {
            return complain(&fault, BAD_CONFIG);
        }
        let done = match self.command {
            None | Some(Command::Serve) => in_runtime(serve(config)),
            Some(Command::Worker) => in_runtime(worker(config)),
            Some(Command::Migrate) => in_runtime(migrate(config)),
            Some(Command::Token(token)) => token.print(&config),
            Some(Command::Config) => say(&variables_table()),
            Some(Command::Openapi) => say(&openapi_text()),
            Some(Command::Wordlist(command)) => in_runtime(command.run(&config)),
            Some(Command::Task(command)) => in_runtime(command.run(config)),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(fault) => complain(&fault, 1),
        }
    }
}

#[expect(clippy::print_stderr, reason = "a person called us and reads this")]
fn complain(fault: &dyn std::fmt::Display, code: u8) -> ExitCode {
    eprintln!("guildhall: {}", fault.to_string().trim_end());
    ExitCode::from(code)
}

/// Prints, and takes a closed pipe (`| head`) for an answer.
fn say(text: &str) -> Result<(), StartError> {
    use std::io::Write;
    match writeln!(std::io::stdout().lock(), "{}", text.trim_end()) {
        Err(fault) if fault.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(StartError::new("printing", fault))
        }
        _ => Ok(()),
    }
}

/// One JSON line an event to a log service; something readable to a person.
fn start_log(config: &Config) -> Result<(), StartError> {
    let filter = EnvFilter::try_new(format!("{LOG_FILTER},{}", config.log))
        .map_err(|fault| StartError::new("GUILDHALL_LOG", fault))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        log.compact().init();
    } else {
        log.json().flatten_event(true).with_current_span(true).with_span_list(false).init();
    }
    Ok(())
}

fn in_runtime(work: impl Future<Output = Result<(), StartError>>) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|fault| StartError::new("starting threads", fault))?.block_on(work)
}

async fn serve(config: Config) -> Result<(), StartError> {
    if let Platform::Lambda { role, .. } = config.platform {
        return function(config, role).await;
    }
    let app = App::start(config, Clock::default()).await?;
    let router = Arc::new(Router::new(ACTIONS, Arc::clone(&app)));
    let stop = stop_signal();
    let server = Server::bind(app.config.listen, router)
        .await
        .map_err(|fault| StartError::new(&format!("listening on {}", app.config.listen), fault))?;
    let address = server.address().map_err(|fault| StartError::new("listening", fault))?;
    figures::serve(&app).await?;
    let list = Arc::clone(&app);
    tokio::spawn(async move { list.blocklist.keep_fresh().await });
    let worker = match &app.queue {
        Some(_) => tokio::spawn(publish(Arc::clone(&app), stop.clone())),
        None => tokio::spawn(Worker::new(Arc::clone(&app), TASKS).run(stop.clone())),
    };
    say(&format!("guildhall listens on http://{address}"))?;
    server.run(stop).await;
    // Tasks that don't end in time run again after the next start.
    let _ = tokio::time::timeout(app.config.shutdown_grace, worker).await;
    app.db.close().await;
    Ok(())
}

async fn function(config: Config, role: Role) -> Result<(), StartError> {
    let told = |fault| StartError::new("the Lambda runtime", fault);
    if role == Role::Migrate {
        if config.database_url.is_none() {
            data_folder::prepare(&config.data)?;
        }
        return host::lambda::migrate(config).await.map_err(told);
    }
    let app = App::start(config, Clock::default()).await?;
    let invoked = async {
        match role {
            Role::Worker => host::lambda::work(Arc::clone(&app)).await,
            _ => host::lambda::serve(Router::new(ACTIONS, Arc::clone(&app)).into()).await,
        }
    };
    let done = until_stopped(invoked, stop_signal()).await;
    app.db.close().await;
    done.map_err(told)
}

/// What a function does, until its platform says that it ends.
async fn until_stopped<E>(
    work: impl Future<Output = Result<(), E>>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), E> {
    tokio::select! {
        done = work => done,
        _ = stop.wait_for(|stop| *stop) => Ok(()),
    }
}

/// Hands tasks to the broker until told to stop.
async fn publish(app: Arc<App>, stop: watch::Receiver<bool>) {
    if let Some(queue) = &app.queue {
        publisher::run(&app, queue, stop).await;
        queue.close().await;
    }
}

async fn worker(config: Config) -> Result<(), StartError> {
    let app = App::start(config, Clock::default()).await?;
    let stop = stop_signal();
    if let Platform::Scf { events } = &app.config.platform {
        let done = until_stopped(host::scf::run(Arc::clone(&app), events), stop).await;
        app.db.close().await;
        return done.map_err(|fault| StartError::new("the SCF runtime", fault));
    }
    figures::serve(&app).await?;
    let worker = Worker::new(Arc::clone(&app), TASKS);
    let Some(queue) = &app.queue else {
        say("guildhall works on the outbox")?;
        worker.run(stop).await;
        app.db.close().await;
        return Ok(());
    };
    let consumer = queue.consume().map_err(|fault| StartError::new("joining the workers", fault))?;
    // Retries go through the outbox, so somebody must hand them over even where no server runs.
    let publisher = tokio::spawn(publish(Arc::clone(&app), stop.clone()));
    say(&format!("guildhall works on {}", queue.topic()))?;
    worker.consume(consumer, stop).await;
    let _ = publisher.await;
    app.db.close().await;
    Ok(())
}

async fn migrate(config: Config) -> Result<(), StartError> {
    if config.database_url.is_none() {
        data_folder::prepare(&config.data)?;
    }
    let steps = Db::migrate(&config).await.map_err(|fault| StartError::new("migrating", fault))?;
    say(&format!("the database is current; {steps} migration(s) were run"))
}

/// Turns true at SIGTERM or Ctrl-C.
fn stop_signal() -> watch::Receiver<bool> {
    let (told, stop) = watch::channel(false);
    tokio::spawn(async move {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            .expect("signals can be listened for");
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        tracing::info!("stopping");
        let _ = told.send(true);
        // Kept, so that those who listen don't take the end of this task for a second word.
        std::future::pending::<()>().await;
    });
    stop
}

impl Token {
    fn print(self, config: &Config) -> Result<(), StartError> {
        let wrong = |fault: &str| StartError::new("token", fault);
        let (scope, id) = match (self.who.player, self.who.moderator, self.who.server) {
            (Some(id), ..) => (Scope::Player, id),
            (_, Some(id), _) => (Scope::Moderator, id),
            (_, _, id) => (Scope::Server, id.unwrap_or_default()),
        };
        let claims = Claims {
            sub: PlayerId::parse(id).map_err(wrong)?,
            scope,
            exp: Clock::default().now().unsigned_abs() / 1_000 + self.ttl_s,
            name: self.name.map(Name::parse).transpose().map_err(wrong)?,
            level: self.level.map(Level::try_from).transpose().map_err(wrong)?,
            zone: None,
        };
        let secret = App::token_secret(config)?;
        say(&token::mint(&secret, &claims).map_err(|fault| StartError::new("signing", fault))?)
    }
}

/// The README's table.
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

/// The committed document's text.
pub fn openapi_text() -> String {
    format!("{:#}\n", openapi::document(ACTIONS))
}
