//! Migrations: one first one until a release, and rules for those behind it. They run while the older version still
//! answers, and the way back leads over their tables, so each must leave what that version reads and writes.

use std::fs;
use std::path::{Path, PathBuf};

use futures_util::future::join_all;
use guildhall::app::App;
use guildhall::base::clock::Clock;
use guildhall::config::Config;
use guildhall::store::Db;
use sqlx::migrate::Migrator;
use sqlx::{Connection, Executor, PgConnection};
use tempfile::TempDir;

use crate::help::TestApp;
use crate::help::database;
use crate::help::process::eventually;

const FOLDERS: [&str; 2] = ["src/store/migrations/sqlite", "src/store/migrations/postgres"];

/// A second migration as a later version would have it, on either database: a column, a table, an index of it.
const SECOND: &str = "-- Made up for a test.
ALTER TABLE channel ADD COLUMN colour TEXT NOT NULL DEFAULT 'red';
CREATE TABLE made_up (channel_key BIGINT NOT NULL PRIMARY KEY, colour TEXT NOT NULL);
CREATE INDEX made_up_colour ON made_up (colour);
";
const SECOND_NAME: &str = "29991231_made_up.sql";

/// A third, which builds an index on a table in use: beside those who write where a database can do that.
const THIRD: [&str; 2] = [
    "-- Made up for a test.\nCREATE INDEX message_made_up ON message (sent_at, channel_key);\n",
    "-- no-transaction\nCREATE INDEX CONCURRENTLY message_made_up ON message (sent_at, channel_key);\n",
];
const THIRD_NAME: &str = "29991232_made_up.sql";

/// What a statement may be that runs while the version before answers, and that it can live with; all else is refused. By how it
/// begins, with what it must hold or must not.
const SAFE: &[(&str, &str, &[&str])] = &[
    ("CREATE TABLE ", "", &["IF NOT EXISTS", " AS "]),
    ("CREATE INDEX CONCURRENTLY ", "", &["IF NOT EXISTS"]),
    ("CREATE UNIQUE INDEX CONCURRENTLY ", "", &["IF NOT EXISTS"]),
    // A column with a value that is written once, in the catalogue.
    (
        "ALTER TABLE ",
        " ADD COLUMN ",
        &[
            " GENERATED ",
            " UNIQUE",
            " REFERENCES ",
            " CHECK",
            "PRIMARY KEY",
            "(",
            " ADD CONSTRAINT ",
            " DROP ",
            " ALTER ",
        ],
    ),
    ("ALTER TABLE ", " NOT VALID", &[" UNIQUE", "PRIMARY KEY", " DROP ", " ALTER ", " ADD COLUMN "]),
    ("ALTER TABLE ", " VALIDATE CONSTRAINT ", &[" DROP ", " ADD "]),
    // What the planner is told of a column changes no row.
    ("ALTER TABLE ", " SET (N_DISTINCT", &[" DROP ", " ADD "]),
    ("ALTER TABLE ", " SET STATISTICS ", &[" DROP ", " ADD "]),
];
/// The same in files whose names end in _drop: what the last version but one used.
const DROPS: &[(&str, &str, &[&str])] = &[
    ("DROP TABLE ", "", &[" CASCADE"]),
    ("DROP INDEX CONCURRENTLY ", "", &[" CASCADE"]),
    ("ALTER TABLE ", " DROP COLUMN ", &[" CASCADE", " ADD ", " ALTER "]),
];
const INSTEAD: &str = "columns and constraints: add the new one, write both, drop the old one a version later, in a file whose name \
    ends in _drop; rows: change them in small batches from a task; indexes: CONCURRENTLY, in a file of their own that begins \
    with `-- no-transaction`";

/// Why a migration may not run beside the version before it; empty if it may.
fn faults(name: &str, sql: &str, on_sqlite: bool) -> Vec<String> {
    let code: String =
        sql.lines().map(|line| line.split("--").next().unwrap()).collect::<Vec<_>>().join("\n");
    let code = code.to_uppercase().split_whitespace().collect::<Vec<_>>().join(" ");
    let statements: Vec<&str> =
        code.split(';').map(str::trim).filter(|statement| !statement.is_empty()).collect();
    let made: Vec<&str> = statements
        .iter()
        .filter_map(|statement| statement.strip_prefix("CREATE TABLE ")?.split([' ', '(']).next())
        .collect();
    let alone = statements.len() == 1 && sql.starts_with("-- no-transaction");
    let mut faults = Vec::new();
    for statement in statements {
        let is = |(begins, holds, not): &(&str, &str, &[&str])| {
            statement.starts_with(begins)
                && statement.contains(holds)
                && !not.iter().any(|not| statement.contains(not))
        };
        let on = statement.split(" ON ").nth(1).and_then(|rest| rest.split([' ', '(']).next());
        let is_index =
            statement.starts_with("CREATE INDEX ") || statement.starts_with("CREATE UNIQUE INDEX ");
        // SQLite builds each while nobody writes; it has one file, and one machine.
        let is_new = is_index
            && !statement.contains("CONCURRENTLY")
            && (on_sqlite || on.is_some_and(|table| made.contains(&table)));
        let drops = name.ends_with("_drop.sql") && DROPS.iter().any(is);
        if !is_new && !drops && !SAFE.iter().any(is) {
            faults.push(format!("{statement}: {INSTEAD}"));
        } else if statement.contains("CONCURRENTLY") && !alone {
            faults.push(format!("{statement}: in a file of its own that begins with `-- no-transaction`"));
        } else if statement.contains(" ADD COLUMN ")
            && statement.contains("NOT NULL")
            && !statement.contains("DEFAULT")
        {
            faults.push(format!(
                "{statement}: NOT NULL without DEFAULT, which the version before does not write"
            ));
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
    for (on_sqlite, folder) in [true, false].into_iter().zip(FOLDERS) {
        for path in files(folder) {
            let sql = fs::read_to_string(&path).unwrap();
            assert!(sql.starts_with("--"), "{} says why", path.display());
            if name(&path) != name(&files(folder)[0]) {
                assert_eq!(faults(&name(&path), &sql, on_sqlite), [""; 0], "{}", path.display());
            }
        }
        assert_eq!(faults(SECOND_NAME, SECOND, on_sqlite), [""; 0], "the made-up ones keep to the rules");
        assert_eq!(faults(THIRD_NAME, THIRD[usize::from(!on_sqlite)], on_sqlite), [""; 0]);
    }
}

#[test]
fn unsafe_migrations_are_found() {
    for sql in [
        "DROP TABLE message;",
        "ALTER TABLE message DROP COLUMN nonce",
        "alter table message\n  drop column nonce;",
        "ALTER TABLE message DROP nonce",
        "ALTER TABLE message DROP CONSTRAINT c",
        "ALTER TABLE message RENAME COLUMN said TO spoken",
        "ALTER TABLE message ALTER COLUMN seq TYPE INT",
        "ALTER TABLE message ALTER seq TYPE INT",
        "ALTER TABLE message ALTER COLUMN nonce SET NOT NULL",
        "ALTER TABLE message SET UNLOGGED",
        "DROP INDEX message_nonce",
        "DROP INDEX CONCURRENTLY message_nonce",
        "CREATE INDEX slow ON message (sent_at)",
        "CREATE INDEX CONCURRENTLY fast ON message (sent_at)",
        "-- no-transaction\nCREATE INDEX CONCURRENTLY fast ON message (sent_at); CREATE TABLE other (a BIGINT)",
        "CREATE TABLE other (a BIGINT); CREATE UNIQUE INDEX slow ON message (sent_at)",
        "CREATE TABLE IF NOT EXISTS message (a BIGINT); CREATE INDEX slow ON message (a)",
        "CREATE TABLE other AS SELECT * FROM message",
        "CREATE TRIGGER t AFTER INSERT ON message BEGIN SELECT 1",
        "ALTER TABLE message ADD COLUMN extra TEXT NOT NULL",
        "ALTER TABLE message ADD extra UUID DEFAULT gen_random_uuid()",
        "ALTER TABLE message ADD COLUMN extra UUID DEFAULT gen_random_uuid()",
        "ALTER TABLE message ADD COLUMN twice BIGINT GENERATED ALWAYS AS (2 * seq) STORED",
        "ALTER TABLE message ADD COLUMN extra TEXT, DROP COLUMN nonce",
        "ALTER TABLE message ADD CONSTRAINT c UNIQUE (sent_at)",
        "ALTER TABLE message ADD CONSTRAINT c PRIMARY KEY (sent_at)",
        "UPDATE message SET shown = ''",
        "WITH a AS (SELECT 1) UPDATE message SET shown = ''",
        "DELETE FROM message",
        "INSERT INTO other SELECT * FROM message",
        "TRUNCATE message",
        "LOCK message IN EXCLUSIVE MODE",
        "REINDEX TABLE message",
        "VACUUM FULL message",
        "CLUSTER message USING message_nonce",
    ] {
        assert!(!faults("2_a.sql", sql, false).is_empty(), "{sql}");
    }
    for (name, sql) in [
        ("2_a.sql", "-- DROP TABLE message would be unsafe\nALTER TABLE message ADD COLUMN extra TEXT"),
        ("2_a.sql", "ALTER TABLE message ADD COLUMN extra TEXT NOT NULL DEFAULT ''"),
        ("2_a.sql", "ALTER TABLE message ADD CONSTRAINT c CHECK (seq > 0) NOT VALID"),
        ("2_a.sql", "-- no-transaction\nCREATE INDEX CONCURRENTLY fast ON message (sent_at)"),
        ("2_a.sql", "CREATE TABLE other (a BIGINT PRIMARY KEY); CREATE INDEX other_a ON other (a)"),
        ("3_old_nonce_drop.sql", "ALTER TABLE message DROP COLUMN nonce"),
    ] {
        assert_eq!(faults(name, sql, false), [""; 0], "{sql}");
    }
}

/// The folder's migrations for the database that the suite runs on, and two that are made up.
async fn with_further() -> &'static Migrator {
    let on = usize::from(database::on_postgres());
    let place = tempfile::tempdir().unwrap();
    for path in files(FOLDERS[on]) {
        fs::copy(&path, place.path().join(name(&path))).unwrap();
    }
    fs::write(place.path().join(SECOND_NAME), SECOND).unwrap();
    fs::write(place.path().join(THIRD_NAME), THIRD[on]).unwrap();
    Box::leak(Box::new(Migrator::new(place.path()).await.unwrap()))
}

/// A database of the kind that the suite runs on, as configured, with the tables of this program.
async fn made(folder: &TempDir) -> Config {
    let url = database::fresh().await;
    let data = folder.path().join("data").display().to_string();
    let config = Config::from_lookup(|name| match name {
        "DATABASE_URL" => url.clone(),
        "GUILDHALL_DATA" => Some(data.clone()),
        "GUILDHALL_TOKEN_SECRET" => Some(crate::help::SECRET.to_owned()),
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
    let further = with_further().await;
    // Several of the newer version's come at once, beside one of the older.
    let (steps, older) = tokio::join!(
        join_all((0..4).map(|_| Db::migrate_to(&config, further))),
        join_all((0..4).map(|_| Db::migrate(&config)))
    );
    assert_eq!(steps.into_iter().map(Result::unwrap).sum::<usize>(), 2);
    assert!(older.into_iter().all(|older| older == Ok(0)));
    // Another that came to grief half-way is the newer one's affair, too.
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
    let foreign = "UPDATE _sqlx_migrations SET version = 20260101120000";
    let without_tables = "ALTER TABLE channel RENAME TO canal";
    for statement in [older, older_failed, edited, unrecorded, emptied, only_newer, foreign, without_tables] {
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

/// A database that another program uses is left as it is, and so is its record of its own migrations.
#[tokio::test]
async fn another_programs_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = made(&folder).await;
    change(&config, "UPDATE _sqlx_migrations SET version = 20260101120000").await;
    change(&config, "ALTER TABLE channel RENAME TO canal").await;
    let fault = Db::migrate(&config).await.unwrap_err();
    assert!(fault.contains("another program") && fault.contains("empty"), "{fault}");
}

/// An index that is built beside those who write waits for them as long as it takes; one that an earlier try left unfinished is
/// told of. SQLite builds it within a transaction: nothing is left of one that fails.
#[tokio::test]
async fn an_index_is_built_beside_those_who_write_and_one_left_unfinished_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let config = made(&folder).await;
    let Some(url) = config.database_url.as_ref().map(|url| url.expose()) else {
        change(&config, "CREATE TABLE made_up (a)").await;
        Db::migrate_to(&config, with_further().await).await.unwrap_err();
        change(&config, "DROP TABLE made_up").await;
        assert_eq!(Db::migrate_to(&config, with_further().await).await, Ok(2));
        return;
    };
    let app = app_on(&config).await;
    app.world("w", &["alice"]).await;
    app.player("alice").say("w", "hello").await;
    let mut older = PgConnection::connect(url).await.unwrap();
    older.execute("BEGIN; UPDATE message SET seq = seq").await.unwrap();
    let mut other = PgConnection::connect(url).await.unwrap();
    other.execute("SET lock_timeout = 50").await.unwrap();
    other
        .execute("CREATE INDEX CONCURRENTLY message_made_up ON message (sent_at, channel_key)")
        .await
        .unwrap_err();
    let fault = Db::migrate_to(&config, with_further().await).await.unwrap_err();
    assert!(fault.contains("DROP INDEX CONCURRENTLY message_made_up"), "{fault}");
    // A drop waits twice: who begins between the two is waited for, too. So nobody writes meanwhile.
    older.execute("COMMIT").await.unwrap();
    other.execute("DROP INDEX CONCURRENTLY message_made_up").await.unwrap();
    older.execute("BEGIN; UPDATE message SET seq = seq").await.unwrap();
    let writing = async {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%CREATE INDEX CONC' || 'URRENTLY%'
            AND state = 'active' AND datname = current_database()";
        eventually("it waits for who writes", async || {
            let found: (i64,) = sqlx::query_as(sql).fetch_one(&mut other).await.ok()?;
            (found.0 > 0).then_some(())
        })
        .await;
        older.execute("COMMIT").await.unwrap();
    };
    let (steps, ()) = tokio::join!(Db::migrate_to(&config, with_further().await), writing);
    assert_eq!(steps, Ok(1), "the second was run before");
}
