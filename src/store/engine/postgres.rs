//! `PostgreSQL`: how it is connected to, with bounds on everything; migrations under a lock; which faults pass.

use std::str::FromStr;
use std::time::{Duration, Instant};

use sqlx::migrate::{Migrate as _, MigrateError, Migration, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};

use super::migrations;
use super::text;

pub(in crate::store) static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations/postgres");

/// Time that a start waits for a database; below, the pause between two tries.
const START: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(200);
/// Time that migrations wait for those of another process, and for tables that are in use.
const MIGRATING: Duration = Duration::from_secs(120);
/// Advice for a database that this program does not accept.
const INSTEAD: &str = "name an empty database in DATABASE_URL and run `guildhall migrate`";
/// PostgreSQL's code for a lock that was waited for too long.
const LOCKED: &str = "55P03";

/// Are the tables those of this version, or of a newer one?
pub(in crate::store) async fn require_current(url: &str) -> Result<PgConnectOptions, String> {
    let options = options(url).map_err(|fault| text(&fault))?;
    let mut connection = reach(&options).await?;
    let missing = missing(&mut connection, &MIGRATIONS).await.map_err(|fault| at(&options, &fault))?;
    if missing.is_empty() {
        return Ok(options);
    }
    Err(at(&options, &format!("{} migration(s) are missing; run `guildhall migrate`", missing.len())))
}

/// A fault, with where it is.
fn at(options: &PgConnectOptions, fault: &str) -> String {
    let (host, port) = (options.get_host(), options.get_port());
    let database = options.get_database().unwrap_or("as the user");
    format!("PostgreSQL at {host}:{port}, database {database}: {fault}")
}

fn options(url: &str) -> sqlx::Result<PgConnectOptions> {
    Ok(PgConnectOptions::from_str(url)?.application_name("guildhall").options([
        ("statement_timeout", "8s"),
        // One channel whose row somebody holds must not keep the others waiting; transactions set their own.
        ("lock_timeout", "500ms"),
        ("idle_in_transaction_session_timeout", "10s"),
        // The reply to a send says that the message is on disk.
        ("synchronous_commit", "on"),
        // Statements are short and come again and again; compiling one takes longer than running it.
        ("jit", "off"),
        // It would compare what a plan for these values costs with what one for all values does, by the average of all
        // times before. Once tables grow, the average is of small ones, and every batch is planned anew for minutes.
        ("plan_cache_mode", "force_generic_plan"),
        // Every statement finds rows by keys that it is given. PostgreSQL takes a list for a hundred rows, however few
        // it has, and would read whole tables for that.
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("enable_seqscan", "off"),
        // What is wanted first of many comes out of an index in its order. A table that was empty when it was last looked
        // at seems to have few rows, and PostgreSQL would read and sort all of them.
        ("enable_bitmapscan", "off"),
    ]))
}

/// Runs the migrations; whoever comes second waits, and finds nothing to do. A step that waits for a table holds up all
/// who come behind it, so it gives up soon and is tried again; an index may take its time.
pub(in crate::store) async fn migrate(url: &str, ours: &'static Migrator) -> Result<usize, String> {
    let options = options(url).map_err(|fault| text(&fault))?.options([("statement_timeout", "0")]);
    let mut connection = reach(&options).await?;
    let begun = Instant::now();
    let steps = loop {
        match migrate_once(&mut connection, ours).await {
            Ok(steps) => break steps,
            Err(Fault::Locked) if begun.elapsed() < MIGRATING => {
                tracing::info!("somebody else migrates, or holds a table; trying again");
                tokio::time::sleep(AGAIN).await;
            }
            Err(Fault::Locked) => return Err(at(&options, "somebody else migrates, or holds a table")),
            Err(Fault::Told(why)) => return Err(at(&options, &why)),
        }
    };
    let _ = connection.close().await;
    Ok(steps)
}

/// Reason why migrations did not run.
enum Fault {
    Locked,
    Told(String),
}

impl From<MigrateError> for Fault {
    fn from(fault: MigrateError) -> Self {
        match fault {
            MigrateError::Execute(fault) | MigrateError::ExecuteMigration(fault, _)
                if code(&fault).as_deref() == Some(LOCKED) =>
            {
                Self::Locked
            }
            other => Self::Told(migrations::fault_text(&other)),
        }
    }
}

/// Counts and runs the missing migrations; a lock lets one process do so at a time. (The lock is the session's: where
/// this fails, the connection's end releases the lock, or the next try holds it already.)
async fn migrate_once(connection: &mut PgConnection, ours: &'static Migrator) -> Result<usize, Fault> {
    // Most starts find nothing to do, and wait for nobody.
    if missing(connection, ours).await.map_err(Fault::Told)?.is_empty() {
        return Ok(0);
    }
    connection.lock().await?;
    let missing = missing(connection, ours).await.map_err(Fault::Told)?;
    connection.ensure_migrations_table(migrations::TABLE).await?;
    for step in &missing {
        if step.no_tx {
            prepare(connection, step.sql.as_str()).await?;
        }
        connection.apply(migrations::TABLE, step).await?;
    }
    connection.unlock().await?;
    Ok(missing.len())
}

/// Before a step that is no transaction, which builds an index beside those who write: it waits for older transactions, however
/// long they take, and holds up nobody meanwhile. An earlier try of it that was cut short may have left one that holds nothing,
/// and would be taken for it.
async fn prepare(connection: &mut PgConnection, sql: &str) -> Result<(), Fault> {
    const UNFINISHED: &str = "SELECT c.relname::text FROM pg_catalog.pg_index i
        JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE NOT i.indisvalid AND n.nspname = ANY (current_schemas(FALSE))";
    sqlx::query("SET lock_timeout = 0").execute(&mut *connection).await.map_err(MigrateError::Execute)?;
    let names: Vec<String> =
        sqlx::query_scalar(UNFINISHED).fetch_all(connection).await.map_err(MigrateError::Execute)?;
    match names.iter().find(|name| sql.split_whitespace().any(|word| word == **name)) {
        Some(name) => Err(Fault::Told(format!(
            "an earlier try left the index {name} unfinished: DROP INDEX CONCURRENTLY {name}, and migrate again"
        ))),
        None => Ok(()),
    }
}

/// A connection; where there is none, why, with the place that was asked. A server that is just starting is given a moment.
async fn reach(options: &PgConnectOptions) -> Result<PgConnection, String> {
    let mut said = format!("no answer within {} s", START.as_secs());
    let trying = async {
        loop {
            match PgConnection::connect_with(options).await {
                Ok(connection) => return connection,
                Err(fault) => said = text(&fault),
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    let reached = tokio::time::timeout(START, trying).await;
    reached.map_err(|_| format!("PostgreSQL at {}:{}: {said}", options.get_host(), options.get_port()))
}

/// The migrations that its tables lack.
async fn missing(
    connection: &mut PgConnection,
    ours: &'static Migrator,
) -> Result<Vec<&'static Migration>, String> {
    const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    // Not `to_regclass`, which sees what another has made since this began.
    const TABLES: &str = "SELECT DISTINCT relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relname IN ('_sqlx_migrations', 'channel') AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
            AND n.nspname = ANY (current_schemas(FALSE))";
    let looked = async {
        // Both at one moment: another process may migrate meanwhile.
        let mut tx = connection.begin_with(BEGIN).await?;
        let tables: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(&mut *tx).await?;
        let has = |table: &str| tables.iter().any(|name| name == table);
        let recorded = if has(migrations::TABLE) {
            sqlx::query_as(migrations::RECORDED).fetch_all(&mut *tx).await?
        } else {
            Vec::new()
        };
        tx.commit().await?;
        Ok((has("channel"), recorded))
    };
    let (has_tables, recorded) = looked.await.map_err(|fault: sqlx::Error| text(&fault))?;
    migrations::missing(ours, (has_tables, &recorded), INSTEAD)
}

/// Is it the connection, rather than the statement?
pub(in crate::store) fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) => true,
        // The class of connections, and a server that stops, crashed, or starts.
        sqlx::Error::Database(_) => {
            // So does a session that turned read-only when another server took over.
            code(error)
                .is_some_and(|code| code.starts_with("08") || code.starts_with("57P0") || code == "25006")
        }
        _ => false,
    }
}

/// Has the server as many connections as it may have?
pub(in crate::store) fn has_no_slot(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| code == "53300")
}

/// Did somebody else hold a row for too long?
pub(in crate::store) fn is_locked(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| code == "55P03")
}

/// Does this go away by itself, rather than by mending the program?
pub(in crate::store) fn is_passing(error: &sqlx::Error) -> bool {
    // Resources; deadlocks and conflicts; cancelled by a timeout; locks not had in time; a transaction that idled;
    // a server that is read-only while another takes over; its disk.
    const PASSING: [&str; 7] = ["53", "40", "57014", "55P03", "25P03", "25006", "58030"];
    is_broken(error)
        || code(error).is_some_and(|code| PASSING.iter().any(|passing| code.starts_with(passing)))
}

/// Did two transactions wait for each other? One was told so, and may go again.
pub(in crate::store) fn is_conflict(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| code.starts_with("40"))
}

fn code(error: &sqlx::Error) -> Option<String> {
    let error = error.as_database_error()?.try_downcast_ref::<sqlx::postgres::PgDatabaseError>()?;
    Some(error.code().to_owned())
}
