//! What goes out to many and what comes in from providers: announcements to open sockets and to devices, pushes of
//! messages, and payment callbacks.
//!
//! `scripts/load --planned` runs it. The providers are fakes within the generator, which takes cores from the server.

#![expect(clippy::unwrap_used, reason = "a measurement that meets a fault has nothing to print")]
#![expect(clippy::disallowed_methods, reason = "DATABASE_URL says what is measured")]

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use guildhall::base::random::to_hex;
use guildhall::chat::identity::Scope;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use sqlx::Connection as _;

#[path = "support/asking.rs"]
mod asking;
#[path = "support/heard.rs"]
mod heard;
#[path = "support/provider.rs"]
mod provider;
#[path = "support/server.rs"]
mod server;
#[path = "support/socket.rs"]
mod socket;

use asking::load;
use heard::Heard;
use provider::Provider;
use server::{Connection, Server, quantile_ms, schema, token};

/// Announces, pushes and takes payments, and prints how fast.
#[derive(Parser)]
struct Options {
    /// Seconds a measurement takes.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Players with a device.
    #[arg(long, default_value_t = 100_000)]
    players: usize,
    /// Of those, who have a socket.
    #[arg(long, default_value_t = 5_000)]
    sockets: usize,
    /// Given by `cargo bench`; means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

const STRIPE: &str = "whsec_of_the_load_test";
/// Announcements a second to open sockets.
const ANNOUNCED_PER_S: u64 = 10;
const CLIENTS: usize = 32;
/// Guilds whose members are mentioned, members of each, and mentions in one message.
const GUILDS: usize = 100;
const MEMBERS: usize = 100;
const MENTIONS: usize = 20;
/// Nothing came for so long: nothing more will.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    server::measured(run(Options::parse()))
}

async fn run(options: Options) -> bool {
    let database = std::env::var("DATABASE_URL").ok();
    println!("on {}", if database.is_some() { "PostgreSQL" } else { "SQLite" });
    let folder = tempfile::tempdir_in(".").unwrap();
    let url = match &database {
        Some(url) => Some(schema(url).await),
        None => None,
    };
    let (push, game) = (Provider::start().await, Provider::start().await);
    let server = Server::start_with(
        folder.path(),
        url.as_deref(),
        None,
        &[
            ("GUILDHALL_FCM_URL", Some(&push.url)),
            ("GUILDHALL_WEBHOOK_URL", Some(&game.url)),
            ("GUILDHALL_WEBHOOK_SECRET", Some(server::SECRET)),
            ("GUILDHALL_PAYMENT_STRIPE_SECRET", Some(STRIPE)),
        ],
    );
    register(url.as_deref(), folder.path(), options.players).await;
    let good = [
        live(&server, &options).await,
        active(&server, &options).await,
        outreach(&server, &push, &options).await,
        messages(&server, &push, &options).await,
        payments(&server, &game, &options).await,
    ];
    good.into_iter().all(|good| good)
}

fn player(n: usize) -> String {
    format!("player-{n}")
}

/// A device of each player, put where registering would put it.
async fn register(url: Option<&str>, data: &Path, players: usize) {
    sqlx::any::install_default_drivers();
    let file = format!("sqlite://{}", data.join(guildhall::store::EMBEDDED_FILE).display());
    let mut connection = sqlx::AnyConnection::connect(url.unwrap_or(&file)).await.unwrap();
    let sql = format!(
        "INSERT INTO device (id, player_id, platform, token, level, sandbox, registered_at)
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {players})
         SELECT 'device-' || i, 'player-' || i, 'fcm', 'token-' || i, 1, FALSE, 1 FROM n"
    );
    let begun = Instant::now();
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    if url.is_some() {
        sqlx::query("ANALYZE device").execute(&mut connection).await.unwrap();
    }
    println!("{players} players with a device, stored in {:.1} s", begun.elapsed().as_secs_f64());
}

async fn announce(connection: &mut Connection, game: &str, text: &str, push: bool) {
    let body = json!({
        "texts": { "en": text, "zh-CN": text }, "audience": { "everybody": true }, "when": { "now": true },
        "push": push, "show_s": 3_600,
    });
    let asked = ("POST", "/announcement/create".to_owned(), body.to_string());
    assert_eq!(connection.ask(&asked, game).await, 200, "{}", String::from_utf8_lossy(&connection.buffer));
}

/// Announcements to open sockets, several a second.
async fn live(server: &Server, options: &Options) -> bool {
    let (heard, epoch) = (Heard::new(), Instant::now());
    let mut listeners = Vec::new();
    for n in 0..options.sockets {
        let stream = socket::follow(server.port, &player(n), None).await;
        listeners.push(tokio::spawn(Arc::clone(&heard).listen(stream, epoch)));
    }
    let (game, mut connection) = (token("game", Scope::Server), Connection::open(server.port).await);
    let (begun, cpu) = (Instant::now(), server.cpu_seconds());
    let count = options.seconds * ANNOUNCED_PER_S;
    for n in 0..count {
        let at = begun + Duration::from_millis(n * 1_000 / ANNOUNCED_PER_S);
        tokio::time::sleep_until(at.into()).await;
        announce(&mut connection, &game, &format!("@{}@ double gems", epoch.elapsed().as_micros()), false)
            .await;
    }
    // Each stands there in one language.
    let wanted = count * options.sockets as u64;
    let waiting = Instant::now();
    while heard.entries() < wanted && waiting.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let took = begun.elapsed().as_secs_f64();
    println!(
        "announcements to {} sockets: {:.0} pushes/s, from the call on p50 {} ms, p99 {} ms, all {} ms; {:.0} % of a core",
        options.sockets,
        heard.entries() as f64 / took,
        heard.ms(0.5),
        heard.ms(0.99),
        heard.ms(0.999_999),
        (server.cpu_seconds() - cpu) / took * 100.0
    );
    listeners.iter().for_each(tokio::task::JoinHandle::abort);
    told(heard.entries() as usize, wanted as usize)
}

/// Says where not all came that should have.
fn told(came: usize, wanted: usize) -> bool {
    if came != wanted {
        println!("  {came} of {wanted} came");
    }
    came == wanted
}

/// What is shown now, with as many announcements as there can be.
async fn active(server: &Server, options: &Options) -> bool {
    let tokens: Vec<String> = (0..CLIENTS).map(|n| token(&player(n), Scope::Player)).collect();
    let ask = |_, _| ("GET", "/announcement/active".to_owned(), String::new());
    let time = Duration::from_secs(options.seconds);
    let alone = load(server, time, &tokens[..1], ask).await;
    let all = load(server, time, &tokens, ask).await;
    println!(
        "/announcement/active: one client p50 {:.2} ms, p99 {:.2} ms; {CLIENTS} clients {:.0}/s, p99 {:.2} ms; {:.0} us of CPU each, the generator's {:.0}",
        quantile_ms(&alone.took, 0.5),
        quantile_ms(&alone.took, 0.99),
        all.per_s,
        quantile_ms(&all.took, 0.99),
        all.cpu_us,
        all.own_us
    );
    true
}

/// An announcement to all devices.
async fn outreach(server: &Server, push: &Provider, options: &Options) -> bool {
    let (game, mut connection) = (token("game", Scope::Server), Connection::open(server.port).await);
    // The sockets are closed by then, and nobody is there.
    tokio::time::sleep(Duration::from_secs(2)).await;
    push.forget();
    let (before, cpu) = (server.resident_mb(), server.cpu_seconds());
    announce(&mut connection, &game, "the server is back", true).await;
    let (came, took) = push.until(options.players, PATIENCE).await;
    println!(
        "announcement to {} devices: {:.0} pushes/s, {:.1} s; memory {before:.0} MB before, {:.0} MB after; {:.0} us of CPU each",
        options.players,
        came as f64 / took.as_secs_f64(),
        took.as_secs_f64(),
        server.resident_mb(),
        (server.cpu_seconds() - cpu) / came as f64 * 1e6
    );
    told(came, options.players)
}

/// Messages that mention players who are away: a push each.
async fn messages(server: &Server, push: &Provider, options: &Options) -> bool {
    let (game, mut connection) = (token("game", Scope::Server), Connection::open(server.port).await);
    let name = |guild: usize, n: usize| player((guild * MEMBERS + n) % options.players);
    for guild in 0..GUILDS {
        let members: Vec<String> = (0..MEMBERS).map(|n| name(guild, n)).collect();
        let body = json!({ "id": format!("guild-{guild}"), "kind": "guild", "members": members });
        let asked = ("POST", "/channel/create".to_owned(), body.to_string());
        assert_eq!(connection.ask(&asked, &game).await, 200);
    }
    push.forget();
    let cpu = server.cpu_seconds();
    for guild in 0..GUILDS {
        for part in 0..MEMBERS / MENTIONS {
            let mentions: Vec<String> = (0..MENTIONS).map(|n| name(guild, part * MENTIONS + n)).collect();
            let body =
                json!({ "channel": format!("guild-{guild}"), "text": "raid now", "mentions": mentions });
            let asked = ("POST", "/message/send".to_owned(), body.to_string());
            assert_eq!(connection.ask(&asked, &game).await, 200);
        }
    }
    let (came, took) = push.until(GUILDS * MEMBERS, PATIENCE).await;
    println!(
        "messages to {} devices: {:.0} pushes/s, {:.1} s; {:.0} us of CPU each",
        GUILDS * MEMBERS,
        came as f64 / took.as_secs_f64(),
        took.as_secs_f64(),
        (server.cpu_seconds() - cpu) / came as f64 * 1e6
    );
    told(came, GUILDS * MEMBERS)
}

/// Stripe's callbacks, each of another event; then what the game's server was told.
async fn payments(server: &Server, game: &Provider, options: &Options) -> bool {
    static EVENT: AtomicUsize = AtomicUsize::new(0);
    game.forget();
    let (port, time) = (server.port, Duration::from_secs(options.seconds));
    let (begun, cpu) = (Instant::now(), server.cpu_seconds());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            tokio::spawn(async move {
                let (mut connection, mut took) = (Connection::open(port).await, Vec::new());
                while begun.elapsed() < time {
                    let n = EVENT.fetch_add(1, Ordering::Relaxed);
                    let started = Instant::now();
                    assert_eq!(connection.ask_as(&stripe(n)).await, 200);
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
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = (server.cpu_seconds() - cpu) / took.len() as f64 * 1e6;
    took.sort_unstable();
    println!(
        "payment callbacks: {:.0}/s, p50 {:.2} ms, p99 {:.2} ms; {cpu:.0} us of CPU each, with the game's server told of some",
        took.len() as f64 / seconds,
        quantile_ms(&took, 0.5),
        quantile_ms(&took, 0.99),
    );
    let (came, more) = game.until(took.len(), PATIENCE).await;
    println!("the game's server was told of all {:.1} s later", more.as_secs_f64());
    told(came, took.len())
}

/// A whole request, as Stripe signs it.
fn stripe(n: usize) -> String {
    let body = json!({
        "id": format!("evt_{n}"), "object": "event", "type": "payment_intent.succeeded",
        "data": { "object": { "id": format!("pi_{n}"), "amount": 499, "metadata": { "player": player(n) } } },
    });
    let (body, at) = (body.to_string(), guildhall::base::clock::Clock::default().now() / 1_000);
    let mut mac = Hmac::<Sha256>::new_from_slice(STRIPE.as_bytes()).unwrap();
    mac.update(format!("{at}.{body}").as_bytes());
    let signature = to_hex(&mac.finalize().into_bytes());
    format!(
        "POST /payment/callback?provider=stripe HTTP/1.1\r\nhost: localhost\r\nstripe-signature: t={at},v1={signature}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}
