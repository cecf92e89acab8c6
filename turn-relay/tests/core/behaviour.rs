//! Binding and the tests of RFC 5780.

use stun::{Class, NoRoom, Writer, attribute, method};
use turn_relay::core::{Behaviour, Config, Flow, Listener, Virtual};

use crate::bed::{Bed, Client, SHARD_0, address, config, with};

const CHANGE_IP: u8 = 4;
const CHANGE_PORT: u8 = 2;

fn ask(
    bed: &mut Bed<Virtual>,
    flow: Flow,
    body: impl FnOnce(&mut Writer<'_>) -> Result<(), NoRoom>,
) -> (Flow, crate::bed::Answer) {
    let client = Client::at("198.51.100.7:5000");
    let request = client.write(Class::Request, method::BINDING, [3; 12], body, false);
    bed.outside.replies.clear();
    bed.hand(flow, &request);
    let (to, bytes) = bed.outside.replies.pop().expect("an answer");
    (to, crate::bed::Answer(bytes))
}

fn flow() -> Flow {
    Client::at("198.51.100.7:5000").flow
}

fn change(flags: u8) -> impl Fn(&mut Writer<'_>) -> Result<(), NoRoom> {
    move |writer| writer.attribute(attribute::CHANGE_REQUEST, &[0, 0, 0, flags])
}

fn one() -> Bed<Virtual> {
    with(config(), &[&[SHARD_0]])
}

/// IP 1 and 2, ports 3478 and 3479, and a stream port.
fn two() -> Bed<Virtual> {
    let listener = |text, udp| Listener {
        address: address(text),
        udp,
    };
    let listeners = vec![
        listener("192.0.2.10:3478", true),
        listener("192.0.2.10:3479", true),
        listener("192.0.2.11:3478", true),
        listener("192.0.2.11:3479", true),
        listener("192.0.2.10:3478", false),
    ];
    let config = Config {
        listeners,
        behaviour: Behaviour::TwoAddresses,
        ..config()
    };
    with(config, &[&[SHARD_0]])
}

#[test]
fn one_ip_answers_with_the_mapped_address_and_nothing_else() {
    let (to, answer) = ask(&mut one(), flow(), |_| Ok(()));
    assert_eq!((to, answer.0.len()), (flow(), 32));
    assert_eq!(answer.message().xor_mapped_address(), Some(flow().remote));
    assert_eq!(answer.message().attributes().count(), 1);
    let mut bed = one();
    let with_crc = Client::at("198.51.100.7:5000");
    let bytes = with_crc.write(
        Class::Request,
        method::BINDING,
        [3; 12],
        |writer| writer.fingerprint(),
        false,
    );
    assert!(bed.ask(flow(), &bytes).expect("an answer").message().has_fingerprint());
}

#[test]
fn one_ip_changes_the_port_and_refuses_another_ip() {
    let (to, answer) = ask(&mut one(), flow(), change(CHANGE_PORT));
    assert_eq!((to.local, to.remote, answer.code()), (1, flow().remote, 0));
    let (to, answer) = ask(&mut one(), Flow { local: 1, ..flow() }, change(CHANGE_PORT));
    assert_eq!((to.local, answer.code()), (0, 0));
    let (to, answer) = ask(&mut one(), flow(), change(0));
    assert_eq!((to.local, answer.code()), (0, 0));
    for flags in [CHANGE_IP, CHANGE_IP | CHANGE_PORT] {
        let (to, answer) = ask(&mut one(), flow(), change(flags));
        assert_eq!((to.local, answer.code()), (0, 420));
        let unknown = answer
            .message()
            .attribute(attribute::UNKNOWN_ATTRIBUTES)
            .map(<[u8]>::to_vec);
        assert_eq!(unknown, Some(vec![0, 3]));
    }
}

#[test]
fn one_ip_refuses_response_port_and_padding() {
    for (kind, value) in [
        (attribute::RESPONSE_PORT, &[1u8, 2, 0, 0][..]),
        (attribute::PADDING, &[0; 100]),
    ] {
        let (to, answer) = ask(&mut one(), flow(), |writer| writer.attribute(kind, value));
        assert_eq!((to, answer.code()), (flow(), 420));
        let unknown = answer
            .message()
            .attribute(attribute::UNKNOWN_ATTRIBUTES)
            .map(<[u8]>::to_vec);
        assert_eq!(unknown, Some(kind.to_be_bytes().to_vec()));
    }
}

#[test]
fn section_6_two_ips_say_where_the_answer_comes_from_and_where_else_to_ask() {
    let (_, answer) = ask(&mut two(), flow(), |_| Ok(()));
    let message = answer.message();
    assert_eq!(answer.0.len(), 68);
    assert_eq!(message.address(attribute::MAPPED_ADDRESS), Some(flow().remote));
    assert_eq!(
        message.address(attribute::RESPONSE_ORIGIN),
        Some(address("192.0.2.10:3478"))
    );
    assert_eq!(
        message.address(attribute::OTHER_ADDRESS),
        Some(address("192.0.2.11:3479"))
    );
}

#[test]
fn section_6_1_two_ips_answer_from_where_they_are_asked_to() {
    for (flags, local, origin) in [
        (0, 0, "192.0.2.10:3478"),
        (CHANGE_PORT, 1, "192.0.2.10:3479"),
        (CHANGE_IP, 2, "192.0.2.11:3478"),
        (CHANGE_IP | CHANGE_PORT, 3, "192.0.2.11:3479"),
    ] {
        let (to, answer) = ask(&mut two(), flow(), change(flags));
        assert_eq!((answer.code(), to.local, to.remote), (0, local, flow().remote));
        assert_eq!(
            answer.message().address(attribute::RESPONSE_ORIGIN),
            Some(address(origin))
        );
        let other = answer.message().address(attribute::OTHER_ADDRESS);
        assert_eq!(other, Some(address("192.0.2.11:3479")), "of the address that was asked");
    }
}

#[test]
fn section_7_5_response_port_goes_to_the_ip_that_asked() {
    for value in [&[0x30u8, 0x39][..], &[0x30, 0x39, 0, 0]] {
        let (to, answer) = ask(&mut two(), flow(), |writer| {
            writer.attribute(attribute::RESPONSE_PORT, value)
        });
        assert_eq!(to.remote, address("198.51.100.7:12345"));
        assert_eq!(answer.message().xor_mapped_address(), Some(flow().remote));
    }
    let (to, answer) = ask(&mut two(), flow(), |writer| {
        change(CHANGE_IP | CHANGE_PORT)(writer)?;
        writer.attribute(attribute::RESPONSE_PORT, &[0x30, 0x39])
    });
    assert_eq!(
        (to.local, to.remote, answer.code()),
        (3, address("198.51.100.7:12345"), 0)
    );
    let (to, answer) = ask(&mut two(), flow(), |writer| {
        writer.attribute(attribute::RESPONSE_PORT, &[1])
    });
    assert_eq!((to, answer.code()), (flow(), 400));
}

#[test]
fn section_7_6_padding_is_answered_with_padding() {
    let (to, answer) = ask(&mut two(), flow(), |writer| {
        change(CHANGE_IP | CHANGE_PORT)(writer)?;
        writer.attribute(attribute::PADDING, &[0xAB; 1_500])
    });
    assert_eq!((to.local, answer.code()), (3, 0));
    assert_eq!(answer.message().attribute(attribute::PADDING), Some(&[0; 1_500][..]));
    let (_, answer) = ask(&mut two(), flow(), |writer| {
        writer.attribute(attribute::PADDING, &[0; 64])?;
        writer.attribute(attribute::RESPONSE_PORT, &[0x30, 0x39])
    });
    assert_eq!(answer.code(), 400, "both together");
    // The longest request that is read at all.
    let (_, answer) = ask(&mut two(), flow(), |writer| {
        writer.attribute(attribute::PADDING, &[0; 2_024])
    });
    assert_eq!(
        answer.message().attribute(attribute::PADDING).map(<[u8]>::len),
        Some(2_024)
    );
}

#[test]
fn a_stream_gets_no_tests() {
    let stream = Flow {
        via: ports::Via::Tcp,
        local: 4,
        connection: 1,
        ..flow()
    };
    let (_, answer) = ask(&mut two(), stream, |_| Ok(()));
    assert_eq!((answer.code(), answer.0.len()), (0, 32));
    for flags in [CHANGE_PORT, CHANGE_IP, 0] {
        assert_eq!(ask(&mut two(), stream, change(flags)).1.code(), 420);
    }
}

#[test]
fn an_ipv6_client_is_told_its_ipv6_address() {
    let mut bed = one();
    let mut client = Client::at("[2001:db8::7]:5000");
    let bare = client.bare(method::BINDING, |_| Ok(()));
    let answer = bed.ask(client.flow, &bare).expect("an answer");
    assert_eq!(answer.message().xor_mapped_address(), Some(client.flow.remote));
    assert_eq!(answer.0.len(), 44);
}
