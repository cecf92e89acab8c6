//! RFC 8656 §11 and §12: payload in both wrappings, both ways.

use ports::{RelayPath, Via};
use stun::{Class, Message, attribute, method};
use turn_relay::core::{FRONT_BYTES, Outcome, Stage, TAIL_BYTES};

use crate::bed::{Bed, Client, LEG, SHARD_0, SHARD_0_V6, SHARD_1, address, bed, channel_data, dual};

type Virtual = Bed<turn_relay::core::Virtual>;

fn ready(bed: &mut Virtual) -> Client {
    let mut client = Client::at("198.51.100.7:5000");
    bed.allocate(&mut client);
    assert_eq!(bed.permit(&mut client, &[SHARD_0]), 0);
    client
}

/// What the client gets for `payload`, and by which way.
fn down(bed: &mut Virtual, path: RelayPath, payload: &[u8]) -> Result<Vec<u8>, Stage> {
    // Poisoned: what is not written must not be sent.
    let mut frame = vec![0xEE; FRONT_BYTES + payload.len() + TAIL_BYTES];
    frame[FRONT_BYTES..FRONT_BYTES + payload.len()].copy_from_slice(payload);
    let wrapped = bed.core.from_shard(bed.at, path, &mut frame, payload.len())?;
    assert_eq!(wrapped.flow.remote, address("198.51.100.7:5000"));
    Ok(frame[wrapped.range].to_vec())
}

#[test]
fn section_11_3_a_send_indication_reaches_the_shard_of_its_peer() {
    let mut bed = bed();
    let mut client = ready(&mut bed);
    let relayed = bed.list()[0].relayed[0];
    for (peer, shard) in [(SHARD_0, 0), (SHARD_1, 1)] {
        let bytes = client.send(peer, &[0x16; 31]);
        assert_eq!(bed.hand(client.flow, &bytes), Outcome::Relayed);
        let got = bed.outside.delivered.pop().expect("delivered");
        assert_eq!(
            (got.shard, got.peer, got.leg, got.relayed),
            (shard, address(peer), LEG, relayed)
        );
        assert_eq!(got.payload, [0x16; 31]);
        assert_eq!((got.path.worker, got.path.via), (0, Via::Udp));
    }
    assert!(bed.outside.replies.is_empty(), "an indication has no answer");
}

#[test]
fn section_11_2_a_send_indication_without_permission_or_known_peer_is_dropped() {
    let mut bed = bed();
    let mut stranger = Client::at("198.51.100.9:5000");
    let mut client = Client::at("198.51.100.7:5000");
    bed.allocate(&mut client);
    let to_shard = |client: &mut Client| client.send(SHARD_0, &[0x80; 20]);
    let no_permission = Outcome::Dropped(Stage::Permission);
    assert_eq!(bed.hand(client.flow, &to_shard(&mut client)), no_permission);
    bed.permit(&mut client, &[SHARD_0]);
    assert_eq!(bed.hand(client.flow, &to_shard(&mut client)), Outcome::Relayed);
    assert_eq!(bed.hand(stranger.flow, &to_shard(&mut stranger)), no_permission);
    for peer in ["192.0.2.10:40002", "203.0.113.1:40000", "[::ffff:192.0.2.10]:40000"] {
        let bytes = client.send(peer, &[0x80; 20]);
        assert_eq!(bed.hand(client.flow, &bytes), no_permission, "{peer}");
    }
    let cases: [(&[u16], &str); 3] = [
        (&[attribute::DATA], "no peer"),
        (&[attribute::XOR_PEER_ADDRESS], "no data"),
        (&[attribute::XOR_PEER_ADDRESS, attribute::DATA, 0x7F01], "unknown"),
    ];
    for (kinds, what) in cases {
        let transaction = client.transaction();
        let bytes = client.write(
            Class::Indication,
            method::SEND,
            transaction,
            |writer| {
                kinds.iter().try_for_each(|&kind| match kind {
                    attribute::XOR_PEER_ADDRESS => writer.xor_address(kind, address(SHARD_0)),
                    kind => writer.attribute(kind, &[0x80; 20]),
                })
            },
            false,
        );
        assert_eq!(bed.hand(client.flow, &bytes), no_permission, "{what}");
    }
    assert!(bed.outside.replies.is_empty());
    assert_eq!(bed.outside.delivered.len(), 1);
}

#[test]
fn section_11_3_of_two_peers_in_an_indication_the_first_counts() {
    let mut bed = bed();
    let mut client = ready(&mut bed);
    let transaction = client.transaction();
    let bytes = client.write(
        Class::Indication,
        method::SEND,
        transaction,
        |writer| {
            writer.xor_address(attribute::XOR_PEER_ADDRESS, address(SHARD_1))?;
            writer.xor_address(attribute::XOR_PEER_ADDRESS, address(SHARD_0))?;
            writer.attribute(attribute::DONT_FRAGMENT, &[])?;
            writer.attribute(attribute::DATA, &[0x80; 20])
        },
        false,
    );
    assert_eq!(bed.hand(client.flow, &bytes), Outcome::Relayed);
    assert_eq!(bed.outside.delivered[0].shard, 1);
}

#[test]
fn section_12_5_channel_data_with_and_without_padding() {
    let mut bed = bed();
    let mut client = ready(&mut bed);
    bed.bind(&mut client, 0x4ABC, SHARD_0);
    let exact = channel_data(0x4ABC, &[0x80; 21]);
    let padded = [&exact[..], &[7, 7, 7]].concat();
    for bytes in [&exact, &padded] {
        assert_eq!(bed.hand(client.flow, bytes), Outcome::Relayed);
        assert_eq!(bed.outside.delivered.pop().expect("delivered").payload, [0x80; 21]);
    }
}

#[test]
fn section_12_6_channel_data_that_belongs_nowhere_is_dropped() {
    let mut bed = bed();
    let mut client = ready(&mut bed);
    bed.bind(&mut client, 0x4000, SHARD_0);
    let good = channel_data(0x4000, &[0x80; 20]);
    let silent = Outcome::Dropped(Stage::Channel);
    assert_eq!(
        bed.hand(client.flow, &channel_data(0x4001, &[0x80; 20])),
        silent,
        "no such channel"
    );
    assert_eq!(
        bed.hand(client.flow, &good[..good.len() - 1]),
        silent,
        "longer than it is"
    );
    assert_eq!(bed.hand(client.flow, &good[..3]), silent);
    assert_eq!(
        bed.hand(Client::at("198.51.100.8:5000").flow, &good),
        silent,
        "unknown flow"
    );
    let mut other_listener = client.flow;
    other_listener.local = 1;
    assert_eq!(bed.hand(other_listener, &good), silent);
    assert_eq!(
        bed.hand(client.flow, &channel_data(0x5000, &[0x80; 20])),
        Outcome::Dropped(Stage::Length)
    );
    assert_eq!(bed.hand(client.flow, &good), Outcome::Relayed);
}

#[test]
fn the_gate_lets_only_media_through() {
    let mut bed = bed();
    let mut client = ready(&mut bed);
    bed.bind(&mut client, 0x4000, SHARD_0);
    for first in 0..=255u8 {
        bed.advance_ns(10_000_000);
        let outcome = bed.hand(client.flow, &channel_data(0x4000, &[first, 1, 2]));
        // RFC 7983 §7.
        let media = matches!(first, 0..=3 | 20..=63 | 128..=191);
        assert_eq!(outcome == Outcome::Relayed, media, "{first}");
        assert!(media || outcome == Outcome::Dropped(Stage::Gate));
    }
    bed.advance(1);
    for (len, relayed) in [(0, false), (1, true), (1_500, true), (1_501, false)] {
        let outcome = bed.hand(client.flow, &channel_data(0x4000, &vec![0x80; len]));
        assert_eq!(outcome == Outcome::Relayed, relayed, "{len} bytes");
    }
}

#[test]
fn section_11_6_without_a_channel_the_client_gets_a_data_indication() {
    for (peer, family, front) in [(SHARD_0, 1u8, 36), (SHARD_0_V6, 2, 48)] {
        let (mut bed, mut client) = (dual(), Client::at("198.51.100.7:5000"));
        bed.allocate_with(&mut client, |writer| {
            writer.attribute(attribute::REQUESTED_ADDRESS_FAMILY, &[family, 0, 0, 0])
        });
        bed.permit(&mut client, &[peer]);
        let bytes = client.send(peer, &[0x80; 20]);
        bed.hand(client.flow, &bytes);
        let path = bed.outside.delivered.pop().expect("delivered").path;
        for len in 1..=9 {
            let payload: Vec<u8> = (0..len).collect();
            let bytes = down(&mut bed, path, &payload).expect("a way back");
            assert_eq!(bytes.len(), front + usize::from(len).next_multiple_of(4));
            let message = Message::parse(&bytes).expect("well formed");
            assert_eq!((message.class(), message.method()), (Class::Indication, method::DATA));
            assert_eq!(message.xor_address(attribute::XOR_PEER_ADDRESS), Some(address(peer)));
            assert_eq!(message.attribute(attribute::DATA), Some(&payload[..]));
            assert!(
                bytes[front + usize::from(len)..].iter().all(|&byte| byte == 0),
                "padding: {bytes:?}"
            );
        }
    }
}

#[test]
fn section_7_3_a_family_that_was_freed_carries_nothing_in_either_direction() {
    let (mut bed, mut client) = (dual(), Client::at("198.51.100.7:5000"));
    bed.allocate_with(&mut client, |writer| {
        writer.attribute(attribute::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0])
    });
    let mut paths = Vec::new();
    for (number, peer) in [(0x4000, SHARD_0), (0x4001, SHARD_0_V6)] {
        assert_eq!(bed.bind(&mut client, number, peer), 0);
        bed.hand(client.flow, &channel_data(number, &[0x80]));
        paths.push(bed.outside.delivered.pop().expect("delivered").path);
    }
    let request = client.signed(method::REFRESH, |writer| {
        writer.attribute(attribute::LIFETIME, &[0; 4])?;
        writer.attribute(attribute::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0])
    });
    assert_eq!(bed.ask_code(&client, &request), 0);
    assert_eq!(
        bed.hand(client.flow, &channel_data(0x4001, &[0x80])),
        Outcome::Dropped(Stage::Permission)
    );
    assert_eq!(
        down(&mut bed, paths[1], &[5; 5]),
        Err(Stage::Permission),
        "its address is no more"
    );
    assert!(down(&mut bed, paths[0], &[5; 5]).is_ok(), "the other one is");
}

#[test]
fn section_12_6_with_a_channel_the_client_gets_channel_data_padded_on_streams() {
    for (via, local, padding) in [(Via::Udp, 0, 0), (Via::Tcp, 2, 3), (Via::Tls, 2, 3)] {
        let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
        (client.flow.via, client.flow.local) = (via, local);
        bed.allocate(&mut client);
        bed.bind(&mut client, 0x4000, SHARD_0);
        bed.hand(client.flow, &channel_data(0x4000, &[0x80]));
        let path = bed.outside.delivered.pop().expect("delivered").path;
        assert_eq!(path.via, via);
        let bytes = down(&mut bed, path, &[5; 5]).expect("a way back");
        let wanted = [&[0x40, 0, 0, 5, 5, 5, 5, 5, 5][..], &[0; 3][..padding]].concat();
        assert_eq!(bytes, wanted);
    }
}

#[test]
fn section_12_1_the_permission_is_checked_downwards_too() {
    let mut bed = bed();
    let mut client = ready(&mut bed);
    bed.bind(&mut client, 0x4000, SHARD_0);
    bed.hand(client.flow, &channel_data(0x4000, &[0x80]));
    let path = bed.outside.delivered.pop().expect("delivered").path;
    bed.advance(299);
    assert!(down(&mut bed, path, &[1]).is_ok());
    bed.advance(1);
    assert_eq!(down(&mut bed, path, &[1]), Err(Stage::Permission));
}

#[test]
fn a_way_back_dies_with_its_allocation() {
    let mut bed = bed();
    let mut client = ready(&mut bed);
    let bytes = client.send(SHARD_0, &[0x80; 20]);
    bed.hand(client.flow, &bytes);
    let path = bed.outside.delivered.pop().expect("delivered").path;
    assert!(down(&mut bed, path, &[1]).is_ok());
    let wrong = [
        RelayPath { worker: 1, ..path },
        RelayPath { slot: 1, ..path },
        RelayPath { peer: 2, ..path },
        RelayPath {
            generation: path.generation + 1,
            ..path
        },
    ];
    for path in wrong {
        assert_eq!(down(&mut bed, path, &[1]), Err(Stage::Gone), "{path:?}");
    }
    bed.refresh(&mut client, 0);
    assert_eq!(down(&mut bed, path, &[1]), Err(Stage::Gone));
    let again = ready(&mut bed);
    assert_eq!(
        down(&mut bed, path, &[1]),
        Err(Stage::Gone),
        "the next one in the same place"
    );
    let mut again = again;
    let bytes = again.send(SHARD_0, &[0x80; 20]);
    bed.hand(again.flow, &bytes);
    let new = bed.outside.delivered.pop().expect("delivered").path;
    assert_eq!((new.slot, new.generation), (path.slot, path.generation + 1));
    assert!(down(&mut bed, new, &[1]).is_ok());
}

#[test]
fn an_ended_allocation_relays_nothing_even_before_the_tick() {
    let mut bed = bed();
    let mut client = ready(&mut bed);
    bed.bind(&mut client, 0x4000, SHARD_0);
    bed.advance(299);
    bed.permit(&mut client, &[SHARD_0]);
    bed.advance(290);
    assert_eq!(bed.permit(&mut client, &[SHARD_0]), 0);
    assert_eq!(bed.hand(client.flow, &channel_data(0x4000, &[0x80])), Outcome::Relayed);
    let path = bed.outside.delivered.pop().expect("delivered").path;
    bed.advance(11);
    assert_eq!(
        bed.hand(client.flow, &channel_data(0x4000, &[0x80])),
        Outcome::Dropped(Stage::Channel)
    );
    assert_eq!(down(&mut bed, path, &[1]), Err(Stage::Permission));
}

#[test]
fn indications_never_share_a_transaction() {
    let mut bed = bed();
    let mut client = ready(&mut bed);
    let bytes = client.send(SHARD_0, &[0x80; 20]);
    bed.hand(client.flow, &bytes);
    let path = bed.outside.delivered.pop().expect("delivered").path;
    let mut seen = std::collections::HashSet::new();
    for _ in 0..1_000 {
        let bytes = down(&mut bed, path, &[1]).expect("a way back");
        assert!(seen.insert(bytes[8..20].to_vec()));
    }
}

#[test]
fn traffic_is_counted_by_transport() {
    let mut bed = bed();
    let mut client = ready(&mut bed);
    let bytes = client.send(SHARD_0, &[0x80; 20]);
    bed.hand(client.flow, &bytes);
    let path = bed.outside.delivered.pop().expect("delivered").path;
    down(&mut bed, path, &[1; 7]).expect("a way back");
    let counters = bed.core.counters();
    assert_eq!((counters.up[0].packets, counters.up[0].bytes), (1, 20));
    assert_eq!((counters.down[0].packets, counters.down[0].bytes), (1, 7));
    let view = &bed.list()[0];
    assert_eq!(
        (view.packets_up, view.bytes_up, view.packets_down, view.bytes_down),
        (1, 20, 1, 7)
    );
}
