//! One way to run a statement on either database: the text in both dialects, values as binds, rows by their types.

use super::connections::{self, Lent};
use crate::store::engine::{DbFault, DbResult};
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, PgConnection, Sqlite, SqliteConnection, Transaction};

/// A statement in both dialects; most read the same in both.
#[derive(Clone, Copy)]
pub(in crate::store) struct Sql {
    sqlite: &'static str,
    postgres: &'static str,
}

#[cfg(test)]
impl Sql {
    pub(in crate::store) const fn sqlite(self) -> &'static str {
        self.sqlite
    }
}

impl From<&'static str> for Sql {
    fn from(both: &'static str) -> Self {
        Self { sqlite: both, postgres: both }
    }
}

/// A statement that the two databases want differently.
pub(in crate::store) const fn by_dialect(sqlite: &'static str, postgres: &'static str) -> Sql {
    Sql { sqlite, postgres }
}

/// A value that is bound to a statement.
#[derive(Clone, Copy)]
pub(in crate::store) enum Value<'v> {
    Int(Option<i64>),
    Text(Option<&'v str>),
    Bool(bool),
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(value: &'v str) -> Self {
        Self::Text(Some(value))
    }
}

impl<'v> From<&'v String> for Value<'v> {
    fn from(value: &'v String) -> Self {
        Self::Text(Some(value))
    }
}

impl<'v> From<Option<&'v str>> for Value<'v> {
    fn from(value: Option<&'v str>) -> Self {
        Self::Text(value)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// Values in the order of a statement's `$1`, `$2`, …
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::store::engine::sql::Value::from($value)),*] };
}
pub(in crate::store) use values;

/// A row that either database can give.
pub(in crate::store) trait Row:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin> Row for T {}

/// A connection that is borrowed for a while.
pub(in crate::store) enum Held {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(Lent),
}

/// A transaction; dropped before its commit, it never was.
pub(in crate::store) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(connections::Transaction),
}

/// A connection or transaction that statements run on.
pub(in crate::store) enum Conn<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

impl Held {
    pub(in crate::store) fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Sqlite(connection) => Conn::Sqlite(connection),
            Self::Postgres(lent) => Conn::Postgres(lent.connection()),
        }
    }

    /// A statement on it ended like this.
    pub(in crate::store) fn give_back_after<T>(self, result: &DbResult<T>) {
        if let Self::Postgres(lent) = self {
            lent.give_back_after(result);
        }
    }
}

impl Tx {
    pub(in crate::store) fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Sqlite(tx) => Conn::Sqlite(tx),
            Self::Postgres(tx) => Conn::Postgres(tx.connection()),
        }
    }

    pub(in crate::store) const fn is_sqlite(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    pub(in crate::store) async fn commit(self) -> DbResult<()> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }

    /// All rows.
    pub(in crate::store) async fn all<T: Row>(
        &mut self,
        sql: impl Into<Sql>,
        values: &[Value<'_>],
    ) -> DbResult<Vec<T>> {
        self.conn().all(sql.into(), values).await
    }

    /// The only row, or none.
    pub(in crate::store) async fn optional<T: Row>(
        &mut self,
        sql: impl Into<Sql>,
        values: &[Value<'_>],
    ) -> DbResult<Option<T>> {
        Ok(self.conn().all(sql.into(), values).await?.pop())
    }

    /// The only row.
    pub(in crate::store) async fn one<T: Row>(
        &mut self,
        sql: impl Into<Sql>,
        values: &[Value<'_>],
    ) -> DbResult<T> {
        Ok(self.optional(sql, values).await?.ok_or(sqlx::Error::RowNotFound)?)
    }

    /// Changes rows, and says how many.
    pub(in crate::store) async fn execute(
        &mut self,
        sql: impl Into<Sql>,
        values: &[Value<'_>],
    ) -> DbResult<u64> {
        self.conn().execute(sql.into(), values).await
    }

    /// Makes all who name the same wait for each other, until the commit.
    pub(in crate::store) async fn lock_name(&mut self, name: &str) -> DbResult<()> {
        if matches!(self, Self::Postgres(_)) {
            let lock = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
            self.execute(lock, &[Value::from(name)]).await?;
        }
        Ok(())
    }

    /// Takes a channel's row, so that what follows is done one after the other. `SQLite` has one writer anyway.
    /// Everything that takes several locks takes the channel's first.
    pub(in crate::store) async fn lock_channel(&mut self, channel_key: i64) -> DbResult<()> {
        if matches!(self, Self::Postgres(_)) {
            self.execute("SELECT 1 FROM channel WHERE key = $1 FOR UPDATE", values![channel_key]).await?;
        }
        Ok(())
    }
}

macro_rules! bound {
    ($query:expr, $values:expr) => {{
        let mut query = $query;
        for value in $values {
            query = match *value {
                Value::Int(value) => query.bind(value),
                Value::Text(value) => query.bind(value),
                Value::Bool(value) => query.bind(value),
            };
        }
        query
    }};
}

impl Conn<'_> {
    pub(in crate::store) async fn all<T: Row>(self, sql: Sql, values: &[Value<'_>]) -> DbResult<Vec<T>> {
        let rows = match self {
            Self::Sqlite(connection) => {
                bound!(sqlx::query_as(sql.sqlite), values).fetch_all(connection).await
            }
            Self::Postgres(connection) => {
                bound!(sqlx::query_as(sql.postgres), values).fetch_all(connection).await
            }
        };
        rows.map_err(DbFault::from)
    }

    pub(in crate::store) async fn execute(self, sql: Sql, values: &[Value<'_>]) -> DbResult<u64> {
        match self {
            Self::Sqlite(connection) => {
                Ok(bound!(sqlx::query(sql.sqlite), values).execute(connection).await?.rows_affected())
            }
            Self::Postgres(connection) => {
                Ok(bound!(sqlx::query(sql.postgres), values).execute(connection).await?.rows_affected())
            }
        }
    }
}
