//! How PostgreSQL carries the statements of requests out at one million messages, in its own words (auto_explain).

use guildhall::store::{Db, outbox, push_due};
use serde_json::json;

use crate::help::TestApp;
use crate::help::database;
use crate::help::postgres_server::{PostgresServer, Version};

/// Each on the newest PostgreSQL and on Debian's: what one's planner finds, the other's may not.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => { $(
        mod $name {
            use crate::help::postgres_server::Version;

            #[tokio::test(flavor = "multi_thread")]
            async fn on_the_newest() {
                super::$name(Version::Newest).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn on_15() {
                super::$name(Version::Fifteen).await;
            }
        }
    )* };
}

on_both!(
    requests_stay_index_scans_at_a_million_messages,
    a_large_channel_among_thousands_of_tiny_ones_is_not_read_through,
    of_thousands_of_tasks_the_first_are_taken_without_reading_the_others,
    a_plan_is_made_once_for_all_values,
    of_thousands_who_are_due_the_first_are_found,
    a_send_reads_nobody_elses_blocks_and_sanctions,
);

const FILL: &str = "
    INSERT INTO channel (id, kind, open, min_level, slow_mode_s, read_only, digest, epoch, last_seq, last_said, created_at)
        SELECT 'channel-' || n, 'world', TRUE, 0, 0, FALSE, 'd', 'e', 1000, 1000, 0 FROM generate_series(1, 1000) AS s (n);
    INSERT INTO message (channel_key, seq, said, sender_id, sent_at, shown, nonce, digest)
        SELECT c.key, n, n, 'player-' || n % 500, n, '{\"channel\":\"' || c.id || '\",\"seq\":' || n ||
            ',\"kind\":\"text\",\"sender\":{\"id\":\"player-' || n % 500 || '\",\"name\":\"x\"},\"text\":\"\",\"payload\":null,\"mentions\":[],\"sent_at\":' || n
            || ',\"ref\":null,\"masked\":false}', 'n' || n, 'd'
        FROM channel c CROSS JOIN generate_series(1, 1000) AS s (n);
    INSERT INTO member (channel_key, player_id, joined_at, read_seq, read_said)
        SELECT c.key, 'player-' || n, 0, 0, 0 FROM channel c CROSS JOIN generate_series(1, 200) AS s (n);
    INSERT INTO mention (player_id, channel_key, seq)
        SELECT 'player-' || n % 200, c.key, n FROM channel c CROSS JOIN generate_series(1, 100) AS s (n);
    INSERT INTO pace (player_id, recent, version) SELECT 'player-' || n, '[]', 1 FROM generate_series(1, 50000) AS s (n);
    INSERT INTO block (player_id, blocked_id, at)
        SELECT 'player-' || p, 'player-' || b, 0 FROM generate_series(1, 500) AS p, generate_series(250, 350) AS b WHERE p <> b;
    INSERT INTO block_version (player_id, version) SELECT 'player-' || n, 1 FROM generate_series(1, 5000) AS s (n);
    INSERT INTO spoken_in (player_id, channel_key, at)
        SELECT 'player-' || n, c.key, 0 FROM channel c CROSS JOIN generate_series(1, 200) AS s (n) WHERE c.key <= 50;
    INSERT INTO own_view (channel_key, seq, player_id, shown, why)
        SELECT c.key, n, 'player-9', '{}', 'shadow' FROM channel c CROSS JOIN generate_series(100, 150) AS s (n);
    INSERT INTO sanction (id, player_id, kind, place, reason, given_by, given_at, automatic, digest)
        SELECT 's' || n, 'offender-' || n, 'mute', 'everywhere', 'r', 'mod', 0, FALSE, 'd' FROM generate_series(1, 10000) AS s (n);";

async fn requests_stay_index_scans_at_a_million_messages(version: Version) {
    let server = PostgresServer::start_of(
        version,
        "session_preload_libraries = 'auto_explain'\nauto_explain.log_min_duration = 0\nauto_explain.log_analyze = on\n\
         auto_explain.log_nested_statements = on\nfsync = off\nautovacuum = off\nmax_wal_size = 4GB\n",
    );
    Db::migrate(&database::config(&server.url())).await.unwrap();
    database::execute(&server.url(), FILL).await;
    database::execute(&server.url(), "ANALYZE").await;
    let app = TestApp::with(&[
        ("DATABASE_URL", &server.url()),
        ("GUILDHALL_SEND_LIMIT", "5/5s"),
        ("GUILDHALL_DATABASE_CONNECTIONS", "1"),
    ])
    .await;
    let alice = app.player("player-7");
    // Often enough that PostgreSQL has chosen its plan for all times to come.
    for n in 0..8 {
        let before = server.log().len();
        alice.get("/message/list?channel=channel-5&limit=50").await.data();
        alice.get("/message/list?channel=channel-5&before=900&limit=50").await.data();
        let wanted: Vec<_> =
            (1..=20).map(|n| json!({ "channel": format!("channel-{n}"), "after": 950 })).collect();
        alice.post("/message/sync", json!({ "channels": wanted })).await.data();
        assert_eq!(alice.get("/channel/inbox").await.data()["channels"].as_array().unwrap().len(), 100);
        alice.post("/channel/read", json!({ "channel": "channel-6", "seq": 500 })).await.data();
        let sent = json!({ "channel": "channel-5", "text": format!("{n}"), "nonce": format!("new {n}"), "mentions": ["player-8"] });
        app.player(&format!("player-{}", 20 + n)).post("/message/send", sent).await.data();
        let log = server.log();
        let plans = &log[before..];
        for table in [
            "message",
            "member",
            "mention",
            "pace",
            "channel",
            "block",
            "block_version",
            "spoken_in",
            "own_view",
            "sanction",
        ] {
            let scanned =
                plans.split("duration:").find(|plan| plan.contains(&format!("Seq Scan on {table}")));
            assert_eq!(scanned, None, "round {n}, {table}");
        }
        for index in ["message_pkey", "message_nonce", "member_player", "mention_pkey", "pace_pkey"] {
            assert!(plans.contains(index), "round {n}: {index} was not used: {plans}");
        }
        // An inbox of a thousand channels looks the newest message of each up, and reads no history.
        for line in plans.lines().filter(|line| line.contains(" on message")) {
            let rows = line.split("actual time=").nth(1).and_then(|actual| actual.split("rows=").nth(1));
            let rows = rows
                .and_then(|rows| rows.split(' ').next())
                .map_or(0, |rows| rows.parse::<f64>().unwrap() as i64);
            assert!(rows <= 100, "round {n}: {line}");
        }
    }
    moderators_look(&server, &app).await;
}

/// What a moderator asks for about one player finds what they said by an index, too.
async fn moderators_look(server: &PostgresServer, app: &TestApp) {
    let before = server.log().len();
    let moderator = app.moderator("mod");
    let record = moderator.get("/player/record?player=player-33").await.data();
    assert_eq!(record["messages"].as_array().unwrap().len(), 50);
    moderator
        .post("/player/purge", json!({ "player": "player-33", "since": 500, "reason": "r" }))
        .await
        .data();
    app.run_tasks().await;
    assert!(!app.player("player-7").history("channel-5").await.is_empty());
    let log = server.log();
    let scanned = log[before..].split("duration:").find(|plan| plan.contains("Seq Scan on message"));
    assert_eq!(scanned, None);
}

/// Of most channels one player's own, with a message or two, what PostgreSQL knows of the table says little of a large one.
async fn a_large_channel_among_thousands_of_tiny_ones_is_not_read_through(version: Version) {
    const TINY: &str = "
        INSERT INTO channel (id, kind, open, min_level, slow_mode_s, read_only, digest, epoch, last_seq, last_said, created_at)
            SELECT 'tiny-' || n, 'world', TRUE, 0, 0, FALSE, 'd', 'e', 1, 1, 0 FROM generate_series(1, 5000) AS s (n);
        INSERT INTO message (channel_key, seq, said, sender_id, sent_at, shown, nonce, digest)
            SELECT key, 1, 1, 'game', 0, '{}', 'n', 'd' FROM channel;
        INSERT INTO member (channel_key, player_id, joined_at, read_seq, read_said)
            SELECT key, 'player-' || key, 0, 0, 0 FROM channel";
    const LARGE: &str = "
        INSERT INTO channel (id, kind, open, min_level, slow_mode_s, read_only, digest, epoch, last_seq, last_said, created_at)
            VALUES ('large', 'world', TRUE, 0, 0, FALSE, 'd', 'e', 1000, 1000, 0);
        INSERT INTO message (channel_key, seq, said, sender_id, sent_at, shown, nonce, digest)
            SELECT c.key, n, n, 'player-' || n % 500, n, '{}', 'n' || n, 'd'
            FROM channel c, generate_series(1, 1000) AS s (n) WHERE c.id = 'large';
        INSERT INTO member (channel_key, player_id, joined_at, read_seq, read_said)
            SELECT c.key, 'player-' || n, 0, 0, 0 FROM channel c, generate_series(1, 1000) AS s (n) WHERE c.id = 'large'";
    let server = PostgresServer::start_of(
        version,
        "session_preload_libraries = 'auto_explain'\nauto_explain.log_min_duration = 0\nauto_explain.log_analyze = on\n\
         fsync = off\nautovacuum = off\n",
    );
    Db::migrate(&database::config(&server.url())).await.unwrap();
    for statement in [TINY, "ANALYZE", LARGE] {
        database::execute(&server.url(), statement).await;
    }
    let app =
        TestApp::with(&[("DATABASE_URL", &server.url()), ("GUILDHALL_DATABASE_CONNECTIONS", "1")]).await;
    for n in 1..=8 {
        app.player(&format!("player-{n}")).say("large", &format!("word {n}")).await;
    }
    let log = server.log();
    let passed_over = log.lines().filter_map(|line| line.trim().strip_prefix("Rows Removed by Filter: "));
    let most = passed_over.map(|rows| rows.parse::<i64>().unwrap()).max().unwrap_or_default();
    assert!(log.contains("message_nonce") && most < 100, "{most} rows passed over: {log}");
    sync_of_one_who_is_in_many(&server, &app).await;
}

/// Most players are in one channel; of one who is in many, only those that are asked for are looked up.
async fn sync_of_one_who_is_in_many(server: &PostgresServer, app: &TestApp) {
    const MANY: &str = "
        UPDATE channel SET open = FALSE WHERE key <= 1000;
        INSERT INTO member (channel_key, player_id, joined_at, read_seq, read_said)
            SELECT key, 'many', 0, 0, 0 FROM channel WHERE key <= 1000";
    database::execute(&server.url(), MANY).await;
    let before = server.log().len();
    let channels: Vec<_> = (1..=20).map(|n| json!({ "channel": format!("tiny-{n}"), "after": 1 })).collect();
    for _ in 0..8 {
        let synced = app.player("many").post("/message/sync", json!({ "channels": channels })).await.data();
        assert_eq!(synced["channels"].as_array().unwrap().len(), 20);
    }
    let log = server.log();
    for line in log[before..].lines().filter(|line| line.contains(" on member")) {
        let rows = line.split("actual time=").nth(1).and_then(|actual| actual.split("rows=").nth(1));
        let rows = rows.map_or(0, |rows| rows.split([' ', '.']).next().unwrap().parse::<i64>().unwrap());
        assert!(rows <= 20, "{line}");
    }
}

/// An outbox with nothing to do when PostgreSQL last looked at it, or never looked at, and with thousands of tasks now.
async fn of_thousands_of_tasks_the_first_are_taken_without_reading_the_others(version: Version) {
    for looked_at in [true, false] {
        take_the_first(version, looked_at).await;
    }
}

async fn take_the_first(version: Version, looked_at: bool) {
    const DONE: &str = "
        INSERT INTO outbox_done (id, task, key_digest, attempt, finished_at, stage)
            SELECT 'done-' || n, 'none.v1', 'key-' || n, 1, n, '' FROM generate_series(1, 5000) AS s (n)";
    const TASKS: &str = "
        WITH added AS (INSERT INTO outbox (id, task, key, payload, created_at, since, not_before)
            SELECT 'task-' || n, 'none.v1', 'key-' || n, '{}', n, n, n FROM generate_series(1, 5000) AS s (n)
            RETURNING stage, n, id)
        INSERT INTO outbox_open (stage, n, id) SELECT stage, n, id FROM added";
    let server = PostgresServer::start_of(
        version,
        "session_preload_libraries = 'auto_explain'\nauto_explain.log_min_duration = 0\nauto_explain.log_analyze = on\n\
         fsync = off\nautovacuum = off\n",
    );
    Db::migrate(&database::config(&server.url())).await.unwrap();
    if looked_at {
        database::execute(&server.url(), DONE).await;
        database::execute(&server.url(), "ANALYZE").await;
    }
    let app =
        TestApp::with(&[("DATABASE_URL", &server.url()), ("GUILDHALL_DATABASE_CONNECTIONS", "1")]).await;
    let wanted = outbox::LeaseRequest::all(["none.v1"].into_iter());
    // Often enough that PostgreSQL has chosen its plan for all times to come.
    for _ in 0..8 {
        assert!(outbox::lease(&app.app.db, &wanted, 8, 60_000).await.unwrap().is_empty());
    }
    database::execute(&server.url(), TASKS).await;
    for _ in 0..8 {
        assert_eq!(outbox::lease(&app.app.db, &wanted, 8, 60_000).await.unwrap().len(), 8);
    }
    let log = server.log();
    let plans: Vec<&str> = log.split("duration:").filter(|plan| plan.contains("CTE chosen")).collect();
    let leases = plans.iter().filter(|plan| plan.contains("hold = 'leased'"));
    assert_eq!(leases.count(), 8, "{log}");
    for plan in plans {
        let actual = plan.split("(actual ").skip(1).filter_map(|step| step.split("rows=").nth(1));
        let numbers = actual.chain(plan.split("Rows Removed by Filter: ").skip(1));
        let number = |text: &str| text.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().ok();
        let most: Option<u64> = numbers.filter_map(number).max();
        // One look sorts in 256 of those that are new.
        assert!(most.is_some_and(|most| most <= 300), "{plan}");
    }
}

/// A plan for these values alone, as PostgreSQL makes them while it compares, costs more than the work itself.
async fn a_plan_is_made_once_for_all_values(version: Version) {
    let server = PostgresServer::start_of(
        version,
        "session_preload_libraries = 'auto_explain'\nauto_explain.log_min_duration = 0\nauto_explain.log_verbose = on\n\
         fsync = off\nautovacuum = off\n",
    );
    Db::migrate(&database::config(&server.url())).await.unwrap();
    let app =
        TestApp::with(&[("DATABASE_URL", &server.url()), ("GUILDHALL_DATABASE_CONNECTIONS", "1")]).await;
    app.guild("g", &["alice"]).await;
    app.player("alice").say("g", "hello").await;
    let log = server.log();
    let calls: Vec<&str> = log.lines().filter(|line| line.contains("Function Call: ")).collect();
    let given = |call: &&&str| call.contains("unnest(") || call.contains("json_array_elements(");
    let (for_all, for_these): (Vec<&str>, Vec<&str>) =
        calls.iter().filter(given).partition(|call| call.contains('$'));
    assert!(for_all.len() > 1 && for_these.is_empty(), "{calls:#?}");
}

/// Of thousands who are to be told, the first are found without reading the others.
async fn of_thousands_who_are_due_the_first_are_found(version: Version) {
    const DUE: &str = "
        INSERT INTO push_due (shard, player_id, channel_key, from_seq, last_seq, at, due_at, tries)
            SELECT n % 16, 'player-' || n, 1, 1, 1, n, n, 0 FROM generate_series(1, 50000) AS s (n)";
    let server = PostgresServer::start_of(
        version,
        "session_preload_libraries = 'auto_explain'\nauto_explain.log_min_duration = 0\nauto_explain.log_analyze = on\n\
         fsync = off\nautovacuum = off\n",
    );
    Db::migrate(&database::config(&server.url())).await.unwrap();
    database::execute(&server.url(), "ANALYZE").await;
    let app = TestApp::with(&[("DATABASE_URL", &server.url())]).await;
    database::execute(&server.url(), DUE).await;
    let due = push_due::due(&app.app.db, 3, 0, 64).await.unwrap();
    assert_eq!(due.len(), 64);
    assert!(due.windows(2).all(|two| two[0].at <= two[1].at));
    let log = server.log();
    let plan = log.split("duration:").find(|plan| plan.contains("push_due_next")).unwrap_or(&log);
    let rows =
        plan.split("rows=").skip(1).filter_map(|rows| rows.split([' ', '.']).next()?.parse::<u64>().ok());
    assert!(rows.max().is_some_and(|most| most <= 100), "{plan}");
}

/// Who blocks whom and who is under a sanction is looked up by the two of a direct channel, however many others there are,
/// and whatever PostgreSQL knew of the tables when it made its plans.
async fn a_send_reads_nobody_elses_blocks_and_sanctions(version: Version) {
    // One after the other: starting the second server would keep the first one's answers waiting.
    for looked_at in [true, false] {
        send_among_thousands(version, looked_at).await;
    }
}

async fn send_among_thousands(version: Version, looked_at: bool) {
    const OTHERS: &str = "
        INSERT INTO block (player_id, blocked_id, at) SELECT 'p' || n, 'q' || n, 0 FROM generate_series(1, 5000) AS s (n);
        INSERT INTO sanction (id, player_id, kind, place, reason, given_by, given_at, automatic, digest)
            SELECT n, 'p' || n, 'mute', 'everywhere', 'r', 'mod', 0, FALSE, 'd' FROM generate_series(1, 5000) AS s (n)";
    let server = PostgresServer::start_of(
        version,
        "session_preload_libraries = 'auto_explain'\nauto_explain.log_min_duration = 0\nauto_explain.log_analyze = on\n\
         fsync = off\nautovacuum = off\n",
    );
    Db::migrate(&database::config(&server.url())).await.unwrap();
    if looked_at {
        database::execute(&server.url(), "ANALYZE").await;
    }
    let app =
        TestApp::with(&[("DATABASE_URL", &server.url()), ("GUILDHALL_DATABASE_CONNECTIONS", "1")]).await;
    let direct = app.player("alice").post("/channel/direct", json!({ "player": "bob" })).await.data();
    let channel = direct["id"].as_str().unwrap();
    for others in ["SELECT 1", OTHERS] {
        database::execute(&server.url(), others).await;
        // The first is asked about the first time, the other is known then.
        for _ in 0..2 {
            app.player("alice").say(channel, "hello").await;
        }
    }
    app.player("bob").say(channel, "hello").await;
    let log = server.log();
    let lines = log.lines().filter(|line| line.contains(" on block") || line.contains(" on sanction"));
    let rows = |line: &str| {
        line.split("actual time=").nth(1)?.split("rows=").nth(1)?.split([' ', '.']).next()?.parse().ok()
    };
    let read: Vec<(u64, &str)> = lines.filter_map(|line| Some((rows(line)?, line))).collect();
    assert!(log.matches("INSERT INTO message").count() >= 5 && !read.is_empty(), "{log}");
    let through: Vec<_> = read.iter().filter(|(rows, _)| *rows > 2).collect();
    assert!(through.is_empty(), "looked at: {looked_at}: {through:#?}");
}
