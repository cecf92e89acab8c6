//! Starts the parts in their order, connects them, and ends them in the reverse order.
//!
//! Never decides for a part; what can fail by configuration fails before anything that lasts has begun.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use desk::{DeskOptions, NodeStart, Store};
use media_server::MediaServer;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Fault;
use crate::cli::Serve;
use crate::database::Database;
use crate::ending::Signals;
use crate::listeners;
use crate::plan::Plan;
use crate::random;
use crate::relay::Relay;
use crate::settings::{OnUnavailable, Settings};
use crate::supervisor::{self, Starting, Supervisor};
use crate::told::{self, Demo, Left, Listening};

/// How long the desk and the listeners have to finish what is under way.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// The ports that are bound first.
struct Ports {
    http: TcpListener,
    compat: Option<TcpListener>,
    metrics: TcpListener,
}

/// Runs until a signal ends it.
///
/// # Errors
/// Whatever keeps a part from starting.
pub(crate) async fn run(settings: Settings, serve: &Serve) -> Result<(), Fault> {
    let supervisor = Arc::new(Supervisor::of_environment());
    let starting = supervisor.starting();
    let plan = Plan::of(&settings)?;
    if serve.demo && !settings.http.listen.ip().is_loopback() {
        return Err(Fault::Configuration(
            "--demo serves this machine only: http.listen must be a loopback address".into(),
        ));
    }
    if !serve.demo {
        tracing::warn!(
            "recordings and their spool lie on the disk unsealed in this version; use an encrypted volume (SECURITY.md)"
        );
    }
    let ports = bind(&settings, &plan).await?;
    let http = ports.http.local_addr().map_err(Fault::other)?;
    let database = Database::open(&settings, serve.auto_migrate).await?;
    let store = database.store.clone();
    let outcome = run_parts(&settings, serve, &plan, ports, http, store, (supervisor, starting)).await;
    database.close().await;
    outcome
}

async fn bind(settings: &Settings, plan: &Plan) -> Result<Ports, Fault> {
    let http = listeners::bind("HTTP", settings.http.listen, "http.listen")
        .await
        .map_err(Fault::other)?;
    let compat = match plan.compat {
        Some(address) => {
            let setting = "signaling.compat_listen";
            Some(
                listeners::bind("signalling", address, setting)
                    .await
                    .map_err(Fault::other)?,
            )
        }
        None => None,
    };
    let metrics = listeners::bind("metrics", settings.metrics.listen, "metrics.listen").await;
    Ok(Ports {
        http,
        compat,
        metrics: metrics.map_err(Fault::other)?,
    })
}

/// An empty text is silence.
fn music(setting: &str) -> media_server::HoldMusic {
    match setting {
        "" => media_server::HoldMusic::Silence,
        path => media_server::HoldMusic::File(path.into()),
    }
}

fn media_config(settings: &Settings, plan: &Plan, epoch: u64) -> media_server::Config {
    media_server::Config {
        shards: plan.shards,
        base_port: settings.media.base_port,
        batch: settings.media.batch,
        legs_per_shard: settings.media.legs_per_shard,
        busy_max: settings.media.busy_max,
        pin: plan.pin.clone(),
        consent_s: settings.media.consent_s,
        keep_after_stored_s: settings.recording.keep_after_stored_s,
        disk_marks: plan.disk_marks,
        hold_music: settings
            .media
            .hold_music
            .as_deref()
            .map_or_else(Default::default, music),
        waiting: media_server::Waiting {
            music: settings.media.waiting_music.as_deref().map(music),
            prompt: settings
                .media
                .waiting_prompt
                .as_deref()
                .filter(|path| !path.is_empty())
                .map(Into::into),
            prompt_every_s: settings.media.waiting_prompt_every_s,
        },
        ..media_server::Config::new(
            settings.data_dir.join("media"),
            settings.node_id.clone(),
            epoch,
            settings.media.bind.clone(),
            plan.advertise.clone(),
        )
    }
}

async fn run_parts(
    settings: &Settings,
    serve: &Serve,
    plan: &Plan,
    ports: Ports,
    http: SocketAddr,
    store: Store,
    (supervisor, starting): (Arc<Supervisor>, Starting),
) -> Result<(), Fault> {
    let registry = Registry::new();
    let process = prometheus::process_collector::ProcessCollector::for_self();
    registry.register(Box::new(process)).map_err(Fault::other)?;
    let ws_url = plan.ws_url(http);
    let node = NodeStart {
        node_id: settings.node_id.clone(),
        ws_url: ws_url.clone(),
        udp_addr: plan.advertise.first().map(ToString::to_string).unwrap_or_default(),
    };
    let epoch = store.start_node(node).await.map_err(Fault::other)?;
    let media = MediaServer::start(media_config(settings, plan, epoch.epoch), &registry).map_err(Fault::other)?;
    let relay = Relay::start(&plan.relay, &settings.turn, &media, &registry)?;
    let stop = CancellationToken::new();
    let ice = relay.told(&plan.relay, &registry, &stop)?;
    let service_key = serve.demo.then(random::hex::<32>);
    let options = DeskOptions {
        random: Arc::new(random::System),
        ice,
        demo: serve.demo,
        recorder_missing: match settings.recording.on_unavailable {
            OnUnavailable::Refuse => desk::OnUnavailable::Refuse,
            OnUnavailable::Warn => desk::OnUnavailable::Warn,
        },
        red: settings.media.red.into(),
        shield: settings.media.shield.into(),
        registry: registry.clone(),
    };
    let auth = plan.auth(settings, service_key.as_deref())?;
    let desk = desk::Desk::new(store, epoch, media.media(), media.recordings(), options, auth).map_err(Fault::other)?;
    let deciding = tokio::spawn({
        let (desk, stop) = (desk.clone(), stop.clone());
        async move { desk.run(stop).await }
    });
    let demo = match service_key {
        Some(service_key) => Some(Demo {
            accounts: desk.seed_demo().await.map_err(Fault::other)?,
            service_key,
        }),
        None => None,
    };
    let listening = Listening {
        http,
        compat: ports.compat.as_ref().and_then(|listener| listener.local_addr().ok()),
        metrics: ports.metrics.local_addr().map_err(Fault::other)?,
        stun: relay.addresses(),
        media: media.addresses(),
        url: plan.url(http),
        ws_url,
    };
    let closing = CancellationToken::new();
    let served = open_doors(settings, serve, plan, ports, &desk, &registry, &closing, &listening)?;
    let signals = Signals::listen()?;
    let line = told::addresses(&listening, demo.as_ref());
    let left = demo
        .as_ref()
        .map(|_| Left::behind(&settings.data_dir, &line))
        .transpose();
    let left = left.map_err(Fault::other)?;
    if serve.print_addresses {
        println!("{line}");
    } else if let Some(demo) = &demo {
        println!("{}", told::welcome(&listening, demo));
    }
    supervisor.ready(starting).await;
    watch(Arc::clone(&supervisor), &media, closing.clone(), serve.end_if_hung);
    signals.ended(&desk, settings.drain_timeout_seconds).await;
    drop(left);
    tracing::info!("stopping");
    supervisor.stopping();
    closing.cancel();
    if tokio::time::timeout(STOP_LIMIT, served).await.is_err() {
        tracing::warn!("some connections were cut");
    }
    // Media ends first, so that the desk can still store how the calls and their recordings ended.
    tokio::task::block_in_place(|| media.stop());
    stop.cancel();
    if tokio::time::timeout(STOP_LIMIT, deciding).await.is_err() {
        tracing::warn!("the desk did not come to an end in time; the next start finishes its work");
    }
    Ok(())
}

/// Tells the supervisor that the process lives, from now to its end. What closes has its own limits, but for threads that
/// are waited for: they have [`supervisor::lives`].
fn watch(supervisor: Arc<Supervisor>, media: &MediaServer, closing: CancellationToken, end_if_hung: bool) {
    let media = media.media();
    tokio::spawn(async move {
        let alive = supervisor::lives(closing, move || media.alive());
        // Not in good order: whatever hangs would be waited for.
        let end: Option<fn()> = end_if_hung.then_some(|| std::process::abort());
        supervisor.watch(alive, end).await;
    });
}

#[expect(clippy::too_many_arguments, reason = "the one place where everything meets")]
fn open_doors(
    settings: &Settings,
    serve: &Serve,
    plan: &Plan,
    ports: Ports,
    desk: &desk::Desk,
    registry: &Registry,
    closing: &CancellationToken,
    listening: &Listening,
) -> Result<impl Future<Output = ()> + use<>, Fault> {
    let mut allowed = settings.http.allowed_origins.clone();
    allowed.push(listening.url.clone());
    let signaling = signaling::Options {
        demo: serve.demo,
        allowed_origins: allowed,
    };
    let signaling = signaling::router(desk.clone(), signaling, registry, closing.clone()).map_err(Fault::other)?;
    let options = api::Options {
        demo: serve.demo,
        https: plan.cookies.secure,
        origins: vec![listening.url.clone(), origin_of(&listening.ws_url)],
        allowed_origins: settings.http.allowed_origins.clone(),
        trusted_proxies: plan.trusted.clone(),
        cookies: plan.cookies.clone(),
        ui_dir: settings.http.ui_dir.clone(),
    };
    let app = api::App::new(desk.clone(), options).map_err(Fault::other)?;
    let sockets = api::sockets(app.clone(), signaling.clone());
    let http = listeners::serve(ports.http, api::router(app, signaling), closing.clone());
    let compat = ports
        .compat
        .map(|listener| listeners::serve(listener, sockets, closing.clone()));
    let metrics = listeners::serve(ports.metrics, api::metrics_router(registry.clone()), closing.clone());
    let served = [
        Some(tokio::spawn(http)),
        compat.map(tokio::spawn),
        Some(tokio::spawn(metrics)),
    ];
    Ok(async move {
        for task in served.into_iter().flatten() {
            // A panic of a listener's task was logged; there is nothing left to wait for.
            let _ = task.await;
        }
    })
}

/// `scheme://host[:port]` of a URL.
fn origin_of(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.split('/').next().unwrap_or_default()),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_of_a_url_ends_before_its_path() {
        assert_eq!(origin_of("ws://localhost:3000/ws"), "ws://localhost:3000");
        assert_eq!(origin_of("wss://a.example"), "wss://a.example");
    }
}
