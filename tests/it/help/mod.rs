//! The application under test, called directly, and the actors who call it.

pub mod database;
pub mod kafka_server;
pub mod postgres_server;
pub mod process;
pub mod receiver;
pub mod socket_client;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use guildhall::access::token::{Claims, mint};
use guildhall::api::router::Router;
use guildhall::app::App;
use guildhall::base::clock::Clock;
use guildhall::chat::identity::Scope;
use guildhall::chat::values::{Level, PlayerId};
use guildhall::config::{Config, Secret};
use guildhall::controllers::{ACTIONS, PAGES};
use guildhall::service::TASKS;
use guildhall::work::worker::{WorkTime, Worker};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tempfile::TempDir;

pub const SECRET: &str = "the secret of the tests, longer than 32 bytes";

/// A fresh application with an empty database in a folder of its own.
pub struct TestApp {
    pub app: Arc<App>,
    pub clock: Clock,
    pub folder: TempDir,
    router: Router,
}

/// A reply, read.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Reply {
    /// What a good reply holds.
    #[track_caller]
    pub fn data(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body["data"].clone()
    }

    /// What a bad reply says: the code, after a look at the status and the shape.
    #[track_caller]
    pub fn code(&self) -> String {
        assert!(self.status.is_client_error() || self.status == 503, "{} {}", self.status, self.body);
        assert!(
            self.body["error"]["message"].is_string() && self.body["error"]["details"].is_object(),
            "{}",
            self.body
        );
        assert!(self.body["request_id"].is_string(), "{}", self.body);
        self.body["error"]["code"].as_str().unwrap().to_owned()
    }
}

impl TestApp {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With these variables in its environment. The send limit is off unless they say otherwise.
    pub async fn with(variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut environment: HashMap<String, String> = HashMap::from([
            ("GUILDHALL_DATA".to_owned(), folder.path().join("data").display().to_string()),
            ("GUILDHALL_TOKEN_SECRET".to_owned(), SECRET.to_owned()),
            ("GUILDHALL_SEND_LIMIT".to_owned(), "off".to_owned()),
            ("GUILDHALL_RATE".to_owned(), "off".to_owned()),
        ]);
        if let Some(url) = database::fresh().await {
            environment.insert("DATABASE_URL".to_owned(), url);
        }
        environment.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let config = Config::from_lookup(|name| environment.get(name).cloned()).unwrap();
        let clock = Clock::default();
        let app = App::start(config, clock.clone()).await.unwrap();
        let router = Router::new(ACTIONS, Arc::clone(&app)).with(PAGES);
        Self { app, clock, folder, router }
    }

    /// What a host hands requests to.
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// Any request at all.
    pub async fn call(&self, request: Request<Full<Bytes>>) -> Reply {
        let (parts, body) = self.router.handle(request).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap();
        Reply { status: parts.status, headers: parts.headers, body }
    }

    /// Somebody without a token.
    pub fn nobody(&self) -> Actor<'_> {
        Actor { app: self, token: String::new() }
    }

    pub fn player(&self, id: &str) -> Actor<'_> {
        self.actor(claims(id, Scope::Player))
    }

    pub fn player_of_level(&self, id: &str, level: i64) -> Actor<'_> {
        self.actor(Claims { level: Some(Level::try_from(level).unwrap()), ..claims(id, Scope::Player) })
    }

    pub fn moderator(&self, id: &str) -> Actor<'_> {
        self.actor(claims(id, Scope::Moderator))
    }

    pub fn server(&self) -> Actor<'_> {
        self.actor(claims("game", Scope::Server))
    }

    pub fn with_token(&self, token: &str) -> Actor<'_> {
        Actor { app: self, token: token.to_owned() }
    }

    fn actor(&self, claims: Claims) -> Actor<'_> {
        self.with_token(&mint(&Secret::new(SECRET).unwrap(), &claims).unwrap())
    }

    /// An open channel that these players have joined.
    pub async fn world(&self, id: &str, players: &[&str]) {
        self.channel(json!({ "id": id, "kind": "world", "members": players, "settings": { "open": true } }))
            .await;
    }

    /// A closed channel of these players.
    pub async fn guild(&self, id: &str, players: &[&str]) {
        self.channel(json!({ "id": id, "kind": "guild", "members": players })).await;
    }

    pub async fn channel(&self, input: Value) -> Value {
        self.server().post("/channel/create", input).await.data()
    }

    /// Runs all tasks that are due.
    pub async fn run_tasks(&self) -> usize {
        Worker::new(Arc::clone(&self.app), TASKS).run_due(WorkTime::unlimited()).await.unwrap()
    }
}

/// Claims that hold for years, so that tests may move the clock.
pub fn claims(id: &str, scope: Scope) -> Claims {
    Claims {
        sub: PlayerId::parse(id).unwrap(),
        scope,
        exp: 4_000_000_000,
        name: None,
        level: None,
        nbf: None,
        aud: None,
        zone: None,
        lang: None,
    }
}

/// The messages of a page: number and text.
pub fn numbered_texts(page: &Value) -> Vec<(i64, String)> {
    let read =
        |message: &Value| (message["seq"].as_i64().unwrap(), message["text"].as_str().unwrap().to_owned());
    page["messages"].as_array().unwrap().iter().map(read).collect()
}

/// Somebody who calls.
pub struct Actor<'a> {
    app: &'a TestApp,
    pub token: String,
}

impl Actor<'_> {
    fn request(&self, method: &str, path: &str) -> http::request::Builder {
        let request = Request::builder().method(method).uri(path);
        if self.token.is_empty() {
            request
        } else {
            request.header("authorization", format!("Bearer {}", self.token))
        }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.app.call(self.request("GET", path).body(Full::default()).unwrap()).await
    }

    pub async fn post(&self, path: &str, input: Value) -> Reply {
        self.post_bytes(path, input.to_string()).await
    }

    pub async fn post_bytes(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        let request = self.request("POST", path).header("content-type", "application/json");
        self.app.call(request.body(Full::new(body.into())).unwrap()).await
    }

    /// Says something, and expects it to be stored.
    pub async fn say(&self, channel: &str, text: &str) -> Value {
        let data = self.post("/message/send", json!({ "channel": channel, "text": text })).await.data();
        data["message"].clone()
    }

    /// Everything in a channel.
    pub async fn history(&self, channel: &str) -> Vec<Value> {
        let page = self.get(&format!("/message/list?channel={channel}&after=0&limit=100")).await.data();
        page["messages"].as_array().unwrap().clone()
    }
}
