//! The database, in SQL: one file for each table, and [`Db`], which holds the connections.
//!
//! SQL lives here alone, and values reach it as binds alone. A table has one file, named after it, with all that asks it
//! or changes it; where the two databases want a statement differently, both texts stand side by side in it
//! (`by_dialect`). Its columns are explained in the migration that makes it, one for each database, and a migration may
//! make several tables. Two things touch several tables at once and so have a place of their own: [`create`], and
//! [`sends`], where a whole batch is one transaction.
//!
//! `SQLite` has one writer at a time, so everything that writes goes through one connection; sends share its commits.
//! Readers never wait for it. `PostgreSQL` serves any number of instances at once.
//!
//! Whatever is committed is told to the `hub`. Knows what is said and by whom (`chat`), what goes to a broker (`outside::envelope`), and settings; no request, no
//! action, no task.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

use crate::base::clock::{Clock, Millis};
use crate::base::error::{Error, Result};
use crate::config::Config;
use crate::filter::policy::Strictness;
use crate::hub::Hub;
use crate::store::engine::DbResult;

pub mod announcement;
pub mod audit;
pub mod block;
pub mod channel;
pub mod create;
pub mod device;
mod engine;
pub mod handover;
pub mod life;
pub mod lives;
pub mod member;
pub mod message;
pub mod moderation;
pub mod online;
pub mod outbox;
pub mod payment;
pub mod player;
pub mod process;
pub mod push_due;
pub mod rank;
pub mod retention;
pub mod right_change;
pub mod rights;
pub mod schedule;
pub mod sends;
mod spoken;
pub mod task_progress;
pub mod ticket;
mod times;
pub mod wordlist_hit;

pub use engine::sqlite::count_steps;

use engine::connections::Connections;
use engine::sql::{self, Row, Sql, Tx, Value};
use engine::{Pools, Purpose, postgres, sqlite};
use life::{Kept, Life};
use sends::writer;
use times::{Asking, Times};

/// A filter for the log: what `PostgreSQL` remarks on migrations helps nobody.
pub const LOG_FILTER: &str = "sqlx::postgres::notice=warn";

/// The embedded default's file in the data folder.
pub const EMBEDDED_FILE: &str = "guildhall.db";

/// Time for which the answer whether writing works is believed.
const PULSE: Duration = Duration::from_secs(1);

/// Channels of which it is remembered what they are.
const PLACES: usize = 16_384;

/// Channels whose count of members online is remembered.
const COUNTS: usize = 1_024;

/// The database.
pub struct Db {
    pools: Pools,
    sends: writer::Queue,
    clock: Clock,
    times: Arc<Times>,
    /// Time of the last write check, and its result.
    pulse: tokio::sync::Mutex<Option<(Instant, bool)>>,
    /// Stage of the tasks: empty for the published versions', `latest` for the newest code's.
    stage: &'static str,
    /// Was a task enqueued since somebody asked?
    enqueued: AtomicBool,
    hub: Arc<Hub>,
    /// Number of members online, and the time until that is believed, by the channel's key.
    online: Cache<i64, (Instant, i64)>,
    pages: message::Pages,
    blocks: block::KnownBlocks,
    hits: wordlist_hit::Hits,
    /// Kind of each channel and the strictness that its filter has, by the channel's id.
    places: Cache<String, Arc<(String, Strictness)>>,
}

impl Db {
    /// Opens the configured database: `PostgreSQL`, or a `SQLite` file, which it makes and migrates by itself.
    ///
    /// # Errors
    /// It can't be reached, is not ours, or wants `guildhall migrate`.
    pub async fn open(config: &Config, clock: Clock) -> Result<Self, String> {
        let pools = match &config.database_url {
            Some(url) if url.is_postgres() => {
                let options = postgres::require_current(url.expose()).await?;
                Pools::Postgres(Connections::new(options, config.database_connections))
            }
            Some(url) => sqlite::open(url.expose(), &sqlite::MIGRATIONS).await?.0,
            None => sqlite::open(&Self::embedded(config), &sqlite::MIGRATIONS).await?.0,
        };
        let hub = Arc::new(Hub::default());
        let times = Arc::<Times>::default();
        let hits = wordlist_hit::Hits::new(pools.clone(), clock.clone(), Arc::clone(&times));
        let known = sends::Known::new(
            Arc::clone(&times),
            config.known_senders,
            spoken::Spoken::new(&config.retention),
        );
        let sends = writer::start(&pools, &clock, &hub, &hits, known);
        let stage = if config.is_latest() { "latest" } else { "" };
        Ok(Self {
            pools,
            sends,
            clock,
            times,
            pulse: tokio::sync::Mutex::default(),
            stage,
            enqueued: AtomicBool::new(false),
            hub,
            online: Cache::new(COUNTS),
            pages: message::Pages::default(),
            blocks: block::KnownBlocks::default(),
            hits,
            places: Cache::new(PLACES),
        })
    }

    /// Brings a database's tables to this version; several at once wait for each other. Says how many steps it took.
    ///
    /// # Errors
    /// It can't be reached, or a step fails; the steps before it stay.
    pub async fn migrate(config: &Config) -> Result<usize, String> {
        let is_postgres = config.database_url.as_ref().is_some_and(|url| url.is_postgres());
        Self::migrate_to(config, if is_postgres { &postgres::MIGRATIONS } else { &sqlite::MIGRATIONS }).await
    }

    /// The same to what other migrations make: those of a later version, say.
    ///
    /// # Errors
    /// As above.
    pub async fn migrate_to(
        config: &Config,
        steps: &'static sqlx::migrate::Migrator,
    ) -> Result<usize, String> {
        match &config.database_url {
            Some(url) if url.is_postgres() => postgres::migrate(url.expose(), steps).await,
            Some(url) => sqlite::open(url.expose(), steps).await.map(|(_, steps)| steps),
            None => sqlite::open(&Self::embedded(config), steps).await.map(|(_, steps)| steps),
        }
    }

    /// The address of the embedded default.
    fn embedded(config: &Config) -> String {
        format!("sqlite://{}", config.data.join(EMBEDDED_FILE).display())
    }

    /// Now, by the clock that all who share this database go by: `PostgreSQL`'s own, else this machine's.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the database does not answer.
    pub async fn now(&self) -> Result<Millis> {
        if let Some(now) = self.known_now() {
            return Ok(now);
        }
        const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        let asking = Asking::now(&self.clock);
        let rows = self.all::<(i64,)>(NOW, &[]).await?;
        let (now,) = rows.into_iter().next().ok_or(Error::internal("the database has no time"))?;
        self.times.note(asking, now);
        Ok(self.times.now(&self.clock).unwrap_or(now) + self.clock.passed())
    }

    /// The same, where it is known without asking.
    fn known_now(&self) -> Option<Millis> {
        let Pools::Postgres(_) = self.pools else { return Some(self.clock.now()) };
        Some(self.times.now(&self.clock)? + self.clock.passed())
    }

    /// Returns the hub, which notifies those who wait for what is stored.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Was a task enqueued here since this was asked last? A server looks into the outbox all the time; a function, only
    /// where this says so.
    pub fn has_enqueued(&self) -> bool {
        self.enqueued.swap(false, Ordering::Relaxed)
    }

    fn note_enqueued(&self) {
        self.enqueued.store(true, Ordering::Relaxed);
    }

    /// Can something be written? A disk may be full, and a server that took over may be for reading only. Asked of the
    /// database once a second at most.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where nothing can be written now.
    pub async fn can_write(&self) -> Result<()> {
        let mut asked = self.pulse.lock().await;
        if let Some((at, written)) = *asked
            && at.elapsed() < PULSE
        {
            return if written { Ok(()) } else { Err(Error::Unavailable("nothing can be written now")) };
        }
        let write =
            "INSERT INTO pulse (id, at) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET at = excluded.at";
        let written = self.execute(write, sql::values![self.clock.now()]).await;
        *asked = Some((Instant::now(), written.is_ok()));
        written.map(drop).map_err(Error::from)
    }

    /// Writes what was gathered, and ends all connections; what was committed stays.
    pub async fn close(&self) {
        if let Err(error) = self.hits.write().await {
            tracing::warn!(error = engine::text(&error), "the last hits of the wordlist are not counted");
        }
        match &self.pools {
            Pools::Sqlite { read, write } => {
                read.close().await;
                write.close().await;
            }
            Pools::Postgres(connections) => connections.close().await,
        }
    }

    /// All rows that a reading statement finds.
    async fn all<T: Row>(&self, sql: impl Into<Sql>, values: &[Value<'_>]) -> DbResult<Vec<T>> {
        self.pools.all(Purpose::Read, sql.into(), values).await
    }

    /// The only row that a reading statement finds, or none.
    async fn optional<T: Row>(&self, sql: impl Into<Sql>, values: &[Value<'_>]) -> DbResult<Option<T>> {
        Ok(self.all(sql, values).await?.pop())
    }

    /// Changes rows by one statement, and answers with those it returns.
    async fn change<T: Row>(&self, sql: impl Into<Sql>, values: &[Value<'_>]) -> DbResult<Vec<T>> {
        self.pools.all(Purpose::Write, sql.into(), values).await
    }

    /// Changes rows by one statement, and says how many.
    async fn execute(&self, sql: impl Into<Sql>, values: &[Value<'_>]) -> DbResult<u64> {
        let sql = sql.into();
        match self.pools.execute(sql, values).await {
            Err(error) if self.pools.recovers(&error).await => self.pools.execute(sql, values).await,
            done => done,
        }
    }

    /// A transaction that may write.
    async fn begin(&self) -> DbResult<Tx> {
        match self.pools.begin().await {
            Err(error) if self.pools.recovers(&error).await => self.pools.begin().await,
            begun => begun,
        }
    }
}

/// Did another transaction store the same key meanwhile?
fn is_twin(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.is_unique_violation())
}

/// A list as JSON text: one bind for any number of rows.
fn json<T: serde::Serialize>(rows: &T) -> Result<String> {
    serde_json::to_string(rows).map_err(Error::internal)
}

/// Retention, export and erasure rules of the row that a write check writes.
const PULSE_LIFE: Life = Life {
    table: "pulse",
    kept: Kept::Until("for good"),
    exported: crate::store::life::NOBODYS,
    erased: &[],
    stays: &[],
};
