//! The carrier does what the model says: over real sockets, packet for packet.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use testkit::impair::Loss;

/// Longest wait for a datagram that must come.
const LIMIT: Duration = Duration::from_secs(10);
const PACKETS: u16 = 400;
/// Packets sent at once.
const TURN: u16 = 50;
const SEED: u64 = 42;

struct Netlab {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Netlab {
    fn start(target: SocketAddr) -> (Netlab, SocketAddr) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hl-netlab"))
            .args([target.to_string(), SEED.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the carrier starts");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut netlab = Netlab { child, input, output };
        let first = netlab.line();
        let listen = first.trim_start_matches("{\"listen\":\"").trim_end_matches("\"}");
        let listen = listen.parse().unwrap_or_else(|_| panic!("no address in {first}"));
        (netlab, listen)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the carrier answers");
        line.trim_end().to_owned()
    }

    fn say(&mut self, command: &str) -> String {
        let input = self.input.as_mut().expect("not ended yet");
        writeln!(input, "{command}").expect("the carrier listens");
        self.line()
    }
}

impl Drop for Netlab {
    fn drop(&mut self) {
        // The end of its input is its end.
        self.input = None;
        let _ = self.child.wait();
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
    socket.set_read_timeout(Some(LIMIT)).expect("a time above zero");
    socket
}

fn rtp(number: u16) -> [u8; 20] {
    let mut packet = [0; 20];
    packet[0] = 0x80;
    packet[1] = 111;
    packet[2..4].copy_from_slice(&number.to_be_bytes());
    packet[8..12].copy_from_slice(&7_u32.to_be_bytes());
    packet
}

/// Anything that is no RTP passes unharmed: what is sent last and must come.
const MARK: &[u8] = b"\x00mark";

fn numbers_until_mark(server: &UdpSocket) -> (Vec<u16>, SocketAddr) {
    let mut came = Vec::new();
    let mut buffer = [0; 64];
    loop {
        let (len, from) = server.recv_from(&mut buffer).expect("the mark comes");
        if &buffer[..len] == MARK {
            return (came, from);
        }
        came.push(u16::from_be_bytes([buffer[2], buffer[3]]));
    }
}

#[test]
fn the_carrier_drops_what_the_map_says_counts_it_and_answers_from_one_address() {
    let (server, client) = (socket(), socket());
    let (mut netlab, listen) = Netlab::start(server.local_addr().expect("bound"));
    assert_eq!(netlab.say("up bursts 0.1 2"), "{\"ok\":true}");
    let mut came = Vec::new();
    let mut seen_as = listen;
    // No more at once than a socket's buffer holds.
    for turn in 0..PACKETS / TURN {
        for number in turn * TURN..(turn + 1) * TURN {
            client.send_to(&rtp(number), listen).expect("loopback sends");
        }
        client.send_to(MARK, listen).expect("loopback sends");
        let (numbers, from) = numbers_until_mark(&server);
        came.extend(numbers);
        seen_as = from;
    }
    let map = Loss::bursts(0.1, 2.0).map(SEED, 0, usize::from(PACKETS));
    let expected: Vec<u16> = (0..PACKETS).filter(|n| !map[usize::from(*n)]).collect();
    assert_eq!(came, expected);
    let lost = map.iter().filter(|lost| **lost).count();
    let counts = netlab.say("counts");
    let told = format!(
        "\"up\":{{\"rtp\":{PACKETS},\"lost\":{lost},\"again\":0,\"repaired\":0,\"other\":{}}}",
        PACKETS / TURN
    );
    assert!(counts.contains(&told), "{counts}");

    server.send_to(MARK, seen_as).expect("loopback sends");
    let mut buffer = [0; 64];
    let (len, from) = client.recv_from(&mut buffer).expect("the answer comes");
    assert_eq!((&buffer[..len], from), (MARK, listen));
}

#[test]
fn what_is_sent_again_is_told_apart_and_a_new_binding_is_a_new_address() {
    let (server, client) = (socket(), socket());
    let (mut netlab, listen) = Netlab::start(server.local_addr().expect("bound"));
    netlab.say("up loss 1");
    client.send_to(&rtp(1), listen).expect("loopback sends");
    client.send_to(MARK, listen).expect("loopback sends");
    let (came, before) = numbers_until_mark(&server);
    assert_eq!(came, [0_u16; 0]);
    netlab.say("up");
    client.send_to(&rtp(1), listen).expect("loopback sends");
    client.send_to(&rtp(1), listen).expect("loopback sends");
    client.send_to(MARK, listen).expect("loopback sends");
    assert_eq!(numbers_until_mark(&server), (vec![1, 1], before));
    let counts = netlab.say("counts");
    assert!(counts.contains("\"lost\":0,\"again\":2,\"repaired\":1"), "{counts}");
    netlab.say("rebind");
    client.send_to(MARK, listen).expect("loopback sends");
    assert_ne!(numbers_until_mark(&server).1, before);
}
