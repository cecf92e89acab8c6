//! The log names no client: neither address nor user nor credential (R11).

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};

use ports::LegId;
use turn_relay::client::{Client, Credentials, Event, Line, Way};
use turn_relay::{Metrics, Mode, Neighbours};

use crate::certificate::Certificate;
use crate::control::{shard, start};
use crate::user::{LIMIT, User, of_grant, rtp};

/// Everything that was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_line_names_a_client_its_user_or_its_credential() {
    let lines = Lines::default();
    let writer = lines.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let mut certificate = Certificate::new();
    let bench = start(&certificate, |_| {});
    let relay = bench.relay();
    let leg = LegId(0x1234_5678_9ABC_DEF0_1234_5678_9ABC_DEF0);
    let grant = relay.credentials().mint(leg).expect("a grant");
    let mut secrets = vec![
        grant.username.clone(),
        grant.credential.clone(),
        format!("{:x}", leg.0),
        "127.0.0.77".to_owned(),
    ];

    // An address that nobody else in this process has.
    let socket = UdpSocket::bind("127.0.0.77:0").expect("a port");
    socket.connect(relay.addresses()[0]).expect("an address");
    secrets.push(format!(":{}", socket.local_addr().expect("bound").port()));
    let line = Line::over(Way::Datagrams(socket), LIMIT, [3; 12]);
    let mut user = User {
        client: Client::new(line.carrier(), of_grant(&grant)),
        line,
    };
    user.ready(shard());
    user.echo(shard(), &rtp(1));
    user.line.send(b"no STUN").expect("sent");
    let wrong = Credentials {
        username: grant.username.clone(),
        password: "a wrong password".to_owned(),
    };
    secrets.push(wrong.password.clone());
    let mut stranger = User::udp(relay.addresses()[0], wrong);
    assert!(matches!(stranger.allocate(), Event::Refused { code: 401, .. }));
    let mut secure = User::tls(relay.addresses()[1], of_grant(&grant), &certificate.trust());
    secure.ready(shard());
    let mut broken = TcpStream::connect(relay.addresses()[1]).expect("it listens");
    secrets.push(format!(":{}", broken.local_addr().expect("bound").port()));
    broken.write_all(&[0x16, 3, 1, 0, 4, 9, 9, 9, 9]).expect("sent");
    std::io::copy(&mut broken, &mut std::io::sink()).ok();
    // What an operator does.
    certificate.exchange();
    relay.reload_certificate().expect("a good one");
    std::fs::write(certificate.files().key, "none").expect("written");
    assert!(relay.reload_certificate().is_err());
    relay.control().rotate_secret().expect("the first time");
    relay.control().close_leg(leg);
    let taken = turn_relay::Config::new(
        Mode::Off,
        &[relay.addresses()[0].ip()],
        &[relay.addresses()[0].port()],
        "",
    );
    let metrics = Metrics::new(&prometheus::Registry::new()).expect("a fresh registry");
    assert!(turn_relay::Relay::start(taken, Neighbours::none(), metrics).is_err());
    drop(bench);

    let text = lines.0.lock().unwrap_or_else(PoisonError::into_inner);
    let text = String::from_utf8_lossy(&text);
    assert!(
        text.contains("turn_relay::io::stream::tls: TURN over TLS: new"),
        "the log is heard"
    );
    for secret in secrets {
        // Other tests of this process have foreign clients, which log what they like.
        let mut ours = text.lines().filter(|line| line.contains("turn_relay"));
        let line = ours.find(|line| line.contains(&secret));
        assert!(line.is_none(), "{secret}: {line:?}");
    }
}
