//! The process's settings: what the file, the environment and the command line may say, with defaults and meanings.
//!
//! Business settings (queues, hours, masks) live in the database and never here. This file reads nothing; the template
//! that operators get is generated from its doc comments.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use confique::Config;

pub(crate) use crate::turn_settings::{External, Mode, Policy, Stun, Turn};

/// Helpline's process configuration.
///
/// Order: command line, environment, this file, default. Every secret can also be given as a file by the environment
/// name with `_FILE` behind it.
#[derive(Config, Clone, Debug)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub(crate) struct Settings {
    /// Name of this node; two processes on one database must not share it.
    #[config(env = "HELPLINE_NODE_ID", default = "node-1")]
    pub(crate) node_id: String,

    /// Folder for recordings, spool, and the private database of a first run.
    #[config(env = "HELPLINE_DATA_DIR", default = "helpline-data")]
    pub(crate) data_dir: PathBuf,

    /// Seconds that live calls have to end by themselves after SIGTERM; 0 cuts them at once. A second SIGTERM cuts them
    /// too.
    #[config(env = "HELPLINE_DRAIN_TIMEOUT_SECONDS", default = 900)]
    pub(crate) drain_timeout_seconds: u64,

    /// Where pages, API and signalling are served.
    #[config(nested)]
    pub(crate) http: Http,

    /// What the outside world sees.
    #[config(nested)]
    pub(crate) public: Public,

    /// The guide's second signalling address.
    #[config(nested)]
    pub(crate) signaling: Signaling,

    /// Prometheus.
    #[config(nested)]
    pub(crate) metrics: MetricsSettings,

    /// The media shards.
    #[config(nested)]
    pub(crate) media: MediaSettings,

    /// Older names of keys in `[turn]`, which count before them.
    #[config(nested)]
    pub(crate) stun: Stun,

    /// STUN and the TURN relay: for browsers behind networks that let no UDP through.
    #[config(nested)]
    pub(crate) turn: Turn,

    /// PostgreSQL.
    #[config(nested)]
    pub(crate) database: Database,

    /// Who may come in.
    #[config(nested)]
    pub(crate) auth: AuthSettings,

    /// Cookies.
    #[config(nested)]
    pub(crate) cookie: Cookie,

    /// Recordings.
    #[config(nested)]
    pub(crate) recording: Recording,

    /// Logs.
    #[config(nested)]
    pub(crate) log: Log,
}

/// See [`Settings::http`].
#[derive(Config, Clone, Debug)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub(crate) struct Http {
    /// Address and port.
    #[config(env = "HELPLINE_HTTP_LISTEN", default = "127.0.0.1:3000")]
    pub(crate) listen: SocketAddr,

    /// Proxies (CIDR) whose `X-Forwarded-For` is believed.
    #[config(env = "HELPLINE_HTTP_TRUSTED_PROXIES", parse_env = confique::env::parse::list_by_comma, default = [])]
    pub(crate) trusted_proxies: Vec<String>,

    /// Foreign origins whose pages may call the API, such as `https://bank.example`.
    #[config(env = "HELPLINE_HTTP_ALLOWED_ORIGINS", parse_env = confique::env::parse::list_by_comma, default = [])]
    pub(crate) allowed_origins: Vec<String>,

    /// A folder whose files are served before the built-in pages.
    #[config(env = "HELPLINE_HTTP_UI_DIR")]
    pub(crate) ui_dir: Option<PathBuf>,
}

/// See [`Settings::public`].
#[derive(Config, Clone, Debug)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub(crate) struct Public {
    /// Address of the pages as browsers see it, such as `https://support.bank.example`. Default: the listen address.
    #[config(env = "HELPLINE_PUBLIC_URL")]
    pub(crate) url: Option<String>,

    /// WebSocket address that clients are told. Default: made from `url`.
    #[config(env = "HELPLINE_PUBLIC_SIGNALING_URL")]
    pub(crate) signaling_url: Option<String>,
}

/// See [`Settings::signaling`].
#[derive(Config, Clone, Debug)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub(crate) struct Signaling {
    /// Second listener for clients of the integration guide; an empty text switches it off.
    #[config(env = "HELPLINE_SIGNALING_COMPAT_LISTEN", default = "127.0.0.1:3001")]
    pub(crate) compat_listen: String,
}

/// See [`Settings::metrics`].
#[derive(Config, Clone, Debug)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub(crate) struct MetricsSettings {
    /// Address and port; keep it private.
    #[config(env = "HELPLINE_METRICS_LISTEN", default = "127.0.0.1:9464")]
    pub(crate) listen: SocketAddr,
}

/// See [`Settings::media`].
#[derive(Config, Clone, Debug)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub(crate) struct MediaSettings {
    /// Number of shards (threads with a UDP port each). Default: cores less one, at least one.
    #[config(env = "HELPLINE_MEDIA_SHARDS")]
    pub(crate) shards: Option<usize>,

    /// UDP port of the first shard; shard k has this plus k. 0 takes any free port.
    #[config(env = "HELPLINE_MEDIA_BASE_PORT", default = 40000)]
    pub(crate) base_port: u16,

    /// Addresses to bind, one per family. Bound to all addresses of the machine (`0.0.0.0`; `::` is those of IPv6 alone),
    /// every client is answered from the one that it asked, so each of `advertise` works.
    #[config(env = "HELPLINE_MEDIA_BIND", parse_env = confique::env::parse::list_by_comma, default = ["0.0.0.0"])]
    pub(crate) bind: Vec<IpAddr>,

    /// Addresses that browsers are told. Default: those of this machine's interfaces that lead anywhere.
    #[config(env = "HELPLINE_MEDIA_ADVERTISE", parse_env = confique::env::parse::list_by_comma, default = [])]
    pub(crate) advertise: Vec<IpAddr>,

    /// Datagrams per system call, 1 to 256.
    #[config(env = "HELPLINE_MEDIA_BATCH", default = 256)]
    pub(crate) batch: usize,

    /// Legs that a shard takes before new rooms are refused, 2 to 4096; the measured load decides before.
    #[config(env = "HELPLINE_MEDIA_LEGS_PER_SHARD", default = 3000)]
    pub(crate) legs_per_shard: u32,

    /// Share of its core from which on a shard takes no new room, above 0 and at most 0.95. Less where the machine has other
    /// work to do at times.
    #[config(env = "HELPLINE_MEDIA_BUSY_MAX", default = 0.9)]
    pub(crate) busy_max: f64,

    /// Which core each shard runs on: `off`, `auto`, or numbers of cores with commas between, one per shard. `auto` takes the
    /// last ones of those that the process may use (a container's cpuset counts), if there are three or more and one is
    /// left over for everything else; else the kernel decides. Except with `off`, a shard also goes before other threads,
    /// if it may.
    #[config(env = "HELPLINE_MEDIA_PIN", default = "auto")]
    pub(crate) pin: String,

    /// Seconds without a connectivity check of the client after which its line is over, 20 to 30.
    #[config(env = "HELPLINE_MEDIA_CONSENT_S", default = 25)]
    pub(crate) consent_s: u32,

    /// Redundant audio (RED) with clients that know it: `offer` takes it behind plain Opus, where browsers seldom use it;
    /// `prefer` puts it first, for houses whose clients lose much: single losses are mended without a round trip, for twice
    /// the bytes of the voice; `off` leaves it out.
    #[config(env = "HELPLINE_MEDIA_RED", default = "offer")]
    pub(crate) red: Red,

    /// Which calls keep the keys that are pressed in them (telephone events, as a phone's or a gateway's) from everybody, while
    /// the voice goes on: `on_demand` those whose agent asks for it, `always` every one from its begin to its end.
    #[config(env = "HELPLINE_MEDIA_SHIELD", default = "on_demand")]
    pub(crate) shield: Shield,

    /// What customers on hold hear: an Ogg Opus file, mono or stereo, in frames of 20 ms, 16 MiB at most. An empty text
    /// is silence. Default: a tune that comes with the program.
    #[config(env = "HELPLINE_MEDIA_HOLD_MUSIC")]
    pub(crate) hold_music: Option<String>,

    /// What customers hear who wait for an agent with their line up: back in the queue, or while the agent's line comes up.
    /// A file as `hold_music`; an empty text is silence. Default: what those on hold hear.
    #[config(env = "HELPLINE_MEDIA_WAITING_MUSIC")]
    pub(crate) waiting_music: Option<String>,

    /// What they are told in between: a file as `hold_music`, played in the place of the music. Default: nothing.
    #[config(env = "HELPLINE_MEDIA_WAITING_PROMPT")]
    pub(crate) waiting_prompt: Option<String>,

    /// Seconds of music before each prompt, 5 to 3600.
    #[config(env = "HELPLINE_MEDIA_WAITING_PROMPT_EVERY_S", default = 45)]
    pub(crate) waiting_prompt_every_s: u32,
}

/// See [`MediaSettings::red`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Red {
    /// Not negotiated.
    Off,
    /// Behind plain Opus.
    Offer,
    /// Before plain Opus.
    Prefer,
}

impl From<Red> for ports::Red {
    fn from(red: Red) -> ports::Red {
        match red {
            Red::Off => ports::Red::Off,
            Red::Offer => ports::Red::Offer,
            Red::Prefer => ports::Red::Prefer,
        }
    }
}

/// See [`MediaSettings::shield`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Shield {
    /// The agent's switch.
    OnDemand,
    /// Every call.
    Always,
}

impl From<Shield> for desk::Shielding {
    fn from(shield: Shield) -> desk::Shielding {
        match shield {
            Shield::OnDemand => desk::Shielding::OnDemand,
            Shield::Always => desk::Shielding::Always,
        }
    }
}

/// See [`Settings::database`].
#[derive(Config, Clone, Debug)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub(crate) struct Database {
    /// Connection string of the program's own login role. Without it a private PostgreSQL runs in the data folder.
    #[config(env = "DATABASE_URL")]
    pub(crate) url: Option<String>,

    /// Connection string of the schema's owner, for `helpline migrate up`. Default: the same as `url`.
    #[config(env = "HELPLINE_DATABASE_OWNER_URL")]
    pub(crate) owner_url: Option<String>,
}

/// See [`Settings::auth`].
#[derive(Config, Clone, Debug)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub(crate) struct AuthSettings {
    /// Supabase project whose tokens customers bring; its published keys are fetched.
    #[config(env = "NEXT_PUBLIC_SUPABASE_URL")]
    pub(crate) supabase_url: Option<String>,

    /// Secret of older projects that sign by HS256.
    #[config(env = "HELPLINE_AUTH_JWT_SECRET")]
    pub(crate) jwt_secret: Option<String>,

    /// `iss` of the tokens. Default: made from `supabase_url`.
    #[config(env = "HELPLINE_AUTH_ISSUER")]
    pub(crate) issuer: Option<String>,

    /// `aud` of the tokens.
    #[config(env = "HELPLINE_AUTH_AUDIENCE", default = "authenticated")]
    pub(crate) audience: String,

    /// Keys of other systems as `name=key`, 32 bytes of key at least.
    #[config(env = "HELPLINE_AUTH_SERVICE_KEYS", parse_env = confique::env::parse::list_by_comma, default = [])]
    pub(crate) service_keys: Vec<String>,
}

/// See [`Settings::cookie`].
#[derive(Config, Clone, Debug)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub(crate) struct Cookie {
    /// Domain of the customer's cookie, such as `.bank.example`. Default: this host alone.
    #[config(env = "HELPLINE_COOKIE_DOMAIN")]
    pub(crate) domain: Option<String>,

    /// Whether the staff's cookie takes the same domain.
    #[config(env = "HELPLINE_COOKIE_STAFF_DOMAIN", default = false)]
    pub(crate) staff_domain: bool,
}

/// See [`Settings::recording`].
#[derive(Config, Clone, Debug)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub(crate) struct Recording {
    /// Seconds that a spool segment is kept after everything in it is stored.
    #[config(env = "HELPLINE_RECORDING_KEEP_AFTER_STORED_S", default = 3600)]
    pub(crate) keep_after_stored_s: u64,

    /// Percent of the spool's disk from which on recordings that are optional are refused, 3 to
    /// `refuse_required_percent`. A large disk may go higher, one that others fill too lower.
    #[config(env = "HELPLINE_RECORDING_REFUSE_OPTIONAL_PERCENT", default = 85)]
    pub(crate) refuse_optional_percent: u8,

    /// Percent from which on calls that must be recorded are not taken any more, up to 100: the last byte. What is
    /// left is for the calls that run, and for the database if it lies on the same disk.
    #[config(env = "HELPLINE_RECORDING_REFUSE_REQUIRED_PERCENT", default = 95)]
    pub(crate) refuse_required_percent: u8,

    /// What becomes of a call that must be recorded while the disk is that full or fails: `refuse`, or `warn` and take it
    /// all the same.
    #[config(env = "HELPLINE_RECORDING_ON_UNAVAILABLE", default = "refuse")]
    pub(crate) on_unavailable: OnUnavailable,
}

/// See [`Recording::on_unavailable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnUnavailable {
    /// No call without its recording.
    Refuse,
    /// No caller without an answer.
    Warn,
}

/// See [`Settings::log`].
#[derive(Config, Clone, Debug)]
#[config(layer_attr(serde(deny_unknown_fields)))]
pub(crate) struct Log {
    /// Filter in the form of `tracing`, such as `info,media_server=debug,sqlx=warn,rtc_dtls=error`. The library of the
    /// handshakes warns of every extension in a browser's greeting that it does not know, some twenty times a call, and
    /// sqlx repeats the database's notices: the last two keep that out.
    #[config(env = "HELPLINE_LOG_FILTER", default = "info,sqlx=warn,rtc_dtls=error")]
    pub(crate) filter: String,

    /// One JSON object per line instead of text.
    #[config(env = "HELPLINE_LOG_JSON", default = false)]
    pub(crate) json: bool,
}

/// A fault with what is behind it: the key at fault stands in the cause.
pub(crate) fn explain(fault: &dyn std::error::Error) -> String {
    let mut text = fault.to_string();
    let mut behind = fault.source();
    while let Some(cause) = behind {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        behind = cause.source();
    }
    text
}

/// The sample file for operators.
pub(crate) fn template() -> String {
    confique::toml::template::<Settings>(confique::toml::FormatOptions::default())
}

#[cfg(test)]
mod tests {
    use media_server::recorder::Marks;

    use super::*;

    /// With `UPDATE=1` the sample is written anew.
    #[test]
    fn the_sample_in_deploy_is_the_template() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/config.sample.toml");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, template()).expect("written");
        }
        let sample = std::fs::read_to_string(path).expect("the sample is there");
        assert!(
            sample == template(),
            "write it anew: this test with UPDATE=1, or helpline config template > deploy/config.sample.toml"
        );
    }

    #[test]
    fn the_defaults_are_the_documented_ports() {
        let settings = Settings::builder().load().expect("defaults load");
        assert_eq!(settings.http.listen.port(), 3000);
        assert_eq!(settings.signaling.compat_listen, "127.0.0.1:3001");
        assert_eq!(settings.metrics.listen.to_string(), "127.0.0.1:9464");
        assert_eq!(settings.media.base_port, media_server::config::BASE_PORT);
        assert_eq!(settings.media.legs_per_shard, media_server::config::LEGS_PER_SHARD);
        assert!((settings.media.busy_max - media_server::admission::BUSY_MAX).abs() < f64::EPSILON);
        assert_eq!(settings.media.consent_s, media_server::config::CONSENT_S);
        let (optional, required) = (
            settings.recording.refuse_optional_percent,
            settings.recording.refuse_required_percent,
        );
        assert_eq!(Marks::new(optional, required), Some(Marks::default()));
        assert_eq!(
            settings.media.pin.parse::<media_server::Pin>(),
            Ok(media_server::Pin::default())
        );
        assert_eq!(ports::Red::from(settings.media.red), ports::Red::Offer);
        assert_eq!(desk::Shielding::from(settings.media.shield), desk::Shielding::OnDemand);
        assert_eq!(settings.drain_timeout_seconds, u64::from(desk::DRAIN_S));
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let folder = std::env::temp_dir().join(format!("helpline-settings-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("bad.toml");
        std::fs::write(&file, "[http]\nlissen = \"127.0.0.1:1\"\n").expect("written");
        let fault = Settings::builder().file(&file).load().expect_err("a wrong key");
        let text = explain(&fault);
        std::fs::remove_dir_all(&folder).expect("removed");
        assert!(text.contains("lissen"), "{text}");
    }
}
