//! Where the corpus began: good traffic of every kind, and the shapes that once hurt somebody.
//!
//! `hl-seeds` writes them; what a fuzzer finds lies beside them.

use media_core::dtls::{Certificate, Handshake, Output};
use media_core::matrix::Part;
use media_core::rtcp::{self, Block, Delay, SenderInfo};
use media_core::srtp::Profile;
use std::time::Instant;
use stun::binding::success;
use stun::{Class, Key, Writer, method};

use crate::bed::Client;

/// What clients say, and what they should not.
const MESSAGES: [(&str, &str); 6] = [
    (
        "hello",
        r#"{"v":1,"id":"1","type":"hello","data":{"token":"t","resume":{"session":"s","lastSeq":7}}}"#,
    ),
    (
        "call-start",
        r#"{"v":1,"id":"2","type":"call.start","data":{"userId":"u","customerName":"n","customerEmail":"","callType":"voice"}}"#,
    ),
    (
        "leg-offer",
        r#"{"v":1,"id":"3","type":"leg.offer","data":{"legId":"00000000-0000-4000-8000-000000000000","grant":"g","sdp":"v=0\r\n"}}"#,
    ),
    ("presence", r#"{"status":"online","mediaChecked":true}"#),
    ("join", r#"{"type":"join","peerId":"p"}"#),
    ("numbers", r#"{"v":1e2,"id":"\ud800","type":"x","data":-0.1e-400}"#),
];

/// One input of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// The target.
    pub target: &'static str,
    /// Its file in the target's folder.
    pub name: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// All seeds. `now`: any instant. Those of `dtls` hold a fresh handshake; all others are the same every time.
///
/// # Panics
/// Never: everything in here is well-formed.
#[must_use]
pub fn seeds(now: Instant) -> Vec<Seed> {
    let mut all = Vec::new();
    let mut put = |target, name, bytes: &[u8]| {
        all.push(Seed {
            target,
            name,
            bytes: bytes.to_vec(),
        });
    };
    stun(&mut put);
    rtp(&mut put);
    control(&mut put);
    let offers = [
        (
            "chromium-156",
            include_str!("../../../media-core/src/sdp/offers/chromium-156.sdp").to_owned(),
        ),
        ("firefox-like", firefox()),
    ];
    for (name, offer) in &offers {
        put(
            "sdp",
            name,
            offer.replace("\r\n", "\n").replace('\n', "\r\n").as_bytes(),
        );
    }
    redundant(&mut put);
    relay(&mut put);
    proxies(&mut put);
    put("sdp", "first-line-only", b"v=0\r\n");
    for (name, text) in FRAGMENTS {
        put("whip", name, text.as_bytes());
    }
    for (name, text) in MESSAGES {
        put("message", name, text.as_bytes());
    }
    put("message", "deep", "[".repeat(4_096).as_bytes());
    put("dtls", "handshake", &recorded(now));
    put(
        "dtls",
        "torn-record",
        &[0, 0, 14, 22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 1],
    );
    put("dtls", "two-lost", &[1, 0, 0, 0, 0, 3, 0, 0, 0]);
    put("dtls", "proof-changed", &[1, 4, 0, 200, 255]);
    put(
        "script",
        "talk",
        &[0x01, 0x11, 0x00, 1, 0x01, 0x11, 0x02, 0x12, 0x03, 9, 0x13, 0],
    );
    put(
        "script",
        "move-and-reload",
        &[0x01, 0x0D, 2, 0x42, 0x01, 0x0B, 0x42, 0x0E, 0x01, 0x00, 200],
    );
    put(
        "script",
        "silence",
        &[0x01, 0x00, 255, 0x00, 255, 0x00, 255, 0x11, 0x1A, 0x12, 0x1E, 0x11],
    );
    put(
        "script",
        "conference",
        &[
            0x2A, 0x22, 0x2E, 0x3A, 0x32, 0x3E, 0x07, 0x55, 0x21, 0x01, 0x31, 0x0F, 0x11,
        ],
    );
    put(
        "script",
        "asked-again",
        &[
            0x01, 0x01, 0x01, 0x11, 0x19, 8, 0, 0, 0, 0, 0x7F, 0xF0, 0, 3, 5, 0x01, 0x07, 0x00, 0x19, 8, 0, 0, 0, 0,
            0x7F, 0xF0, 0, 3, 5,
        ],
    );
    put(
        "script",
        "lost-and-silent",
        &[0x01, 0x08, 0xC0, 96, 0, 0x01, 0x00, 4, 0x00, 40, 0x01],
    );
    put(
        "script",
        "inside",
        &[
            0x08, 0x30, 96, 8, 0xBE, 0xDE, 0, 1, 0x10, 5, 0, 0, 0x09, 4, 1, 2, 3, 4, 1,
        ],
    );
    all
}

fn stun(put: &mut impl FnMut(&'static str, &'static str, &[u8])) {
    let mut bystander = Client::new(3, Part::Partner);
    put("stun", "check", &bystander.check(true));
    put("stun", "check-without-nomination", &bystander.check(false));
    bystander.controlled = true;
    put("stun", "check-controlled", &bystander.check(true));
    put("stun", "check-joining", &Client::new(4, Part::Partner).check(true));
    let mut buffer = [0; 256];
    let from = "[2001:db8::1]:5000".parse().expect("an address");
    let len = success(&mut buffer, [9; 12], from, &mut Key::new(b"x")).expect("it fits");
    put("stun", "answer-v6", &buffer[..len]);
    let mut writer = Writer::new(&mut buffer, Class::Request, method::BINDING, [1; 12]).expect("it fits");
    writer.attribute(0x7FFF, b"unknown").expect("it fits");
    writer.fingerprint().expect("it fits");
    let len = writer.finish();
    put("stun", "unknown-attribute", &buffer[..len]);
}

fn rtp(put: &mut impl FnMut(&'static str, &'static str, &[u8])) {
    let mut bystander = Client::new(3, Part::Partner);
    put("rtp", "sealed", &bystander.speak(&[5; 60]));
    put("rtp", "sealed-dtx", &bystander.speak(&[0xF8]));
    let red = bystander.numbers.red.expect("it offers RED");
    put(
        "rtp",
        "sealed-red",
        &bystander.packet(red, &[0x80 | 99, 0, 0, 2, 99, 1, 2, 3]),
    );
    put(
        "rtp",
        "plain-red",
        &[0x80, 63, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xEF, 0, 0, 2, 111, 1, 2, 7, 8],
    );
    // 40 and 20 ms old, then the packet's own; and the same with a length that does not fit, and within itself.
    let two = [0xEF, 0x1E, 0, 1, 0xEF, 0x0F, 0, 2, 111, 1, 2, 2, 3, 3];
    let plain = [0x80, 63, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
    put("rtp", "plain-red-two", &[&plain[..], &two].concat());
    let lying = [0xEF, 0x1E, 3, 0xFF, 111, 1];
    put("rtp", "plain-red-lying", &[&plain[..], &lying].concat());
    let nested = [0x80 | 63, 0x0F, 0, 14, 111];
    put("rtp", "plain-red-nested", &[&plain[..], &nested, &two, &[9]].concat());
    put("rtp", "padded", &[0xA0, 111, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 9, 9, 0, 2]);
    put(
        "rtp",
        "two-byte-extension",
        &[
            0x90, 111, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0x10, 0, 0, 2, 1, 1, 0x85, 0, 20, 2, 7, 7, 42,
        ],
    );
    put(
        "rtp",
        "sources",
        &[0x82, 111, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 42],
    );
}

/// Payloads behind a zero, and talks: see the body of `red`.
fn redundant(put: &mut impl FnMut(&'static str, &'static str, &[u8])) {
    put("red", "one", &[0, 0x80 | 111, 0, 0, 2, 111, 1, 2, 7, 8, 9]);
    put(
        "red",
        "two",
        &[0, 0xEF, 0x1E, 0, 1, 0xEF, 0x0F, 0, 2, 111, 1, 2, 2, 3, 3],
    );
    put(
        "red",
        "two-types",
        &[0, 0xEF, 0x0F, 0, 1, 0x80 | 96, 0, 0, 1, 111, 1, 2, 3],
    );
    put("red", "lying", &[0, 0xEF, 0x1E, 3, 0xFF, 111, 1]);
    put("red", "too-many", &[&[0][..], &[0x80; 36], &[111]].concat());
    put("red", "empty-primary", &[0, 0x80 | 111, 0, 0, 1, 111, 1]);
    put("red", "talk", &[1, 0x04, 0, 0x04, 0, 0x05, 0, 0x0A, 0, 0x08, 0]);
    put(
        "red",
        "talk-with-damage",
        &[1, 0x04, 0, 0x05, 0x80, 0, 0x05, 0x03, 3, 0x0E, 0],
    );
}

fn control(put: &mut impl FnMut(&'static str, &'static str, &[u8])) {
    let mut bystander = Client::new(3, Part::Partner);
    put("rtcp", "sealed-report", &bystander.report(0, 12));
    put(
        "rtcp",
        "sealed-rubbish",
        &bystander.seal_rtcp(&[0x81, 201, 0, 1, 0, 0, 0, 9]),
    );
    let info = SenderInfo {
        ssrc: 7,
        ntp: 1 << 40,
        rtp: 8,
        packets: 9,
        octets: 10,
    };
    let mut buffer = [0; 256];
    let len = rtcp::sender_report(&mut buffer, &info, &[Block::default(); 2], "name").expect("it fits");
    put("rtcp", "sender-report", &buffer[..len]);
    let len = rtcp::bye(&mut buffer, 7).expect("it fits");
    put("rtcp", "bye", &buffer[..len]);
    put("rtcp", "nack", &[0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 5, 0, 3]);
    put("rtcp", "sealed-nack", &bystander.nack_for(0, &[0x7FF0, 0x7FF1, 0x8010]));
    let len = rtcp::nack(&mut buffer, 7, 9, &[65_530, 3, 4, 40]).expect("it fits");
    put("rtcp", "nack-over-the-wrap", &buffer[..len]);
    put(
        "rtcp",
        "nack-torn",
        &[0x81, 205, 0, 1, 0, 0, 0, 1, 0x81, 205, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2],
    );
    let delay = Delay {
        ssrc: 1,
        last_reference: 2,
        delay: 3,
    };
    let mut len = rtcp::reference_time(&mut buffer, 7, 1 << 40).expect("it fits");
    len += rtcp::reference_answer(&mut buffer[len..], 7, &delay).expect("it fits");
    put("rtcp", "extended-both-ways", &buffer[..len]);
    let voip = [&[0x80, 207, 0, 10, 0, 0, 0, 1, 7, 0, 0, 8][..], &[5; 32]].concat();
    put("rtcp", "extended-voip", &voip);
    put("rtcp", "extended-torn", &[0x80, 207, 0, 2, 0, 0, 0, 1, 4, 0, 0, 9]);
    put(
        "rtcp",
        "extended",
        &[0x80, 207, 0, 4, 0, 0, 0, 1, 4, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2],
    );
}

/// What foreign clients send after their offer.
const FRAGMENTS: [(&str, &str); 4] = [
    (
        "candidates",
        "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:EsAw\r\n\
         a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host \
         generation 0 ufrag EsAw network-id 1\r\na=candidate:3471623853 1 udp 2122194687 198.51.100.2 61765 typ \
         srflx raddr 192.0.2.1 rport 61764\r\na=candidate:473322822 1 tcp 1518280447 x.local 9 typ host tcptype \
         active\r\n",
    ),
    ("restart", "a=ice-ufrag:EsAv\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n"),
    ("end", "m=audio 9 RTP/AVP 0\r\na=mid:0\r\na=end-of-candidates\r\n"),
    (
        "contradiction",
        "a=ice-ufrag:EsAv\r\na=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n",
    ),
];

fn firefox() -> String {
    format!(
        "v=0\r\no=mozilla...THIS_IS_SDPARTA-99.0 123 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=sendrecv\r\n\
         a=fingerprint:sha-256 {}\r\na=group:BUNDLE 0 1\r\na=ice-options:trickle\r\na=msid-semantic:WMS *\r\n\
         m=audio 50000 UDP/TLS/RTP/SAVPF 109 9 0 8 101\r\nc=IN IP4 192.0.2.7\r\n\
         a=candidate:0 1 UDP 2122252543 192.0.2.7 50000 typ host\r\n\
         a=candidate:0 2 UDP 2122252542 192.0.2.7 50001 typ host\r\na=candidate:\r\na=sendrecv\r\n\
         a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
         a=extmap:2/recvonly urn:ietf:params:rtp-hdrext:csrc-audio-level\r\n\
         a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1\r\na=ice-pwd:00112233445566778899aabbccddeeff\r\n\
         a=ice-ufrag:fa1b2c3d\r\na=mid:0\r\na=rtcp-mux\r\na=rtpmap:109 opus/48000/2\r\na=rtpmap:9 G722/8000/1\r\n\
         a=rtpmap:101 telephone-event/8000/1\r\na=setup:actpass\r\na=ssrc:1 cname:x\r\n\
         m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=sctp-port:5000\r\n",
        vec!["5A"; 32].join(":")
    )
}

/// What a client sends in one handshake, as a feed.
fn recorded(now: Instant) -> Vec<u8> {
    let make = || Certificate::generate().expect("the provider makes keys");
    let (ours, theirs) = (make(), make());
    let mut client = Handshake::client(&theirs, ours.fingerprint(), &[Profile::AeadAes128Gcm], now);
    let mut server = Handshake::server(&ours, theirs.fingerprint());
    let mut feed = vec![0];
    for _ in 0..10 {
        while let Some(output) = client.poll() {
            if let Output::Datagram(datagram) = output {
                feed.extend_from_slice(&(datagram.len() as u16).to_be_bytes());
                feed.extend_from_slice(&datagram);
                server.datagram(now, &datagram);
            }
        }
        while let Some(output) = server.poll() {
            if let Output::Datagram(datagram) = output {
                client.datagram(now, &datagram);
            }
        }
    }
    feed
}

/// The TURN core: who does what (see the body), streams, payloads.
fn relay(put: &mut impl FnMut(&'static str, &'static str, &[u8])) {
    put("turn", "call", &super::turn::CALL);
    // Both families, an even port, a refresh, a new secret with new credentials, the end by time.
    let long = [
        0x10, 0x00, 0x14, 0, 0x28, 4, 0x28, 5, 0x11, 0x01, 0x00, 0, 0x1C, 170, 0x04, 0x02, 200, 0x1C, 255, 0x1C, 255,
    ];
    put("turn", "long", &long);
    // Damaged on the way, then Binding with every flag, then legs that go.
    let damaged = [
        0x10, 0x00, 0x20, 0, 22, 255, 0x00, 0x20, 0, 140, 1, 0x24, 0, 0x24, 2, 0x24, 4, 0x24, 6, 0x28, 1, 0x1C, 20,
        0x28, 2,
    ];
    put("turn", "damaged", &damaged);
    put(
        "turn",
        "many",
        &[
            0x10, 0x00, 0, 0, 0x11, 0x01, 0, 0, 0x12, 0x02, 4, 0, 0x13, 0x03, 0, 0, 0x28, 7, 1,
        ],
    );
    let message = [0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];
    let channel = [0x40, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0];
    put(
        "turn_stream",
        "glued",
        &[&[255][..], &message, &channel, &channel, &message].concat(),
    );
    put(
        "turn_stream",
        "split",
        &[&[0][..], &channel, &message, &channel].concat(),
    );
    put("turn_stream", "http", &[&[3][..], &channel, b"GET / HTTP/1.1"].concat());
    put("turn_stream", "too-long", &[1, 0x40, 0, 8, 0]);
    put("channel_data", "padded", &channel);
    put("channel_data", "torn", &channel[..7]);
    put("channel_data", "empty", &[0x40, 0, 0, 0]);
}

/// Headers of both versions, and what is none.
fn proxies(put: &mut impl FnMut(&'static str, &'static str, &[u8])) {
    let line = b"PROXY TCP4 203.0.113.7 192.0.2.1 50000 443\r\n\0\x01";
    put("proxy", "line", line);
    put(
        "proxy",
        "line-v6",
        b"PROXY TCP6 2001:db8:7::1 2001:db8::1 50000 443\r\n",
    );
    put("proxy", "line-unknown", b"PROXY UNKNOWN and more\r\n");
    put("proxy", "line-sign", b"PROXY TCP4 203.0.113.7 192.0.2.1 +5000 443\r\n");
    put("proxy", "line-endless", &[&line[..11], &[b'1'; 120]].concat());
    let begin = b"\r\n\r\n\0\r\nQUIT\n";
    let v4 = [203, 0, 113, 7, 192, 0, 2, 1, 0xC3, 0x50, 0x01, 0xBB];
    let tls = [0x16, 3, 1, 2];
    put(
        "proxy",
        "binary",
        &[begin, &[0x21, 0x11, 0, 12][..], &v4, &tls].concat(),
    );
    let tlvs = [2, 0, 3, b'a', b'.', b'b', 4, 0, 0];
    put(
        "proxy",
        "binary-tlvs",
        &[begin, &[0x21, 0x11, 0, 21][..], &v4, &tlvs].concat(),
    );
    let mapped = [&[0; 10][..], &[0xFF, 0xFF], &v4[..4], &[0; 16], &v4[8..]].concat();
    put(
        "proxy",
        "binary-mapped",
        &[begin, &[0x21, 0x21, 0, 36][..], &mapped].concat(),
    );
    put("proxy", "binary-local", &[begin, &[0x20, 0, 0, 0][..], &tls].concat());
    put(
        "proxy",
        "binary-too-long",
        &[begin, &[0x21, 0x11, 0xFF, 0xFF][..], &v4].concat(),
    );
}
