//! The rows of a game that has gone on for months, as `growth` fills tables with them.

use guildhall::base::clock::{Clock, Millis};

/// Fills a table from the numbers up to one.
fn rows(table_and_columns: &str, values: &str, count: u32) -> String {
    format!(
        "INSERT INTO {table_and_columns} SELECT {values} FROM numbers WHERE n <= {count} ON CONFLICT DO NOTHING"
    )
}

/// One of the players of so many, by another step.
fn player(every: u32, of: u32) -> String {
    format!("'player-' || (n * {every} % {of})")
}

/// A message as it is stored.
const SHOWN: &str = "'{\"channel\":\"c\",\"seq\":1,\"kind\":\"text\",\"sender\":{\"id\":\"player-1\",\"name\":\"x\"},\"text\":\"t\",\"payload\":null,\
        \"mentions\":[],\"sent_at\":1,\"ref\":null,\"masked\":false}'";

/// What channels grow by, for so many of them.
fn channels(c: u32, now: Millis) -> Vec<String> {
    vec![
        rows(
            "channel (id, kind, open, min_level, slow_mode_s, read_only, digest, epoch, last_seq, last_said, member_count, created_at, last_at, oldest_at)",
            &format!(
                "'channel-' || n, CASE n % 3 WHEN 0 THEN 'guild' WHEN 1 THEN 'world' ELSE 'party' END, n % 3 = 1, 0, 0, FALSE, 'd', 'e', 5, 5, 5, {now}, {now}, {now} - n"
            ),
            c,
        ),
        format!(
            "UPDATE channel SET last_seq = {0}, last_said = {0}, member_count = {1} WHERE key = 1",
            c + c / 2,
            c / 2
        ),
        rows(
            "member (channel_key, player_id, joined_at, read_seq, read_said)",
            &format!("(n - 1) / 5 + 1, {}, 0, 0, 0", player(37, c)),
            5 * c,
        ),
        rows(
            "member (channel_key, player_id, joined_at, read_seq, read_said)",
            "1, 'player-' || n, 0, 0, 0",
            c / 2,
        ),
        rows(
            "member (channel_key, player_id, joined_at, read_seq, read_said)",
            "n, 'player-7', 0, 0, 0",
            1_000,
        ),
        rows(
            "message (channel_key, seq, said, sender_id, sent_at, shown, nonce, digest)",
            &format!("1, n, n, {}, {now} - 10000000 + n, {SHOWN}, 'n' || n, 'd'", player(1, c)),
            c + c / 2,
        ),
        rows(
            "message (channel_key, seq, said, sender_id, sent_at, shown, nonce, digest)",
            &format!(
                "2 + n % ({c} - 1), 1 + n / ({c} - 1), 1 + n / ({c} - 1), {}, {now} - 10000000 + n, {SHOWN}, 'n' || n, 'd'",
                player(1, c)
            ),
            3 * c + c / 2,
        ),
        rows("mention (player_id, channel_key, seq)", &format!("{}, n, 1", player(1, c)), c),
        rows("mention (player_id, channel_key, seq)", &format!("{}, 1, n", player(3, c)), c),
        rows("mentioned_in (player_id, channel_key, seq)", &format!("{}, n, 1", player(1, c)), c),
        rows("mentioned_in (player_id, channel_key, seq)", &format!("{}, 1, n", player(3, c)), c),
    ]
}

/// Very many of one: mentions of a player in one channel, and rows of the audit about a player.
fn of_one(c: u32) -> Vec<String> {
    vec![
        rows("mention (player_id, channel_key, seq)", "'called', 1, n", c / 4),
        rows("member (channel_key, player_id, joined_at, read_seq, read_said)", "1, 'called', 1, 0, 0", 1),
        rows(
            "audit (at, by_alias, scope, action, alias, detail)",
            "n, 'mod-' || n % 20, 'moderator', 'sanction.give', 'of-audited', '{}'",
            c / 4,
        ),
        rows("audit_alias (player_id, alias)", "'audited', 'of-audited'", 1),
        rows("audit_alias (player_id, alias)", "'idle', 'of-idle'", 1),
    ]
}

/// What players grow by.
fn players(c: u32, now: Millis, postgres: bool) -> Vec<String> {
    vec![
        if postgres {
            rows("pace (player_id, recent, version)", "'player-' || n, '[]', 1", c)
        } else {
            rows("pace (player_id, recent)", "'player-' || n, '[]'", c)
        },
        rows("block (player_id, blocked_id, at)", &format!("'player-' || n, {}, 1", player(3, c)), c),
        rows("block_version (player_id, version)", "'player-' || n, 1", c),
        rows(
            "spoken_in (player_id, channel_key, at)",
            &format!("{}, (n - 1) / 2 + 1, {now}", player(1, c)),
            2 * c,
        ),
        rows("spoken_in (player_id, channel_key, at)", &format!("'player-7', n, {now}"), 1_000),
        rows(
            "own_view (channel_key, seq, player_id, shown, why)",
            &format!("n, 1, {}, '{{}}', 'shadow'", player(1, c)),
            c / 10,
        ),
        rows(
            "sanction (id, player_id, kind, place, reason, given_by, given_at, automatic, digest)",
            "'s' || n, 'player-' || n, CASE n % 2 WHEN 0 THEN 'mute' ELSE 'warn' END, CASE n % 3 WHEN 0 THEN 'channel-' || n ELSE 'everywhere' END, 'r', 'mod', n, FALSE, 'd'",
            c / 2,
        ),
        rows(
            "audit (at, by_alias, scope, action, alias, detail)",
            "n, 'mod-' || n % 20, 'moderator', 'sanction.give', 'a' || n, '{}'",
            c,
        ),
        rows("audit_alias (player_id, alias)", "'player-' || n, 'a' || n", c),
        rows(
            "report_case (id, subject, player_id, state, opened_at, reports, weight, evidence, decided_at)",
            "'case-' || n, 'player:' || n, 'player-' || n, CASE n % 2 WHEN 0 THEN 'open' ELSE 'decided' END, n, 1, n % 7, '{}', n",
            c / 4,
        ),
        rows(
            "report (id, reporter, subject, player_id, category, at, case_id)",
            "'r' || n, 'player-' || n, 'player:' || n / 2, 'player-' || n / 2, 'hate', n, 'case-' || n / 2",
            c / 2,
        ),
        rows(
            "appeal (id, sanction_id, player_id, text, state, at)",
            "'ap' || n, 's' || n, 'player-' || n, 't', 'open', n",
            c / 10,
        ),
        rows("refusal (player_id, at)", &format!("'player-' || n, {now} - n"), c),
        rows(
            "direct_opened (player_id, other_id, at)",
            &format!("'player-' || n, {}, {now}", player(3, c)),
            c,
        ),
        rows(
            "rank_report (board, player_id, value, reported_at)",
            &format!("'b', 'player-' || n, n, {now}"),
            c,
        ),
        rows(
            "payment (id, provider, event, kind, player_id, tell_order, received_at)",
            &format!("'p' || n, 'stripe', 'e' || n, 'paid', 'player-' || n, 'player-' || n, {now}"),
            c / 2,
        ),
    ]
}

/// What support and devices grow by.
fn around(c: u32, now: Millis) -> Vec<String> {
    vec![
        rows(
            "ticket (id, channel, player_id, topic, state, opened_at, waiting_since)",
            &format!(
                "'t' || n, 'ticket-' || n, 'player-' || n, 't', CASE n % 2 WHEN 0 THEN 'open' ELSE 'closed' END, {now}, {now}"
            ),
            c / 4,
        ),
        rows(
            "device (id, player_id, platform, token, level, sandbox, registered_at)",
            &format!("'d' || n, 'player-' || n, 'fcm', 't' || n, 1, FALSE, {now}"),
            c / 2,
        ),
        rows(
            "device_preference (player_id, channel, notify, mute_until)",
            "'player-' || n, 'channel-' || n, 'none', 0",
            c / 2,
        ),
        rows(
            "push_due (shard, player_id, channel_key, from_seq, last_seq, at, due_at, tries)",
            &format!("n % 16, 'player-' || n, n, 1, 2, {now}, {now} + 1000000 + n, 0"),
            c / 4,
        ),
    ]
}

/// What tasks, timers and rights grow by.
fn work(c: u32, now: Millis) -> Vec<String> {
    vec![
        rows("right_change (channel_key, player_id, changed_at)", &format!("n, 'player-' || n, {now} - n"), c),
        rows("task_progress (task_id, said, at)", &format!("'task-' || n, '{{}}', {now} - n"), c / 10),
        rows("purge_entry (task_id, channel_key, seq)", "'task-' || n % 100, n, 1", c / 10),
        rows("process (id, seen_at)", &format!("'process-' || n, {now} + 600000"), 4),
        rows("online (player_id, process_id)", "'player-' || n, 'process-' || (1 + n % 4)", c / 2),
        rows(
            "outbox (id, task, key, payload, created_at, since, not_before)",
            &format!("'o' || n, 'none.v1', CASE WHEN n <= {} THEN 'one' ELSE 'k' || n END, '{{}}', {now} - n, {now} - n, {now} - n", c / 2),
            c + c / 2,
        ),
        "INSERT INTO outbox_key (stage, key, task, place, n, due_at) SELECT stage, key, min(task), 0, min(n), min(not_before) FROM outbox GROUP BY stage, key".to_owned(),
        rows("outbox_done (id, task, key_digest, attempt, finished_at, stage)", &format!("'done' || n, 'none.v1', 'x', 1, {now} - n, ''"), 5 * c),
        rows(
            "outbox_dead (id, task, key, payload, attempt, created_at, finished_at, reason, stage, n)",
            &format!("'dead' || n, 'none.v1', 'k' || n, '{{}}', 1, {now} - n, {now} - n, 'r', '', n"),
            c / 4,
        ),
        rows("wordlist_hit (category, entry, hits, last_at)", "'words', 'w' || n, n, n", 2_000),
        rows(
            "schedule (id, task, key, payload, cron, zone, next_at, state, created_by, created_at, digest, stage)",
            &format!("'sch' || n, 'retention.v1', 'k', '{{}}', '0 4 * * *', 'UTC', {now} + 1000000 + n, CASE n % 10 WHEN 0 THEN 'planned' ELSE 'done' END, 'game', n, 'd', ''"),
            c / 40,
        ),
        rows("occurrence (schedule_id, due_at)", &format!("'sch' || n % 100 * 10, {now} - n"), c / 2),
        rows(
            "announcement (id, texts, audience, push, show_ms, state, schedule_id, created_by, created_at)",
            "'ann' || n, '{\"en\":\"x\"}', '{\"everybody\":true}', FALSE, 1000, 'done', 'sch' || n, 'mod', n",
            c / 40,
        ),
        rows("announced (announcement_id, due_at, at, until)", &format!("'ann' || n, n, n, {now} - n"), c / 40),
    ]
}

/// Fills all tables that grow: for so many channels.
pub fn fill(count: u32, postgres: bool) -> Vec<String> {
    let now = Clock::default().now();
    let players = [players(count, now, postgres), of_one(count)].concat();
    let parts = [channels(count, now), players, around(count, now), work(count, now)];
    parts.into_iter().flatten().collect()
}
