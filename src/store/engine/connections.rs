//! Connections to `PostgreSQL`: opened when they are needed, kept at hand, lent one at a time.
//!
//! A driver's pool asks a connection whether it lives whenever it comes back, which doubles the ways of a short query; and
//! it waits, and does not say what for. Here a server without a free slot costs no request as long as there is a connection
//! of ours, and one that is known to be away costs the time of one call, not of all.
//!
//! Whoever asks may go away at any time: a client hangs up, and its request is dropped. Connections are made by tasks of
//! their own, and what was begun on one is waited for by a task that keeps its place: so the pool stays as full as it was,
//! and the server never works for more callers than there are places. Reads leave places to those who write.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::postgres::{has_no_slot, is_broken};
use super::{DbResult, Purpose, text};

/// Time that a query waits for a connection; shorter than the request's own time.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time that a new connection may take.
const CONNECT: Duration = Duration::from_secs(3);
/// While the server is away, it is tried so often.
const TRIED: Duration = Duration::from_millis(500);
/// A server that had no slot is asked for another after this.
const SLOTS_AGAIN: Duration = Duration::from_secs(30);
/// Time that a statement may go on once nobody waits for it any more; the server ends it before that.
const ABANDONED: Duration = Duration::from_secs(10);
/// Places that reads leave to those who write, where there are as many and one more.
const WRITERS: usize = 2;
/// The pause while there is neither a slot nor a connection of ours.
const NO_SLOT: Duration = Duration::from_millis(50);

/// Connections, those that were used last kept at hand.
#[derive(Clone)]
pub(in crate::store) struct Connections {
    options: Arc<PgConnectOptions>,
    at_hand: Arc<Mutex<Vec<PgConnection>>>,
    /// One place a connection, so that nobody waits for one that lies at hand.
    places: Arc<Semaphore>,
    /// The share of these places that reads may take.
    for_reads: Arc<Semaphore>,
    /// Number of places now: fewer than configured while the server has no slots for them.
    open: Arc<AtomicUsize>,
    away: Arc<Away>,
}

/// State of a server that does not answer.
#[derive(Default)]
struct Away {
    since: Mutex<Option<Instant>>,
    tried: AtomicBool,
}

/// A place for a connection, and for a read's one that reads may have.
struct Slot {
    place: OwnedSemaphorePermit,
    read: Option<OwnedSemaphorePermit>,
}

/// A connection that is borrowed for a while. Dropped without a word, it is given back once what was begun on it has ended.
pub(in crate::store) struct Lent {
    /// Here until it is given back, or closed.
    connection: Option<PgConnection>,
    at_hand: Arc<Mutex<Vec<PgConnection>>>,
    place: Option<Slot>,
}

impl Lent {
    pub(in crate::store) fn connection(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("it is here until it is given back")
    }

    /// Gives the connection back after everything on it went well.
    pub(in crate::store) fn give_back(mut self) {
        if let (Some(connection), Ok(mut at_hand)) = (self.connection.take(), self.at_hand.lock()) {
            at_hand.push(connection);
        }
    }

    /// A statement ended like this: a fault of the statement is none of the connection's.
    pub(in crate::store) fn give_back_after<T>(self, result: &DbResult<T>) {
        match result {
            Ok(_) => self.give_back(),
            Err(fault) if matches!(**fault, sqlx::Error::Database(_)) && !is_broken(fault) => {
                self.give_back()
            }
            Err(_) => self.close(),
        }
    }

    /// Closes the connection, which is of no use any more.
    pub(in crate::store) fn close(mut self) {
        drop(self.connection.take());
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let (Some(mut connection), Some(place)) = (self.connection.take(), self.place.take()) else { return };
        let (Ok(runtime), at_hand) = (tokio::runtime::Handle::try_current(), Arc::clone(&self.at_hand))
        else {
            return;
        };
        runtime.spawn(async move {
            // Its answer comes behind that of what was begun.
            if matches!(timeout(ABANDONED, connection.ping()).await, Ok(Ok(())))
                && let Ok(mut at_hand) = at_hand.lock()
            {
                at_hand.push(connection);
            }
            drop(place);
        });
    }
}

/// A transaction. Dropped before its commit, it never was: somebody tells the server so, and gives the connection back.
pub(in crate::store) struct Transaction(Option<Lent>);

impl Transaction {
    pub(in crate::store) fn connection(&mut self) -> &mut PgConnection {
        self.0.as_mut().expect("it is here until its end").connection()
    }

    pub(in crate::store) async fn commit(mut self) -> sqlx::Result<()> {
        sqlx::raw_sql("COMMIT").execute(self.connection()).await?;
        if let Some(lent) = self.0.take() {
            lent.give_back();
        }
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let (Some(mut lent), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                let undone = sqlx::raw_sql("ROLLBACK").execute(lent.connection());
                match timeout(ABANDONED, undone).await {
                    Ok(Ok(_)) => lent.give_back(),
                    _ => lent.close(),
                }
            });
        }
    }
}

impl Connections {
    /// Connects when it is first asked.
    pub(in crate::store) fn new(options: PgConnectOptions, connections: u32) -> Self {
        let connections = connections as usize;
        Self {
            options: Arc::new(options),
            at_hand: Arc::default(),
            places: Arc::new(Semaphore::new(connections)),
            for_reads: Arc::new(Semaphore::new(read_places(connections))),
            open: Arc::new(AtomicUsize::new(connections)),
            away: Arc::default(),
        }
    }

    fn take(&self) -> Option<PgConnection> {
        self.at_hand.lock().ok()?.pop()
    }

    fn lent(&self, connection: PgConnection, place: Slot) -> Lent {
        Lent { connection: Some(connection), at_hand: Arc::clone(&self.at_hand), place: Some(place) }
    }

    pub(in crate::store) async fn lend(&self, purpose: Purpose) -> sqlx::Result<Lent> {
        timeout(PATIENCE, self.lend_when_there_is_one(purpose))
            .await
            .unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    async fn lend_when_there_is_one(&self, purpose: Purpose) -> sqlx::Result<Lent> {
        loop {
            let place = self.place(purpose).await?;
            if let Some(connection) = self.take() {
                return Ok(self.lent(connection, place));
            }
            // Whoever asks may be gone before it is made: then it lies at hand for the next.
            let connections = self.clone();
            let made = tokio::spawn(async move {
                match connections.connect().await {
                    Ok(connection) => Ok(connections.lent(connection, place)),
                    Err(error) => Err((error, place)),
                }
            });
            match made.await.map_err(|_| sqlx::Error::WorkerCrashed)? {
                Ok(lent) => return Ok(lent),
                Err((error, place)) if has_no_slot(&error) => self.do_with_fewer(place, &error).await,
                Err((error, _)) => return Err(error),
            }
        }
    }

    async fn place(&self, purpose: Purpose) -> sqlx::Result<Slot> {
        let permit = async |of: &Arc<Semaphore>| {
            Arc::clone(of).acquire_owned().await.map_err(|_| sqlx::Error::PoolClosed)
        };
        let read = match purpose {
            Purpose::Read => Some(permit(&self.for_reads).await?),
            Purpose::Write => None,
        };
        Ok(Slot { place: permit(&self.places).await?, read })
    }

    /// A new connection. While the server is known to be away, one caller tries and the others are told at once.
    async fn connect(&self) -> sqlx::Result<PgConnection> {
        let Some(_trying) = self.away.may_try() else { return Err(sqlx::Error::PoolTimedOut) };
        let made = timeout(CONNECT, PgConnection::connect_with(&self.options)).await;
        let made = made.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        self.away.note(made.as_ref().is_err_and(|error| !has_no_slot(error)));
        made
    }

    /// The server has no slot for another connection: that is no fault of the request, which takes one of those that are
    /// there. The place goes for a while; the last one waits for a slot.
    async fn do_with_fewer(&self, place: Slot, error: &sqlx::Error) {
        let fewer = |open: usize| (open > 1).then(|| open - 1);
        let Ok(before) = self.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, fewer) else {
            return sleep(NO_SLOT).await;
        };
        tracing::warn!(
            error = text(error),
            connections = before - 1,
            "the database has no more slots; doing with fewer"
        );
        place.place.forget();
        drop(place.read);
        let fewer_reads = read_places(before) - read_places(before - 1);
        let (places, for_reads, open) =
            (Arc::clone(&self.places), Arc::clone(&self.for_reads), Arc::clone(&self.open));
        tokio::spawn(async move {
            // One that reads have now goes when it is given back.
            let gone = timeout(SLOTS_AGAIN, for_reads.acquire_many(fewer_reads as u32));
            let (gone, ()) = tokio::join!(gone, sleep(SLOTS_AGAIN));
            open.fetch_add(1, Ordering::AcqRel);
            places.add_permits(1);
            drop(gone);
        });
    }

    /// A transaction, which may wait for locks longer than a single statement does.
    pub(in crate::store) async fn begin(&self) -> sqlx::Result<Transaction> {
        // A transaction from here on: whoever goes away before the server's answer must not leave one open.
        let mut transaction = Transaction(Some(self.lend(Purpose::Write).await?));
        sqlx::raw_sql("BEGIN; SET LOCAL lock_timeout = '4s'").execute(transaction.connection()).await?;
        Ok(transaction)
    }

    /// After one connection broke, those at hand are likely broken too.
    pub(in crate::store) fn drop_broken(&self) {
        while let Some(connection) = self.take() {
            drop(connection);
        }
    }

    pub(in crate::store) async fn close(&self) {
        self.places.close();
        self.for_reads.close();
        while let Some(connection) = self.take() {
            let _ = timeout(TRIED, connection.close()).await;
        }
    }
}

/// Of so many places reads have all but the writers'; of one or two, one.
fn read_places(places: usize) -> usize {
    places.saturating_sub(WRITERS).max(1).min(places.max(1))
}

/// Somebody who tries whether the server is back.
struct Trying<'a>(Option<&'a Away>);

impl Drop for Trying<'_> {
    fn drop(&mut self) {
        if let Some(away) = self.0 {
            away.tried.store(false, Ordering::Release);
        }
    }
}

impl Away {
    /// Everybody, as long as the server is there; else one at a time, and not at once again.
    fn may_try(&self) -> Option<Trying<'_>> {
        let since = self.since.lock().ok().and_then(|since| *since);
        match since {
            None => Some(Trying(None)),
            Some(last) if last.elapsed() >= TRIED && !self.tried.swap(true, Ordering::AcqRel) => {
                Some(Trying(Some(self)))
            }
            Some(_) => None,
        }
    }

    fn note(&self, away: bool) {
        if let Ok(mut since) = self.since.lock() {
            *since = away.then(Instant::now);
        }
    }
}
