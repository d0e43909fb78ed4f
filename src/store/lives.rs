//! Every table's life, and what goes through all of them: the sweeps, what a player may have, and how a player is forgotten.

use serde_json::Value;

use super::engine::sql::values;
use super::life::{Erased, Exported, Kept, Life, ROWS, Sweep};
use super::{
    Db, announcement, audit, block, channel, create, device, member, message, moderation, online, outbox,
    payment, process, push_due, rank, retention, right_change, schedule, sends, spoken, task_progress,
    ticket, wordlist_hit,
};
use crate::base::error::Result;
use crate::chat::values::PlayerId;

/// Every table. Players are forgotten in this order: what is found by another table's rows comes before those.
pub const LIVES: &[&Life] = &[
    &channel::LIFE,
    &member::LIFE,
    &message::LIFE,
    &message::MENTION,
    &message::MENTIONED_IN,
    &message::OWN_VIEW,
    &message::PURGE_ENTRY,
    &sends::PACE,
    &spoken::LIFE,
    &online::LIFE,
    &process::LIFE,
    &right_change::LIFE,
    &block::VERSION,
    &block::LIFE,
    &create::DIRECT_OPENED,
    &moderation::refusal::LIFE,
    &rank::LIFE,
    &device::LIFE,
    &device::PREFERENCE,
    &push_due::LIFE,
    &ticket::LIFE,
    &payment::LIFE,
    &moderation::sanction::LIFE,
    &moderation::appeal::LIFE,
    &moderation::report::LIFE,
    &moderation::case::LIFE,
    &audit::life::TEXT,
    &audit::life::ALIAS,
    &audit::life::LIFE,
    &audit::life::SEAL,
    &audit::life::OPEN,
    &outbox::LIFE,
    &outbox::OPEN,
    &outbox::KEY,
    &outbox::DEAD,
    &outbox::DONE,
    &task_progress::LIFE,
    &schedule::LIFE,
    &schedule::OCCURRENCE,
    &announcement::LIFE,
    &announcement::ANNOUNCED,
    &wordlist_hit::LIFE,
    &retention::LIFE,
    &super::PULSE_LIFE,
];

/// The sweeps, with the tables that they are of.
pub fn sweeps() -> impl Iterator<Item = (&'static str, Sweep)> {
    LIVES.iter().filter_map(|life| match life.kept {
        Kept::Swept(_, sweep) => Some((life.table, sweep)),
        Kept::Until(_) => None,
    })
}

/// A player's rows of all tables, as JSON with their names.
///
/// # Errors
/// The database's.
pub async fn exported(db: &Db, player: &PlayerId) -> Result<Vec<(&'static str, Value)>> {
    let mut all = Vec::new();
    for life in LIVES {
        if let Exported::Rows(name, rows) = life.exported {
            all.extend(rows(db, player.as_str()).await?.into_iter().map(|row| (name, row)));
        }
    }
    Ok(all)
}

/// Forgets or renames a player in every table, but for what has steps of its own.
///
/// # Errors
/// The database's.
pub async fn erase(db: &Db, player: &PlayerId, pseudonym: &str) -> Result<()> {
    let player = player.as_str();
    for erased in LIVES.iter().flat_map(|life| life.erased) {
        match erased {
            Erased::By(statement) => drop(db.execute(*statement, values![player]).await?),
            Erased::Some(statement) => while db.execute(*statement, values![player, ROWS]).await? > 0 {},
            Erased::Renamed(statement) => {
                while db.execute(*statement, values![player, pseudonym, ROWS]).await? > 0 {}
            }
            Erased::Steps(step) => while step(db, player).await? > 0 {},
            Erased::Apart(_) => {}
        }
    }
    Ok(())
}
