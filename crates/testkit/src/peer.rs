//! A client of the media server as pure code: full ICE, DTLS client, SRTP, one voice. For tests and the load generator.
//!
//! No socket and no clock: datagrams and instants in, datagrams out. It offers one audio section with numbers of its
//! own choice, so that two peers of one call never share payload types or extension ids by accident.
//!
//! Invariant: what it sends is protected by the keys of its own handshake; nothing is sent in plain.

mod hearing;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media_core::dtls::{Certificate, Fingerprint, Handshake, Output};
use media_core::rtp::Header;
use media_core::srtp::{Keys, Profile, RTP_OVERHEAD_MAX};
use stun::binding::{Check, Role, check};
use stun::{Class, Key, Message};

use self::hearing::Hearing;

/// Bytes of an RTP header with the level extension: 12, 4 of the extension's head, 4 of its one word.
pub const RTP_HEAD_BYTES: usize = 20;
/// First and later pauses between connectivity checks: lost ones are repeated, a nominated pair is kept alive.
const CHECK_FIRST: Duration = Duration::from_millis(100);
const CHECK_LATER: Duration = Duration::from_millis(2_500);

/// The numbers that a peer offers.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// Payload type of Opus.
    pub opus: u8,
    /// Id of the level extension.
    pub level: u8,
    /// Its SSRC.
    pub ssrc: u32,
    /// First sequence number.
    pub sequence: u16,
    /// First timestamp.
    pub timestamp: u32,
}

/// Payload type of telephone events in [`Peer::offer_with_keys`]: above all that Opus is given.
pub const KEYS: u8 = 126;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The answer lacks something a client needs.
    #[error("the answer has no {0}")]
    Answer(&'static str),
    /// The handshake ended without keys.
    #[error("the handshake failed")]
    Handshake,
}

/// A packet that arrived and was opened in place.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// Its header.
    pub header: Header,
    /// Where the payload lies in the buffer.
    pub payload: (usize, usize),
}

struct Remote {
    address: SocketAddr,
    username: String,
    key: Key,
    fingerprint: Fingerprint,
}

/// See the top of this file.
pub struct Peer {
    numbers: Numbers,
    ufrag: String,
    pwd: String,
    certificate: Certificate,
    remote: Option<Remote>,
    handshake: Option<Handshake>,
    keys: Option<Box<Keys>>,
    out: VecDeque<Vec<u8>>,
    check_at: Option<Instant>,
    checks: u32,
    nominated: bool,
    index: u64,
    timestamp: u32,
    tie: u64,
    reports: bool,
    hearing: Option<Hearing>,
}

impl Peer {
    /// A peer that has not offered yet. `random` must differ between peers.
    #[must_use]
    pub fn new(numbers: Numbers, certificate: Certificate, random: u64) -> Peer {
        Peer {
            ufrag: format!("{:08x}", random as u32),
            pwd: format!("{random:016x}{:016x}", random.rotate_left(17) ^ 0x5DEE_CE66),
            index: u64::from(numbers.sequence),
            timestamp: numbers.timestamp,
            numbers,
            certificate,
            remote: None,
            handshake: None,
            keys: None,
            out: VecDeque::new(),
            check_at: None,
            checks: 0,
            nominated: false,
            tie: random,
            reports: false,
            hearing: None,
        }
    }

    /// The same peer, that also tells how it hears, as browsers do.
    #[must_use]
    pub fn reporting(self) -> Peer {
        Peer { reports: true, ..self }
    }

    /// The offer: one section that talks and listens.
    #[must_use]
    pub fn offer(&self) -> String {
        self.offer_to_hear(1)
    }

    /// The same for somebody who hears `sources` at once: a section that talks and listens, the others only listen.
    #[must_use]
    pub fn offer_to_hear(&self, sources: usize) -> String {
        let Numbers { opus, level, ssrc, .. } = self.numbers;
        let bytes = self.certificate.fingerprint().0;
        let print: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        let sections: Vec<String> = (0..sources.max(1)).map(|number| format!(" s{number}")).collect();
        let mut offer = format!(
            "v=0\r\no=- {} 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE{}\r\n",
            self.tie >> 1,
            sections.concat(),
        );
        for (number, name) in sections.iter().enumerate() {
            offer += &format!(
                "m=audio 9 UDP/TLS/RTP/SAVPF {opus}\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\n\
                 a=fingerprint:sha-256 {}\r\na=setup:active\r\na=mid:{}\r\na={}\r\na=rtcp-mux\r\n\
                 a=rtpmap:{opus} opus/48000/2\r\na=extmap:{level} urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n",
                self.ufrag,
                self.pwd,
                print.join(":"),
                name.trim(),
                if number == 0 { "sendrecv" } else { "recvonly" },
            );
            if number == 0 {
                offer += &format!("a=ssrc:{ssrc} cname:peer\r\n");
            }
        }
        offer
    }

    /// As [`Peer::offer`], for somebody who can press keys and hears those of others (RFC 4733).
    #[must_use]
    pub fn offer_with_keys(&self) -> String {
        let opus = self.numbers.opus;
        let map = format!("a=rtpmap:{opus} opus/48000/2\r\n");
        self.offer()
            .replace(&format!("SAVPF {opus}\r\n"), &format!("SAVPF {opus} {KEYS}\r\n"))
            .replace(&map, &format!("{map}a=rtpmap:{KEYS} telephone-event/48000\r\n"))
    }

    /// Takes the answer; checks begin with the next [`Peer::timeout`].
    ///
    /// # Errors
    /// [`Fault::Answer`] with what is missing.
    pub fn answer(&mut self, now: Instant, answer: &str) -> Result<(), Fault> {
        let find = |name: &'static str| {
            let lines = answer.lines();
            lines
                .filter_map(|line| line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':'))
                .next()
        };
        let ufrag = find("ice-ufrag").ok_or(Fault::Answer("ice-ufrag"))?;
        let pwd = find("ice-pwd").ok_or(Fault::Answer("ice-pwd"))?;
        let print = find("fingerprint")
            .and_then(|value| value.strip_prefix("sha-256 "))
            .and_then(fingerprint);
        let candidate = find("candidate").ok_or(Fault::Answer("candidate"))?;
        let mut words = candidate.split_ascii_whitespace().skip(4);
        let ip = words
            .next()
            .and_then(|ip| ip.parse().ok())
            .ok_or(Fault::Answer("candidate address"))?;
        let port = words
            .next()
            .and_then(|port| port.parse().ok())
            .ok_or(Fault::Answer("candidate port"))?;
        self.remote = Some(Remote {
            address: SocketAddr::new(ip, port),
            username: format!("{ufrag}:{}", self.ufrag),
            key: Key::new(pwd.as_bytes()),
            fingerprint: print.ok_or(Fault::Answer("fingerprint"))?,
        });
        self.check_at = Some(now);
        Ok(())
    }

    /// New credentials of this side, as a fragment (RFC 8840); in force with [`Peer::restarted`].
    #[must_use]
    pub fn restart(&mut self) -> String {
        self.tie = self.tie.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1);
        self.ufrag = format!("{:08x}", self.tie as u32);
        self.pwd = format!("{:016x}{:016x}", self.tie, self.tie.rotate_left(17));
        format!("a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", self.ufrag, self.pwd)
    }

    /// Takes the other side's new credentials; the address, the handshake and the keys stay.
    ///
    /// # Errors
    /// [`Fault::Answer`] with what is missing.
    pub fn restarted(&mut self, now: Instant, fragment: &str) -> Result<(), Fault> {
        let find = |name: &'static str| fragment.lines().find_map(|line| line.strip_prefix(name));
        let ufrag = find("a=ice-ufrag:").ok_or(Fault::Answer("ice-ufrag"))?;
        let pwd = find("a=ice-pwd:").ok_or(Fault::Answer("ice-pwd"))?;
        let remote = self.remote.as_mut().ok_or(Fault::Answer("answer before it"))?;
        remote.username = format!("{ufrag}:{}", self.ufrag);
        remote.key = Key::new(pwd.as_bytes());
        self.nominated = false;
        self.check_at = Some(now);
        Ok(())
    }

    /// True once a check under the present credentials was answered.
    #[must_use]
    pub fn is_nominated(&self) -> bool {
        self.nominated
    }

    /// Where everything goes.
    #[must_use]
    pub fn destination(&self) -> Option<SocketAddr> {
        self.remote.as_ref().map(|remote| remote.address)
    }

    /// True once packets can be sent.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.keys.is_some()
    }

    /// The next datagram to send to [`Peer::destination`].
    pub fn poll(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    /// When to call [`Peer::timeout`] at the latest.
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        let handshake = self
            .handshake
            .as_ref()
            .filter(|_| self.keys.is_none())
            .and_then(Handshake::next_timeout);
        let report = self.hearing.as_ref().map(Hearing::wake_at);
        [self.check_at, handshake, report].into_iter().flatten().min()
    }

    /// Runs timers.
    ///
    /// # Errors
    /// [`Fault::Handshake`].
    pub fn timeout(&mut self, now: Instant) -> Result<(), Fault> {
        if self.check_at.is_some_and(|at| at <= now) {
            self.send_check();
            self.check_at = Some(now + if self.nominated { CHECK_LATER } else { CHECK_FIRST });
        }
        if let Some(handshake) = &mut self.handshake
            && handshake.next_timeout().is_some_and(|at| at <= now)
        {
            handshake.timeout(now);
            self.settle(now)?;
        }
        if let (Some(hearing), Some(keys)) = (&mut self.hearing, &mut self.keys) {
            self.out.extend(hearing.due(now, self.numbers.ssrc, keys));
        }
        Ok(())
    }

    fn send_check(&mut self) {
        let Some(remote) = &mut self.remote else { return };
        self.checks += 1;
        let mut transaction = [0; 12];
        transaction[..8].copy_from_slice(&self.tie.to_be_bytes());
        transaction[8..].copy_from_slice(&self.checks.to_be_bytes());
        let asked = Check {
            transaction,
            username: &remote.username,
            priority: 1_845_501_695,
            role: Role::Controlling(self.tie),
            nominate: true,
        };
        let mut buffer = [0; 512];
        if let Ok(len) = check(&mut buffer, &asked, &mut remote.key) {
            self.out.push_back(buffer[..len].to_vec());
        }
    }

    /// Takes one datagram; an RTP packet is opened in place and given back.
    ///
    /// # Errors
    /// [`Fault::Handshake`].
    pub fn datagram(&mut self, now: Instant, datagram: &mut [u8]) -> Result<Option<Heard>, Fault> {
        match datagram.first() {
            Some(0..=3) => self.stun(now, datagram)?,
            Some(20..=63) => {
                if let Some(handshake) = &mut self.handshake {
                    handshake.datagram(now, datagram);
                    self.settle(now)?;
                }
            }
            Some(128..=191) if !matches!(datagram.get(1), Some(192..=223)) => return Ok(self.rtp(now, datagram)),
            Some(128..=191) => {
                if let (Some(hearing), Some(keys)) = (&mut self.hearing, &mut self.keys) {
                    hearing.report(now, keys, datagram);
                }
            }
            Some(_) | None => {}
        }
        Ok(None)
    }

    fn stun(&mut self, now: Instant, datagram: &[u8]) -> Result<(), Fault> {
        let Ok(reply) = Message::parse(datagram) else {
            return Ok(());
        };
        let Some(remote) = &mut self.remote else { return Ok(()) };
        if reply.class() != Class::Success || !reply.verify(&mut remote.key) {
            return Ok(());
        }
        self.nominated = true;
        if self.handshake.is_none() {
            let profiles = [Profile::AeadAes128Gcm, Profile::AesCm128Sha1];
            self.handshake = Some(Handshake::client(&self.certificate, remote.fingerprint, &profiles, now));
            self.settle(now)?;
        }
        Ok(())
    }

    fn settle(&mut self, now: Instant) -> Result<(), Fault> {
        let Some(handshake) = &mut self.handshake else {
            return Ok(());
        };
        while let Some(output) = handshake.poll() {
            match output {
                Output::Datagram(bytes) => self.out.push_back(bytes),
                Output::Keys(keys) => {
                    self.keys = Some(keys);
                    self.hearing = self.reports.then(|| Hearing::new(now, self.tie));
                }
                Output::Failed(_) => return Err(Fault::Handshake),
                Output::Closed => {}
            }
        }
        Ok(())
    }

    fn rtp(&mut self, now: Instant, datagram: &mut [u8]) -> Option<Heard> {
        let opened = self.keys.as_mut()?.inbound.open_rtp(datagram).ok()?;
        if let Some(hearing) = &mut self.hearing {
            hearing.heard(now, &opened.header);
        }
        let payload = opened.header.payload(&datagram[..opened.len]).ok()?;
        Some(Heard {
            header: opened.header,
            payload: (payload.start, payload.end),
        })
    }

    /// Seals the next packet of the voice into `buffer`; returns its length, or `None` before the keys are there or
    /// when the buffer is too small. `samples` at 48 kHz move the clock on behind it; `level` in -dBov, 0 loud.
    pub fn speak(&mut self, buffer: &mut [u8], payload: &[u8], samples: u32, level: u8, voice: bool) -> Option<usize> {
        self.send(buffer, self.numbers.opus, payload, samples, (level, voice))
    }

    /// The same for one packet of a telephone event. All packets of a press have one timestamp, so `samples` is 0 but for
    /// the last (RFC 4733 §2.1).
    pub fn press(&mut self, buffer: &mut [u8], event: [u8; 4], samples: u32) -> Option<usize> {
        self.send(buffer, KEYS, &event, samples, (127, false))
    }

    fn send(
        &mut self,
        buffer: &mut [u8],
        kind: u8,
        payload: &[u8],
        samples: u32,
        (level, voice): (u8, bool),
    ) -> Option<usize> {
        let keys = self.keys.as_mut()?;
        let len = RTP_HEAD_BYTES + payload.len();
        if buffer.len() < len + RTP_OVERHEAD_MAX {
            return None;
        }
        let head = head(&self.numbers, self.index as u16, self.timestamp, level, voice);
        buffer[..RTP_HEAD_BYTES].copy_from_slice(&head);
        buffer[1] = kind;
        buffer[RTP_HEAD_BYTES..len].copy_from_slice(payload);
        let sealed = keys.outbound.seal_rtp(buffer, len, self.index).ok()?;
        self.index += 1;
        self.timestamp = self.timestamp.wrapping_add(samples);
        Some(sealed)
    }

    /// The client's own address has changed: checks go out at once, and again until one is answered.
    pub fn moved(&mut self, now: Instant) {
        if self.check_at.is_some() {
            self.check_at = Some(now);
            self.nominated = false;
        }
    }

    /// Passes over sequence numbers, as if their packets were lost on the way.
    pub fn lose(&mut self, packets: u64, samples: u32) {
        self.index += packets;
        self.timestamp = self.timestamp.wrapping_add(samples);
    }
}

fn head(numbers: &Numbers, sequence: u16, timestamp: u32, level: u8, voice: bool) -> [u8; RTP_HEAD_BYTES] {
    let mut head = [0; RTP_HEAD_BYTES];
    head[0] = 0x90;
    head[1] = numbers.opus;
    head[2..4].copy_from_slice(&sequence.to_be_bytes());
    head[4..8].copy_from_slice(&timestamp.to_be_bytes());
    head[8..12].copy_from_slice(&numbers.ssrc.to_be_bytes());
    head[12..16].copy_from_slice(&[0xBE, 0xDE, 0, 1]);
    head[16] = numbers.level << 4;
    head[17] = u8::from(voice) << 7 | level.min(127);
    head
}

fn fingerprint(text: &str) -> Option<Fingerprint> {
    let mut out = [0; 32];
    let mut parts = text.trim().split(':');
    for byte in &mut out {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(Fingerprint(out))
}
