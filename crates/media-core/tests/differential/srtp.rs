//! Ours seals what theirs opens, and the other way round: three profiles, RTP and RTCP, over a roll of the sequence.

use media_core::srtp::{Keys, Profile, RTCP_OVERHEAD_MAX, RTP_OVERHEAD_MAX, Role};
use proptest::prelude::*;
use rtc_crypto::default_provider;
use rtc_srtp::context::Context;
use rtc_srtp::protection_profile::ProtectionProfile;

const PROFILES: [(Profile, ProtectionProfile); 3] = [
    (Profile::AeadAes128Gcm, ProtectionProfile::AeadAes128Gcm),
    (Profile::AeadAes256Gcm, ProtectionProfile::AeadAes256Gcm),
    (Profile::AesCm128Sha1, ProtectionProfile::Aes128CmHmacSha1_80),
];
/// Packets before and behind the roll of the sequence number.
const AROUND: u64 = 40;

/// Our server, and theirs as the client: what it seals with, what it opens with (it wants one context for each).
struct Ends {
    ours: Keys,
    sealer: Context,
    opener: Context,
}

impl Ends {
    fn new(which: usize, seed: u8) -> Self {
        let (profile, theirs) = PROFILES[which];
        let material: Vec<u8> = (0..profile.keying_material_len())
            .map(|n| (n as u8).wrapping_mul(31).wrapping_add(seed))
            .collect();
        // RFC 5764 §4.2: client key, server key, client salt, server salt.
        let (keys, salts) = material.split_at(2 * profile.key_len());
        let (client_key, server_key) = keys.split_at(profile.key_len());
        let (client_salt, server_salt) = salts.split_at(profile.salt_len());
        let provider = default_provider().expect("ring is there");
        let context = |key, salt| {
            Context::new(key, salt, theirs, None, None, provider.crypto()).expect("keys of the right length")
        };
        Self {
            ours: Keys::derive(profile, &material, Role::Server).expect("keys of the right length"),
            sealer: context(client_key, client_salt),
            opener: context(server_key, server_salt),
        }
    }
}

/// An RTP packet with a header extension; `payload` may be empty.
fn rtp(ssrc: u32, index: u64, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x90, 111];
    packet.extend_from_slice(&(index as u16).to_be_bytes());
    packet.extend_from_slice(&(index as u32).wrapping_mul(960).to_be_bytes());
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(&[0xBE, 0xDE, 0, 1, 0x10, 55, 0, 0]);
    packet.extend_from_slice(payload);
    packet
}

#[test]
fn a_stream_is_the_same_in_both_directions_over_the_roll_of_its_sequence() {
    for which in 0..PROFILES.len() {
        let mut ends = Ends::new(which, 5);
        for index in 65_536 - AROUND..65_536 + AROUND {
            let plain = rtp(7, index, &[index as u8; 60]);
            let mut ours = plain.clone();
            ours.resize(plain.len() + RTP_OVERHEAD_MAX, 0);
            let len = ends
                .ours
                .outbound
                .seal_rtp(&mut ours, plain.len(), index)
                .expect("sealed");
            let opened = ends.opener.decrypt_rtp(&ours[..len]).expect("they open ours");
            assert_eq!(opened[..], plain, "{which}: {index}");

            let mut theirs = ends.sealer.encrypt_rtp(&plain).expect("sealed").to_vec();
            let opened = ends.ours.inbound.open_rtp(&mut theirs).expect("we open theirs");
            assert_eq!((opened.index, &theirs[..opened.len]), (index, &plain[..]), "{which}");
        }
    }
}

#[test]
fn a_changed_packet_is_refused_by_both() {
    for which in 0..PROFILES.len() {
        let mut ends = Ends::new(which, 9);
        let plain = rtp(7, 3, &[1; 20]);
        let mut ours = plain.clone();
        ours.resize(plain.len() + RTP_OVERHEAD_MAX, 0);
        let len = ends.ours.outbound.seal_rtp(&mut ours, plain.len(), 3).expect("sealed");
        ours[len - 1] ^= 1;
        assert!(ends.opener.decrypt_rtp(&ours[..len]).is_err(), "{which}");
        let mut theirs = ends.sealer.encrypt_rtp(&plain).expect("sealed").to_vec();
        *theirs.last_mut().expect("a tag") ^= 1;
        assert!(ends.ours.inbound.open_rtp(&mut theirs).is_err(), "{which}");
    }
}

proptest! {
    #![proptest_config(testkit::properties::usual())]

    #[test]
    fn any_packet_goes_both_ways(
        which in 0usize..3,
        seed: u8,
        ssrc: u32,
        first in any::<u16>(),
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..5),
    ) {
        let mut ends = Ends::new(which, seed);
        for (step, payload) in payloads.iter().enumerate() {
            let index = u64::from(first) + step as u64;
            let plain = rtp(ssrc, index, payload);
            let mut ours = plain.clone();
            ours.resize(plain.len() + RTP_OVERHEAD_MAX, 0);
            let len = ends.ours.outbound.seal_rtp(&mut ours, plain.len(), index).expect("sealed");
            let opened = ends.opener.decrypt_rtp(&ours[..len]).expect("they open ours");
            prop_assert_eq!(&opened[..], &plain[..]);
            let mut theirs = ends.sealer.encrypt_rtp(&plain).expect("sealed").to_vec();
            let opened = ends.ours.inbound.open_rtp(&mut theirs).expect("we open theirs");
            prop_assert_eq!((opened.index, &theirs[..opened.len]), (index, &plain[..]));
        }
    }

    #[test]
    fn any_report_goes_both_ways(
        which in 0usize..3,
        seed: u8,
        ssrc: u32,
        bodies in prop::collection::vec(prop::collection::vec(any::<u32>(), 0..60), 1..5),
    ) {
        let mut ends = Ends::new(which, seed);
        for body in &bodies {
            let mut plain = vec![0x80, 201];
            plain.extend_from_slice(&(body.len() as u16 + 1).to_be_bytes());
            plain.extend_from_slice(&ssrc.to_be_bytes());
            plain.extend(body.iter().flat_map(|word| word.to_be_bytes()));
            let mut ours = plain.clone();
            ours.resize(plain.len() + RTCP_OVERHEAD_MAX, 0);
            let len = ends.ours.outbound.seal_rtcp(&mut ours, plain.len()).expect("sealed");
            let opened = ends.opener.decrypt_rtcp(&ours[..len]).expect("they open ours");
            prop_assert_eq!(&opened[..], &plain[..]);
            let mut theirs = ends.sealer.encrypt_rtcp(&plain).expect("sealed").to_vec();
            let len = ends.ours.inbound.open_rtcp(&mut theirs).expect("we open theirs");
            prop_assert_eq!(&theirs[..len], &plain[..]);
        }
    }
}
