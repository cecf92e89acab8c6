//! Offers of real clients and of hostile ones.

use super::*;
use crate::command::SlotParams;
use crate::dtls::Fingerprint;
use crate::limits::SLOTS_PER_LEG_MAX;

const PRINT: &str = "AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99";

/// As our client makes it in Chromium: one section that talks and two that listen, one bundle.
fn chromium() -> String {
    let mut text = String::from(
        "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1 2\r\n\
         a=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n",
    );
    for (mid, direction) in ["sendrecv", "recvonly", "recvonly"].iter().enumerate() {
        text.push_str(&format!(
            "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n\
             a=candidate:1 1 udp 2113937151 6d0e5b1c-0a3b.local 51234 typ host generation 0 network-cost 999\r\n\
             a=ice-ufrag:Wk8R\r\na=ice-pwd:0123456789abcdefghijklmn\r\na=ice-options:trickle\r\n\
             a=fingerprint:sha-256 {PRINT}\r\na=setup:actpass\r\na=mid:{mid}\r\n\
             a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
             a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time\r\n\
             a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na={direction}\r\na=rtcp-mux\r\na=rtcp-rsize\r\n\
             a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n\
             a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\n\
             a=rtpmap:8 PCMA/8000\r\na=rtpmap:13 CN/8000\r\na=rtpmap:110 telephone-event/48000\r\n\
             a=rtpmap:126 telephone-event/8000\r\n"
        ));
    }
    text
}

/// As Firefox writes it: other numbers, upper-case transport, session-level fingerprint, a video section and data.
fn firefox() -> String {
    format!(
        "v=0\r\no=mozilla...THIS_IS_SDPARTA-99.0 123 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=sendrecv\r\n\
         a=fingerprint:sha-256 {PRINT}\r\na=group:BUNDLE 0 2\r\na=ice-options:trickle\r\na=msid-semantic:WMS *\r\n\
         m=audio 50000 UDP/TLS/RTP/SAVPF 109 9 0 8 101\r\nc=IN IP4 192.0.2.7\r\n\
         a=candidate:0 1 UDP 2122252543 192.0.2.7 50000 typ host\r\n\
         a=candidate:0 2 UDP 2122252542 192.0.2.7 50001 typ host\r\na=candidate:\r\na=sendrecv\r\n\
         a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
         a=extmap:2/recvonly urn:ietf:params:rtp-hdrext:csrc-audio-level\r\n\
         a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1\r\na=fmtp:101 0-15\r\n\
         a=ice-pwd:00112233445566778899aabbccddeeff\r\na=ice-ufrag:fa1b2c3d\r\na=mid:0\r\na=rtcp-mux\r\n\
         a=rtpmap:109 opus/48000/2\r\na=rtpmap:9 G722/8000/1\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:101 telephone-event/8000/1\r\na=setup:actpass\r\na=ssrc:1 cname:x\r\n\
         m=video 0 UDP/TLS/RTP/SAVPF 120\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\na=mid:1\r\na=rtpmap:120 VP8/90000\r\n\
         m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\na=sctp-port:5000\r\n"
    )
}

const SLOTS: [SlotParams; SLOTS_PER_LEG_MAX] = [slot(11), slot(22), slot(33)];

const fn slot(ssrc: u32) -> SlotParams {
    SlotParams {
        ssrc,
        sequence: 1,
        timestamp: 2,
    }
}

fn answered(offer: &Offer, red: Red, uplink: bool) -> String {
    let candidates = [
        "192.0.2.1:40000".parse().unwrap(),
        "[2001:db8::1]:40000".parse().unwrap(),
    ];
    let ours = Ours {
        ufrag: "Serv",
        pwd: "abcdefghijklmnopqrstuvwx",
        fingerprint: Fingerprint([0x5A; 32]),
        candidates: &candidates,
        session: 7,
        red,
        uplink,
        slots: &SLOTS,
    };
    answer(offer, &ours)
}

/// Files hold lines as editors like them; on the wire they end in CRLF (RFC 8866 §5).
fn recorded(text: &str) -> String {
    text.replace('\n', "\r\n")
}

/// What a browser really offered, with our client's three sections, and what it gets: checked with that browser.
#[test]
fn the_real_offer_of_chromium_gets_exactly_this_answer() {
    let offer = read_offer(&recorded(include_str!("offers/chromium-156.sdp"))).unwrap();
    assert_eq!(
        (offer.opus, offer.red, offer.dtmf, offer.audio_level),
        (111, Some(63), Some(110), Some(1))
    );
    assert_eq!(offer.candidates, Candidates::default());
    assert!(offer.sends());
    let text = answered(&offer, Red::Offer, true);
    assert_eq!(text, recorded(include_str!("offers/chromium-156.answer.sdp")));
}

/// The parser of another project reads every answer, and finds in it what we meant.
#[test]
fn answers_are_sdp_to_another_parser() {
    for (offer, audio) in [
        (chromium(), 3),
        (firefox(), 1),
        (python(), 1),
        (recorded(include_str!("offers/chromium-156.sdp")), 3),
    ] {
        let offer = read_offer(&offer).unwrap();
        for red in [Red::Off, Red::Offer, Red::Prefer] {
            let text = answered(&offer, red, true);
            let read = rtc_sdp::SessionDescription::unmarshal(&mut std::io::Cursor::new(&text)).unwrap();
            let taken: Vec<_> = read
                .media_descriptions
                .iter()
                .filter(|media| media.media_name.port.value != 0)
                .collect();
            assert_eq!(taken.len(), audio);
            for media in taken {
                assert_eq!(media.attribute("setup"), Some(Some("passive")));
                assert_eq!(media.attribute("ice-ufrag"), Some(Some("Serv")));
            }
            assert!(read.has_attribute("ice-lite"));
        }
    }
}

/// As a Python stack writes it: Opus under 96, one section, no RED, candidates with addresses.
fn python() -> String {
    format!(
        "v=0\r\no=- 3900000000 3900000000 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=msid-semantic:WMS *\r\n\
         m=audio 54321 UDP/TLS/RTP/SAVPF 96 9 0 8\r\nc=IN IP4 192.0.2.9\r\na=sendrecv\r\n\
         a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
         a=extmap:2 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=mid:0\r\n\
         a=msid:3b1c 7a9e\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=rtcp-mux\r\na=ssrc:77 cname:c\r\n\
         a=rtpmap:96 opus/48000/2\r\na=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
         a=candidate:0 1 udp 2130706431 192.0.2.9 54321 typ host\r\n\
         a=candidate:1 1 udp 1694498815 203.0.113.9 54321 typ srflx raddr 192.0.2.9 rport 54321\r\n\
         a=end-of-candidates\r\na=ice-ufrag:aB3d\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n\
         a=fingerprint:sha-256 {PRINT}\r\na=fingerprint:sha-384 AA:BB\r\na=setup:actpass\r\n"
    )
}

#[test]
fn the_offer_of_a_python_stack_is_answered_with_its_numbers() {
    let offer = read_offer(&python()).unwrap();
    assert_eq!(
        (offer.opus, offer.red, offer.dtmf, offer.audio_level),
        (96, None, None, Some(2))
    );
    assert_eq!((offer.candidates.host, offer.candidates.reflexive), (1, 1));
    let text = answered(&offer, Red::Offer, true);
    assert!(text.contains("m=audio 40000 UDP/TLS/RTP/SAVPF 96\r\n"));
    assert!(text.contains("a=extmap:2 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n"));
    assert!(!text.contains("111"));
}

#[test]
fn a_section_with_other_numbers_gets_only_its_own() {
    let good = chromium();
    let (head, last) = good.rsplit_once("m=audio").unwrap();
    let no_red = format!(
        "{head}m=audio{}",
        last.replace("111 63 9", "111 9").replace("extmap:1 ", "extmap:5 ")
    );
    let text = answered(&read_offer(&no_red).unwrap(), Red::Offer, true);
    let third = sections(&text).remove(3);
    assert_eq!(third[0], "m=audio 40000 UDP/TLS/RTP/SAVPF 111 110");
    assert!(!third.iter().any(|line| line.starts_with("a=extmap")));
    let other_opus = format!("{head}m=audio{}", last.replace("111", "112"));
    let text = answered(&read_offer(&other_opus).unwrap(), Red::Offer, true);
    assert!(
        sections(&text)[3][0].starts_with("m=audio 0 "),
        "one transport has one Opus"
    );
}

#[test]
fn a_lone_carriage_return_cannot_become_a_line_of_the_answer() {
    let forged = chromium().replace("a=mid:0", "a=mid:0\ra=candidate:x");
    assert_eq!(read_offer(&forged).unwrap_err(), Refused::Malformed);
}

fn sections(text: &str) -> Vec<Vec<&str>> {
    let mut all = vec![Vec::new()];
    for line in text.lines() {
        if line.starts_with("m=") {
            all.push(Vec::new());
        }
        all.last_mut().unwrap().push(line);
    }
    all
}

#[test]
fn the_offer_of_chromium_is_read_and_answered_with_its_own_numbers() {
    let offer = read_offer(&chromium()).unwrap();
    assert_eq!(
        (offer.opus, offer.red, offer.dtmf, offer.audio_level),
        (111, Some(63), Some(110), Some(1))
    );
    assert_eq!((offer.ufrag.as_str(), offer.candidates.mdns), ("Wk8R", 3));
    let text = answered(&offer, Red::Offer, true);
    let all = sections(&text);
    assert_eq!(all.len(), 4);
    assert!(all[0].contains(&"a=ice-lite") && all[0].contains(&"a=group:BUNDLE 0 1 2"));
    for (n, section) in all[1..].iter().enumerate() {
        assert_eq!(section[0], "m=audio 40000 UDP/TLS/RTP/SAVPF 111 63 110");
        assert!(section.contains(&format!("a=mid:{n}").as_str()));
        let direction = if n == 0 { "a=sendrecv" } else { "a=sendonly" };
        assert!(section.contains(&direction) && section.contains(&"a=setup:passive"));
        let ssrc = format!("a=ssrc:{} cname:helpline", SLOTS[n].ssrc);
        assert!(section.contains(&ssrc.as_str()));
        assert!(section.contains(&"a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level"));
        assert!(
            !section
                .iter()
                .any(|line| line.contains("abs-send-time") || line.contains("transport-cc"))
        );
    }
    let candidates = all[1].iter().filter(|line| line.starts_with("a=candidate:")).count();
    assert_eq!((candidates, *all[1].last().unwrap()), (2, "a=end-of-candidates"));
    let params = offer.media_params(true, Red::Offer, SLOTS.map(Some));
    assert!(params.uplink && params.slots.iter().all(Option::is_some));
}

#[test]
fn the_offer_of_firefox_keeps_its_numbers_and_loses_video_and_data() {
    let offer = read_offer(&firefox()).unwrap();
    assert_eq!((offer.opus, offer.red, offer.dtmf), (109, None, None));
    assert_eq!((offer.candidates.host, offer.candidates.mdns), (2, 0));
    let text = answered(&offer, Red::Prefer, true);
    let all = sections(&text);
    assert!(all[0].contains(&"a=group:BUNDLE 0"));
    assert_eq!(all[1][0], "m=audio 40000 UDP/TLS/RTP/SAVPF 109");
    assert!(
        !text.contains("telephone-event"),
        "events at 8 kHz share no clock with Opus"
    );
    assert_eq!(all[2][0], "m=video 0 UDP/TLS/RTP/SAVPF 120");
    assert_eq!(all[3][0], "m=application 0 UDP/DTLS/SCTP webrtc-datachannel");
    let params = offer.media_params(true, Red::Offer, SLOTS.map(Some));
    assert_eq!(
        params.slots.map(|slot| slot.is_some()),
        [true, false, false],
        "one section receives"
    );
}

#[test]
fn redundancy_stands_where_the_grant_wants_it() {
    let offer = read_offer(&chromium()).unwrap();
    for (red, formats) in [
        (Red::Off, "111 110"),
        (Red::Offer, "111 63 110"),
        (Red::Prefer, "63 111 110"),
    ] {
        let text = answered(&offer, red, true);
        assert!(text.contains(&format!("SAVPF {formats}\r\n")), "{red:?}");
    }
}

#[test]
fn who_may_only_listen_is_told_so() {
    let offer = read_offer(&chromium()).unwrap();
    let text = answered(&offer, Red::Off, false);
    assert!(text.contains("a=sendonly\r\n") && !text.contains("a=sendrecv"));
    assert!(!offer.media_params(false, Red::Offer, SLOTS.map(Some)).uplink);
    let silent = read_offer(&chromium().replace("a=sendrecv", "a=recvonly")).unwrap();
    assert!(
        !silent.media_params(true, Red::Offer, SLOTS.map(Some)).uplink,
        "who offers no voice has none"
    );
    let mute = read_offer(&firefox().replace("a=sendrecv\r\na=extmap", "a=sendonly\r\na=extmap")).unwrap();
    assert!(answered(&mute, Red::Off, true).contains("a=recvonly\r\n"));
}

#[test]
fn every_refusal_has_an_offer_that_earns_it() {
    let good = chromium();
    let one = |from: &str, to: &str| read_offer(&good.replace(from, to)).unwrap_err();
    assert_eq!(one("a=setup:actpass", "a=setup:passive"), Refused::SetupPassive);
    assert_eq!(one("a=setup:actpass", "a=setup:holdconn"), Refused::Malformed);
    assert_eq!(
        one("a=msid-semantic", "a=ice-lite\r\na=msid-semantic"),
        Refused::IceLite
    );
    assert_eq!(one("opus/48000/2", "opux/48000/2"), Refused::WithoutOpus);
    assert_eq!(one("a=rtcp-mux\r\n", ""), Refused::NoRtcpMux);
    assert_eq!(
        one("a=ice-pwd:0123456789abcdefghijklmn", "a=ice-pwd:short"),
        Refused::NoIceCredentials
    );
    assert_eq!(one("a=ice-ufrag:Wk8R", "a=ice-ufrag:Wk8"), Refused::NoIceCredentials);
    let line = format!("a=fingerprint:sha-256 {PRINT}\r\n");
    assert_eq!(one(&line, ""), Refused::NoFingerprint);
    assert_eq!(one(&line, "a=fingerprint:sha-1 AA:BB\r\n"), Refused::NoFingerprint);
    assert_eq!(one(&line, "a=fingerprint:sha-256 \r\n"), Refused::FingerprintMalformed);
    assert_eq!(
        one(&line, &line.replace("88:99\r\n", "88\r\n")),
        Refused::FingerprintMalformed
    );
    assert_eq!(one(&line, &line.replace("AA:", "GG:")), Refused::FingerprintMalformed);
    let other = good.replacen(PRINT, &PRINT.replace("AA:BB", "BB:AA"), 1);
    assert_eq!(read_offer(&other).unwrap_err(), Refused::FingerprintMismatch);
    for rubbish in [
        "",
        "x",
        "v=1\r\n",
        "v=0\r\nmm=1\r\n",
        "v=0\r\nm=audio\r\n",
        "v=0\r\nm=audio x y z\r\n",
    ] {
        let refused = read_offer(rubbish).unwrap_err();
        assert!(
            matches!(refused, Refused::Malformed | Refused::WithoutOpus),
            "{rubbish:?}"
        );
    }
    let words: std::collections::HashSet<_> = Refused::ALL.iter().map(|refused| refused.word()).collect();
    assert_eq!(words.len(), Refused::ALL.len());
}

#[test]
fn offers_are_taken_up_to_their_limits_and_not_beyond() {
    let pad = |len: usize| {
        let mut text = chromium();
        while text.len() < len {
            let rest = (len - text.len()).min(LINE_BYTES_MAX);
            text.push_str(&format!("a=x:{}\r\n", "y".repeat(rest.saturating_sub(6))));
        }
        text.truncate(len);
        text
    };
    assert!(read_offer(&pad(OFFER_BYTES_MAX)).is_ok());
    assert_eq!(read_offer(&pad(OFFER_BYTES_MAX + 1)).unwrap_err(), Refused::TooLarge);
    let lines = |n: usize| chromium() + &"a=x\r\n".repeat(n - chromium().lines().count());
    assert!(read_offer(&lines(LINES_MAX)).is_ok());
    assert_eq!(read_offer(&lines(LINES_MAX + 1)).unwrap_err(), Refused::TooLarge);
    let long = |n: usize| chromium() + &format!("a=x:{}\r\n", "y".repeat(n - 4));
    assert!(read_offer(&long(LINE_BYTES_MAX)).is_ok());
    assert_eq!(read_offer(&long(LINE_BYTES_MAX + 1)).unwrap_err(), Refused::TooLarge);
    let sections = |n: usize| chromium() + &"m=video 9 UDP/TLS/RTP/SAVPF 96\r\n".repeat(n - 3);
    assert!(read_offer(&sections(SECTIONS_MAX)).is_ok());
    assert_eq!(
        read_offer(&sections(SECTIONS_MAX + 1)).unwrap_err(),
        Refused::TooManySections
    );
}

#[test]
fn a_section_outside_the_bundle_is_refused_and_types_that_look_like_rtcp_are_not_taken() {
    let offer = read_offer(&chromium().replace("a=group:BUNDLE 0 1 2", "a=group:BUNDLE 0 2")).unwrap();
    let text = answered(&offer, Red::Off, true);
    assert!(text.contains("a=group:BUNDLE 0 2\r\n"));
    assert!(sections(&text)[2][0].starts_with("m=audio 0 "));
    let odd = chromium().replace("111", "72");
    assert_eq!(read_offer(&odd).unwrap_err(), Refused::WithoutOpus);
}

/// Every single byte changed, every prefix: never a panic, and an answer for whatever is taken.
#[test]
fn mutilated_offers_are_refused_or_answered() {
    for good in [chromium(), firefox()] {
        for cut in 0..good.len() {
            if let Some(Ok(offer)) = good.get(..cut).map(read_offer) {
                answered(&offer, Red::Offer, true);
            }
        }
        for at in 0..good.len() {
            for byte in [b' ', b'0', b':', b'=', b'\n', 0x7f] {
                let mut bytes = good.clone().into_bytes();
                bytes[at] = byte;
                if let Ok(offer) = read_offer(&String::from_utf8(bytes).unwrap()) {
                    answered(&offer, Red::Offer, true);
                }
            }
        }
    }
}

#[test]
fn nack_is_answered_where_opus_offers_it_and_nowhere_else() {
    let with = |line: &str| chromium().replace("a=rtcp-fb:111 transport-cc\r\n", &format!("{line}\r\n"));
    for (line, answered_too) in [
        ("a=rtcp-fb:111 transport-cc", false),
        ("a=rtcp-fb:111 nack", true),
        ("a=rtcp-fb:* nack", true),
        ("a=rtcp-fb:111 nack pli", false),
        ("a=rtcp-fb:63 nack", false),
        ("a=rtcp-fb:", false),
    ] {
        let offer = read_offer(&with(line)).unwrap();
        let text = answered(&offer, Red::Offer, true);
        let count = text.matches("a=rtcp-fb:111 nack\r\n").count();
        assert_eq!(count, if answered_too { 3 } else { 0 }, "{line}");
        assert_eq!(text.matches("rtcp-fb").count(), count, "{line}");
        assert_eq!(
            offer.media_params(true, Red::Off, SLOTS.map(Some)).nack,
            answered_too,
            "{line}"
        );
    }
}

#[test]
fn in_band_fec_is_used_where_opus_asks_for_it_and_nowhere_else() {
    for (line, used) in [
        ("a=fmtp:111 minptime=10;useinbandfec=1", true),
        ("a=fmtp:111 UseInBandFEC=1; minptime=10", true),
        ("a=fmtp:111 minptime=10;useinbandfec=0", false),
        ("a=fmtp:111 minptime=10", false),
        ("a=fmtp:63 useinbandfec=1", false),
        ("a=fmtp:111", false),
        ("a=fmtp:", false),
    ] {
        let text = chromium().replace("a=fmtp:111 minptime=10;useinbandfec=1", line);
        let offer = read_offer(&text).unwrap();
        assert_eq!(offer.media_params(true, Red::Off, SLOTS.map(Some)).fec, used, "{line}");
        assert!(answered(&offer, Red::Offer, true).contains("useinbandfec=1"));
    }
    assert!(read_offer(&firefox()).unwrap().fec);
}

#[test]
fn redundant_audio_that_was_not_answered_is_neither_taken_nor_sent() {
    let offer = read_offer(&chromium()).unwrap();
    let params = |red| offer.media_params(true, red, SLOTS.map(Some)).red;
    assert_eq!(
        (params(Red::Off), params(Red::Offer), params(Red::Prefer)),
        (None, Some(63), Some(63))
    );
}
