//! The certificate of the TLS port, judged as a browser judges it, without ending the connection over it: what else is
//! wrong with the port shows in the same run.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// A certificate that ends sooner is named: renewals are late by now, and calls are the first to notice.
const ENDS_SOON: Duration = Duration::from_secs(14 * 86_400);

/// What a browser would say.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Judged {
    /// It trusts it.
    Trusted,
    /// It trusts it, but not for much longer.
    EndsSoon,
    /// Why not.
    Refused(Error),
}

/// Notes what the ordinary rules say, and lets the connection go on.
#[derive(Debug)]
pub(super) struct Judge {
    rules: Arc<WebPkiServerVerifier>,
    judged: Mutex<Option<Judged>>,
}

impl Judge {
    /// By the roots that this machine trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others).
    ///
    /// # Errors
    /// No root can be read.
    pub(super) fn new() -> Result<Arc<Judge>, String> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        let rules = WebPkiServerVerifier::builder(Arc::new(roots)).build();
        Ok(Arc::new(Judge {
            rules: rules.map_err(|fault| format!("this machine trusts no root certificate: {fault}"))?,
            judged: Mutex::new(None),
        }))
    }

    /// A client that lets this judge look.
    pub(super) fn config(self: &Arc<Judge>) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder().dangerous();
        let mut config = builder
            .with_custom_certificate_verifier(Arc::clone(self) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        // As browsers do it; a server that asks for nothing else takes it.
        config.alpn_protocols = vec![b"stun.turn".to_vec()];
        Arc::new(config)
    }

    /// What was seen; `None` if no certificate came.
    pub(super) fn judged(&self) -> Option<Judged> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let at = |time| {
            self.rules
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, time)
        };
        let later = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()) + ENDS_SOON);
        let judged = match (at(now), at(later)) {
            (Ok(_), Ok(_)) => Judged::Trusted,
            (Ok(_), Err(_)) => Judged::EndsSoon,
            (Err(fault), _) => Judged::Refused(fault),
        };
        *self.judged.lock().unwrap_or_else(PoisonError::into_inner) = Some(judged);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.rules.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.rules.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.rules.supported_verify_schemes()
    }
}

/// What is wrong with a certificate and what to do about it, in an operator's words.
pub(super) fn in_words(fault: &Error, host: &str) -> (String, String) {
    let Error::InvalidCertificate(fault) = fault else {
        return (
            format!("the certificate cannot be used: {fault}"),
            "give the relay another one".to_owned(),
        );
    };
    match fault {
        CertificateError::NotValidForName => (
            format!("the certificate is not for {host}"),
            format!("get one with {host} among its names"),
        ),
        CertificateError::NotValidForNameContext { presented, .. } => (
            format!("the certificate is for {}, not for {host}", presented.join(", ")),
            format!("get one with {host} among its names, or set [turn] public_host to a name that is"),
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            "the certificate has ended".to_owned(),
            "renew it; the running relay takes the new files by itself".to_owned(),
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            "the certificate is not valid yet".to_owned(),
            "see to the clocks of this machine and of the one that made the certificate".to_owned(),
        ),
        CertificateError::UnknownIssuer => (
            "nobody that this machine trusts has signed the certificate".to_owned(),
            "put the whole chain into [turn] tls_certificate, the server's own first, then those between it and the root; \
             a certificate of one's own making works only where every browser is told to trust it"
                .to_owned(),
        ),
        other => (
            format!("a browser refuses the certificate: {other}"),
            "get another certificate".to_owned(),
        ),
    }
}
