//! Asks the running server of this machine how it is: for the health check of a container, whose image has no other program
//! that could.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use serde::Deserialize;

use crate::Fault;
use crate::cli::Health;
use crate::load;
use crate::settings::Settings;

/// Longest wait for the answer, which the server gives without asking anybody.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// What the demo leaves in its data folder, as far as it is needed here.
#[derive(Deserialize)]
struct Left {
    http: SocketAddr,
}

/// Says what the server answers. Exit code 0: it lives, or takes calls where that was asked; 1: it does not, or nobody
/// answers.
///
/// # Errors
/// A configuration that cannot be read.
pub(crate) async fn run(asked: &Health) -> Result<ExitCode, Fault> {
    let settings = load::quietly(&asked.place)?;
    let what = if asked.ready { "ready" } else { "live" };
    let url = format!("http://{}/health/{what}", door(&settings));
    let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_LIMIT).build();
    let reply = client.map_err(Fault::other)?.get(&url).send().await;
    let reply = reply.map_err(|fault| Fault::Other(format!("nobody answers at {url}: {fault}")))?;
    let good = reply.status().is_success();
    println!("{}", reply.text().await.unwrap_or_default());
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where the server of this configuration listens; a demo has left word of it.
fn door(settings: &Settings) -> SocketAddr {
    let left = std::fs::read(settings.data_dir.join("demo.json"));
    let left: Option<Left> = left.ok().and_then(|text| serde_json::from_slice(&text).ok());
    left.map_or_else(|| near(settings.http.listen), |left| left.http)
}

/// How this machine itself reaches what listens there.
pub(crate) fn near(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    listen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_everywhere_is_reached_on_loopback() {
        for (listen, reached) in [
            ("0.0.0.0:3000", "127.0.0.1:3000"),
            ("[::]:3000", "[::1]:3000"),
            ("192.0.2.1:80", "192.0.2.1:80"),
        ] {
            let listen = listen.parse().expect("an address");
            assert_eq!(near(listen).to_string(), reached);
        }
    }
}
