//! Who holds the secret reaches nobody (R6): the destinations of everything that the process sends, as the kernel sees
//! them (`strace`), are clients that have shown a credential, and listed peers.
//!
//! A machine without `strace` skips this and says so, or fails it under `HELPLINE_TEST_REQUIRE=all`.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use stun::{Class, Writer, attribute, method};
use turn_relay::client::{Came, Client, Event, Family, Line, Way};
use turn_relay::{Config, Mode};

use crate::bench::Bench;
use crate::user::{LIMIT, User, of_secret, rtp, unix_s};

/// Names this test to the process that is looked at, and says its mode: `virtual` or the listed peer.
const ROLE: &str = "HELPLINE_TURN_REACH";
const SECRET: &[u8] = b"leaked";
/// Shards that nobody binds.
const SHARDS: [&str; 2] = ["192.0.2.10:40000", "[2001:db8::10]:40000"];

/// What an attacker would like to reach.
const TARGETS: &[&str] = &[
    "127.0.0.1:22",
    "127.0.0.1:5432",
    "0.0.0.0:80",
    "10.0.0.1:443",
    "172.16.0.1:443",
    "192.168.1.1:80",
    "100.64.0.1:80",
    "169.254.169.254:80",
    "224.0.0.251:5353",
    "255.255.255.255:67",
    "192.0.2.10:22",
    "198.51.100.7:53",
    "[::1]:22",
    "[::]:80",
    "[::ffff:127.0.0.1]:22",
    "[::ffff:169.254.169.254]:80",
    "[::127.0.0.1]:22",
    "[64:ff9b::7f00:1]:22",
    "[64:ff9b::a9fe:a9fe]:80",
    "[2002:7f00:1::1]:22",
    "[fe80::1]:22",
    "[fd00::1]:22",
    "[ff02::fb]:5353",
    "[2001:db8::10]:22",
];

/// The process that is looked at. As an ordinary test it does nothing.
#[test]
fn a_relay_to_look_at() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let shards: Vec<SocketAddr> = SHARDS.map(|text| text.parse().expect("an address")).to_vec();
    let (mode, shards) = if role == "virtual" {
        (Mode::Virtual, vec![shards])
    } else {
        (Mode::AllowList(vec![role.parse().expect("a peer")]), Vec::new())
    };
    let ips = [[127, 0, 0, 1].into(), "::1".parse().expect("::1")];
    let mut config = Config::new(mode, &ips, &[0], "localhost");
    config.secret = Some(SECRET.to_vec());
    config.limits.allocations_per_leg = 100;
    config.limits.new_peers_per_s = 0;
    let bench = Bench::start(config, &shards).expect("free ports");
    println!("\nready {}", bench.relay().addresses()[0]);
    // Until the other side has done its worst.
    std::io::stdin().read_to_end(&mut Vec::new()).expect("a pipe");
}

/// It and the record of what it sends.
struct Traced {
    child: Child,
    record: PathBuf,
    address: SocketAddr,
}

impl Drop for Traced {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.record);
    }
}

/// `None` where it cannot be looked at.
fn traced(role: &str, name: &str) -> Option<Traced> {
    let record = std::env::temp_dir().join(format!("helpline-reach-{}-{name}", std::process::id()));
    let own = std::env::current_exe().expect("this test runs");
    let started = Command::new("strace")
        .args(["-f", "-v", "-e", "trace=sendto,sendmsg,sendmmsg,connect", "-o"])
        .arg(&record)
        .arg(own)
        .args(["--exact", "reach::a_relay_to_look_at", "--nocapture"])
        .env(ROLE, role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let missing = |why: &str| {
        let required = std::env::var("HELPLINE_TEST_REQUIRE").is_ok_and(|value| value == "all");
        assert!(!required, "HELPLINE_TEST_REQUIRE=all: strace: {why}");
        println!("skipped: strace {why} (apt-get install strace)");
    };
    let mut child = match started {
        Ok(child) => child,
        Err(fault) => {
            missing(&fault.to_string());
            return None;
        }
    };
    let output = BufReader::new(child.stdout.take().expect("it was asked for"));
    let ready = output.lines().map_while(Result::ok).find_map(|line| {
        let address = line.strip_prefix("ready ")?;
        address.parse().ok()
    });
    let Some(address) = ready else {
        missing("may not look at a process here");
        let _ = child.wait();
        return None;
    };
    Some(Traced { child, record, address })
}

impl Traced {
    /// Everybody that it has sent to; it has ended then.
    fn destinations(mut self) -> BTreeSet<SocketAddr> {
        drop(self.child.stdin.take());
        self.child.wait().expect("it ends");
        let text = std::fs::read_to_string(&self.record).expect("a record");
        text.lines().flat_map(addresses).collect()
    }
}

/// The socket addresses in one line of a record.
fn addresses(line: &str) -> Vec<SocketAddr> {
    let between = |text: &str, from: &str, to: &str| -> Option<String> {
        let rest = text.split_once(from)?.1;
        Some(rest.split_once(to)?.0.to_owned())
    };
    let parts = line.split("sa_family=AF_INET").skip(1);
    parts
        .filter_map(|part| {
            let port: u16 = between(part, "port=htons(", ")")?.parse().ok()?;
            let ip = if part.starts_with('6') {
                between(part, "inet_pton(AF_INET6, \"", "\"")?
            } else {
                between(part, "inet_addr(\"", "\"")?
            };
            Some(SocketAddr::new(ip.parse().ok()?, port))
        })
        .collect()
}

fn user(to: SocketAddr, leg: u128) -> (User, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.connect(to).expect("an address");
    let own = socket.local_addr().expect("bound");
    let line = Line::over(Way::Datagrams(socket), LIMIT, [leg as u8; 12]);
    let credentials = of_secret(SECRET, leg, unix_s() + 100);
    let client = Client::new(line.carrier(), credentials);
    (User { client, line }, own)
}

/// Tries to reach `target` in every way there is.
fn attack(user: &mut User, channel: u16, target: SocketAddr) {
    // What becomes of it is the kernel's record's business: some of these are permitted by their IP.
    user.ask(|client, now, id| client.permit(now, id, &[target]));
    user.ask(|client, now, id| client.bind(now, id, channel, target));
    let mut buffer = [0; 512];
    let mut writer = Writer::new(&mut buffer, Class::Indication, method::SEND, [5; 12]).expect("room");
    writer.xor_address(attribute::XOR_PEER_ADDRESS, target).expect("room");
    writer.attribute(attribute::DATA, &rtp(1)).expect("room");
    let len = writer.finish();
    user.line.send(&buffer[..len]).expect("sent");
    let payload = rtp(2);
    let [n0, n1] = channel.to_be_bytes();
    let data = [&[n0, n1, 0, payload.len() as u8][..], &payload].concat();
    user.line.send(&data).expect("sent");
}

/// The whole run; returns whom the process may have sent to.
fn hostile(to: SocketAddr) -> BTreeSet<SocketAddr> {
    let mut clients = BTreeSet::new();
    let families = [None, Some(Family::V6), Some(Family::Both)];
    let mut relayed = Vec::new();
    for (n, family) in families.into_iter().enumerate() {
        let (mut user, own) = user(to, n as u128 + 1);
        clients.insert(own);
        let allocated = user.ask(|client, now, id| client.allocate(now, id, family, None));
        assert!(matches!(allocated, Event::Allocated { .. }), "{allocated:?}");
        relayed.extend_from_slice(user.client.relayed());
        let own_addresses = relayed.iter().copied().chain([to, own]);
        let listed = TARGETS.iter().map(|text| text.parse().expect("an address"));
        for (n, target) in listed.chain(own_addresses).enumerate() {
            attack(&mut user, 0x4000 + n as u16, target);
        }
        // Behind all that was sent, it answers: what it would have done is done.
        let refreshed = user.ask(|client, now, id| client.refresh(now, id, 600));
        assert!(matches!(refreshed, Event::Refreshed { .. }), "{refreshed:?}");
    }
    clients
}

#[test]
fn a_leaked_secret_reaches_nobody_from_virtual_addresses() {
    let Some(traced) = traced("virtual", "virtual") else {
        return;
    };
    let clients = hostile(traced.address);
    // And its own shard still answers, so that the record is known to hold what is sent.
    let (mut honest, own) = user(traced.address, 99);
    let shard: SocketAddr = SHARDS[0].parse().expect("an address");
    honest.ready(shard);
    honest.echo(shard, &rtp(7));
    let mut allowed = clients;
    allowed.insert(own);
    assert_eq!(traced.destinations(), allowed);
}

#[test]
fn a_leaked_secret_reaches_listed_peers_only() {
    let peer = UdpSocket::bind("127.0.0.1:0").expect("a port");
    peer.set_read_timeout(Some(LIMIT)).expect("an option");
    let address = peer.local_addr().expect("bound");
    let Some(traced) = traced(&address.to_string(), "listed") else {
        return;
    };
    let clients = hostile(traced.address);
    let (mut honest, own) = user(traced.address, 99);
    honest.ready(address);
    honest.line.say(&honest.client, address, &rtp(7)).expect("sent");
    let mut buffer = [0; 512];
    let (len, relayed) = peer.recv_from(&mut buffer).expect("it is reached");
    assert_eq!(&buffer[..len], rtp(7));
    peer.send_to(&rtp(8), relayed).expect("sent");
    let came = honest.line.wait(&mut honest.client).expect("the line holds");
    assert_eq!(came, Some(Came::Data(address, rtp(8))));
    let mut allowed = clients;
    allowed.extend([own, address]);
    assert_eq!(traced.destinations(), allowed);
}
