//! A batch of sends in `SQLite`: one transaction that has the file's lock, so what was read holds until the commit.

use std::collections::HashMap;

use sqlx::{SqliteConnection, SqlitePool};

use super::decide::{self, Batch, Decision, Facts, Numbered, Outcome};
use super::draft::Pending;
use super::spoken::Spoken;
use crate::base::clock::Clock;
use crate::base::error::{Error, Result};
use crate::store::block::refused;
use crate::store::engine::sqlite;
use crate::store::moderation::in_force::covering;
use crate::store::{json, outbox, wordlist_hit};

pub(in crate::store) async fn commit(
    pool: &SqlitePool,
    clock: &Clock,
    spoken: &Spoken,
    drafts: &[Pending],
) -> Result<Vec<Result<Outcome>>> {
    let mut tx = sqlite::begin(pool).await?;
    let facts: Vec<Facts> =
        sqlx::query_as(FACTS).bind(decide::asked(drafts.iter())?).fetch_all(&mut *tx).await?;
    let mut batch = Batch::at(clock.now());
    let decisions: Vec<_> =
        drafts.iter().zip(&facts).map(|(draft, facts)| batch.decide(draft, facts, spoken)).collect();
    let written = number(&mut batch, &facts, &decisions);
    write(&mut tx, &batch, &written).await?;
    tx.commit().await?;
    spoken.note(&batch.spoken, batch.now);
    let lost = || Err(Error::internal("a row has no number"));
    let outcomes =
        decisions.into_iter().map(|decision| batch.outcome(decision?, &written).unwrap_or_else(lost));
    Ok(outcomes.collect())
}

/// Gives each row its channel's next numbers: all of them are known, as nobody else writes.
fn number(batch: &mut Batch<'_>, facts: &[Facts], decisions: &[Result<Decision>]) -> Vec<Option<Numbered>> {
    let mut counters: HashMap<i64, (i64, i64, i64)> = HashMap::new();
    for (facts, decision) in facts.iter().zip(decisions) {
        let Ok(Decision::Store(n)) = decision else { continue };
        let row = &mut batch.rows[*n];
        let stored = [facts.last_seq, facts.last_said, facts.last_at].map(Option::unwrap_or_default);
        let counter = counters.entry(row.key).or_insert(stored.into());
        // What nobody sees counts as nothing said, and moves the channel in nobody's inbox.
        let seen = i64::from(row.own.is_none());
        row.at = row.at.max(counter.2);
        *counter = (counter.0 + 1, counter.1 + seen, if seen == 1 { row.at } else { counter.2 });
        (row.seq, row.said) = (counter.0, counter.1);
    }
    batch.rows.iter().map(|row| Some(Numbered { seq: row.seq, at: row.at })).collect()
}

async fn write(tx: &mut SqliteConnection, batch: &Batch<'_>, written: &[Option<Numbered>]) -> Result<()> {
    if batch.rows.is_empty() {
        return Ok(());
    }
    let rows = json(&batch.rows)?;
    execute(tx, INSERT_MESSAGES, &rows).await?;
    execute(tx, UPDATE_CHANNELS, &rows).await?;
    execute(tx, UPDATE_MEMBERS, &rows).await?;
    if batch.rows.iter().any(|row| row.own.is_some()) {
        execute(tx, INSERT_OWN_VIEWS, &rows).await?;
    }
    if !batch.spoken.is_empty() {
        execute(tx, INSERT_SPOKEN, &json(&batch.spoken)?).await?;
    }
    let paces = batch.paces()?;
    if !paces.is_empty() {
        execute(tx, UPSERT_PACE, &json(&paces)?).await?;
    }
    if rows.contains("\"mentions\":[\"") {
        execute(tx, INSERT_MENTIONS, &rows).await?;
    }
    if !batch.hits.is_empty() {
        sqlx::query(wordlist_hit::ADD_SQLITE)
            .bind(json(&batch.hits)?)
            .bind(batch.now)
            .execute(&mut *tx)
            .await?;
    }
    if !batch.tasks.is_empty() {
        let tasks: Vec<_> = batch.tasks.iter().map(|task| task.numbered(written)).collect();
        execute(tx, outbox::INSERT_SQLITE, &json(&tasks)?).await?;
    }
    Ok(())
}

async fn execute(tx: &mut SqliteConnection, statement: &'static str, rows: &str) -> Result<()> {
    sqlx::query(statement).bind(rows).execute(tx).await?;
    Ok(())
}

const FACTS: &str = concat!("SELECT c.key, c.open, c.min_level, c.slow_mode_s, c.read_only, c.last_seq, c.last_said, c.last_at, NULL AS now,
            m.player_id IS NOT NULL AS member, m.last_sent_at, p.recent, 0 AS pace_version,
            e.seq AS earlier_seq, e.digest AS earlier_digest, ",
    covering!("nullif(json_group_array(json_array(s.kind, s.place, s.until, s.reason)), '[]')", "j.value ->> 1"),
    ", ", refused!("(j.value ->> 1)"),
    "
     FROM json_each($1) j
     LEFT JOIN channel c ON c.id = j.value ->> 0
     LEFT JOIN member m ON m.channel_key = c.key AND m.player_id = j.value ->> 1
     LEFT JOIN pace p ON p.player_id = j.value ->> 1
     LEFT JOIN message e ON e.channel_key = c.key AND e.sender_id = j.value ->> 1 AND e.nonce = j.value ->> 2
     ORDER BY j.key");

// `OR FAIL`: a statement that fails ends the transaction anyway, so SQLite need not copy every page aside to be able
// to take back one statement alone.
const INSERT_MESSAGES: &str =
    "INSERT OR FAIL INTO message (channel_key, seq, said, sender_id, sent_at, shown, original,
            wordlist, nonce, digest)
     SELECT value ->> 'key', value ->> 'seq', value ->> 'said', value ->> 'id', value ->> 'at',
            value ->> 'head' || (value ->> 'seq') || (value ->> 'middle') || (value ->> 'at') || (value ->> 'tail'),
            value ->> 'original', value ->> 'wordlist', value ->> 'nonce', value ->> 'digest'
     FROM json_each($1)";

const UPDATE_CHANNELS: &str =
    "UPDATE OR FAIL channel SET last_seq = j.seq, last_said = j.said, last_at = max(last_at, j.at)
     FROM (SELECT value ->> 'key' AS key, max(value ->> 'seq') AS seq, max(value ->> 'said') AS said,
                  max(CASE WHEN value ->> 'own' IS NULL THEN value ->> 'at' ELSE 0 END) AS at
           FROM json_each($1) GROUP BY 1) j WHERE channel.key = j.key";

/// What only its sender sees.
const INSERT_OWN_VIEWS: &str = "INSERT INTO own_view (channel_key, seq, player_id, shown, why)
     SELECT value ->> 'key', value ->> 'seq', value ->> 'id',
            (value -> 'own' ->> 'head') || (value ->> 'seq') || (value -> 'own' ->> 'middle') || (value ->> 'at')
            || (value -> 'own' ->> 'tail'), 'shadow'
     FROM json_each($1) WHERE value ->> 'own' IS NOT NULL";

const INSERT_SPOKEN: &str = "INSERT INTO spoken_in (player_id, channel_key)
     SELECT value ->> 0, value ->> 1 FROM json_each($1) WHERE TRUE ON CONFLICT DO NOTHING";

/// Who speaks has read up to there.
const UPDATE_MEMBERS: &str =
    "UPDATE OR FAIL member SET read_seq = max(read_seq, j.seq), read_said = max(read_said, j.said),
            last_sent_at = CASE WHEN j.slow THEN j.spoke ELSE last_sent_at END
     FROM (SELECT value ->> 'key' AS key, value ->> 'id' AS id, max(value ->> 'seq') AS seq,
                  max(value ->> 'said') AS said, max(value ->> 'slow') AS slow, max(value ->> 'spoke') AS spoke
           FROM json_each($1) WHERE value ->> 'member' GROUP BY 1, 2) j
     WHERE member.channel_key = j.key AND member.player_id = j.id";

const UPSERT_PACE: &str =
    "INSERT INTO pace (player_id, recent) SELECT value ->> 0, value ->> 1 FROM json_each($1) WHERE TRUE
     ON CONFLICT (player_id) DO UPDATE SET recent = excluded.recent";

/// Only members have an inbox, and nobody mentions themselves.
const INSERT_MENTIONS: &str = "INSERT INTO mention (player_id, channel_key, seq)
     SELECT member.player_id, j.value ->> 'key', j.value ->> 'seq'
     FROM json_each($1) j, json_each(j.value ->> 'mentions') n
     JOIN member ON member.channel_key = j.value ->> 'key' AND member.player_id = n.value
     WHERE n.value <> j.value ->> 'id'
       AND NOT EXISTS (SELECT 1 FROM block b WHERE b.player_id = n.value AND b.blocked_id = j.value ->> 'id')
     ON CONFLICT DO NOTHING";
