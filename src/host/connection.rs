//! One client's connection to the plain server: requests one after the other, each with bounds on size and time.
//!
//! A place among those that are answered is taken only by a whole request, and held until the answer is on its way. Nothing
//! is kept for a connection on which nothing comes: the buffers are made when the first byte is there, and go when the
//! client has been quiet for a moment. When the server stops, what is no whole request is closed at once.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::live::{self, Upgrade};
use super::shared::{Shared, signalled};
use super::stream::{Activity, Answering, Held, Pieces, Stream};
use crate::api::head::{Peer, client_of};
use crate::api::router::Answer;
use crate::base::lock::lock;
use crate::base::random;
use crate::base::seat::{self, Seat};

/// A client has this long to send its next request's head; idle connections end then too.
const HEAD: Duration = Duration::from_secs(30);
const HEADERS: usize = 100;
const HEAD_BYTES: usize = 32 * 1024;
/// After so long without a byte, the connection's buffers go.
const QUIET: Duration = Duration::from_secs(2);
/// Time in which an answer that the system has taken may still leave, when the server stops.
const LEAVING: Duration = Duration::from_millis(100);

/// Serves a client until either side ends it. What is held is given back then.
pub(super) async fn serve<T>(socket: tokio::net::TcpStream, peer: Peer, shared: Arc<Shared>, _held: T) {
    // Without this, small answers wait for the client's acknowledgement.
    let _ = socket.set_nodelay(true);
    let activity = Arc::new(Activity::default());
    let mut closing = shared.closing.clone();
    let mut stream = Stream::new(socket, Arc::clone(&activity));
    loop {
        let readable = timeout(HEAD, stream.socket().readable());
        tokio::select! {
            readable = readable => if !matches!(readable, Ok(Ok(()))) { return },
            () = signalled(&mut closing) => return,
        }
        match boxed_requests(stream, peer, &shared, &activity).await {
            After::Quiet(quiet) => stream = quiet,
            After::Socket(stream, read, upgrade) => return boxed_socket(stream, read, upgrade, shared).await,
            After::Ended => return,
        }
    }
}

/// Boxes the work on requests, so that its memory is taken when a request comes, and not by every connection. (In a
/// function, because a future that is boxed where it is awaited still takes its room in the future that awaits it.)
fn boxed_requests<'a>(
    stream: Stream,
    peer: Peer,
    shared: &'a Arc<Shared>,
    activity: &'a Arc<Activity>,
) -> BoxFuture<'a, After> {
    Box::pin(busy(stream, peer, shared, activity))
}

/// Boxes the work on a socket, for the same reason.
fn boxed_socket(
    stream: Stream,
    read: Bytes,
    upgrade: Upgrade,
    shared: Arc<Shared>,
) -> BoxFuture<'static, ()> {
    Box::pin(live::serve(stream, read, upgrade, shared))
}

/// Outcome of a connection on which requests came.
enum After {
    /// The client has gone quiet.
    Quiet(Stream),
    /// The connection is a socket from now on; some of its bytes were read already.
    Socket(Stream, Bytes, Upgrade),
    Ended,
}

/// Answers requests as long as they come.
async fn busy(stream: Stream, peer: Peer, shared: &Arc<Shared>, activity: &Arc<Activity>) -> After {
    let upgrade = Arc::new(Mutex::new(None));
    let service = service_fn(|mut request: Request<Incoming>| {
        let (shared, activity, upgrade) = (Arc::clone(shared), Arc::clone(activity), Arc::clone(&upgrade));
        request.extensions_mut().insert(peer);
        Box::pin(async move {
            if shared.router.is_at(request.uri().path(), live::PATH) {
                return Ok::<_, Infallible>(open_socket(&request, peer, &shared, &activity, &upgrade));
            }
            Ok(answer(request, &shared, &activity).await)
        })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut closing = shared.closing.clone();
    let mut quiet = false;
    loop {
        let ended = poll_fn(|cx| connection.poll_without_shutdown(cx));
        tokio::select! {
            biased;
            ended = ended => {
                let parts = connection.into_parts();
                let mut stream = parts.io.into_inner();
                let upgrade = lock(&upgrade).take();
                if ended.as_ref().is_err_and(hyper::Error::is_parse) {
                    note_nonsense(peer, shared);
                }
                if ended.is_ok()
                    && let Some(upgrade) = upgrade
                {
                    return After::Socket(stream, parts.read_buf, upgrade);
                }
                if ended.is_ok() && quiet && parts.read_buf.is_empty() {
                    return After::Quiet(stream);
                }
                let _ = timeout(LEAVING, stream.shutdown()).await;
                return After::Ended;
            }
            () = sleep(QUIET), if !quiet => {
                if activity.is_idle() {
                    quiet = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
            }
            () = signalled(&mut closing) => break,
        }
    }
    Pin::new(&mut connection).graceful_shutdown();
    loop {
        let ended = poll_fn(|cx| connection.poll_without_shutdown(cx));
        tokio::select! {
            biased;
            _ = ended => break,
            () = sleep(LEAVING), if !activity.is_answering() => break,
            () = activity.ended.notified(), if activity.is_answering() => {}
        }
    }
    let _ = timeout(LEAVING, connection.into_parts().io.into_inner().shutdown()).await;
    After::Ended
}

/// Counts bytes that are no request as one request of their address. (Behind a proxy of ours nobody knows the sender.)
fn note_nonsense(peer: Peer, shared: &Shared) {
    let app = shared.router.app();
    metrics::counter!("guildhall_requests_unreadable_total").increment(1);
    if !app.config.trusted_proxies.contains(peer.0) {
        let _ = app.rates.count_address(peer.0, app.clock.now());
    }
}

/// Says yes to a request for a socket, which is opened when the answer is written; or what is wrong with it.
fn open_socket(
    request: &Request<Incoming>,
    peer: Peer,
    shared: &Shared,
    activity: &Arc<Activity>,
    upgrade: &Mutex<Option<Upgrade>>,
) -> Response<Pieces> {
    let app = shared.router.app();
    let read = Upgrade::read(request, peer, &app.config.trusted_proxies);
    // A wrong request counts for its address; a right one does not, but an address at its limit gets no socket either.
    let read = match read {
        Ok(read) => app.rates.would_pass(read.address(), app.clock.now()).map(|()| read),
        Err(error) => {
            let address = client_of(request.headers(), peer, &app.config.trusted_proxies).0;
            app.rates.count_address(address, app.clock.now()).and(Err(error))
        }
    };
    let answer = match read {
        Ok(read) => {
            let answer = read.answer();
            *lock(upgrade) = Some(read);
            answer
        }
        Err(error) => shared.router.reply::<()>(Err(error), &random::id()),
    };
    let held = Held { _answering: Some(Answering::begin(activity)), seat: Seat::new(None), unsent: None };
    answer.map(|bytes| Pieces::new(bytes, held))
}

/// Answers where there is room; else says so at once, rather than letting requests pile up.
async fn answer(request: Request<Incoming>, shared: &Shared, activity: &Arc<Activity>) -> Response<Pieces> {
    let router = &shared.router;
    let request = router.read(request).await;
    let mut held = Held {
        _answering: Some(Answering::begin(activity)),
        seat: Seat::new(Arc::clone(&shared.room).try_acquire_owned().ok()),
        unsent: None,
    };
    let has_place = held.seat.is_taken();
    if has_place {
        router.app().blocklist.refresh_after_standstill().await;
    }
    let (id, always) = (request.request_id(), router.is_health(request.path()));
    let mut answer = if has_place || always {
        seat::with(Arc::clone(&held.seat), router.answer(request)).await
    } else {
        router.shed(&id)
    };
    match shared.unsent(answer.body().len()) {
        Some(unsent) => held.unsent = unsent,
        None => answer = router.shed(&id),
    }
    last_if_stopping(&mut answer, &shared.stopping);
    answer.map(|bytes| Pieces::new(bytes, held))
}

fn last_if_stopping(answer: &mut Answer, stopping: &watch::Receiver<bool>) {
    if *stopping.borrow() {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}
