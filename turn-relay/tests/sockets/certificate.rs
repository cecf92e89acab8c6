//! A certificate in files of its own, which can be exchanged.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::CertificateDer;
use turn_relay::TlsFiles;

use crate::user::Trust;

/// Goes with its folder.
pub(crate) struct Certificate {
    names: Vec<String>,
    folder: PathBuf,
    der: CertificateDer<'static>,
}

impl Certificate {
    pub(crate) fn new() -> Certificate {
        Certificate::of(&["localhost"])
    }

    /// With these names in it.
    pub(crate) fn of(names: &[&str]) -> Certificate {
        static FOLDERS: AtomicUsize = AtomicUsize::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("helpline-turn-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut certificate = Certificate {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            folder,
            der: CertificateDer::from(Vec::new()),
        };
        certificate.exchange();
        certificate
    }

    /// Another certificate and key lie in the files.
    pub(crate) fn exchange(&mut self) {
        let made = rcgen::generate_simple_self_signed(self.names.clone()).expect("a certificate");
        std::fs::write(self.files().certificate, made.cert.pem()).expect("written");
        std::fs::write(self.files().key, made.signing_key.serialize_pem()).expect("written");
        self.der = made.cert.der().clone();
    }

    pub(crate) fn files(&self) -> TlsFiles {
        TlsFiles {
            certificate: self.folder.join("certificate.pem"),
            key: self.folder.join("key.pem"),
        }
    }

    /// What a client must believe in that meets the certificate that lies there now.
    pub(crate) fn trust(&self) -> Trust {
        self.trust_as("localhost")
    }

    /// The same for whoever comes under this one of its names.
    pub(crate) fn trust_as(&self, name: &'static str) -> Trust {
        Trust {
            certificate: self.der.clone(),
            name,
        }
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
