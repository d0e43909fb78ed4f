//! `guildhall task`: what an operator does with tasks.

use std::sync::Arc;

use clap::{ArgGroup, Subcommand};
use serde_json::value::RawValue;

use super::{require_database, say};
use crate::app::App;
use crate::base::clock::Clock;
use crate::base::error::{Error, StartError};
use crate::base::random;
use crate::chat::states::TaskState;
use crate::config::parse::Since;
use crate::config::{Config, parse};
use crate::outside::envelope::Envelope;
use crate::service::TASKS;
use crate::store::handover;
use crate::store::outbox::{self, Listed, TaskFilter, Waiting};
use crate::work::worker::{WorkTime, Worker};

/// Tasks that are changed by one step.
const STEP: i64 = 500;

/// Commands for tasks.
#[derive(Subcommand)]
pub(super) enum TaskCommand {
    /// List the newest tasks in a state.
    List {
        /// State of the tasks to list.
        #[arg(long, default_value = "dead", value_parser = task_state)]
        state: TaskState,
        /// Number of tasks to list.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
    },
    /// Show one task, with its payload and why it failed.
    Show {
        /// The task's id.
        id: String,
    },
    /// Make dead tasks ready again: one, or all of a kind, five hundred at a time.
    #[command(group(ArgGroup::new("which").required(true).args(["id", "kind"])))]
    Retry {
        /// The task's id.
        id: Option<String>,
        /// All of this name.
        #[arg(long)]
        kind: Option<String>,
        /// Of these, those that were given up since then: `90s`, `2m`, `1h` or `7d` ago, or at a time such as `2026-11-29T08:00:00Z`.
        #[arg(long, conflicts_with = "id", default_value = "3650d", value_parser = parse::since)]
        since: Since,
        /// Of these, those with this in their reason.
        #[arg(long, conflicts_with = "id", default_value = "")]
        reason: String,
    },
    /// Give up tasks of a kind that wait, such as those that no version knows any more.
    Drop {
        /// Their name.
        #[arg(long)]
        kind: String,
        /// Those that were stored since then: `90s`, `2m`, `1h` or `7d` ago, or at a time such as `2026-11-29T08:00:00Z`.
        #[arg(long, default_value = "3650d", value_parser = parse::since)]
        since: Since,
        /// Reason; it is written to the dead letters.
        #[arg(long)]
        reason: String,
    },
    /// List the keys that have waited longest, with how many tasks they have, up to ten thousand, and those that are set aside.
    Keys {
        /// Number of keys to list.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=1_000))]
        limit: i64,
    },
    /// Set a key aside: its tasks wait, and new ones behind them, until it is taken up again.
    Park {
        /// The key, as `guildhall task keys` shows it.
        #[arg(value_parser = one_key)]
        key: String,
        /// Reason; `guildhall task keys` shows it.
        #[arg(long)]
        reason: String,
    },
    /// Take a key up again that was set aside.
    Unpark {
        /// The key.
        key: String,
    },
    /// Hand over again what the broker was given and no worker has ended: after it lost records, or its topic was made anew.
    HandOver,
    /// Run a task here and now, and say how it ended.
    Run {
        /// The task's name.
        name: String,
        /// The task's fields, as a JSON object.
        #[arg(default_value = "{}")]
        payload: String,
    },
}

/// A key has a sign at least, and no more than an index takes.
fn one_key(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 1_000 {
        return Err("a key has 1 to 1,000 bytes".to_owned());
    }
    Ok(text.to_owned())
}

fn fault(fault: Error) -> StartError {
    StartError::new("tasks", fault)
}

fn task_state(word: &str) -> Result<TaskState, String> {
    TaskState::try_from(word.to_owned()).map_err(|_| "is one of ready, sent, done, dead".to_owned())
}

impl TaskCommand {
    pub(super) async fn run(self, config: Config) -> Result<(), StartError> {
        // A task by hand may be the first thing of all; to look at others, or to change them, is another matter.
        if !matches!(self, Self::Run { .. }) {
            require_database(&config, "tasks")?;
        }
        let app = App::start(config, Clock::default()).await?;
        match self {
            Self::List { state, limit } => {
                let tasks = outbox::list(&app.db, state, limit).await.map_err(fault)?;
                tasks.iter().try_for_each(|task| {
                    let Listed { id, task, key, state, attempt, reason, payload } = task;
                    let (reason, state) = (reason.as_deref().unwrap_or_default(), state.as_str());
                    say(&format!("{id}  {task}  {state}  key {key}  tries {attempt}  {reason}  {payload}"))
                })
            }
            Self::Show { id } => show(&app, &id).await,
            Self::Retry { id: Some(id), .. } => {
                outbox::revive(&app.db, &id).await.map_err(fault)?;
                say(&format!("{id} is ready again"))
            }
            Self::Retry { kind, since, reason, .. } => {
                let kind = kind.unwrap_or_default();
                let until = app.db.now().await.map_err(fault)?;
                let which = TaskFilter { kind: &kind, since: since.by(until), until, reason: &reason };
                in_steps("are ready again", &kind, async || outbox::revive_some(&app.db, which, STEP).await)
                    .await
            }
            Self::Drop { kind, since, reason } => {
                let until = app.db.now().await.map_err(fault)?;
                let which = TaskFilter { kind: &kind, since: since.by(until), until, reason: &reason };
                in_steps("were given up", &kind, async || outbox::drop_some(&app.db, which, STEP).await).await
            }
            Self::Keys { limit } => keys(&app, limit).await,
            Self::Park { key, reason } => match outbox::park(&app.db, &key, &reason).await.map_err(fault)? {
                0 => say(&format!("{key} is set aside; no task of it waits now, and those to come will")),
                tasks @ 10_000.. => say(&format!("{key} is set aside, with {tasks} tasks or more")),
                tasks => say(&format!("{key} is set aside, with its {tasks} tasks")),
            },
            Self::Unpark { key } => match outbox::unpark(&app.db, &key).await.map_err(fault)? {
                true => say(&format!("{key} is taken up again")),
                false => Err(StartError::new("tasks", format!("{key} is not set aside"))),
            },
            Self::HandOver => {
                if app.queue.is_none() {
                    return Err(StartError::new(
                        "tasks",
                        "KAFKA_BROKERS is not set: there is no broker to hand them to",
                    ));
                }
                let keys = handover::hand_over_again(&app.db).await.map_err(fault)?;
                say(&format!("tasks of {keys} keys are handed over again by whoever serves"))
            }
            Self::Run { name, payload } => run_one(&app, name, payload).await,
        }
    }
}

/// Runs a task here and now, unless others of its key have their turn first.
async fn run_one(app: &Arc<App>, name: String, payload: String) -> Result<(), StartError> {
    let unknown = || StartError::new("tasks", format!("no task is named '{name}'"));
    let entry = TASKS.iter().find(|entry| entry.name == name).ok_or_else(unknown)?;
    let wrong = |why: String| StartError::new("payload", why);
    let key = (entry.check)(&payload).map_err(wrong)?;
    if !(entry.is_set_up)(app) {
        return Err(StartError::new(
            "tasks",
            format!("{name} can't be run here: a setting that it takes is missing"),
        ));
    }
    let payload = RawValue::from_string(payload).map_err(|why| wrong(why.to_string()))?;
    let envelope = Envelope::new(random::id(), name, key, payload);
    let id = envelope.id.clone();
    let worker = Worker::new(Arc::clone(app), TASKS);
    worker.run_now(envelope, WorkTime::unlimited()).await.map_err(fault)?;
    show(app, &id).await?;
    match outbox::find(&app.db, &id).await.map_err(fault)?.state {
        TaskState::Ready | TaskState::Sent => {
            let why = "it is not done: it is tried again later, others of its key have their turn first, or the key is set aside";
            Err(StartError::new("tasks", why))
        }
        _ => Ok(()),
    }
}

/// Does something with some tasks after the other, until there are no more.
async fn in_steps(
    what: &str,
    kind: &str,
    step: impl AsyncFn() -> Result<u64, Error>,
) -> Result<(), StartError> {
    let mut all = 0;
    loop {
        let some = step().await.map_err(fault)?;
        if some == 0 {
            if all > 0 || TASKS.iter().any(|entry| entry.name == kind) {
                return say(&format!("{all} tasks {what}"));
            }
            let why =
                format!("none is named '{kind}': this version knows no such task, and no other is there");
            return Err(StartError::new("tasks", why));
        }
        all += some;
        tracing::info!(all, "tasks {what}");
    }
}

async fn keys(app: &App, limit: i64) -> Result<(), StartError> {
    let now = app.db.now().await.map_err(fault)?;
    let keys = outbox::waiting(&app.db, limit).await.map_err(fault)?;
    keys.iter().try_for_each(|Waiting { key, tasks, since, task, hold, due_at, reason }| {
        let waited = (now - since).max(0) / 1_000;
        let hold = match hold.as_str() {
            "" if *due_at > now => format!("next in {} s", (due_at - now) / 1_000),
            "" => "due".to_owned(),
            "leased" => "a worker has it".to_owned(),
            "parked" => "set aside".to_owned(),
            _ => "the broker has it".to_owned(),
        };
        let reason = reason.as_deref().unwrap_or_default();
        say(&format!("{key}  {task}  tasks {tasks}  waited {waited} s  {hold}  {reason}"))
    })
}

async fn show(app: &App, id: &str) -> Result<(), StartError> {
    let Listed { id, task, key, state, attempt, reason, payload } =
        outbox::find(&app.db, id).await.map_err(fault)?;
    let (reason, state) = (reason.unwrap_or_else(|| "-".to_owned()), state.as_str());
    say(&format!(
        "id      {id}\ntask    {task}\nkey     {key}\nstate   {state}\ntries   {attempt}\nreason  {reason}\npayload {payload}"
    ))
}
