//! TLS handshakes are dear: who gets them when there are more than may be, and what counts as one.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use rustls::StreamOwned;
use turn_relay::Config;

use crate::certificate::Certificate;
use crate::control::start;
use crate::proxy::{LOOPBACK, Passed, behind, binding, figure, header, is_answered};
use crate::user::{LIMIT, Trust, session, tls};

/// Handshakes a second of all; a network has a quarter. Many, for the place of who has just gone is free only in a moment.
const PER_S: u32 = 256;
/// Handshakes that each of the others makes: fewer than its quarter.
const OTHERS: u16 = 8;

fn scarce(config: &mut Config) {
    let limits = &mut config.stream_limits;
    (limits.tls_handshakes_per_s, limits.tls_handshakes_per_prefix_per_s) = (PER_S, PER_S / 4);
    // So many may a network begin at once.
    limits.unauthenticated_per_prefix = PER_S / 4;
}

/// Whether this client, behind a proxy, comes through a handshake and is answered.
fn gets_through(to: SocketAddr, client: &str, trust: &Trust) -> bool {
    let mut sealed = StreamOwned::new(session(trust, &[]), Passed::new(to, header(client)));
    let sent = sealed.write_all(&binding([1; 12])).and_then(|()| sealed.flush());
    sent.is_ok() && is_answered(&mut sealed)
}

fn refused(reason: &str) -> String {
    format!("helpline_turn_streams_refused_total{{reason=\"{reason}\"}}")
}

#[test]
fn one_network_that_hammers_shuts_out_itself_and_nobody_else() {
    let certificate = Certificate::new();
    let mut bench = behind(&certificate, &[LOOPBACK], scarce);
    let (to, trust) = (bench.relay().addresses()[1], certificate.trust());
    let mut shut_out = 0_u32;
    for n in 0..60_000_u16 {
        let hammers = format!("203.0.113.{}:{}", n % 200, 1_000 + n);
        shut_out += u32::from(!gets_through(to, &hammers, &trust));
        // As often as would have emptied what there is for all, twice.
        if shut_out >= 2 * PER_S {
            break;
        }
    }
    for n in 0..OTHERS {
        assert!(gets_through(to, &format!("198.51.100.7:{}", 1_000 + n), &trust), "{n}");
        assert!(
            gets_through(to, &format!("[2001:db8:7::1]:{}", 1_000 + n), &trust),
            "{n}"
        );
    }
    let [of_network, of_all] = [refused("network_handshakes"), refused("handshakes")];
    assert_eq!(figure(&mut bench, &of_network), u64::from(2 * PER_S));
    assert_eq!(figure(&mut bench, &of_all), 0);
}

#[test]
fn who_sends_no_whole_greeting_has_begun_no_handshake() {
    let certificate = Certificate::new();
    let mut bench = start(&certificate, |config| {
        config.stream_limits.tls_handshakes_per_s = 1;
        config.stream_limits.tls_handshakes_per_prefix_per_s = 1;
        // What a network may begin at once: what there is for all decides here.
        config.stream_limits.unauthenticated_per_prefix = 40;
    });
    let (to, trust) = (bench.relay().addresses()[1], certificate.trust());
    let mut greeting = Vec::new();
    session(&trust, &[]).write_tls(&mut greeting).expect("a greeting");
    let begun = (0..20).map(|n| {
        let mut stream = TcpStream::connect(to).expect("it listens");
        stream.set_read_timeout(Some(LIMIT)).expect("an option");
        let part = if n % 2 == 0 { 1 } else { greeting.len() - 1 };
        stream.write_all(&greeting[..part]).expect("sent");
        stream
    });
    let begun: Vec<_> = begun.collect();
    let mut whole = tls(to, &trust).expect("a handshake");
    whole.write_all(&binding([1; 12])).expect("sent");
    assert!(is_answered(&mut whole));
    drop((begun, whole));
    assert_eq!(figure(&mut bench, &refused("handshakes")), 0);
}

#[test]
fn a_greeting_that_comes_byte_by_byte_is_understood() {
    let certificate = Certificate::new();
    let bench = start(&certificate, |_| {});
    let (to, trust) = (bench.relay().addresses()[1], certificate.trust());
    let mut session = session(&trust, &[]);
    let mut greeting = Vec::new();
    session.write_tls(&mut greeting).expect("a greeting");
    let mut stream = TcpStream::connect(to).expect("it listens");
    stream.set_nodelay(true).expect("an option");
    stream.set_read_timeout(Some(LIMIT)).expect("an option");
    for byte in greeting {
        stream.write_all(&[byte]).expect("sent");
    }
    let mut sealed = StreamOwned::new(session, stream);
    sealed.write_all(&binding([2; 12])).expect("a handshake");
    assert!(is_answered(&mut sealed));
}
