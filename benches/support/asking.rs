//! Asking for so long from many connections, each as fast as it is answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::server::{Asked, Connection, Server, own_cpu_seconds};

/// How requests went.
pub(crate) struct Loaded {
    /// How long each took, sorted.
    pub(crate) took: Vec<Duration>,
    pub(crate) per_s: f64,
    /// CPU of the server and of the generator for each.
    pub(crate) cpu_us: f64,
    pub(crate) own_us: f64,
}

/// Asks for so long from one connection a token.
pub(crate) async fn load(
    server: &Server,
    time: Duration,
    tokens: &[String],
    ask: impl Fn(usize, usize) -> Asked + Send + Sync + 'static,
) -> Loaded {
    let ask = Arc::new(ask);
    let (cpu_before, own_before) = (server.cpu_seconds(), own_cpu_seconds());
    let started = Instant::now();
    let end = started + time;
    let clients: Vec<_> = tokens
        .iter()
        .enumerate()
        .map(|(client, token)| {
            let (ask, token, port) = (Arc::clone(&ask), token.clone(), server.port);
            tokio::spawn(async move {
                let mut connection = Connection::open(port).await;
                let mut took = Vec::with_capacity(100_000);
                while Instant::now() < end {
                    let request = ask(client, took.len());
                    let started = Instant::now();
                    let status = connection.ask(&request, &token).await;
                    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&connection.buffer));
                    took.push(started.elapsed());
                }
                took
            })
        })
        .collect();
    let mut took = Vec::new();
    for client in clients {
        took.extend(client.await.unwrap());
    }
    let each = |seconds: f64| seconds / took.len() as f64 * 1e6;
    let (cpu_us, own_us) = (each(server.cpu_seconds() - cpu_before), each(own_cpu_seconds() - own_before));
    let per_s = took.len() as f64 / started.elapsed().as_secs_f64();
    took.sort_unstable();
    Loaded { took, per_s, cpu_us, own_us }
}
