//! The embedded default: one `SQLite` file, one writer, a few readers.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::migrate::{Migrate as _, MigrateError, Migration, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqliteConnection, SqlitePool, Transaction};

use super::migrations;
use super::{Pools, sqlite_log, text};

pub(in crate::store) static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations/sqlite");

/// Advice for a file that this program does not accept.
const INSTEAD: &str = "move it away, and start again with an empty one";

/// Connections that read at the same time.
const READERS: u32 = 4;
/// Time that a query waits for a connection, or for another process's lock on the file.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause between two tries to open it.
const AGAIN: Duration = Duration::from_millis(20);
/// Rows of a page that may wait between the database's thread and ours: a whole page.
const ROW_BUFFER: usize = 128;

/// Opens the file at a `sqlite:` address, makes it where there is none, and migrates it. Says how many steps that took.
///
/// # Errors
/// It can't be used; the text names the file.
pub(in crate::store) async fn open(url: &str, ours: &'static Migrator) -> Result<(Pools, usize), String> {
    let file = url.trim_start_matches("sqlite:").trim_start_matches("//");
    let fault_text = |fault: sqlx::Error| fault_text(&fault);
    let opened = async {
        let options = options(url).map_err(fault_text)?;
        let log = sqlite_log::beside(options.get_filename());
        let write = first(&options).await.map_err(fault_text)?;
        let steps = migrate(&write, ours).await?;
        require_writable(&write).await?;
        let back = pool(1, options.clone()).await.map_err(fault_text)?;
        let read = pool(READERS, options.pragma("query_only", "on")).await.map_err(fault_text)?;
        tokio::spawn(sqlite_log::write_back(back, write.clone(), || BEGUN.load(Ordering::Relaxed)));
        tokio::spawn(sqlite_log::keep_small(write.clone(), log));
        Ok((Pools::Sqlite { read, write }, steps))
    };
    opened.await.map_err(|fault: String| format!("the SQLite file {file}: {fault}"))
}

fn options(url: &str) -> sqlx::Result<SqliteConnectOptions> {
    Ok(SqliteConnectOptions::from_str(url)?
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
        .pragma("wal_autocheckpoint", "4000")
        // Once the log begins anew it is no larger than what comes between two times of writing pages back.
        .pragma("journal_size_limit", "67108864"))
}

/// A file that can be read alone would take no send, and no task's end.
async fn require_writable(pool: &SqlitePool) -> Result<(), String> {
    match begin(pool).await {
        Ok(tx) => tx.rollback().await.map_err(|fault| text(&fault)),
        // Another process writes for long: that ends.
        Err(fault) if is_busy(&fault) => Ok(()),
        Err(fault) => Err(format!("it can't be written: {}", fault_text(&fault))),
    }
}

fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
    code.is_some_and(|code| code & 0xff == 5)
}

/// The writer. Two that make the file at the same moment can be in each other's way as one turns its log on, which SQLite does not
/// wait for by itself.
async fn first(options: &SqliteConnectOptions) -> sqlx::Result<SqlitePool> {
    let begun = Instant::now();
    loop {
        match pool(1, options.clone()).await {
            Err(fault @ sqlx::Error::Database(_)) if is_passing(&fault) && begun.elapsed() < PATIENCE => {
                tokio::time::sleep(AGAIN).await;
            }
            opened => return opened,
        }
    }
}

/// Files below this folder tell this of each step that SQLite takes; none, unless somebody measures statements.
static STEPS: OnceLock<(PathBuf, fn())> = OnceLock::new();

/// From now on, new connections to files below a folder tell this of each step of SQLite's machine, on the thread that runs the
/// statement.
pub fn count_steps(folder: &Path, step: fn()) {
    let _ = STEPS.set((folder.to_owned(), step));
}

async fn watch(connection: &mut SqliteConnection, step: Option<fn()>) -> sqlx::Result<()> {
    if let Some(step) = step {
        let fault_text = move || {
            step();
            true
        };
        connection.lock_handle().await?.set_progress_handler(1, fault_text);
    }
    Ok(())
}

async fn pool(size: u32, options: SqliteConnectOptions) -> sqlx::Result<SqlitePool> {
    let is_below =
        |(folder, step): &(PathBuf, fn())| options.get_filename().starts_with(folder).then_some(*step);
    let step = STEPS.get().and_then(is_below);
    SqlitePoolOptions::new()
        .after_connect(move |connection, _| Box::pin(watch(connection, step)))
        .max_connections(size)
        .min_connections(1)
        .acquire_timeout(PATIENCE)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_with(options)
        .await
}

/// Runs what is missing, and says how many steps that was. Where another process does the same at this moment, ours fails at what
/// that has made by then, and the next look finds nothing missing.
async fn migrate(pool: &SqlitePool, ours: &'static Migrator) -> Result<usize, String> {
    let (mut before, mut steps) = (None, 0);
    loop {
        let missing = missing(pool, ours).await?;
        if missing.is_empty() {
            return Ok(steps);
        }
        let mut connection = pool.acquire().await.map_err(|fault| fault_text(&fault))?;
        match run(&mut connection, &missing, &mut steps).await {
            Ok(()) => return Ok(steps),
            Err(fault) if before == Some(missing.len()) => return Err(migrations::fault_text(&fault)),
            Err(_) => before = Some(missing.len()),
        }
    }
}

async fn run(
    connection: &mut SqliteConnection,
    missing: &[&'static Migration],
    steps: &mut usize,
) -> Result<(), MigrateError> {
    connection.ensure_migrations_table(migrations::TABLE).await?;
    for step in missing {
        connection.apply(migrations::TABLE, step).await?;
        *steps += 1;
    }
    Ok(())
}

async fn missing(pool: &SqlitePool, ours: &'static Migrator) -> Result<Vec<&'static Migration>, String> {
    let looked = async {
        // Both at one moment: another process may migrate meanwhile.
        let mut tx = pool.begin().await?;
        let tables = "SELECT name FROM sqlite_master WHERE name IN ('_sqlx_migrations', 'channel')";
        let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut *tx).await?;
        let has = |table: &str| tables.iter().any(|name| name == table);
        let recorded = if has(migrations::TABLE) {
            sqlx::query_as(migrations::RECORDED).fetch_all(&mut *tx).await?
        } else {
            Vec::new()
        };
        tx.commit().await?;
        Ok((has("channel"), recorded))
    };
    let (has_tables, recorded) = looked.await.map_err(|fault| fault_text(&fault))?;
    migrations::missing(ours, (has_tables, &recorded), INSTEAD)
}

/// Returns the message of a fault, in words for the person who starts the program.
fn fault_text(fault: &sqlx::Error) -> String {
    match fault {
        sqlx::Error::PoolTimedOut => "another process holds its lock".to_owned(),
        fault => text(fault),
    }
}

/// Transactions that this process began, for the one that writes pages back.
static BEGUN: AtomicU64 = AtomicU64::new(0);

/// A transaction that has the lock from its start: one that reads first could find that another has written since.
///
/// When a commit finds the disk full, SQLite itself ends the transaction, and the driver's own end of it then fails, so
/// the connection counts as being inside one for ever. Such a connection is closed.
pub(in crate::store) async fn begin(pool: &SqlitePool) -> sqlx::Result<Transaction<'static, Sqlite>> {
    const BEGIN: &str = "BEGIN IMMEDIATE";
    BEGUN.fetch_add(1, Ordering::Relaxed);
    match pool.begin_with(BEGIN).await {
        Err(sqlx::Error::InvalidSavePointStatement) => {
            tracing::warn!("the writing connection was left inside a transaction; opening another");
            pool.acquire().await?.close().await?;
            pool.begin_with(BEGIN).await
        }
        begun => begun,
    }
}

/// Does this go away by itself or by making room, rather than by mending the program?
pub(in crate::store) fn is_passing(error: &sqlx::Error) -> bool {
    // SQLITE_BUSY, SQLITE_LOCKED, SQLITE_READONLY, SQLITE_IOERR, SQLITE_FULL: the low byte of the extended code.
    const PASSING: [i32; 5] = [5, 6, 8, 10, 13];
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => {
            let sqlite = error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some();
            let code = error.code().and_then(|code| code.parse::<i32>().ok());
            sqlite && code.is_some_and(|code| PASSING.contains(&(code & 0xff)))
        }
        _ => false,
    }
}

/// Returns SQLite's query plan for a statement, one line for each step.
#[cfg(test)]
pub(in crate::store) async fn plan(sql: &str) -> Vec<String> {
    use sqlx::Connection;
    let mut connection = sqlx::SqliteConnection::connect("sqlite::memory:").await.unwrap();
    MIGRATIONS.run(&mut connection).await.unwrap();
    let explain: &str = Box::leak(format!("EXPLAIN QUERY PLAN {sql}").into_boxed_str());
    let steps: Vec<(i64, i64, i64, String)> =
        sqlx::query_as(explain).fetch_all(&mut connection).await.unwrap();
    steps.into_iter().map(|(.., step)| step).collect()
}
