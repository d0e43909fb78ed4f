//! The two databases, and one way to run a statement on either.
//!
//! Nothing here knows a table.

use std::ops::Deref;

use sqlx::SqlitePool;

use crate::base::error::Error;

pub(in crate::store) mod connections;
mod migrations;
pub(in crate::store) mod postgres;
pub(in crate::store) mod sql;
pub(in crate::store) mod sqlite;
mod sqlite_log;

use sql::{Held, Row, Sql, Tx, Value};

/// The pools that connections come from.
#[derive(Clone)]
pub(in crate::store) enum Pools {
    Sqlite { read: SqlitePool, write: SqlitePool },
    Postgres(connections::Connections),
}

/// Purpose of a statement: `SQLite` has separate connections for each.
#[derive(Clone, Copy)]
pub(in crate::store) enum Purpose {
    Read,
    Write,
}

impl Pools {
    pub(in crate::store) async fn hold(&self, purpose: Purpose) -> DbResult<Held> {
        Ok(match (self, purpose) {
            (Self::Sqlite { read, .. }, Purpose::Read) => Held::Sqlite(read.acquire().await?),
            (Self::Sqlite { write, .. }, Purpose::Write) => Held::Sqlite(write.acquire().await?),
            (Self::Postgres(connections), purpose) => Held::Postgres(connections.lend(purpose).await?),
        })
    }

    pub(in crate::store) async fn begin(&self) -> DbResult<Tx> {
        Ok(match self {
            Self::Sqlite { write, .. } => Tx::Sqlite(sqlite::begin(write).await?),
            Self::Postgres(connections) => Tx::Postgres(connections.begin().await?),
        })
    }

    pub(in crate::store) async fn all<T: Row>(
        &self,
        purpose: Purpose,
        sql: Sql,
        values: &[Value<'_>],
    ) -> DbResult<Vec<T>> {
        match self.all_once(purpose, sql, values).await {
            Err(error) if self.recovers(&error).await => self.all_once(purpose, sql, values).await,
            rows => rows,
        }
    }

    pub(in crate::store) async fn all_once<T: Row>(
        &self,
        purpose: Purpose,
        sql: Sql,
        values: &[Value<'_>],
    ) -> DbResult<Vec<T>> {
        let mut held = self.hold(purpose).await?;
        let rows = held.conn().all(sql, values).await;
        held.give_back_after(&rows);
        rows
    }

    pub(in crate::store) async fn execute(&self, sql: Sql, values: &[Value<'_>]) -> DbResult<u64> {
        let mut held = self.hold(Purpose::Write).await?;
        let changed = held.conn().execute(sql, values).await;
        held.give_back_after(&changed);
        changed
    }

    /// Was it the connection that failed, and are the broken ones gone now? Then once more is worth it.
    pub(in crate::store) async fn recovers(&self, fault: &DbFault) -> bool {
        match self {
            Self::Sqlite { .. } => false,
            Self::Postgres(connections) => {
                let broken = postgres::is_broken(fault);
                if broken {
                    connections.drop_broken();
                }
                broken
            }
        }
    }
}

/// A fault of the database.
#[derive(Debug)]
pub struct DbFault(sqlx::Error);

/// The result of a statement.
pub(in crate::store) type DbResult<T> = Result<T, DbFault>;

impl From<sqlx::Error> for DbFault {
    fn from(error: sqlx::Error) -> Self {
        Self(error)
    }
}

impl Deref for DbFault {
    type Target = sqlx::Error;

    fn deref(&self) -> &sqlx::Error {
        &self.0
    }
}

impl From<DbFault> for Error {
    fn from(DbFault(error): DbFault) -> Self {
        if sqlite::is_passing(&error) || postgres::is_passing(&error) {
            tracing::warn!(error = text(&error), "the database can't answer now");
            return Self::Unavailable("the database can't answer now");
        }
        Self::internal(text(&error))
    }
}

/// Returns the message of a fault, without the useless part: the driver adds the line of `PostgreSQL`'s own source that
/// reported it.
pub(in crate::store) fn text(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(fault) => match fault.code() {
            Some(code) => format!("{} ({code})", fault.message()),
            None => fault.message().to_owned(),
        },
        sqlx::Error::Io(fault) => fault.to_string(),
        other => other.to_string(),
    }
}
