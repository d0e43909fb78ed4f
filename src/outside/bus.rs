//! NATS: tells other processes that something was stored, so that they look at once rather than with their next sweep.
//!
//! A hint carries a channel's key and a number, and no text. It may be lost, come twice or late: who hears it reads the
//! store, and what nobody hears of the sweep finds. So nothing here waits for the bus, and nothing depends on it. Who
//! types is told too, where the bus asks for a password and encrypts: that names a player.

use std::sync::Mutex;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::base::lock::lock;
use crate::config::BusConfig;
use crate::hub::{Hint, Hub};

/// A filter for the log: the client tells each try to reach the bus, and [`Bus`] tells when it comes and goes.
pub const LOG_FILTER: &str = "async_nats=warn";

/// Versions that share a database, and so hear each other: the published ones and the newest code.
const STAGES: [&str; 2] = ["live", "latest"];
/// Hints that wait to be read; the client drops what comes when there are more.
const CAPACITY: usize = 65_536;

/// The connection to the bus.
pub struct Bus {
    client: Client,
    /// Prefix of all subjects.
    subject: String,
    stage: &'static str,
    is_private: bool,
    out: tokio::sync::Mutex<mpsc::Receiver<Hint>>,
}

/// Messages from other processes, as they come.
pub struct Heard(futures_util::stream::SelectAll<Subscriber>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Types {
    channel: String,
    player: String,
}

impl Bus {
    /// Prepares the client; it connects by itself, again and again.
    ///
    /// # Errors
    /// A certificate that can't be read.
    pub async fn new(config: &BusConfig, is_latest: bool, hub: &Hub) -> Result<Self, String> {
        let mut options = ConnectOptions::new()
            .name("guildhall")
            .no_echo()
            .retry_on_initial_connect()
            .max_reconnects(None)
            .ignore_discovered_servers()
            .require_tls(config.tls)
            .event_callback(tell_changes())
            .subscription_capacity(CAPACITY);
        if let Some((user, password)) = &config.login {
            options = options.user_and_password(user.clone(), password.expose().to_owned());
        }
        if let Some(file) = &config.ca_file {
            std::fs::metadata(file)
                .map_err(|fault| format!("GUILDHALL_BUS_CA_FILE: {}: {fault}", file.display()))?;
            options = options.add_root_certificates(file.clone());
        }
        let client = options.connect(config.servers.as_slice()).await.map_err(|fault| fault.to_string())?;
        Ok(Self {
            client,
            subject: config.subject.clone(),
            stage: STAGES[usize::from(is_latest)],
            is_private: config.tls && config.login.is_some(),
            out: tokio::sync::Mutex::new(hub.put_out()),
        })
    }

    /// Is the bus there?
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Sends hints as the hub puts them out; ends with it.
    pub async fn forward(&self) {
        let mut out = self.out.lock().await;
        while let Some(hint) = out.recv().await {
            self.send(hint).await;
        }
    }

    /// Sends the hints that are there, and sees them off, in so much time: for a process that sleeps between requests.
    pub async fn flush(&self, limit: Duration) {
        let sending = async {
            let mut out = self.out.lock().await;
            let mut any = false;
            while let Ok(hint) = out.try_recv() {
                self.send(hint).await;
                any = true;
            }
            if any {
                let _ = self.client.flush().await;
            }
        };
        if tokio::time::timeout(limit, sending).await.is_err() {
            tracing::debug!("the bus takes no hints now");
        }
    }

    async fn send(&self, hint: Hint) {
        let (kind, key, payload) = match hint {
            Hint::Said(key, seq) => ("c", key, seq.to_string()),
            Hint::Types { .. } if !self.is_private => return,
            Hint::Types { key, channel, player } => {
                let Ok(payload) = serde_json::to_string(&Types { channel, player }) else { return };
                ("t", key, payload)
            }
        };
        let subject = format!("{}.{}.{kind}.{key}", self.subject, self.stage);
        metrics::counter!("guildhall_hints_total", "direction" => "out").increment(1);
        if let Err(error) = self.client.publish(subject, Bytes::from(payload)).await {
            tracing::debug!(%error, "a hint was not taken");
        }
    }

    /// Listens to what processes on the same database say.
    ///
    /// # Errors
    /// The client has ended.
    pub async fn listen(&self) -> Result<Heard, String> {
        let mut heard = Vec::new();
        for stage in STAGES {
            let subject = format!("{}.{stage}.*.*", self.subject);
            heard.push(self.client.subscribe(subject).await.map_err(|fault| fault.to_string())?);
        }
        Ok(Heard(futures_util::stream::select_all(heard)))
    }
}

/// Says in the log when the bus comes and goes, and not at each try to reach it.
fn tell_changes() -> impl Fn(Event) -> std::future::Ready<()> + Send + Sync + 'static {
    // Until it was there once, nobody knows.
    let is_there = Mutex::new(None);
    move |event| {
        match event {
            // The sweep finds what they would have told.
            Event::SlowConsumer(_) => tracing::debug!("hints were dropped"),
            Event::Connected => {
                *lock(&is_there) = Some(true);
                tracing::info!("the bus is there");
            }
            _ if lock(&is_there).replace(false) == Some(false) => tracing::debug!(%event, "the bus"),
            _ => tracing::warn!(%event, "the bus is away; servers look into the database twice a second"),
        }
        std::future::ready(())
    }
}

impl Heard {
    /// The next hint that can be read; none at the end.
    pub async fn next(&mut self) -> Option<Hint> {
        loop {
            let message = self.0.next().await?;
            metrics::counter!("guildhall_hints_total", "direction" => "in").increment(1);
            if let Some(hint) = read(&message.subject, &message.payload) {
                return Some(hint);
            }
            tracing::debug!(subject = %message.subject, "a hint that says nothing");
        }
    }
}

fn read(subject: &str, payload: &[u8]) -> Option<Hint> {
    let mut words = subject.rsplit('.');
    let key = words.next()?.parse().ok()?;
    match words.next()? {
        "c" => std::str::from_utf8(payload).ok()?.parse().ok().map(|seq| Hint::Said(key, seq)),
        "t" => {
            let Types { channel, player } = serde_json::from_slice(payload).ok()?;
            Some(Hint::Types { key, channel, player })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_that_say_nothing_are_none() {
        assert!(matches!(read("guildhall.live.c.7", b"12"), Some(Hint::Said(7, 12))));
        let types = read("guildhall.latest.t.7", br#"{"channel":"g","player":"alice"}"#);
        assert!(matches!(types, Some(Hint::Types { key: 7, .. })));
        for (subject, payload) in [
            ("guildhall.live.c.7", "twelve"),
            ("guildhall.live.c.7", ""),
            ("guildhall.live.c.x", "12"),
            ("guildhall.live.x.7", "12"),
            ("guildhall.live.t.7", "{}"),
            ("guildhall.live.c.99999999999999999999", "1"),
            ("c", "1"),
            ("", "1"),
        ] {
            assert!(read(subject, payload.as_bytes()).is_none(), "{subject} {payload}");
        }
    }
}
