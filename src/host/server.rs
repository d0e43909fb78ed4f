//! As a plain server: HTTP/1.1 with keep-alive, bounded in every direction, and stopped without a failed request.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::addresses::Addresses;
use super::announcer::Announcer;
use super::feed::Feed;
use super::presence::Presence;
use super::shared::{Shared, signalled};
use super::{bus, connection};
use crate::api::head::Peer;
use crate::api::router::Router;
use crate::base::panic::lasting;

/// Connections that the system keeps for us until we accept them: a crowd comes at once after a restart.
const BACKLOG: u32 = 4_096;
/// Time for which a port that is held is tried again.
const STILL_HELD: Duration = Duration::from_secs(1);
/// Connections open at once; more wait in the system's queue.
const CONNECTIONS: usize = 20_000;
/// Memory that all answers together may hold until their readers take them: 64 MiB in units of 16 KiB.
const UNSENT_UNITS: usize = 4_096;
/// Longest time to tell a client that its address has too many connections.
const REFUSING: Duration = Duration::from_secs(1);
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

/// Listens at an address. A port that a killed predecessor still holds is tried again for a moment.
pub(super) async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let begun = Instant::now();
    loop {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        match socket.bind(address).and_then(|()| socket.listen(BACKLOG)) {
            Err(fault) if fault.kind() == io::ErrorKind::AddrInUse && begun.elapsed() < STILL_HELD => {
                tokio::time::sleep(STILL_HELD / 20).await;
            }
            listening => return listening,
        }
    }
}

impl Server {
    /// Listens.
    ///
    /// # Errors
    /// The address can't be had.
    pub async fn bind(address: SocketAddr, router: Arc<Router>) -> io::Result<Self> {
        Ok(Self { listener: listen(address).await?, router })
    }

    /// Returns the address it listens on: with the port that the system chose, if the address named port 0.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `stop` turns true, then ends in order: still answers for a moment, takes what waits at the
    /// door, closes what is no whole request, and waits for those that are. Each of `moves` asks the sockets' clients to
    /// come back.
    pub async fn run(self, mut stop: watch::Receiver<bool>, moves: watch::Receiver<u64>) {
        let app = Arc::clone(self.router.app());
        let config = &app.config;
        let grace = config.shutdown_grace;
        let (close, closing) = watch::channel(false);
        let door = Acceptor {
            addresses: Addresses::new(config.connections_per_address, config.trusted_proxies.clone()),
            places: Arc::new(Semaphore::new(CONNECTIONS)),
            open: TaskTracker::new(),
            shared: Arc::new(Shared {
                room: Arc::new(Semaphore::new(config.max_in_flight)),
                unsent: Arc::new(Semaphore::new(UNSENT_UNITS)),
                feed: Feed::new(Arc::clone(&app)),
                announcer: Arc::new(Announcer::new()),
                sockets: Arc::default(),
                stopping: stop.clone(),
                moves,
                closing,
                router: self.router,
            }),
        };
        let present = start_background(&door.shared);
        tokio::select! {
            () = door.accept_all(&self.listener) => {}
            () = signalled(&mut stop) => {}
        }
        let _ = tokio::time::timeout(FAREWELL, door.accept_all(&self.listener)).await;
        drop(self.listener);
        let _ = close.send(true);
        app.db.hub().close();
        door.open.close();
        if tokio::time::timeout(grace, door.open.wait()).await.is_err() {
            tracing::warn!(grace_s = grace.as_secs(), "some requests did not end in time");
        }
        let _ = present.await;
    }
}

/// Starts what goes on beside the answering of requests. The end of the last, who is online, is worth waiting for: it is
/// written down.
fn start_background(shared: &Arc<Shared>) -> JoinHandle<()> {
    let of = Arc::clone(shared);
    tokio::spawn(async move { lasting("the feed", || Arc::clone(&of.feed).run()).await });
    let of = Arc::clone(shared);
    tokio::spawn(async move {
        lasting("the bus", || bus::run(Arc::clone(of.router.app()), Arc::clone(&of.feed))).await;
    });
    let of = Arc::clone(shared);
    tokio::spawn(async move {
        let begin = || of.announcer.run(of.router.app(), &of.sockets, of.closing.clone());
        lasting("announcing", begin).await;
    });
    let of = Arc::clone(shared);
    tokio::spawn(async move {
        let begin = || Presence::new(of.router.app(), &of.feed, &of.sockets).run(of.closing.clone());
        lasting("who is online", begin).await;
    })
}

/// Acceptor of connections.
struct Acceptor {
    addresses: Addresses,
    places: Arc<Semaphore>,
    open: TaskTracker,
    shared: Arc<Shared>,
}

impl Acceptor {
    async fn accept_all(&self, listener: &TcpListener) {
        loop {
            let Ok(permit) = Arc::clone(&self.places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, peer)) => match self.addresses.enter(peer.ip()) {
                    Some(place) => {
                        let (peer, shared) = (Peer(peer.ip()), Arc::clone(&self.shared));
                        // A client that breaks off or talks nonsense is its own affair.
                        self.open.spawn(connection::serve(stream, peer, shared, (place, permit)));
                    }
                    None => drop(self.open.spawn(refuse(stream, self.shared.router.refusal(), permit))),
                },
                Err(error) => {
                    tracing::warn!(%error, "a connection can't be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Says why and closes. What the client sent is read and thrown away, or it would see a broken connection instead.
async fn refuse(mut stream: TcpStream, refusal: String, permit: OwnedSemaphorePermit) {
    metrics::counter!("guildhall_connections_refused_total").increment(1);
    let saying = async {
        stream.write_all(refusal.as_bytes()).await?;
        stream.shutdown().await?;
        let mut unread = [0; 1024];
        while stream.read(&mut unread).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    let _ = tokio::time::timeout(REFUSING, saying).await;
    drop(permit);
}
