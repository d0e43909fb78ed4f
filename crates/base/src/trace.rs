//! The request that something is done for, known wherever it leads: what a request causes carries its id, so that one id
//! finds the request's line, its tasks' lines and the gateway's.

use std::sync::Arc;

tokio::task_local! {
    static REQUEST_ID: Arc<str>;
}

/// Does something for a request.
pub async fn with<F: Future>(request_id: &str, work: F) -> F::Output {
    REQUEST_ID.scope(request_id.into(), work).await
}

/// The request that this is done for, if it is for one.
pub fn current() -> Option<String> {
    REQUEST_ID.try_with(|id| id.to_string()).ok()
}
