//! The place that a request takes among those that are answered at once. One that waits for something to be said gives it
//! up, as others shall not be refused for it; and the time it waits is not counted as time that it took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use crate::lock::lock;

/// A request's place.
#[derive(Debug)]
pub struct Seat {
    place: Mutex<Option<OwnedSemaphorePermit>>,
    waited_us: AtomicU64,
    /// Others wait behind this one on the same connection, so it may not wait.
    hurried: bool,
}

tokio::task_local! {
    static SEAT: Arc<Seat>;
}

impl Seat {
    /// A seat with a place, or none where all are taken.
    pub fn new(place: Option<OwnedSemaphorePermit>) -> Arc<Self> {
        Arc::new(Self { place: Mutex::new(place), waited_us: AtomicU64::new(0), hurried: false })
    }

    /// The seat of a request on a socket, which is told what is new otherwise.
    pub fn on_socket(place: OwnedSemaphorePermit) -> Arc<Self> {
        Arc::new(Self { place: Mutex::new(Some(place)), waited_us: AtomicU64::new(0), hurried: true })
    }

    /// Is there a place?
    pub fn is_taken(&self) -> bool {
        self.place().is_some()
    }

    fn place(&self) -> std::sync::MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        lock(&self.place)
    }
}

/// Answers a request that has a seat.
pub async fn with<F: Future>(seat: Arc<Seat>, work: F) -> F::Output {
    SEAT.scope(seat, work).await
}

/// Waits without a place.
pub async fn away<F: Future>(waiting: F) -> F::Output {
    let begun = Instant::now();
    let _ = SEAT.try_with(|seat| seat.place().take());
    let done = waiting.await;
    let took = begun.elapsed().as_micros() as u64;
    let _ = SEAT.try_with(|seat| seat.waited_us.fetch_add(took, Ordering::Relaxed));
    done
}

/// May this request wait?
pub fn may_wait() -> bool {
    SEAT.try_with(|seat| !seat.hurried).unwrap_or(true)
}

/// Returns the time that this request has waited.
pub fn waited() -> Duration {
    SEAT.try_with(|seat| Duration::from_micros(seat.waited_us.load(Ordering::Relaxed))).unwrap_or_default()
}
