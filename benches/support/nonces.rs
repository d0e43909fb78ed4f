//! What it costs to keep nonces unique, by what keeps them: plain inserts of the same rows into tables that differ in
//! nothing else. PostgreSQL alone, past the program.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};

/// Rows of an insert, as many as the writer of sends takes at once under load.
const ROWS: i64 = 64;
const CHANNELS: i64 = 100;
const SENDERS: i64 = 64;
/// Turns, of which the middle one counts.
const TURNS: usize = 5;
/// The bounded table is emptied by age each time after so many inserts, down to so many rows.
const SWEPT_EACH: i64 = 50;
const KEPT: i64 = 100_000;

/// A way to keep nonces.
struct Way {
    what: &'static str,
    /// The table of messages, and what stands beside it.
    tables: &'static [&'static str],
    insert: &'static str,
    /// Deletes what is older than the bound.
    sweep: Option<&'static str>,
}

/// A message's table with its key, and rows for it: the same for all.
macro_rules! messages {
    ($name:literal) => {
        concat!(
            "CREATE TABLE ",
            $name,
            " (channel_key BIGINT, seq BIGINT, sender_id TEXT COLLATE \"C\", sent_at BIGINT, shown TEXT,
             nonce TEXT COLLATE \"C\", digest TEXT, PRIMARY KEY (channel_key, seq))"
        )
    };
}
macro_rules! rows {
    () => {
        "SELECT channel_key, seq, sender_id, $1, repeat('x', 300), nonce, repeat('d', 43)
         FROM unnest($2::BIGINT[], $3::BIGINT[], $4::TEXT[], $5::TEXT[]) AS r (channel_key, seq, sender_id, nonce)"
    };
}

const WAYS: [Way; 4] = [
    Way {
        what: "nothing",
        tables: &[messages!("bare")],
        insert: concat!("INSERT INTO bare ", rows!()),
        sweep: None,
    },
    Way {
        what: "unique index over channel, sender, nonce",
        tables: &[
            messages!("kept"),
            "CREATE UNIQUE INDEX kept_nonce ON kept (channel_key, sender_id, nonce) WHERE nonce IS NOT NULL",
        ],
        insert: concat!("INSERT INTO kept ", rows!()),
        sweep: None,
    },
    Way {
        what: "index over channel, sender, number",
        tables: &[messages!("found"), "CREATE INDEX found_sender ON found (channel_key, sender_id, seq)"],
        insert: concat!("INSERT INTO found ", rows!()),
        sweep: None,
    },
    Way {
        what: "table of the last nonces",
        tables: &[
            messages!("said"),
            "CREATE TABLE lately (channel_key BIGINT, sender_id TEXT COLLATE \"C\", nonce TEXT COLLATE \"C\", seq BIGINT,
             sent_at BIGINT, digest TEXT, PRIMARY KEY (channel_key, sender_id, nonce))",
            "CREATE INDEX lately_sent_at ON lately (sent_at)",
        ],
        insert: concat!(
            "WITH r AS (INSERT INTO said ",
            rows!(),
            " RETURNING channel_key, sender_id, nonce, seq, sent_at, digest)
             INSERT INTO lately SELECT channel_key, sender_id, nonce, seq, sent_at, digest FROM r"
        ),
        sweep: Some("DELETE FROM lately WHERE sent_at < $1"),
    },
];

/// Prints microseconds a row for each way, in turns of so many inserts.
pub(crate) async fn measure(database: &str, inserts: i64) {
    let mut connection = PgConnection::connect(database).await.unwrap();
    for table in WAYS.iter().flat_map(|way| way.tables).chain(&["SET synchronous_commit = off"]) {
        sqlx::query(*table).execute(&mut connection).await.unwrap();
    }
    let (mut took, mut at) = (WAYS.map(|_| Vec::new()), WAYS.map(|_| 0));
    for turn in 0..TURNS {
        // Each begins a turn in its turn.
        for place in 0..WAYS.len() {
            let way = (place + turn) % WAYS.len();
            took[way].push(turn_of(&mut connection, &WAYS[way], inserts, &mut at[way]).await);
        }
    }
    println!("{:<42} {:>8} {:>15}", "kept for nonces, us a row", "insert", "delete by age");
    for (way, turns) in WAYS.iter().zip(took) {
        let (mut inserting, mut deleting): (Vec<_>, Vec<_>) = turns.into_iter().unzip();
        let us = |took: &mut Vec<Duration>| {
            took.sort_unstable();
            took[TURNS / 2].as_secs_f64() * 1e6 / (inserts * ROWS) as f64
        };
        println!("{:<42} {:>8.1} {:>15.1}", way.what, us(&mut inserting), us(&mut deleting));
    }
}

/// What inserting took, and what deleting did.
async fn turn_of(
    connection: &mut PgConnection,
    way: &Way,
    inserts: i64,
    at: &mut i64,
) -> (Duration, Duration) {
    let (mut inserting, mut deleting) = (Duration::ZERO, Duration::ZERO);
    for insert in 1..=inserts {
        *at += ROWS;
        let seqs: Vec<i64> = (*at..*at + ROWS).collect();
        let channels: Vec<i64> = seqs.iter().map(|seq| scattered(*seq) % CHANNELS).collect();
        let senders: Vec<String> =
            seqs.iter().map(|seq| format!("player-{}", scattered(*seq) / CHANNELS % SENDERS)).collect();
        let nonces: Vec<String> = seqs.iter().map(|_| guildhall::base::random::id()).collect();
        let started = Instant::now();
        let rows = sqlx::query(way.insert).bind(*at).bind(channels).bind(seqs).bind(senders).bind(nonces);
        rows.execute(&mut *connection).await.unwrap();
        inserting += started.elapsed();
        if let Some(sweep) = way.sweep.filter(|_| insert % SWEPT_EACH == 0) {
            let started = Instant::now();
            sqlx::query(sweep).bind(*at - KEPT).execute(&mut *connection).await.unwrap();
            deleting += started.elapsed();
        }
    }
    (inserting, deleting)
}

/// A number that has nothing to do with its neighbour's.
fn scattered(number: i64) -> i64 {
    (number.wrapping_mul(0x5DEE_CE66_D4F1_2B35) >> 20) & 0xFFFF_FFFF
}
