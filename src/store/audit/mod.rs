//! The audit: who did what to whom, when, why and under which request, in rows that are only ever added.
//!
//! A row is written in the transaction of what it tells of. The chain is made behind that: each seal's hash covers the
//! row and the seal before, so whoever changes, removes or inserts a row later breaks it. People stand in rows under an
//! alias, and free text under its digest; both can be forgotten while the chain stays whole.

pub(in crate::store) mod life;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use sqlx::FromRow;

use crate::base::clock::Millis;
use crate::base::error::{Error, Result};
use crate::base::{random, trace};
use crate::chat::identity::Identity;
use crate::store::Db;
use crate::store::engine::sql::{Tx, values};

/// Something that was done.
pub(in crate::store) struct Entry<'a> {
    /// `sanction.give`, …
    pub(in crate::store) action: &'static str,
    /// To whom, where it was somebody.
    pub(in crate::store) player: Option<&'a str>,
    /// What, for programs; no free text.
    pub(in crate::store) detail: Value,
    /// Why, in somebody's words.
    pub(in crate::store) text: Option<&'a str>,
}

/// Writes a row.
pub(in crate::store) async fn add(tx: &mut Tx, by: &Identity, entry: &Entry<'_>, now: Millis) -> Result<()> {
    let key = by.key();
    // Two who write at once make aliases in one order, so that none waits for the other.
    let mut named = [Some(&*key), entry.player];
    named.sort_unstable();
    for player in named.into_iter().flatten() {
        let make = "INSERT INTO audit_alias (player_id, alias) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        tx.execute(make, values![player, &random::hex::<8>()]).await?;
    }
    let by_alias = alias(tx, &key).await?;
    let player = match entry.player {
        Some(player) => Some(alias(tx, player).await?),
        None => None,
    };
    let text = entry.text.map(|text| random::to_hex(&Sha256::digest(text)));
    if let Some((digest, text)) = text.as_deref().zip(entry.text) {
        let keep = "INSERT INTO audit_text (digest, text) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        tx.execute(keep, values![digest, text]).await?;
    }
    tx.execute(
        "INSERT INTO audit (at, by_alias, scope, action, alias, detail, text, request_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        values![
            now,
            &by_alias,
            by.scope.as_str(),
            entry.action,
            player.as_deref(),
            &entry.detail.to_string(),
            text.as_deref(),
            trace::current().as_deref()
        ],
    )
    .await?;
    Ok(())
}

/// The name under which somebody stands in the audit.
async fn alias(tx: &mut Tx, player: &str) -> sqlx::Result<String> {
    let (alias,) = tx.one("SELECT alias FROM audit_alias WHERE player_id = $1", values![player]).await?;
    Ok(alias)
}

/// A row as it is sealed: everything that it holds.
#[derive(FromRow)]
struct Row {
    n: i64,
    at: Millis,
    by_alias: String,
    scope: String,
    action: String,
    alias: Option<String>,
    detail: String,
    text: Option<String>,
    request_id: Option<String>,
}

impl Row {
    fn hash(&self, before: &str) -> String {
        let mut hash = Sha256::new();
        let (n, at) = (self.n.to_string(), self.at.to_string());
        let parts = [
            Some(before),
            Some(&n),
            Some(&at),
            Some(&self.by_alias),
            Some(&self.scope),
            Some(&self.action),
            self.alias.as_deref(),
            Some(&self.detail),
            self.text.as_deref(),
            self.request_id.as_deref(),
        ];
        for part in parts {
            // A part's length keeps two neighbours apart, and -1 is none.
            let length = part.map_or(-1, |part| part.len() as i64);
            hash.update(length.to_le_bytes());
            hash.update(part.unwrap_or_default());
        }
        random::to_hex(&hash.finalize())
    }
}

/// Rows that are sealed in one transaction.
const BATCH: i64 = 500;

/// Seals what was written since; of several at once, each seals what the others left.
///
/// # Errors
/// The database's.
pub async fn seal(db: &Db) -> Result<()> {
    while seal_some(db).await? == BATCH as usize {}
    Ok(())
}

/// Seals behind a commit. What was done is done: where this fails now, the next one makes it good.
pub(in crate::store) async fn seal_behind(db: &Db) {
    if let Err(error) = seal(db).await {
        tracing::warn!(error = error.for_log(), "the audit can't be sealed now");
    }
}

async fn seal_some(db: &Db) -> sqlx::Result<usize> {
    let mut tx = db.begin().await?;
    tx.lock_name("audit_seal").await?;
    let open: Vec<(i64,)> = tx.all("SELECT n FROM audit_open ORDER BY n LIMIT $1", values![BATCH]).await?;
    let head = "SELECT place, hash FROM audit_seal ORDER BY place DESC LIMIT 1";
    let (mut place, mut hash) = tx.optional::<(i64, String)>(head, values![]).await?.unwrap_or_default();
    for (n,) in &open {
        // A server of the version before seals rows and leaves them open.
        if let Some(row) = tx.optional::<Row>(UNSEALED, values![*n]).await? {
            (place, hash) = (place + 1, row.hash(&hash));
            let put = "INSERT INTO audit_seal (place, n, hash) VALUES ($1, $2, $3)";
            tx.execute(put, values![place, *n, &hash]).await?;
        }
        tx.execute("DELETE FROM audit_open WHERE n = $1", values![*n]).await?;
    }
    tx.commit().await?;
    Ok(open.len())
}

const UNSEALED: &str = "SELECT n, at, by_alias, scope, action, alias, detail, text, request_id FROM audit
     WHERE n = $1 AND NOT EXISTS (SELECT 1 FROM audit_seal s WHERE s.n = $1)";

/// A row of the audit, as it is shown.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditEntry")]
pub struct Shown {
    /// Its number; later ones are higher, and some may be missing.
    pub n: i64,
    /// When: milliseconds since 1970-01-01 UTC.
    pub at: Millis,
    /// Who did it; their alias once they were erased.
    pub by: String,
    /// As what: `player`, `moderator` or `server`.
    pub scope: String,
    /// What: `sanction.give`, …
    pub action: String,
    /// To whom.
    pub player: Option<String>,
    /// What exactly; its fields depend on the action.
    #[schemars(with = "serde_json::Map<String, Value>")]
    pub detail: Box<RawValue>,
    /// Why, in somebody's words; none once that was forgotten.
    pub text: Option<String>,
    /// Finds the request in the logs.
    pub request_id: Option<String>,
    /// The chain's hash up to here; none for a moment after it was written.
    pub hash: Option<String>,
}

/// Which rows to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// About this player.
    pub player: Option<&'a str>,
    /// By somebody: their key.
    pub by: Option<&'a str>,
    /// What was done.
    pub action: Option<&'a str>,
    /// Rows behind this number.
    pub after: i64,
    /// So many.
    pub limit: i64,
}

#[derive(FromRow)]
struct Found {
    #[sqlx(flatten)]
    row: Row,
    by: Option<String>,
    player: Option<String>,
    said: Option<String>,
    hash: Option<String>,
}

macro_rules! select_found {
    ($rest:literal) => {
        concat!(
            "SELECT a.n, a.at, a.by_alias, a.scope, a.action, a.alias, a.detail, a.text, a.request_id, ",
            "b.player_id AS by, p.player_id AS player, t.text AS said, s.hash ",
            "FROM audit a LEFT JOIN audit_seal s ON s.n = a.n LEFT JOIN audit_alias b ON b.alias = a.by_alias ",
            "LEFT JOIN audit_alias p ON p.alias = a.alias LEFT JOIN audit_text t ON t.digest = a.text ",
            $rest
        )
    };
}

/// Rows, in the order in which they were written.
///
/// # Errors
/// The database's.
pub async fn list(db: &Db, wanted: Wanted<'_>) -> Result<Vec<Shown>> {
    let Wanted { player, by, action, after, limit } = wanted;
    let sql = match (player, by, action) {
        (Some(_), ..) => select_found!(
            "WHERE a.alias = (SELECT alias FROM audit_alias WHERE player_id = $1)
             AND ($2 IS NULL OR a.by_alias = (SELECT alias FROM audit_alias WHERE player_id = $2))
             AND ($3 IS NULL OR a.action = $3) AND a.n > $4 ORDER BY a.n LIMIT $5"
        ),
        (None, Some(_), None) => select_found!(
            "WHERE $1 IS NULL AND a.by_alias = (SELECT alias FROM audit_alias WHERE player_id = $2)
             AND $3 IS NULL AND a.n > $4 ORDER BY a.n LIMIT $5"
        ),
        (None, Some(_), Some(_)) => select_found!(
            "WHERE $1 IS NULL AND a.by_alias = (SELECT alias FROM audit_alias WHERE player_id = $2)
             AND a.action = $3 AND a.n > $4 ORDER BY a.n LIMIT $5"
        ),
        (None, None, Some(_)) => {
            select_found!(
                "WHERE $1 IS NULL AND $2 IS NULL AND a.action = $3 AND a.n > $4 ORDER BY a.n LIMIT $5"
            )
        }
        (None, None, None) => {
            select_found!("WHERE $1 IS NULL AND $2 IS NULL AND $3 IS NULL AND a.n > $4 ORDER BY a.n LIMIT $5")
        }
    };
    let found: Vec<Found> = db.all(sql, values![player, by, action, after, limit]).await?;
    found.into_iter().map(shown).collect()
}

/// The newest rows, of one player or of all, in the order in which they were written.
///
/// # Errors
/// The database's.
pub async fn newest(db: &Db, player: Option<&str>, limit: i64) -> Result<Vec<Shown>> {
    let sql = match player {
        Some(_) => select_found!(
            "WHERE a.alias = (SELECT alias FROM audit_alias WHERE player_id = $1) ORDER BY a.n DESC LIMIT $2"
        ),
        None => select_found!("WHERE $1 IS NULL ORDER BY a.n DESC LIMIT $2"),
    };
    let found: Vec<Found> = db.all(sql, values![player, limit]).await?;
    found.into_iter().rev().map(shown).collect()
}

fn shown(found: Found) -> Result<Shown> {
    let Found { row, by, player, said, hash } = found;
    Ok(Shown {
        n: row.n,
        at: row.at,
        by: by.unwrap_or(row.by_alias),
        scope: row.scope,
        action: row.action,
        player: player.or(row.alias),
        detail: RawValue::from_string(row.detail).map_err(Error::internal)?,
        text: said,
        request_id: row.request_id,
        hash,
    })
}

/// What a look at the whole chain found.
#[derive(Debug, Default)]
pub struct Verified {
    /// Rows whose seals hold.
    pub sealed: i64,
    /// Rows that are not sealed yet.
    pub open: i64,
    /// The last seal's hash.
    pub head: String,
    /// The first row that is not as it was sealed, and how.
    pub fault: Option<String>,
}

/// A seal, and the row that it covers, with the free text that it names.
#[derive(FromRow)]
struct Sealed {
    place: i64,
    sealed_n: i64,
    hash: String,
    said: Option<String>,
    n: Option<i64>,
    at: Option<Millis>,
    by_alias: Option<String>,
    scope: Option<String>,
    action: Option<String>,
    alias: Option<String>,
    detail: Option<String>,
    text: Option<String>,
    request_id: Option<String>,
}

impl Sealed {
    fn row(&self) -> Option<Row> {
        Some(Row {
            n: self.n?,
            at: self.at?,
            by_alias: self.by_alias.clone()?,
            scope: self.scope.clone()?,
            action: self.action.clone()?,
            alias: self.alias.clone(),
            detail: self.detail.clone()?,
            text: self.text.clone(),
            request_id: self.request_id.clone(),
        })
    }

    /// What is wrong with it behind a seal.
    fn fault(&self, place: i64, before: &str) -> Option<String> {
        let Self { sealed_n, .. } = self;
        if self.place != place {
            return Some(format!("seal {place} is missing"));
        }
        let Some(row) = self.row() else { return Some(format!("row {sealed_n} is missing")) };
        if row.hash(before) != self.hash {
            return Some(format!("row {sealed_n} is not as it was sealed"));
        }
        let digest = self.said.as_ref().map(|said| random::to_hex(&Sha256::digest(said)));
        (digest.is_some() && digest != row.text).then(|| format!("row {sealed_n}: its text was changed"))
    }
}

/// Looks at every seal, from the first on.
///
/// # Errors
/// The database's.
pub async fn verify(db: &Db) -> Result<Verified> {
    let mut found = Verified::default();
    loop {
        let seals: Vec<Sealed> = db
            .all(
                "SELECT s.place, s.n AS sealed_n, s.hash, t.text AS said, a.n, a.at, a.by_alias, a.scope, a.action, a.alias,
                        a.detail, a.text, a.request_id
                 FROM audit_seal s LEFT JOIN audit a ON a.n = s.n LEFT JOIN audit_text t ON t.digest = a.text
                 WHERE s.place > $1 ORDER BY s.place LIMIT $2",
                values![found.sealed, BATCH],
            )
            .await?;
        if seals.is_empty() {
            break;
        }
        for seal in seals {
            found.fault = seal.fault(found.sealed + 1, &found.head);
            if found.fault.is_some() {
                return Ok(found);
            }
            (found.sealed, found.head) = (seal.place, seal.hash);
        }
    }
    let open = "SELECT count(*) - count(s.n), count(*), coalesce(max(a.n), 0)
        FROM (SELECT n FROM audit WHERE n > $1 ORDER BY n LIMIT $2) a LEFT JOIN audit_seal s ON s.n = a.n";
    let mut after = 0;
    loop {
        let step: Option<(i64, i64, i64)> = db.optional(open, values![after, BATCH]).await?;
        let (unsealed, looked_at, last) = step.unwrap_or_default();
        found.open += unsealed;
        if looked_at < BATCH {
            return Ok(found);
        }
        after = last;
    }
}
