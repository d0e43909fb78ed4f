//! As a plain server: HTTP/1.1 with keep-alive, bounded in every direction, and stopped without a failed request.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::api::router::{Peer, Router};

/// A client has this long to send its next request's head; idle connections end then too.
const HEAD: Duration = Duration::from_secs(30);
/// Connections open at once; more wait in the system's queue.
const CONNECTIONS: usize = 10_000;
const HEADERS: usize = 100;
const HEAD_BYTES: usize = 32 * 1024;
/// After the signal, requests are still taken for this time, each answered with `connection: close`, so that
/// clients which keep connections open leave by themselves.
const FAREWELL: Duration = Duration::from_millis(500);
/// A pause after a failed accept: out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A server that listens but does not answer yet.
pub struct Server {
    listener: TcpListener,
    router: Arc<Router>,
}

/// What every connection shares.
struct Shared {
    router: Arc<Router>,
    room: Semaphore,
    stopping: watch::Receiver<bool>,
}

impl Server {
    /// Listens.
    ///
    /// # Errors
    /// The address can't be had.
    pub async fn bind(address: SocketAddr, router: Arc<Router>) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, router })
    }

    /// Where it listens: the port that the system chose, if the address named port 0.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `stop` turns true, then ends in order: still answers for a moment, takes what waits at the
    /// door, closes idle connections, and waits for open requests.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let config = &self.router.app().config;
        let grace = config.shutdown_grace;
        let shared = Arc::new(Shared {
            room: Semaphore::new(config.max_in_flight),
            stopping: stop.clone(),
            router: self.router,
        });
        let graceful = GracefulShutdown::new();
        let connections = Arc::new(Semaphore::new(CONNECTIONS));
        let accept = accept_all(&self.listener, &shared, &graceful, &connections);
        tokio::select! {
            () = accept => {}
            () = async { let _ = stop.wait_for(|stop| *stop).await; } => {}
        }
        let farewell = accept_all(&self.listener, &shared, &graceful, &connections);
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
        drop(self.listener);
        if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
            tracing::warn!(grace_s = grace.as_secs(), "some requests did not end in time");
        }
    }
}

async fn accept_all(
    listener: &TcpListener,
    shared: &Arc<Shared>,
    graceful: &GracefulShutdown,
    connections: &Arc<Semaphore>,
) {
    loop {
        let Ok(permit) = Arc::clone(connections).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let connection = connection(stream, peer, Arc::clone(shared));
                let connection = graceful.watch(connection);
                tokio::spawn(async move {
                    // A client that breaks off or talks nonsense is its own affair.
                    let _ = connection.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection can't be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared>,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + Send {
    // Without this, small answers wait for the client's acknowledgement.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let shared = Arc::clone(&shared);
        async move {
            request.extensions_mut().insert(Peer(peer.ip()));
            Ok::<_, Infallible>(shared.answer(request).await)
        }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
}

impl Shared {
    /// Answers where there is room; else says so at once, rather than letting requests pile up.
    async fn answer(&self, request: Request<Incoming>) -> http::Response<http_body_util::Full<bytes::Bytes>> {
        let permit = self.room.try_acquire();
        if permit.is_ok() {
            self.router.app().blocklist.refresh_after_standstill().await;
        }
        let mut answer = if permit.is_ok() || self.router.is_health(request.uri().path()) {
            self.router.handle(request).await
        } else {
            self.router.shed(&request)
        };
        if *self.stopping.borrow() {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}
