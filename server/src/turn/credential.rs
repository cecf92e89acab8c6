//! Where the credentials of a check come from. None is made up here: the running server hands them out, as it does to
//! browsers, so what is tried is what browsers get.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use turn_relay::client::Credentials;
use wire::preflight::PreflightStarted;

use super::report::Line;
use crate::Fault;
use crate::cli::TurnCheck;
use crate::health::near;
use crate::load;

/// The name of the line that says how it went.
const CHECK: &str = "credentials";
/// Longest file with a shared secret that is read, bytes.
const SECRET_BYTES_MAX: u64 = crate::secrets::SECRET_BYTES_MAX;
/// How long credentials made from a shared secret count, seconds.
const LIFE_S: u64 = 120;

/// Who made the credentials.
pub(super) enum Origin {
    /// They stood on the command line, or were made from a shared secret.
    Given,
    /// The running server; these are the URLs that it tells browsers.
    Server { urls: Vec<String> },
}

/// Finds credentials in the way that was asked for.
///
/// # Errors
/// The line to print when there are none.
pub(super) fn find(asked: &TurnCheck) -> Result<(Credentials, Origin), Line> {
    if let (Some(username), Some(password)) = (&asked.user, &asked.credential) {
        let credentials = Credentials {
            username: username.clone(),
            password: password.clone(),
        };
        return Ok((credentials, Origin::Given));
    }
    if let Some(file) = &asked.secret_from {
        return from_secret(file).map(|credentials| (credentials, Origin::Given));
    }
    from_server(asked)
}

/// By the REST scheme that coturn calls `use-auth-secret`.
fn from_secret(file: &Path) -> Result<Credentials, Line> {
    let fault = |why: String| {
        let advice = "name a file that holds the shared secret and nothing else";
        Line::failed(CHECK, format!("{}: {why}", file.display()), advice)
    };
    let facts = fs::metadata(file).map_err(|why| fault(why.to_string()))?;
    if facts.len() > SECRET_BYTES_MAX {
        return Err(fault(format!("larger than {SECRET_BYTES_MAX} bytes")));
    }
    let secret = fs::read_to_string(file).map_err(|why| fault(why.to_string()))?;
    let until_s = unix_s() + LIFE_S;
    Ok(Credentials::of_shared_secret(
        secret.trim_end_matches(['\r', '\n']).as_bytes(),
        format!("{until_s}:helpline-check"),
    ))
}

#[expect(clippy::disallowed_methods, reason = "an expiry is a time of day")]
fn unix_s() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |passed| passed.as_secs())
}

/// Where the running server of this machine is, and a key that it takes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Door {
    http: std::net::SocketAddr,
    service_key: String,
}

/// What the demo left in its data folder, or address and first service key of the configuration.
fn door(asked: &TurnCheck) -> Result<Door, String> {
    let settings = match load::quietly(&asked.place) {
        Ok(settings) => settings,
        Err(Fault::Configuration(why) | Fault::Other(why)) => return Err(why),
    };
    let demo = settings.data_dir.join("demo.json");
    if let Ok(text) = fs::read_to_string(&demo) {
        return serde_json::from_str(&text).map_err(|why| format!("{}: {why}", demo.display()));
    }
    let key = settings.auth.service_keys.first().and_then(|pair| pair.split_once('='));
    let (_, key) = key.ok_or("the configuration has no service key to ask the running server with")?;
    Ok(Door {
        http: near(settings.http.listen),
        service_key: key.to_owned(),
    })
}

/// Begins a line test at the running server, as a browser would, and takes the credentials of its leg. The leg is never
/// attached and ends with its grant.
fn from_server(asked: &TurnCheck) -> Result<(Credentials, Origin), Line> {
    let advice = "run this where the server runs, with its configuration (--config) or data folder (--data-dir), or give \
                  --user and --credential";
    let fault = |why: String| Line::failed(CHECK, why, advice);
    let door = door(asked).map_err(fault)?;
    let started =
        ask(&door, Duration::from_secs(asked.timeout_s)).map_err(|why| fault(format!("{}: {why}", door.http)))?;
    let mut urls = Vec::new();
    let mut credentials = None;
    for server in started.leg.ice_servers {
        let turn = server.urls.iter().filter(|url| url.starts_with("turn"));
        urls.extend(turn.cloned());
        if let (Some(username), Some(password)) = (server.username, server.credential) {
            credentials.get_or_insert(Credentials { username, password });
        }
    }
    let credentials = credentials.ok_or_else(|| {
        Line::failed(
            CHECK,
            "the running server hands out no TURN credentials".to_owned(),
            "set [turn] mode to \"virtual\", and look into its log for why the relay did not start",
        )
    })?;
    Ok((credentials, Origin::Server { urls }))
}

fn ask(door: &Door, limit: Duration) -> Result<PreflightStarted, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|fault| fault.to_string())?;
    runtime.block_on(async {
        let client = reqwest::Client::builder().timeout(limit).no_proxy().build();
        let request = client
            .map_err(|fault| fault.to_string())?
            .post(format!("http://{}/api/support/preflight", door.http))
            .bearer_auth(&door.service_key);
        let reply = request.send().await.map_err(|fault| cause(&fault))?;
        let status = reply.status();
        let text = reply.text().await.map_err(|fault| cause(&fault))?;
        if !status.is_success() {
            return Err(format!("the server answers {status}"));
        }
        serde_json::from_str(&text).map_err(|fault| format!("no grant of this version: {fault}"))
    })
}

/// The innermost reason, which is the one that helps.
fn cause(fault: &dyn std::error::Error) -> String {
    let mut last = fault;
    while let Some(behind) = last.source() {
        last = behind;
    }
    last.to_string()
}
