//! Figures for CloudWatch, as its embedded metric format has it: one JSON line on standard output, out of which the log
//! service makes metrics. An instance that is frozen between calls can serve none.
//!
//! Metrics cost by the number of dimensions' values, so there are two sets: the function, and the function with its
//! version. Controller and action are in the line for queries, and are no dimensions.

use std::io::Write;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::api::router::Summary;
use crate::app::App;
use crate::config::Platform;
use crate::store::outbox::Status;

const NAMESPACE: &str = "Guildhall";

/// The line of a request.
pub(super) fn of_request(app: &App, summary: &Summary, status: u16, took: Duration) -> Value {
    let one_if = |condition: bool| i64::from(condition);
    let figures = [
        ("Requests", "Count", json!(1)),
        ("Errors", "Count", json!(one_if(status >= 500))),
        ("Refused", "Count", json!(one_if((400..500).contains(&status)))),
        ("Duration", "Milliseconds", json!(took.as_micros() as f64 / 1_000.0)),
        ("ColdStarts", "Count", json!(one_if(summary.cold_start))),
        ("WordlistAge", "Seconds", json!(app.blocklist.status().age_ms / 1_000)),
    ];
    let Summary { controller, action, code, .. } = summary;
    line(app, &figures, &[("controller", *controller), ("action", *action), ("code", *code)])
}

/// The line of a worker's timer: what waits.
pub(super) fn of_outbox(app: &App, status: &Status) -> Value {
    let figures = [
        ("OutboxDepth", "Count", json!(status.depth())),
        ("OutboxOldest", "Seconds", json!(status.oldest_ms() / 1_000)),
        ("DeadTasks", "Count", json!(status.dead)),
        ("WordlistAge", "Seconds", json!(app.blocklist.status().age_ms / 1_000)),
    ];
    line(app, &figures, &[])
}

/// Prints a line, where the platform reads such lines.
pub(super) fn print(app: &App, line: &Value) {
    if matches!(app.config.platform, Platform::Lambda { .. }) {
        // In one piece: by pieces, standard output looks through each for a line's end.
        let _ = std::io::stdout().lock().write_all(format!("{line}\n").as_bytes());
    }
}

fn line(app: &App, figures: &[(&str, &str, Value)], properties: &[(&str, &str)]) -> Value {
    let function = match &app.config.platform {
        Platform::Lambda { function, .. } => function.as_str(),
        _ => "guildhall",
    };
    let metrics: Vec<Value> =
        figures.iter().map(|(name, unit, _)| json!({ "Name": name, "Unit": unit })).collect();
    let mut line = Map::new();
    line.insert(
        "_aws".to_owned(),
        json!({
            "Timestamp": app.clock.now(),
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [["function"], ["function", "version"]],
                "Metrics": metrics,
            }],
        }),
    );
    line.insert("function".to_owned(), function.into());
    line.insert("version".to_owned(), app.config.version.as_str().into());
    line.extend(properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())));
    line.extend(figures.iter().map(|(name, _, value)| ((*name).to_owned(), value.clone())));
    line.into()
}
