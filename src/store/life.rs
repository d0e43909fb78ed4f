//! A table's life in one place: how long its rows are kept, what leaves with a player who asks what is kept about them, and what
//! becomes of them when a player is forgotten. Each table's file says its own as `LIFE`; `lives` has them all.

use futures_util::future::BoxFuture;
use serde_json::Value;

use super::Db;
use crate::base::clock::Millis;
use crate::base::error::Result;
use crate::config::Config;

/// Retention, export and erasure rules of one table's rows.
pub struct Life {
    /// The table.
    pub table: &'static str,
    /// Retention of the rows.
    pub kept: Kept,
    /// Rows that a player gets with an export.
    pub exported: Exported,
    /// Steps that erase a player, in this order.
    pub erased: &'static [Erased],
    /// Columns that go on naming a player, and why.
    pub stays: &'static [(&'static str, &'static str)],
}

/// Retention of a table's rows.
pub enum Kept {
    /// So long; no sweep ends them.
    Until(&'static str),
    /// So long; then a sweep ends them.
    Swept(&'static str, Sweep),
}

/// A step of a sweep: ends some rows that are too old by now, and says how many; none where nothing is left.
pub type Sweep = for<'a> fn(&'a Db, &'a Config, Millis) -> BoxFuture<'a, Result<u64>>;

/// Rows of a table that a player gets with an export.
pub enum Exported {
    /// Nothing, and why.
    No(&'static str),
    /// These, each under this name.
    Rows(&'static str, Rows),
    /// Those that have a way of their own, page by page.
    Apart(&'static str),
}

/// A player's rows.
pub type Rows = for<'a> fn(&'a Db, &'a str) -> BoxFuture<'a, Result<Vec<Value>>>;

/// A step that forgets some of a player, and says how many rows; none where nothing is left.
pub type Step = for<'a> fn(&'a Db, &'a str) -> BoxFuture<'a, Result<u64>>;

/// A way to erase a player from a table.
pub enum Erased {
    /// A statement on a few rows, which no others add to; `$1` is the player.
    By(&'static str),
    /// A statement that ends so many rows at most, again and again until there are none; `$1` is the player, `$2` how many.
    Some(&'static str),
    /// A statement that puts the pseudonym into so many rows at most, again and again until there are none; `$1` is the player,
    /// `$2` the pseudonym, `$3` how many.
    Renamed(&'static str),
    /// Steps of several statements, again and again until one finds nothing.
    Steps(Step),
    /// By a step of its own, which is named.
    Apart(&'static str),
}

/// Rows that one statement ends.
pub(in crate::store) const ROWS: i64 = 500;
/// Nothing of a player's.
pub(in crate::store) const NOBODYS: Exported = Exported::No("no player's");
