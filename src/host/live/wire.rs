//! The wire of a socket: frames that come, what is written, and how it closes so that the client reads why.

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Duration, Instant};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::frame::{Closing, Frame, FrameError, Push};
use crate::base::error::Error;
use crate::base::random;
use crate::host::shared::Shared;
use crate::host::stream::Stream;

/// Bytes of a frame that is too large which are read and thrown away, so that the client gets to read the reason.
const DISCARDED_BYTES: usize = 1024 * 1024;
const UNREAD: usize = 4096;
/// Bytes that may come before a whole frame that asks is there: several of the largest.
const BETWEEN: usize = 64 * 1024;
/// Pings and pongs: one in this time, and so many at once.
const CONTROL: Duration = Duration::from_secs(1);
const CONTROLS: u32 = 100;
/// Clients come back within so many seconds after a restart, each at another time.
const SPREAD_S: u64 = 10;

/// The socket and what is said on it.
pub(super) struct Wire {
    socket: WebSocketStream<Stream>,
    /// Time when something came last.
    pub(super) heard: Instant,
    /// Until when pings and pongs are paid off, at one a second.
    paid_off: Instant,
}

impl Wire {
    pub(super) fn new(socket: WebSocketStream<Stream>) -> Self {
        let now = Instant::now();
        Self { socket, heard: now, paid_off: now }
    }

    /// The next frame that asks, or its number and what is wrong with it. May be given up while it waits.
    pub(super) async fn next(&mut self) -> Result<Result<Frame, (u64, Error)>, Closing> {
        loop {
            self.socket.get_mut().allow(BETWEEN);
            let message =
                self.socket.next().await.ok_or(Closing::Gone)?.map_err(|fault| Closing::of(&fault))?;
            self.heard = Instant::now();
            match message {
                Message::Text(text) => match Frame::read(&text) {
                    Ok(frame) => return Ok(Ok(frame)),
                    Err(FrameError::Nonsense) => return Err(Closing::Protocol),
                    Err(FrameError::Wrong(id, error)) => return Ok(Err((id, error))),
                },
                Message::Binary(_) => return Err(Closing::Protocol),
                Message::Close(_) => return Err(Closing::Gone),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => self.pay()?,
            }
        }
    }

    /// A ping is answered, and a pong is no answer to anything: so many at once, and one a second.
    fn pay(&mut self) -> Result<(), Closing> {
        self.paid_off = self.paid_off.max(self.heard) + CONTROL;
        if self.paid_off > self.heard + CONTROL * CONTROLS { Err(Closing::Protocol) } else { Ok(()) }
    }

    pub(super) async fn write(&mut self, message: Message) -> Result<(), Closing> {
        self.socket.send(message).await.map_err(|fault| Closing::of(&fault))
    }

    /// Answers a frame: its number, and then what HTTP would have answered.
    pub(super) async fn answer(&mut self, id: u64, answer: &[u8]) -> Result<(), Closing> {
        let rest = std::str::from_utf8(answer.get(1..).unwrap_or(b"}")).unwrap_or("}");
        self.write(Message::text(format!("{{\"id\":{id},{rest}"))).await
    }

    pub(super) async fn refuse(&mut self, shared: &Shared, id: u64, error: Error) -> Result<(), Closing> {
        self.answer(id, shared.router.reply::<()>(Err(error), &random::id()).body()).await
    }

    pub(super) async fn push(&mut self, push: &Push<'_>) -> Result<(), Closing> {
        let text = serde_json::to_string(push).map_err(|_| Closing::Gone)?;
        self.write(Message::text(text)).await
    }

    pub(super) async fn close(&mut self, end: Closing) {
        let comes_back = match end {
            Closing::Restarting | Closing::Slow => Some(1),
            Closing::Later(seconds) => Some(seconds.max(1)),
            _ => None,
        };
        if comes_back.is_some() || end == Closing::Token {
            let retry_after_s = comes_back.map(|seconds| seconds + random::below(SPREAD_S));
            let _ = self.push(&Push::Bye { code: end.code().0, retry_after_s }).await;
        }
        let _ = self.socket.close(Some(end.frame())).await;
        // The client's own farewell, or the answer to it; without that, it would see a broken connection.
        self.socket.get_mut().allow(BETWEEN);
        while let Some(Ok(_)) = self.socket.next().await {}
        // What it is still sending comes to no end that can be read as frames.
        let stream = self.socket.get_mut();
        stream.allow(DISCARDED_BYTES + UNREAD);
        let _ = stream.shutdown().await;
        let (mut unread, mut left) = ([0; UNREAD], DISCARDED_BYTES);
        while left > 0
            && let Ok(read @ 1..) = stream.read(&mut unread).await
        {
            left = left.saturating_sub(read);
        }
    }
}
