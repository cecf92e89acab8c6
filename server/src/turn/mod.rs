//! `helpline turn`: looks at a TURN server from outside, as a browser meets it, and says what to do about what is wrong.
//!
//! Works for our own relay and for a foreign one. Prints no credential, and stores nothing.

mod certificate;
mod credential;
mod probe;
mod report;
mod wire;

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use crate::Fault;
use crate::cli::TurnCheck;
use credential::Origin;
use report::{Line, Report};

/// Addresses of one name that are looked at: browsers try no more. Each takes half a minute when it is dead.
const ADDRESSES_MAX: usize = 8;

/// Carries out `helpline turn check`; 0: all good, 1: something failed.
///
/// # Errors
/// What keeps the checks from being made at all.
pub(crate) fn check(asked: &TurnCheck) -> Result<ExitCode, Fault> {
    let limit = Duration::from_secs(asked.timeout_s);
    let mut report = Report::new(&asked.host);
    let addresses = if asked.addresses.is_empty() {
        resolve(&asked.host)
    } else {
        Ok(asked.addresses.clone())
    };
    report.push(named(asked, &addresses));
    // Browsers take any of them, so one that is dead is a fault whatever the others do.
    let targets: Vec<probe::Target> = addresses
        .unwrap_or_default()
        .into_iter()
        .take(ADDRESSES_MAX)
        .map(|address| probe::Target {
            host: asked.host.clone(),
            address,
            port: asked.port,
            tls_port: asked.tls_port,
            limit,
            external: asked.external,
        })
        .collect();
    for target in &targets {
        report.at(Some(target.address));
        probe::stun(target, &mut report);
    }
    report.at(None);
    let Some(first) = targets.first() else {
        return Ok(print(&report, asked.json));
    };
    // Late, for they do not last.
    let found = credential::find(asked);
    match &found {
        Ok((_, Origin::Server { urls })) => report.push(told(first, urls)),
        Ok((_, Origin::Given)) => {}
        Err(fault) => report.push(fault.clone()),
    }
    for target in &targets {
        report.at(Some(target.address));
        match &found {
            Ok((credentials, _)) => probe::turn(target, credentials, &mut report),
            Err(_) => probe::certificate(target, &mut report),
        }
    }
    Ok(print(&report, asked.json))
}

fn print(report: &Report, json: bool) -> ExitCode {
    if json {
        println!("{}", report.json());
    } else {
        print!("{}", report.text());
    }
    if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// All of them, IPv4 first: what most clients use.
fn resolve(host: &str) -> Result<Vec<IpAddr>, String> {
    // Brackets are how IPv6 stands in URLs.
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    let found = (plain, 0).to_socket_addrs().map_err(|fault| fault.to_string())?;
    let mut addresses: Vec<IpAddr> = found.map(|address: SocketAddr| address.ip()).collect();
    // The order of IPv4 and IPv6 addresses as such.
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        return Err("the name has no address".to_owned());
    }
    Ok(addresses)
}

fn named(asked: &TurnCheck, addresses: &Result<Vec<IpAddr>, String>) -> Line {
    match addresses {
        Ok(all) => {
            let list: Vec<_> = all.iter().map(IpAddr::to_string).collect();
            if all.len() > ADDRESSES_MAX {
                return Line::failed(
                    "name",
                    format!(
                        "{} is {}; only the first {ADDRESSES_MAX} are looked at",
                        asked.host,
                        list.join(", ")
                    ),
                    "look at the others with --address",
                );
            }
            Line::ok("name", format!("{} is {}", asked.host, list.join(", ")))
        }
        Err(why) => Line::failed(
            "name",
            format!("{} cannot be resolved: {why}", asked.host),
            "make a DNS record for it, or ask for the address itself",
        ),
    }
}

/// Whether what browsers are told leads to what is looked at.
fn told(target: &probe::Target, urls: &[String]) -> Line {
    let (udp, tcp, tls) = target.urls();
    let missing: Vec<_> = [udp, tcp, tls]
        .into_iter()
        .filter(|url| !urls.iter().any(|told| told == url))
        .collect();
    let list = urls.join(" ");
    if urls.is_empty() {
        return Line::failed(
            "advertised",
            "the server tells browsers of no TURN server".to_owned(),
            "set [turn] mode to \"virtual\", and look into its log for why the relay did not start",
        );
    }
    if missing.is_empty() {
        return Line::ok("advertised", list);
    }
    Line::failed(
        "advertised",
        format!("browsers are told {list}, without {}", missing.join(" ")),
        "set [turn] public_host, ports and the TLS certificate so that browsers are told what is open, or check the host \
         that they are told",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> probe::Target {
        probe::Target {
            host: "turn.bank.example".to_owned(),
            address: IpAddr::from([192, 0, 2, 7]),
            port: 3478,
            tls_port: 3479,
            limit: Duration::from_secs(1),
            external: false,
        }
    }

    #[test]
    fn what_browsers_are_told_must_be_what_is_looked_at() {
        let all = [
            "turn:turn.bank.example:3478?transport=udp",
            "turn:turn.bank.example:3478?transport=tcp",
            "turns:turn.bank.example:3479?transport=tcp",
        ]
        .map(str::to_owned);
        assert!(told(&target(), &all).is_good());
        assert!(!told(&target(), &all[..2]).is_good());
        assert!(!told(&target(), &[]).is_good());
        let elsewhere = all.map(|url| url.replace("turn.bank", "support.bank"));
        let line = told(&target(), &elsewhere);
        assert!(!line.is_good());
        assert!(line.to_string().contains("support.bank.example"), "{line}");
    }

    #[test]
    fn addresses_need_no_name_server_and_ipv6_may_stand_in_brackets() {
        assert_eq!(resolve("192.0.2.1").ok(), Some(vec![IpAddr::from([192, 0, 2, 1])]));
        let v6: IpAddr = "2001:db8::1".parse().expect("an address");
        assert_eq!(resolve("[2001:db8::1]").ok(), Some(vec![v6]));
        assert_eq!(resolve("2001:db8::1").ok(), Some(vec![v6]));
        assert!(resolve("not a name").is_err());
        let dead: IpAddr = "2001:db8::2".parse().expect("an address");
        assert!(dead > v6 && v6 > IpAddr::from([255; 4]), "the order that is sorted by");
    }
}
