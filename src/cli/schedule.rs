//! `guildhall schedule`: what an operator does with schedules.

use clap::Subcommand;

use super::{require_database, say};
use crate::app::App;
use crate::base::calendar::in_words;
use crate::base::clock::Clock;
use crate::base::error::{Error, StartError};
use crate::config::Config;
use crate::store::schedule::{self, Schedule};

/// Schedules on one page.
const PAGE: i64 = 100;

/// Commands for schedules.
#[derive(Subcommand)]
pub(super) enum ScheduleCommand {
    /// List all schedules: id, task, state, when it is due next, and how it comes again.
    List,
    /// Run a schedule's task once more, now: a worker takes it.
    Run {
        /// The schedule's id.
        id: String,
    },
}

fn fault(fault: Error) -> StartError {
    StartError::new("schedules", fault)
}

impl ScheduleCommand {
    pub(super) async fn run(self, config: Config) -> Result<(), StartError> {
        require_database(&config, "schedules")?;
        let app = App::start(config, Clock::default()).await?;
        match self {
            Self::List => {
                let mut after: Option<String> = None;
                loop {
                    let page = schedule::list(&app.db, after.as_deref(), PAGE).await.map_err(fault)?;
                    page.iter().try_for_each(|schedule| say(&line(schedule)))?;
                    let Some(last) = page.last() else { return Ok(()) };
                    after = Some(last.id.clone());
                }
            }
            Self::Run { id } => {
                let task = schedule::run_now(&app.db, &id).await.map_err(fault)?;
                say(&format!("{task} is ready"))
            }
        }
    }
}

fn line(schedule: &Schedule) -> String {
    let Schedule { id, task, state, next_at, cron, zone, .. } = schedule;
    let state = state.as_str();
    let next = next_at.map_or_else(|| "never".to_owned(), in_words);
    let again = cron
        .as_ref()
        .zip(zone.as_ref())
        .map_or_else(|| "once".to_owned(), |(cron, zone)| format!("{cron} {zone}"));
    format!("{id}  {task}  {state}  next {next}  {again}")
}
