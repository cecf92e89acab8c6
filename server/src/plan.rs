//! What the settings come down to: everything derived and checked before the first port is bound.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use api::{Cidr, CookieRules};
use desk::auth::AuthConfig;
use desk::auth::customers::CustomerTokens;
use desk::auth::jwks::KeySource;
use desk::auth::jws::Expected;
use desk::auth::service_keys::ServiceKeys;
use media_server::recorder::{MARK_MIN_PERCENT, Marks};
use media_server::{BadPin, Pin};

use crate::Fault;
use crate::addresses;
use crate::keys::Published;
use crate::relay_plan::RelayPlan;
use crate::settings::Settings;

/// Checked and completed settings.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Address of the pages without a trailing slash; `None` follows the listener.
    pub(crate) public_url: Option<String>,
    /// WebSocket address that clients are told; `None` follows `public_url`.
    pub(crate) signaling_url: Option<String>,
    /// The second listener.
    pub(crate) compat: Option<SocketAddr>,
    /// Addresses told to browsers.
    pub(crate) advertise: Vec<IpAddr>,
    /// Threads with a port each.
    pub(crate) shards: usize,
    /// Which core each of them runs on.
    pub(crate) pin: Pin,
    /// How full the spool's disk may be.
    pub(crate) disk_marks: Marks,
    /// Proxies that are believed.
    pub(crate) trusted: Vec<Cidr>,
    /// Name and key of other systems.
    pub(crate) service_keys: Vec<(String, String)>,
    /// Shape of the cookies.
    pub(crate) cookies: CookieRules,
    /// STUN, the relay, and a service of somebody else.
    pub(crate) relay: RelayPlan,
}

fn bad(text: impl Into<String>) -> Fault {
    Fault::Configuration(text.into())
}

/// How full the spool's disk may be.
fn disk_marks(settings: &Settings) -> Result<Marks, Fault> {
    let (optional, required) = (
        settings.recording.refuse_optional_percent,
        settings.recording.refuse_required_percent,
    );
    Marks::new(optional, required).ok_or_else(|| {
        bad(format!(
            "recording.refuse_optional_percent lies between {MARK_MIN_PERCENT} and \
             recording.refuse_required_percent, and that is at most 100"
        ))
    })
}

impl Plan {
    /// Derives and checks.
    ///
    /// # Errors
    /// [`Fault::Configuration`] that names the key.
    pub(crate) fn of(settings: &Settings) -> Result<Plan, Fault> {
        let public_url = settings
            .public
            .url
            .as_deref()
            .map(|url| url.trim_end_matches('/').to_owned());
        if let Some(url) = &public_url
            && !(url.starts_with("http://") || url.starts_with("https://"))
        {
            return Err(bad("public.url must begin with http:// or https://"));
        }
        let signaling_url = settings.public.signaling_url.clone();
        if let Some(url) = &signaling_url
            && !(url.starts_with("ws://") || url.starts_with("wss://"))
        {
            return Err(bad("public.signaling_url must begin with ws:// or wss://"));
        }
        let compat = match settings.signaling.compat_listen.trim() {
            "" => None,
            text => Some(
                text.parse()
                    .map_err(|_| bad("signaling.compat_listen must be address:port or empty"))?,
            ),
        };
        if settings.media.bind.is_empty() || settings.media.bind.len() > 2 {
            return Err(bad("media.bind takes one address per family, at most two"));
        }
        if !(1..=256).contains(&settings.media.batch) {
            return Err(bad("media.batch lies between 1 and 256"));
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shards = settings.media.shards.unwrap_or_else(|| cores.saturating_sub(1).max(1));
        if !(1..=media_server::config::SHARDS_MAX).contains(&shards) {
            return Err(bad(format!(
                "media.shards lies between 1 and {}",
                media_server::config::SHARDS_MAX
            )));
        }
        let legs = media_server::config::LEGS_PER_SHARD_MIN..=media_server::config::LEGS_PER_SHARD_MAX;
        if !legs.contains(&settings.media.legs_per_shard) {
            return Err(bad(format!(
                "media.legs_per_shard lies between {} and {}",
                legs.start(),
                legs.end()
            )));
        }
        let consent = media_server::config::CONSENT_S_MIN..=media_server::config::CONSENT_S_MAX;
        if !consent.contains(&settings.media.consent_s) {
            return Err(bad(format!(
                "media.consent_s lies between {} and {}",
                consent.start(),
                consent.end()
            )));
        }
        if !(settings.media.busy_max > 0.0 && settings.media.busy_max <= media_server::config::BUSY_MAX_MAX) {
            return Err(bad(format!(
                "media.busy_max lies above 0 and up to {}",
                media_server::config::BUSY_MAX_MAX
            )));
        }
        let disk_marks = disk_marks(settings)?;
        let pin = settings
            .media
            .pin
            .parse()
            .map_err(|fault: BadPin| bad(fault.to_string()))?;
        let advertise = match settings.media.advertise.as_slice() {
            [] => addresses::reachable(&settings.media.bind),
            given => given.to_vec(),
        };
        let proxy = |text: &String| Cidr::parse(text).ok_or_else(|| bad(format!("http.trusted_proxies: {text}")));
        let https = public_url.as_deref().is_some_and(|url| url.starts_with("https://"));
        Ok(Plan {
            compat,
            shards,
            pin,
            disk_marks,
            trusted: settings
                .http
                .trusted_proxies
                .iter()
                .map(proxy)
                .collect::<Result<_, _>>()?,
            service_keys: service_keys(&settings.auth.service_keys)?,
            cookies: CookieRules {
                secure: https,
                customer_domain: settings.cookie.domain.clone(),
                staff_too: settings.cookie.staff_domain,
            },
            relay: RelayPlan::of(settings, &advertise, shards)?,
            advertise,
            public_url,
            signaling_url,
        })
    }

    /// Address of the pages, given where HTTP listens.
    pub(crate) fn url(&self, http: SocketAddr) -> String {
        self.public_url.clone().unwrap_or_else(|| match http.ip() {
            ip if ip.is_loopback() || ip.is_unspecified() => format!("http://localhost:{}", http.port()),
            _ => format!("http://{http}"),
        })
    }

    /// The WebSocket address that clients are told.
    pub(crate) fn ws_url(&self, http: SocketAddr) -> String {
        self.signaling_url
            .clone()
            .unwrap_or_else(|| format!("{}/ws", self.url(http).replacen("http", "ws", 1)))
    }

    /// Credentials of customers and other systems; `demo_key` is added in the demo.
    ///
    /// # Errors
    /// [`Fault::Configuration`] for a short key.
    pub(crate) fn auth(&self, settings: &Settings, demo_key: Option<&str>) -> Result<AuthConfig, Fault> {
        let mut pairs = self.service_keys.clone();
        pairs.extend(demo_key.map(|key| ("demo".to_owned(), key.to_owned())));
        let service_keys = ServiceKeys::new(pairs)
            .ok_or_else(|| bad("auth.service_keys: every key needs a name and at least 32 bytes"))?;
        let auth = &settings.auth;
        let project = auth.supabase_url.as_deref().map(|url| url.trim_end_matches('/'));
        let issuer = auth
            .issuer
            .clone()
            .or_else(|| project.map(|project| format!("{project}/auth/v1")));
        let secret = auth.jwt_secret.as_deref().map(str::as_bytes);
        let customers = match issuer {
            None if secret.is_some() => return Err(bad("auth.jwt_secret needs auth.issuer or auth.supabase_url")),
            None => CustomerTokens::default(),
            Some(issuer) => {
                let source = project.map(Published::of_supabase).transpose().map_err(Fault::other)?;
                let source = source.map(|published| Arc::new(published) as Arc<dyn KeySource>);
                CustomerTokens::new(
                    Expected {
                        issuer,
                        audience: auth.audience.clone(),
                    },
                    secret,
                    source,
                )
            }
        };
        Ok(AuthConfig {
            customers,
            service_keys,
        })
    }
}

fn service_keys(given: &[String]) -> Result<Vec<(String, String)>, Fault> {
    let pair = |text: &String| {
        let (name, key) = text
            .split_once('=')
            .ok_or_else(|| bad("auth.service_keys: each is name=key"))?;
        Ok((name.trim().to_owned(), key.trim().to_owned()))
    };
    given.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use confique::Config as _;

    fn settings() -> Settings {
        Settings::builder().load().expect("defaults")
    }

    fn refusal(change: impl FnOnce(&mut Settings)) -> String {
        let mut settings = settings();
        change(&mut settings);
        match Plan::of(&settings) {
            Err(Fault::Configuration(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_cannot_work_is_refused_by_the_name_of_its_key() {
        assert!(refusal(|s| s.public.url = Some("support.example".to_owned())).contains("public.url"));
        assert!(refusal(|s| s.public.signaling_url = Some("https://x".to_owned())).contains("signaling_url"));
        assert!(refusal(|s| s.signaling.compat_listen = "x".to_owned()).contains("compat_listen"));
        assert!(refusal(|s| s.media.bind.clear()).contains("media.bind"));
        assert!(refusal(|s| s.media.batch = 257).contains("media.batch"));
        assert!(refusal(|s| s.media.shards = Some(0)).contains("media.shards"));
        for legs in [0, 1, 4_097] {
            assert!(refusal(|s| s.media.legs_per_shard = legs).contains("media.legs_per_shard"));
        }
        assert!(refusal(|s| s.media.consent_s = 19).contains("media.consent_s"));
        assert!(refusal(|s| s.media.consent_s = 31).contains("media.consent_s"));
        assert!(refusal(|s| s.media.busy_max = 0.0).contains("media.busy_max"));
        assert!(refusal(|s| s.media.busy_max = 1.0).contains("media.busy_max"));
        assert!(refusal(|s| s.recording.refuse_optional_percent = 2).contains("refuse_optional_percent"));
        assert!(refusal(|s| s.recording.refuse_optional_percent = 96).contains("refuse_optional_percent"));
        assert!(refusal(|s| s.recording.refuse_required_percent = 101).contains("refuse_required_percent"));
        assert!(refusal(|s| s.media.pin = "on".to_owned()).contains("media.pin"));
        assert!(refusal(|s| s.http.trusted_proxies = vec!["x".to_owned()]).contains("trusted_proxies"));
        assert!(refusal(|s| s.auth.service_keys = vec!["x".to_owned()]).contains("service_keys"));
    }

    #[test]
    fn a_short_service_key_and_a_secret_without_issuer_are_refused() {
        let mut given = settings();
        let plan = Plan::of(&given).expect("sound");
        assert!(plan.auth(&given, Some(&"k".repeat(31))).is_err());
        assert!(plan.auth(&given, Some(&"k".repeat(32))).is_ok());
        given.auth.jwt_secret = Some("s".repeat(32));
        assert!(plan.auth(&given, None).is_err());
    }

    #[test]
    fn addresses_follow_the_listener_or_the_public_url() {
        let mut given = settings();
        let http = "127.0.0.1:3000".parse().expect("an address");
        let plan = Plan::of(&given).expect("sound");
        assert_eq!(
            (plan.url(http), plan.ws_url(http)),
            ("http://localhost:3000".into(), "ws://localhost:3000/ws".into())
        );
        given.public.url = Some("https://support.bank.example/".to_owned());
        let plan = Plan::of(&given).expect("sound");
        assert_eq!(plan.ws_url(http), "wss://support.bank.example/ws");
        assert!(plan.cookies.secure);
    }
}
