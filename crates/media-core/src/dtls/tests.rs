//! Two ends over a wire that loses, cuts and forges, on virtual time.

use super::*;
use proptest::prelude::*;
use rtc_dtls::crypto::Certificate as RawCertificate;

#[expect(
    clippy::disallowed_methods,
    reason = "an Instant has no other origin; every later time is counted from it"
)]
fn start() -> Instant {
    Instant::now()
}

/// What an end came to.
#[derive(Debug, Default)]
struct Result {
    keys: Option<Box<Keys>>,
    failed: Option<Failure>,
    closed: bool,
}

/// Empties an end: datagrams to the caller, everything else into its result.
fn drain(end: &mut Handshake, result: &mut Result) -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    while let Some(output) = end.poll() {
        match output {
            Output::Datagram(datagram) => datagrams.push(datagram),
            Output::Keys(keys) => assert!(result.keys.replace(keys).is_none(), "keys come once"),
            Output::Failed(failure) => assert!(result.failed.replace(failure).is_none(), "failure comes once"),
            Output::Closed => result.closed = true,
        }
    }
    datagrams
}

struct Wire {
    client: Handshake,
    server: Handshake,
    at_client: Result,
    at_server: Result,
    now: Instant,
    began: Instant,
    /// When both ends had keys or had failed.
    settled: Option<Instant>,
    sent: usize,
}

/// Which way a datagram goes.
#[derive(Clone, Copy, PartialEq, Debug)]
enum To {
    Server,
    Client,
}

impl Wire {
    fn new(profiles: &[Profile]) -> Wire {
        let (ours, theirs) = (Certificate::generate().unwrap(), Certificate::generate().unwrap());
        let began = start();
        Wire {
            client: Handshake::client(&theirs, ours.fingerprint(), profiles, began),
            server: Handshake::server(&ours, theirs.fingerprint()),
            at_client: Result::default(),
            at_server: Result::default(),
            now: began,
            began,
            settled: None,
            sent: 0,
        }
    }

    /// Runs until both ends are quiet for good or `limit` has passed. `carry` sees each datagram with its number and
    /// gives what arrives instead.
    fn run(&mut self, limit: Duration, mut carry: impl FnMut(usize, To, Vec<u8>) -> Vec<Vec<u8>>) {
        loop {
            let mut moved = false;
            for to in [To::Server, To::Client] {
                let (from, result) = match to {
                    To::Server => (&mut self.client, &mut self.at_client),
                    To::Client => (&mut self.server, &mut self.at_server),
                };
                for datagram in drain(from, result) {
                    moved = true;
                    self.sent += 1;
                    for arrived in carry(self.sent - 1, to, datagram) {
                        match to {
                            To::Server => self.server.datagram(self.now, &arrived),
                            To::Client => self.client.datagram(self.now, &arrived),
                        }
                    }
                }
            }
            if moved {
                continue;
            }
            let settled = [&self.at_client, &self.at_server].map(|end| end.keys.is_some() || end.failed.is_some());
            if settled == [true; 2] {
                self.settled.get_or_insert(self.now);
            }
            let next = [self.client.next_timeout(), self.server.next_timeout()];
            let Some(next) = next
                .into_iter()
                .flatten()
                .min()
                .filter(|&next| next <= self.began + limit)
            else {
                return;
            };
            self.now = next.max(self.now);
            self.client.timeout(self.now);
            self.server.timeout(self.now);
        }
    }

    fn took(&self) -> Duration {
        self.settled.unwrap_or(self.now) - self.began
    }

    fn both_have_keys(&self) -> bool {
        self.at_client.keys.is_some() && self.at_server.keys.is_some()
    }
}

const LONG: Duration = Duration::from_secs(10);
const GCM: &[Profile] = &[Profile::AeadAes128Gcm];

fn pass(_: usize, _: To, datagram: Vec<u8>) -> Vec<Vec<u8>> {
    vec![datagram]
}

#[test]
fn both_ends_get_keys_that_open_what_the_other_seals() {
    for profiles in [
        &[Profile::AeadAes128Gcm][..],
        &[Profile::AeadAes256Gcm],
        &[Profile::AesCm128Sha1],
    ] {
        let mut wire = Wire::new(profiles);
        wire.run(LONG, pass);
        assert_eq!(wire.took(), Duration::ZERO);
        let (mut client, mut server) = (wire.at_client.keys.unwrap(), wire.at_server.keys.unwrap());
        assert_eq!((client.profile, server.profile), (profiles[0], profiles[0]));
        let mut packet = vec![0x80, 111, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 1, 2, 3];
        let plain = packet.clone();
        packet.resize(packet.len() + srtp::RTP_OVERHEAD_MAX, 0);
        let len = client.outbound.seal_rtp(&mut packet, plain.len(), 1).unwrap();
        let opened = server.inbound.open_rtp(&mut packet[..len]).unwrap();
        assert_eq!(packet[..opened.len], plain);
    }
}

#[test]
fn gcm_wins_wherever_it_is_offered() {
    let mut wire = Wire::new(&[Profile::AesCm128Sha1, Profile::AeadAes256Gcm, Profile::AeadAes128Gcm]);
    wire.run(LONG, pass);
    assert_eq!(wire.at_server.keys.unwrap().profile, Profile::AeadAes256Gcm);
}

#[test]
fn any_one_or_two_lost_datagrams_cost_less_than_two_seconds() {
    let mut whole = Wire::new(GCM);
    whole.run(LONG, pass);
    assert!(whole.both_have_keys());
    let count = whole.sent + 4;
    for first in 0..count {
        for second in first..count {
            let mut wire = Wire::new(GCM);
            wire.run(LONG, |number, _, datagram| {
                let lost = number == first || number == second;
                if lost { vec![] } else { vec![datagram] }
            });
            assert!(
                wire.both_have_keys(),
                "lost {first} and {second}: {:?}",
                wire.at_server.failed
            );
            assert!(
                wire.took() <= Duration::from_secs(2),
                "lost {first} and {second}: {:?}",
                wire.took()
            );
        }
    }
}

#[test]
fn doubled_and_reversed_datagrams_do_no_harm() {
    let mut wire = Wire::new(GCM);
    wire.run(LONG, |_, _, datagram| vec![datagram.clone(), datagram]);
    assert!(wire.both_have_keys());

    // Any one datagram is overtaken by the next one that goes the same way.
    let count = wire.sent;
    for late in 0..count {
        let mut wire = Wire::new(GCM);
        let mut held = None;
        wire.run(LONG, |number, to, datagram| {
            if number == late {
                held = Some((to, datagram));
                return vec![];
            }
            match held.take_if(|(way, _)| *way == to) {
                Some((_, older)) => vec![datagram, older],
                None => vec![datagram],
            }
        });
        assert!(wire.both_have_keys(), "{late} came late: {:?}", wire.at_server.failed);
        assert!(
            wire.took() <= Duration::from_secs(2),
            "{late} came late: {:?}",
            wire.took()
        );
    }
}

/// Cuts the first handshake message of a datagram into two fragments at `cut`, each in a datagram of its own.
fn fragmented(datagram: &[u8], cut: usize) -> Vec<Vec<u8>> {
    let (header, body) = datagram.split_at(13);
    let (message, data) = body.split_at(12);
    [(0, cut), (cut, data.len())]
        .into_iter()
        .enumerate()
        .map(|(number, (from, to))| {
            let mut record = header.to_vec();
            // A record number of its own, far from those that the client will use.
            record[10] = record[10].wrapping_add(20 * number as u8);
            record[11..13].copy_from_slice(&((12 + to - from) as u16).to_be_bytes());
            record.extend_from_slice(&message[..6]);
            record.extend_from_slice(&(from as u32).to_be_bytes()[1..]);
            record.extend_from_slice(&((to - from) as u32).to_be_bytes()[1..]);
            record.extend_from_slice(&data[from..to]);
            record
        })
        .collect()
}

#[test]
fn a_client_hello_may_be_cut_anywhere() {
    let mut probe = Wire::new(GCM);
    let hello = drain(&mut probe.client, &mut probe.at_client).remove(0);
    let length = hello.len() - 13 - 12;
    for cut in 1..length {
        let mut wire = Wire::new(GCM);
        wire.run(LONG, |number, _, datagram| {
            if number == 0 {
                fragmented(&datagram, cut)
            } else {
                vec![datagram]
            }
        });
        assert!(wire.both_have_keys(), "cut at {cut} of {length}");
    }
}

#[test]
fn a_certificate_that_is_not_the_offered_one_gets_no_keys() {
    let (ours, theirs) = (Certificate::generate().unwrap(), Certificate::generate().unwrap());
    let mut wire = Wire::new(GCM);
    wire.client = Handshake::client(&theirs, ours.fingerprint(), GCM, wire.now);
    wire.server = Handshake::server(&ours, Fingerprint([0; 32]));
    wire.run(LONG, pass);
    assert_eq!(wire.at_server.failed, Some(Failure::Fingerprint));
    assert!(wire.at_server.keys.is_none() && wire.at_client.keys.is_none());

    let mut wire = Wire::new(GCM);
    wire.client = Handshake::client(&theirs, Fingerprint([0; 32]), GCM, wire.now);
    wire.server = Handshake::server(&ours, theirs.fingerprint());
    wire.run(LONG, pass);
    assert_eq!(wire.at_client.failed, Some(Failure::Fingerprint));
    assert!(wire.at_server.keys.is_none() && wire.at_client.keys.is_none());
}

/// A client straight from the library, with whatever is left out that ours insists on.
fn rogue(ems: ExtendedMasterSecretType, srtp: bool, certificate: bool) -> Result {
    let ours = Certificate::generate().unwrap();
    let provider = default_provider().unwrap();
    let theirs = RawCertificate::generate_self_signed(vec!["x".to_owned()], provider.crypto()).unwrap();
    let expected = Fingerprint::of(&theirs.certificate[0]);
    let profiles = if srtp {
        vec![SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm]
    } else {
        vec![]
    };
    let config = ConfigBuilder::default()
        .with_crypto_provider(provider)
        .with_certificates(if certificate { vec![theirs] } else { vec![] })
        .with_srtp_protection_profiles(profiles)
        .with_extended_master_secret(ems)
        .with_insecure_skip_verify(true)
        .build(true, None)
        .unwrap();
    let now = start();
    let mut client = Endpoint::new(nobody(), TransportProtocol::UDP, None);
    client.connect(now, nobody(), Arc::new(config), None).unwrap();
    let mut server = Handshake::server(&ours, expected);
    let mut result = Result::default();
    for _ in 0..20 {
        while let Some(transmit) = client.poll_transmit() {
            server.datagram(now, &transmit.message);
        }
        for datagram in drain(&mut server, &mut result) {
            let _ = client.read(now, nobody(), None, BytesMut::from(&datagram[..]));
        }
    }
    result
}

#[test]
fn a_client_without_what_is_required_is_refused_by_name() {
    use ExtendedMasterSecretType::{Disable, Require};
    assert!(rogue(Require, true, true).keys.is_some());
    assert_eq!(rogue(Disable, true, true).failed, Some(Failure::NoExtendedMasterSecret));
    assert_eq!(rogue(Require, false, true).failed, Some(Failure::NoSrtp));
    let bare = rogue(Require, true, false);
    assert!(bare.keys.is_none());
    assert_eq!(bare.failed, Some(Failure::NoCertificate));
}

#[test]
fn a_client_that_does_not_prove_its_certificate_gets_no_keys() {
    let mut wire = Wire::new(GCM);
    wire.run(LONG, |_, _, datagram| {
        let mut kept = Vec::new();
        let mut rest = &datagram[..];
        while !rest.is_empty() {
            let end = 13 + usize::from(u16::from_be_bytes([rest[11], rest[12]]));
            // Handshake type 15: CertificateVerify.
            let proof = rest[0] == record::HANDSHAKE && rest[4] == 0 && rest[13] == 15;
            if !proof {
                kept.extend_from_slice(&rest[..end]);
            }
            rest = &rest[end..];
        }
        vec![kept]
    });
    assert!(wire.at_server.keys.is_none());
}

/// A record in clear with a number that no honest record has.
fn clear(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 9, 9, 0, body.len() as u8];
    record.extend_from_slice(body);
    record
}

#[test]
fn forged_alerts_and_data_in_clear_never_end_a_handshake() {
    let forged = [
        clear(21, &[1, 0]),
        clear(21, &[2, 40]),
        clear(23, b"data"),
        clear(20, &[2]),
        clear(99, b"?"),
        vec![22; 40],
    ];
    let mut wire = Wire::new(GCM);
    wire.run(LONG, |_, to, datagram| {
        let mut arrived = if to == To::Server { forged.to_vec() } else { vec![] };
        arrived.push(datagram);
        if to == To::Server {
            arrived.extend(forged.to_vec());
        }
        arrived
    });
    assert!(wire.both_have_keys(), "{:?}", wire.at_server);
    assert!(wire.server.counts().ignored >= 12);
    let now = wire.now;
    for datagram in &forged {
        wire.server.datagram(now, datagram);
    }
    assert!(drain(&mut wire.server, &mut wire.at_server).is_empty());
    assert!(!wire.at_server.closed && wire.server.is_complete());
}

#[test]
fn good_bye_is_reported_once_and_nothing_comes_after() {
    let mut wire = Wire::new(GCM);
    wire.run(LONG, pass);
    let now = wire.now;
    wire.client.close(now);
    let bye = drain(&mut wire.client, &mut wire.at_client);
    assert_eq!(bye.len(), 1);
    wire.server.datagram(now, &bye[0]);
    drain(&mut wire.server, &mut wire.at_server);
    assert!(wire.at_server.closed && wire.server.is_over());
    wire.server.datagram(now, &bye[0]);
    wire.server.timeout(now + LONG);
    assert!(wire.server.poll().is_none());
}

/// Ends whose handshake is over: before the server's end is put to sleep, and afterwards.
fn awake_and_asleep() -> [Wire; 2] {
    let wires = [AWAKE_AFTER / 2, 2 * AWAKE_AFTER].map(|limit| {
        let mut wire = Wire::new(GCM);
        wire.run(limit, pass);
        assert!(wire.both_have_keys());
        wire
    });
    assert_eq!(wires.each_ref().map(|wire| wire.server.asleep.is_some()), [false, true]);
    wires
}

#[test]
fn our_own_good_bye_reaches_the_peer() {
    for mut wire in awake_and_asleep() {
        let now = wire.now;
        wire.server.close(now);
        for datagram in drain(&mut wire.server, &mut wire.at_server) {
            wire.client.datagram(now, &datagram);
        }
        drain(&mut wire.client, &mut wire.at_client);
        assert!(wire.at_client.closed);
    }
}

#[test]
fn whoever_sleeps_hears_the_good_bye_and_nothing_else() {
    let [_, mut wire] = awake_and_asleep();
    let now = wire.now;
    wire.client.close(now);
    let bye = drain(&mut wire.client, &mut wire.at_client);
    let [bye] = &bye[..] else {
        panic!("one datagram, {bye:?}")
    };
    let mut forged = bye.clone();
    *forged.last_mut().unwrap() ^= 1;
    let mut later = bye.clone();
    later[4] = 2;
    for nothing in [
        clear(21, &[2, 40]),
        clear(22, b"again"),
        forged,
        later,
        bye[..bye.len() - 1].to_vec(),
    ] {
        wire.server.datagram(now, &nothing);
        assert!(wire.server.poll().is_none() && wire.server.is_complete(), "{nothing:?}");
    }
    assert_eq!(wire.server.next_timeout(), None);
    wire.server.datagram(now, bye);
    drain(&mut wire.server, &mut wire.at_server);
    assert!(wire.at_server.closed && wire.server.is_over());
    wire.server.datagram(now, bye);
    assert!(wire.server.poll().is_none());
}

#[test]
fn the_datagram_limit_ends_a_handshake_and_not_one_before() {
    let mut server = Wire::new(GCM).server;
    let now = start();
    for _ in 0..DTLS_DATAGRAMS_MAX {
        server.datagram(now, &clear(22, b"nothing"));
    }
    assert!(server.poll().is_none());
    server.datagram(now, &clear(22, b"nothing"));
    assert!(matches!(server.poll(), Some(Output::Failed(Failure::Limit))));
}

#[test]
fn the_byte_limit_ends_a_handshake_and_not_one_before() {
    let mut server = Wire::new(GCM).server;
    let now = start();
    let chunk = vec![0u8; 1_024];
    for _ in 0..DTLS_BYTES_MAX / 1_024 {
        server.datagram(now, &chunk);
    }
    assert!(server.poll().is_none());
    server.datagram(now, &[0]);
    assert!(matches!(server.poll(), Some(Output::Failed(Failure::Limit))));
}

#[test]
fn datagrams_in_clear_after_completion_have_a_budget() {
    let mut wire = Wire::new(GCM);
    wire.run(LONG, pass);
    let now = wire.now;
    let before = wire.server.counts().ignored;
    for _ in 0..CLEAR_AFTER_MAX + 10 {
        wire.server
            .datagram(now, &clear(22, &[11, 0, 1, 0, 0, 99, 0, 0, 0, 0, 0, 1, 7]));
    }
    assert!(wire.server.counts().ignored >= before + 10);
    assert!(wire.server.is_complete());
}

proptest! {
    #![proptest_config(testkit::properties::properties(64))]

    #[test]
    fn changed_datagrams_never_panic_and_never_give_different_keys(
        changes in prop::collection::vec((0usize..8, any::<prop::sample::Index>(), any::<u8>()), 1..6)
    ) {
        let mut wire = Wire::new(GCM);
        wire.run(LONG, |number, _, mut datagram| {
            for (which, place, value) in &changes {
                if *which == number {
                    let at = place.index(datagram.len());
                    datagram[at] = *value;
                }
            }
            vec![datagram]
        });
        if let (Some(mut client), Some(mut server)) = (wire.at_client.keys, wire.at_server.keys) {
            let mut packet = vec![0x80, 111, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 1];
            packet.resize(13 + srtp::RTP_OVERHEAD_MAX, 0);
            let len = client.outbound.seal_rtp(&mut packet, 13, 1).unwrap();
            prop_assert!(server.inbound.open_rtp(&mut packet[..len]).is_ok());
        }
    }
}
