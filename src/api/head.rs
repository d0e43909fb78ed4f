//! What a request's head says beside its path: its id, and where it comes from.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::base::random;
use crate::config::Proxies;

const MAX_REQUEST_ID_BYTES: usize = 128;

pub(super) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static SCF_REQUEST_ID: HeaderName = HeaderName::from_static("x-scf-request-id");

/// Data of a request that a function's host knows beside its head and body.
#[derive(Clone, Debug, Default)]
pub struct Invocation {
    /// The gateway's own id for the request.
    pub gateway_request_id: Option<String>,
    /// The platform's id for the invocation, which its own log lines carry.
    pub id: String,
    /// The gateway's stage, where that is part of the path.
    pub stage: Option<String>,
    /// By which alias the function was called, if by one.
    pub alias: Option<String>,
    /// Time left before the platform ends the invocation.
    pub time_left: Option<Duration>,
}

/// Reason why a request can't be read, from its host: it is answered with 400, whatever it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken(pub &'static str);

/// Address that connected to us: a client's, or that of the gateway in front.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// Tencent's platform sends its own matters along, credentials among them: none of it is for actions or logs.
pub(super) fn drop_platform_headers(headers: &mut HeaderMap) {
    if headers.contains_key(&SCF_REQUEST_ID) {
        let theirs = |name: &HeaderName| name.as_str().starts_with("x-scf-");
        let names: Vec<HeaderName> = headers.keys().filter(|name| theirs(name)).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }
}

/// The gateway's id where there is one, else the caller's, else a new one.
pub(super) fn request_id(parts: &Parts) -> Cow<'_, str> {
    let invocation = parts.extensions.get::<Invocation>();
    let from_host = invocation.and_then(|invocation| invocation.gateway_request_id.as_deref());
    let from_header = |name: &HeaderName| parts.headers.get(name).and_then(acceptable_id);
    from_host
        .or_else(|| from_header(&SCF_REQUEST_ID))
        .or_else(|| from_header(&REQUEST_ID))
        .map_or_else(|| random::id().into(), Into::into)
}

/// An id goes into logs and headers, so not everything is one.
fn acceptable_id(value: &HeaderValue) -> Option<&str> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:=+/".contains(&byte);
    value.to_str().ok().filter(|id| (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.bytes().all(fits))
}

/// The client's address, for the log and for limits: what the nearest proxy saw that is believed. A load balancer in front
/// of a function is the only peer that has no address.
pub(super) fn client_ip(parts: &Parts, proxies: &Proxies) -> Option<IpAddr> {
    match parts.extensions.get::<Peer>() {
        Some(peer) => Some(client_of(&parts.headers, *peer, proxies).0),
        None => forwarded(&parts.headers, proxies),
    }
}

/// The same of a request that was not read to its end.
pub fn client_of(headers: &HeaderMap, peer: Peer, proxies: &Proxies) -> Peer {
    if proxies.contains(peer.0) { forwarded(headers, proxies).map_or(peer, Peer) } else { peer }
}

/// Each proxy writes behind the others' words whom it saw. From the end on, the first that is no proxy of ours is the
/// client; what stands before, the client may have written itself.
fn forwarded(headers: &HeaderMap, proxies: &Proxies) -> Option<IpAddr> {
    let mut seen = None;
    for line in headers.get_all("x-forwarded-for").iter().rev() {
        for word in line.to_str().ok()?.rsplit(',') {
            let Ok(address) = word.trim().parse() else { return seen };
            seen = Some(address);
            if !proxies.contains(address) {
                return seen;
            }
        }
    }
    seen
}
