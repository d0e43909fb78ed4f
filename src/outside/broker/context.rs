//! What librdkafka says by itself: its log, its faults and its figures, which are ours from here on.
//!
//! It logs each failed connection, many times a second where a broker is away. One line of a kind in half a minute is
//! enough to know why nothing goes; the last of them is kept, so that whoever could not send can say why.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode;

use crate::base::lock::lock;

/// One line of a kind in so long.
const QUIET: Duration = Duration::from_secs(30);
/// Kinds of lines that are remembered; more than that are none that repeat.
const KINDS: usize = 64;
/// The longest line.
const LINE: usize = 300;
/// Time in which a fault explains later failures.
const RECENT: Duration = Duration::from_secs(60);

/// One client's ears; a copy hears the same.
#[derive(Clone, Debug)]
pub(super) struct Context {
    /// Name of the client: the producer, the worker's consumer, the one that makes topics.
    client: &'static str,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Debug, Default)]
struct Heard {
    last_lines: HashMap<String, Instant>,
    why: Option<(String, Instant)>,
}

impl Context {
    pub(super) fn new(client: &'static str) -> Self {
        Self { client, heard: Arc::default() }
    }

    /// Returns the reason of failures, as far as the client gave one lately.
    pub(super) fn why(&self) -> Option<String> {
        let heard = lock(&self.heard);
        heard.why.as_ref().filter(|(_, at)| at.elapsed() < RECENT).map(|(why, _)| why.clone())
    }

    /// Is a line of this kind due again?
    pub(super) fn is_due(&self, kind: &str) -> bool {
        let mut heard = lock(&self.heard);
        if heard.last_lines.get(kind).is_some_and(|last| last.elapsed() < QUIET) {
            return false;
        }
        if heard.last_lines.len() >= KINDS {
            heard.last_lines.clear();
        }
        heard.last_lines.insert(kind.to_owned(), Instant::now());
        true
    }

    fn note(&self, why: &str) {
        lock(&self.heard).why = Some((why.to_owned(), Instant::now()));
    }
}

/// Returns a line without its numbers, which differ each time: ports, milliseconds, counts.
pub(super) fn kind(text: &str) -> String {
    // Behind the thread that says so, and before how long and how often.
    let text = text.rsplit_once("]: ").map_or(text, |(_, text)| text);
    let text = text.split(" (").next().unwrap_or_default();
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LINE)]
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        let line = cut(line);
        let is_fault = (level as i32) <= RDKafkaLogLevel::Error as i32;
        if is_fault {
            self.note(line);
        }
        if !self.is_due(&kind(line)) {
            return;
        }
        let client = self.client;
        if (level as i32) <= RDKafkaLogLevel::Warning as i32 {
            tracing::warn!(client, facility, line, "the broker's client");
        } else {
            tracing::debug!(client, facility, line, "the broker's client");
        }
    }

    /// Notes a fault. The client's log lines come here a second time, except for faults of the program's own.
    fn error(&self, fault: KafkaError, reason: &str) {
        // That all brokers are down is no reason: it is what the reason led to.
        if fault.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.note(cut(reason));
        }
        tracing::debug!(client = self.client, %fault, reason = cut(reason), "the broker's client");
    }

    fn stats(&self, statistics: Statistics) {
        let partitions = statistics.topics.values().flat_map(|topic| topic.partitions.values());
        let lag: i64 = partitions.map(|partition| partition.consumer_lag.max(0)).sum();
        if statistics.client_type == "consumer" {
            metrics::gauge!("guildhall_broker_lag").set(lag as f64);
        }
    }
}

impl ConsumerContext for Context {
    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, _: &Rebalance<'_>) {
        use rdkafka::consumer::Consumer;
        let assigned = consumer.assignment().map_or(0, |partitions| partitions.count());
        metrics::gauge!("guildhall_broker_partitions").set(assigned as f64);
        tracing::info!(partitions = assigned, "the workers' partitions were shared out");
    }
}
