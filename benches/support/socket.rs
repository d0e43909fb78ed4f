//! A socket that costs a measurement little: it knows just enough of the protocol.

use guildhall::chat::identity::Scope;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::server::token;

/// A socket that has said hello, and follows a room.
pub(crate) async fn follow(port: u16, player: &str, room: Option<&str>) -> TcpStream {
    let channels = room.map(|room| format!(r#"{{"channel":"{room}"}}"#)).unwrap_or_default();
    let mut stream = open(port, player, &channels).await;
    let mut answer = Vec::new();
    while !answer.windows(7).any(|part| part == b"\"id\":2,") {
        assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "{}", String::from_utf8_lossy(&answer));
    }
    stream
}

/// A socket that says hello and follows; what comes is not read yet.
pub(crate) async fn open(port: u16, player: &str, channels: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let upgrade = "GET /live/socket HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let token = token(player, Scope::Player);
    let mut bytes = upgrade.as_bytes().to_vec();
    bytes.extend(frame(&format!(r#"{{"id":1,"do":"/live/hello","input":{{"token":"{token}"}}}}"#)));
    bytes.extend(frame(&format!(r#"{{"id":2,"do":"/live/follow","input":{{"channels":[{channels}]}}}}"#)));
    stream.write_all(&bytes).await.unwrap();
    stream
}

/// A masked text frame; a mask of zeros is one.
pub(crate) fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match text.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

/// The length of the frame that these bytes begin with, if it is there whole.
pub(crate) fn frame_end(bytes: &[u8]) -> Option<usize> {
    let (head, length) = match bytes.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
        length => (2, usize::from(*length)),
    };
    (bytes.len() >= head + length).then_some(head + length)
}
