//! A client's socket as the server sees it: who takes nothing for too long is let go, and it is known whether anything of
//! a request has come.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::{Instant, Sleep};

use crate::base::seat::Seat;

/// A client may take nothing for so long while there is something for it.
const STALLED: Duration = Duration::from_secs(10);
/// An answer goes out in such pieces: the next is made ready when there is room for it.
const PIECE: usize = 16 * 1024;
/// The longest that one answer may take to be read.
const READ_WITHIN: Duration = Duration::from_secs(30);

/// Activity on a connection, as the server knows it.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Whole requests that are answered now.
    answering: AtomicUsize,
    /// Bytes that came since the last answer.
    fresh: AtomicUsize,
    /// An answer has ended.
    pub(super) ended: Notify,
}

impl Activity {
    pub(super) fn is_answering(&self) -> bool {
        self.answering.load(Ordering::Acquire) > 0
    }

    /// Neither a request nor a part of one is there.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_answering() && self.fresh.load(Ordering::Acquire) == 0
    }
}

/// As long as a request is answered.
#[derive(Debug)]
pub(super) struct Answering(Arc<Activity>);

impl Answering {
    pub(super) fn begin(activity: &Arc<Activity>) -> Self {
        activity.answering.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(activity))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.fresh.store(0, Ordering::Release);
        self.0.answering.fetch_sub(1, Ordering::AcqRel);
        self.0.ended.notify_one();
    }
}

/// A socket with an eye on it.
pub(super) struct Stream {
    socket: TcpStream,
    activity: Arc<Activity>,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    patience: Duration,
    /// Of a socket: bytes that may still come before something whole does.
    allowance: Option<usize>,
}

impl Stream {
    pub(super) fn new(socket: TcpStream, activity: Arc<Activity>) -> Self {
        Self { socket, activity, stalled: None, patience: STALLED, allowance: None }
    }

    /// So many bytes may come until this is said again: beyond that, reading fails. (What reads frames goes on by itself over
    /// those that are nothing, and would not say so.)
    pub(super) fn allow(&mut self, bytes: usize) {
        self.allowance = Some(bytes);
    }

    /// The client may take nothing for so long.
    pub(super) fn wait_for_reader(&mut self, patience: Duration) {
        self.patience = patience;
    }

    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    fn watched<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => {
                self.stalled = None;
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        let came = buffer.filled().len() - before;
        self.activity.fresh.fetch_add(came, Ordering::AcqRel);
        if let Some(allowance) = &mut self.allowance {
            match allowance.checked_sub(came) {
                Some(left) => *allowance = left,
                None => return Poll::Ready(Err(io::Error::from(io::ErrorKind::InvalidData))),
            }
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.watched(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, pieces);
        self.watched(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// Resources held until an answer is on its way: its place among those that are answered, and its bytes among the
/// unsent.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) _answering: Option<Answering>,
    pub(super) seat: Arc<Seat>,
    pub(super) unsent: Option<OwnedSemaphorePermit>,
}

/// An answer's body, piece by piece as the client takes it.
pub(super) struct Pieces {
    rest: bytes::Bytes,
    until: Instant,
    _held: Held,
}

impl Pieces {
    pub(super) fn new(bytes: bytes::Bytes, held: Held) -> Self {
        Self { rest: bytes, until: Instant::now() + READ_WITHIN, _held: held }
    }
}

impl Body for Pieces {
    type Data = bytes::Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<bytes::Bytes>>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        if Instant::now() > self.until {
            return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
        }
        let length = PIECE.min(self.rest.len());
        let piece = self.rest.split_to(length);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
