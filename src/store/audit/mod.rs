//! The audit: who did what to whom, when, why and under which request, in rows that are only ever added.
//!
//! A row is written in the transaction of what it tells of. The chain is made behind that: each seal's hash covers the
//! row and the seal before, so whoever changes, removes or inserts a row later breaks it. People stand in rows under an
//! alias, and free text under its digest; both can be forgotten while the chain stays whole.

pub(in crate::store) mod life;
mod list;

pub use list::{AuditFilter, AuditRow, list, newest};

use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::FromRow;

use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::base::{random, trace};
use crate::chat::identity::Identity;
use crate::store::Db;
use crate::store::engine::DbResult;
use crate::store::engine::sql::{Tx, values};

/// Something that was done.
pub(in crate::store) struct AuditEntry<'a> {
    /// `sanction.give`, …
    pub(in crate::store) action: &'static str,
    /// To whom, where it was somebody.
    pub(in crate::store) player: Option<&'a str>,
    /// Details for programs; no free text.
    pub(in crate::store) detail: Value,
    /// Reason, in a person's words.
    pub(in crate::store) text: Option<&'a str>,
}

/// Writes a row.
pub(in crate::store) async fn add(
    tx: &mut Tx,
    by: &Identity,
    entry: &AuditEntry<'_>,
    now: Millis,
) -> Result<()> {
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
async fn alias(tx: &mut Tx, player: &str) -> DbResult<String> {
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

async fn seal_some(db: &Db) -> DbResult<usize> {
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

/// Result of a check of the whole chain.
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

    /// Returns the fault of this seal or its row, if there is one; `before` is the hash of the seal before.
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
