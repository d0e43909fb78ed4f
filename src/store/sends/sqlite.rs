//! A batch of sends in `SQLite`: one transaction that has the file's lock, so what was read holds until the commit.

use std::collections::{BTreeSet, HashMap};

use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqliteConnection, SqlitePool};

use super::decide::{Batch, Decision, MessageRow, Outcome};
use super::draft::Pending;
use super::facts::Facts;
use super::rows::{ForRows, for_rows, four};
use crate::base::clock::Clock;
use crate::base::error::{Error, Result};
use crate::store::block::refused;
use crate::store::engine::sqlite;
use crate::store::engine::{DbFault, DbResult};
use crate::store::message::Numbered;
use crate::store::rights::covering;
use crate::store::spoken::Spoken;
use crate::store::{json, outbox};

pub(in crate::store) async fn commit(
    pool: &SqlitePool,
    clock: &Clock,
    spoken: &Spoken,
    drafts: &[Pending],
) -> Result<Vec<Result<Outcome>>> {
    let mut tx = sqlite::begin(pool).await.map_err(DbFault::from)?;
    let facts = facts(&mut tx, drafts).await?;
    let mut batch = Batch::at(clock.now());
    let decisions: Vec<_> =
        drafts.iter().zip(&facts).map(|(draft, facts)| batch.decide(draft, facts, spoken)).collect();
    let counters = number(&mut batch, &facts, &decisions);
    let given = |row: &MessageRow<'_>| Some(Numbered { seq: row.seq, at: row.at });
    let written: Vec<_> = batch.rows.iter().map(given).collect();
    write(&mut tx, &batch, &counters, &written).await?;
    let empty: BTreeSet<i64> =
        facts.iter().filter(|facts| facts.empty).filter_map(|facts| facts.key).collect();
    for key in empty.intersection(&counters.keys().copied().collect()) {
        sqlx::query(BEGIN_HISTORY)
            .bind(key)
            .bind(batch.now)
            .execute(&mut *tx)
            .await
            .map_err(DbFault::from)?;
    }
    tx.commit().await.map_err(DbFault::from)?;
    spoken.note(&batch.spoken, batch.now);
    let lost = || Err(Error::internal("a row has no number"));
    let outcomes =
        decisions.into_iter().map(|decision| batch.outcome(decision?, &written).unwrap_or_else(lost));
    Ok(outcomes.collect())
}

/// A channel's counters behind the batch: number, things said, when something last happened.
type Counters = HashMap<i64, (i64, i64, i64)>;

/// Gives each row its channel's next numbers: all of them are known, as nobody else writes.
fn number(batch: &mut Batch<'_>, facts: &[Facts], decisions: &[Result<Decision>]) -> Counters {
    let mut counters = Counters::new();
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
    counters
}

/// Returns the facts about the drafts, in their order.
async fn facts(tx: &mut SqliteConnection, drafts: &[Pending]) -> DbResult<Vec<Facts>> {
    let (text, _) = FACTS.taking(drafts.len());
    let mut query = sqlx::query_as(text);
    for (draft, n) in drafts.iter().zip(0_i64..) {
        let channel = draft.draft.said.channel.as_str();
        query = query.bind(n).bind(channel).bind(&draft.sender_key).bind(draft.nonce());
    }
    Ok(query.fetch_all(tx).await?)
}

/// Messages, channels and members in one go: three statements that each take a list of up to as many rows. What is not
/// bound is null, so only the last list need not be filled up.
async fn write_rows(tx: &mut SqliteConnection, batch: &Batch<'_>, counters: &Counters) -> DbResult<()> {
    let (text, room) = WRITE.taking(batch.rows.len());
    let mut query = sqlx::query(text);
    for row in &batch.rows {
        let shown = row.shown.with(Numbered { seq: row.seq, at: row.at });
        query = query.bind(row.key).bind(row.seq).bind(row.said).bind(row.id).bind(row.at).bind(shown);
        query = query.bind(&row.original).bind(row.wordlist).bind(row.nonce).bind(&row.digest);
    }
    query = leave_empty(query, (room - batch.rows.len()) * 10);
    for (key, (seq, said, at)) in counters {
        query = query.bind(key).bind(seq).bind(said).bind(at);
    }
    query = leave_empty(query, (room - counters.len()) * 4);
    let members = batch.marks().into_iter().filter(|(_, _, n)| batch.rows[*n].member);
    for (key, id, n) in members {
        let row = &batch.rows[n];
        let spoke = row.slow.then_some(batch.now);
        query = query.bind(key).bind(id).bind(row.seq).bind(row.said).bind(spoke);
    }
    query.execute(tx).await?;
    Ok(())
}

type Writing<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

fn leave_empty(query: Writing<'_>, values: usize) -> Writing<'_> {
    (0..values).fold(query, |query, _| query.bind(None::<i64>))
}

async fn write(
    tx: &mut SqliteConnection,
    batch: &Batch<'_>,
    counters: &Counters,
    written: &[Option<Numbered>],
) -> Result<()> {
    if batch.rows.is_empty() {
        return Ok(());
    }
    write_rows(tx, batch, counters).await?;
    let hidden: Vec<_> = batch.rows.iter().filter(|row| row.own.is_some()).collect();
    if !hidden.is_empty() {
        execute(tx, INSERT_OWN_VIEWS, &json(&hidden)?).await?;
    }
    let calling: Vec<_> = batch.rows.iter().filter(|row| !row.mentions.is_empty()).collect();
    if !calling.is_empty() {
        let calling = json(&calling)?;
        execute(tx, INSERT_MENTIONED, &calling).await?;
        execute(tx, INSERT_MENTIONS, &calling).await?;
    }
    if !batch.spoken.is_empty() {
        let spoken = json(&batch.spoken)?;
        sqlx::query(INSERT_SPOKEN)
            .bind(spoken)
            .bind(batch.now)
            .execute(&mut *tx)
            .await
            .map_err(DbFault::from)?;
    }
    let paces = batch.paces()?;
    if !paces.is_empty() {
        execute(tx, UPSERT_PACE, &json(&paces)?).await?;
    }
    if !batch.tasks.is_empty() {
        let tasks: Vec<_> = batch.tasks.iter().map(|task| task.numbered(written)).collect();
        let tasks = json(&tasks)?;
        for statement in outbox::INSERT_SQLITE {
            execute(tx, statement, &tasks).await?;
        }
    }
    Ok(())
}

async fn execute(tx: &mut SqliteConnection, statement: &'static str, rows: &str) -> DbResult<()> {
    sqlx::query(statement).bind(rows).execute(tx).await?;
    Ok(())
}

for_rows!(
    FACTS:
    concat!("SELECT c.key, c.kind, c.open, c.min_level, c.slow_mode_s, c.read_only, c.last_seq, c.last_said, c.last_at,
            c.key IS NOT NULL AND c.oldest_at IS NULL AS empty, NULL AS now,
            m.player_id IS NOT NULL AS member, m.last_sent_at, p.recent, 0 AS pace_version,
            e.seq AS earlier_seq, e.digest AS earlier_digest, ",
        covering!("nullif(json_group_array(json_array(s.kind, s.place, s.until, s.reason)), '[]')", "j.column3"),
        ", ", refused!("j.column3"),
        " FROM (VALUES "
    ),
    "(?, ?, ?, ?)" => ") j
     LEFT JOIN channel c ON c.id = j.column2
     LEFT JOIN member m ON m.channel_key = c.key AND m.player_id = j.column3
     LEFT JOIN pace p ON p.player_id = j.column3
     LEFT JOIN message e ON e.channel_key = c.key AND e.sender_id = j.column3 AND e.nonce = j.column4
     WHERE j.column1 IS NOT NULL ORDER BY j.column1"
);

// `OR FAIL`: a statement that fails ends the transaction anyway, so SQLite need not copy every page aside to be able
// to take back one statement alone. Who speaks has read up to there.
for_rows!(
    WRITE:
    "INSERT OR FAIL INTO message (channel_key, seq, said, sender_id, sent_at, shown, original, wordlist, nonce, digest)
     SELECT * FROM (VALUES ",
    "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)" => ") j WHERE column1 IS NOT NULL;
     UPDATE OR FAIL channel SET last_seq = j.column2, last_said = j.column3, last_at = j.column4
     FROM (VALUES ",
    "(?, ?, ?, ?)" => ") j WHERE channel.key = j.column1;
     UPDATE OR FAIL member SET read_seq = max(read_seq, j.column3), read_said = max(read_said, j.column4),
            last_sent_at = coalesce(j.column5, last_sent_at)
     FROM (VALUES ",
    "(?, ?, ?, ?, ?)" => ") j WHERE member.channel_key = j.column1 AND member.player_id = j.column2"
);

/// The first message of all, or the first since the others became too old.
const BEGIN_HISTORY: &str =
    "UPDATE channel SET oldest_at = min($2, CASE last_at WHEN 0 THEN $2 ELSE last_at END) WHERE key = $1";

/// Statement that stores views which only the sender sees.
const INSERT_OWN_VIEWS: &str = "INSERT INTO own_view (channel_key, seq, player_id, shown, why)
     SELECT value ->> 'key', value ->> 'seq', value ->> 'id',
            (value -> 'own' ->> 'head') || (value ->> 'seq') || (value -> 'own' ->> 'middle') || (value ->> 'at')
            || (value -> 'own' ->> 'tail'), 'shadow'
     FROM json_each($1)";

const INSERT_SPOKEN: &str = "INSERT INTO spoken_in (player_id, channel_key, at)
     SELECT value ->> 0, value ->> 1, $2 FROM json_each($1) WHERE TRUE
     ON CONFLICT (player_id, channel_key) DO UPDATE SET at = excluded.at WHERE at < excluded.at - 86400000";

const UPSERT_PACE: &str =
    "INSERT INTO pace (player_id, recent) SELECT value ->> 0, value ->> 1 FROM json_each($1) WHERE TRUE
     ON CONFLICT (player_id) DO UPDATE SET recent = excluded.recent";

const INSERT_MENTIONED: &str = "INSERT INTO mentioned_in (player_id, channel_key, seq)
     SELECT n.value, j.value ->> 'key', j.value ->> 'seq'
     FROM json_each($1) j CROSS JOIN json_each(j.value ->> 'mentions') n WHERE TRUE ON CONFLICT DO NOTHING";

/// Only members have an inbox, and nobody mentions themselves.
// CROSS JOIN: in this order, so that each name is looked up; else a channel's members would be gone through for each.
const INSERT_MENTIONS: &str = "INSERT INTO mention (player_id, channel_key, seq)
     SELECT member.player_id, j.value ->> 'key', j.value ->> 'seq'
     FROM json_each($1) j CROSS JOIN json_each(j.value ->> 'mentions') n
     CROSS JOIN member ON member.channel_key = j.value ->> 'key' AND member.player_id = n.value
     WHERE n.value <> j.value ->> 'id'
       AND NOT EXISTS (SELECT 1 FROM block b WHERE b.player_id = n.value AND b.blocked_id = j.value ->> 'id')
     ON CONFLICT DO NOTHING";

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever a batch's length, its rows are gone through, and all else is looked up.
    #[tokio::test]
    async fn no_statement_reads_a_table_through() {
        let batch = |step: &&String| {
            ["CONSTANT ROW", "SCAN j", "SCAN other"].iter().any(|rows| step.ends_with(rows))
                || step.ends_with("VALUES CLAUSE")
        };
        for statement in FACTS.0.into_iter().chain(WRITE.0).flat_map(|all| all.split(';')) {
            let plan = sqlite::plan(statement).await;
            let read = plan.iter().filter(|step| step.starts_with("SCAN") || step.contains("AUTOMATIC"));
            let through: Vec<&String> = read.filter(|step| !batch(step)).collect();
            assert!(through.is_empty(), "{through:?} of {plan:?}: {statement}");
        }
    }
}
