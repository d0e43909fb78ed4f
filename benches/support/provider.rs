//! Somebody else's server that takes everything at once, and counts it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// The server, in this process.
pub(crate) struct Provider {
    pub(crate) url: String,
    came: Arc<AtomicUsize>,
}

impl Provider {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let came = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&came);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let counted = Arc::clone(&counted);
                let service =
                    service_fn(move |request: http::Request<Incoming>| take(request, Arc::clone(&counted)));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, came }
    }

    pub(crate) fn came(&self) -> usize {
        self.came.load(Ordering::Relaxed)
    }

    /// Waits until so many came, or none for so long; how many, and how long it took from the first on.
    pub(crate) async fn until(&self, count: usize, patience: Duration) -> (usize, Duration) {
        let (mut begun, mut last) = (None, (0, Instant::now()));
        while self.came() < count && last.1.elapsed() < patience {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let came = self.came();
            if came != last.0 {
                last = (came, Instant::now());
                begun.get_or_insert_with(Instant::now);
            }
        }
        (self.came(), begun.map_or(Duration::ZERO, |begun| begun.elapsed()))
    }

    pub(crate) fn forget(&self) {
        self.came.store(0, Ordering::Relaxed);
    }
}

async fn take(
    request: http::Request<Incoming>,
    came: Arc<AtomicUsize>,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let _ = request.into_body().collect().await;
    came.fetch_add(1, Ordering::Relaxed);
    Ok(http::Response::new(Full::from("{}")))
}
