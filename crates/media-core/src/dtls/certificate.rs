//! Our certificate and the fingerprints by which certificates are known (RFC 8122 §5).
//!
//! A fingerprint is only ever SHA-256. The private key is never printed or exported.

use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::sync::{Arc, Weak};

use rtc_crypto::{HashAlgorithm, default_provider};

/// SHA-256 of a certificate in DER.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// The text is not 32 pairs of hexadecimal digits with colons between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not 32 pairs of hexadecimal digits with colons between")]
pub struct MalformedFingerprint;

impl Fingerprint {
    /// Of one certificate in DER.
    ///
    /// # Panics
    /// Never in practice: the provider with SHA-256 is compiled in.
    #[must_use]
    pub fn of(der: &[u8]) -> Fingerprint {
        let provider = default_provider().expect("a crypto provider is compiled in");
        let digest = provider.crypto().hash(HashAlgorithm::Sha256, der);
        let digest = digest.expect("the provider has SHA-256");
        Fingerprint(digest.try_into().expect("a SHA-256 has 32 bytes"))
    }
}

impl fmt::Display for Fingerprint {
    /// As in SDP: `4A:AD:…`, upper case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_char(':')?;
            }
            write!(f, "{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(..)")
    }
}

impl FromStr for Fingerprint {
    type Err = MalformedFingerprint;

    /// Either case (RFC 8122 §5 asks for upper, some send lower).
    fn from_str(text: &str) -> Result<Fingerprint, MalformedFingerprint> {
        let mut bytes = [0u8; 32];
        let mut pairs = text.split(':');
        for byte in &mut bytes {
            let pair = pairs.next().ok_or(MalformedFingerprint)?;
            // `from_str_radix` alone would take "+A".
            if pair.len() != 2 || !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(MalformedFingerprint);
            }
            *byte = u8::from_str_radix(pair, 16).map_err(|_| MalformedFingerprint)?;
        }
        match pairs.next() {
            None => Ok(Fingerprint(bytes)),
            Some(_) => Err(MalformedFingerprint),
        }
    }
}

/// No certificate could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no certificate could be made")]
pub struct CertificateFailed;

/// A self-signed ECDSA P-256 certificate with its key: one for the whole process, shared by all legs. A transport keeps
/// the one that its answer announced when another takes its place for those who come later.
#[derive(Clone)]
pub struct Certificate(Arc<Inner>);

struct Inner {
    certificate: rtc_dtls::crypto::Certificate,
    fingerprint: Fingerprint,
}

/// Tells whether anybody still has a certificate, without keeping it.
#[derive(Clone)]
pub struct Kept(Weak<Inner>);

impl Kept {
    /// False once nobody has it any more: its key is gone from memory.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.0.strong_count() > 0
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({})", self.is_kept())
    }
}

impl Certificate {
    /// A new one. Draws from the system's random source, so it is called at the edge: once a day.
    ///
    /// # Errors
    /// [`CertificateFailed`] when the random source does.
    pub fn generate() -> Result<Certificate, CertificateFailed> {
        let provider = default_provider().map_err(|_| CertificateFailed)?;
        let names = vec!["helpline".to_owned()];
        let certificate = rtc_dtls::crypto::Certificate::generate_self_signed(names, provider.crypto())
            .map_err(|_| CertificateFailed)?;
        let fingerprint = Fingerprint::of(certificate.certificate.first().ok_or(CertificateFailed)?);
        Ok(Certificate(Arc::new(Inner {
            certificate,
            fingerprint,
        })))
    }

    /// What the answer says about it.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint
    }

    /// For whoever wants to know until when it is in use.
    #[must_use]
    pub fn kept(&self) -> Kept {
        Kept(Arc::downgrade(&self.0))
    }

    pub(super) fn inner(&self) -> &rtc_dtls::crypto::Certificate {
        &self.0.certificate
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_survives_its_text_in_either_case() {
        let print = Fingerprint::of(b"certificate");
        let text = print.to_string();
        assert_eq!(text.len(), 95);
        assert_eq!(text.parse(), Ok(print));
        assert_eq!(text.to_lowercase().parse(), Ok(print));
        // FIPS 180-2, appendix B.1.
        let abc = Fingerprint::of(b"abc").to_string();
        assert!(abc.starts_with("BA:78:16:BF:8F:01:CF:EA"), "{abc}");
    }

    #[test]
    fn other_texts_are_malformed() {
        let text = Fingerprint([0xAB; 32]).to_string();
        let wrong = [
            String::new(),
            text[..92].to_owned(),
            format!("{text}:00"),
            text.replace(':', ""),
            text.replacen("AB", "+A", 1),
            text.replacen("AB", "ABC", 1),
            text.replacen("AB", "ÄB", 1),
        ];
        for text in wrong {
            assert_eq!(text.parse::<Fingerprint>(), Err(MalformedFingerprint), "{text}");
        }
    }

    #[test]
    fn a_certificate_is_gone_with_its_last_holder() {
        let certificate = Certificate::generate().unwrap();
        let kept = certificate.kept();
        let holder = certificate.clone();
        drop(certificate);
        assert!(kept.is_kept());
        drop(holder);
        assert!(!kept.is_kept());
    }

    #[test]
    fn two_certificates_differ_and_print_nothing() {
        let (one, two) = (Certificate::generate().unwrap(), Certificate::generate().unwrap());
        assert_ne!(one.fingerprint(), two.fingerprint());
        assert_eq!(
            format!("{one:?} {:?}", one.fingerprint()),
            "Certificate(..) Fingerprint(..)"
        );
    }
}
