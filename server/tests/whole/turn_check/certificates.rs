//! Certificates of a made-up authority, good and bad.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::{Duration, OffsetDateTime};
use turn_relay::TlsFiles;

use crate::binary::Folder;

/// What is wrong with a server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Good,
    OtherName,
    Ended,
    EndsSoon,
    NotYet,
    Unsigned,
}

/// The authority, and where its own certificate lies.
pub(crate) struct Certificates {
    pub(crate) roots: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Certificates {
    pub(crate) fn make(folder: &Folder) -> Certificates {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, "Helpline tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let own = params.self_signed(&key).expect("signed");
        let roots = folder.file("roots.pem");
        std::fs::write(&roots, own.pem()).expect("written");
        Certificates {
            roots,
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate of this kind for `localhost`, and its key.
    fn of(&self, kind: Kind) -> (rcgen::Certificate, KeyPair) {
        let name = match kind {
            Kind::OtherName => "turn.bank.example",
            Kind::Good | Kind::Ended | Kind::EndsSoon | Kind::NotYet | Kind::Unsigned => "localhost",
        };
        let now = OffsetDateTime::now_utc();
        let (from, to) = match kind {
            Kind::Good | Kind::OtherName | Kind::Unsigned => (-1, 90),
            Kind::Ended => (-90, -1),
            // A day less than what is still named.
            Kind::EndsSoon => (-1, 13),
            Kind::NotYet => (1, 90),
        };
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.not_before = now + Duration::days(from);
        params.not_after = now + Duration::days(to);
        let key = KeyPair::generate().expect("a key");
        let made = match kind {
            Kind::Unsigned => params.self_signed(&key),
            Kind::Good | Kind::OtherName | Kind::Ended | Kind::EndsSoon | Kind::NotYet => {
                params.signed_by(&key, &self.issuer)
            }
        };
        (made.expect("signed"), key)
    }

    /// The same in files.
    pub(crate) fn files(&self, kind: Kind, folder: &Folder) -> TlsFiles {
        let (certificate, key) = self.of(kind);
        let files = TlsFiles {
            certificate: folder.file("turn.crt"),
            key: folder.file("turn.key"),
        };
        std::fs::write(&files.certificate, certificate.pem()).expect("written");
        std::fs::write(&files.key, key.serialize_pem()).expect("written");
        files
    }

    /// TLS with such a certificate.
    pub(super) fn server(&self, kind: Kind) -> Arc<ServerConfig> {
        let (certificate, key) = self.of(kind);
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let private = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the usual versions")
            .with_no_client_auth()
            .with_single_cert(chain, private);
        Arc::new(config.expect("a certificate with its key"))
    }
}
