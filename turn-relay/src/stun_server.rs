//! STUN alone: a relay with TURN off.

use std::net::SocketAddr;

use crate::{Config, Listen, Metrics, Mode, Neighbours, Relay, RelayHandle, StartFailed};

/// A running listener; it stops when this is dropped.
pub struct StunServer(RelayHandle);

impl StunServer {
    /// Binds every address and answers from a thread of its own. Port 0 takes any free one.
    ///
    /// # Errors
    /// [`StartFailed`]; nothing is left bound then.
    pub fn start(addresses: &[SocketAddr], metrics: Metrics) -> Result<StunServer, StartFailed> {
        let mut config = Config::new(Mode::Off, &[], &[], "");
        config.listen = addresses.iter().map(|&bind| Listen { bind, public: None }).collect();
        Relay::start(config, Neighbours::none(), metrics).map(StunServer)
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        self.0.addresses()
    }
}
