//! `PostgreSQL`: connections with bounds on everything, migrations under a lock, and which faults pass.

use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgConnection, PgPool, Postgres, Transaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::text;

static MIGRATIONS: Migrator = {
    let mut migrations = sqlx::migrate!("src/store/migrations/postgres");
    // During a release the older version runs on the newer tables.
    migrations.ignore_missing = true;
    migrations
};

/// How long a query waits for a connection; under the request's own time.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a start waits for a database, and then once more for the reason why it does not come.
const START: Duration = Duration::from_secs(1);
/// How long a connection may take to show that it lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// Connections of a pool, those that were used last kept at hand: the pool itself asks a connection whether it lives
/// whenever it comes back, which doubles the ways of a short query.
#[derive(Clone)]
pub(in crate::store) struct Connections {
    pool: PgPool,
    at_hand: Arc<Mutex<Vec<PoolConnection<Postgres>>>>,
    /// One place a connection, so that nobody waits for one that lies at hand.
    places: Arc<Semaphore>,
}

/// A connection that is borrowed for a while. Dropped without [`Lent::give_back`], the pool looks after it.
pub(in crate::store) struct Lent {
    connection: PoolConnection<Postgres>,
    at_hand: Arc<Mutex<Vec<PoolConnection<Postgres>>>>,
    _place: OwnedSemaphorePermit,
}

impl Lent {
    pub(in crate::store) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Nothing went wrong with it: the next one may have it as it is.
    pub(in crate::store) fn give_back(self) {
        if let Ok(mut at_hand) = self.at_hand.lock() {
            at_hand.push(self.connection);
        }
    }
}

impl Connections {
    /// Connects when it is first asked.
    pub(in crate::store) fn new(url: &str, connections: u32) -> sqlx::Result<Self> {
        let places = Arc::new(Semaphore::new(connections as usize));
        Ok(Self { pool: connect(url, connections)?, at_hand: Arc::default(), places })
    }

    async fn place(&self) -> sqlx::Result<OwnedSemaphorePermit> {
        let place = tokio::time::timeout(PATIENCE, Arc::clone(&self.places).acquire_owned()).await;
        place.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(|_| sqlx::Error::PoolClosed)
    }

    fn take(&self) -> Option<PoolConnection<Postgres>> {
        self.at_hand.lock().ok()?.pop()
    }

    pub(in crate::store) async fn lend(&self) -> sqlx::Result<Lent> {
        let place = self.place().await?;
        let connection = match self.take() {
            Some(connection) => connection,
            None => self.pool.acquire().await?,
        };
        Ok(Lent { connection, at_hand: Arc::clone(&self.at_hand), _place: place })
    }

    pub(in crate::store) async fn begin(
        &self,
    ) -> sqlx::Result<(Transaction<'static, Postgres>, OwnedSemaphorePermit)> {
        let place = self.place().await?;
        // Transactions are the pool's own: it gets a connection for it.
        drop(self.take());
        Ok((self.pool.begin().await?, place))
    }

    /// After one connection broke, the idle ones are likely broken too: those go, so that the next is a good or a new one.
    pub(in crate::store) async fn drop_broken(&self) {
        let mut good = Vec::new();
        while let Some(mut connection) = self.take().or_else(|| self.pool.try_acquire()) {
            let answer = tokio::time::timeout(SIGN_OF_LIFE, connection.ping()).await;
            match answer {
                Ok(Ok(())) => good.push(connection),
                _ => drop(connection.detach()),
            }
        }
    }

    pub(in crate::store) async fn close(&self) {
        while let Some(connection) = self.take() {
            drop(connection);
        }
        self.pool.close().await;
    }

    /// Are the tables those of this version, or of a newer one?
    pub(in crate::store) async fn require_current(&self) -> Result<(), String> {
        let mut connection = reach(&self.pool).await?;
        let applied = applied(&mut connection).await?;
        let missing = MIGRATIONS.iter().filter(|step| !applied.contains(&step.version)).count();
        match missing {
            0 => Ok(()),
            _ => Err(format!("{missing} migration(s) are missing; run `guildhall migrate`")),
        }
    }
}

fn connect(url: &str, connections: u32) -> sqlx::Result<PgPool> {
    let options = PgConnectOptions::from_str(url)?.application_name("guildhall").options([
        ("statement_timeout", "8s"),
        ("lock_timeout", "4s"),
        ("idle_in_transaction_session_timeout", "10s"),
        // The reply to a send says that the message is on disk.
        ("synchronous_commit", "on"),
        // Statements are short and come again and again; compiling one takes longer than running it.
        ("jit", "off"),
        // Every statement finds rows by keys that it is given. PostgreSQL takes a list for a hundred rows, however few
        // it has, and would read whole tables for that.
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("enable_seqscan", "off"),
    ]);
    Ok(PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        .test_before_acquire(false)
        .connect_lazy_with(options))
}

/// Runs the migrations; whoever comes second waits, and finds nothing to do.
pub(in crate::store) async fn migrate(url: &str) -> Result<usize, String> {
    let pool = connect(url, 1).map_err(|fault| text(&fault))?;
    let mut connection = reach(&pool).await?;
    let before = applied(&mut connection).await?;
    MIGRATIONS.run(&mut *connection).await.map_err(|fault| match fault {
        MigrateError::Execute(fault) => text(&fault),
        other => other.to_string(),
    })?;
    let steps = applied(&mut connection).await?.len() - before.len();
    drop(connection);
    pool.close().await;
    Ok(steps)
}

/// A connection of the pool; where there is none, why, with the place that was asked.
async fn reach(pool: &PgPool) -> Result<PoolConnection<Postgres>, String> {
    // The pool asks again and again until its time is over, and does not say what it heard.
    if let Ok(Ok(connection)) = tokio::time::timeout(START, pool.acquire()).await {
        return Ok(connection);
    }
    let options = pool.connect_options();
    let fault = match tokio::time::timeout(START, PgConnection::connect_with(&options)).await {
        Ok(Ok(_)) => "answers too slowly".to_owned(),
        Ok(Err(fault)) => text(&fault),
        Err(_) => format!("no answer within {} s", 2 * START.as_secs()),
    };
    Err(format!("PostgreSQL at {}:{}: {fault}", options.get_host(), options.get_port()))
}

async fn applied(connection: &mut PgConnection) -> Result<Vec<i64>, String> {
    let exists = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL");
    if !exists.fetch_one(&mut *connection).await.map_err(|fault| text(&fault))? {
        return Ok(Vec::new());
    }
    let applied = sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success");
    applied.fetch_all(connection).await.map_err(|fault| text(&fault))
}

/// Is it the connection, rather than the statement?
pub(in crate::store) fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) => true,
        // The class of connections, and a server that stops, crashed, or starts.
        sqlx::Error::Database(_) => {
            code(error).is_some_and(|code| code.starts_with("08") || code.starts_with("57P0"))
        }
        _ => false,
    }
}

/// Does this go away by itself, rather than by mending the program?
pub(in crate::store) fn is_passing(error: &sqlx::Error) -> bool {
    // Resources; deadlocks and conflicts; cancelled by a timeout; locks not had in time; a transaction that idled;
    // a server that is read-only while another takes over; its disk.
    const PASSING: [&str; 7] = ["53", "40", "57014", "55P03", "25P03", "25006", "58030"];
    is_broken(error)
        || code(error).is_some_and(|code| PASSING.iter().any(|passing| code.starts_with(passing)))
}

/// Did two transactions wait for each other? One was told so, and may go again.
pub(in crate::store) fn is_conflict(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| code.starts_with("40"))
}

fn code(error: &sqlx::Error) -> Option<String> {
    let error = error.as_database_error()?.try_downcast_ref::<sqlx::postgres::PgDatabaseError>()?;
    Some(error.code().to_owned())
}
