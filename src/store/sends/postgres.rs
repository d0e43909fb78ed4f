//! A batch of sends in `PostgreSQL`: one query for the facts, then one statement that writes everything.
//!
//! Most batches ask for nothing, as the facts are `known`. Any number of instances send at once, so what was read may be
//! old when it is written. At first the whole batch is written or nothing of it (`one_pass`). Where facts moved on
//! meanwhile, and in slow mode, the statement here holds each decision to what it was based on: a row whose send limit or
//! slow mode moved on stays unwritten, and is decided again. Locks are taken in one order: paces by player, channels by
//! key, then the rest.

use sqlx::PgConnection;

use super::decide::{Batch, Decision, Outcome};
use super::draft::Pending;
use super::facts::Facts;
use super::known::Known;
use super::one_pass;
use crate::base::clock::{Clock, Millis};
use crate::base::error::{Error, Result};
use crate::store::block::refused;
use crate::store::engine::connections::Connections;
use crate::store::engine::{DbFault, DbResult, Purpose, postgres};
use crate::store::message::Numbered;
use crate::store::rights::covering;
use crate::store::times::Asking;
use crate::store::{is_twin, json};

/// Number of rounds in which a batch is decided again, each for the rows whose facts moved on in between.
const ROUNDS: usize = 8;

/// Reason why a batch was not written.
pub(in crate::store) enum NotWritten {
    /// Somebody held a row that one of them needs.
    Locked,
    Fault(Error),
}

/// A way to decide and write a batch.
enum Way {
    /// On what is known, as one.
    Known(Vec<Facts>, Millis),
    /// On facts that are asked for, as one.
    Asked,
    /// On facts that are asked for, each row by itself.
    RowByRow,
}

pub(in crate::store) async fn commit(
    connections: &Connections,
    clock: &Clock,
    known: &Known,
    drafts: &[Pending],
) -> Result<Vec<Result<Outcome>>, NotWritten> {
    let mut outcomes: Vec<Option<Result<Outcome>>> = drafts.iter().map(|_| None).collect();
    let mut reconnected = false;
    let mut way = known.all(drafts, clock).map_or(Way::Asked, |(facts, now)| Way::Known(facts, now));
    for _ in 0..ROUNDS {
        let open: Vec<usize> = (0..drafts.len()).filter(|n| outcomes[*n].is_none()).collect();
        if open.is_empty() {
            break;
        }
        let waiting: Vec<&Pending> = open.iter().map(|n| &drafts[*n]).collect();
        match round(connections, (clock, known), &waiting, &way).await {
            Ok(found) => open.into_iter().zip(found).for_each(|(n, outcome)| outcomes[n] = outcome),
            // A twin, or one that waited for us while we waited for it, has committed: the facts are others now.
            Err(Fault::Database(error)) if is_out_of_date(&error) => known.was_wrong(&waiting),
            Err(Fault::Database(error)) if postgres::is_conflict(&error) => {}
            Err(Fault::Database(error)) if !reconnected && postgres::is_broken(&error) => {
                // It may have committed. Every row has a nonce, so it is not stored again.
                connections.drop_broken();
                reconnected = true;
            }
            Err(Fault::Database(error)) if postgres::is_locked(&error) => return Err(NotWritten::Locked),
            Err(Fault::Database(error)) => return Err(NotWritten::Fault(error.into())),
            Err(Fault::Other(error)) => return Err(NotWritten::Fault(error)),
        }
        way = if matches!(way, Way::Known(..)) { Way::Asked } else { Way::RowByRow };
    }
    let busy = || Err(Error::Unavailable("too many sends at once"));
    Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(busy)).collect())
}

/// Was it decided on what is no longer so, and nothing written?
fn is_out_of_date(error: &sqlx::Error) -> bool {
    is_twin(error) || one_pass::is_out_of_date(error)
}

enum Fault {
    Database(DbFault),
    Other(Error),
}

impl From<DbFault> for Fault {
    fn from(error: DbFault) -> Self {
        Self::Database(error)
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        DbFault::from(error).into()
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// Decides and writes once; none for those whose facts moved on.
async fn round(
    connections: &Connections,
    with: (&Clock, &Known),
    drafts: &[&Pending],
    way: &Way,
) -> Result<Vec<Option<Result<Outcome>>>, Fault> {
    let mut lent = connections.lend(Purpose::Write).await?;
    let found = write(lent.connection(), with, drafts, way).await;
    match &found {
        Err(Fault::Database(error)) if postgres::is_broken(error) => lent.close(),
        _ => lent.give_back(),
    }
    found
}

async fn write(
    connection: &mut PgConnection,
    (clock, known): (&Clock, &Known),
    drafts: &[&Pending],
    way: &Way,
) -> Result<Vec<Option<Result<Outcome>>>, Fault> {
    let asked;
    let (facts, now) = match way {
        Way::Known(facts, now) => (facts, *now),
        Way::Asked | Way::RowByRow => {
            asked = ask(connection, (clock, known), drafts).await?;
            (&asked.0, asked.1)
        }
    };
    let mut batch = Batch::at(now);
    let decisions: Vec<Result<Decision>> =
        drafts.iter().zip(facts).map(|(draft, facts)| batch.decide(draft, facts, &known.spoken)).collect();
    let is_known = matches!(way, Way::Known(..));
    let by = if is_known { "known" } else { "asked" };
    if is_known && decisions.iter().any(Result::is_err) {
        return Ok(drafts.iter().map(|_| None).collect());
    }
    let written = if batch.rows.is_empty() {
        Vec::new()
    } else if !matches!(way, Way::RowByRow) && one_pass::fits(&batch) {
        let written = one_pass::write(connection, &batch).await??;
        known.note_written(&batch);
        if is_known {
            known.was_right();
        } else {
            known.note(drafts, facts, &decisions);
        }
        written
    } else {
        row_by_row(connection, &batch, known).await?
    };
    metrics::counter!("guildhall_commits_total", "facts" => by).increment(1);
    let outcome = |decision: Result<Decision>| match decision {
        Ok(decision) => batch.outcome(decision, &written),
        Err(error) => Some(Err(error)),
    };
    Ok(decisions.into_iter().map(outcome).collect())
}

/// Asks for the facts and the time.
async fn ask(
    connection: &mut PgConnection,
    (clock, known): (&Clock, &Known),
    drafts: &[&Pending],
) -> DbResult<(Vec<Facts>, Millis)> {
    let asking = Asking::now(clock);
    let facts: Vec<Facts> = sqlx::query_as(FACTS)
        .bind(drafts.iter().map(|pending| pending.draft.said.channel.as_str()).collect::<Vec<_>>())
        .bind(drafts.iter().map(|pending| pending.sender_key.as_str()).collect::<Vec<_>>())
        .bind(drafts.iter().map(|pending| pending.nonce()).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    // All instances go by the database's clock, whatever their own say.
    let now = match facts.first().and_then(|facts| facts.now) {
        Some(now) => known.note_time(clock, asking, now) + clock.passed(),
        None => clock.now(),
    };
    Ok((facts, now))
}

/// Writes the rows whose facts have not moved on.
async fn row_by_row(
    connection: &mut PgConnection,
    batch: &Batch<'_>,
    known: &Known,
) -> Result<Vec<Option<Numbered>>, Fault> {
    let stored: Vec<(i64, i64, i64)> = sqlx::query_as(WRITE)
        .bind(json(&batch.rows)?)
        .bind(json(&batch.paces()?)?)
        .bind(json(&batch.tasks)?)
        .bind(batch.now)
        .bind(json(&batch.spoken)?)
        .fetch_all(connection)
        .await?;
    let mut written = vec![None; batch.rows.len()];
    for (n, seq, at) in stored {
        written[n as usize] = Some(Numbered { seq, at });
    }
    if written.iter().all(Option::is_some) {
        known.note_written(batch);
    }
    Ok(written)
}

const FACTS: &str = concat!("SELECT c.key, c.kind, c.open, c.min_level, c.slow_mode_s, c.read_only, c.last_seq, c.last_said, c.last_at,
            (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now,
            m.player_id IS NOT NULL AS member, m.last_sent_at, p.recent, coalesce(p.version, 0) AS pace_version,
            e.seq AS earlier_seq, e.digest AS earlier_digest, c.pair,
            -- Counted: whether there is one, PostgreSQL finds out by reading those of all players, if it thinks there are few.
            (SELECT count(*) FROM sanction s WHERE s.player_id = j.player AND s.lifted_at IS NULL AND s.kind <> 'warn'
                AND (s.until IS NULL OR s.until > extract(epoch FROM now()) * 1000)) > 0 AS sanctioned, ",
    covering!("json_agg(json_build_array(s.kind, s.place, s.until, s.reason))::text", "j.player"),
    ", ", refused!("j.player"),
    "
     FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS j (channel, player, nonce, n)
     LEFT JOIN channel c ON c.id = j.channel
     -- OFFSET: each by itself. Joined, a plan that thinks of small channels reads all members of a large one.
     LEFT JOIN LATERAL (SELECT player_id, last_sent_at FROM member
         WHERE channel_key = c.key AND player_id = j.player OFFSET 0) m ON TRUE
     LEFT JOIN pace p ON p.player_id = j.player
     LEFT JOIN LATERAL (SELECT seq, digest FROM message
         WHERE channel_key = c.key AND sender_id = j.player AND nonce = j.nonce OFFSET 0) e ON TRUE
     ORDER BY j.n");

const WRITE: &str = r#"
WITH r AS MATERIALIZED (
    SELECT * FROM json_to_recordset($1::json) AS r (n bigint, key bigint, id text, spoke bigint, at bigint, head text,
        middle text, tail text, own json,
        original text, wordlist text, nonce text, digest text, mentions json, member boolean, slow boolean,
        here bigint, limited boolean)
), paced AS (
    INSERT INTO pace (player_id, recent, version)
    SELECT p.value ->> 0, p.value ->> 1, (p.value ->> 2)::bigint + 1
    FROM json_array_elements($2::json) AS p (value) ORDER BY 1
    ON CONFLICT (player_id) DO UPDATE SET recent = excluded.recent, version = excluded.version
        WHERE pace.version = excluded.version - 1
    RETURNING player_id
), agreed AS MATERIALIZED (
    SELECT * FROM r WHERE NOT limited OR id IN (SELECT player_id FROM paced)
), locked AS MATERIALIZED (
    SELECT key, last_seq, last_said, last_at FROM channel WHERE key IN (SELECT key FROM agreed) ORDER BY key FOR UPDATE
), slow AS MATERIALIZED (
    SELECT m.channel_key, m.player_id, m.last_sent_at FROM member m
    JOIN agreed a ON a.key = m.channel_key AND a.id = m.player_id AND a.slow
    WHERE (SELECT count(*) FROM locked) > 0 ORDER BY m.channel_key, m.player_id FOR UPDATE OF m
), ok AS MATERIALIZED (
    SELECT a.*, l.last_seq + row_number() OVER w AS seq, l.last_said + count(*) FILTER (WHERE a.own IS NULL) OVER w AS said,
        greatest(a.at, l.last_at) AS sent
    FROM agreed a JOIN locked l ON l.key = a.key
    WHERE NOT a.slow OR NOT a.member OR EXISTS (SELECT FROM slow s
        WHERE s.channel_key = a.key AND s.player_id = a.id AND s.last_sent_at IS NOT DISTINCT FROM a.here)
    WINDOW w AS (PARTITION BY a.key ORDER BY a.n ROWS UNBOUNDED PRECEDING)
), bumped AS (
    UPDATE channel SET last_seq = b.seq, last_said = b.said, last_at = coalesce(b.sent, last_at),
        oldest_at = coalesce(oldest_at, $4)
    FROM (SELECT key, max(seq) AS seq, max(said) AS said, max(sent) FILTER (WHERE own IS NULL) AS sent FROM ok GROUP BY key) b WHERE channel.key = b.key
), stored AS (
    INSERT INTO message (channel_key, seq, said, sender_id, sent_at, shown, original, wordlist, nonce, digest)
    SELECT key, seq, said, id, sent, head || seq || middle || sent || tail, original, wordlist, nonce, digest FROM ok
), hidden AS (
    INSERT INTO own_view (channel_key, seq, player_id, shown, why)
    SELECT key, seq, id, (own ->> 'head') || seq || (own ->> 'middle') || sent || (own ->> 'tail'), 'shadow'
    FROM ok WHERE own IS NOT NULL
), spoken AS (
    INSERT INTO spoken_in (player_id, channel_key, at)
    SELECT s.value ->> 0, (s.value ->> 1)::bigint, $4 FROM json_array_elements($5::json) AS s (value)
    WHERE EXISTS (SELECT FROM ok WHERE ok.id = s.value ->> 0 AND ok.key = (s.value ->> 1)::bigint) ORDER BY 1, 2
    ON CONFLICT (player_id, channel_key) DO UPDATE SET at = excluded.at WHERE spoken_in.at < excluded.at - 86400000
), marked AS (
    UPDATE member SET read_seq = greatest(member.read_seq, b.seq), read_said = greatest(member.read_said, b.said),
        last_sent_at = CASE WHEN b.slow THEN b.spoke ELSE member.last_sent_at END
    FROM (SELECT key, id, max(seq) AS seq, max(said) AS said, bool_or(slow) AS slow, max(spoke) AS spoke
          FROM ok WHERE member GROUP BY key, id) b
    WHERE member.channel_key = b.key AND member.player_id = b.id
), called AS (
    INSERT INTO mentioned_in (player_id, channel_key, seq)
    SELECT named.id, o.key, o.seq FROM ok o CROSS JOIN json_array_elements_text(o.mentions) AS named (id)
    ON CONFLICT DO NOTHING
), mentioned AS (
    INSERT INTO mention (player_id, channel_key, seq)
    SELECT m.player_id, o.key, o.seq FROM ok o
    CROSS JOIN json_array_elements_text(o.mentions) AS named (id)
    CROSS JOIN LATERAL (SELECT player_id FROM member
        WHERE channel_key = o.key AND player_id = named.id OFFSET 0) m
    WHERE named.id <> o.id
      AND NOT EXISTS (SELECT FROM block b WHERE b.player_id = named.id AND b.blocked_id = o.id)
    ON CONFLICT DO NOTHING
), queued AS (
    INSERT INTO outbox (id, task, key, payload, trace, created_at, since, not_before, stage)
    SELECT t.id, t.task, t.key, '{"seq":' || o.seq || t.tail, t.trace, $4, $4, $4, t.stage
    FROM json_to_recordset($3::json) AS t (n bigint, id text, task text, key text, tail text, trace text, stage text)
    JOIN ok o ON o.n = t.n ORDER BY o.seq
    RETURNING outbox.stage, outbox.n, outbox.id
), opened AS (
    INSERT INTO outbox_open (stage, n, id) SELECT stage, n, id FROM queued
)
SELECT n, seq, sent FROM ok
"#;
