//! What a TCP connection may do, and when it is closed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ports::LegId;
use rustls::StreamOwned;
use stun::{Class, Message, Writer, method};
use turn_relay::client::{CHANNEL_FIRST, Came, Cutter, Event, Stream};
use turn_relay::core::Limits;

use crate::bench::Bench;
use crate::certificate::Certificate;
use crate::control::{now, shard, start};
use crate::user::{LIMIT, User, of_grant, rtp, session, tls};

fn binding(transaction: [u8; 12]) -> Vec<u8> {
    let mut buffer = [0; 64];
    let len = Writer::new(&mut buffer, Class::Request, method::BINDING, transaction)
        .expect("room")
        .finish();
    buffer[..len].to_vec()
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).expect("it listens");
    stream.set_read_timeout(Some(LIMIT)).expect("an option");
    stream.set_nodelay(true).expect("an option");
    stream
}

/// Whether the other side closes it, sooner or later.
fn is_closed(stream: &mut impl Read) -> bool {
    let mut buffer = [0; 4_096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            // A reset is an end as well.
            Err(fault) => return !turn_relay::client::is_timeout(&fault),
        }
    }
}

fn answer(stream: &mut impl Read) -> [u8; 12] {
    let mut cutter = Cutter::default();
    loop {
        if let Some(message) = cutter.next().expect("STUN") {
            return Message::parse(message).expect("STUN").transaction();
        }
        let read = stream.read(cutter.room()).expect("an answer");
        assert_ne!(read, 0, "closed");
        cutter.filled(read);
    }
}

fn address(bench: &Bench) -> SocketAddr {
    bench.relay().addresses()[0]
}

/// How many connections a limit has closed or kept out.
fn closed_by_limits(bench: &mut Bench) -> String {
    bench.stop();
    let text = prometheus::TextEncoder::new()
        .encode_to_string(&bench.registry.gather())
        .expect("text");
    let line = text
        .lines()
        .find(|line| line.starts_with("helpline_turn_dropped_total{stage=\"stream\"}"));
    line.expect("the figure is there").to_owned()
}

#[test]
fn messages_may_be_split_and_glued_at_any_byte_in_plain_and_in_tls() {
    let certificate = Certificate::new();
    let bench = start(&certificate, |_| {});
    let mut plain: Box<dyn Stream> = Box::new(connect(address(&bench)));
    let mut secure = tls(address(&bench), &certificate.trust()).expect("a handshake");
    for stream in [&mut plain, &mut secure] {
        for split in [1, 2, 3, 19, 20, 21, 39] {
            // Two messages, cut once.
            let both = [binding([split as u8; 12]), binding([split as u8 + 100; 12])].concat();
            for part in [&both[..split], &both[split..]] {
                stream.write_all(part).expect("sent");
                stream.flush().expect("sent");
            }
            let mut cutter = Cutter::default();
            let mut seen = Vec::new();
            while seen.len() < 2 {
                if let Some(message) = cutter.next().expect("STUN") {
                    seen.push(Message::parse(message).expect("STUN").transaction()[0]);
                    continue;
                }
                let read = stream.read(cutter.room()).expect("an answer");
                assert_ne!(read, 0, "closed");
                cutter.filled(read);
            }
            assert_eq!(seen, [split as u8, split as u8 + 100]);
        }
    }
}

#[test]
fn what_begins_with_neither_tls_nor_a_request_is_closed() {
    let certificate = Certificate::new();
    let mut bench = start(&certificate, |_| {});
    let nonsense: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\n\r\n",
        // ChannelData cannot come first.
        &[0x40, 0, 0, 4, 1, 2, 3, 4],
        // An indication neither.
        &[0x01, 0x16, 0, 0],
        // Longer than any message.
        &[0x00, 0x01, 0x20, 0x00, 0x21, 0x12, 0xA4, 0x42],
    ];
    for bytes in nonsense {
        let mut stream = connect(address(&bench));
        stream.write_all(bytes).expect("sent");
        assert!(is_closed(&mut stream), "{bytes:?}");
    }
    // TLS that is none.
    let mut stream = connect(address(&bench));
    stream.write_all(&[0x16, 3, 1, 0, 4, 9, 9, 9, 9]).expect("sent");
    assert!(is_closed(&mut stream));
    assert!(closed_by_limits(&mut bench).ends_with(" 5"));
}

#[test]
fn datagrams_have_a_start_over_connections() {
    const HEAD_START: Duration = Duration::from_millis(300);
    let certificate = Certificate::new();
    let bench = start(&certificate, |config| {
        config.stream_limits.head_start_ms = HEAD_START.as_millis() as u64;
    });
    let begin = now();
    let mut waits = connect(address(&bench));
    waits.write_all(&binding([1; 12])).expect("sent");
    // Those that have gone meanwhile harm nobody.
    drop(connect(address(&bench)));
    assert_eq!(answer(&mut waits), [1; 12]);
    // The relay counts whole milliseconds.
    assert!(now().duration_since(begin) + Duration::from_millis(1) >= HEAD_START);
    waits.write_all(&binding([2; 12])).expect("sent");
    assert_eq!(answer(&mut waits), [2; 12]);
    let mut later = connect(address(&bench));
    later.write_all(&binding([3; 12])).expect("sent");
    assert_eq!(answer(&mut later), [3; 12]);
}

#[test]
fn who_says_nothing_is_closed_and_so_is_who_shows_no_credential() {
    let certificate = Certificate::new();
    let mut bench = start(&certificate, |config| {
        config.stream_limits.first_message_ms = 300;
        config.stream_limits.unauthenticated_ms = 900;
    });
    let grant = bench.relay().credentials().mint(LegId(1)).expect("a grant");
    let mut known = User::tcp(address(&bench), of_grant(&grant));
    known.ready(shard());
    let mut silent = connect(address(&bench));
    let mut handshake = connect(address(&bench));
    handshake.write_all(&[0x16]).expect("sent");
    let mut asking = connect(address(&bench));
    asking.write_all(&binding([1; 12])).expect("sent");
    assert_eq!(answer(&mut asking), [1; 12]);
    assert!(is_closed(&mut silent));
    assert!(is_closed(&mut handshake));
    assert!(is_closed(&mut asking));
    known.echo(shard(), &rtp(1));
    drop(known);
    assert!(closed_by_limits(&mut bench).ends_with(" 3"));
}

#[test]
fn who_sends_much_without_a_credential_is_closed() {
    let certificate = Certificate::new();
    let mut bench = start(&certificate, |_| {});
    let mut stream = connect(address(&bench));
    // 2,048 bytes are allowed: 102 requests of 20 bytes.
    for n in 0..102 {
        stream.write_all(&binding([n; 12])).expect("sent");
        assert_eq!(answer(&mut stream), [n; 12]);
    }
    stream.write_all(&binding([200; 12])).expect("sent");
    assert!(is_closed(&mut stream));
    assert!(closed_by_limits(&mut bench).ends_with(" 1"));
}

/// A turn of the relay works on few of them; those that it leaves are found again.
#[test]
fn handshakes_that_come_all_at_once_all_come_to_their_end() {
    let certificate = Certificate::new();
    let bench = start(&certificate, |_| {});
    let hellos = (0..60).map(|_| {
        let mut session = session(&certificate.trust(), &[]);
        let mut hello = Vec::new();
        session.write_tls(&mut hello).expect("a hello");
        (session, hello, connect(address(&bench)))
    });
    let mut hellos: Vec<_> = hellos.collect();
    for (_, hello, stream) in &mut hellos {
        stream.write_all(hello).expect("sent");
    }
    for (n, (session, _, stream)) in hellos.into_iter().enumerate() {
        let mut secure = StreamOwned::new(session, stream);
        secure.write_all(&binding([n as u8; 12])).expect("a handshake");
        assert_eq!(answer(&mut secure), [n as u8; 12]);
    }
}

/// TLS takes a hello of 64 kB, whole, before it looks at it.
#[test]
fn who_sends_much_within_a_handshake_is_closed() {
    let certificate = Certificate::new();
    let mut bench = start(&certificate, |config| {
        config.stream_limits.first_message_ms = 600_000;
        config.stream_limits.unauthenticated_ms = 600_000;
    });
    let mut stream = connect(address(&bench));
    // A record of the longest kind, which begins a ClientHello of 65,000 bytes (RFC 8446 §4, §5.1), and further ones.
    let mut record = vec![0x16, 3, 1, 0x40, 0];
    record.resize(5 + (1 << 14), 0);
    record[5..9].copy_from_slice(&[1, 0, 0xFD, 0xE8]);
    let mut further = record.clone();
    further[5..9].fill(0);
    // It may be closed before all of it has gone out.
    let _ = stream.write_all(&[&record[..], &further, &further[..1_000]].concat());
    assert!(is_closed(&mut stream));
    assert!(closed_by_limits(&mut bench).ends_with(" 1"));
}

#[test]
fn a_network_has_a_share_of_connections_without_credential_and_a_handshake_rate() {
    let certificate = Certificate::new();
    let mut bench = start(&certificate, |config| {
        config.stream_limits.unauthenticated_per_prefix = 3;
        config.stream_limits.tls_handshakes_per_s = 1;
    });
    let to = address(&bench);
    let grant = bench.relay().credentials().mint(LegId(1)).expect("a grant");
    let mut held: Vec<TcpStream> = (0..3).map(|_| connect(to)).collect();
    for (n, stream) in held.iter_mut().enumerate() {
        stream.write_all(&binding([n as u8; 12])).expect("sent");
        assert_eq!(answer(stream), [n as u8; 12]);
    }
    assert!(is_closed(&mut connect(to)), "the fourth of the network");
    held.pop();
    // Whoever shows a credential does not count any more: many have room, one after the other.
    let mut users: Vec<User> = Vec::new();
    for _ in 0..4 {
        let mut user = loop {
            // The place of who has just gone or shown a credential is free in a moment.
            let mut stream = connect(to);
            stream.write_all(&binding([9; 12])).expect("sent");
            let mut first = [0];
            if stream.read(&mut first).is_ok_and(|read| read == 1) {
                drop(stream);
                break retry(|| User::tcp(to, of_grant(&grant)));
            }
        };
        user.echo(shard(), &rtp(1));
        users.push(user);
    }
    // The first handshake of a second succeeds, and soon one does not.
    assert!(tls(to, &certificate.trust()).is_ok());
    assert!((0..1_000).any(|_| tls(to, &certificate.trust()).is_err()));
    drop((held, users));
    assert!(!closed_by_limits(&mut bench).ends_with(" 0"));
}

/// A user that got in: its place may be free only in a moment.
fn retry(make: impl Fn() -> User) -> User {
    for _ in 0..1_000 {
        let mut user = make();
        let asked = user
            .line
            .ask(&mut user.client, |client, now, id| client.allocate(now, id, None, None));
        if let Ok(Some(turn_relay::client::Event::Allocated { .. })) = asked {
            let bound = user.ask(|client, now, id| client.bind(now, id, turn_relay::client::CHANNEL_FIRST, shard()));
            assert!(matches!(bound, turn_relay::client::Event::Bound { .. }));
            return user;
        }
        std::thread::yield_now();
    }
    panic!("nobody got in")
}

#[test]
fn a_slow_reader_loses_old_media_and_nobody_else_does() {
    let certificate = Certificate::new();
    let mut bench = start(&certificate, |config| {
        config.limits = Limits {
            packets_per_s: 0,
            bits_per_s: 0,
            ..Limits::default()
        };
    });
    let grant = bench.relay().credentials().mint(LegId(1)).expect("a grant");
    let mut slow = User::tcp(address(&bench), of_grant(&grant));
    slow.ready(shard());
    let mut quick = User::tcp(address(&bench), of_grant(&grant));
    quick.ready(shard());
    // More than both kernels' buffers hold: the echo comes back and nobody reads it.
    let mut payload = vec![0x80; 1_400];
    for n in 0..20_000_u32 {
        payload[4..8].copy_from_slice(&n.to_be_bytes());
        slow.line.say(&slow.client, shard(), &payload).expect("it takes all");
        // One way for both through ring and worker: once the quick one has its echo, the ring is empty again.
        if n.is_multiple_of(100) {
            quick.echo(shard(), &rtp(n));
        }
    }
    // Control answers come through when it reads again, behind what its kernel holds.
    let mut newest = 0;
    let refreshed = slow.ask(|client, now, id| client.refresh(now, id, 600));
    assert!(
        matches!(refreshed, turn_relay::client::Event::Refreshed { .. }),
        "{refreshed:?}"
    );
    slow.line.say(&slow.client, shard(), &rtp(u32::MAX)).expect("sent");
    let (mut seen, mut again) = (0_u32, 0);
    while newest != u32::MAX {
        let Some(turn_relay::client::Came::Data(_, payload)) = slow.line.wait(&mut slow.client).expect("it lives")
        else {
            // The machine may have stood still while it was under way, and it was let go as too old.
            again += 1;
            assert!(again < 3, "the newest never came");
            slow.line.say(&slow.client, shard(), &rtp(u32::MAX)).expect("sent");
            continue;
        };
        newest = u32::from_be_bytes([payload[4], payload[5], payload[6], payload[7]]);
        seen += 1;
    }
    drop((slow, quick));
    bench.stop();
    let text = prometheus::TextEncoder::new()
        .encode_to_string(&bench.registry.gather())
        .expect("text");
    let dropped = |stage: &str| {
        let name = format!("helpline_turn_dropped_total{{stage=\"{stage}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(name.as_str()));
        line.expect("the figure is there").parse::<u64>().expect("a number")
    };
    println!(
        "{seen} after the refresh; dropped {} in the queue, {} in rings",
        dropped("queue"),
        dropped("ring")
    );
    assert!(dropped("queue") > 0);
}

/// The kernel says nothing of bytes that TLS has taken from it already.
#[test]
fn what_comes_in_one_long_tls_record_is_worked_on_to_its_end() {
    let certificate = Certificate::new();
    let bench = start(&certificate, |config| {
        config.stream_limits.unauthenticated_bytes = u32::MAX;
    });
    let mut stream = tls(address(&bench), &certificate.trust()).expect("a handshake");
    // A record is as long as TLS has it, and each read of the relay ends within a message.
    let requests: u8 = 57;
    let mut record = Vec::new();
    for n in 0..requests {
        let mut buffer = [0; 512];
        let mut writer = Writer::new(&mut buffer, Class::Request, method::BINDING, [n; 12]).expect("room");
        writer.attribute(0x8022, &[b'x'; 256]).expect("room");
        let len = writer.finish();
        record.extend_from_slice(&buffer[..len]);
    }
    assert!(record.len() < 1 << 14, "one record (RFC 8446 §5.1)");
    stream.write_all(&record).expect("sent");
    stream.flush().expect("sent");
    let mut cutter = Cutter::default();
    let mut answered = Vec::new();
    while answered.len() < usize::from(requests) {
        while let Some(message) = cutter.next().expect("STUN") {
            answered.push(Message::parse(message).expect("STUN").transaction()[0]);
        }
        if answered.len() < usize::from(requests) {
            let read = stream.read(cutter.room()).expect("all of them are answered");
            assert_ne!(read, 0, "closed");
            cutter.filled(read);
        }
    }
    assert_eq!(answered, (0..requests).collect::<Vec<_>>());
}

/// What was freed and made again within one read of the connection: it is as good as it was.
#[test]
fn who_exchanges_an_allocation_in_one_breath_has_shown_a_credential() {
    let certificate = Certificate::new();
    let bench = start(&certificate, |_| {});
    let grant = bench.relay().credentials().mint(LegId(1)).expect("a grant");
    let mut user = User::tcp(address(&bench), of_grant(&grant));
    user.ready(shard());
    let now_ms = user.line.now_ms();
    user.client.refresh(now_ms, [101; 12], 0);
    user.client.allocate(now_ms, [102; 12], None, None);
    user.client.bind(now_ms, [103; 12], CHANNEL_FIRST, shard());
    let three: Vec<u8> = std::iter::from_fn(|| user.client.poll()).flatten().collect();
    user.line.send(&three).expect("sent");
    let mut events = Vec::new();
    while events.len() < 3 {
        match user.line.wait(&mut user.client).expect("it lives") {
            Some(Came::Event(event)) => events.push(event),
            other => panic!("{other:?} after {events:?}"),
        }
    }
    assert!(
        matches!(
            events[..],
            [
                Event::Refreshed { lifetime_s: 0 },
                Event::Allocated { .. },
                Event::Bound { .. }
            ]
        ),
        "{events:?}"
    );
    // More than somebody unknown may send, and no request among it. The client has forgotten its peer with what it freed.
    for n in 0..20 {
        let payload = rtp(n);
        let [n0, n1] = CHANNEL_FIRST.to_be_bytes();
        let [l0, l1] = (payload.len() as u16).to_be_bytes();
        let said = [&[n0, n1, l0, l1][..], &payload].concat();
        user.line.send(&said).expect("sent");
        assert_eq!(user.line.receive(LIMIT).expect("it lives"), Some(said), "{n}");
    }
}
