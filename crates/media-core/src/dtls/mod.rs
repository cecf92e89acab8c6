//! One DTLS handshake (RFC 6347, RFC 5764), without socket, thread or clock: datagrams and instants in, datagrams
//! and keys out. It runs on the handshake helper, never on a shard.
//!
//! Built on `rtc-dtls`, whose defaults do not fit and whose handshake has gaps; every choice here that looks odd
//! mends one of them and says which.
//!
//! Invariants: no key leaves before the handshake is complete and the SHA-256 of the peer's certificate equals the
//! fingerprint of the offer; after [`Output::Failed`] or [`Output::Closed`] nothing comes out any more.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are the library's; what we do not know is counted and ignored"
)]

mod asleep;
mod certificate;
mod hello;
mod record;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rtc_crypto::default_provider;
use rtc_dtls::cipher_suite::CipherSuiteId;
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_shared::TransportProtocol;
use rtc_shared::error::Error;

pub use certificate::{Certificate, CertificateFailed, Fingerprint, Kept, MalformedFingerprint};

use crate::limits::{DTLS_BYTES_MAX, DTLS_DATAGRAMS_MAX};
use crate::srtp::{self, Keys, Profile};
use asleep::Asleep;
use hello::{Hello, Offered};

/// Times after which our last flight goes out again, each counted from the one before. A repeated ClientHello makes
/// `rtc-dtls` forget its timer, so a lost flight 4 would hang the handshake for ever.
pub const RESEND_AFTER: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1_600),
];
/// The client's own timer (load generator, tests): its last flight must be written anew, for a repeated record is
/// dropped by the server's replay window. Seven tries.
const CLIENT_FLIGHT_INTERVAL: Duration = Duration::from_millis(250);
/// Datagrams in clear that are looked at after completion: a peer whose last flight was lost repeats it. More is
/// somebody filling the reassembly.
pub const CLEAR_AFTER_MAX: u32 = 32;
/// How long after completion a peer may repeat its last flight: it does so after 1 and 3 s (RFC 6347 §4.2.4.1), browsers
/// sooner. Longer: all who join meanwhile keep ten times the memory.
/// Then the association is put to sleep.
pub const AWAKE_AFTER: Duration = Duration::from_secs(4);
/// Label of the exporter (RFC 5764 §4.2).
const EXPORTER: &str = "EXTRACTOR-dtls_srtp";

/// Why there will be no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The certificate is not the one of the offer.
    #[error("the certificate is not that of the offer")]
    Fingerprint,
    /// The peer showed no certificate.
    #[error("no certificate")]
    NoCertificate,
    /// The peer does not offer SRTP, or none of our profiles.
    #[error("no SRTP profile in common")]
    NoSrtp,
    /// No extended master secret (RFC 7627).
    #[error("no extended master secret")]
    NoExtendedMasterSecret,
    /// No cipher suite, curve or version in common.
    #[error("nothing in common")]
    NothingInCommon,
    /// [`DTLS_DATAGRAMS_MAX`] or [`DTLS_BYTES_MAX`] were passed before completion.
    #[error("more data than a handshake needs")]
    Limit,
    /// The peer closed before completion, or the handshake came to an end without keys.
    #[error("the handshake broke off")]
    BrokenOff,
    /// A defect of ours or of the library, contained to this handshake.
    #[error("a defect stopped the handshake")]
    Defect,
}

/// What a handshake wants done.
#[derive(Debug)]
pub enum Output {
    /// Send this datagram to where the leg's address is now.
    Datagram(Vec<u8>),
    /// Once: the keys.
    Keys(Box<Keys>),
    /// Once, last: there will be none.
    Failed(Failure),
    /// Once, last: the peer said good-bye (`close_notify`) after the keys.
    Closed,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Shaking,
    Complete,
    Over,
}

/// What a handshake counted, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams handed in.
    pub datagrams: u32,
    /// Bytes handed in.
    pub bytes: u32,
    /// Records or datagrams ignored: malformed, in clear where they must not be, or beyond a budget.
    pub ignored: u32,
    /// Flights of ours that went out again.
    pub resent: u32,
}

/// One association. See the top of this file.
pub struct Handshake {
    role: srtp::Role,
    certificate: Certificate,
    expected: Fingerprint,
    /// Set by the check inside the library, which runs once the peer has proved its key.
    mismatch: Arc<AtomicBool>,
    /// Made once the ClientHello tells which profiles are offered.
    endpoint: Option<Endpoint>,
    hello: Hello,
    /// Datagrams that came before the endpoint was made.
    waiting: Vec<Vec<u8>>,
    state: State,
    out: VecDeque<Output>,
    /// Our last flight, as it went out.
    flight: Vec<Vec<u8>>,
    resend_at: Option<Instant>,
    resends: usize,
    clear_after: u32,
    counts: Counts,
    /// When a complete association of ours is put to sleep.
    sleep_at: Option<Instant>,
    /// In place of the endpoint from then on.
    asleep: Option<Asleep>,
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handshake({:?}, {:?})", self.role, self.state)
    }
}

/// `rtc-dtls` keys its associations by remote address; ours survives any change of it.
fn nobody() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 9))
}

impl Handshake {
    /// The server's side, as the product always has it (`setup:passive`).
    #[must_use]
    pub fn server(certificate: &Certificate, expected: Fingerprint) -> Handshake {
        Handshake::new(srtp::Role::Server, certificate, expected)
    }

    /// The client's side, for load generator and tests only. Begins at once: [`Handshake::poll`] has the ClientHello.
    /// `profiles`: what is offered, best first.
    #[must_use]
    pub fn client(certificate: &Certificate, expected: Fingerprint, profiles: &[Profile], now: Instant) -> Handshake {
        let mut handshake = Handshake::new(srtp::Role::Client, certificate, expected);
        let mut endpoint = Endpoint::new(nobody(), TransportProtocol::UDP, None);
        let started = handshake
            .config(profiles)
            .and_then(|config| endpoint.connect(now, nobody(), config, None));
        handshake.endpoint = Some(endpoint);
        match started {
            Ok(()) => handshake.collect(now),
            Err(_) => handshake.fail(Failure::Defect),
        }
        handshake
    }

    fn new(role: srtp::Role, certificate: &Certificate, expected: Fingerprint) -> Handshake {
        Handshake {
            role,
            certificate: certificate.clone(),
            expected,
            mismatch: Arc::new(AtomicBool::new(false)),
            endpoint: None,
            hello: Hello::default(),
            waiting: Vec::new(),
            state: State::Shaking,
            out: VecDeque::new(),
            flight: Vec::new(),
            resend_at: None,
            resends: 0,
            clear_after: 0,
            counts: Counts::default(),
            sleep_at: None,
            asleep: None,
        }
    }

    /// What to do next; call until `None` after every other call.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// True once the keys were handed out and as long as the association lives.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// True once nothing more will come.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Hands in one datagram of the peer.
    pub fn datagram(&mut self, now: Instant, datagram: &[u8]) {
        if self.state == State::Over {
            return;
        }
        self.counts.datagrams = self.counts.datagrams.saturating_add(1);
        self.counts.bytes = self.counts.bytes.saturating_add(datagram.len() as u32);
        let over = self.counts.datagrams > DTLS_DATAGRAMS_MAX || self.counts.bytes > DTLS_BYTES_MAX;
        if self.state == State::Shaking && over {
            // A peer could otherwise pin 2 MB in reassembly and any number of records of the next epoch.
            return self.fail(Failure::Limit);
        }
        let Some(useful) = self.sift(datagram) else {
            self.counts.ignored += 1;
            return;
        };
        // A panic in the library must end this leg, not the thread with the handshakes of all others.
        let contained = catch_unwind(AssertUnwindSafe(|| self.advance(now, useful)));
        if contained.is_err() {
            self.endpoint = None;
            self.fail(Failure::Defect);
        }
    }

    /// When [`Handshake::timeout`] wants to be called.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Shaking => self.resend_at,
            State::Complete => self.sleep_at,
            State::Over => None,
        }
    }

    /// Sends our last flight again when its time has come, or puts a complete association to sleep.
    pub fn timeout(&mut self, now: Instant) {
        if self.state == State::Complete && self.sleep_at.is_some_and(|at| at <= now) {
            self.sleep_at = None;
            self.asleep = self
                .endpoint
                .as_ref()
                .and_then(|endpoint| Asleep::new(endpoint.get_connection_state(nobody())?));
            if self.asleep.is_some() {
                self.endpoint = None;
            }
        }
        if self.state != State::Shaking || self.resend_at.is_none_or(|at| now < at) {
            return;
        }
        self.counts.resent += 1;
        match self.role {
            srtp::Role::Server => {
                self.out.extend(self.flight.iter().cloned().map(Output::Datagram));
                self.resends += 1;
                self.resend_at = RESEND_AFTER.get(self.resends).map(|after| now + *after);
            }
            srtp::Role::Client => {
                let ended = self
                    .endpoint
                    .as_mut()
                    .is_none_or(|endpoint| endpoint.handle_timeout(nobody(), now).is_err());
                if ended {
                    return self.fail(Failure::BrokenOff);
                }
                self.resend_at = Some(now + CLIENT_FLIGHT_INTERVAL);
                self.collect(now);
            }
        }
    }

    /// Says good-bye: a `close_notify` if the handshake is complete. Nothing but that datagram comes out after it.
    pub fn close(&mut self, now: Instant) {
        if self.state == State::Over {
            return;
        }
        self.state = State::Over;
        let asleep = self.asleep.take();
        let endpoint = self.endpoint.take().or_else(|| asleep?.wake(now));
        if let Some(mut endpoint) = endpoint
            && endpoint.close(now).is_ok()
        {
            while let Some(transmit) = endpoint.poll_transmit() {
                self.out.push_back(Output::Datagram(transmit.message.to_vec()));
            }
        }
    }

    /// What of a datagram may reach the library.
    ///
    /// Before completion anybody who can forge the peer's address could end the association with an alert in clear,
    /// or make the library answer with one that ends it at the peer: only handshake and ChangeCipherSpec pass.
    /// Afterwards a repeated last flight in clear is let in up to a budget.
    fn sift(&mut self, datagram: &[u8]) -> Option<Vec<u8>> {
        if self.state == State::Complete && record::is_clear(datagram) {
            self.clear_after = self.clear_after.saturating_add(1);
            if self.clear_after > CLEAR_AFTER_MAX {
                return None;
            }
        }
        record::sift(datagram)
    }

    fn advance(&mut self, now: Instant, datagram: Vec<u8>) {
        if let Some(asleep) = &self.asleep {
            if asleep.is_closed_by(&datagram) {
                self.asleep = None;
                self.state = State::Over;
                self.out.push_back(Output::Closed);
            }
            return;
        }
        if self.endpoint.is_some() {
            return self.read(now, &datagram);
        }
        let offered = self.hello.push(&datagram);
        self.waiting.push(datagram);
        let profiles: &[Profile] = match offered {
            Offered::Incomplete => return,
            Offered::NoSrtp => return self.fail(Failure::NoSrtp),
            // `rtc-dtls` takes the client's first match, whatever our order: where GCM is offered, offer only that.
            Offered::Gcm => &[Profile::AeadAes128Gcm, Profile::AeadAes256Gcm],
            Offered::Other => &[Profile::AesCm128Sha1],
        };
        match self.config(profiles) {
            Ok(config) => self.endpoint = Some(Endpoint::new(nobody(), TransportProtocol::UDP, Some(config))),
            Err(_) => return self.fail(Failure::Defect),
        }
        self.hello = Hello::default();
        for datagram in std::mem::take(&mut self.waiting) {
            self.read(now, &datagram);
        }
    }

    fn read(&mut self, now: Instant, datagram: &[u8]) {
        if self.state == State::Over {
            return;
        }
        let Some(endpoint) = self.endpoint.as_mut() else { return };
        let result = endpoint.read(now, nobody(), None, BytesMut::from(datagram));
        if self.mismatch.load(Ordering::Relaxed) {
            self.collect(now);
            return self.fail(Failure::Fingerprint);
        }
        self.collect(now);
        match result {
            Ok(events) => {
                for event in events {
                    self.event(now, event);
                }
            }
            Err(error) => self.error(&error),
        }
    }

    fn event(&mut self, now: Instant, event: EndpointEvent) {
        match event {
            EndpointEvent::HandshakeComplete => match self.export() {
                Ok(keys) => {
                    self.state = State::Complete;
                    self.resend_at = None;
                    self.sleep_at = (self.role == srtp::Role::Server).then(|| now + AWAKE_AFTER);
                    self.flight = Vec::new();
                    self.out.push_back(Output::Keys(Box::new(keys)));
                }
                Err(failure) => self.fail(failure),
            },
            EndpointEvent::PeerClosed => {
                let complete = self.state == State::Complete;
                self.endpoint = None;
                if complete {
                    self.state = State::Over;
                    self.out.push_back(Output::Closed);
                } else {
                    self.fail(Failure::BrokenOff);
                }
            }
            // Nobody negotiated data channels; the event type may grow.
            _ => self.counts.ignored += 1,
        }
    }

    /// An error of the library may come from a forged datagram: only those that no later datagram can mend count.
    fn error(&mut self, error: &Error) {
        let failure = match error {
            Error::ErrClientCertificateRequired => Failure::NoCertificate,
            Error::ErrServerRequiredButNoClientEms | Error::ErrClientRequiredButNoServerEms => {
                Failure::NoExtendedMasterSecret
            }
            Error::ErrServerNoMatchingSrtpProfile | Error::ErrRequestedButNoSrtpExtension => Failure::NoSrtp,
            Error::ErrCipherSuiteNoIntersection
            | Error::ErrNoSupportedEllipticCurves
            | Error::ErrUnsupportedProtocolVersion => Failure::NothingInCommon,
            _ => {
                self.counts.ignored += 1;
                return;
            }
        };
        if self.state == State::Shaking {
            self.fail(failure);
        }
    }

    /// Takes what the library wants sent; a new flight replaces the one that is kept for sending again.
    fn collect(&mut self, now: Instant) {
        let Some(endpoint) = self.endpoint.as_mut() else { return };
        let mut fresh = Vec::new();
        while let Some(transmit) = endpoint.poll_transmit() {
            let datagram = transmit.message.to_vec();
            // Its alerts in clear answer what may be forged, and would end the handshake at the honest peer.
            if self.state == State::Complete || !record::is_clear_alert(&datagram) {
                fresh.push(datagram);
            }
        }
        if fresh.is_empty() {
            return;
        }
        self.out.extend(fresh.iter().cloned().map(Output::Datagram));
        if self.state == State::Shaking {
            self.flight = fresh;
            self.resends = 0;
            self.resend_at = match self.role {
                srtp::Role::Server => Some(now + RESEND_AFTER[0]),
                srtp::Role::Client => endpoint.poll_timeout(&nobody()),
            };
        }
    }

    /// The keys, after one more look at the certificate: the check inside the library runs only on one of its paths.
    fn export(&self) -> Result<Keys, Failure> {
        let endpoint = self.endpoint.as_ref().ok_or(Failure::Defect)?;
        let state = endpoint.get_connection_state(nobody()).ok_or(Failure::Defect)?;
        let shown = state.peer_certificates.first().ok_or(Failure::NoCertificate)?;
        if Fingerprint::of(shown) != self.expected {
            return Err(Failure::Fingerprint);
        }
        let profile = match state.srtp_protection_profile() {
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => Profile::AeadAes128Gcm,
            SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm => Profile::AeadAes256Gcm,
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => Profile::AesCm128Sha1,
            _ => return Err(Failure::NoSrtp),
        };
        let material = state
            .export_keying_material(EXPORTER, &[], profile.keying_material_len())
            .map_err(|_| Failure::Defect)?;
        Keys::derive(profile, material.as_ref(), self.role).map_err(|_| Failure::Defect)
    }

    fn fail(&mut self, failure: Failure) {
        if self.state != State::Over {
            self.state = State::Over;
            self.endpoint = None;
            self.waiting = Vec::new();
            self.out.push_back(Output::Failed(failure));
        }
    }

    /// The check of the certificate belongs to the configuration, so every leg has one of its own.
    fn config(&self, profiles: &[Profile]) -> Result<Arc<HandshakeConfig>, Error> {
        let (expected, mismatch) = (self.expected, self.mismatch.clone());
        let provider = default_provider().map_err(|error| Error::Other(error.to_string()))?;
        let profiles = profiles.iter().map(|profile| match profile {
            Profile::AeadAes128Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
            Profile::AeadAes256Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm,
            Profile::AesCm128Sha1 => SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
        });
        let config = ConfigBuilder::default()
            .with_crypto_provider(provider)
            .with_certificates(vec![self.certificate.inner().clone()])
            // The defaults include CBC and RSA.
            .with_cipher_suites(vec![
                CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256,
                CipherSuiteId::Tls_Ecdhe_Ecdsa_With_ChaCha20_Poly1305_Sha256,
            ])
            .with_srtp_protection_profiles(profiles.collect())
            // The default asks the client for no certificate at all.
            .with_client_auth(ClientAuthType::RequireAnyClientCert)
            .with_extended_master_secret(ExtendedMasterSecretType::Require)
            // There is no authority to ask: the fingerprint is the check. `false` would make a key pair per build.
            .with_insecure_skip_verify(true)
            .with_flight_interval(CLIENT_FLIGHT_INTERVAL)
            .with_server_name("helpline".to_owned())
            .with_verify_peer_certificate(Some(Arc::new(move |shown, _| {
                let right = shown.first().is_some_and(|first| Fingerprint::of(first) == expected);
                if right {
                    return Ok(());
                }
                mismatch.store(true, Ordering::Relaxed);
                Err(Error::ErrInvalidCertificate)
            })));
        Ok(Arc::new(config.build(self.role == srtp::Role::Client, None)?))
    }
}

#[cfg(test)]
mod tests;
