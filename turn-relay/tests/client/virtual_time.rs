//! The client alone, message by message: the other side is written here, and so is the time.

use std::net::SocketAddr;

use stun::{Class, LongTermKey, Message, Writer, attribute, channel, method};
use turn_relay::client::{Asked, CHANNEL_FIRST, Carrier, Client, Credentials, Event, Incoming};

const REALM: &[u8] = b"bank.test";
const USER: &str = "1999999999:leg:0";
const PASSWORD: &str = "sesame";

fn credentials() -> Credentials {
    Credentials {
        username: USER.to_owned(),
        password: PASSWORD.to_owned(),
    }
}

fn key() -> LongTermKey {
    LongTermKey::new(USER.as_bytes(), REALM, PASSWORD.as_bytes())
}

fn id(number: u8) -> [u8; 12] {
    [number; 12]
}

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A refusal that names realm and nonce.
fn refusal(request: &[u8], code: u16, nonce: &[u8]) -> Vec<u8> {
    let request = Message::parse(request).expect("a request");
    let mut buffer = [0; 256];
    let mut writer = Writer::new(&mut buffer, Class::Error, request.method(), request.transaction()).expect("room");
    writer.error_code(code, "").expect("room");
    if !nonce.is_empty() {
        writer.attribute(attribute::REALM, REALM).expect("room");
        writer.attribute(attribute::NONCE, nonce).expect("room");
    }
    let len = writer.finish();
    buffer[..len].to_vec()
}

/// A success with whatever the method needs, signed with `key`.
fn success(request: &[u8], lifetime_s: u32, key: &mut LongTermKey) -> Vec<u8> {
    let request = Message::parse(request).expect("a request");
    let mut buffer = [0; 256];
    let mut writer = Writer::new(&mut buffer, Class::Success, request.method(), request.transaction()).expect("room");
    if matches!(request.method(), method::ALLOCATE | method::REFRESH) {
        writer
            .attribute(attribute::LIFETIME, &lifetime_s.to_be_bytes())
            .expect("room");
    }
    if request.method() == method::ALLOCATE {
        writer
            .xor_address(attribute::XOR_RELAYED_ADDRESS, at("192.0.2.1:50000"))
            .expect("room");
        writer.xor_mapped_address(at("198.51.100.7:1234")).expect("room");
    }
    writer.integrity(key).expect("room");
    let len = writer.finish();
    buffer[..len].to_vec()
}

/// The next message, which must be a request of this method, signed under `nonce` if there is one.
fn sent(client: &mut Client, method: u16, nonce: &[u8]) -> Vec<u8> {
    let bytes = client.poll().expect("a request is sent");
    let request = Message::parse(&bytes).expect("it is STUN");
    assert_eq!((request.class(), request.method()), (Class::Request, method));
    assert_eq!(request.attribute(attribute::NONCE).unwrap_or_default(), nonce);
    assert_eq!(
        request.verify(&mut key()),
        !nonce.is_empty(),
        "signed once a nonce is known"
    );
    bytes
}

/// A client with an allocation of 600 s since 0 ms.
fn allocated() -> Client {
    let mut client = Client::new(Carrier::Datagram, credentials());
    client.allocate(0, id(1), None, None);
    let request = sent(&mut client, method::ALLOCATE, b"");
    assert_eq!(
        client.handle(0, id(2), &refusal(&request, 401, b"first")),
        Incoming::Nothing
    );
    let request = sent(&mut client, method::ALLOCATE, b"first");
    let Incoming::Event(Event::Allocated {
        relayed,
        mapped,
        lifetime_s,
    }) = client.handle(0, id(3), &success(&request, 600, &mut key()))
    else {
        panic!("no allocation");
    };
    assert_eq!(
        (relayed, mapped, lifetime_s),
        (vec![at("192.0.2.1:50000")], at("198.51.100.7:1234"), 600)
    );
    client
}

/// Grants whatever is asked for under `nonce`.
fn grant(client: &mut Client, now_ms: u64, method: u16) -> Event {
    let request = sent(client, method, b"first");
    match client.handle(now_ms, id(99), &success(&request, 600, &mut key())) {
        Incoming::Event(event) => event,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_request_learns_realm_and_nonce_and_the_second_is_signed() {
    let client = allocated();
    assert_eq!(client.relayed(), [at("192.0.2.1:50000")]);
    assert!(!client.is_waiting());
}

#[test]
fn a_second_401_is_the_end_and_a_stale_nonce_is_not() {
    let mut client = Client::new(Carrier::Datagram, credentials());
    client.allocate(0, id(1), None, None);
    let request = sent(&mut client, method::ALLOCATE, b"");
    client.handle(0, id(2), &refusal(&request, 401, b"first"));
    let request = sent(&mut client, method::ALLOCATE, b"first");
    assert_eq!(
        client.handle(0, id(3), &refusal(&request, 438, b"second")),
        Incoming::Nothing
    );
    let request = sent(&mut client, method::ALLOCATE, b"second");
    let asked = Asked::Allocation;
    assert_eq!(
        client.handle(0, id(4), &refusal(&request, 401, b"third")),
        Incoming::Event(Event::Refused { asked, code: 401 })
    );
    assert_eq!(client.poll(), None);
}

#[test]
fn a_server_that_always_wants_another_nonce_is_given_up() {
    let mut client = Client::new(Carrier::Datagram, credentials());
    client.allocate(0, id(1), None, None);
    let mut request = sent(&mut client, method::ALLOCATE, b"");
    for number in 0..3 {
        let nonce = [number + 1];
        assert_eq!(
            client.handle(0, id(number + 2), &refusal(&request, 438, &nonce)),
            Incoming::Nothing
        );
        request = sent(&mut client, method::ALLOCATE, &nonce);
    }
    let asked = Asked::Allocation;
    assert_eq!(
        client.handle(0, id(9), &refusal(&request, 438, b"more")),
        Incoming::Event(Event::Refused { asked, code: 438 })
    );
}

#[test]
fn a_success_that_nobody_with_the_password_has_signed_is_not_heard() {
    let mut client = Client::new(Carrier::Datagram, credentials());
    client.allocate(0, id(1), None, None);
    let request = sent(&mut client, method::ALLOCATE, b"");
    client.handle(0, id(2), &refusal(&request, 401, b"first"));
    let request = sent(&mut client, method::ALLOCATE, b"first");
    let mut other = LongTermKey::new(USER.as_bytes(), REALM, b"another");
    assert_eq!(
        client.handle(0, id(3), &success(&request, 600, &mut other)),
        Incoming::Nothing
    );
    let mut foreign = request.clone();
    foreign[8] ^= 1;
    assert_eq!(
        client.handle(0, id(3), &success(&foreign, 600, &mut key())),
        Incoming::Nothing,
        "an answer to another request"
    );
    assert!(client.is_waiting() && client.relayed().is_empty());
    assert!(matches!(
        client.handle(0, id(3), &success(&request, 600, &mut key())),
        Incoming::Event(Event::Allocated { .. })
    ));
}

#[test]
fn a_datagram_is_sent_four_times_with_growing_waits_and_a_stream_once() {
    let mut client = Client::new(Carrier::Datagram, credentials());
    client.allocate(100, id(1), None, None);
    let first = client.poll().expect("sent");
    for (due, wake) in [(600, 1_600), (1_600, 3_600), (3_600, 7_600)] {
        assert_eq!(client.wake_at(), Some(due));
        assert_eq!(client.tick(due - 1, id(2)), None);
        assert_eq!(client.poll(), None, "not before its time");
        assert_eq!(client.tick(due, id(2)), None);
        assert_eq!(client.poll().as_ref(), Some(&first), "the same request again");
        assert_eq!(client.wake_at(), Some(wake));
    }
    let asked = Asked::Allocation;
    assert_eq!(client.tick(7_600, id(2)), Some(Event::Silence { asked }));
    assert_eq!((client.poll(), client.wake_at()), (None, None));

    let mut client = Client::new(Carrier::Stream, credentials());
    client.allocate(0, id(1), None, None);
    assert!(client.poll().is_some());
    assert_eq!(client.tick(7_999, id(2)), None);
    assert_eq!(client.poll(), None);
    assert_eq!(client.tick(8_000, id(2)), Some(Event::Silence { asked }));
}

#[test]
fn everything_is_renewed_before_it_ends() {
    let mut client = allocated();
    let (one, two) = (at("192.0.2.9:4000"), at("192.0.2.9:4001"));
    client.permit(0, id(4), &[one]);
    assert_eq!(grant(&mut client, 0, method::CREATE_PERMISSION), Event::Permitted);
    client.bind(0, id(5), CHANNEL_FIRST, two);
    assert_eq!(
        grant(&mut client, 0, method::CHANNEL_BIND),
        Event::Bound { channel: CHANNEL_FIRST }
    );
    // A channel is a permission too, and both are renewed by their own clocks.
    let mut seen = Vec::new();
    let mut now_ms = 0;
    while now_ms < 1_200_000 {
        now_ms = client.wake_at().expect("something is due");
        assert_eq!(client.tick(now_ms, id(6)), None);
        while let Some(bytes) = client.poll() {
            let request = Message::parse(&bytes).expect("STUN");
            seen.push((now_ms, request.method()));
            client.handle(now_ms, id(7), &success(&bytes, 600, &mut key()));
        }
    }
    let of = |wanted: u16| {
        seen.iter()
            .filter(move |(_, method)| *method == wanted)
            .map(|(at, _)| *at)
    };
    assert!(of(method::REFRESH).eq([540_000, 1_080_000]), "{seen:?}");
    assert!(of(method::CHANNEL_BIND).eq([540_000, 1_080_000]), "{seen:?}");
    assert!(of(method::CREATE_PERMISSION).take(2).eq([240_000, 240_000]), "{seen:?}");
    assert!(of(method::CREATE_PERMISSION).count() >= 8, "{seen:?}");
}

#[test]
fn what_was_refused_is_not_renewed() {
    let mut client = allocated();
    let peer = at("10.0.0.1:1");
    client.permit(0, id(4), &[peer]);
    let request = sent(&mut client, method::CREATE_PERMISSION, b"first");
    let asked = Asked::Permission;
    assert_eq!(
        client.handle(0, id(5), &refusal(&request, 403, b"")),
        Incoming::Event(Event::Refused { asked, code: 403 })
    );
    assert_eq!(client.wake_at(), Some(540_000), "the allocation's own renewal");
}

#[test]
fn data_goes_by_indication_until_the_channel_stands_and_by_channel_then() {
    let mut client = allocated();
    let peer = at("192.0.2.9:4000");
    let mut buffer = [0; 128];
    assert_eq!(
        client.wrap(id(4), peer, b"x", &mut buffer),
        None,
        "a peer that was not asked for"
    );
    client.permit(0, id(4), &[peer]);
    grant(&mut client, 0, method::CREATE_PERMISSION);
    let len = client.wrap(id(5), peer, b"hello", &mut buffer).expect("room");
    let sent = Message::parse(&buffer[..len]).expect("STUN");
    assert_eq!((sent.class(), sent.method()), (Class::Indication, method::SEND));
    assert_eq!(sent.attribute(attribute::DATA), Some(&b"hello"[..]));
    client.bind(0, id(6), CHANNEL_FIRST, peer);
    grant(&mut client, 0, method::CHANNEL_BIND);
    let len = client.wrap(id(7), peer, b"hello", &mut buffer).expect("room");
    assert_eq!(channel::parse(&buffer[..len]), Some((CHANNEL_FIRST, &b"hello"[..])));
    assert_eq!(len, 9, "no padding in a datagram");

    let came = [0x40, 0, 0, 2, b'o', b'k'];
    assert_eq!(client.handle(0, id(8), &came), Incoming::Data { peer, payload: 4..6 });
    let mut frame = [0; 64];
    frame[48..50].copy_from_slice(b"ok");
    let range = channel::wrap_data(&mut frame, 48..50, peer, id(9)).expect("room");
    let bytes = &frame[range];
    let Incoming::Data { peer: from, payload } = client.handle(0, id(9), bytes) else {
        panic!("no data");
    };
    assert_eq!((from, &bytes[payload]), (peer, &b"ok"[..]));
    assert_eq!(
        client.handle(0, id(9), &[0x40, 1, 0, 0]),
        Incoming::Nothing,
        "another channel"
    );
}

#[test]
fn freed_is_gone_and_nothing_is_renewed_any_more() {
    let mut client = allocated();
    client.refresh(1_000, id(4), 0);
    let request = sent(&mut client, method::REFRESH, b"first");
    assert_eq!(
        client.handle(1_000, id(5), &success(&request, 0, &mut key())),
        Incoming::Event(Event::Refreshed { lifetime_s: 0 })
    );
    assert!(client.relayed().is_empty());
    assert_eq!(client.wake_at(), None);
}

#[test]
fn credentials_of_a_shared_secret_are_the_ones_that_coturn_makes() {
    // echo -n 1700000000:leg1 | openssl dgst -sha1 -hmac sesame -binary | base64
    let made = Credentials::of_shared_secret(b"sesame", "1700000000:leg1".to_owned());
    assert_eq!(made.password, SESAME);
    assert_eq!(format!("{made:?}"), "Credentials(..)");
}

/// By a foreign tool, see above.
const SESAME: &str = "+KjrAC5UjVf+lobJt3BFEXcKtmw=";
