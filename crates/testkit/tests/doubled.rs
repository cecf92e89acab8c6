//! Twice the input is no more than twice and a half the work, for every parser of what a stranger sends: nobody can make
//! us work with the square of what he sends. Work is counted in instructions, so a busy machine decides nothing; that is
//! written for x86-64 alone.
//!
//! Each family is as long as its parser reads on, and a parser says whether it did. The record layer of DTLS is not among
//! them: what it does with a record depends on keys that are drawn; its bytes per handshake are bounded instead.

#![cfg(target_arch = "x86_64")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use media_core::rtcp::{self, Packet};
use media_core::rtp::Header;
use media_core::{red, sdp};
use stun::binding::KNOWN;
use stun::{Class, Message, Writer, attribute, method};
use testkit::steps::instructions;
use turn_relay::core::framing::Cutter;
use wire::signal::ClientMessage;

/// Most work for twice the input, in tenths: the design's bar. 40 and more would be a square.
const TENTHS_MAX: u64 = 25;

/// A parser, true if it read all; and an input of so many parts.
struct Family {
    name: &'static str,
    parses: fn(&[u8]) -> bool,
    parts: usize,
    make: fn(usize) -> Vec<u8>,
    size: Size,
}

/// When a family is measured: texts take some hundred thousand instructions, a second each on a slow machine.
#[derive(PartialEq, Eq)]
enum Size {
    Commit,
    Long,
}

fn stun_message(bytes: &[u8]) -> bool {
    Message::parse(bytes).is_ok_and(|message| {
        let read = (message.username(), message.xor_address(attribute::XOR_MAPPED_ADDRESS));
        read == (None, None) && message.attributes().count() > 100 && !message.unknown(&KNOWN).is_empty()
    })
}

fn stun_attributes(parts: usize) -> Vec<u8> {
    let mut buffer = vec![0; 20 + 4 * parts];
    let mut writer = Writer::new(&mut buffer, Class::Request, method::BINDING, [7; 12]).expect("room");
    for number in 0..parts {
        writer.attribute(0x7000 + number as u16, &[]).expect("room");
    }
    assert_eq!(writer.finish(), 20 + 4 * parts);
    buffer
}

fn rtp_header(bytes: &[u8]) -> bool {
    Header::parse(bytes)
        .is_ok_and(|header| header.extension(bytes, 3).is_none() && header.extensions(bytes).count() > 100)
}

fn rtp_extensions(parts: usize) -> Vec<u8> {
    let words = (2 * parts).div_ceil(4);
    let mut bytes = vec![0x90, 111, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0xBE, 0xDE];
    bytes.extend((words as u16).to_be_bytes());
    bytes.extend([0x20, 5].repeat(parts));
    bytes.resize(16 + 4 * words, 0);
    bytes
}

fn compound(bytes: &[u8]) -> bool {
    rtcp::parse(bytes).is_ok_and(|compound| {
        let read: usize = compound
            .map(|packet| match packet {
                Packet::Nack(nack) => nack.numbers().count(),
                Packet::ReceiverReport { blocks, .. } => blocks.count(),
                Packet::Bye(bye) => bye.sources().count(),
                Packet::Extended(report) => report.blocks().count(),
                Packet::SenderReport(..) | Packet::Other(_) => 1,
            })
            .sum();
        read >= 14
    })
}

/// One packet of RTCP with `words` behind its first.
fn control(kind: u8, count: u8, words: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0x80 | count, kind];
    bytes.extend((words.len() as u16).to_be_bytes());
    bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    bytes
}

fn nacks(parts: usize) -> Vec<u8> {
    let entries = (0..parts as u32).map(|number| number << 16 | 0xFFFF);
    let words: Vec<u32> = [1, 2].into_iter().chain(entries).collect();
    [control(201, 0, &[1]), control(205, 1, &words)].concat()
}

fn reports(parts: usize) -> Vec<u8> {
    let report = control(201, 1, &[1, 2, 3, 4, 5, 6, 7]);
    report.repeat(parts)
}

fn extended_blocks(parts: usize) -> Vec<u8> {
    // Blocks of a kind that nobody knows, without content (RFC 3611 §3).
    let words: Vec<u32> = [1].into_iter().chain((0..parts).map(|_| 0xC800_0000)).collect();
    [control(201, 0, &[1]), control(207, 0, &words)].concat()
}

fn redundant(bytes: &[u8]) -> bool {
    let blocks = red::redundant(bytes).count();
    red::primary(bytes).is_some() && blocks > 2 && red::rename(&mut bytes.to_vec(), 96, 100).is_some()
}

fn red_blocks(parts: usize) -> Vec<u8> {
    let heads = (1..parts as u32)
        .rev()
        .map(|age| 0x80 << 24 | 96 << 24 | (age * 960) << 10 | 60);
    let mut bytes: Vec<u8> = heads.flat_map(u32::to_be_bytes).collect();
    bytes.push(96);
    bytes.extend(vec![5; 60 * parts]);
    bytes
}

fn kept(name: &str) -> String {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    fs::read_to_string(corpus.join(name)).expect("the corpus is committed")
}

fn offer(bytes: &[u8]) -> bool {
    sdp::read_offer(std::str::from_utf8(bytes).expect("a text")).is_ok()
}

/// A browser's offer with lines of these behind its last.
fn offer_with(parts: usize, line: impl Fn(usize) -> String) -> Vec<u8> {
    let mut text = kept("sdp/chromium-156");
    for number in 0..parts {
        write!(text, "{}\r\n", line(number)).expect("a text takes all");
    }
    text.into_bytes()
}

fn candidates(parts: usize) -> Vec<u8> {
    offer_with(parts, |number| {
        format!("a=candidate:{number} 1 udp 1 192.0.2.1 {} typ host", 1_024 + number)
    })
}

fn unknown_lines(parts: usize) -> Vec<u8> {
    offer_with(parts, |number| format!("a=x-{number}:nobody knows"))
}

fn formats(parts: usize) -> Vec<u8> {
    offer_with(parts, |number| format!("a=fmtp:{} x={number}", number % 128))
}

fn fragment(bytes: &[u8]) -> bool {
    sdp::read_fragment(std::str::from_utf8(bytes).expect("a text")).is_ok_and(|fragment| fragment.candidates > 100)
}

fn fragment_candidates(parts: usize) -> Vec<u8> {
    let mut text = kept("whip/candidates");
    for number in 0..parts {
        write!(text, "a=candidate:{number} 1 udp 1 192.0.2.1 9 typ host\r\n").expect("a text takes all");
    }
    text.into_bytes()
}

fn message(bytes: &[u8]) -> bool {
    serde_json::from_slice::<ClientMessage>(bytes).is_ok()
}

fn message_with(data: &str) -> Vec<u8> {
    format!(r#"{{"v":1,"id":"3","type":"hello","data":{data}}}"#).into_bytes()
}

fn json_list(parts: usize) -> Vec<u8> {
    message_with(&format!("[{}0]", "0,".repeat(parts)))
}

fn json_keys(parts: usize) -> Vec<u8> {
    let mut keys = String::new();
    for number in 0..parts {
        write!(keys, r#""k{number}":0,"#).expect("a text takes all");
    }
    message_with(&format!(r#"{{{keys}"z":0}}"#))
}

fn json_escapes(parts: usize) -> Vec<u8> {
    message_with(&format!(r#""{}""#, r"\u0041".repeat(parts)))
}

fn stream(bytes: &[u8]) -> bool {
    let mut cutter = Cutter::default();
    let (mut fed, mut messages) = (bytes, 0);
    while !fed.is_empty() {
        let room = cutter.room();
        let taken = fed.len().min(room.len());
        room[..taken].copy_from_slice(&fed[..taken]);
        fed = &fed[taken..];
        cutter.filled(taken);
        while let Ok(Some(_)) = cutter.next() {
            messages += 1;
        }
    }
    messages > 100
}

fn channel_data(parts: usize) -> Vec<u8> {
    [0x40, 0, 0, 4, 1, 2, 3, 4].repeat(parts)
}

const FAMILIES: [Family; 14] = [
    Family {
        name: "STUN attributes",
        parses: stun_message,
        parts: 180,
        make: stun_attributes,
        size: Size::Commit,
    },
    Family {
        name: "RTP extensions",
        parses: rtp_header,
        parts: 120,
        make: rtp_extensions,
        size: Size::Commit,
    },
    Family {
        name: "NACK entries",
        parses: compound,
        parts: 60,
        make: nacks,
        size: Size::Commit,
    },
    Family {
        name: "RTCP packets",
        parses: compound,
        parts: rtcp::PACKETS_MAX / 2,
        make: reports,
        size: Size::Commit,
    },
    Family {
        name: "RTCP extended blocks",
        parses: compound,
        parts: 180,
        make: extended_blocks,
        size: Size::Commit,
    },
    Family {
        name: "redundant blocks",
        parses: redundant,
        parts: 4,
        make: red_blocks,
        size: Size::Commit,
    },
    Family {
        name: "SDP candidates",
        parses: offer,
        parts: 200,
        make: candidates,
        size: Size::Long,
    },
    Family {
        name: "SDP unknown lines",
        parses: offer,
        parts: 300,
        make: unknown_lines,
        size: Size::Long,
    },
    Family {
        name: "SDP formats",
        parses: offer,
        parts: 300,
        make: formats,
        size: Size::Long,
    },
    Family {
        name: "fragment candidates",
        parses: fragment,
        parts: 200,
        make: fragment_candidates,
        size: Size::Long,
    },
    Family {
        name: "JSON list",
        parses: message,
        parts: 500,
        make: json_list,
        size: Size::Long,
    },
    Family {
        name: "JSON keys",
        parses: message,
        parts: 150,
        make: json_keys,
        size: Size::Long,
    },
    Family {
        name: "JSON escapes",
        parses: message,
        parts: 300,
        make: json_escapes,
        size: Size::Long,
    },
    Family {
        name: "TURN stream",
        parses: stream,
        parts: 120,
        make: channel_data,
        size: Size::Commit,
    },
];

/// Instructions to parse so many parts.
fn work(family: &Family, parts: usize) -> u64 {
    let input = (family.make)(parts);
    assert!((family.parses)(&input), "{}: {parts} parts are read", family.name);
    instructions(|| {
        std::hint::black_box((family.parses)(std::hint::black_box(&input)));
    })
}

/// Work for twice as much, in tenths of the work for once.
fn tenths(family: &Family) -> u64 {
    let (once, twice) = (work(family, family.parts), work(family, 2 * family.parts));
    println!("{}: {once} instructions, {twice} for twice as much", family.name);
    10 * twice / once.max(1)
}

/// One test, for the counter is one for all.
#[test]
fn twice_the_input_is_no_more_than_twice_and_a_half_the_work() {
    fn square(bytes: &[u8]) -> bool {
        let equal = bytes
            .iter()
            .map(|one| bytes.iter().filter(|other| *other == one).count());
        equal.sum::<usize>() > 0
    }
    let bad = Family {
        name: "a square",
        parses: square,
        parts: 20,
        make: |parts| vec![1; parts],
        size: Size::Commit,
    };
    assert!(tenths(&bad) > TENTHS_MAX, "work with the square of the input is seen");
    let long = std::env::var("HELPLINE_TEST_SIZE").is_ok_and(|size| size == "long");
    for family in FAMILIES.iter().filter(|family| long || family.size == Size::Commit) {
        let tenths = tenths(family);
        assert!(tenths <= TENTHS_MAX, "{}: {tenths} tenths", family.name);
    }
}
