//! A request's body, read within bounds of size and time.

use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;

use crate::base::error::{Error, Result};
use crate::base::seat;

/// The most that is read of a body.
pub(super) const MAX_BODY_BYTES: usize = 16 * 1024;
/// The same for the game's own server.
pub(super) const MAX_SERVER_BODY_BYTES: usize = 256 * 1024;
/// The longest that a body may stand still on its way.
const STALLED: Duration = Duration::from_secs(5);
/// The same for one that says itself that it is larger than anybody's may be.
const STALLED_TOO_LARGE: Duration = Duration::from_millis(500);
/// Most bytes of a too large body that are read and thrown away before the answer, so that clients get to read it.
const DISCARDED_BYTES: usize = 1024 * 1024;

/// Pieces of a body, such as chunks: each costs as much as hundreds of bytes.
const PIECES: usize = 2_048;

/// A request's body.
pub(super) enum Body {
    /// Taken in, or why it could not be.
    Whole(Result<Bytes>),
    /// For a page that takes it piece by piece.
    Pieces(PageBody),
}

impl Body {
    /// All of it, for what takes no pieces.
    pub(super) fn whole(self) -> Result<Bytes> {
        match self {
            Self::Whole(body) => body,
            Self::Pieces(_) => Ok(Bytes::new()),
        }
    }

    /// The same as pieces.
    pub(super) fn pieces(self) -> Result<PageBody> {
        match self {
            Self::Whole(body) => Ok(PageBody::of(http_body_util::Full::new(body?), usize::MAX)),
            Self::Pieces(body) => Ok(body),
        }
    }
}

/// The answer to a body that does not come.
pub(super) fn late() -> Error {
    Error::InvalidInput("the body did not arrive in time".to_owned())
}

/// Reads a body that is not too large. Of a larger one some is thrown away first, or the client would meet a
/// closed connection instead of the answer.
///
/// `limit` is asked once, when the body is larger than anybody's may be: it looks at the token. A body in very small pieces
/// costs more than its bytes do, so they are counted too.
pub(super) async fn collect<B>(body: B, limit: impl Fn() -> usize) -> Result<Bytes>
where
    B: http_body::Body<Data: Buf> + Send,
{
    let mut body = std::pin::pin!(body);
    let mut read = Vec::new();
    let (mut size, mut most, mut pieces, mut asked) = (0, MAX_BODY_BYTES, 0, false);
    let is_announced = body.size_hint().lower() > MAX_SERVER_BODY_BYTES as u64;
    let patience = if is_announced { STALLED_TOO_LARGE } else { STALLED };
    loop {
        let Ok(frame) = tokio::time::timeout(patience, body.frame()).await else {
            return Err(if is_announced { Error::TooLarge { limit: limit() } } else { late() });
        };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|_| Error::InvalidInput("the body ended early".to_owned()))?;
        let Ok(mut data) = frame.into_data() else { continue };
        size += data.remaining();
        pieces += 1;
        if size > DISCARDED_BYTES {
            break;
        }
        if pieces > PIECES {
            return Err(Error::InvalidInput(format!("a body comes in {PIECES} pieces at most")));
        }
        if size > most && !asked {
            (most, asked) = (limit(), true);
        }
        if size <= most {
            while data.has_remaining() {
                let chunk = data.chunk();
                read.extend_from_slice(chunk);
                let length = chunk.len();
                data.advance(length);
            }
        }
    }
    if size > most { Err(Error::TooLarge { limit: most }) } else { Ok(read.into()) }
}

type Pieces = Pin<Box<dyn http_body::Body<Data = Bytes, Error = ()> + Send>>;

/// A body that is taken piece by piece, up to so many bytes.
pub struct PageBody {
    pieces: Pieces,
    left: usize,
    limit: usize,
}

impl PageBody {
    /// A body as it comes.
    pub(super) fn of<B>(body: B, limit: usize) -> Self
    where
        B: http_body::Body<Data: Buf> + Send + 'static,
    {
        let pieces = body
            .map_frame(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining())))
            .map_err(|_| ());
        Self { pieces: Box::pin(pieces), left: limit, limit }
    }

    /// No body.
    pub(super) fn none() -> Self {
        Self::of(http_body_util::Empty::<Bytes>::new(), 0)
    }

    /// The next piece; none at the end. Whoever waits for one takes nobody's place among the requests that are answered.
    ///
    /// # Errors
    /// It is larger than it may be, stands still, or breaks off.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let frame = seat::away(tokio::time::timeout(STALLED, self.pieces.frame())).await;
            let Some(frame) = frame.map_err(|_| late())? else { return Ok(None) };
            let frame = frame.map_err(|()| Error::InvalidInput("the body ended early".to_owned()))?;
            let Ok(piece) = frame.into_data() else { continue };
            self.left = self.left.checked_sub(piece.len()).ok_or(Error::TooLarge { limit: self.limit })?;
            return Ok(Some(piece));
        }
    }
}
