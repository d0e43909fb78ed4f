//! Calls to other people's servers: one way for all of them.
//!
//! Each has a time limit, follows no redirect (it would carry what is sent to an address that nobody configured), and
//! reads of an answer no more than is looked at. A host has so many calls at one time. One that fails again and again is
//! left alone for a while, then tried by one call; and one that says when to come back (`Retry-After`) is left alone until
//! then. Where names may lead is decided in `reach`. No address, header or body is ever in a log or an error, as secrets
//! may be.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
pub use reqwest::Url;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, RequestBuilder, Response};
use tokio::sync::Semaphore;

use super::reach::{self, Resolver};
use crate::base::clock::{Clock, Millis};
use crate::base::lock::lock;
use crate::config::PrivateHosts;

/// Calls to one host at one time.
const AT_ONCE: usize = 64;
/// A host that failed so many times in a row is left alone for a while.
const FAILURES: u32 = 5;
/// For how long at first; doubled by each further failure.
const ALONE_MS: Millis = 1_000;
/// For how long at most, after failures; and how long a try that is to show whether it is back keeps others away.
const ALONE_MAX_MS: Millis = 60_000;
/// Milliseconds after which other calls may be retried, while one call probes whether a host is back.
const PROBED_MS: Millis = 3_000;
/// The longest that a host may ask for; what asks for more is tried earlier.
const RETRY_AFTER_MAX_MS: Millis = 600_000;
/// Most bytes of an answer that are read.
const ANSWER_BYTES: usize = 64 * 1024;

/// Makes calls.
pub struct Calls {
    private_hosts: PrivateHosts,
    /// Made when somebody is to be called: it reads the system's certificates, which takes some milliseconds of a start.
    client: OnceLock<Client>,
    /// For HTTP/2 without TLS, as within a network.
    plain_http2: Client,
    clock: Clock,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
}

struct Host {
    at_once: Semaphore,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// In a row.
    failures: u32,
    /// By the steady clock.
    alone_until: Millis,
    /// Until then one call alone asks whether it is back, unless it ends before; by the same clock.
    probed_until: Millis,
    /// Time of its last 2xx answer, by the steady clock.
    well_at: Option<Millis>,
}

/// An answer that says that it was done.
#[derive(Debug)]
pub struct Answer {
    /// 2xx.
    pub status: StatusCode,
    /// Response headers.
    pub headers: HeaderMap,
    /// The first 64 KiB of its body.
    pub body: Bytes,
}

/// Reason why a call was not done.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The call may be retried: no connection, no answer in time, 408, 425, 429 or 5xx.
    #[error("{why}")]
    Passing {
        /// For people; holds no secret.
        why: String,
        /// Not before so many milliseconds.
        after_ms: Millis,
        /// Status of the answer, if there was one.
        status: Option<StatusCode>,
        /// Milliseconds since the same host last answered 2xx.
        well_ms: Option<Millis>,
    },
    /// The call was not made: the host is left alone for a while.
    #[error("the receiver is left alone for {} s, as it failed or asked for it", after_ms.unsigned_abs().div_ceil(1_000))]
    LeftAlone {
        /// For so many milliseconds.
        after_ms: Millis,
    },
    /// The call will never be done: any other status than 2xx.
    #[error("the receiver answered {}", .0.status)]
    Refused(Box<Answer>),
}

impl Calls {
    /// Connections are made when needed and kept.
    ///
    /// # Errors
    /// The client can't be set up.
    pub fn new(private_hosts: PrivateHosts, clock: Clock) -> Result<Self, reqwest::Error> {
        let plain_http2 = builder(&private_hosts).http2_prior_knowledge().tls_certs_only([]).build()?;
        let client = OnceLock::new();
        Ok(Self { private_hosts, client, plain_http2, clock, hosts: Mutex::default() })
    }

    /// Gets ready for calls, so that a machine without certificates is told of at start.
    ///
    /// # Errors
    /// TLS can't be set up.
    pub fn prepare(&self) -> Result<(), CallError> {
        self.client().map(drop)
    }

    fn client(&self) -> Result<&Client, CallError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let made = builder(&self.private_hosts).build().map_err(|error| passing(fault_text(error)))?;
        Ok(self.client.get_or_init(|| made))
    }

    /// A call that posts something.
    ///
    /// # Errors
    /// TLS can't be set up.
    pub fn post(&self, url: &Url) -> Result<RequestBuilder, CallError> {
        Ok(self.client()?.post(url.clone()))
    }

    /// A call that posts something by HTTP/2, without asking whether it is spoken there where nothing is encrypted.
    ///
    /// # Errors
    /// TLS can't be set up.
    pub fn post_http2(&self, url: &Url) -> Result<RequestBuilder, CallError> {
        if url.scheme() == "http" { Ok(self.plain_http2.post(url.clone())) } else { self.post(url) }
    }

    /// Asks for something, within a time.
    ///
    /// # Errors
    /// It was not done.
    pub async fn get(&self, url: &Url, timeout: Duration) -> Result<Answer, CallError> {
        self.make(self.client()?.get(url.clone()), timeout).await
    }

    /// Makes a call, within a time.
    ///
    /// # Errors
    /// It was not done.
    pub async fn make(&self, request: RequestBuilder, timeout: Duration) -> Result<Answer, CallError> {
        let (client, request) = request.timeout(timeout).build_split();
        let request = request.map_err(|error| passing(fault_text(error)))?;
        reach::check(request.url()).map_err(passing)?;
        let host = self.host(request.url());
        let _turn = host.at_once.acquire().await.map_err(|closed| passing(closed.to_string()))?;
        // Behind calls that all waited in vain, none begins.
        host.may_be_called(self.clock.steady())?;
        let answered = match client.execute(request).await {
            Ok(response) => read(response).await,
            Err(error) => Err(error),
        };
        let ended = match answered {
            Ok(answer) if answer.status.is_success() => Ok(answer),
            Ok(answer) if is_passing(answer.status) => Err(CallError::Passing {
                after_ms: self.retry_after(&answer.headers),
                why: format!("the receiver answered {}", answer.status),
                status: Some(answer.status),
                well_ms: None,
            }),
            Ok(answer) => Err(CallError::Refused(Box::new(answer))),
            Err(error) => Err(passing(fault_text(error))),
        };
        let now = self.clock.steady();
        host.note(&ended, now);
        ended.map_err(|error| host.with_others(error, now))
    }

    fn host(&self, url: &Url) -> Arc<Host> {
        let name = format!(
            "{}:{}",
            url.host_str().unwrap_or_default(),
            url.port_or_known_default().unwrap_or_default()
        );
        let new = || Arc::new(Host { at_once: Semaphore::new(AT_ONCE), state: Mutex::default() });
        Arc::clone(lock(&self.hosts).entry(name).or_insert_with(new))
    }

    /// `Retry-After`, in seconds or as a date; 0 where there is none.
    fn retry_after(&self, headers: &HeaderMap) -> Millis {
        let said = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
        let ms = match said.parse::<u32>() {
            Ok(seconds) => Millis::from(seconds) * 1_000,
            Err(_) => httpdate::parse_http_date(said)
                .ok()
                .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok())
                .map_or(0, |at| at.as_millis() as Millis - self.clock.now()),
        };
        ms.clamp(0, RETRY_AFTER_MAX_MS)
    }
}

impl Host {
    /// Is it left alone now? One that was, and is to be tried again, is tried by one call first.
    fn may_be_called(&self, now: Millis) -> Result<(), CallError> {
        let mut state = lock(&self.state);
        let after_ms = state.alone_until - now;
        if after_ms > 0 {
            return Err(CallError::LeftAlone { after_ms });
        }
        // One call shows whether it is back. The others ask again soon: it may answer at any moment.
        if state.probed_until > now {
            return Err(CallError::LeftAlone { after_ms: PROBED_MS });
        }
        if state.failures >= FAILURES {
            state.probed_until = now + ALONE_MAX_MS;
        }
        Ok(())
    }

    /// A failure, with what is known of how the host answers others.
    fn with_others(&self, error: CallError, now: Millis) -> CallError {
        let well_ms = lock(&self.state).well_at.map(|at| now - at);
        match error {
            CallError::Passing { why, after_ms, status, .. } => {
                CallError::Passing { why, after_ms, status, well_ms }
            }
            other => other,
        }
    }

    fn note(&self, ended: &Result<Answer, CallError>, now: Millis) {
        let mut state = lock(&self.state);
        match ended {
            Ok(_) => *state = State { well_at: Some(now), ..State::default() },
            Err(CallError::Refused(_)) => *state = State { well_at: state.well_at, ..State::default() },
            Err(CallError::LeftAlone { .. }) => {}
            // It lives, and says when it has time.
            Err(CallError::Passing { after_ms: after_ms @ 1.., .. }) => {
                *state = State { failures: 0, alone_until: now + after_ms, probed_until: 0, ..*state };
            }
            Err(CallError::Passing { .. }) => {
                state.failures = state.failures.saturating_add(1);
                state.probed_until = 0;
                let further = state.failures.saturating_sub(FAILURES).min(10);
                let alone_ms = (ALONE_MS << further).min(ALONE_MAX_MS);
                state.alone_until = if state.failures < FAILURES { now } else { now + alone_ms };
            }
        }
    }
}

fn builder(private_hosts: &PrivateHosts) -> ClientBuilder {
    Client::builder()
        .redirect(Policy::none())
        .dns_resolver(Arc::new(Resolver(private_hosts.clone())))
        .user_agent(concat!("guildhall/", env!("CARGO_PKG_VERSION")))
}

/// Returns an error for a call that may be retried.
pub(super) fn passing(why: String) -> CallError {
    CallError::Passing { why, after_ms: 0, status: None, well_ms: None }
}

fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)
}

async fn read(mut response: Response) -> Result<Answer, reqwest::Error> {
    let mut body = Vec::new();
    while body.len() < ANSWER_BYTES
        && let Some(chunk) = response.chunk().await?
    {
        body.extend_from_slice(&chunk[..chunk.len().min(ANSWER_BYTES - body.len())]);
    }
    Ok(Answer {
        status: response.status(),
        headers: std::mem::take(response.headers_mut()),
        body: body.into(),
    })
}

/// Returns the text of an error and of its causes; the address stays out, as it may hold a secret.
fn fault_text(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls() -> Calls {
        Calls::new(PrivateHosts::default(), Clock::default()).unwrap()
    }

    fn failed(after_ms: Millis) -> Result<Answer, CallError> {
        Err(CallError::Passing { why: String::new(), after_ms, status: None, well_ms: None })
    }

    fn done() -> Result<Answer, CallError> {
        Ok(Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: Bytes::new() })
    }

    #[test]
    fn a_host_that_fails_is_left_alone_longer_and_longer_and_tried_by_one_call() {
        let calls = calls();
        let host = calls.host(&Url::parse("http://game.example.com/").unwrap());
        let mut now = 1_000_000;
        for _ in 0..FAILURES {
            assert!(host.may_be_called(now).is_ok());
            host.note(&failed(0), now);
        }
        for alone_ms in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
            assert!(host.may_be_called(now + alone_ms - 1).is_err(), "{alone_ms}");
            now += alone_ms;
            assert!(host.may_be_called(now).is_ok(), "{alone_ms}");
            assert!(host.may_be_called(now).is_err(), "one call shows whether it is back");
            host.note(&failed(0), now);
        }
        now += 60_000;
        assert!(host.may_be_called(now).is_ok());
        host.note(&done(), now);
        assert!((0..100).all(|_| host.may_be_called(now).is_ok()), "it is back");
        host.note(&failed(0), now);
        assert!(host.may_be_called(now).is_ok(), "one failure is none");
    }

    #[test]
    fn a_host_that_says_when_is_left_alone_until_then() {
        let calls = calls();
        let host = calls.host(&Url::parse("http://game.example.com/").unwrap());
        host.note(&failed(3_000), 0);
        assert!(matches!(host.may_be_called(1), Err(CallError::LeftAlone { after_ms: 2_999 })));
        assert!(host.may_be_called(3_000).is_ok());
        let other = calls.host(&Url::parse("http://other.example.com/").unwrap());
        assert!(other.may_be_called(1).is_ok(), "others are called meanwhile");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        let calls = calls();
        let said =
            |value: &str| calls.retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]));
        assert_eq!((said("7"), said(" 7 "), said("0"), said("soon"), said("-3")), (7_000, 7_000, 0, 0, 0));
        assert_eq!((said("4000000000"), said("86400")), (RETRY_AFTER_MAX_MS, RETRY_AFTER_MAX_MS));
        assert_eq!(said("Wed, 21 Oct 2015 07:28:00 GMT"), 0, "long ago");
        let at = std::time::UNIX_EPOCH + Duration::from_millis(calls.clock.now().unsigned_abs() + 30_000);
        let ms = said(&httpdate::fmt_http_date(at));
        assert!((28_000..=30_000).contains(&ms), "{ms}");
    }
}
