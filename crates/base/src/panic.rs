//! Panics made into faults, so that one piece of work that is broken does not end what runs it for all others.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;

/// Pause after a panic before the work begins again.
const REST: Duration = Duration::from_secs(1);

/// Returns the work's result, or the panic's message. The work shares only what stays whole when it is dropped at any
/// point, as all work here is at a timeout too.
pub async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| format!("panic: {}", text(&*panic)))
}

/// Does what goes on in the background until it ends by itself: a panic costs it what it was at, and it begins anew.
pub async fn lasting<F: Future<Output = ()>>(what: &str, mut begin: impl FnMut() -> F) {
    while let Err(error) = caught(async { begin().await }).await {
        tracing::error!(error, what, "what runs in the background begins anew");
        tokio::time::sleep(REST).await;
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("of another type")
}
