//! Figures for Prometheus, on an address of their own: they are the operator's, not the players'.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;

use super::server::listen;
use crate::app::App;
use crate::base::error::{Result, StartError};
use crate::base::lock::lock;
use crate::service::TASKS;
use crate::store::{outbox, retention};
use crate::work::worker::{DEAD_REASONS, LEFT_MS};

/// A figure that is kept: its kind, its name, and what it says.
#[derive(Debug)]
pub struct Figure {
    kind: Kind,
    /// As Prometheus names it; `_total` counts, `_seconds` are seconds.
    pub name: &'static str,
    /// One sentence, with its labels.
    pub help: &'static str,
}

#[derive(Debug)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

const fn counter(name: &'static str, help: &'static str) -> Figure {
    Figure { kind: Kind::Counter, name, help }
}

const fn gauge(name: &'static str, help: &'static str) -> Figure {
    Figure { kind: Kind::Gauge, name, help }
}

const fn histogram(name: &'static str, help: &'static str) -> Figure {
    Figure { kind: Kind::Histogram, name, help }
}

/// Every figure there is; docs/operations.md shows them, and a test finds those that are kept and not listed.
pub const FIGURES: &[Figure] = &[
    counter("guildhall_requests_total", "Requests answered, by controller, action and code."),
    counter("guildhall_requests_shed_total", "Requests refused because too many were answered already."),
    counter("guildhall_connections_refused_total", "Connections refused because their address had too many."),
    counter(
        "guildhall_requests_unreadable_total",
        "What came in a request's place and is none, by HTTP's rules.",
    ),
    histogram("guildhall_request_duration_seconds", "Time to answer a request, by controller and action."),
    counter(
        "guildhall_entries_unreadable_total",
        "Reads of a stored entry that can't be read; the log names it.",
    ),
    gauge("guildhall_waiting", "Polls that wait for something to be said, and sockets."),
    gauge("guildhall_sockets", "Sockets that are open."),
    gauge("guildhall_follows", "Channels that sockets follow, each for each socket."),
    counter("guildhall_sockets_closed_total", "Sockets that ended, by close code; 4002 took nothing."),
    counter("guildhall_pushes_total", "Frames that told what is new in a channel."),
    histogram(
        "guildhall_push_delay_seconds",
        "From a commit, or from the sweep's finding of it, to its frame's being written to a socket.",
    ),
    counter(
        "guildhall_swept_total",
        "Channels in which the sweep found something of another process that was waited for here.",
    ),
    counter(
        "guildhall_gaps_total",
        "Hints before which others were lost or late; what those told of is read with it.",
    ),
    counter("guildhall_hints_total", "Hints that went to the bus and came from it, by direction."),
    counter(
        "guildhall_commits_total",
        "Batches of sends on PostgreSQL, by whether their facts were known or asked for.",
    ),
    histogram("guildhall_commit_messages", "Messages stored by one commit."),
    counter("guildhall_verdicts_total", "Texts that the filter hit, by the strongest action."),
    counter(
        "guildhall_texts_unread_total",
        "Texts that can be read in more ways than there was time for, by class; they were searched plainly.",
    ),
    gauge("guildhall_wordlist_age_seconds", "Time since the wordlist was last known to be current."),
    gauge("guildhall_wordlist_entries", "Entries that the wordlist in use blocks."),
    gauge("guildhall_wordlist_stale", "1 while the present wordlist can't be used and the last good one is."),
    counter(
        "guildhall_wordlist_errors_total",
        "Checks of the wordlist that failed; the last good list stays.",
    ),
    counter(
        "guildhall_tasks_total",
        "Tries of tasks, by task and outcome: done, retry, dead, or put off (no try: the receiver is left alone).",
    ),
    counter(
        "guildhall_tasks_dead_total",
        "Tasks that were given up here, by task and reason: refused, time, fault, held others up, or unrunnable.",
    ),
    counter(
        "guildhall_webhooks_total",
        "Posts to the game's servers, by event and answer: 2xx to 5xx, none, or left alone (not made).",
    ),
    gauge("guildhall_outbox_depth", "Tasks that wait to be run or handed to the broker, up to 10,000."),
    gauge(
        "guildhall_outbox_oldest_seconds",
        "How long the oldest task has waited, by task, since it was stored or planned for.",
    ),
    gauge("guildhall_dead_tasks", "Tasks that were given up; `guildhall task list` shows them."),
    gauge("guildhall_parked_tasks", "Tasks of keys that were set aside; `guildhall task keys` shows them."),
    gauge(
        "guildhall_unrunnable_keys",
        "Keys that wait for somebody who can run their tasks, by task: due for a minute, not taken, and not for here.",
    ),
    counter(
        "guildhall_device_pushes_total",
        "Pushes to devices, by platform and outcome: sent, gone, off, refused, or given up after eight tries (then of `any` platform).",
    ),
    counter("guildhall_callbacks_refused_total", "Callbacks of providers that were refused, by path."),
    counter("guildhall_log_lost_total", "Lines of the log that could not be written."),
    counter("guildhall_published_total", "Tasks that the broker took."),
    counter(
        "guildhall_publish_errors_total",
        "Tasks that the broker did not take; they are handed over again.",
    ),
    gauge(
        "guildhall_broker_partitions",
        "Partitions of the topic that this worker has; none means that it gets no tasks.",
    ),
    counter(
        "guildhall_records_forgotten_total",
        "Records of the topic that were not run: older than what is remembered, and not in the outbox.",
    ),
    gauge(
        "guildhall_retention_behind_seconds",
        "Time since a part of retention, by part, had deleted all that was too old; it runs each hour.",
    ),
    counter("guildhall_retention_rows_total", "Rows that were deleted or given up as too old, by part."),
    gauge("guildhall_sqlite_log_bytes", "Size of the log of pages beside the SQLite file."),
    counter(
        "guildhall_senders_total",
        "Senders of messages on PostgreSQL, by whether this process knew their facts: known or asked for.",
    ),
    gauge("guildhall_broker_lag", "Records of this worker's partitions that it has not taken yet."),
    counter(
        "guildhall_broker_clients_renewed_total",
        "Clients of the broker that could not go on and were made anew, by which: producer or consumer.",
    ),
];

/// Figures that the outbox has to be asked for: where it does not answer, there are none.
const OF_OUTBOX: [&str; 6] = [
    "guildhall_retention_behind_seconds",
    "guildhall_outbox_depth",
    "guildhall_outbox_oldest_seconds",
    "guildhall_dead_tasks",
    "guildhall_parked_tasks",
    "guildhall_unrunnable_keys",
];

/// Bounds of the duration histogram, in seconds.
const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Bounds of the histogram of messages in one commit.
const MESSAGES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
const UPKEEP: Duration = Duration::from_secs(5);

/// Collects figures and serves them, where the configuration names an address; else nothing is collected.
/// `runs` says whether this process runs tasks: one that does not says nothing of what nobody can run.
///
/// # Errors
/// The address can't be had.
pub async fn serve(app: &Arc<App>, runs: bool) -> std::result::Result<(), StartError> {
    let Some(address) = app.config.metrics_listen else { return Ok(()) };
    let fault = |fault: &dyn std::fmt::Display| StartError::new("GUILDHALL_METRICS_LISTEN", fault);
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_messages".to_owned()), MESSAGES))
        .map_err(|error| fault(&error))?
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|error| fault(&error))?;
    FIGURES.iter().for_each(describe);
    let listener = listen(address).await.map_err(|error| fault(&error))?;
    if runs {
        // From the beginning, so that the first one is an increase.
        for entry in TASKS {
            for reason in DEAD_REASONS {
                metrics::counter!("guildhall_tasks_dead_total", "task" => entry.name, "reason" => *reason)
                    .increment(0);
            }
        }
    }
    tokio::spawn(answer_all(listener, Arc::clone(app), handle, runs));
    Ok(())
}

fn describe(figure: &Figure) {
    let Figure { kind, name, help } = figure;
    match kind {
        Kind::Counter => metrics::describe_counter!(*name, *help),
        Kind::Gauge => metrics::describe_gauge!(*name, *help),
        Kind::Histogram => metrics::describe_histogram!(*name, *help),
    }
}

async fn answer_all(listener: TcpListener, app: Arc<App>, handle: PrometheusHandle, runs: bool) {
    let mut upkeep = tokio::time::interval(UPKEEP);
    loop {
        tokio::select! {
            _ = upkeep.tick() => handle.run_upkeep(),
            Ok((stream, _)) = listener.accept() => {
                let (app, handle) = (Arc::clone(&app), handle.clone());
                let service = service_fn(move |_| {
                    let (app, handle) = (Arc::clone(&app), handle.clone());
                    async move {
                        measure(&app);
                        let answered = measure_outbox(&app, runs).await.is_ok();
                        let text = if answered { handle.render() } else { without_outbox(&handle.render()) };
                        Ok::<_, std::convert::Infallible>(http::Response::new(Full::new(bytes::Bytes::from(text))))
                    }
                });
                let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        }
    }
}

/// Figures that are states rather than events.
fn measure(app: &App) {
    metrics::counter!("guildhall_log_lost_total").absolute(super::log::lost());
    let list = app.blocklist.status();
    metrics::gauge!("guildhall_wordlist_age_seconds").set(list.age_ms as f64 / 1_000.0);
    metrics::gauge!("guildhall_wordlist_entries").set(list.entries as f64);
    metrics::gauge!("guildhall_wordlist_stale").set(f64::from(u8::from(list.last_error.is_some())));
}

async fn measure_outbox(app: &App, runs: bool) -> Result<()> {
    /// Kinds of which something was told: one of which nothing waits any more is 0, and not what it was last.
    static KINDS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let status = outbox::status(&app.db).await?;
    let can_run = TASKS.iter().filter(|entry| (entry.is_set_up)(app));
    let names: Vec<&str> = can_run.map(|entry| entry.name).collect();
    let left = match runs {
        true => outbox::left(&app.db, &names, app.queue.is_some(), LEFT_MS).await?,
        false => Vec::new(),
    };
    metrics::gauge!("guildhall_outbox_depth").set(status.depth() as f64);
    metrics::gauge!("guildhall_dead_tasks").set(status.dead as f64);
    metrics::gauge!("guildhall_parked_tasks").set(status.parked as f64);
    let oldest: BTreeMap<String, f64> =
        status.oldest.into_iter().map(|(task, ms)| (task, ms as f64 / 1_000.0)).collect();
    let left: BTreeMap<String, f64> = left.into_iter().map(|left| (left.task, left.keys as f64)).collect();
    let now = app.db.now().await?;
    for (part, until) in retention::parts(&app.db).await? {
        metrics::gauge!("guildhall_retention_behind_seconds", "part" => part)
            .set((now - until) as f64 / 1_000.0);
    }
    let mut kinds = lock(&KINDS);
    kinds.extend(oldest.keys().chain(left.keys()).cloned());
    for task in kinds.iter() {
        let of = |figures: &BTreeMap<String, f64>| figures.get(task).copied().unwrap_or_default();
        metrics::gauge!("guildhall_outbox_oldest_seconds", "task" => task.clone()).set(of(&oldest));
        if runs {
            metrics::gauge!("guildhall_unrunnable_keys", "task" => task.clone()).set(of(&left));
        }
    }
    Ok(())
}

/// Without what the outbox said earlier: a figure that can't be had is none.
fn without_outbox(text: &str) -> String {
    let is_of_outbox = |line: &&str| {
        let name = line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ");
        let name = name.split(['{', ' ']).next().unwrap_or_default();
        OF_OUTBOX.contains(&name)
    };
    text.split_inclusive('\n').filter(|line| !is_of_outbox(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_cannot_be_had_is_none() {
        let text = "# HELP guildhall_outbox_depth x\n# TYPE guildhall_outbox_depth gauge\nguildhall_outbox_depth 7\n\
                    guildhall_outbox_oldest_seconds{task=\"a\"} 1\n# TYPE guildhall_waiting gauge\nguildhall_waiting 3\n";
        assert_eq!(without_outbox(text), "# TYPE guildhall_waiting gauge\nguildhall_waiting 3\n");
        assert!(OF_OUTBOX.iter().all(|name| FIGURES.iter().any(|figure| figure.name == *name)));
    }
}
