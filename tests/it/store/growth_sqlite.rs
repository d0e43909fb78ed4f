//! What grows must not slow down, on SQLite: the steps of its machine that each statement takes, where there is little and where
//! there is much. `growth` asks the same of `PostgreSQL`.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::sync::Mutex;

use guildhall::store::{Db, EMBEDDED_FILE, count_steps};
use sqlx::{Connection, Executor, SqliteConnection};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

use crate::help::database;
use crate::store::growth::{as_one_line, drive};
use crate::store::growth_known::{BOUNDED, is_bounded, is_known};
use crate::store::growth_rows::fill;

/// Steps that a statement takes for a row that it reads, and for one that it returns or changes, with all of its indexes.
const A_ROW: u64 = 20;
const FOR_EACH: u64 = 600;
/// What any statement may take.
const STEPS: u64 = 300 * A_ROW;

/// A list of up to 1,000 players, each looked up.
const LISTED: &str = "DELETE FROM mention WHERE channel_key = $1 AND (player_id, seq) IN";

thread_local! {
    /// Steps since the last statement that ended on this thread, which is one connection's.
    static TAKEN: Cell<u64> = const { Cell::new(0) };
}

/// By statement: the run that took the most beyond what it returned or changed.
static WORST: Mutex<BTreeMap<String, Taken>> = Mutex::new(BTreeMap::new());

#[derive(Clone, Copy, Default)]
struct Taken {
    steps: u64,
    rows: u64,
}

impl Taken {
    fn beyond(self) -> u64 {
        self.steps.saturating_sub(FOR_EACH * self.rows)
    }
}

/// Hears of each statement as it ends.
struct Statements;

#[derive(Default)]
struct Said {
    summary: String,
    statement: String,
    rows: u64,
}

impl Visit for Said {
    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => value.clone_into(&mut self.summary),
            "db.statement" => value.clone_into(&mut self.statement),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if matches!(field.name(), "rows_affected" | "rows_returned") {
            self.rows += value;
        }
    }
}

impl Subscriber for Statements {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query" && *metadata.level() <= Level::DEBUG
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let steps = TAKEN.take();
        if steps == 0 {
            return;
        }
        let mut said = Said::default();
        event.record(&mut said);
        let text = if said.statement.is_empty() { &said.summary } else { &said.statement };
        let taken = Taken { steps, rows: said.rows };
        let mut worst = WORST.lock().unwrap();
        let of = worst.entry(as_one_line(text)).or_default();
        if taken.beyond() >= of.beyond() {
            *of = taken;
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// What each statement takes on a database with so many channels.
async fn measured(folder: &Path, channels: u32) -> BTreeMap<String, Taken> {
    let folder = folder.join(channels.to_string());
    std::fs::create_dir(&folder).unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.join(EMBEDDED_FILE).display());
    Db::migrate(&database::config(&url)).await.unwrap();
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let numbers = format!(
        "CREATE TABLE numbers AS WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {}) SELECT n FROM s",
        5 * channels
    );
    let before = [
        "PRAGMA synchronous = OFF".to_owned(),
        "PRAGMA cache_size = -262144".to_owned(),
        "BEGIN".to_owned(),
        numbers,
    ];
    let after = ["DROP TABLE numbers".to_owned(), "DELETE FROM audit_open".to_owned(), "COMMIT".to_owned()];
    for statement in before.into_iter().chain(fill(channels, false)).chain(after) {
        connection
            .execute(sqlx::AssertSqlSafe(statement.clone()))
            .await
            .unwrap_or_else(|fault| panic!("{statement}: {fault}"));
    }
    connection.close().await.unwrap();
    WORST.lock().unwrap().clear();
    drive(&url).await;
    std::mem::take(&mut *WORST.lock().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_takes_more_steps_where_there_is_more() {
    const CHANNELS: u32 = 100_000;
    let folder = tempfile::tempdir().unwrap();
    count_steps(folder.path(), || TAKEN.set(TAKEN.get() + 1));
    tracing::subscriber::set_global_default(Statements).unwrap();
    let few = measured(folder.path(), CHANNELS / 10).await;
    let many = measured(folder.path(), CHANNELS).await;
    let mut faults = Vec::new();
    for (text, taken) in many.iter().filter(|(text, _)| !is_known(text) && !text.starts_with(LISTED)) {
        let before = few.get(text).copied().unwrap_or_default();
        let Taken { steps, rows } = *taken;
        if taken.beyond() > STEPS {
            faults.push(format!("{steps} steps for {rows} rows: {text}"));
        } else if few.contains_key(text) && taken.beyond() > before.beyond() * 6 / 5 + 60 * A_ROW {
            faults.push(format!(
                "{steps} steps for {rows} rows, and {} for {} where there is less: {text}",
                before.steps, before.rows
            ));
        }
    }
    for (text, Taken { steps, .. }) in many.iter().filter(|(text, _)| is_known(text) && is_bounded(text)) {
        if *steps > A_ROW * u64::from(BOUNDED) {
            faults.push(format!("{steps} steps, which is no bound: {text}"));
        }
    }
    let mut most: Vec<_> = many.iter().collect();
    most.sort_by_key(|(_, taken)| std::cmp::Reverse(taken.steps));
    for (text, Taken { steps, rows }) in most.into_iter().take(20) {
        println!("| {steps} | {rows} | {} |", &text[..text.floor_char_boundary(100)]);
    }
    assert!(many.len() > 150, "statements are heard of: {}", many.len());
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
