//! A game server that takes events, and as many faults of it as tests want.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

pub const WEBHOOK_SECRET: &str = "what the game and the chat share, 32 bytes";

/// A game server that takes events, over real HTTP.
pub struct Receiver {
    address: SocketAddr,
    /// How long it takes for an answer.
    pub slow_ms: Arc<AtomicU64>,
    /// Every so many posts are refused with 503; 0 for none.
    pub refuse_every: Arc<AtomicU64>,
    /// Posts with this in them are refused with 503; empty for none.
    pub refuse: Arc<Mutex<String>>,
    pub status: Arc<AtomicU16>,
    /// Seconds after which a refused post may come again; 0 for not said.
    pub retry_after_s: Arc<AtomicU64>,
    /// The ids of those that were taken.
    pub taken: Arc<Mutex<Vec<String>>>,
    /// All that came, refused or not.
    pub events: Arc<Mutex<Vec<(http::HeaderMap, String)>>>,
}

impl Receiver {
    pub async fn start() -> Self {
        let slow_ms = Arc::new(AtomicU64::new(0));
        let pause = Arc::clone(&slow_ms);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let status = Arc::new(AtomicU16::new(204));
        let events = Arc::new(Mutex::new(Vec::new()));
        let (answers, seen) = (Arc::clone(&status), Arc::clone(&events));
        let (refuse_every, taken) = (Arc::<AtomicU64>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (every, took) = (Arc::clone(&refuse_every), Arc::clone(&taken));
        let retry_after_s = Arc::<AtomicU64>::default();
        let later = Arc::clone(&retry_after_s);
        let refuse = Arc::<Mutex<String>>::default();
        let refused = Arc::clone(&refuse);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answers, seen, pause) = (Arc::clone(&answers), Arc::clone(&seen), Arc::clone(&pause));
                let (every, took, later) = (Arc::clone(&every), Arc::clone(&took), Arc::clone(&later));
                let refused = Arc::clone(&refused);
                let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let (answers, seen, pause) =
                        (Arc::clone(&answers), Arc::clone(&seen), Arc::clone(&pause));
                    let (every, took, later) = (Arc::clone(&every), Arc::clone(&took), Arc::clone(&later));
                    let refused = Arc::clone(&refused);
                    async move {
                        let (parts, body) = request.into_parts();
                        let id = parts.headers["webhook-id"].to_str().unwrap().to_owned();
                        let body =
                            String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
                        let is_refused = {
                            let refused = refused.lock().unwrap();
                            !refused.is_empty() && body.contains(refused.as_str())
                        };
                        let number = {
                            let mut seen = seen.lock().unwrap();
                            seen.push((parts.headers, body));
                            seen.len() as u64
                        };
                        tokio::time::sleep(Duration::from_millis(pause.load(Ordering::SeqCst))).await;
                        let mut answer = http::Response::new(Full::<Bytes>::default());
                        let every = every.load(Ordering::SeqCst);
                        let status = if is_refused || every > 0 && number % every == 0 {
                            503
                        } else {
                            answers.load(Ordering::SeqCst)
                        };
                        *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
                        let later = later.load(Ordering::SeqCst);
                        if later > 0 && status >= 400 {
                            answer.headers_mut().insert("retry-after", later.into());
                        }
                        if status < 300 {
                            took.lock().unwrap().push(id);
                        }
                        Ok::<_, Infallible>(answer)
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, slow_ms, refuse_every, refuse, status, retry_after_s, taken, events }
    }

    pub fn url(&self) -> String {
        format!("http://{}/chat-events", self.address)
    }

    /// The different events that came.
    pub fn ids(&self) -> HashSet<String> {
        let id =
            |(headers, _): &(http::HeaderMap, String)| headers["webhook-id"].to_str().unwrap().to_owned();
        self.events.lock().unwrap().iter().map(id).collect()
    }

    pub fn count(&self) -> usize {
        self.events.lock().unwrap().len()
    }
}
