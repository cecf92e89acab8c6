//! A TURN server of a few lines that relays nothing: it answers as told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use stun::{Class, LongTermKey, Message, Writer, attribute, method};
use turn_relay::client::{Credentials, Cutter};

/// The user that it knows.
pub(super) const USER: &str = "1999999999:leg:0";
/// And the password.
pub(super) const SECRET: &str = "hush-hush-hush";
const REALM: &[u8] = b"bank.test";
const NONCE: &[u8] = b"once";
/// How long a thread sleeps in a read before it looks whether the test is over.
const LOOK: Duration = Duration::from_millis(20);

/// What it does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Nothing,
    SilentUdp,
    NoTcp,
    NoTls,
    AnyCredential,
    ForeignPeers,
    Refuses(u16),
    Nonsense,
    /// Nothing, but it knows users by a shared secret.
    SharedSecret(&'static str),
}

/// A running one, on ports of the loopback; it ends with the test.
pub(super) struct Fake {
    /// Without TLS and with it.
    pub(super) ports: [u16; 2],
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Fake {
    pub(super) fn start(wrong: Wrong, tls: Arc<ServerConfig>) -> Fake {
        let (udp, tcp) = both();
        let (second_udp, second_tcp) = both();
        let ports = [&udp, &second_udp].map(|socket| socket.local_addr().expect("bound").port());
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for socket in [udp, second_udp] {
            let stop = Arc::clone(&stop);
            threads.push(std::thread::spawn(move || datagrams(wrong, &socket, &stop)));
        }
        if wrong != Wrong::NoTcp {
            let stop = Arc::clone(&stop);
            threads.push(std::thread::spawn(move || {
                connections(&tcp, &stop, move |stream, from, stop| {
                    messages(wrong, stream, from, stop)
                });
            }));
        }
        let told = Arc::clone(&stop);
        threads.push(std::thread::spawn(move || {
            connections(&second_tcp, &told, move |mut stream, from, stop| {
                if wrong == Wrong::NoTls {
                    // What a web server says to TLS on its plain port.
                    let _ = stream.read(&mut [0; 1_024]);
                    let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
                    return;
                }
                let connection = ServerConnection::new(Arc::clone(&tls)).expect("a configuration");
                messages(wrong, StreamOwned::new(connection, stream), from, stop);
            });
        }));
        Fake { ports, stop, threads }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            assert!(
                thread.join().is_ok() || std::thread::panicking(),
                "the server of the test panicked"
            );
        }
    }
}

/// UDP and TCP on one number.
fn both() -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = tcp.local_addr().expect("bound");
        if let Ok(udp) = UdpSocket::bind(address) {
            udp.set_read_timeout(Some(LOOK)).expect("a timeout");
            tcp.set_nonblocking(true).expect("a socket");
            return (udp, tcp);
        }
    }
}

fn datagrams(wrong: Wrong, socket: &UdpSocket, stop: &AtomicBool) {
    let mut buffer = [0; 2_048];
    while !stop.load(Ordering::Relaxed) {
        let Ok((len, from)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        if wrong == Wrong::SilentUdp {
            continue;
        }
        if let Some(reply) = answer(wrong, &buffer[..len], from) {
            // Who asked may be gone.
            let _ = socket.send_to(&reply, from);
        }
    }
}

/// Each in a thread of its own, which ends with its client or with the test.
fn connections(
    listener: &TcpListener,
    stop: &Arc<AtomicBool>,
    serve: impl Fn(TcpStream, SocketAddr, &AtomicBool) + Send + Sync + 'static,
) {
    let serve = Arc::new(serve);
    let mut threads = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, from)) => {
                stream.set_nonblocking(false).expect("a socket");
                stream.set_read_timeout(Some(LOOK)).expect("a timeout");
                let (serve, stop) = (Arc::clone(&serve), Arc::clone(stop));
                threads.push(std::thread::spawn(move || serve(stream, from, &stop)));
            }
            Err(_) => std::thread::park_timeout(LOOK),
        }
    }
    for thread in threads {
        thread.join().expect("the server of the test panicked");
    }
}

fn messages(wrong: Wrong, mut stream: impl Read + Write, from: SocketAddr, stop: &AtomicBool) {
    let mut cutter = Cutter::default();
    while !stop.load(Ordering::Relaxed) {
        match stream.read(cutter.room()) {
            Ok(0) => return,
            Ok(len) => cutter.filled(len),
            Err(fault) if fault.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_) => return,
        }
        while let Ok(Some(message)) = cutter.next() {
            if let Some(reply) = answer(wrong, message, from)
                && stream.write_all(&reply).and_then(|()| stream.flush()).is_err()
            {
                return;
            }
        }
    }
}

/// Error, or what the method's success carries.
fn answer(wrong: Wrong, request: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
    let request = Message::parse(request).ok()?;
    let is_binding = request.method() == method::BINDING;
    let user = request.username();
    let code = match (is_binding, user) {
        _ if wrong == Wrong::Nonsense => None,
        (true, _) => None,
        _ if wrong == Wrong::AnyCredential && request.method() == method::ALLOCATE => None,
        (false, None) => Some(401),
        (false, Some(user)) if !request.verify(&mut key(wrong, user)) => Some(401),
        _ => judged(wrong, request.method()),
    };
    let class = if code.is_some() { Class::Error } else { Class::Success };
    let mut buffer = [0; 256];
    let mut writer = Writer::new(&mut buffer, class, request.method(), request.transaction()).ok()?;
    match code {
        Some(code) => {
            writer.error_code(code, "").ok()?;
            if code == 401 {
                writer.attribute(attribute::REALM, REALM).ok()?;
                writer.attribute(attribute::NONCE, NONCE).ok()?;
            }
        }
        None if wrong == Wrong::Nonsense => {}
        None => {
            if matches!(request.method(), method::ALLOCATE | method::REFRESH) {
                let seconds = request.number(attribute::LIFETIME).unwrap_or(600);
                writer.attribute(attribute::LIFETIME, &seconds.to_be_bytes()).ok()?;
            }
            if request.method() == method::ALLOCATE {
                let relayed = SocketAddr::from(([192, 0, 2, 1], 50_000));
                writer.xor_address(attribute::XOR_RELAYED_ADDRESS, relayed).ok()?;
            }
            if matches!(request.method(), method::ALLOCATE | method::BINDING) {
                writer.xor_mapped_address(from).ok()?;
            }
        }
    }
    if let Some(user) = user.filter(|_| code != Some(401)) {
        writer.integrity(&mut key(wrong, user)).ok()?;
    }
    let len = writer.finish();
    Some(buffer[..len].to_vec())
}

/// What becomes of a request with good credentials.
fn judged(wrong: Wrong, asked: u16) -> Option<u16> {
    match (wrong, asked) {
        (Wrong::Refuses(code), method::ALLOCATE) => Some(code),
        (Wrong::ForeignPeers, _) => None,
        (_, method::CREATE_PERMISSION | method::CHANNEL_BIND) => Some(403),
        _ => None,
    }
}

fn key(wrong: Wrong, user: &[u8]) -> LongTermKey {
    let name = String::from_utf8_lossy(user).into_owned();
    let password = match wrong {
        Wrong::SharedSecret(secret) => Credentials::of_shared_secret(secret.as_bytes(), name).password,
        _ if user == USER.as_bytes() => SECRET.to_owned(),
        // Nobody knows that one.
        _ => String::new(),
    };
    LongTermKey::new(user, REALM, password.as_bytes())
}
