//! An association of ours that has nothing left to do but to hear the good-bye: the negotiated state in some hundred
//! bytes instead of the library's twelve thousand, woken for each alert.
//!
//! Answers no repeated flight any more. Alerts come ten a second at most, so waking costs nothing that counts.
//!
//! Invariant: it is made only if it can be woken.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use rtc_crypto::default_provider;
use rtc_dtls::cipher_suite::CipherSuiteId;
use rtc_dtls::config::{ConfigBuilder, HandshakeConfig};
use rtc_dtls::conn::DTLSConn;
use rtc_dtls::endpoint::Endpoint;
use rtc_dtls::state::State;
use rtc_shared::TransportProtocol;
use rtc_shared::error::Error;

use super::{nobody, record};

/// See the top of this file.
pub(super) struct Asleep(Box<[u8]>);

impl Asleep {
    /// From the state of a complete association; `None` if it could not be woken from what is kept.
    pub(super) fn new(state: &State) -> Option<Asleep> {
        let asleep = Asleep(state.marshal_binary().ok()?.into_boxed_slice());
        asleep.state().is_some().then_some(asleep)
    }

    /// True if an alert in the datagram ends the association: a good-bye or a fatal one, sealed with its keys.
    pub(super) fn is_closed_by(&self, datagram: &[u8]) -> bool {
        // Nothing else may reach the library now: it would keep data and records of later epochs for ever.
        let mut alerts = record::records(datagram).filter(|record| record.kind == record::ALERT && record.epoch == 1);
        alerts.any(|alert| {
            let (Some(state), Some(config)) = (self.state(), config()) else {
                return false;
            };
            let read = DTLSConn::new(config, false, Some(state)).read(alert.whole);
            matches!(read, Err(Error::ErrAlertFatalOrClose))
        })
    }

    /// An endpoint that can say good-bye itself.
    pub(super) fn wake(&self, now: Instant) -> Option<Endpoint> {
        let mut endpoint = Endpoint::new(nobody(), TransportProtocol::UDP, None);
        // Taken up again on the side that connects: the other way the library begins a new handshake.
        endpoint.connect(now, nobody(), config()?, Some(self.state()?)).ok()?;
        Some(endpoint)
    }

    fn state(&self) -> Option<State> {
        let mut state = State::new(default_provider().ok()?, false);
        state.unmarshal_binary(&self.0).ok()?;
        Some(state)
    }
}

/// One for all: whoever sleeps has nothing to negotiate.
fn config() -> Option<Arc<HandshakeConfig>> {
    static CONFIG: OnceLock<Option<Arc<HandshakeConfig>>> = OnceLock::new();
    let build = || {
        let config = ConfigBuilder::default()
            .with_crypto_provider(default_provider().ok()?)
            .with_cipher_suites(vec![CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256])
            .with_insecure_skip_verify(true)
            .with_server_name("helpline".to_owned());
        config.build(true, None).ok().map(Arc::new)
    };
    CONFIG.get_or_init(build).clone()
}
