//! As a Tencent SCF event function: it asks the platform for one event after the other.
//!
//! (Requests reach SCF's web functions, which are plain servers on port 9000: see `deploy/tencent`.)

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;

use super::function::FunctionWorker;
use crate::app::App;

/// Time that an invocation may take, if the platform does not say.
const UNSAID: Duration = Duration::from_secs(3);
/// The pause after a failure to reach the platform.
const PAUSE: Duration = Duration::from_millis(200);

/// Answers events until the platform ends the process.
///
/// # Errors
/// The platform does not take that we are ready.
pub async fn run(app: Arc<App>, events: &str) -> Result<(), reqwest::Error> {
    let worker = FunctionWorker::new(app);
    // Waiting for an event may take any time. Nothing is encrypted, so no certificates are read.
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?;
    let url = |what: &str| format!("http://{events}/runtime/{what}");
    // The platform refuses an empty body.
    client.post(url("init/ready")).body(" ").send().await?.error_for_status()?;
    loop {
        let (time_left, event) = match next(&client, &url("invocation/next")).await {
            Ok(next) => next,
            Err(error) => {
                tracing::warn!(%error, "the platform gives no event; asking again");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let result = match serde_json::from_slice(&event) {
            Ok(event) => answer(&worker, &event, time_left).await,
            Err(fault) => Err(format!("the event is no JSON: {fault}")),
        };
        let (what, body) = match result {
            Ok(answer) => ("invocation/response", answer.to_string()),
            Err(why) => ("invocation/error", why),
        };
        if let Err(error) = client.post(url(what)).body(body).send().await {
            tracing::warn!(%error, "the platform does not take the answer");
        }
    }
}

/// The platform knows no part of a batch: if any of it could not be recorded, all of it comes again, which does no harm.
async fn answer(worker: &FunctionWorker, event: &Value, time_left: Duration) -> Result<Value, String> {
    let answer = worker.handle(event, time_left).await?;
    match answer["batchItemFailures"].as_array() {
        Some(failures) if !failures.is_empty() => {
            Err(format!("not recorded: {}", answer["batchItemFailures"]))
        }
        _ => Ok(answer),
    }
}

async fn next(client: &reqwest::Client, url: &str) -> Result<(Duration, Vec<u8>), reqwest::Error> {
    let answer = client.get(url).send().await?.error_for_status()?;
    let time_left = time_limit(answer.headers());
    Ok((time_left, answer.bytes().await?.to_vec()))
}

fn time_limit(headers: &HeaderMap) -> Duration {
    let limit = headers.get("time_limit_in_ms").and_then(|value| value.to_str().ok()?.parse().ok());
    limit.map_or(UNSAID, Duration::from_millis)
}
