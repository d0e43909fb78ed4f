//! `/health/*`: for load balancers and people on call.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::action::{Action, Route};
use crate::api::caller::Anyone;
use crate::app::App;
use crate::base::error::Result;

/// The process answers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Live {}

/// The answer of a process that lives.
#[derive(Serialize, JsonSchema)]
pub struct Alive {
    alive: bool,
}

impl Action for Live {
    const ROUTE: Route = Route::get("/health/live");
    type Caller = Anyone;
    type Reply = Alive;

    async fn run(self, _: &App, _: Anyone) -> Result<Alive> {
        Ok(Alive { alive: true })
    }
}

/// The process can do its work: the database can be written to and a wordlist is in use.
///
/// 503 where it can't. A wordlist that could not be refreshed is no reason: the last good one judges.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ready {}

/// State of what the process works with.
#[derive(Serialize, JsonSchema)]
pub struct Readiness {
    ready: bool,
    /// Answers, and stores what it is given.
    database: bool,
    wordlist: WordlistInUse,
}

/// The wordlist in use.
#[derive(Serialize, JsonSchema)]
pub struct WordlistInUse {
    /// A hash of its files.
    version: String,
    /// Number of entries that it blocks.
    entries: usize,
    /// Seconds since it was last known to be current.
    age_s: i64,
    /// Is the last good list in use because a newer one can't be?
    stale: bool,
}

impl Action for Ready {
    const ROUTE: Route = Route::get("/health/ready");
    type Caller = Anyone;
    type Reply = Readiness;

    async fn run(self, app: &App, _: Anyone) -> Result<Readiness> {
        app.db.can_write().await?;
        let status = app.blocklist.status();
        let wordlist = WordlistInUse {
            version: status.version,
            entries: status.entries,
            age_s: status.age_ms / 1_000,
            stale: status.last_error.is_some(),
        };
        Ok(Readiness { ready: true, database: true, wordlist })
    }
}
