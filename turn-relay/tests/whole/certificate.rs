//! A certificate in files of its own, which can be exchanged.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::CertificateDer;
use turn_relay::TlsFiles;

use crate::user::Trust;

/// Goes with its folder.
pub(crate) struct Certificate {
    folder: PathBuf,
    der: CertificateDer<'static>,
}

impl Certificate {
    pub(crate) fn new() -> Certificate {
        static FOLDERS: AtomicUsize = AtomicUsize::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("helpline-turn-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut certificate = Certificate {
            folder,
            der: CertificateDer::from(Vec::new()),
        };
        certificate.exchange();
        certificate
    }

    /// Another certificate and key lie in the files.
    pub(crate) fn exchange(&mut self) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
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
        Trust {
            certificate: self.der.clone(),
            name: "localhost",
        }
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
