//! A request for a socket, and the answer that makes the connection one.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::api::head::{Peer, client_of};
use crate::base::error::{Error, Result};
use crate::config::Proxies;

/// A request for a socket, as RFC 6455 wants it.
#[derive(Debug)]
pub(in crate::host) struct Upgrade {
    accept: HeaderValue,
    pub(super) peer: Peer,
}

impl Upgrade {
    /// Reads a request to `/live/socket`; says what is wrong with it.
    pub(in crate::host) fn read<B>(request: &Request<B>, peer: Peer, proxies: &Proxies) -> Result<Self> {
        let headers = request.headers();
        let names = |name, wanted: &str| {
            let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
            values.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case(wanted))
        };
        if request.method() != Method::GET {
            return Err(Error::MethodNotAllowed { allow: "GET" });
        }
        if !names(UPGRADE, "websocket")
            || !names(CONNECTION, "upgrade")
            || !names(SEC_WEBSOCKET_VERSION, "13")
        {
            return Err(Error::InvalidInput("this path is for WebSocket, version 13".to_owned()));
        }
        let key = headers.get(SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24);
        let key = key.ok_or_else(|| Error::InvalidInput("sec-websocket-key has 24 characters".to_owned()))?;
        let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(Error::internal)?;
        let peer = client_of(headers, peer, proxies);
        Ok(Self { accept, peer })
    }

    /// Returns the address of the client that asks.
    pub(in crate::host) fn address(&self) -> IpAddr {
        self.peer.0
    }

    /// The answer that makes the connection a socket.
    pub(in crate::host) fn answer(&self) -> Response<Bytes> {
        let mut answer = Response::new(Bytes::new());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers: &mut HeaderMap = answer.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        answer
    }
}
