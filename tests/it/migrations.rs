//! Migrations: one first one until a release, and rules for those behind it. They run while the older version still
//! answers, and the way back leads over their tables, so each must leave what that version reads and writes.

use std::fs;
use std::path::{Path, PathBuf};

use futures_util::future::join_all;
use guildhall::app::App;
use guildhall::base::clock::Clock;
use guildhall::config::Config;
use guildhall::store::{Db, EMBEDDED_FILE};
use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;

use crate::database;
use crate::support::TestApp;

const FOLDERS: [&str; 2] = ["src/store/migrations/sqlite", "src/store/migrations/postgres"];

/// A second migration as a later version would have it, on either database: a column, a table, an index of it.
const SECOND: &str = "-- Made up for a test.
ALTER TABLE channel ADD COLUMN colour TEXT NOT NULL DEFAULT 'red';
CREATE TABLE made_up (channel_key BIGINT NOT NULL PRIMARY KEY, colour TEXT NOT NULL);
CREATE INDEX made_up_colour ON made_up (colour);
";
const SECOND_NAME: &str = "29991231_made_up.sql";

/// What the version before can't live with, or what keeps everybody waiting; with what to do instead.
const UNSAFE: &[(&str, &str)] = &[
    ("DROP TABLE", "drop it one version after the last that uses it, in a file whose name ends in _drop"),
    ("DROP COLUMN", "drop it one version after the last that uses it, in a file whose name ends in _drop"),
    ("RENAME", "add the new one, write both, drop the old one a version later"),
    ("ALTER COLUMN", "add a column of the new type, write both, drop the old one a version later"),
    ("SET NOT NULL", "add a CHECK ... NOT VALID, validate it, and leave the column nullable"),
    ("TRUNCATE", "delete in small batches from a task"),
    ("LOCK TABLE", "find a way that needs no such lock"),
    ("UPDATE ", "change rows in small batches from a task"),
    ("DELETE FROM", "delete in small batches from a task"),
];

/// Why a migration may not run beside the version before it; empty if it may.
fn faults(name: &str, sql: &str) -> Vec<String> {
    let code: String =
        sql.lines().map(|line| line.split("--").next().unwrap()).collect::<Vec<_>>().join("\n");
    let code = code.to_uppercase().split_whitespace().collect::<Vec<_>>().join(" ");
    let made: Vec<&str> = code
        .split("CREATE TABLE ")
        .skip(1)
        .filter_map(|rest| rest.trim_start_matches("IF NOT EXISTS ").split([' ', '(']).next())
        .collect();
    let mut faults = Vec::new();
    for statement in code.split(';').map(str::trim) {
        for (what, instead) in UNSAFE {
            let allowed = what.starts_with("DROP") && name.ends_with("_drop.sql");
            // What a statement names is tested, not what a column's name holds.
            // What the planner is told of a column changes no row.
            let told = [" SET (N_DISTINCT", " SET STATISTICS "];
            if *what == "ALTER COLUMN" && told.iter().any(|told| statement.contains(told)) {
                continue;
            }
            if statement.starts_with(what) || statement.contains(&format!(" {what}")) && !allowed {
                let said_in_row_clause = *what == "UPDATE " && !statement.starts_with("UPDATE ");
                if !allowed && !said_in_row_clause {
                    faults.push(format!("{what}: {instead}"));
                }
            }
        }
        let new_table = |marker: &str| {
            let table = statement.split(marker).nth(1).and_then(|rest| rest.split([' ', '(']).next());
            table.is_some_and(|table| made.contains(&table))
        };
        if (statement.starts_with("CREATE INDEX") || statement.starts_with("CREATE UNIQUE INDEX"))
            && !statement.contains("CONCURRENTLY")
            && !new_table(" ON ")
        {
            faults.push("CREATE INDEX on a table in use: CONCURRENTLY, in a file of its own that begins with `-- no-transaction`".to_owned());
        }
        let adds = statement.starts_with("ALTER TABLE") && statement.contains(" ADD ");
        if adds && statement.contains("NOT NULL") && !statement.contains("DEFAULT") {
            faults
                .push("ADD COLUMN NOT NULL without DEFAULT: the version before does not write it".to_owned());
        }
        if adds
            && (statement.contains("UNIQUE")
                || statement.contains("REFERENCES")
                || statement.contains("CHECK"))
            && !statement.contains("NOT VALID")
        {
            faults.push("ADD a constraint on a table in use: NOT VALID first, validate it later".to_owned());
        }
    }
    faults
}

/// The files of a folder, in order.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn both_databases_have_the_same_migrations_and_nothing_else_before_a_release() {
    let [sqlite, postgres] =
        FOLDERS.map(|folder| files(folder).iter().map(|path| name(path)).collect::<Vec<_>>());
    assert_eq!(sqlite, postgres, "the same names and dates");
    assert_eq!(sqlite.len(), 1, "nothing is released: the first one is edited in place");
    assert!(sqlite[0].as_str() < SECOND_NAME);
}

/// The first migration makes everything; the rules are for those behind it.
#[test]
fn later_migrations_can_run_beside_the_version_before() {
    for folder in FOLDERS {
        for path in files(folder) {
            let sql = fs::read_to_string(&path).unwrap();
            assert!(sql.starts_with("--"), "{} says why", path.display());
            assert_eq!(faults(&name(&path), &sql), [""; 0], "{}", path.display());
        }
    }
    assert_eq!(faults(SECOND_NAME, SECOND), [""; 0], "the made-up one keeps to the rules");
}

#[test]
fn unsafe_migrations_are_found() {
    for (name, sql) in [
        ("2_a.sql", "DROP TABLE message;"),
        ("2_a.sql", "ALTER TABLE message DROP COLUMN nonce"),
        ("2_a.sql", "alter table message\n  drop column nonce;"),
        ("2_a.sql", "ALTER TABLE message RENAME COLUMN said TO spoken"),
        ("2_a.sql", "ALTER TABLE message ALTER COLUMN seq TYPE INT"),
        ("2_a.sql", "ALTER TABLE message ALTER COLUMN nonce SET NOT NULL"),
        ("2_a.sql", "CREATE INDEX slow ON message (sent_at)"),
        ("2_a.sql", "CREATE TABLE other (a BIGINT); CREATE UNIQUE INDEX slow ON message (sent_at)"),
        ("2_a.sql", "ALTER TABLE message ADD COLUMN extra TEXT NOT NULL"),
        ("2_a.sql", "ALTER TABLE message ADD CONSTRAINT c UNIQUE (sent_at)"),
        ("2_a.sql", "UPDATE message SET shown = ''"),
        ("2_a.sql", "TRUNCATE message"),
    ] {
        assert!(!faults(name, sql).is_empty(), "{sql}");
    }
    for (name, sql) in [
        ("2_a.sql", "-- DROP TABLE message would be unsafe\nALTER TABLE message ADD COLUMN extra TEXT"),
        ("2_a.sql", "ALTER TABLE message ADD COLUMN extra TEXT NOT NULL DEFAULT ''"),
        ("2_a.sql", "-- no-transaction\nCREATE INDEX CONCURRENTLY fast ON message (sent_at)"),
        ("2_a.sql", "CREATE TABLE other (a BIGINT PRIMARY KEY); CREATE INDEX other_a ON other (a)"),
        ("3_old_nonce_drop.sql", "ALTER TABLE message DROP COLUMN nonce"),
    ] {
        assert_eq!(faults(name, sql), [""; 0], "{sql}");
    }
}

/// The folder's migrations, and a made-up second one.
fn with_a_second(folder: &str) -> TempDir {
    let place = tempfile::tempdir().unwrap();
    for path in files(folder) {
        fs::copy(&path, place.path().join(name(&path))).unwrap();
    }
    fs::write(place.path().join(SECOND_NAME), SECOND).unwrap();
    place
}

/// A database of the kind that the suite runs on, as configured, with the tables of this program.
async fn made(folder: &TempDir) -> Config {
    let url = database::fresh().await;
    let data = folder.path().join("data").display().to_string();
    let config = Config::from_lookup(|name| match name {
        "DATABASE_URL" => url.clone(),
        "GUILDHALL_DATA" => Some(data.clone()),
        "GUILDHALL_TOKEN_SECRET" => Some(crate::support::SECRET.to_owned()),
        _ => None,
    });
    let config = config.unwrap();
    fs::create_dir(&config.data).unwrap();
    Db::open(&config, Clock::default()).await.unwrap().close().await;
    config
}

pub async fn change(config: &Config, statement: &str) {
    match &config.database_url {
        Some(url) => database::execute(url.expose(), statement).await,
        None => database::change(&config.data, statement).await,
    }
}

async fn start(config: &Config) -> Result<(), String> {
    App::start(config.clone(), Clock::default()).await.map(drop).map_err(|fault| fault.to_string())
}

/// Steps are counted where they are run: all of them on an empty database, none on a current one.
#[tokio::test]
async fn how_many_steps_were_run_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let url = if database::on_postgres() { Some(database::schema().await) } else { None };
    let config = Config::from_lookup(|name| match name {
        "DATABASE_URL" => url.clone(),
        "GUILDHALL_DATA" => Some(folder.path().display().to_string()),
        _ => None,
    });
    let config = config.unwrap();
    // Several at once, as where all of a new version's instances start: one runs them, the others find nothing to do.
    let many = join_all((0..8).map(|_| Db::migrate(&config))).await;
    let steps: Vec<usize> = many.into_iter().map(Result::unwrap).collect();
    assert_eq!(steps.iter().sum::<usize>(), 1, "{steps:?}");
    assert_eq!(Db::migrate(&config).await, Ok(0));
}

/// The way back: an older program on what a newer one left starts, and works.
#[tokio::test]
async fn an_older_program_works_on_a_newer_versions_tables() {
    let folder = tempfile::tempdir().unwrap();
    let config = made(&folder).await;
    let app = app_on(&config).await;
    app.world("before", &["alice"]).await;
    if let Some(url) = &config.database_url {
        let mut connection = PgConnection::connect(url.expose()).await.unwrap();
        Migrator::new(with_a_second(FOLDERS[1]).path()).await.unwrap().run(&mut connection).await.unwrap();
    } else {
        let url = format!("sqlite://{}", config.data.join(EMBEDDED_FILE).display());
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        Migrator::new(with_a_second(FOLDERS[0]).path()).await.unwrap().run(&mut connection).await.unwrap();
    }
    // A third that came to grief half-way is the newer one's affair, too.
    change(
        &config,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (30000101, 'made up, and failed', FALSE, 'x', 0)",
    )
    .await;
    let again = app_on(&config).await;
    again.world("after", &["alice"]).await;
    for channel in ["before", "after"] {
        assert_eq!(again.player("alice").say(channel, "hello").await["seq"], 1);
    }
    assert_eq!(Db::migrate(&config).await, Ok(0), "nothing of the older one's is missing");
}

async fn app_on(config: &Config) -> TestApp {
    let data = config.data.display().to_string();
    let url = config.database_url.as_ref().map(|url| url.expose().to_owned());
    let mut variables = vec![("GUILDHALL_DATA", data.as_str())];
    variables.extend(url.as_deref().map(|url| ("DATABASE_URL", url)));
    TestApp::with(&variables).await
}

/// What an unreleased state of the program made is refused, with one sentence that says what to do.
#[tokio::test]
async fn a_database_of_an_unreleased_state_is_refused_with_what_to_do() {
    let older = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (19, 'of before', TRUE, 'x', 0)";
    let edited = "UPDATE _sqlx_migrations SET checksum = 'x'";
    let older_failed = &older.replace("TRUE", "FALSE");
    let unrecorded = "DROP TABLE _sqlx_migrations";
    let emptied = "DELETE FROM _sqlx_migrations";
    let only_newer = "UPDATE _sqlx_migrations SET version = 30000101";
    let without_tables = "ALTER TABLE channel RENAME TO canal";
    for statement in [older, older_failed, edited, unrecorded, emptied, only_newer, without_tables] {
        let folder = tempfile::tempdir().unwrap();
        let config = made(&folder).await;
        change(&config, statement).await;
        for fault in [start(&config).await.unwrap_err(), Db::migrate(&config).await.unwrap_err()] {
            assert!(fault.contains("unreleased version of guildhall"), "{fault}");
            assert!(fault.contains("empty"), "it says what to do: {fault}");
            assert_eq!(fault.lines().count(), 1, "{fault}");
            let place = if database::on_postgres() { "PostgreSQL at 127.0.0.1:" } else { "guildhall.db" };
            assert!(fault.contains(place), "it says where: {fault}");
        }
    }
}

/// One of ours that did not come to its end is neither run again over what it left, nor taken for done.
#[tokio::test]
async fn a_migration_that_failed_half_way_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let config = made(&folder).await;
    change(&config, "UPDATE _sqlx_migrations SET success = FALSE").await;
    for fault in [start(&config).await.unwrap_err(), Db::migrate(&config).await.unwrap_err()] {
        assert!(fault.contains("failed half-way") && fault.contains("delete its row"), "{fault}");
    }
}
