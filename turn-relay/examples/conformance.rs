//! The relay alone, for coturn's client tools: `docs/TURN.md`, section "Conformance".
//!
//! Quotas and rates are off, every leg is alive, credentials may be good for two days, the first byte of a payload does
//! not matter: what those tools do. Never a part of the product.
//!
//! `conformance --mode allowlist|virtual --secret S [--port 4478] [--peer IP[:PORT] …] [--quota N]
//! [--certificate c.pem --key k.pem]`; listens on 127.0.0.1, 127.0.0.2 and ::1, on the port and the one after it.

#[path = "../tests/sockets/bench.rs"]
mod bench;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use bench::Bench;
use turn_relay::core::address::PeerRule;
use turn_relay::{Config, TlsFiles};

/// The peers' port unless the tools are told another (`-r`).
const PEER_PORT: u16 = 4_480;

struct Arguments {
    allow_list: bool,
    secret: String,
    port: u16,
    peers: Vec<PeerRule>,
    quota: Option<u32>,
    tls: TlsFiles,
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut found = Arguments {
        allow_list: false,
        secret: String::new(),
        port: 4_478,
        peers: Vec::new(),
        quota: None,
        tls: TlsFiles {
            certificate: PathBuf::from("c.pem"),
            key: PathBuf::from("k.pem"),
        },
    };
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} wants a value"))?;
        let wrong = || format!("{word} {value} is not understood");
        match word.as_str() {
            "--mode" if value == "allowlist" => found.allow_list = true,
            "--mode" if value == "virtual" => found.allow_list = false,
            "--secret" => found.secret = value,
            "--port" => found.port = value.parse().map_err(|_| wrong())?,
            "--peer" => found.peers.push(value.parse().map_err(|_| wrong())?),
            "--quota" => found.quota = Some(value.parse().map_err(|_| wrong())?),
            "--certificate" => found.tls.certificate = value.into(),
            "--key" => found.tls.key = value.into(),
            _ => return Err(wrong()),
        }
    }
    if found.secret.is_empty() {
        return Err("--secret is needed".to_owned());
    }
    Ok(found)
}

fn config(arguments: &Arguments) -> Config {
    let peers = arguments.allow_list.then(|| arguments.peers.clone());
    let ports = [arguments.port, arguments.port + 1];
    let mut config = bench::for_tools(peers, &arguments.secret, ports, arguments.quota);
    if arguments.tls.certificate.exists() {
        config.tls = Some(arguments.tls.clone());
    } else {
        eprintln!("no {}: TLS is off", arguments.tls.certificate.display());
    }
    config
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(fault) => {
            eprintln!("{fault}");
            return ExitCode::from(2);
        }
    };
    let peers = bench::tool_peers(PEER_PORT);
    let shards: &[Vec<SocketAddr>] = if arguments.allow_list { &[] } else { &peers };
    let _bench = match Bench::start(config(&arguments), shards) {
        Ok(bench) => bench,
        Err(fault) => {
            eprintln!("{fault}");
            return ExitCode::FAILURE;
        }
    };
    println!("ready on port {}", arguments.port);
    loop {
        std::thread::park();
    }
}
