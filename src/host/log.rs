//! Where the log goes: one JSON line an event for a log service, something readable for a person.
//!
//! Writing the log decides nothing. A server writes it from a thread of its own, so that nobody waits for a disk or a pipe;
//! lines that can't be written, or for which there is no room while it is stuck, are counted. A function is frozen between
//! calls and so writes in place. A panic leaves a line like any other.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::base::error::StartError;
use crate::config::{Config, Platform};
use crate::outside::bus;
use crate::store;

/// Lines that may wait for the log's writer; some kilobytes each at most.
const WAITING: usize = 8_192;

static LOST: AtomicU64 = AtomicU64::new(0);
static NO_ROOM: OnceLock<ErrorCounter> = OnceLock::new();

/// The log's writer; once it is dropped, what waited has been written.
pub struct Log {
    _writer: Option<WorkerGuard>,
}

/// Lines that were not written.
pub fn lost() -> u64 {
    let no_room = NO_ROOM.get().map_or(0, |counter| counter.dropped_lines() as u64);
    LOST.load(Ordering::Relaxed) + no_room
}

/// Standard error, whose faults are counted and told to nobody.
#[derive(Clone, Copy)]
struct Forgiving;

impl Write for Forgiving {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Events come whole.
        if io::stderr().lock().write_all(bytes).is_err() {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts it. Keep what comes back until the program ends.
///
/// # Errors
/// `GUILDHALL_LOG` is no filter.
pub fn start(config: &Config) -> Result<Log, StartError> {
    let filter = EnvFilter::try_new(format!("{},{},{}", store::LOG_FILTER, bus::LOG_FILTER, config.log))
        .map_err(|fault| StartError::new("GUILDHALL_LOG", fault))?;
    let (writer, guard) = if config.platform == Platform::Own {
        let (writer, guard) =
            NonBlockingBuilder::default().lossy(true).buffered_lines_limit(WAITING).finish(Forgiving);
        let _ = NO_ROOM.set(writer.error_counter());
        (BoxMakeWriter::new(writer), Some(guard))
    } else {
        (BoxMakeWriter::new(|| Forgiving), None)
    };
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).log_internal_errors(false);
    if io::stderr().is_terminal() {
        log.compact().init();
    } else {
        log.json().flatten_event(true).with_current_span(true).with_span_list(false).init();
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, panic = panic.payload_as_str().unwrap_or("of another type"), "a panic");
    }));
    Ok(Log { _writer: guard })
}
