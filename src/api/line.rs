//! What a request leaves behind: one line in the log, and its figures.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::StatusCode;

use super::action::{ActionEntry, Verb};
use super::head::client_ip;
use super::page::PageEntry;
use super::router::{Exchange, Router, Summary};
use crate::base::error::Error;
use crate::base::lock::lock;
use crate::base::seat;

/// Most bytes of an unknown path in a log line.
const LOGGED_PATH_BYTES: usize = 256;
/// And of a method: clients name it as they like, in ASCII.
const LOGGED_METHOD_BYTES: usize = 32;

/// Name of a request in logs and metrics.
#[derive(Clone, Copy)]
pub(super) struct Named {
    controller: &'static str,
    action: &'static str,
    only_reads: bool,
}

impl From<&ActionEntry> for Named {
    fn from(entry: &ActionEntry) -> Self {
        let (controller, action) = (entry.route.controller(), entry.route.action());
        Self { controller, action, only_reads: entry.only_reads() }
    }
}

impl From<&PageEntry> for Named {
    fn from(entry: &PageEntry) -> Self {
        Self { controller: "page", action: entry.name, only_reads: entry.method == Verb::Get }
    }
}

impl Router {
    /// The one line that a request leaves, and its figures.
    pub(super) fn log(
        &self,
        named: Option<Named>,
        exchange: &Exchange<'_>,
        result: Result<StatusCode, &Error>,
        took: Duration,
    ) -> Summary {
        let Exchange { parts, notes, request_id, invocation } = exchange;
        let (status, code) = match result {
            Ok(status) => (status.as_u16(), "ok"),
            Err(error) => (error.status().as_u16(), error.code()),
        };
        // Unknown paths share one label: a scanner shall not fill the figures.
        let (controller, action) = named.map_or(("none", "none"), |named| (named.controller, named.action));
        metrics::counter!("guildhall_requests_total", "controller" => controller, "action" => action, "code" => code)
            .increment(1);
        metrics::histogram!("guildhall_request_duration_seconds", "controller" => controller, "action" => action)
            .record(took);
        if let Err(Error::Internal(source)) = result {
            tracing::error!(error = %source, controller, action, "an action failed");
        }
        let caller = notes.caller.get();
        let cold_start = self.cold.swap(false, Ordering::Relaxed);
        let summary = Summary { controller, action, code, cold_start };
        let every = self.app.config.log_sample;
        let only_read = result.is_ok() && named.is_some_and(|named| named.only_reads);
        if only_read && !self.reads.fetch_add(1, Ordering::Relaxed).is_multiple_of(every) {
            return summary;
        }
        let refused = if matches!(result, Err(Error::RateLimited { .. })) {
            let Some(refused) = lock(&self.refused).one_more() else { return summary };
            Some(refused).filter(|refused| *refused > 1)
        } else {
            None
        };
        tracing::info!(
            request_id,
            controller,
            action,
            method = &parts.method.as_str()[..parts.method.as_str().len().min(LOGGED_METHOD_BYTES)],
            path = named.is_none().then(|| beginning(parts.uri.path())),
            caller = caller.map(|caller| caller.id.as_str()),
            scope = caller.map(|caller| caller.scope.as_str()),
            client_ip = client_ip(parts, &self.app.config.trusted_proxies).map(|ip| ip.to_string()),
            input = notes.input.get(),
            status,
            code,
            duration_ms = took.as_micros() as f64 / 1_000.0,
            waited_ms = Some(seat::waited().as_millis() as u64).filter(|waited| *waited > 0),
            version = self.app.config.version,
            alias = invocation.and_then(|invocation| invocation.alias.as_deref()),
            invocation = invocation.map(|invocation| invocation.id.as_str()),
            wordlist = &*self.app.blocklist.version(),
            cold_start,
            stands_for = (only_read && every > 1).then_some(every).or(refused),
            "request"
        );
        summary
    }
}

/// As much of a path as a log line holds: clients make it as long as they like.
fn beginning(path: &str) -> &str {
    &path[..path.floor_char_boundary(LOGGED_PATH_BYTES)]
}
