//! A TURN service of somebody else: its servers with fixed credentials, with credentials made from a shared secret, or
//! with credentials fetched over https.
//!
//! Never shows a key or a credential in a log. Whoever starts a call never waits for the service: what was fetched is
//! kept and replaced in the background, and while there is nothing good the service is not listed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use desk::ExternalTurn;
use prometheus::{IntCounterVec, Opts, Registry};
use ring::hmac;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wire::leg::IceServer;

/// Longest wait for the service.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer in bytes: eight servers are 2 kB.
const ANSWER_BYTES_MAX: usize = 64 * 1_024;
/// URLs of one service: a browser gathers at each of them, which costs it time and us allocations.
pub(crate) const URLS_MAX: usize = 8;
/// Longest user name, password or URL that is taken over, bytes: the attribute holds 512 (RFC 8489 §14.3).
const TEXT_BYTES_MAX: usize = 512;
/// What is left of fetched credentials when they are not handed out any more: the time from the grant to the browser's
/// last allocation.
const REST_MIN: Duration = Duration::from_secs(120);
/// First and last wait after a failure; doubled in between.
const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// User part of credentials that are made here: the service sees no person behind them.
const USER: &str = "helpline";

/// How the credentials come.
#[derive(Clone)]
pub(crate) enum Way {
    /// Always the same.
    Fixed(IceServer),
    /// Made from a secret (draft-uberti-behave-turn-rest-00 §2.2): user name `end:user`, password its HMAC-SHA1.
    Made {
        /// `turn:` and `turns:`.
        urls: Vec<String>,
        /// Shared with the service.
        secret: String,
        /// Seconds.
        life_s: u32,
    },
    /// Asked for.
    Fetched {
        /// Where.
        url: String,
        /// Bearer key.
        key: String,
        /// Seconds.
        life_s: u32,
    },
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Way::Fixed(_) => "Fixed",
            Way::Made { .. } => "Made",
            Way::Fetched { .. } => "Fetched",
        })
    }
}

/// What fetching has done, for Prometheus.
#[derive(Clone)]
pub(crate) struct Metrics {
    fetches: IntCounterVec,
}

impl Metrics {
    /// Registers the series, every value at 0.
    ///
    /// # Errors
    /// A name that is registered already.
    pub(crate) fn new(registry: &Registry) -> Result<Metrics, prometheus::Error> {
        let name = Opts::new(
            "helpline_turn_external_fetches_total",
            "Requests for credentials of the managed TURN service, by outcome",
        );
        let fetches = IntCounterVec::new(name, &["result"])?;
        for result in ["ok", "failed"] {
            fetches.with_label_values(&[result]).inc_by(0);
        }
        registry.register(Box::new(fetches.clone()))?;
        Ok(Metrics { fetches })
    }
}

/// See the top of this file.
pub(crate) struct Service {
    way: Way,
    unix_s: fn() -> u64,
    kept: Mutex<Kept>,
}

impl Service {
    /// `unix_s`: the wall clock.
    pub(crate) fn new(way: Way, unix_s: fn() -> u64) -> Arc<Service> {
        Arc::new(Service {
            way,
            unix_s,
            kept: Mutex::default(),
        })
    }

    /// Keeps fetched credentials fresh until `stop`; ends at once for the other ways.
    ///
    /// # Errors
    /// What the client says when it cannot be built.
    pub(crate) fn keep_fresh(
        self: &Arc<Self>,
        metrics: Metrics,
        stop: CancellationToken,
    ) -> Result<(), reqwest::Error> {
        let Way::Fetched { url, key, life_s } = self.way.clone() else {
            return Ok(());
        };
        let asker = Asker::new(url, key, life_s)?;
        let service = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                let got = asker.ask().await;
                let wait = service.took(got, life_s, &metrics);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(wait) => {}
                }
            }
        });
        Ok(())
    }

    /// Notes what came; when to ask again.
    fn took(&self, got: Result<Vec<IceServer>, Failed>, life_s: u32, metrics: &Metrics) -> Duration {
        let result = if got.is_ok() { "ok" } else { "failed" };
        metrics.fetches.with_label_values(&[result]).inc();
        let now = Instant::now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(failed) = &got {
            let listed = !kept.servers(now).is_empty();
            tracing::warn!(
                reason = failed.word(),
                listed,
                "the managed TURN service gave no credentials"
            );
        }
        kept.took(got.ok(), Duration::from_secs(u64::from(life_s)), now)
    }
}

impl ExternalTurn for Service {
    fn servers(&self) -> Vec<IceServer> {
        match &self.way {
            Way::Fixed(server) => vec![server.clone()],
            Way::Made { urls, secret, life_s } => vec![made(urls, secret, (self.unix_s)() + u64::from(*life_s))],
            Way::Fetched { .. } => {
                let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.servers(Instant::now())
            }
        }
    }
}

fn made(urls: &[String], secret: &str, end: u64) -> IceServer {
    let username = format!("{end}:{USER}");
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    let credential = STANDARD.encode(hmac::sign(&key, username.as_bytes()));
    IceServer {
        urls: urls.to_vec(),
        username: Some(username),
        credential: Some(credential),
    }
}

/// Fetched credentials and how long they are good.
#[derive(Default)]
struct Kept {
    servers: Vec<IceServer>,
    until: Option<Instant>,
    failures: u32,
}

impl Kept {
    /// What may be handed out now.
    fn servers(&self, now: Instant) -> Vec<IceServer> {
        match self.until {
            Some(until) if now + REST_MIN <= until => self.servers.clone(),
            Some(_) | None => Vec::new(),
        }
    }

    /// Notes what came at `now`, good for `life`; after how long to ask again.
    fn took(&mut self, got: Option<Vec<IceServer>>, life: Duration, now: Instant) -> Duration {
        if let Some(servers) = got {
            *self = Kept {
                servers,
                until: Some(now + life),
                failures: 0,
            };
            return life / 2;
        }
        let wait = RETRY.0.saturating_mul(1 << self.failures.min(8)).min(RETRY.1);
        self.failures += 1;
        wait
    }
}

/// Why nothing came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failed {
    /// No connection, no TLS, no answer in time.
    Unreachable,
    /// Another status than success.
    Refused,
    /// Not what was asked for.
    Unreadable,
}

impl Failed {
    const fn word(self) -> &'static str {
        match self {
            Failed::Unreachable => "unreachable",
            Failed::Refused => "refused",
            Failed::Unreadable => "unreadable",
        }
    }
}

/// Asks the service.
struct Asker {
    client: reqwest::Client,
    url: String,
    key: String,
    life_s: u32,
}

/// One server or several, and one URL or several, as the services have it.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    fn list(self) -> Vec<T> {
        match self {
            OneOrMore::One(one) => vec![one],
            OneOrMore::More(more) => more,
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "iceServers")]
    ice_servers: OneOrMore<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    urls: OneOrMore<String>,
    username: Option<String>,
    credential: Option<String>,
}

impl Asker {
    fn new(url: String, key: String, life_s: u32) -> Result<Asker, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            // A key goes to the address of the configuration and to no other.
            .redirect(reqwest::redirect::Policy::none())
            .https_only(!crate::keys::is_loopback(&url))
            .build()?;
        Ok(Asker {
            client,
            url,
            key,
            life_s,
        })
    }

    async fn ask(&self) -> Result<Vec<IceServer>, Failed> {
        let asked = self.client.post(&self.url).bearer_auth(&self.key);
        let sent = asked.json(&json!({ "ttl": self.life_s })).send().await;
        let mut answer = sent.map_err(|_| Failed::Unreachable)?;
        if !answer.status().is_success() {
            return Err(Failed::Refused);
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|_| Failed::Unreachable)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(Failed::Unreadable);
            }
            body.extend_from_slice(&chunk);
        }
        read(&body).ok_or(Failed::Unreadable)
    }
}

/// The TURN servers of an answer; `None` when there is none that a browser could use.
fn read(body: &[u8]) -> Option<Vec<IceServer>> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let short = |text: &String| !text.is_empty() && text.len() <= TEXT_BYTES_MAX;
    let mut left = URLS_MAX;
    let mut servers = Vec::new();
    for entry in answer.ice_servers.list() {
        let (Some(username), Some(credential)) = (entry.username.filter(short), entry.credential.filter(short)) else {
            continue;
        };
        let mut urls = entry.urls.list();
        urls.retain(|url| short(url) && is_turn(url));
        urls.truncate(left);
        left -= urls.len();
        if !urls.is_empty() {
            servers.push(IceServer {
                urls,
                username: Some(username),
                credential: Some(credential),
            });
        }
    }
    Some(servers).filter(|servers| !servers.is_empty())
}

/// Whether this is a URL of RFC 7065 by its looks.
pub(crate) fn is_turn(url: &str) -> bool {
    let rest = url.strip_prefix("turn:").or_else(|| url.strip_prefix("turns:"));
    rest.is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_graphic() && !"\"<>/".contains(c)))
}

/// The host that a TURN URL names.
pub(crate) fn host_of(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("turn:").or_else(|| url.strip_prefix("turns:"))?;
    let rest = rest.split('?').next().unwrap_or_default();
    match rest.strip_prefix('[') {
        Some(literal) => literal.split(']').next(),
        None => rest.split(':').next(),
    }
}

#[cfg(test)]
mod tests;
