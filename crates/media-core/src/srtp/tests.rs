//! Limits, wrong bytes and long runs, on all profiles.

use super::*;
use proptest::prelude::*;

const PROFILES: [Profile; 3] = [Profile::AeadAes128Gcm, Profile::AeadAes256Gcm, Profile::AesCm128Sha1];

/// The two ends of one association.
fn ends(profile: Profile) -> (Keys, Keys) {
    let material: Vec<u8> = (0..profile.keying_material_len() as u8).collect();
    (
        Keys::derive(profile, &material, Role::Client).unwrap(),
        Keys::derive(profile, &material, Role::Server).unwrap(),
    )
}

fn rtp(ssrc: u32, index: u64) -> Vec<u8> {
    let mut packet = vec![0x90, 111];
    packet.extend_from_slice(&(index as u16).to_be_bytes());
    packet.extend_from_slice(&(index as u32).wrapping_mul(960).to_be_bytes());
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(&[0xBE, 0xDE, 0, 1, 0x10, 55, 0, 0]);
    packet.extend_from_slice(&[0xA5; 40]);
    packet
}

fn sealed(keys: &mut Keys, ssrc: u32, index: u64) -> Vec<u8> {
    let mut packet = rtp(ssrc, index);
    let len = packet.len();
    packet.resize(len + RTP_OVERHEAD_MAX, 0);
    let len = keys.outbound.seal_rtp(&mut packet, len, index).unwrap();
    packet.truncate(len);
    packet
}

#[test]
fn both_roles_hear_each_other_and_nobody_hears_himself() {
    for profile in PROFILES {
        let (mut client, mut server) = ends(profile);
        let wire = sealed(&mut client, 7, 5);
        assert_eq!(client.inbound.open_rtp(&mut wire.clone()), Err(Refused::NotAuthentic));
        let mut there = wire.clone();
        let opened = server.inbound.open_rtp(&mut there).unwrap();
        assert_eq!(there[..opened.len], rtp(7, 5), "{profile:?}");
        assert!(opened.first);
        let mut back = sealed(&mut server, 8, 6);
        let opened = client.inbound.open_rtp(&mut back).unwrap();
        assert_eq!(back[..opened.len], rtp(8, 6));
    }
}

#[test]
fn keying_material_of_another_length_is_refused() {
    for profile in PROFILES {
        let right = profile.keying_material_len();
        for wrong in [0, right - 1, right + 1] {
            assert_eq!(
                Keys::derive(profile, &vec![0; wrong], Role::Server).err(),
                Some(WrongKeys)
            );
        }
    }
}

#[test]
fn every_changed_byte_is_noticed_and_changes_no_state() {
    for profile in PROFILES {
        let (mut client, mut server) = ends(profile);
        let wire = sealed(&mut client, 7, 5);
        for at in 0..wire.len() {
            let mut changed = wire.clone();
            changed[at] ^= 1;
            assert!(server.inbound.open_rtp(&mut changed).is_err(), "{profile:?} byte {at}");
        }
        assert!(server.inbound.open_rtp(&mut wire.clone()).unwrap().first);
    }
}

#[test]
fn every_truncation_is_refused() {
    for profile in PROFILES {
        let (mut client, mut server) = ends(profile);
        let wire = sealed(&mut client, 7, 5);
        for length in 0..wire.len() {
            assert!(
                server.inbound.open_rtp(&mut wire[..length].to_vec()).is_err(),
                "{length}"
            );
        }
        let report = report(&mut client, 7);
        for length in 0..report.len() {
            assert!(
                server.inbound.open_rtcp(&mut report[..length].to_vec()).is_err(),
                "{length}"
            );
        }
        assert!(server.inbound.open_rtcp(&mut report.clone()).is_ok());
    }
}

#[test]
fn a_packet_is_opened_once() {
    for profile in PROFILES {
        let (mut client, mut server) = ends(profile);
        let first = sealed(&mut client, 7, 5);
        assert!(server.inbound.open_rtp(&mut first.clone()).is_ok());
        assert_eq!(server.inbound.open_rtp(&mut first.clone()), Err(Refused::Replayed));
        let later = sealed(&mut client, 7, 5 + WINDOW);
        assert!(!server.inbound.open_rtp(&mut later.clone()).unwrap().first);
        assert_eq!(server.inbound.open_rtp(&mut first.clone()), Err(Refused::TooOld));
    }
}

#[test]
fn the_ninth_stream_is_refused_and_the_first_is_not_forgotten() {
    for profile in PROFILES {
        let (mut client, mut server) = ends(profile);
        let first = sealed(&mut client, 0, 5);
        server.inbound.open_rtp(&mut first.clone()).unwrap();
        for ssrc in 1..STREAMS_MAX as u32 {
            let mut wire = sealed(&mut client, ssrc, 5);
            assert!(server.inbound.open_rtp(&mut wire).unwrap().first);
        }
        let mut ninth = sealed(&mut client, STREAMS_MAX as u32, 5);
        assert_eq!(server.inbound.open_rtp(&mut ninth), Err(Refused::TooManyStreams));
        assert_eq!(server.inbound.open_rtp(&mut first.clone()), Err(Refused::Replayed));
        assert!(server.inbound.open_rtp(&mut sealed(&mut client, 0, 6)).is_ok());
    }
}

#[test]
fn the_roll_over_count_is_carried_across_two_wraps() {
    for profile in PROFILES {
        let (mut client, mut server) = ends(profile);
        let mut index = 0x7FF0;
        while index < 0x3_0010 {
            let mut wire = sealed(&mut client, 7, index);
            assert_eq!(server.inbound.open_rtp(&mut wire).unwrap().index, index);
            index += 1_000;
        }
        // Late, from before the last wrap, within the window.
        let newest = index - 1_000;
        let late = newest - 200;
        let mut wire = sealed(&mut client, 7, late);
        assert_eq!(server.inbound.open_rtp(&mut wire).unwrap().index, late);
    }
}

#[test]
fn an_index_must_be_that_of_the_header_and_fit_48_bits() {
    let (mut client, _) = ends(Profile::AeadAes128Gcm);
    let mut buffer = rtp(7, 5);
    let len = buffer.len();
    buffer.resize(len + RTP_OVERHEAD_MAX, 0);
    let before = buffer.clone();
    let out = &mut client.outbound;
    assert_eq!(out.seal_rtp(&mut buffer, len, 6), Err(Refused::Index));
    assert_eq!(out.seal_rtp(&mut buffer, len, RTP_INDEX_END | 5), Err(Refused::Index));
    assert_eq!(out.seal_rtp(&mut buffer[..len + 15], len, 5), Err(Refused::NoRoom));
    assert_eq!(out.seal_rtp(&mut buffer, 11, 5), Err(Refused::Malformed));
    assert_eq!(buffer, before);
    assert_eq!(
        out.seal_rtp(&mut buffer, len, RTP_INDEX_END - 0x1_0000 + 5),
        Ok(len + 16)
    );
}

/// A sealed receiver report of `ssrc` without blocks.
fn report(keys: &mut Keys, ssrc: u32) -> Vec<u8> {
    let mut buffer = vec![0x80, 201, 0, 1];
    buffer.extend_from_slice(&ssrc.to_be_bytes());
    let len = buffer.len();
    buffer.resize(len + RTCP_OVERHEAD_MAX, 0);
    let len = keys.outbound.seal_rtcp(&mut buffer, len).unwrap();
    buffer.truncate(len);
    buffer
}

#[test]
fn reports_are_opened_once_and_their_streams_are_limited() {
    for profile in PROFILES {
        let (mut client, mut server) = ends(profile);
        let mut wire = report(&mut client, 1);
        assert_eq!(server.inbound.open_rtcp(&mut wire.clone()), Ok(8));
        assert_eq!(server.inbound.open_rtcp(&mut wire.clone()), Err(Refused::Replayed));
        for ssrc in 2..=STREAMS_MAX as u32 {
            assert_eq!(server.inbound.open_rtcp(&mut report(&mut client, ssrc)), Ok(8));
        }
        let mut ninth = report(&mut client, 99);
        assert_eq!(server.inbound.open_rtcp(&mut ninth), Err(Refused::TooManyStreams));
        for _ in 0..WINDOW {
            assert_eq!(server.inbound.open_rtcp(&mut report(&mut client, 1)), Ok(8));
        }
        assert_eq!(server.inbound.open_rtcp(&mut wire), Err(Refused::TooOld));
    }
}

#[test]
fn reports_in_clear_and_changed_ones_are_refused() {
    for profile in PROFILES {
        let (mut client, mut server) = ends(profile);
        let wire = report(&mut client, 1);
        for at in 0..wire.len() {
            let mut changed = wire.clone();
            changed[at] ^= 0x80;
            assert!(server.inbound.open_rtcp(&mut changed).is_err(), "{profile:?} byte {at}");
        }
        let mut clear = wire.clone();
        let word = if profile == Profile::AesCm128Sha1 {
            wire.len() - 14
        } else {
            wire.len() - 4
        };
        clear[word] &= 0x7F;
        assert_eq!(server.inbound.open_rtcp(&mut clear), Err(Refused::NotEncrypted));
    }
}

#[test]
fn a_report_count_that_has_run_out_seals_nothing_more() {
    let (mut client, mut server) = ends(Profile::AeadAes128Gcm);
    client.outbound.set_rtcp_index(RTCP_INDEX_END - 1);
    assert_eq!(server.inbound.open_rtcp(&mut report(&mut client, 1)), Ok(8));
    let mut buffer = [0x80, 201, 0, 1, 0, 0, 0, 1].to_vec();
    buffer.resize(8 + RTCP_OVERHEAD_MAX, 0);
    assert_eq!(client.outbound.seal_rtcp(&mut buffer, 8), Err(Refused::Index));
}

proptest! {
    #![proptest_config(testkit::properties::usual())]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), which in 0usize..3) {
        let (_, mut server) = ends(PROFILES[which]);
        let _ = server.inbound.open_rtp(&mut bytes.clone());
        let _ = server.inbound.open_rtcp(&mut bytes.clone());
        let mut buffer = bytes.clone();
        buffer.resize(bytes.len() + RTCP_OVERHEAD_MAX, 0);
        let _ = server.outbound.seal_rtcp(&mut buffer, bytes.len());
        let index = bytes.get(2..4).map_or(0, |pair| u64::from(u16::from_be_bytes([pair[0], pair[1]])));
        let _ = server.outbound.seal_rtp(&mut buffer, bytes.len(), index);
    }
}
