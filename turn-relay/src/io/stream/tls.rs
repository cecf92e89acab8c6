//! The certificate of TLS connections: read from files, looked at before it is used, exchanged while running.
//!
//! A certificate that tools accept and browsers do not is the commonest fault of a TURN server, and nobody sees it from
//! inside. So it is judged at the start and at each reload, in words for who runs the server; only what cannot be used
//! at all is an error. Connections keep the certificate they began with.
//!
//! Never logs a key, a name of a client or what was sent.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore, ServerConfig};

/// Where certificate and key lie, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and behind it those of its issuers, without the root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// A file cannot be read or holds nothing of its kind.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Key and certificate do not belong together, or are of a kind that is not understood.
    #[error("certificate and key cannot be used: {0}")]
    Unusable(rustls::Error),
    /// TLS is not configured.
    #[error("the relay has no certificate to reload: TLS is off")]
    Off,
}

/// What browsers may not like.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Doubt {
    #[error("the certificate is not for {0}: browsers will refuse turns: there")]
    Name(String),
    #[error("the certificate is self-signed: browsers will refuse it unless it is installed on their machines")]
    SelfSigned,
    #[error(
        "the file holds no certificate of an issuer: tools that fetch it themselves succeed and browsers fail; put the \
         whole chain into the file"
    )]
    NoChain,
    #[error("the certificates in the file do not follow on each other, leaf first: browsers will refuse them")]
    BrokenChain,
    #[error("the certificate is not valid now: expired, or not begun")]
    Date,
}

/// When files were last written, to see that they were exchanged.
type Stamps = [Option<SystemTime>; 2];

/// The certificate in use. Shared by the worker, which takes it per connection, and the handle, which reloads it.
pub(crate) struct Tls {
    files: TlsFiles,
    /// The name in the relay's URLs.
    host: String,
    state: RwLock<(Arc<ServerConfig>, Stamps)>,
}

impl Tls {
    /// Reads the files and says what is doubtful about them.
    ///
    /// # Errors
    /// [`TlsFault`].
    pub(crate) fn load(files: TlsFiles, host: &str, unix_s: u64) -> Result<Tls, TlsFault> {
        let stamps = stamps(&files);
        let config = read(&files, host, unix_s)?;
        Ok(Tls {
            files,
            host: host.to_owned(),
            state: RwLock::new((config, stamps)),
        })
    }

    /// What a new connection uses.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Reads the files again; what cannot be used leaves the old certificate in force.
    ///
    /// # Errors
    /// [`TlsFault`].
    pub(crate) fn reload(&self, unix_s: u64) -> Result<(), TlsFault> {
        // Before the reading: what is written meanwhile is seen the next time.
        let stamps = stamps(&self.files);
        let config = read(&self.files, &self.host, unix_s);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        // Also behind a failure: one warning per change of the files.
        state.1 = stamps;
        state.0 = config?;
        tracing::info!("TURN over TLS: new connections get the certificate that was just read");
        Ok(())
    }

    /// Reloads if a file was exchanged since the last time.
    pub(crate) fn look(&self, unix_s: u64) {
        let known = self.state.read().unwrap_or_else(PoisonError::into_inner).1;
        if stamps(&self.files) != known
            && let Err(fault) = self.reload(unix_s)
        {
            tracing::warn!(%fault, "TURN over TLS: the new certificate cannot be used, the old one stays");
        }
    }
}

fn stamps(files: &TlsFiles) -> Stamps {
    [&files.certificate, &files.key].map(|path| std::fs::metadata(path).and_then(|about| about.modified()).ok())
}

fn read(files: &TlsFiles, host: &str, unix_s: u64) -> Result<Arc<ServerConfig>, TlsFault> {
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|fault| file(&files.key, &fault))?;
    for doubt in doubts(&chain, host, unix_s) {
        tracing::warn!(%doubt, "TURN over TLS");
    }
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsFault::Unusable)?
        .with_no_client_auth()
        // No ALPN: whatever a client offers is right, on these ports only TURN is spoken.
        .with_single_cert(chain, key)
        .map_err(TlsFault::Unusable)?;
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|fault| file(path, &fault))?;
    if found.is_empty() {
        return Err(file(path, &"no certificate in it"));
    }
    Ok(found)
}

fn file(path: &Path, fault: &dyn std::fmt::Display) -> TlsFault {
    TlsFault::File {
        path: path.to_owned(),
        reason: fault.to_string(),
    }
}

/// What a browser would object to, as far as it can be told without its list of roots.
fn doubts(chain: &[CertificateDer<'static>], host: &str, unix_s: u64) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    let Some((leaf, issuers)) = chain.split_first() else {
        return doubts;
    };
    let Ok(parsed) = ParsedCertificate::try_from(leaf) else {
        return vec![Doubt::BrokenChain];
    };
    let named = ServerName::try_from(host).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok());
    if !named {
        doubts.push(Doubt::Name(host.to_owned()));
    }
    // The last of the file stands in for the root that browsers know.
    let (anchor, between) = issuers.split_last().unwrap_or((leaf, &[]));
    let mut roots = RootCertStore::empty();
    if roots.add(anchor.clone()).is_err() {
        doubts.push(Doubt::BrokenChain);
        return doubts;
    }
    let now = UnixTime::since_unix_epoch(Duration::from_secs(unix_s));
    let algorithms = default_provider().signature_verification_algorithms.all;
    let judged = verify_server_cert_signed_by_trust_anchor(&parsed, &roots, between, now, algorithms);
    use CertificateError as E;
    doubts.extend(match judged {
        Ok(()) if issuers.is_empty() => Some(Doubt::SelfSigned),
        Ok(()) => None,
        Err(rustls::Error::InvalidCertificate(
            E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. },
        )) => Some(Doubt::Date),
        Err(rustls::Error::InvalidCertificate(E::UnknownIssuer)) if issuers.is_empty() => Some(Doubt::NoChain),
        // A certificate that says of itself that it issues others, used as a server's: `openssl req -x509` makes these.
        Err(_) if issuers.is_empty() => Some(Doubt::SelfSigned),
        Err(_) => Some(Doubt::BrokenChain),
    });
    doubts
}

/// A fault of reading as one of starting.
impl From<TlsFault> for io::Error {
    fn from(fault: TlsFault) -> io::Error {
        io::Error::other(fault)
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
