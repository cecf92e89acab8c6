//! A bad link of UDP between clients and a server, for tests that are not written in Rust.
//!
//! `hl-netlab TARGET SEED` prints `{"listen":"ADDRESS:PORT"}` and passes everything between its clients and TARGET on. The
//! address is the target's own: browsers pair no other address with loopback, nor loopback with another.
//! Every client gets a socket of its own towards the server, or all clients would be one. Commands come a line each, and
//! each is answered by a line; the end of the input is the end of the program.
//!
//! | command | does |
//! |---|---|
//! | `up TERMS`, `down TERMS` | new terms for a direction, seen from the client |
//! | `freeze MS` | holds back both directions |
//! | `rebind` | new sockets towards the server: the clients' addresses change |
//! | `counts` | tells what was passed and lost |
//!
//! TERMS are words: `loss SHARE`, `bursts SHARE MEAN`, `delay MS`, `jitter MS`, `reorder SHARE`, `duplicate SHARE`,
//! `rate BITS`, `seed N`, and `all` to impair STUN, DTLS and RTCP too; without it they pass unharmed, and packet n of the
//! map is the n-th RTP packet of its direction.

use std::collections::{BinaryHeap, HashSet};
use std::io::{self, BufRead};
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};
use std::{cmp::Reverse, thread};

use testkit::impair::{Fate, Link, Loss, Terms};

/// Longest wait for a client's datagram: the other direction is looked at as often.
const TICK: Duration = Duration::from_millis(1);
const DATAGRAM_BYTES: usize = 2_048;
/// Clients of one run; a test has a handful.
const CLIENTS_MAX: usize = 64;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match words.as_slice() {
        [target, seed] => run(target, seed),
        _ => Err("hl-netlab TARGET SEED".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn run(target: &str, seed: &str) -> Result<(), String> {
    let target: SocketAddr = target.parse().map_err(|e| format!("{target}: {e}"))?;
    let seed = number(seed)? as u64;
    let socket = UdpSocket::bind((target.ip(), 0)).map_err(told)?;
    socket.set_read_timeout(Some(TICK)).map_err(told)?;
    println!("{{\"listen\":\"{}\"}}", socket.local_addr().map_err(told)?);
    let (say, said) = channel();
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if say.send(line).is_err() {
                return;
            }
        }
    });
    Wire {
        target,
        socket,
        start: now(),
        up: Way::new(seed, 0),
        down: Way::new(seed, 1),
        clients: Vec::new(),
        waiting: BinaryHeap::new(),
        order: 0,
    }
    .serve(&said)
}

/// One direction, of all clients together: a test that looks at the map has one client.
struct Way {
    seed: u64,
    link: Link,
    all: bool,
    seen: HashSet<(u32, u16)>,
    lost_once: HashSet<(u32, u16)>,
    counts: Counts,
}

/// RTP packets, as their headers tell.
#[derive(Default)]
struct Counts {
    rtp: u64,
    lost: u64,
    /// Their number had gone by before: sent again.
    again: u64,
    /// Of those, came although the first had been dropped.
    repaired: u64,
    other: u64,
}

impl Way {
    fn new(seed: u64, flow: u64) -> Way {
        Way {
            seed,
            link: Link::new(seed, flow, Terms::default()),
            all: false,
            seen: HashSet::new(),
            lost_once: HashSet::new(),
            counts: Counts::default(),
        }
    }

    fn fate(&mut self, now_us: u64, datagram: &[u8]) -> Fate {
        let unharmed = Fate::Comes {
            at_us: now_us,
            behind: false,
            again_us: None,
        };
        let Some(name) = rtp(datagram) else {
            self.counts.other += 1;
            return if self.all {
                self.link.next(now_us, datagram.len())
            } else {
                unharmed
            };
        };
        let fate = self.link.next(now_us, datagram.len());
        self.counts.rtp += 1;
        let again = !self.seen.insert(name);
        self.counts.again += u64::from(again);
        if fate == Fate::Lost {
            self.counts.lost += 1;
            self.lost_once.insert(name);
        } else if again && self.lost_once.remove(&name) {
            self.counts.repaired += 1;
        }
        fate
    }

    fn told(&self) -> String {
        let Counts {
            rtp,
            lost,
            again,
            repaired,
            other,
        } = &self.counts;
        format!("{{\"rtp\":{rtp},\"lost\":{lost},\"again\":{again},\"repaired\":{repaired},\"other\":{other}}}")
    }
}

/// SSRC and sequence number, if it is RTP (RFC 7983 §7, RFC 5761 §4).
fn rtp(datagram: &[u8]) -> Option<(u32, u16)> {
    let is_rtp = matches!(datagram, [128..=191, kind, ..] if !(192..=223).contains(kind));
    let word = |from: usize| Some(u32::from_be_bytes(datagram.get(from..from + 4)?.try_into().ok()?));
    is_rtp.then_some(())?;
    Some((word(8)?, word(0)? as u16))
}

struct Client {
    address: SocketAddr,
    socket: UdpSocket,
}

/// A datagram on its way. Those of one instant go in the order in which they came.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    at_us: u64,
    order: u64,
    client: usize,
    upward: bool,
    bytes: Vec<u8>,
}

struct Wire {
    target: SocketAddr,
    socket: UdpSocket,
    start: Instant,
    up: Way,
    down: Way,
    clients: Vec<Client>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    order: u64,
}

impl Wire {
    fn serve(mut self, said: &Receiver<String>) -> Result<(), String> {
        let mut buffer = [0; DATAGRAM_BYTES];
        loop {
            match said.try_recv() {
                Ok(line) => {
                    let answer = self.command(&line)?;
                    println!("{answer}");
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
            if let Ok((len, from)) = self.socket.recv_from(&mut buffer)
                && let Some(client) = self.client(from)?
            {
                self.take(client, true, &buffer[..len]);
            }
            for client in 0..self.clients.len() {
                while let Ok(len) = self.clients[client].socket.recv(&mut buffer) {
                    self.take(client, false, &buffer[..len]);
                }
            }
            self.deliver();
        }
    }

    fn now_us(&self) -> u64 {
        now().duration_since(self.start).as_micros() as u64
    }

    fn client(&mut self, address: SocketAddr) -> Result<Option<usize>, String> {
        if let Some(place) = self.clients.iter().position(|client| client.address == address) {
            return Ok(Some(place));
        }
        if self.clients.len() == CLIENTS_MAX {
            return Ok(None);
        }
        let socket = self.upstream()?;
        self.clients.push(Client { address, socket });
        Ok(Some(self.clients.len() - 1))
    }

    fn upstream(&self) -> Result<UdpSocket, String> {
        let socket = UdpSocket::bind((self.target.ip(), 0)).map_err(told)?;
        socket.connect(self.target).map_err(told)?;
        socket.set_nonblocking(true).map_err(told)?;
        Ok(socket)
    }

    fn take(&mut self, client: usize, upward: bool, datagram: &[u8]) {
        let now_us = self.now_us();
        let way = if upward { &mut self.up } else { &mut self.down };
        if let Fate::Comes { at_us, again_us, .. } = way.fate(now_us, datagram) {
            for at_us in [Some(at_us), again_us].into_iter().flatten() {
                self.order += 1;
                self.waiting.push(Reverse(Waiting {
                    at_us,
                    order: self.order,
                    client,
                    upward,
                    bytes: datagram.to_vec(),
                }));
            }
        }
    }

    fn deliver(&mut self) {
        let now_us = self.now_us();
        while self.waiting.peek().is_some_and(|Reverse(next)| next.at_us <= now_us) {
            let Some(Reverse(next)) = self.waiting.pop() else {
                return;
            };
            let client = &self.clients[next.client];
            // An end that is gone is the test's affair.
            let _ = if next.upward {
                client.socket.send(&next.bytes)
            } else {
                self.socket.send_to(&next.bytes, client.address)
            };
        }
    }

    fn command(&mut self, line: &str) -> Result<String, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.split_first() {
            Some((&"up", terms)) => change(&mut self.up, terms)?,
            Some((&"down", terms)) => change(&mut self.down, terms)?,
            Some((&"freeze", [ms])) => {
                let until = self.now_us() + microseconds(ms)?;
                self.up.link.freeze(until);
                self.down.link.freeze(until);
            }
            Some((&"rebind", [])) => {
                for client in 0..self.clients.len() {
                    self.clients[client].socket = self.upstream()?;
                }
            }
            Some((&"counts", [])) => {
                return Ok(format!("{{\"up\":{},\"down\":{}}}", self.up.told(), self.down.told()));
            }
            _ => return Err(format!("not a command: {line}")),
        }
        Ok("{\"ok\":true}".to_owned())
    }
}

/// New terms; the counts begin anew with them.
fn change(way: &mut Way, words: &[&str]) -> Result<(), String> {
    let (mut terms, mut seed, mut all) = (Terms::default(), way.seed, false);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut next = || words.next().copied().ok_or_else(|| format!("{word}: of how much?"));
        match *word {
            "loss" => terms.loss = Loss::random(number(next()?)?),
            "bursts" => terms.loss = Loss::bursts(number(next()?)?, number(next()?)?),
            "delay" => terms.delay_us = microseconds(next()?)?,
            "jitter" => terms.jitter_us = microseconds(next()?)?,
            "reorder" => terms.reorder = number(next()?)?,
            "duplicate" => terms.duplicate = number(next()?)?,
            "rate" => terms.bits_per_s = number(next()?)? as u64,
            "seed" => seed = number(next()?)? as u64,
            "all" => all = true,
            _ => return Err(format!("not a term: {word}")),
        }
    }
    way.all = all;
    way.link.set(seed, terms);
    way.counts = Counts::default();
    Ok(())
}

fn number(word: &str) -> Result<f64, String> {
    let value: f64 = word.parse().map_err(|e| format!("{word}: {e}"))?;
    if value.is_finite() && value >= 0.0 {
        Ok(value)
    } else {
        Err(format!("{word}: must be 0 or more"))
    }
}

fn microseconds(word: &str) -> Result<u64, String> {
    Ok((number(word)? * 1_000.0) as u64)
}

fn told(fault: io::Error) -> String {
    fault.to_string()
}

#[expect(clippy::disallowed_methods, reason = "a carrier in real time: this is its edge")]
fn now() -> Instant {
    Instant::now()
}
