//! Sockets: another host of the same router. What a client asks on one is answered as over HTTP, and what is said in the
//! channels it follows is pushed.
//!
//! One task a socket, which does one thing at a time: it answers a frame, or writes what is new. So answers come in the
//! order of their frames, a send's answer comes before the push of the same entry, and a client that reads slowly is asked
//! for nothing more until it has read.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::json;
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::shared::{Shared, signalled};
use super::sockets::SocketSlot;
use super::stream::Stream;
use crate::api::head::Peer;
use crate::api::invoke::Asked;
use crate::base::error::{Error, Result};
use crate::base::random;
use crate::base::seat::{self, Seat};
use crate::chat::identity::Identity;
use crate::chat::values::Language;
use crate::store::announcement::ShownAnnouncement;

pub mod asyncapi;
mod following;
pub(super) mod frame;
mod upgrade;
mod wire;

use following::{Following, PushedFrame};
use frame::{Closing, Follow, Frame, Hello, Push, Typing, Unfollow};
pub(super) use upgrade::Upgrade;
use wire::Wire;

/// Path at which sockets are opened.
pub(super) const PATH: &str = "/live/socket";
/// The first frame must come in this time.
const HELLO: Duration = Duration::from_secs(5);
/// Proxies cut what is silent for a minute.
const PING: Duration = Duration::from_secs(25);
/// A client from which nothing came for so long is gone.
const SILENT: Duration = Duration::from_secs(60);
/// Time for what is being answered or written, when the server stops.
const LATE: Duration = Duration::from_secs(3);
/// Clients that are asked to come back are so within this time, each at another moment.
const MOVE_MS: u64 = 20_000;
/// Longest time that closing a socket may take.
const CLOSING: Duration = Duration::from_secs(2);
/// A client may take nothing for so long while there is something for it.
const STALLED: Duration = Duration::from_secs(30);
/// The largest frame that comes in.
const FRAME: usize = 20 * 1024;
/// The socket's buffers: most frames are small, and there are very many sockets.
const BUFFER: usize = 1024;
/// So many frames one after the other that are refused as no requests, or as too many: whoever sends them does not listen.
const NONSENSE: u32 = 100;
/// Time in which one request for `/health` is not counted; a socket does not need them.
const HEALTH: Duration = Duration::from_secs(1);

/// Talks with a client until either side ends it. `read` came behind the request already.
pub(super) async fn serve(mut stream: Stream, read: Bytes, upgrade: Upgrade, shared: Arc<Shared>) {
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(FRAME * 128)
        .max_message_size(Some(FRAME))
        .max_frame_size(Some(FRAME));
    stream.wait_for_reader(STALLED);
    // A copy, as the bytes are a part of the buffer for requests, which would stay with them.
    let begun = read.to_vec();
    drop(read);
    let socket = WebSocketStream::from_partially_read(stream, begun, Role::Server, Some(config)).await;
    let mut wire = Wire::new(socket);
    let end = match boxed_greet(&mut wire, upgrade.peer, &shared).await {
        Ok(Some(session)) => session.run(&mut wire).await,
        Ok(None) => Closing::Token,
        Err(end) => end,
    };
    metrics::counter!("guildhall_sockets_closed_total", "code" => end.code().0.to_string()).increment(1);
    let _ = timeout(CLOSING, wire.close(end)).await;
}

/// Boxes the work on a frame, so that its memory is taken when a frame comes: see `connection::boxed_requests`.
fn boxed_greet<'a>(
    wire: &'a mut Wire,
    peer: Peer,
    shared: &'a Arc<Shared>,
) -> BoxFuture<'a, Result<Option<Session>, Closing>> {
    Box::pin(greet(wire, peer, shared))
}

/// A client that has said who it is.
struct Session {
    shared: Arc<Shared>,
    peer: Peer,
    token: HeaderValue,
    who: Identity,
    following: Following,
    place: SocketSlot,
    /// Clients are asked to come back.
    moves: watch::Receiver<u64>,
    /// Receiver of what the game announces to many.
    announced: broadcast::Receiver<Arc<ShownAnnouncement>>,
    /// Frames refused as nonsense, one after the other.
    nonsense: u32,
    /// Time of the last request for `/health` that was not counted.
    health: Option<Instant>,
}

/// Waits for the first frame, which says who it is; none where that was not said well.
async fn greet(wire: &mut Wire, peer: Peer, shared: &Arc<Shared>) -> Result<Option<Session>, Closing> {
    // Whoever says something else is counted by its address, as requests without a token are.
    let app = shared.router.app();
    let stranger = || drop(app.rates.count_address(peer.0, app.clock.now()));
    let Ok(frame) = timeout(HELLO, wire.next()).await else { return Ok(None) };
    let frame = match frame.inspect_err(|_| stranger())? {
        Ok(frame) => frame,
        Err((id, error)) => {
            stranger();
            wire.refuse(shared, id, error).await?;
            return Ok(None);
        }
    };
    if frame.path != "/live/hello" {
        stranger();
        wire.refuse(shared, frame.id, Error::Unauthenticated("say /live/hello first")).await?;
        return Ok(None);
    }
    let known = frame.input::<Hello>().and_then(|hello| {
        let (token, who) = identify(shared, &hello.token)
            .or_else(|error| app.rates.count_address(peer.0, app.clock.now()).and(Err(error)))?;
        app.rates.count_caller(&who, app.clock.now())?;
        let watch = app.db.hub().watch().ok_or(Error::Unavailable("too many are waiting"))?;
        Ok((token, who, watch))
    });
    let (token, who, watch) = match known {
        Ok(known) => known,
        Err(error) => {
            let later = match error {
                Error::RateLimited { retry_after_s, .. } => Some(Closing::Later(retry_after_s)),
                Error::Unavailable(_) => Some(Closing::Later(0)),
                _ => None,
            };
            wire.refuse(shared, frame.id, error).await?;
            return later.map_or(Ok(None), Err);
        }
    };
    let place = shared.sockets.enter(&who.key());
    let following = Following::new(app, &shared.feed, watch, &who);
    // From here on, before the client knows that it is in: no word that comes later is missed.
    let mut moves = shared.moves.clone();
    moves.mark_unchanged();
    let announced = shared.announcer.listen();
    let session = Session {
        shared: Arc::clone(shared),
        peer,
        token,
        who,
        following,
        place,
        moves,
        announced,
        nonsense: 0,
        health: None,
    };
    let request_id = random::id();
    tracing::info!(request_id, caller = session.who.id.as_str(), client_ip = %peer.0, "socket");
    session.say(wire, frame.id, Ok(session.welcome()), &request_id).await?;
    Ok(Some(session))
}

fn identify(shared: &Shared, token: &str) -> Result<(HeaderValue, Identity)> {
    let app = shared.router.app();
    let mut header = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| Error::Unauthenticated("this is no token"))?;
    header.set_sensitive(true);
    let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, header.clone())]);
    Ok((header, app.tokens.identify(&headers, app.clock.now())?))
}

impl Session {
    fn welcome(&self) -> impl Serialize + use<> {
        json!({ "id": self.who.id, "scope": self.who.scope, "until": self.who.until, "ping_s": PING.as_secs() })
    }

    async fn say(
        &self,
        wire: &mut Wire,
        id: u64,
        result: Result<impl Serialize>,
        request_id: &str,
    ) -> Result<(), Closing> {
        wire.answer(id, self.shared.router.reply(result, request_id).body()).await
    }

    /// Talks until something ends it.
    async fn run(mut self, wire: &mut Wire) -> Closing {
        let mut stopping = self.shared.stopping.clone();
        let late = async {
            signalled(&mut stopping).await;
            tokio::time::sleep(LATE).await;
        };
        tokio::select! {
            ended = self.talk(wire) => ended.err().unwrap_or(Closing::Gone),
            // A client that takes nothing does not hold a stop up.
            () = late => Closing::Gone,
        }
    }

    async fn talk(&mut self, wire: &mut Wire) -> Result<(), Closing> {
        let mut stopping = self.shared.stopping.clone();
        let mut moves_at = None;
        let mut pings = interval(PING);
        loop {
            let left = self.who.until - self.shared.router.app().clock.now();
            let left = Duration::from_millis(left.max(0).unsigned_abs());
            let (ends_in, end) =
                match moves_at.map(|at: Instant| at.saturating_duration_since(Instant::now())) {
                    Some(moves_in) if moves_in < left => (moves_in, Closing::Restarting),
                    _ => (left, Closing::Token),
                };
            tokio::select! {
                biased;
                () = signalled(&mut stopping) => return Err(Closing::Restarting),
                () = self.place.displaced() => return Err(Closing::TooMany),
                () = tokio::time::sleep(ends_in) => return Err(end),
                Ok(()) = self.moves.changed(), if moves_at.is_none() => {
                    moves_at = Some(Instant::now() + Duration::from_millis(random::below(MOVE_MS)));
                }
                frame = wire.next() => match frame? {
                    Ok(frame) => self.boxed_take(wire, frame).await?,
                    Err((id, error)) => {
                        let error = self.count().err().unwrap_or(error);
                        wire.refuse(&self.shared, id, error).await?;
                        self.judge(true)?;
                    }
                },
                () = self.following.wait() => self.boxed_tell(wire).await?,
                // Whoever is too far behind asks what is active.
                heard = self.announced.recv() => if let Ok(shown) = heard {
                    self.announce(wire, &shown).await?;
                },
                _ = pings.tick() => {
                    if wire.heard.elapsed() > SILENT {
                        return Err(Closing::Gone);
                    }
                    wire.write(Message::Ping(Bytes::new())).await?;
                }
            }
        }
    }

    fn boxed_take<'a>(&'a mut self, wire: &'a mut Wire, frame: Frame) -> BoxFuture<'a, Result<(), Closing>> {
        Box::pin(self.take(wire, frame))
    }

    fn boxed_tell<'a>(&'a mut self, wire: &'a mut Wire) -> BoxFuture<'a, Result<(), Closing>> {
        Box::pin(self.tell(wire))
    }

    /// Writes what is new.
    async fn tell(&mut self, wire: &mut Wire) -> Result<(), Closing> {
        let (news, _held) = match self.following.read(&self.who, &self.shared).await {
            Ok(read) => read,
            Err(error) => {
                // It is still due.
                tracing::debug!(error = error.for_log(), "what is new can't be read now");
                tokio::time::sleep(Duration::from_millis(500)).await;
                return Ok(());
            }
        };
        for PushedFrame { frame, heard } in news {
            metrics::counter!("guildhall_pushes_total").increment(1);
            wire.write(Message::Text(frame)).await?;
            if let Some(heard) = heard {
                metrics::histogram!("guildhall_push_delay_seconds").record(heard.elapsed());
            }
        }
        Ok(())
    }

    /// Writes what the game says to many, if it concerns the caller.
    async fn announce(&self, wire: &mut Wire, shown: &ShownAnnouncement) -> Result<(), Closing> {
        if !shown.audience.concerns(&self.who) {
            return Ok(());
        }
        metrics::counter!("guildhall_pushes_total").increment(1);
        let language = self.who.lang.as_ref().map(Language::as_str);
        wire.push(&Push::Announcement { announcement: shown.in_language(language) }).await
    }

    /// Answers one frame.
    async fn take(&mut self, wire: &mut Wire, frame: Frame) -> Result<(), Closing> {
        let request_id: Arc<str> = random::id().into();
        match frame.path.as_str() {
            path if self.counts(path)
                && let Err(error) = self.count() =>
            {
                self.say(wire, frame.id, Err::<(), _>(error), &request_id).await?;
                self.judge(true)
            }
            "/live/hello" => {
                let again = Err::<(), _>(Error::Conflict("this socket has said hello".into()));
                self.say(wire, frame.id, again, &request_id).await?;
                self.judge(true)
            }
            "/live/follow" => {
                let followed = match frame.input::<Follow>() {
                    Ok(follow) => self.following.follow(&self.who, follow).await,
                    Err(error) => Err(error),
                };
                self.nonsense = 0;
                let followed = followed.map(|channels| json!({ "channels": channels }));
                self.say(wire, frame.id, followed, &request_id).await
            }
            "/live/unfollow" => {
                let done = frame.input::<Unfollow>().map(|unfollow| {
                    unfollow.channels.into_vec().iter().for_each(|id| self.following.forget(id.as_str()));
                    json!({})
                });
                self.say(wire, frame.id, done, &request_id).await
            }
            "/live/typing" => {
                let told = frame.input::<Typing>();
                let told = told.and_then(|typing| self.following.types(&self.who, typing.channel.as_str()));
                self.say(wire, frame.id, told.map(|()| json!({})), &request_id).await
            }
            "/live/renew" => {
                let renewed = frame.input::<Hello>().and_then(|hello| self.renew(&hello.token));
                self.say(wire, frame.id, renewed, &request_id).await
            }
            path => {
                let asked =
                    Asked { path, input: frame.input.as_deref(), token: &self.token, peer: self.peer };
                let (router, room) = (&self.shared.router, Arc::clone(&self.shared.room));
                let answer = match room.try_acquire_owned() {
                    Ok(place) => seat::with(Seat::on_socket(place), router.invoke(asked, &request_id)).await,
                    Err(_) => router.shed(&request_id),
                };
                let is_nonsense = answer.status() == StatusCode::TOO_MANY_REQUESTS || !router.has(path);
                match self.shared.unsent(answer.body().len() * 2) {
                    Some(_held) => wire.answer(frame.id, answer.body()).await?,
                    None => wire.answer(frame.id, router.shed(&request_id).body()).await?,
                }
                // What is not counted takes nothing back either.
                if is_nonsense || !router.is_health(path) { self.judge(is_nonsense) } else { Ok(()) }
            }
        }
    }

    /// Is this frame counted here? The router counts what it gets; what is asked of `/health` it does not.
    fn counts(&mut self, path: &str) -> bool {
        if path.starts_with("/live/") {
            return true;
        }
        if !self.shared.router.is_health(path) {
            return false;
        }
        let is_early = self.health.is_some_and(|last| last.elapsed() < HEALTH);
        if !is_early {
            self.health = Some(Instant::now());
        }
        is_early
    }

    /// Whoever goes on sending nonsense is not answered for ever.
    fn judge(&mut self, is_nonsense: bool) -> Result<(), Closing> {
        self.nonsense = if is_nonsense { self.nonsense + 1 } else { 0 };
        if self.nonsense >= NONSENSE { Err(Closing::Protocol) } else { Ok(()) }
    }

    /// The socket's own actions count as all others do.
    fn count(&self) -> Result<()> {
        let app = self.shared.router.app();
        app.rates.count_caller(&self.who, app.clock.now())
    }

    /// A later token of the same caller.
    fn renew(&mut self, token: &str) -> Result<impl Serialize + use<>> {
        let (header, who) = identify(&self.shared, token)?;
        if (&who.id, who.scope) != (&self.who.id, self.who.scope) {
            let message = "the token is another caller's".to_owned();
            return Err(Error::Forbidden { reason: "another_caller", message });
        }
        (self.token, self.who) = (header, who);
        Ok(self.welcome())
    }
}
