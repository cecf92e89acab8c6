//! Sockets with a time limit under the TURN client: UDP, TCP, TLS.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use turn_relay::client::{Line, Stream, Way};

use crate::random;

/// A connection of any kind.
pub(super) type Wire = Line<Box<dyn Stream>>;

/// A transaction id.
pub(super) fn id() -> stun::TransactionId {
    let mut id = [0; 12];
    desk::Random::fill(&random::System, &mut id);
    id
}

/// A socket that hears this server only.
pub(super) fn udp(to: SocketAddr, limit: Duration) -> io::Result<Wire> {
    Line::udp(to, limit, id())
}

/// A connection in the clear.
pub(super) fn tcp(to: SocketAddr, limit: Duration) -> io::Result<Wire> {
    let stream = connect(to, limit)?;
    Ok(Line::over(Way::Bytes(Box::new(stream)), limit, id()))
}

fn connect(to: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, limit)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A connection in TLS, with the handshake done.
pub(super) fn tls(
    to: SocketAddr,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
    limit: Duration,
) -> io::Result<Wire> {
    let stream = connect(to, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
    let mut tls = StreamOwned::new(connection, stream);
    let end = now() + limit;
    while tls.conn.is_handshaking() {
        // A read waits for the limit at most, and all of them together for twice of it.
        if now() >= end {
            return Err(io::ErrorKind::TimedOut.into());
        }
        tls.conn.complete_io(&mut tls.sock)?;
    }
    Ok(Line::over(Way::Bytes(Box::new(tls)), limit, id()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the edge of this command: a handshake has a time limit"
)]
fn now() -> Instant {
    Instant::now()
}
