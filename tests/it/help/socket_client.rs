//! A client of a socket, and what tests say on one.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use guildhall::base::random;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::help::process::{Process, eventually, player_token, server_token};

/// A client of one socket.
pub struct Socket {
    pub wire: WebSocketStream<TcpStream>,
    next: u64,
    pushes: VecDeque<Value>,
}

impl Socket {
    /// Opened, and nothing said yet.
    pub async fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (wire, _) = client_async("ws://localhost/live/socket", stream).await.unwrap();
        Self { wire, next: 1, pushes: VecDeque::new() }
    }

    pub async fn of(process: &Process, player: &str) -> Self {
        Self::with_token(process, &player_token(player)).await
    }

    pub async fn with_token(process: &Process, token: &str) -> Self {
        let mut socket = Self::open(process.port).await;
        let hello = socket.ask("/live/hello", json!({ "token": token })).await;
        assert!(hello["data"]["id"].is_string(), "{hello}");
        socket
    }

    pub async fn send(&mut self, text: impl Into<String>) {
        self.wire.send(Message::text(text.into())).await.unwrap();
    }

    /// The next frame that says something, or the code with which the server closes.
    pub async fn read(&mut self) -> Result<Value, u16> {
        let reading = async {
            loop {
                match self.wire.next().await {
                    Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                    Some(Ok(Message::Close(frame))) => {
                        return Err(frame.map_or(1005, |frame| frame.code.into()));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Err(1006),
                }
            }
        };
        tokio::time::timeout(Duration::from_mins(1), reading).await.expect("something comes within a minute")
    }

    /// Asks, and keeps what is pushed meanwhile.
    pub async fn ask(&mut self, path: &str, input: Value) -> Value {
        let id = self.next;
        self.next += 1;
        self.send(json!({ "id": id, "do": path, "input": input }).to_string()).await;
        let answer = self.answer().await;
        assert_eq!(answer["id"], id, "{answer}");
        assert!(answer["request_id"].is_string(), "{answer}");
        answer
    }

    /// The next answer; what is pushed before it is kept.
    pub async fn answer(&mut self) -> Value {
        loop {
            let frame = self.read().await.unwrap();
            if frame["push"].is_null() {
                return frame;
            }
            self.pushes.push_back(frame);
        }
    }

    pub async fn push(&mut self) -> Value {
        loop {
            let push = self.any_push().await;
            // Who comes and goes is told whenever that is, to those who ask for it here.
            if push["push"] != "presence" {
                return push;
            }
        }
    }

    async fn any_push(&mut self) -> Value {
        match self.pushes.pop_front() {
            Some(push) => push,
            None => self.read().await.unwrap(),
        }
    }

    /// The next push of a kind; others are thrown away.
    pub async fn push_of(&mut self, kind: &str) -> Value {
        loop {
            let push = self.any_push().await;
            if push["push"] == kind {
                return push;
            }
        }
    }

    /// What was pushed meanwhile and not taken yet, but for who came and went.
    pub fn pushed(&mut self) -> Vec<Value> {
        self.pushes.drain(..).filter(|push| push["push"] != "presence").collect()
    }

    /// The code it is closed with, whatever comes before.
    pub async fn closed(&mut self) -> u16 {
        loop {
            if let Err(code) = self.read().await {
                return code;
            }
        }
    }
}

/// The code a socket is closed with, however long that takes. It answers pings meanwhile: whoever does not is gone after a
/// minute.
pub async fn closed_at_last(mut socket: Socket) -> u16 {
    loop {
        match socket.wire.next().await {
            Some(Ok(Message::Close(frame))) => return frame.map_or(1005, |frame| frame.code.into()),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return 1006,
        }
    }
}

pub fn start(data: &Path) -> Process {
    Process::start(data, &[])
}

/// A call that must succeed. 503 says that nothing was done and to ask again: a disk may stand still for seconds.
pub async fn call(process: &Process, token: &str, path: &str, input: Value) -> Value {
    eventually(path, async || {
        let mut connection = process.connect().await.unwrap();
        let answer = connection.call(token, path, Some(&input)).await.unwrap();
        if answer.status == 503 {
            return None;
        }
        assert_eq!(answer.status, 200, "{}", answer.body);
        Some(answer.body["data"].clone())
    })
    .await
}

pub async fn make(process: &Process, id: &str, members: &[&str]) {
    let guild = json!({ "id": id, "kind": "guild", "members": members });
    call(process, &server_token(), "/channel/create", guild).await;
}

pub async fn say(process: &Process, player: &str, channel: &str, text: &str) {
    let message = json!({ "channel": channel, "text": text, "nonce": random::id() });
    call(process, &player_token(player), "/message/send", message).await;
}

pub fn follow(channel: &str, after: i64) -> Value {
    json!({ "channels": [{ "channel": channel, "after": after }] })
}
