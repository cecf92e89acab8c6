//! Certificates of every kind that operators have, judged as a browser would.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::*;

/// A moment within the validity of what `rcgen` makes by default.
const NOW: u64 = 1_800_000_000;

fn issuer(name: &str, by: Option<&CertifiedIssuer<'static, KeyPair>>) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    match by {
        None => CertifiedIssuer::self_signed(params, key).unwrap(),
        Some(by) => CertifiedIssuer::signed_by(params, key, by).unwrap(),
    }
}

fn leaf(host: &str, by: &CertifiedIssuer<'static, KeyPair>) -> (CertificateDer<'static>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    (params.signed_by(&key, by).unwrap().der().clone(), key)
}

fn of(issuer: &CertifiedIssuer<'static, KeyPair>) -> CertificateDer<'static> {
    issuer.as_ref().der().clone()
}

#[test]
fn a_whole_chain_raises_no_doubt_and_each_fault_has_its_own_words() {
    let root = issuer("root", None);
    let between = issuer("between", Some(&root));
    let stranger = issuer("stranger", None);
    let (own, _) = leaf("turn.example", &between);
    let whole = [own.clone(), of(&between)];
    assert_eq!(doubts(&whole, "turn.example", NOW), []);
    assert_eq!(doubts(&[own.clone(), of(&between), of(&root)], "turn.example", NOW), []);
    assert_eq!(
        doubts(&whole, "other.example", NOW),
        [Doubt::Name("other.example".to_owned())]
    );
    assert_eq!(
        doubts(std::slice::from_ref(&own), "turn.example", NOW),
        [Doubt::NoChain]
    );
    assert_eq!(
        doubts(&[own.clone(), of(&stranger)], "turn.example", NOW),
        [Doubt::BrokenChain]
    );
    assert_eq!(doubts(&[own], "turn.example", 0).last(), Some(&Doubt::Date));
    let alone = rcgen::generate_simple_self_signed(["turn.example".to_owned()]).unwrap();
    assert_eq!(
        doubts(&[alone.cert.der().clone()], "turn.example", NOW),
        [Doubt::SelfSigned]
    );
}

#[test]
fn a_certificate_for_an_address_is_for_that_address() {
    let root = issuer("root", None);
    let (own, _) = leaf("192.0.2.7", &root);
    let chain = [own, of(&root)];
    assert_eq!(doubts(&chain, "192.0.2.7", NOW), []);
    assert_eq!(doubts(&chain, "192.0.2.8", NOW), [Doubt::Name("192.0.2.8".to_owned())]);
}

/// A folder of its own that goes with the value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("helpline-tls-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn files(&self) -> TlsFiles {
        TlsFiles {
            certificate: self.0.join("certificate.pem"),
            key: self.0.join("key.pem"),
        }
    }

    fn put(&self) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(self.files().certificate, made.cert.pem()).unwrap();
        std::fs::write(self.files().key, made.signing_key.serialize_pem()).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn exchanged_files_are_seen_and_useless_ones_change_nothing() {
    let folder = Folder::new("exchange");
    folder.put();
    let tls = Tls::load(folder.files(), "localhost", NOW).unwrap();
    let first = tls.config();
    tls.look(NOW);
    assert!(Arc::ptr_eq(&first, &tls.config()), "nothing has changed");

    std::fs::write(folder.files().key, "no key").unwrap();
    let written = std::fs::metadata(folder.files().key).unwrap().modified().unwrap();
    let later = written + Duration::from_secs(2);
    set_time(&folder.files().key, later);
    tls.look(NOW);
    assert!(Arc::ptr_eq(&first, &tls.config()));
    assert!(matches!(tls.reload(NOW), Err(TlsFault::File { .. })));

    folder.put();
    set_time(&folder.files().key, later + Duration::from_secs(2));
    tls.look(NOW);
    assert!(!Arc::ptr_eq(&first, &tls.config()));
}

fn set_time(path: &Path, time: SystemTime) {
    std::fs::File::options()
        .append(true)
        .open(path)
        .unwrap()
        .set_modified(time)
        .unwrap();
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let folder = Folder::new("foreign");
    folder.put();
    let key = std::fs::read(folder.files().key).unwrap();
    folder.put();
    std::fs::write(folder.files().key, key).unwrap();
    assert!(matches!(
        Tls::load(folder.files(), "localhost", NOW),
        Err(TlsFault::Unusable(_))
    ));
    std::fs::write(folder.files().certificate, "").unwrap();
    let Err(fault) = Tls::load(folder.files(), "localhost", NOW) else {
        panic!("there is no certificate")
    };
    assert!(fault.to_string().contains("certificate.pem"), "{fault}");
}
