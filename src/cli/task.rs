//! `guildhall task`: what an operator does with tasks.

use clap::Subcommand;
use serde_json::value::RawValue;

use super::say;
use crate::app::App;
use crate::base::clock::Clock;
use crate::base::error::{Error, StartError};
use crate::base::random;
use crate::config::Config;
use crate::outside::envelope::Envelope;
use crate::store::outbox::{self, Listed};
use crate::work::tasks::TASKS;
use crate::work::worker::{WorkTime, Worker};

/// What an operator does with tasks.
#[derive(Subcommand)]
pub(super) enum TaskCommand {
    /// List the newest tasks in a state.
    List {
        /// Which.
        #[arg(long, default_value = "dead", value_parser = ["ready", "sent", "done", "dead"])]
        state: String,
        /// How many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
    },
    /// Show one task, with its payload and why it failed.
    Show {
        /// Its id.
        id: String,
    },
    /// Make a dead task ready again.
    Retry {
        /// Its id.
        id: String,
    },
    /// Run a task here and now, and say how it ended.
    Run {
        /// Its name.
        name: String,
        /// Its fields, as a JSON object.
        #[arg(default_value = "{}")]
        payload: String,
    },
}

fn fault(fault: Error) -> StartError {
    StartError::new("tasks", fault)
}

impl TaskCommand {
    pub(super) async fn run(self, config: Config) -> Result<(), StartError> {
        let app = App::start(config, Clock::default()).await?;
        match self {
            Self::List { state, limit } => {
                let tasks = outbox::list(&app.db, &state, limit).await.map_err(fault)?;
                tasks.iter().try_for_each(|task| {
                    let Listed { id, task, state, attempt, reason, payload, .. } = task;
                    let reason = reason.as_deref().unwrap_or_default();
                    say(&format!("{id}  {task}  {state}  tries {attempt}  {reason}  {payload}"))
                })
            }
            Self::Show { id } => show(&app, &id).await,
            Self::Retry { id } => {
                outbox::revive(&app.db, &id).await.map_err(fault)?;
                say(&format!("{id} is ready again"))
            }
            Self::Run { name, payload } => {
                let unknown = || StartError::new("tasks", format!("no task is named '{name}'"));
                let entry = TASKS.iter().find(|entry| entry.name == name).ok_or_else(unknown)?;
                let wrong = |why: String| StartError::new("payload", why);
                let key = (entry.check)(&payload).map_err(wrong)?;
                let payload = RawValue::from_string(payload).map_err(|why| wrong(why.to_string()))?;
                let envelope = Envelope::new(random::id(), name, key, payload);
                let id = envelope.id.clone();
                Worker::new(app.clone(), TASKS)
                    .run_now(envelope, WorkTime::unlimited())
                    .await
                    .map_err(fault)?;
                show(&app, &id).await
            }
        }
    }
}

async fn show(app: &App, id: &str) -> Result<(), StartError> {
    let Listed { id, task, state, attempt, reason, payload, .. } =
        outbox::find(&app.db, id).await.map_err(fault)?;
    let reason = reason.unwrap_or_else(|| "-".to_owned());
    say(&format!(
        "id      {id}\ntask    {task}\nstate   {state}\ntries   {attempt}\nreason  {reason}\npayload {payload}"
    ))
}
