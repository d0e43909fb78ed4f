//! Statements that read more than what they return explains, each with why that has an end: `growth` and `growth_sqlite` hold
//! all others to a constant.

/// Statements that read more, by a part of their text that no other has; and why that has an end.
const LARGE: &[(&str, &str)] = &[
    // Steps of a fixed size, whatever comes of them.
    ("DELETE FROM right_change WHERE id IN (SELECT id FROM (SELECT id, changed_at", "500 rows a step"),
    ("DELETE FROM announcement WHERE id IN", "500 rows a step, behind those that are planned: people's work"),
    (
        "UPDATE report_case SET evidence = NULL",
        "500 rows a step, behind what was ended since the last vacuum",
    ),
    (
        "SELECT id, opened_at, evidence FROM report_case",
        "100 rows a step, behind what was ended since the last vacuum",
    ),
    // Counts that end at a bound.
    (
        "SELECT CASE WHEN published_at > 0 THEN 'sent' ELSE 'ready' END AS what",
        "10,000 of each state, for figures",
    ),
    ("SELECT $3 AS task, count(*) AS keys, coalesce(min(due_at), 0)", "10,000, for figures"),
    ("FROM (SELECT 1 FROM channel WHERE kind = $1 ORDER BY key LIMIT $2) AS c", "10,000, for a preview"),
    (
        "FROM (SELECT 1 FROM ticket WHERE state = 'open' ORDER BY waiting_since LIMIT $2) o",
        "10,000, for moderators",
    ),
    (
        "SELECT count(DISTINCT o.player_id) FROM process p JOIN online o",
        "a fiftieth of a connection's time at most",
    ),
    (
        "WITH m AS MATERIALIZED (SELECT player_id FROM member WHERE channel_key = $1) SELECT count(DISTINCT",
        "small channels",
    ),
    ("DELETE FROM mention m USING (SELECT x.player_id", "up to 1,000 players a call, each looked up"),
    // What one player has.
    (
        "c.last_at, TRUE AS member, EXISTS (SELECT 1 FROM sanction s",
        "an inbox is sorted among all channels of its player",
    ),
    (
        "SELECT m.shown FROM (SELECT s.channel_key FROM spoken_in s",
        "a record looks into the channels where somebody spoke",
    ),
    // The first that is met is nearly always the one.
    (
        "SELECT number FROM announced WHERE at <= $1 ORDER BY number DESC LIMIT 1",
        "shown in the order of their numbers",
    ),
    // Operators'.
    (
        "SELECT DISTINCT key FROM (SELECT key FROM outbox WHERE stage = $1 ORDER BY n LIMIT 10000)",
        "10,000 rows of a stage",
    ),
    (
        "UPDATE outbox SET not_before = $2 WHERE stage = $1 AND failing_since IS NOT NULL",
        "an embedded database is opened",
    ),
    ("UPDATE outbox_key SET due_at = $2 WHERE stage = $1 AND hold = '", "an embedded database is opened"),
];

/// Of those, the ones that read 10,000 rows at most, twice where they join; all but the ones that count who is online.
pub fn is_bounded(text: &str) -> bool {
    !text.contains("SELECT count(DISTINCT")
}
/// Rows that one of them touches at most.
pub const BOUNDED: u32 = 60_000;

/// Parts that are put together with what says which rows: how their text ends.
const PARTS: &[&str] = &[
    "d.sandbox, d.registered_at FROM device d",
    "LEFT JOIN member m ON m.channel_key = c.key AND m.player_id = $2",
    "SELECT string_agg(shown, ',' ORDER BY seq) FROM message",
    "waiting_since, first_reply_at, closed_at FROM ticket",
    "SELECT id, reporter, player_id AS player, category, at, case_id FROM report",
    "SELECT id, task, state, next_at, cron, zone, until, created_at, key, payload FROM schedule",
];

pub fn is_known(text: &str) -> bool {
    LARGE.iter().any(|(part, _)| text.contains(part)) || PARTS.iter().any(|part| text.ends_with(part))
}
