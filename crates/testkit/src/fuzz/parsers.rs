//! Single messages: STUN, RTP with RED, RTCP, SDP and its fragments.

use std::net::SocketAddr;

use media_core::command::SlotParams;
use media_core::dtls::Fingerprint;
use media_core::limits::SLOTS_PER_LEG_MAX;
use media_core::rtcp::{self, ExtendedBlock, Packet};
use media_core::rtp::{self, EXTENSION_IDS, Header, Rewrite};
use media_core::sdp::{self, Ours, Red};
use media_core::srtp::{Keys, Profile, Role};
use media_core::{demux, red};
use stun::binding::{KNOWN, REPLY_BYTES_MAX, Refusal, refuse};
use stun::{Key, Message};

const PROFILES: [Profile; 3] = [Profile::AeadAes128Gcm, Profile::AeadAes256Gcm, Profile::AesCm128Sha1];

fn keys(profile: Profile) -> Keys {
    let material = vec![7; profile.keying_material_len()];
    Keys::derive(profile, &material, Role::Server).expect("the length is the profile's")
}

/// One STUN message: attributes stay within it, and a public answer is never much longer than its question.
///
/// # Panics
/// If something does not hold.
pub fn stun(data: &[u8]) {
    if let Ok(message) = Message::parse(data) {
        let bytes: usize = message.attributes().map(|attribute| attribute.value.len() + 4).sum();
        assert!(bytes <= data.len());
        assert!(message.unknown(&KNOWN).kinds().len() <= data.len());
        let _ = (message.username(), message.use_candidate());
        let unknown = Refusal::UnknownAttributes(message.unknown(&KNOWN));
        let mut reply = [0; REPLY_BYTES_MAX];
        let len = refuse(&mut reply, message.transaction(), unknown, None);
        let len = len.expect("whatever a message has, there is room for the refusal of it");
        assert!(Message::parse(&reply[..len]).is_ok());
        // Nobody knows this password.
        assert!(!message.verify(&mut Key::new(b"fuzz-fuzz-fuzz-fuzz-fuzz")));
    }
}

/// One RTP packet, sealed or plain, and its payload as redundant audio.
///
/// # Panics
/// If something does not hold.
pub fn rtp(data: &[u8]) {
    let _ = demux::protocol(data);
    for profile in PROFILES {
        let mut packet = data.to_vec();
        assert!(
            keys(profile).inbound.open_rtp(&mut packet).is_err(),
            "nobody knows these keys"
        );
    }
    let Ok(header) = Header::parse(data) else { return };
    assert!(header.len <= data.len());
    for id in 0..EXTENSION_IDS as u8 {
        let level = header.level(data, id).map_or(0, |level| level.loudness);
        assert!(level <= 127 && header.extension(data, id).is_none_or(|value| value.len() <= 255));
    }
    let mut packet = data.to_vec();
    let rewrite = Rewrite {
        payload_type: 96,
        marker: true,
        sequence: 1,
        timestamp: 2,
        ssrc: 3,
    };
    rtp::rewrite(&mut packet, &rewrite);
    let mut ids = [0; EXTENSION_IDS];
    ids[1] = 14;
    rtp::remap_extensions(&mut packet, &header, &ids);
    let again = Header::parse(&packet).expect("rewriting keeps the form");
    assert_eq!((again.len, again.payload_type, again.sequence), (header.len, 96, 1));
    assert!(
        again.extensions(&packet).all(|element| element.id == 14),
        "what was not negotiated is padding"
    );
    if let Ok(range) = header.payload(data) {
        let mut payload = data[range].to_vec();
        let before = red::primary(&payload);
        let blocks: Vec<_> = red::redundant(&payload).collect();
        assert!(
            blocks
                .iter()
                .all(|block| block.at + block.len <= payload.len() && block.back as usize <= blocks.len())
        );
        let reach = blocks.iter().map(|block| block.offset).max().unwrap_or(0);
        let end = blocks.last().map_or(1, |block| block.at + block.len);
        assert!(before.map_or(blocks.is_empty(), |primary| (primary.at, primary.reach) == (end, reach)));
        if let Some(primary) = before {
            assert!(primary.at <= payload.len());
            if red::rename(&mut payload, primary.payload_type, 100).is_some() {
                let renamed = red::primary(&payload).map(|block| (block.at, block.payload_type));
                assert_eq!(renamed, Some((primary.at, 100)));
            }
        }
    }
}

/// One compound of RTCP, sealed or plain.
///
/// # Panics
/// If something does not hold.
pub fn rtcp(data: &[u8]) {
    for profile in PROFILES {
        let mut packet = data.to_vec();
        assert!(
            keys(profile).inbound.open_rtcp(&mut packet).is_err(),
            "nobody knows these keys"
        );
    }
    let Ok(compound) = rtcp::parse(data) else { return };
    let mut packets = 0;
    for packet in compound {
        packets += 1;
        let inside = match packet {
            Packet::SenderReport(_, blocks) => blocks.filter_map(|block| rtcp::round_trip_us(u64::MAX, &block)).count(),
            Packet::ReceiverReport { blocks, .. } => blocks.filter_map(|block| rtcp::round_trip_us(0, &block)).count(),
            Packet::Bye(bye) => bye.sources().count(),
            Packet::Nack(nack) => {
                assert!(nack.numbers().count() <= data.len() / 4 * 17);
                0
            }
            Packet::Extended(report) => {
                let parts = report.blocks().map(|block| match block {
                    ExtendedBlock::Delays(delays) => delays.count(),
                    ExtendedBlock::Reference(_) | ExtendedBlock::Other(_) => 1,
                });
                assert!(parts.sum::<usize>() <= data.len() / 4);
                0
            }
            Packet::Other(_) => 0,
        };
        assert!(inside <= 31);
    }
    assert!(packets <= rtcp::PACKETS_MAX);
}

/// One offer: refused by name, or answered with as many sections and nothing that it did not say.
///
/// # Panics
/// If something does not hold.
pub fn sdp(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let offer = match sdp::read_offer(&text) {
        Ok(offer) => offer,
        Err(refused) => {
            assert!(sdp::Refused::ALL.contains(&refused) && !refused.word().is_empty());
            return;
        }
    };
    let slots = [1, 2, 3].map(|ssrc| SlotParams {
        ssrc,
        sequence: 0,
        timestamp: 0,
    });
    let candidates = [SocketAddr::from(([192, 0, 2, 1], 40_000))];
    for (red, uplink) in [(Red::Off, true), (Red::Offer, false), (Red::Prefer, true)] {
        let ours = Ours {
            ufrag: "Serv",
            pwd: "abcdefghijklmnopqrstuvwx",
            fingerprint: Fingerprint([1; 32]),
            candidates: &candidates,
            session: 1,
            red,
            uplink,
            slots: &slots,
        };
        let answer = sdp::answer(&offer, &ours);
        assert!(answer.len() <= text.len() + 16 * 1_024);
        assert!(
            answer
                .lines()
                .all(|line| !line.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t'))
        );
        assert!(offer.nack || !answer.lines().any(|line| line.starts_with("a=rtcp-fb:")));
        let sections = |text: &str| text.lines().filter(|line| line.starts_with("m=")).count();
        assert_eq!(sections(&answer), sections(&text));
        let params = offer.media_params(uplink, red, slots.map(Some));
        assert!(params.slots.iter().flatten().count() <= SLOTS_PER_LEG_MAX && (uplink || !params.uplink));
        for kind in [Some(params.opus), params.red, params.dtmf].into_iter().flatten() {
            assert!(maps(&text).any(|mapped| mapped == kind), "{kind} was not offered");
        }
    }
}

/// The payload types that a text names, however it writes the number: `+111` and `0111` are 111 too.
fn maps(text: &str) -> impl Iterator<Item = u8> {
    let numbers = text.split("rtpmap:").skip(1);
    numbers.filter_map(|rest| rest.split_whitespace().next()?.parse().ok())
}

/// One fragment that a foreign client sends after its offer (RFC 8840): refused by name, or read into what our own
/// answer can be made of.
///
/// # Panics
/// If something does not hold.
pub fn whip(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let fragment = match sdp::read_fragment(&text) {
        Ok(fragment) => fragment,
        Err(refused) => {
            assert!(sdp::FragmentRefused::ALL.contains(&refused) && !refused.word().is_empty());
            return;
        }
    };
    assert!(fragment.candidates as usize <= text.matches("a=candidate").count());
    let candidates = [SocketAddr::from(([192, 0, 2, 1], 40_000))];
    let pwd = "abcdefghijklmnopqrstuvwx";
    let mid = fragment.mid.as_deref();
    let answer = sdp::restart_fragment("Serv1234", pwd, mid, &candidates);
    let again = sdp::read_fragment(&answer).expect("what we write can be read");
    assert_eq!(again.credentials, Some(("Serv1234".to_owned(), pwd.to_owned())));
    assert_eq!(
        (again.candidates, again.ended, again.mid.as_deref()),
        (1, true, mid.or(Some("0")))
    );
    if let Some((ufrag, pwd)) = fragment.credentials {
        assert!((4..=256).contains(&ufrag.len()) && (22..=256).contains(&pwd.len()));
    }
}
