//! RFC 8656: Allocate, Refresh, CreatePermission, ChannelBind.

use ports::LegState;
use stun::{NoRoom, Writer, attribute, method};

use crate::bed::{Client, LEG, SHARD_0, SHARD_0_V6, SHARD_1, UDP, bed, dual};

fn family(number: u8) -> [u8; 4] {
    [number, 0, 0, 0]
}

#[test]
fn section_7_2_a_success_says_what_the_client_needs() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    let answer = bed.allocate_with(&mut client, |_| Ok(()));
    assert_eq!((answer.code(), answer.lifetime()), (0, Some(600)));
    let relayed = answer.relayed();
    assert_eq!(
        (relayed.len(), relayed[0].ip().to_string()),
        (1, "192.0.2.10".to_owned())
    );
    assert!(relayed[0].port() >= 49_152);
    assert_eq!(answer.message().xor_mapped_address(), Some(client.flow.remote));
    assert!(answer.message().verify(&mut client.key()));
    assert_eq!(bed.core.counters().allocations[0], [1, 0, 0]);
}

#[test]
fn section_7_2_the_same_allocate_again_gets_the_same_answer() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.greet(&mut client);
    let request = client.signed(method::ALLOCATE, |writer| {
        writer.attribute(attribute::REQUESTED_TRANSPORT, &UDP)
    });
    let first = bed.ask(client.flow, &request).expect("an answer");
    bed.advance(2);
    let again = bed.ask(client.flow, &request).expect("an answer");
    assert_eq!((first.code(), &first.0), (0, &again.0));
    assert_eq!(bed.core.allocations(), 1);
}

#[test]
fn section_7_2_another_allocate_on_the_same_5_tuple_is_a_mismatch() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.allocate(&mut client);
    assert_eq!(bed.allocate_with(&mut client, |_| Ok(())).code(), 437);
    // Another user who proves himself learns the same, so that his browser takes another socket.
    let mut other = Client::of(ports::LegId(7), "198.51.100.7:5000");
    assert_eq!(bed.allocate_with(&mut other, |_| Ok(())).code(), 437);
    other.password = "guess".to_owned();
    assert_eq!(bed.allocate_with(&mut other, |_| Ok(())).code(), 401);
    // The 5-tuple ends with the listener: on the other port it is another one.
    let mut beside = client.clone();
    beside.flow.local = 1;
    assert_eq!(bed.allocate_with(&mut beside, |_| Ok(())).code(), 0);
}

fn allocate_of(body: impl Fn(&mut Writer<'_>) -> Result<(), NoRoom>) -> u16 {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.greet(&mut client);
    let request = client.signed(method::ALLOCATE, body);
    let code = bed.ask_code(&client, &request);
    assert_eq!(bed.core.allocations(), usize::from(code == 0));
    code
}

#[test]
fn section_7_2_requested_transport_must_be_udp() {
    assert_eq!(allocate_of(|_| Ok(())), 400);
    assert_eq!(
        allocate_of(|writer| writer.attribute(attribute::REQUESTED_TRANSPORT, &[17])),
        400
    );
    // RFC 6062 asks for TCP.
    assert_eq!(
        allocate_of(|writer| writer.attribute(attribute::REQUESTED_TRANSPORT, &[6, 0, 0, 0])),
        442
    );
    assert_eq!(
        allocate_of(|writer| writer.attribute(attribute::REQUESTED_TRANSPORT, &UDP)),
        0
    );
}

fn with(kind: u16, value: &'static [u8]) -> u16 {
    allocate_of(|writer| {
        writer.attribute(attribute::REQUESTED_TRANSPORT, &UDP)?;
        writer.attribute(kind, value)
    })
}

#[test]
fn section_7_2_even_port() {
    for _ in 0..8 {
        let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
        let answer = bed.allocate_with(&mut client, |writer| writer.attribute(attribute::EVEN_PORT, &[0]));
        assert_eq!((answer.code(), answer.relayed()[0].port() % 2), (0, 0));
    }
    assert_eq!(with(attribute::EVEN_PORT, &[0x80]), 508, "the next port is not kept");
    assert_eq!(with(attribute::EVEN_PORT, &[]), 400);
    assert_eq!(with(attribute::RESERVATION_TOKEN, &[1; 8]), 508);
    let both = allocate_of(|writer| {
        writer.attribute(attribute::REQUESTED_TRANSPORT, &UDP)?;
        writer.attribute(attribute::RESERVATION_TOKEN, &[1; 8])?;
        writer.attribute(attribute::EVEN_PORT, &[0])
    });
    assert_eq!(both, 400);
}

#[test]
fn section_7_2_dont_fragment_is_taken() {
    assert_eq!(with(attribute::DONT_FRAGMENT, &[]), 0);
}

#[test]
fn section_7_2_families() {
    const V4: &[u8] = &[1, 0, 0, 0];
    const V6: &[u8] = &[2, 0, 0, 0];
    assert_eq!(with(attribute::REQUESTED_ADDRESS_FAMILY, V4), 0);
    assert_eq!(with(attribute::REQUESTED_ADDRESS_FAMILY, V6), 440, "this node has none");
    assert_eq!(with(attribute::REQUESTED_ADDRESS_FAMILY, &[3, 0, 0, 0]), 440);
    assert_eq!(with(attribute::REQUESTED_ADDRESS_FAMILY, &[1]), 400);
    assert_eq!(with(attribute::ADDITIONAL_ADDRESS_FAMILY, V4), 400);
    let both = allocate_of(|writer| {
        writer.attribute(attribute::REQUESTED_TRANSPORT, &UDP)?;
        writer.attribute(attribute::REQUESTED_ADDRESS_FAMILY, V4)?;
        writer.attribute(attribute::ADDITIONAL_ADDRESS_FAMILY, V6)
    });
    assert_eq!(both, 400);
}

#[test]
fn section_7_2_a_dual_allocation_has_two_addresses_or_says_why_not() {
    let (mut both, mut client) = (dual(), Client::at("198.51.100.7:5000"));
    let wish = |writer: &mut Writer<'_>| writer.attribute(attribute::ADDITIONAL_ADDRESS_FAMILY, &family(2));
    let answer = both.allocate_with(&mut client, wish);
    let relayed = answer.relayed();
    assert_eq!((answer.code(), relayed.len()), (0, 2));
    assert!(relayed[0].is_ipv4() && relayed[1].is_ipv6());
    assert!(answer.message().attribute(attribute::ADDRESS_ERROR_CODE).is_none());

    let (mut one, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    let answer = one.allocate_with(&mut client, wish);
    assert_eq!((answer.code(), answer.relayed().len()), (0, 1));
    let why = answer
        .message()
        .attribute(attribute::ADDRESS_ERROR_CODE)
        .map(<[u8]>::to_vec);
    assert_eq!(why, Some(vec![2, 0, 4, 40]));
}

#[test]
fn section_7_2_lifetime_is_brought_between_600_and_3600() {
    let wishes = [
        (0u32, 600),
        (1, 600),
        (600, 600),
        (601, 601),
        (3_600, 3_600),
        (u32::MAX, 3_600),
    ];
    for (wish, given) in wishes {
        let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
        let wish = wish.to_be_bytes();
        let answer = bed.allocate_with(&mut client, |writer| writer.attribute(attribute::LIFETIME, &wish));
        assert_eq!(answer.lifetime(), Some(given));
    }
    assert_eq!(with(attribute::LIFETIME, &[1, 2]), 400);
}

#[test]
fn section_7_3_refresh_extends_and_zero_frees() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.allocate(&mut client);
    assert_eq!(bed.refresh(&mut client, 1_200).lifetime(), Some(1_200));
    let end = bed.refresh(&mut client, 0);
    assert_eq!((end.code(), end.lifetime(), bed.core.allocations()), (0, Some(0), 0));
    assert!(end.message().verify(&mut client.key()));
    assert_eq!(bed.refresh(&mut client, 0).code(), 437, "there is nothing left");
    assert_eq!(bed.outside.freed, vec![client.flow]);
    assert_eq!(bed.core.counters().allocations, [[0; 3]; 3]);
}

#[test]
fn section_7_3_refresh_of_a_family_that_is_not_there() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.allocate(&mut client);
    let request = client.signed(method::REFRESH, |writer| {
        writer.attribute(attribute::REQUESTED_ADDRESS_FAMILY, &family(2))
    });
    assert_eq!(bed.ask_code(&client, &request), 443);
}

#[test]
fn section_7_3_one_family_of_two_can_be_freed() {
    let (mut bed, mut client) = (dual(), Client::at("198.51.100.7:5000"));
    bed.allocate_with(&mut client, |writer| {
        writer.attribute(attribute::ADDITIONAL_ADDRESS_FAMILY, &family(2))
    });
    assert_eq!(bed.core.counters().allocations[0], [0, 0, 1]);
    for (number, left) in [(1u8, [0, 1, 0]), (2, [0, 0, 0])] {
        let request = client.signed(method::REFRESH, |writer| {
            writer.attribute(attribute::LIFETIME, &[0; 4])?;
            writer.attribute(attribute::REQUESTED_ADDRESS_FAMILY, &family(number))
        });
        assert_eq!(bed.ask_code(&client, &request), 0);
        assert_eq!(bed.core.counters().allocations[0], left);
    }
    assert_eq!(bed.core.allocations(), 0);
}

#[test]
fn section_5_without_an_allocation_everything_is_a_mismatch() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.greet(&mut client);
    assert_eq!(bed.refresh(&mut client, 600).code(), 437);
    assert_eq!(bed.permit(&mut client, &[SHARD_0]), 437);
    assert_eq!(bed.bind(&mut client, 0x4000, SHARD_0), 437);
}

#[test]
fn section_5_another_user_on_an_allocation_has_wrong_credentials() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.allocate(&mut client);
    let mut other = Client::of(ports::LegId(9), "198.51.100.7:5000");
    other.nonce = client.nonce.clone();
    assert_eq!(bed.refresh(&mut other, 0).code(), 441);
    assert_eq!(bed.permit(&mut other, &[SHARD_0]), 441);
    assert_eq!(bed.bind(&mut other, 0x4000, SHARD_0), 441);
    assert_eq!(bed.core.allocations(), 1);
}

#[test]
fn section_9_2_create_permission_is_all_or_nothing() {
    let (mut bed, mut client) = (dual(), Client::at("198.51.100.7:5000"));
    bed.allocate(&mut client);
    assert_eq!(bed.permit(&mut client, &[]), 400, "nobody named");
    assert_eq!(bed.permit(&mut client, &[SHARD_0, "203.0.113.9:1"]), 403);
    assert_eq!(
        bed.permit(&mut client, &[SHARD_0, SHARD_0_V6]),
        443,
        "the allocation is IPv4 only"
    );
    let request = client.signed(method::CREATE_PERMISSION, |writer| {
        writer.xor_address(attribute::XOR_PEER_ADDRESS, SHARD_0.parse().expect("an address"))?;
        writer.attribute(attribute::XOR_PEER_ADDRESS, &[0, 9, 1, 2])
    });
    assert_eq!(bed.ask_code(&client, &request), 400, "one is no address");
    assert_eq!(bed.list()[0].permissions, 0, "none of it was installed");
    assert_eq!(bed.permit(&mut client, &[SHARD_0, SHARD_0]), 0);
    assert_eq!(bed.list()[0].permissions, 1);
}

#[test]
fn section_9_2_a_permission_is_for_an_ip_whatever_the_port() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.allocate(&mut client);
    // libwebrtc permits by the candidate's address, coturn's tools with port 0.
    assert_eq!(bed.permit(&mut client, &["192.0.2.10:0"]), 0);
    let bytes = client.send(SHARD_1, &[0x80, 1, 2]);
    bed.hand(client.flow, &bytes);
    assert_eq!(bed.outside.delivered[0].shard, 1);
}

#[test]
fn section_12_2_channel_bind_checks_number_and_peer() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.allocate(&mut client);
    for number in [0, 0x3FFF, 0x5000, 0x7FFF, 0xFFFF] {
        assert_eq!(bed.bind(&mut client, number, SHARD_0), 400, "{number:#06x}");
    }
    let no_number = client.signed(method::CHANNEL_BIND, |writer| {
        writer.xor_address(attribute::XOR_PEER_ADDRESS, SHARD_0.parse().expect("an address"))
    });
    assert_eq!(bed.ask_code(&client, &no_number), 400);
    let no_peer = client.signed(method::CHANNEL_BIND, |writer| {
        writer.attribute(attribute::CHANNEL_NUMBER, &[0x40, 0, 0, 0])
    });
    assert_eq!(bed.ask_code(&client, &no_peer), 400);
    assert_eq!(
        bed.bind(&mut client, 0x4000, "192.0.2.10:40002"),
        403,
        "ours, but no shard's port"
    );
    assert_eq!(bed.bind(&mut client, 0x4000, "203.0.113.9:40000"), 403);
    assert_eq!(bed.bind(&mut client, 0x4000, SHARD_0_V6), 443);
    assert_eq!(bed.bind(&mut client, 0x4FFF, SHARD_0), 0);
}

#[test]
fn section_12_2_a_channel_belongs_to_one_peer_and_a_peer_to_one_channel() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.allocate(&mut client);
    assert_eq!(bed.bind(&mut client, 0x4000, SHARD_0), 0);
    assert_eq!(bed.bind(&mut client, 0x4000, SHARD_0), 0, "renewed");
    assert_eq!(bed.bind(&mut client, 0x4000, SHARD_1), 400);
    assert_eq!(bed.bind(&mut client, 0x4001, SHARD_0), 400);
    assert_eq!(bed.bind(&mut client, 0x4001, SHARD_1), 0);
    let view = &bed.list()[0];
    assert_eq!(
        (view.channels, view.permissions),
        (2, 1),
        "the permission came along, one for the IP"
    );
}

#[test]
fn a_leg_that_media_does_not_know_gets_nothing() {
    for (state, code) in [
        (LegState::Unknown, 403),
        (LegState::Gone, 403),
        (LegState::Granted, 0),
        (LegState::Live, 0),
    ] {
        let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
        bed.outside.legs.insert(LEG, state);
        assert_eq!(bed.allocate_with(&mut client, |_| Ok(())).code(), code, "{state:?}");
    }
}

#[test]
fn a_draining_core_takes_no_more_and_goes_on_with_what_it_has() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.allocate(&mut client);
    bed.core.drain(true);
    let mut late = Client::at("198.51.100.7:5001");
    assert_eq!(bed.allocate_with(&mut late, |_| Ok(())).code(), 508);
    assert_eq!(bed.refresh(&mut client, 600).code(), 0);
    bed.core.drain(false);
    assert_eq!(bed.allocate_with(&mut late, |_| Ok(())).code(), 0);
}

#[test]
fn section_7_2_what_is_wrong_with_a_request_is_told_before_that_there_is_no_capacity() {
    type Body = fn(&mut Writer<'_>) -> Result<(), NoRoom>;
    let rows: [(u16, Body); 6] = [
        (400, |_| Ok(())),
        (442, |writer| {
            writer.attribute(attribute::REQUESTED_TRANSPORT, &[6, 0, 0, 0])
        }),
        (440, |writer| {
            writer.attribute(attribute::REQUESTED_TRANSPORT, &UDP)?;
            writer.attribute(attribute::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0])
        }),
        (400, |writer| {
            writer.attribute(attribute::REQUESTED_TRANSPORT, &UDP)?;
            writer.attribute(attribute::ADDITIONAL_ADDRESS_FAMILY, &[1, 0, 0, 0])
        }),
        (400, |writer| {
            writer.attribute(attribute::REQUESTED_TRANSPORT, &UDP)?;
            writer.attribute(attribute::LIFETIME, &[1])
        }),
        (508, |writer| writer.attribute(attribute::REQUESTED_TRANSPORT, &UDP)),
    ];
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.greet(&mut client);
    bed.core.drain(true);
    for (code, body) in rows {
        let request = client.signed(method::ALLOCATE, body);
        assert_eq!(bed.ask_code(&client, &request), code);
    }
    assert_eq!(bed.core.allocations(), 0);
}

#[test]
fn mobility_is_ignored() {
    assert_eq!(
        with(0x8030, &[]),
        0,
        "MOBILITY-TICKET (RFC 8016) need not be understood"
    );
}
