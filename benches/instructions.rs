//! What `scripts/instructions` counts: a case, run so often, in a function that valgrind knows by its name. Counts don't
//! move with the machine's speed, so a case that became dearer shows on any.
//!
//! Built as the tests are, so that nothing is compiled for it: compare its counts with each other alone.

#![expect(clippy::unwrap_used, reason = "a measurement that meets a fault has nothing to count")]

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use guildhall::api::router::Router;
use guildhall::app::App;
use guildhall::base::clock::Clock;
use guildhall::chat::identity::Scope;
use guildhall::config::Config;
use guildhall::controllers::ACTIONS;
use guildhall::filter::{Filter, Wordlist};
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::json;

#[path = "support/server.rs"]
#[expect(dead_code, reason = "the other measurements use the rest")]
mod server;

#[path = "support/worst.rs"]
#[expect(dead_code, reason = "the other measurements use the rest")]
mod texts;

use server::{SECRET, token};
use texts::TEXT;

/// Before a case is counted, so often: caches are filled, and what is made once is made.
const WARM_UP: usize = 20;
/// Between two polls of a call, long enough for what it waits for on a busy machine.
const PAUSE: Duration = Duration::from_millis(50);

fn main() {
    let arguments: Vec<String> = std::env::args().filter(|argument| argument != "--bench").collect();
    let [_, case, times] = arguments.as_slice() else {
        println!(
            "instructions CASE TIMES; CASE is filter-english, filter-mixed, filter-hit, worst-0 to worst-9, send, page or refused"
        );
        return;
    };
    let times = times.parse().unwrap();
    match case.as_str() {
        "filter-english" => filter(times, "wait for me at the bridge, need two more for the raid tonight"),
        "filter-mixed" => filter(times, "今晚八点公会战，记得上线 and bring potions please"),
        "filter-hit" => filter(times, "this is w.o.r.d.42abc here"),
        worst if worst.starts_with("worst-") => {
            let worst: usize = worst["worst-".len()..].parse().unwrap();
            let text = texts::WORST[worst].repeat(TEXT / texts::WORST[worst].len());
            judge(times, &texts::words(2_000), &text);
        }
        "send" => calls(times, send),
        "page" => calls(times, |_| ("GET /message/list?channel=guild", String::new())),
        "refused" => calls(times, |_| ("POST /message/send", json!({ "channel": "guild" }).to_string())),
        _ => panic!("no such case: {case}"),
    }
}

fn filter(times: usize, text: &str) {
    let words: String = (0..1_000).map(|n| format!("word{n}abc\n敌{n}军词\n")).collect();
    judge(times, &words, text);
}

fn judge(times: usize, words: &str, text: &str) {
    let list = Wordlist::parse(&[("words.txt".to_owned(), words.as_bytes().to_vec())]).unwrap();
    let filter = Filter::build(&list).unwrap();
    let mut judge = |_| drop(black_box(filter.judge(black_box(text))));
    (0..WARM_UP.min(times)).for_each(&mut judge);
    counted(times, judge);
}

fn send(n: usize) -> (&'static str, String) {
    let text = "今晚八点公会战，记得上线 and bring potions please";
    ("POST /message/send", json!({ "channel": "guild", "text": text, "nonce": format!("n{n}") }).to_string())
}

/// Requests, handled on one thread; what `SQLite` does is done on another and is not counted.
fn calls(times: usize, asked: fn(usize) -> (&'static str, String)) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let router = runtime.block_on(router(folder.path()));
    let (alice, game) = (token("alice", Scope::Player), token("game", Scope::Server));
    let call = |token: &str, (line, body): (&str, String)| {
        let (method, path) = line.split_once(' ').unwrap();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let answer = async { router.handle(request).await.into_body().collect().await.unwrap().to_bytes() };
        let _inside = runtime.enter();
        patiently(answer)
    };
    let guild = json!({ "id": "guild", "kind": "guild", "members": ["alice"] });
    call(&game, ("POST /channel/create", guild.to_string()));
    for n in 0..WARM_UP {
        call(&alice, send(times + n));
    }
    for n in 0..WARM_UP {
        call(&alice, asked(times * 2 + n));
    }
    counted(times, |n| drop(black_box(call(&alice, asked(n)))));
}

/// Polls a future seldom: what it waits for has then happened, and it takes the same number of polls each time.
///
/// A runtime would poll it as soon as something happened: how often that is depends on what else the machine does, and
/// the runtime's own timers and tasks would be counted with it.
fn patiently<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
        std::thread::sleep(PAUSE);
    }
}

async fn router(folder: &Path) -> Router {
    let variables = HashMap::from([
        ("GUILDHALL_DATA", folder.display().to_string()),
        ("GUILDHALL_TOKEN_SECRET", SECRET.to_owned()),
        ("GUILDHALL_SEND_LIMIT", "off".to_owned()),
        ("GUILDHALL_RATE", "off".to_owned()),
    ]);
    let config = Config::from_lookup(|name| variables.get(name).cloned()).unwrap();
    Router::new(ACTIONS, App::start(config, Clock::default()).await.unwrap())
}

/// The only function that is counted, with all that it calls.
#[inline(never)]
fn counted(times: usize, mut work: impl FnMut(usize)) {
    (0..times).for_each(&mut work);
}
