//! What is kept, in SQL: one file a table, and [`Db`], which holds the connections.
//!
//! SQL lives here alone, and values reach it as binds alone. `SQLite` has one writer at a time, so everything
//! that writes goes through one connection; sends share its commits (see `append`). Readers never wait for it.
//! `PostgreSQL` serves any number of instances at once.

use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::SqlitePool;

use crate::clock::Clock;
use crate::config::Config;
use crate::error::{Error, Result};

pub mod append;
mod batch;
mod batch_postgres;
mod batch_sqlite;
pub mod channel;
pub mod handover;
pub mod member;
pub mod message;
pub mod outbox;
mod postgres;
mod sql;
mod sqlite;
pub mod wordlist_hit;
mod writer;

use sql::{Held, Row, Sql, Tx, Value};

/// A filter for the log: what `PostgreSQL` remarks on migrations helps nobody.
pub const LOG_FILTER: &str = "sqlx::postgres::notice=warn";

/// The embedded default's file in the data folder.
pub const EMBEDDED_FILE: &str = "guildhall.db";

/// The database.
pub struct Db {
    pools: Pools,
    sends: writer::Queue,
    clock: Clock,
    /// Whose tasks these are: the published versions', or the newest code's.
    stage: &'static str,
    /// Was a task enqueued since somebody asked?
    enqueued: AtomicBool,
}

/// Where connections come from.
#[derive(Clone)]
enum Pools {
    Sqlite { read: SqlitePool, write: SqlitePool },
    Postgres(postgres::Connections),
}

/// What a statement is for: `SQLite` has connections for each.
#[derive(Clone, Copy)]
enum Purpose {
    Read,
    Write,
}

impl Db {
    /// Opens the configured database: `PostgreSQL`, or a `SQLite` file, which it makes and migrates by itself.
    ///
    /// # Errors
    /// It can't be reached, is not ours, or wants `guildhall migrate`.
    pub async fn open(config: &Config, clock: Clock) -> Result<Self, String> {
        let told = |fault: sqlx::Error| fault.to_string();
        let pools = match &config.database_url {
            Some(url) if url.is_postgres() => {
                let connections = postgres::Connections::new(url.expose(), config.database_connections);
                let connections = connections.map_err(told)?;
                connections.require_current().await?;
                Pools::Postgres(connections)
            }
            Some(url) => sqlite::open(url.expose()).await.map_err(told)?,
            None => {
                let file = config.data.join(EMBEDDED_FILE);
                sqlite::open(&format!("sqlite://{}", file.display())).await.map_err(told)?
            }
        };
        let sends = writer::start(pools.clone(), clock.clone());
        let stage = if config.is_latest() { "latest" } else { "" };
        Ok(Self { pools, sends, clock, stage, enqueued: AtomicBool::new(false) })
    }

    /// Brings a database's tables to this version; several at once wait for each other. Says how many steps it took.
    ///
    /// # Errors
    /// It can't be reached, or a step fails; the steps before it stay.
    pub async fn migrate(config: &Config) -> Result<usize, String> {
        match &config.database_url {
            Some(url) if url.is_postgres() => postgres::migrate(url.expose()).await,
            _ => Self::open(config, Clock::default()).await.map(|_| 0),
        }
    }

    /// Answers when the database does.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it does not.
    pub async fn ping(&self) -> Result<()> {
        self.all::<(i64,)>("SELECT CAST(1 AS BIGINT)", &[]).await?;
        Ok(())
    }

    /// Was a task enqueued here since this was asked last? A server looks into the outbox all the time; a function, only
    /// where this says so.
    pub fn has_enqueued(&self) -> bool {
        self.enqueued.swap(false, Ordering::Relaxed)
    }

    fn note_enqueued(&self) {
        self.enqueued.store(true, Ordering::Relaxed);
    }

    /// Ends all connections; what was committed stays.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { read, write } => {
                read.close().await;
                write.close().await;
            }
            Pools::Postgres(connections) => connections.close().await,
        }
    }

    /// All rows that a reading statement finds.
    async fn all<T: Row>(&self, sql: impl Into<Sql>, values: &[Value<'_>]) -> sqlx::Result<Vec<T>> {
        self.pools.all(Purpose::Read, sql.into(), values).await
    }

    /// The only row that a reading statement finds, or none.
    async fn optional<T: Row>(&self, sql: impl Into<Sql>, values: &[Value<'_>]) -> sqlx::Result<Option<T>> {
        Ok(self.all(sql, values).await?.pop())
    }

    /// Changes rows by one statement, and answers with those it returns.
    async fn change<T: Row>(&self, sql: impl Into<Sql>, values: &[Value<'_>]) -> sqlx::Result<Vec<T>> {
        self.pools.all(Purpose::Write, sql.into(), values).await
    }

    /// Changes rows by one statement, and says how many.
    async fn execute(&self, sql: impl Into<Sql>, values: &[Value<'_>]) -> sqlx::Result<u64> {
        let sql = sql.into();
        match self.pools.execute(sql, values).await {
            Err(error) if self.pools.recovers(&error).await => self.pools.execute(sql, values).await,
            done => done,
        }
    }

    /// A transaction that may write.
    async fn begin(&self) -> sqlx::Result<Tx> {
        match self.pools.begin().await {
            Err(error) if self.pools.recovers(&error).await => self.pools.begin().await,
            begun => begun,
        }
    }
}

impl Pools {
    async fn hold(&self, purpose: Purpose) -> sqlx::Result<Held> {
        match (self, purpose) {
            (Self::Sqlite { read, .. }, Purpose::Read) => read.acquire().await.map(Held::Sqlite),
            (Self::Sqlite { write, .. }, Purpose::Write) => write.acquire().await.map(Held::Sqlite),
            (Self::Postgres(connections), _) => connections.lend().await.map(Held::Postgres),
        }
    }

    async fn begin(&self) -> sqlx::Result<Tx> {
        match self {
            Self::Sqlite { write, .. } => sqlite::begin(write).await.map(Tx::Sqlite),
            Self::Postgres(connections) => {
                connections.begin().await.map(|(tx, _place)| Tx::Postgres { tx, _place })
            }
        }
    }

    async fn all<T: Row>(&self, purpose: Purpose, sql: Sql, values: &[Value<'_>]) -> sqlx::Result<Vec<T>> {
        match self.all_once(purpose, sql, values).await {
            Err(error) if self.recovers(&error).await => self.all_once(purpose, sql, values).await,
            rows => rows,
        }
    }

    async fn all_once<T: Row>(
        &self,
        purpose: Purpose,
        sql: Sql,
        values: &[Value<'_>],
    ) -> sqlx::Result<Vec<T>> {
        let mut held = self.hold(purpose).await?;
        let rows = held.conn().all(sql, values).await?;
        held.give_back();
        Ok(rows)
    }

    async fn execute(&self, sql: Sql, values: &[Value<'_>]) -> sqlx::Result<u64> {
        let mut held = self.hold(Purpose::Write).await?;
        let changed = held.conn().execute(sql, values).await?;
        held.give_back();
        Ok(changed)
    }

    /// Was it the connection that failed, and are the broken ones gone now? Then once more is worth it.
    async fn recovers(&self, error: &sqlx::Error) -> bool {
        match self {
            Self::Sqlite { .. } => false,
            Self::Postgres(connections) => {
                let broken = postgres::is_broken(error);
                if broken {
                    connections.drop_broken().await;
                }
                broken
            }
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if sqlite::is_passing(&error) || postgres::is_passing(&error) {
            tracing::warn!(%error, "the database can't answer now");
            return Self::Unavailable("the database can't answer now");
        }
        Self::internal(error)
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
