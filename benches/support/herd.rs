//! A server is killed, and all come back at once: how long until everybody has caught up.

use std::time::{Duration, Instant};

use guildhall::chat::identity::Scope;
use tokio::io::AsyncReadExt;

use super::make_room;
use super::server::{Connection, Server, token};
use super::socket::{frame_end, open};

/// Clients that come back.
const HERD: usize = 5_000;

/// A server is killed, and all who follow a room come back at once, by their cursors, while somebody talks.
pub(crate) async fn come_back(database: Option<&str>) {
    const BEFORE: usize = 100;
    let folder = tempfile::tempdir_in(".").unwrap();
    let server = Server::start_with(folder.path(), database, None, &[]);
    make_room(&server, "room-0", HERD).await;
    let say = async |port: u16, n: usize| {
        let body = format!(r#"{{"channel":"room-0","text":"potions please {n}","nonce":"{n}"}}"#);
        let mut connection = Connection::open(port).await;
        let token = token("speaker-0", Scope::Player);
        assert_eq!(connection.ask(&("POST", "/message/send".to_owned(), body), &token).await, 200);
    };
    for n in 0..BEFORE {
        say(server.port, n).await;
    }
    drop(server);
    let server = Server::start_with(folder.path(), database, None, &[]);
    let (port, begun) = (server.port, Instant::now());
    let clients: Vec<_> = (0..HERD)
        .map(|n| {
            tokio::spawn(async move {
                // Each waits a little by chance, as docs/live.md asks.
                tokio::time::sleep(Duration::from_millis((n as u64 * 7_919) % 2_000)).await;
                catch_up(port, &format!("room-0-{n}"), BEFORE + 20).await;
                begun.elapsed()
            })
        })
        .collect();
    for n in 0..20 {
        say(port, BEFORE + n).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut took = Vec::new();
    for client in clients {
        took.push(client.await.unwrap());
    }
    took.sort();
    println!(
        "{HERD} clients came back within 2 s after a kill, each {BEFORE} entries behind: half had caught up after {:.1} s, \
         all after {:.1} s, none missed or got one twice",
        took[HERD / 2].as_secs_f64(),
        took[HERD - 1].as_secs_f64()
    );
}

/// Follows from the first entry on until there are so many, each once and in order.
async fn catch_up(port: u16, player: &str, entries: usize) {
    let mut stream = open(port, player, r#"{"channel":"room-0","after":0}"#).await;
    let (mut bytes, mut reached, mut is_open) = (Vec::with_capacity(4_096), 0, false);
    while reached < entries {
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "the server closed the connection");
        if !is_open {
            let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") else { continue };
            bytes.drain(..end + 4);
            is_open = true;
        }
        let mut at = 0;
        while let Some(end) = frame_end(&bytes[at..]) {
            let text = String::from_utf8_lossy(&bytes[at..at + end]);
            for seq in text.split("\"seq\":").skip(1) {
                let digits = seq.split(|c: char| !c.is_ascii_digit()).next().unwrap();
                reached += 1;
                assert_eq!(digits.parse(), Ok(reached), "each once, in order");
            }
            at += end;
        }
        bytes.drain(..at);
    }
}
