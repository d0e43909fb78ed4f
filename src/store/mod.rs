//! What is kept, in SQL: one file a table, and [`Db`], which holds the connections.
//!
//! SQL lives here alone, and values reach it as binds alone. SQLite has one writer at a time, so everything
//! that writes goes through one connection; sends share its commits (see `append`). Readers never wait for it.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool, Transaction};

use crate::clock::Clock;
use crate::error::{Error, Result};

pub mod append;
pub mod channel;
pub mod member;
pub mod message;
pub mod outbox;
pub mod wordlist_hit;
mod writer;

static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations/sqlite");

/// Connections that read at the same time.
const READERS: u32 = 4;
/// How long a query waits for a connection, or for another process's lock on the file.
const PATIENCE: Duration = Duration::from_secs(5);
/// Rows of a page that may wait between the database's thread and ours: a whole page.
const ROW_BUFFER: usize = 128;

/// The database.
pub struct Db {
    read: SqlitePool,
    write: SqlitePool,
    sends: writer::Queue,
    clock: Clock,
}

impl Db {
    /// Opens the database at a `sqlite://` address, makes it where there is none, and migrates it.
    ///
    /// # Errors
    /// The file can't be opened or is not ours.
    pub async fn open(url: &str, clock: Clock) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // NORMAL would lose acknowledged messages when the power fails.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(PATIENCE)
            // A send touches a page each of four trees, and a commit writes whole pages.
            .page_size(4_096)
            .row_buffer_size(ROW_BUFFER)
            .pragma("cache_size", "-16384")
            .pragma("temp_store", "memory")
            .pragma("wal_autocheckpoint", "4000");
        let pool = |size| {
            SqlitePoolOptions::new()
                .max_connections(size)
                .min_connections(1)
                .acquire_timeout(PATIENCE)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
        };
        let write = pool(1).connect_with(options.clone()).await?;
        MIGRATIONS.run(&write).await?;
        let read = pool(READERS).connect_with(options.pragma("query_only", "on")).await?;
        let sends = writer::start(write.clone(), clock.clone());
        Ok(Self { read, write, sends, clock })
    }

    /// Opens the embedded default in a folder.
    ///
    /// # Errors
    /// As [`Db::open`].
    pub async fn open_in(folder: &Path, clock: Clock) -> Result<Self, sqlx::Error> {
        Self::open(&format!("sqlite://{}", folder.join("guildhall.db").display()), clock).await
    }

    /// Answers when the database does.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it does not.
    pub async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.read).await?;
        Ok(())
    }

    /// Ends all connections; what was committed is in the file.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }

    /// A transaction that may write, and has the lock from its start.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.write.begin_with("BEGIN IMMEDIATE").await
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if is_passing(&error) {
            tracing::warn!(%error, "the database can't answer now");
            return Self::Unavailable("the database can't answer now");
        }
        Self::internal(error)
    }
}

/// Does this go away by itself or by making room, rather than by mending the program?
fn is_passing(error: &sqlx::Error) -> bool {
    // SQLITE_BUSY, SQLITE_LOCKED, SQLITE_READONLY, SQLITE_IOERR, SQLITE_FULL: the low byte of the extended code.
    const PASSING: [i32; 5] = [5, 6, 8, 10, 13];
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => error
            .code()
            .and_then(|code| code.parse::<i32>().ok())
            .is_some_and(|code| PASSING.contains(&(code & 0xff))),
        _ => false,
    }
}

/// A list as the JSON text that `json_each` takes: one bind for any number of rows.
fn json<T: serde::Serialize>(rows: &T) -> Result<String> {
    serde_json::to_string(rows).map_err(Error::internal)
}
