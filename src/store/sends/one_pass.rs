//! The statement that writes most batches in `PostgreSQL`: each channel's counter is raised once, by as many as the
//! batch has for it, and the rows are numbered by their places behind it. Lists go as arrays; a part that a batch does
//! not need is left out.
//!
//! The batch was decided on facts that may be old by now, or were only remembered (`known`). So all that a row was decided
//! on is held to here: its channel's rules, that its sender is still a member, has no sanction and is not blocked, and
//! their pace. If one thing is otherwise, this writes nothing at all, by a division by zero, and `postgres` decides again.
//! Slow mode asks when somebody last spoke in a channel, which is that one's matter too. Locks are taken in the same order
//! as there.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::PgConnection;

use super::decide::{Batch, MessageRow};
use crate::base::error::Result;
use crate::chat::values::PlayerId;
use crate::store::engine::{DbFault, DbResult};
use crate::store::json;
use crate::store::message::Numbered;

/// The parts that a batch may need, as bits.
const PACED: usize = 1;
const MENTIONED: usize = 2;
const QUEUED: usize = 4;

/// A part of the statement, or nothing where the batch does not need it.
macro_rules! part {
    (no, $text:literal) => {
        ""
    };
    (yes, $text:literal) => {
        $text
    };
}

macro_rules! statement {
    ($paced:tt $mentioned:tt $queued:tt) => {
        concat!(
            "WITH ",
            part!(
                $paced,
                "paced AS (
                    INSERT INTO pace (player_id, recent, version)
                    SELECT p.value ->> 0, p.value ->> 1, (p.value ->> 2)::bigint + 1
                    FROM json_array_elements($19::json) AS p (value) ORDER BY 1
                    ON CONFLICT (player_id) DO UPDATE SET recent = excluded.recent, version = excluded.version
                        WHERE pace.version = excluded.version - 1
                    RETURNING 1
                ), "
            ),
            "bumped AS (
                UPDATE channel SET last_seq = last_seq + k.n, last_said = last_said + k.n, last_at = greatest(last_at, $1),
                    oldest_at = coalesce(oldest_at, $1)
                FROM unnest($2::bigint[], $3::bigint[], $24::bigint[], $25::boolean[])
                    AS k (key, n, min_level, read_only)
                WHERE channel.key = k.key AND channel.min_level = k.min_level
                    AND channel.read_only = k.read_only AND channel.slow_mode_s = 0 ",
            part!($paced, "AND (SELECT 1 / (count(*) = json_array_length($19::json))::int FROM paced) = 1"),
            "   RETURNING channel.key, last_seq - k.n AS seq, last_said - k.n AS said, last_at AS sent
            ), base AS MATERIALIZED (
                SELECT array_agg(seq ORDER BY key) AS seqs, array_agg(said ORDER BY key) AS saids,
                    array_agg(sent ORDER BY key) AS sents
                FROM bumped HAVING 1 / (count(*) = cardinality($2)
                    AND NOT EXISTS (SELECT FROM sanction WHERE player_id = ANY ($26::text[]) AND lifted_at IS NULL
                        AND kind <> 'warn' AND (until IS NULL OR until > $1))
                    AND NOT EXISTS (SELECT FROM unnest($27::text[] || $28::text[], $28 || $27) AS d (one, other)
                        -- OFFSET: each pair by itself. Joined, the plan of an empty table reads all blocks there are.
                        CROSS JOIN LATERAL (SELECT FROM block WHERE player_id = one AND blocked_id = other OFFSET 0) b)
                )::int = 1
            ), stored AS (
                INSERT INTO message
                    (channel_key, seq, said, sender_id, sent_at, shown, original, wordlist, nonce, digest)
                SELECT key, seqs[place] + nth, saids[place] + nth, id, sents[place],
                    head || (seqs[place] + nth) || middle || sents[place] || tail, original, wordlist, nonce, digest
                FROM base, unnest($4::bigint[], $5::int[], $6::bigint[], $7::text[], $8::text[], $9::text[], $10::text[],
                    $11::text[], $12::text[], $13::text[], $14::text[])
                    AS r (key, place, nth, id, head, middle, tail, original, wordlist, nonce, digest)
            ), spoken AS (
                INSERT INTO spoken_in (player_id, channel_key, at)
                SELECT id, key, $1 FROM base, unnest($22::text[], $23::bigint[]) AS s (id, key)
                ON CONFLICT (player_id, channel_key) DO UPDATE SET at = excluded.at
                    WHERE spoken_in.at < excluded.at - 86400000
            ), marked AS (
                UPDATE member SET read_seq = greatest(read_seq, seqs[place] + nth),
                    read_said = greatest(read_said, saids[place] + nth)
                FROM base, unnest($15::bigint[], $16::text[], $17::int[], $18::bigint[], $29::boolean[])
                    AS k (key, id, place, nth, member)
                WHERE member.channel_key = k.key AND member.player_id = k.id
                RETURNING k.member
            ), members AS (
                SELECT FROM marked HAVING 1 / (count(*) FILTER (WHERE member) = $30::bigint)::int = 1
            )",
            part!(
                $mentioned,
                ", called AS (
                    INSERT INTO mentioned_in (player_id, channel_key, seq)
                    SELECT named.id, ($4::bigint[])[r.n + 1], seqs[($5::int[])[r.n + 1]] + ($6::bigint[])[r.n + 1]
                    FROM base, json_to_recordset($20::json) AS r (n int, mentions json)
                    CROSS JOIN json_array_elements_text(r.mentions) AS named (id)
                    ON CONFLICT DO NOTHING
                ), mentioned AS (
                    INSERT INTO mention (player_id, channel_key, seq)
                    SELECT m.player_id, m.channel_key, seqs[($5::int[])[r.n + 1]] + ($6::bigint[])[r.n + 1]
                    FROM base, json_to_recordset($20::json) AS r (n int, mentions json)
                    CROSS JOIN json_array_elements_text(r.mentions) AS named (id)
                    -- OFFSET: each by itself, as a plan that thinks of small channels reads all members of a large one.
                    CROSS JOIN LATERAL (SELECT player_id, channel_key FROM member
                        WHERE channel_key = ($4::bigint[])[r.n + 1] AND player_id = named.id OFFSET 0) m
                    WHERE named.id <> ($7::text[])[r.n + 1]
                      AND NOT EXISTS (SELECT FROM block b WHERE b.player_id = named.id
                                      AND b.blocked_id = ($7::text[])[r.n + 1])
                    ON CONFLICT DO NOTHING
                )"
            ),
            part!(
                $queued,
                r#", queued AS (
                    INSERT INTO outbox (id, task, key, payload, trace, created_at, since, not_before, stage)
                    SELECT t.id, t.task, t.key, '{"seq":' || (seqs[($5::int[])[t.n + 1]] + ($6::bigint[])[t.n + 1]) || t.tail,
                        t.trace, $1, $1, $1, t.stage
                    FROM base, json_to_recordset($21::json)
                        AS t (n int, id text, task text, key text, tail text, trace text, stage text)
                    -- Their own numbers are those of their messages in order: the channels' rows are locked by now.
                    ORDER BY t.n
                    RETURNING outbox.stage, outbox.n, outbox.id
                ), opened AS (
                    INSERT INTO outbox_open (stage, n, id) SELECT stage, n, id FROM queued
                )"#
            ),
            " SELECT key, seq, sent FROM bumped, members ORDER BY key"
        )
    };
}

/// A statement for each set of parts: prepared once on each connection.
const STATEMENTS: [&str; 8] = [
    statement!(no no no),
    statement!(yes no no),
    statement!(no yes no),
    statement!(yes yes no),
    statement!(no no yes),
    statement!(yes no yes),
    statement!(no yes yes),
    statement!(yes yes yes),
];

/// The players whom a row mentions.
#[derive(Serialize)]
struct Named<'a> {
    n: usize,
    mentions: &'a [PlayerId],
}

/// Positions of rows: that of their channel among the batch's, and their own behind the channel's counter.
struct Places {
    keys: Vec<i64>,
    counts: Vec<i64>,
    place: Vec<i32>,
    nth: Vec<i64>,
}

impl Places {
    fn of(rows: &[MessageRow<'_>]) -> Self {
        let mut channels: BTreeMap<i64, (i32, i64)> = rows.iter().map(|row| (row.key, (0, 0))).collect();
        channels.values_mut().zip(1..).for_each(|(channel, place)| channel.0 = place);
        let mut places = Self { keys: Vec::new(), counts: Vec::new(), place: Vec::new(), nth: Vec::new() };
        for row in rows {
            let (place, count) = channels.entry(row.key).or_default();
            *count += 1;
            places.place.push(*place);
            places.nth.push(*count);
        }
        (places.keys, places.counts) = channels.into_iter().map(|(key, (_, count))| (key, count)).unzip();
        places
    }
}

/// Can it be written so?
pub(super) fn fits(batch: &Batch<'_>) -> bool {
    batch.rows.iter().all(|row| !row.slow && row.own.is_none())
}

/// Was it decided on facts that are old, and nothing written?
pub(super) fn is_out_of_date(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("22012"))
}

/// Writes all of a batch's rows, and says what the commit gave each; or nothing.
pub(super) async fn write(
    connection: &mut PgConnection,
    batch: &Batch<'_>,
) -> Result<DbResult<Vec<Option<Numbered>>>> {
    let rows = &batch.rows;
    let places = Places::of(rows);
    let marks = batch.marks();
    let paces = batch.paces()?;
    let named = rows.iter().filter(|row| !row.mentions.is_empty());
    let named: Vec<Named<'_>> = named.map(|row| Named { n: row.n, mentions: row.mentions }).collect();
    let parts = [(PACED, paces.is_empty()), (MENTIONED, named.is_empty()), (QUEUED, batch.tasks.is_empty())];
    let parts = parts.iter().filter(|(_, unused)| !unused).map(|(bit, _)| bit).sum::<usize>();
    let stored = sqlx::query_as::<_, (i64, i64, i64)>(STATEMENTS[parts])
        .bind(batch.now)
        .bind(&places.keys)
        .bind(&places.counts)
        .bind(rows.iter().map(|row| row.key).collect::<Vec<_>>())
        .bind(&places.place)
        .bind(&places.nth)
        .bind(rows.iter().map(|row| row.id).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.shown.head.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.shown.middle.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.shown.tail.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.original.as_deref()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.wordlist).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.nonce).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.digest.as_str()).collect::<Vec<_>>())
        .bind(marks.iter().map(|(key, ..)| *key).collect::<Vec<_>>())
        .bind(marks.iter().map(|(_, id, _)| *id).collect::<Vec<_>>())
        .bind(marks.iter().map(|(_, _, n)| places.place[*n]).collect::<Vec<_>>())
        .bind(marks.iter().map(|(_, _, n)| places.nth[*n]).collect::<Vec<_>>())
        .bind(json(&paces)?)
        .bind(json(&named)?)
        .bind(json(&batch.tasks)?)
        .bind(batch.spoken.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind(batch.spoken.iter().map(|(_, key)| *key).collect::<Vec<_>>())
        .bind(batch.rules.values().map(|rules| rules.min_level).collect::<Vec<_>>())
        .bind(batch.rules.values().map(|rules| rules.read_only).collect::<Vec<_>>())
        .bind(batch.unsanctioned.iter().copied().collect::<Vec<_>>())
        .bind(batch.unblocked.iter().map(|(sender, _)| *sender).collect::<Vec<_>>())
        .bind(batch.unblocked.iter().map(|(_, other)| other.as_str()).collect::<Vec<_>>())
        .bind(marks.iter().map(|(_, _, n)| rows[*n].member).collect::<Vec<_>>())
        .bind(marks.iter().filter(|(_, _, n)| rows[*n].member).count() as i64)
        .fetch_all(connection)
        .await;
    Ok(stored.map_err(DbFault::from).map(|stored| {
        let numbered = |(place, nth): (&i32, &i64)| {
            let (_, seq, at) = stored.get(*place as usize - 1)?;
            Some(Numbered { seq: seq + nth, at: *at })
        };
        places.place.iter().zip(&places.nth).map(numbered).collect()
    }))
}
