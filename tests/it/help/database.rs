//! Which database the suite runs on: SQLite, or with `GUILDHALL_TEST_ON=postgres` a schema of its own for each test in
//! the PostgreSQL of `DATABASE_URL`.

#![expect(clippy::disallowed_methods, reason = "the tests are told by variables which database to run on")]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use guildhall::base::clock::Clock;
use guildhall::config::Config;
use guildhall::store::Db;
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};

/// Is the suite to run on PostgreSQL?
pub fn on_postgres() -> bool {
    match std::env::var("GUILDHALL_TEST_ON").as_deref() {
        Ok("postgres") => true,
        Ok("sqlite") | Err(_) => false,
        Ok(other) => panic!("GUILDHALL_TEST_ON is '{other}', neither sqlite nor postgres"),
    }
}

/// The address of an empty database of the kind that the suite runs on; none is SQLite in a folder.
pub async fn fresh() -> Option<String> {
    if on_postgres() { Some(migrated().await) } else { None }
}

/// The database that goes with a data folder, the same whenever a test starts the program on it again.
pub fn of_folder(data: &Path) -> Option<String> {
    let note = data.with_extension("database");
    if !on_postgres() {
        return None;
    }
    let url = fs::read_to_string(&note).unwrap_or_else(|_| {
        let migrated = std::thread::spawn(|| tokio::runtime::Runtime::new().unwrap().block_on(migrated()));
        let url = migrated.join().unwrap();
        fs::write(note, &url).unwrap();
        url
    });
    Some(url)
}

/// The server's address; `scripts/services` starts one, and `scripts/test` does that.
pub fn server() -> String {
    std::env::var("DATABASE_URL").expect("DATABASE_URL names a PostgreSQL; see scripts/services")
}

/// A schema of its own, empty.
pub async fn schema() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let (process, number) = (std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let name = format!("test_{process}_{}_{number}", Clock::default().now());
    let mut connection = PgConnection::connect(&server()).await.unwrap();
    connection.execute(sqlx::AssertSqlSafe(format!("CREATE SCHEMA {name}"))).await.unwrap();
    connection.close().await.unwrap();
    format!("{}?options[search_path]={name}", server())
}

/// A schema with all tables.
pub async fn migrated() -> String {
    let url = schema().await;
    Db::migrate(&config(&url)).await.unwrap();
    url
}

pub fn config(url: &str) -> Config {
    Config::from_lookup(|name| (name == "DATABASE_URL").then(|| url.to_owned())).unwrap()
}

/// One statement on a schema; for what no action can show.
pub async fn execute(url: &str, statement: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    connection.execute(sqlx::AssertSqlSafe(statement.to_owned())).await.unwrap();
}

/// The same on the database that goes with a data folder.
pub async fn change(data: &Path, statement: &str) {
    match of_folder(data) {
        Some(url) => execute(&url, statement).await,
        None => {
            let url = format!("sqlite://{}", data.join(guildhall::store::EMBEDDED_FILE).display());
            let mut connection = SqliteConnection::connect(&url).await.unwrap();
            connection.execute(sqlx::AssertSqlSafe(statement.to_owned())).await.unwrap();
        }
    }
}

/// Every row of every table as text, with its table's name.
pub async fn everything(config: &Config) -> Vec<(String, String)> {
    const TABLES: &str =
        "SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema()";
    const SQLITE_TABLES: &str =
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let mut all = Vec::new();
    if let Some(url) = &config.database_url {
        let mut connection = PgConnection::connect(url.expose()).await.unwrap();
        let tables: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(&mut connection).await.unwrap();
        for table in tables {
            let sql = sqlx::AssertSqlSafe(format!("SELECT t::text FROM {table} t"));
            let rows: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap();
            all.extend(rows.into_iter().map(|row| (table.clone(), row)));
        }
    } else {
        let url = format!("sqlite://{}", config.data.join(guildhall::store::EMBEDDED_FILE).display());
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        let tables: Vec<String> = sqlx::query_scalar(SQLITE_TABLES).fetch_all(&mut connection).await.unwrap();
        for table in tables {
            let sql = sqlx::AssertSqlSafe(format!("SELECT name FROM pragma_table_info('{table}')"));
            let columns: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap();
            let columns: Vec<String> = columns.iter().map(|column| format!("quote(\"{column}\")")).collect();
            let sql = sqlx::AssertSqlSafe(format!("SELECT {} FROM {table}", columns.join(" || ' ' || ")));
            let rows: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap();
            all.extend(rows.into_iter().map(|row| (table.clone(), row)));
        }
    }
    all
}
