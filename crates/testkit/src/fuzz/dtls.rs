//! The handshake: fed with anything, or run against a client whose datagrams are mangled on the way.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use media_core::dtls::{Certificate, Fingerprint, Handshake, Output};
use media_core::srtp::{Profile, RTP_OVERHEAD_MAX};

use super::Input;

/// Datagrams a server may send for one feed: its flights and their repetitions, far below what would be a flood.
const SENT_MAX: usize = 200;

fn certificates() -> &'static (Certificate, Certificate) {
    static BOTH: OnceLock<(Certificate, Certificate)> = OnceLock::new();
    BOTH.get_or_init(|| {
        let one = || Certificate::generate().expect("the provider makes keys");
        (one(), one())
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "an Instant has no other origin; only differences to it are used"
)]
fn start() -> Instant {
    Instant::now()
}

/// The datagrams of an input: each behind its length in two bytes.
#[must_use]
pub fn feed(data: &[u8]) -> Vec<&[u8]> {
    let mut input = Input(data);
    let mut datagrams = Vec::new();
    while let Some(high) = input.next() {
        let len = usize::from(u16::from_be_bytes([high, input.byte()]));
        datagrams.push(input.bytes(len));
    }
    datagrams
}

/// First byte 0: a feed of datagrams to a server. Else: a real handshake with mangled datagrams.
///
/// # Panics
/// If something does not hold.
pub fn dtls(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() {
        0 => fed(input.0),
        _ => mangled(input.0),
    }
}

fn fed(data: &[u8]) {
    let (ours, _) = certificates();
    let mut now = start();
    let mut server = Handshake::server(ours, Fingerprint([1; 32]));
    let mut sent = 0;
    for datagram in feed(data) {
        server.datagram(now, datagram);
        now += Duration::from_millis(20);
        server.timeout(now);
        while let Some(output) = server.poll() {
            match output {
                Output::Datagram(_) => sent += 1,
                Output::Keys(_) => panic!("nobody has a certificate with this fingerprint"),
                Output::Failed(_) => assert!(server.is_over()),
                Output::Closed => panic!("there was nothing to close"),
            }
        }
        assert!(sent <= SENT_MAX, "{sent} datagrams for a feed");
    }
}

/// Four bytes a change: which datagram, where (two bytes), exclusive-or with what. 0 drops the datagram.
fn mangled(data: &[u8]) {
    let (ours, theirs) = certificates();
    let changes: Vec<&[u8]> = data.chunks_exact(4).take(16).collect();
    let mut now = start();
    let mut client = Handshake::client(theirs, ours.fingerprint(), &[Profile::AeadAes128Gcm], now);
    let mut server = Handshake::server(ours, theirs.fingerprint());
    let (mut client_keys, mut server_keys) = (None, None);
    let mut number = 0u8;
    for _ in 0..100 {
        let mut moved = false;
        for to_server in [true, false] {
            let (from, to, keys) = if to_server {
                (&mut client, &mut server, &mut client_keys)
            } else {
                (&mut server, &mut client, &mut server_keys)
            };
            while let Some(output) = from.poll() {
                match output {
                    Output::Datagram(mut datagram) => {
                        moved = true;
                        let arrives = change(&mut datagram, number, &changes);
                        number = number.wrapping_add(1);
                        if arrives {
                            to.datagram(now, &datagram);
                        }
                    }
                    Output::Keys(fresh) => assert!(keys.replace(fresh).is_none(), "keys come once"),
                    Output::Failed(_) | Output::Closed => {}
                }
            }
        }
        if !moved {
            now += Duration::from_millis(100);
            client.timeout(now);
            server.timeout(now);
        }
    }
    if let (Some(mut client), Some(mut server)) = (client_keys, server_keys) {
        let mut packet = vec![0x80, 111, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 1];
        packet.resize(13 + RTP_OVERHEAD_MAX, 0);
        let len = client.outbound.seal_rtp(&mut packet, 13, 1).expect("a good packet");
        assert!(
            server.inbound.open_rtp(&mut packet[..len]).is_ok(),
            "both ends have the same keys"
        );
    }
}

/// False if the datagram is lost.
fn change(datagram: &mut [u8], number: u8, changes: &[&[u8]]) -> bool {
    for change in changes.iter().filter(|change| change[0] == number) {
        if change[3] == 0 {
            return false;
        }
        let place = usize::from(u16::from_be_bytes([change[1], change[2]])) % datagram.len().max(1);
        if let Some(byte) = datagram.get_mut(place) {
            *byte ^= change[3];
        }
    }
    true
}
