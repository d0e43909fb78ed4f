//! What many sockets hear of texts that say when they were said, `@MICROSECONDS@ …`: how many, and how long each took.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::socket::frame_end;

/// What all sockets heard: how many entries, and how long each took, by millisecond.
pub(crate) struct Heard {
    entries: AtomicU64,
    took_ms: Vec<AtomicUsize>,
}

impl Heard {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            entries: AtomicU64::new(0),
            took_ms: (0..20_000).map(|_| AtomicUsize::new(0)).collect(),
        })
    }

    pub(crate) fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// What so large a share stayed below.
    pub(crate) fn ms(&self, share: f64) -> usize {
        let mut left = (self.entries() as f64 * share) as usize;
        let slot = self.took_ms.iter().position(|count| {
            let count = count.load(Ordering::Relaxed);
            let found = count > left;
            left = left.saturating_sub(count);
            found
        });
        slot.map_or(20_000, |ms| ms + 1)
    }

    /// Reads pushes, and notes how long each entry took.
    pub(crate) async fn listen(self: Arc<Self>, mut stream: TcpStream, epoch: Instant) {
        let mut bytes = Vec::with_capacity(4_096);
        while matches!(stream.read_buf(&mut bytes).await, Ok(count) if count > 0) {
            let now = epoch.elapsed().as_micros() as usize;
            // Whole frames only.
            let mut at = 0;
            while let Some(end) = frame_end(&bytes[at..]) {
                for stamp in bytes[at..at + end].split(|byte| *byte == b'@') {
                    let stamp = std::str::from_utf8(stamp).ok().and_then(|stamp| stamp.parse::<usize>().ok());
                    if let Some(stamp) = stamp {
                        let slot = ((now - stamp) / 1_000).min(self.took_ms.len() - 1);
                        self.took_ms[slot].fetch_add(1, Ordering::Relaxed);
                        self.entries.fetch_add(1, Ordering::Relaxed);
                    }
                }
                at += end;
            }
            bytes.drain(..at);
        }
    }
}
