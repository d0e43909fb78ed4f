//! Where the log goes: one JSON line an event for a log service, something readable for a person.
//!
//! Writing the log decides nothing. A server writes it from a thread of its own, so that nobody waits for a disk or a pipe;
//! lines that can't be written, or for which there is no room while it is stuck, are counted. A function is frozen between
//! calls and so writes in place. A panic leaves a line like any other.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::base::error::StartError;
use crate::config::{Config, Platform};
use crate::outside::bus;
use crate::store;

/// Lines that may wait for the log's writer; some kilobytes each at most.
const WAITING: usize = 8_192;
/// Time for which lines gather.
const PAUSE: Duration = Duration::from_millis(5);
/// Bytes of lines that are written without more.
const GATHERED: usize = 64 * 1024;

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
    /// Takes whole lines. Those which can't be written count as lost, and so does one that was cut.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let (mut rest, mut stderr) = (lines, io::stderr().lock());
        while !rest.is_empty() {
            match stderr.write(rest) {
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => {
                    let lost = rest.iter().filter(|byte| **byte == b'\n').count();
                    LOST.fetch_add(lost as u64, Ordering::Relaxed);
                    break;
                }
                Ok(written) => rest = &rest[written..],
            }
        }
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lines that are written together: the first at once, and those of the next milliseconds after them. To wake the writer
/// for each line would cost those who log as much as the line itself.
#[derive(Default)]
struct Gathering(Vec<u8>);

impl Write for Gathering {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(line);
        if self.0.len() >= GATHERED {
            self.write_out()?;
        }
        Ok(line.len())
    }

    /// Called where no line waits.
    fn flush(&mut self) -> io::Result<()> {
        self.write_out()?;
        thread::sleep(PAUSE);
        Ok(())
    }
}

impl Gathering {
    fn write_out(&mut self) -> io::Result<()> {
        Forgiving.write_all(&self.0)?;
        self.0.clear();
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
        let (writer, guard) = NonBlockingBuilder::default()
            .lossy(true)
            .buffered_lines_limit(WAITING)
            .finish(Gathering::default());
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
