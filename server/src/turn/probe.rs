//! What is tried, in the order in which a browser would need it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustls::pki_types::ServerName;
use stun::{Class, Message, Writer, attribute, method};
use turn_relay::client::{CHANNEL_FIRST, Client, Credentials, Event, is_timeout};

use super::certificate::{Judge, Judged, in_words};
use super::report::{Line, Report};
use super::wire::{self, Wire, id};

/// A Binding request is sent again after this while it is not answered.
const ASKED_AGAIN: Duration = Duration::from_millis(500);
/// Addresses that a relay for calls must not lead to: documentation (RFC 5737), private, the machine itself, and the
/// place where clouds keep their machines' secrets. Any port does.
const FOREIGN: [&str; 4] = ["192.0.2.1:9", "10.255.255.1:9", "127.0.0.1:22", "169.254.169.254:80"];

/// What is looked at.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// As it was asked for; the name that the certificate must have.
    pub(super) host: String,
    pub(super) address: IpAddr,
    /// STUN, TURN over UDP and TCP.
    pub(super) port: u16,
    /// STUN and TURN over TLS.
    pub(super) tls_port: u16,
    /// For each thing that is tried.
    pub(super) limit: Duration,
    /// It is meant to lead anywhere.
    pub(super) external: bool,
}

impl Target {
    fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address, port)
    }

    /// As browsers are told: UDP, TCP, TLS.
    pub(super) fn urls(&self) -> (String, String, String) {
        let (host, port, tls) = (&self.host, self.port, self.tls_port);
        (
            format!("turn:{host}:{port}?transport=udp"),
            format!("turn:{host}:{port}?transport=tcp"),
            format!("turns:{host}:{tls}?transport=tcp"),
        )
    }
}

/// STUN over UDP on both ports, and at the second address if the server names one.
pub(super) fn stun(target: &Target, report: &mut Report) {
    let mut other = None;
    for (check, port) in [("stun-udp", target.port), ("stun-udp-second", target.tls_port)] {
        report.push(match binding(target.at(port), target.limit) {
            Ok(seen) => {
                // Asked on the first port, the server names the second one of the other address; each covers one.
                other = other.or(seen.other);
                Line::ok(check, format!("port {port} sees this machine as {}", seen.client))
            }
            Err(fault) => failed(check, &format!("UDP port {port}"), &fault),
        });
    }
    if let Some(other) = other {
        report.push(second_address(target, other));
    }
}

/// What a server with two addresses (RFC 5780) says of its other one: clients ask there, so it must be reachable.
fn second_address(target: &Target, other: SocketAddr) -> Line {
    let check = "stun-udp-other-ip";
    if other.ip() == target.address {
        return Line::failed(
            check,
            format!("the server names {other} as its other address, which is the one that was asked"),
            "set [turn] alternate_public_ip to the second public address",
        );
    }
    match binding(other, target.limit) {
        Ok(seen) => Line::ok(check, format!("{other} sees this machine as {}", seen.client)),
        Err(fault) => failed(check, &format!("the other address, UDP {other},"), &fault),
    }
}

/// What a Binding success says.
struct Seen {
    /// This machine's address.
    client: SocketAddr,
    /// The server's other address and port.
    other: Option<SocketAddr>,
}

/// Why a try came to nothing.
enum Failure {
    Socket(io::Error),
    Silence,
    Nonsense,
    /// By this error number.
    Refused(u16),
}

impl From<io::Error> for Failure {
    fn from(fault: io::Error) -> Failure {
        if is_timeout(&fault) {
            Failure::Silence
        } else {
            Failure::Socket(fault)
        }
    }
}

fn binding(to: SocketAddr, limit: Duration) -> Result<Seen, Failure> {
    let mut line = wire::udp(to, limit)?;
    let transaction = id();
    let mut request = [0; 32];
    let len = Writer::new(&mut request, Class::Request, method::BINDING, transaction)
        .expect("a bare header has room")
        .finish();
    while line.now_ms() < limit.as_millis() as u64 {
        line.send(&request[..len])?;
        let Some(answer) = line.receive(ASKED_AGAIN.min(limit))? else {
            continue;
        };
        let answer = Message::parse(&answer).map_err(|_| Failure::Nonsense)?;
        if answer.transaction() == transaction {
            return Ok(Seen {
                client: answer.xor_mapped_address().ok_or(Failure::Nonsense)?,
                other: answer.address(attribute::OTHER_ADDRESS),
            });
        }
    }
    Err(Failure::Silence)
}

/// Allocations over UDP, TCP and TLS, and what the server must refuse.
pub(super) fn turn(target: &Target, credentials: &Credentials, report: &mut Report) {
    /// Opens the way to the server.
    type Connect = fn(&Target) -> Result<Wire, Failure>;
    let mut open: Option<(Wire, Client)> = None;
    let udp: Connect = |target| Ok(wire::udp(target.at(target.port), target.limit)?);
    let tcp: Connect = |target| Ok(wire::tcp(target.at(target.port), target.limit)?);
    for (check, port, connect) in [("turn-udp", target.port, udp), ("turn-tcp", target.port, tcp)] {
        let made = connect(target).and_then(|wire| allocate(wire, credentials));
        let place = format!("{} port {port}", &check[5..].to_uppercase());
        report.push(allocated(check, &place, &made));
        if let Ok((wire, client, _)) = made {
            match open {
                None => open = Some((wire, client)),
                Some(_) => free(wire, client),
            }
        }
    }
    if let Some((wire, client)) = tls(target, Some(credentials), report) {
        match open {
            None => open = Some((wire, client)),
            Some(_) => free(wire, client),
        }
    }
    report.push(wrong_password(target, credentials));
    report.push(match open {
        _ if target.external => Line::skipped("foreign-peers", "a relay of others may lead anywhere"),
        None => Line::skipped("foreign-peers", "there is no allocation to ask with"),
        Some((wire, client)) => foreign(wire, client),
    });
}

/// The certificate alone, when there are no credentials to try more with.
pub(super) fn certificate(target: &Target, report: &mut Report) {
    for check in ["turn-udp", "turn-tcp"] {
        report.push(Line::skipped(check, "there are no credentials"));
    }
    tls(target, None, report);
    for check in ["wrong-credential", "foreign-peers"] {
        report.push(Line::skipped(check, "there are no credentials"));
    }
}

fn tls(target: &Target, credentials: Option<&Credentials>, report: &mut Report) -> Option<(Wire, Client)> {
    let check = "turn-tls";
    let place = format!("TLS port {}", target.tls_port);
    let judge = match Judge::new() {
        Ok(judge) => judge,
        Err(why) => {
            report.push(Line::failed(
                check,
                why,
                "install ca-certificates, or name roots in SSL_CERT_FILE",
            ));
            return None;
        }
    };
    let name = match ServerName::try_from(target.host.clone()) {
        Ok(name) => name,
        Err(_) => ServerName::from(target.address),
    };
    let wire = wire::tls(target.at(target.tls_port), name, judge.config(), target.limit);
    let mut open = None;
    match (wire, credentials) {
        (Ok(_), None) => report.push(Line::skipped(check, "there are no credentials")),
        (Ok(wire), Some(credentials)) => {
            let made = allocate(wire, credentials);
            report.push(allocated(check, &place, &made));
            open = made.ok().map(|(wire, client, _)| (wire, client));
        }
        (Err(fault), _) => report.push(handshake(check, &place, fault)),
    }
    report.push(match judge.judged() {
        None => Line::skipped("certificate", "none was shown"),
        Some(Judged::Trusted) => Line::ok("certificate", format!("browsers trust it for {}", target.host)),
        Some(Judged::EndsSoon) => Line::failed(
            "certificate",
            "the certificate ends within 14 days".to_owned(),
            "renew it now; the running relay takes the new files by itself",
        ),
        Some(Judged::Refused(fault)) => {
            let (seen, advice) = in_words(&fault, &target.host);
            Line::failed("certificate", seen, advice)
        }
    });
    open
}

fn handshake(check: &'static str, place: &str, fault: io::Error) -> Line {
    let library = fault.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match library {
        None if matches!(
            fault.kind(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof
        ) =>
        {
            Line::failed(
                check,
                format!("{place} ends the connection instead of a handshake"),
                "set [turn] tls_certificate and tls_key: without them our relay has no TLS",
            )
        }
        None => failed(check, place, &Failure::from(fault)),
        Some(reason) => Line::failed(
            check,
            format!("{place} does not speak TLS as browsers do: {reason}"),
            "set [turn] tls_certificate and tls_key, and see that nothing else answers on this port",
        ),
    }
}

type Made = Result<(Wire, Client, Vec<SocketAddr>), Failure>;

fn allocate(mut line: Wire, credentials: &Credentials) -> Made {
    let mut client = Client::new(line.carrier(), credentials.clone());
    let ask = |client: &mut Client, now_ms, id| client.allocate(now_ms, id, None, None);
    match line.ask(&mut client, ask)? {
        Some(Event::Allocated { relayed, .. }) => Ok((line, client, relayed)),
        other => Err(failure(other)),
    }
}

/// What an event that is not the wanted one means.
fn failure(event: Option<Event>) -> Failure {
    match event {
        Some(Event::Refused { code, .. }) => Failure::Refused(code),
        Some(Event::Silence { .. }) | None => Failure::Silence,
        Some(
            Event::Nonsense { .. }
            | Event::Allocated { .. }
            | Event::Refreshed { .. }
            | Event::Permitted
            | Event::Bound { .. },
        ) => Failure::Nonsense,
    }
}

fn allocated(check: &'static str, place: &str, made: &Made) -> Line {
    match made {
        Ok((_, _, relayed)) => {
            let list: Vec<_> = relayed.iter().map(SocketAddr::to_string).collect();
            Line::ok(check, format!("{place} gave {}", list.join(" and ")))
        }
        Err(fault) => failed(check, place, fault),
    }
}

/// Gives an allocation back; a server that does not answer ends it by itself.
fn free(mut line: Wire, mut client: Client) {
    // What became of it is no finding: it was made to be looked at, and it was.
    let _ = line.ask(&mut client, |client, now_ms, id| client.refresh(now_ms, id, 0));
}

/// A password that is wrong by one character, over the first way that answers.
fn wrong_password(target: &Target, credentials: &Credentials) -> Line {
    let check = "wrong-credential";
    let wrong = Credentials {
        username: credentials.username.clone(),
        password: format!("{}x", credentials.password),
    };
    let over_udp = wire::udp(target.at(target.port), target.limit).map_err(Failure::from);
    let mut made = over_udp.and_then(|wire| allocate(wire, &wrong));
    if matches!(made, Err(Failure::Silence | Failure::Socket(_))) {
        let over_tcp = wire::tcp(target.at(target.port), target.limit).map_err(Failure::from);
        made = over_tcp.and_then(|wire| allocate(wire, &wrong));
    }
    match made {
        Err(Failure::Refused(401)) => Line::ok(check, "a wrong password is refused (401)".to_owned()),
        Err(Failure::Silence | Failure::Socket(_)) => {
            Line::skipped(check, "the server answers neither over UDP nor over TCP")
        }
        Err(Failure::Refused(code)) => Line::failed(
            check,
            format!("a wrong password is answered with {code} instead of 401"),
            "use another server: clients do not know what to do with that",
        ),
        Err(Failure::Nonsense) => Line::failed(
            check,
            "a wrong password is answered with nonsense".to_owned(),
            "see that a TURN server listens on this port",
        ),
        Ok((wire, client, _)) => {
            free(wire, client);
            Line::failed(
                check,
                "a wrong password is accepted: anybody may use this relay".to_owned(),
                "close the port, and set credentials up (coturn: lt-cred-mech or use-auth-secret, never no-auth)",
            )
        }
    }
}

/// Peers that are none of ours, each in a request of its own and by both ways to name one.
fn foreign(mut line: Wire, mut client: Client) -> Line {
    let check = "foreign-peers";
    let mut allowed = Vec::new();
    let mut channel = CHANNEL_FIRST;
    for text in FOREIGN {
        let peer: SocketAddr = text.parse().expect("the list holds addresses");
        for by_channel in [false, true] {
            let asked = line.ask(&mut client, |client, now_ms, id| {
                if by_channel {
                    client.bind(now_ms, id, channel, peer);
                } else {
                    client.permit(now_ms, id, &[peer]);
                }
            });
            channel += u16::from(by_channel);
            match asked {
                Ok(Some(Event::Refused { .. })) => {}
                Ok(Some(Event::Permitted | Event::Bound { .. })) => allowed.push(peer.ip().to_string()),
                Ok(other) => return failed(check, &format!("a request for {peer}"), &failure(other)),
                Err(fault) => return failed(check, &format!("a request for {peer}"), &fault.into()),
            }
        }
    }
    allowed.dedup();
    free(line, client);
    if allowed.is_empty() {
        return Line::ok(check, "it leads to no foreign address (403)".to_owned());
    }
    Line::failed(
        check,
        format!("whoever has credentials may send to {} through it", allowed.join(", ")),
        "set [turn] mode to \"virtual\"; on coturn deny everything but the media addresses (denied-peer-ip, \
         allowed-peer-ip); for a relay that is meant to lead anywhere say --external",
    )
}

fn failed(check: &'static str, place: &str, fault: &Failure) -> Line {
    let (seen, advice) = match fault {
        Failure::Silence => (
            format!("{place} does not answer"),
            "open the port in the firewall and the cloud's security group, both ways, and see that the server is up",
        ),
        Failure::Socket(fault) if fault.kind() == io::ErrorKind::ConnectionRefused => (
            format!("nobody listens on {place}"),
            "start the server, or correct the port here or in [turn] ports",
        ),
        Failure::Socket(fault) if fault.kind() == io::ErrorKind::UnexpectedEof => (
            format!("{place} closed the connection without an answer"),
            "see that a TURN server listens there, and nothing in between that allows only HTTPS",
        ),
        Failure::Socket(fault) => (
            format!("{place}: {fault}"),
            "see that this machine has a way to that address",
        ),
        Failure::Nonsense => (
            format!("{place} answers, but not as STUN and TURN servers do"),
            "see what listens there: another program, or a proxy in between",
        ),
        Failure::Refused(401) => (
            format!("{place} refuses the credentials (401)"),
            "see that secret, realm and clock of the machine that made them are those of the relay, and that they have \
             not run out",
        ),
        Failure::Refused(403) => (
            format!("{place} does not know the leg of the credentials (403)"),
            "credentials of our relay count on the node that made them: ask for that node's own address, and see that no \
             balancer leads to another",
        ),
        Failure::Refused(437) => (
            format!("{place} believes that there is an allocation already (437)"),
            "try again in a minute",
        ),
        Failure::Refused(486) => (
            format!("{place} has a quota, and it is used up (486)"),
            "see the allocations in the console, and the limits in [turn.limits]",
        ),
        Failure::Refused(508) => (
            format!("{place} takes nobody more (508)"),
            "the node is draining, or has no free relayed address: see helpline_turn_allocations",
        ),
        Failure::Refused(code) => (
            format!("{place} refuses with {code}"),
            "see the error code in RFC 8656 section 19",
        ),
    };
    Line::failed(check, seen, advice)
}
