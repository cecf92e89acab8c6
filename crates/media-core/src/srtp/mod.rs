//! SRTP and SRTCP, opened and sealed in place (RFC 3711, RFC 7714).
//!
//! Nothing here allocates per packet: keyed ciphers are made once, by the handshake helper, and moved to the shard.
//! There is no clock and no socket, and a roll-over count is never guessed for sending: the caller hands in the
//! whole 48-bit index.
//!
//! Invariants: the state of a stream changes only after its packet was authenticated; a stream is never forgotten
//! while its keys live, for forgetting it would let every old packet of it in again.

mod cm;
mod gcm;
mod inbound;
mod kdf;
mod outbound;
mod replay;
mod rtcp;

use rtc_crypto::{CryptoError, RTCCrypto, default_provider};

pub(crate) use inbound::HOT as INBOUND_HOT;
pub use inbound::{Inbound, Opened};
pub(crate) use outbound::HOT as OUTBOUND_HOT;
pub use outbound::Outbound;
pub use replay::{Age, WINDOW, Window};

/// Streams (SSRCs) that one transport may bring, RTP and RTCP counted apart: one microphone, a few restarts of the
/// sender, nothing more. Higher: 64 bytes each. The next one is refused, none is forgotten.
pub const STREAMS_MAX: usize = 8;

/// Bytes that sealing RTP may add.
pub const RTP_OVERHEAD_MAX: usize = 16;
/// Bytes that sealing RTCP may add: the tag and the word with the index.
pub const RTCP_OVERHEAD_MAX: usize = 20;
/// First index that a 48-bit RTP index cannot hold.
pub const RTP_INDEX_END: u64 = 1 << 48;
/// First index that a 31-bit RTCP index cannot hold.
pub const RTCP_INDEX_END: u32 = 1 << 31;

/// The protection profiles that are negotiated (RFC 5764 §4.1.2, RFC 7714 §14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// AEAD_AES_128_GCM.
    AeadAes128Gcm,
    /// AEAD_AES_256_GCM.
    AeadAes256Gcm,
    /// AES_CM_128_HMAC_SHA1_80.
    AesCm128Sha1,
}

impl Profile {
    /// Bytes of the master key, and of the session key.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Profile::AeadAes128Gcm | Profile::AesCm128Sha1 => 16,
            Profile::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of the master salt, and of the session salt.
    #[must_use]
    pub const fn salt_len(self) -> usize {
        match self {
            Profile::AeadAes128Gcm | Profile::AeadAes256Gcm => 12,
            Profile::AesCm128Sha1 => 14,
        }
    }

    /// Bytes of the authentication tag on the wire.
    #[must_use]
    pub const fn tag_len(self) -> usize {
        match self {
            Profile::AeadAes128Gcm | Profile::AeadAes256Gcm => 16,
            Profile::AesCm128Sha1 => 10,
        }
    }

    /// Bytes that `EXTRACTOR-dtls_srtp` must give (RFC 5764 §4.2).
    #[must_use]
    pub const fn keying_material_len(self) -> usize {
        2 * (self.key_len() + self.salt_len())
    }
}

/// Which side of the DTLS handshake we were: it decides which key is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We sent the ClientHello: load generator and tests.
    Client,
    /// We answered it: always so in the product.
    Server,
}

/// Why a packet was not opened or sealed. Each is counted and the packet dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no RTP or RTCP packet.
    #[error("not a packet")]
    Malformed,
    /// It is behind the replay window.
    #[error("older than the replay window")]
    TooOld,
    /// It was opened before.
    #[error("opened before")]
    Replayed,
    /// Its tag is wrong.
    #[error("not authentic")]
    NotAuthentic,
    /// It would be stream number [`STREAMS_MAX`] + 1.
    #[error("too many streams")]
    TooManyStreams,
    /// SRTCP without encryption: nobody negotiated that.
    #[error("not encrypted")]
    NotEncrypted,
    /// The buffer has no room for the tag.
    #[error("no room for the tag")]
    NoRoom,
    /// The index has run out, or is not that of the header's sequence number.
    #[error("the index cannot be used")]
    Index,
}

/// The keying material has another length than the profile asks for, or the provider refused a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the keying material does not fit the profile")]
pub struct WrongKeys;

impl From<CryptoError> for WrongKeys {
    fn from(_: CryptoError) -> WrongKeys {
        WrongKeys
    }
}

/// Both directions of one association. `Send`, not `Sync`: made on the helper thread, moved to the shard.
pub struct Keys {
    /// Which profile was negotiated.
    pub profile: Profile,
    /// What the other side sends.
    pub inbound: Inbound,
    /// What we send.
    pub outbound: Outbound,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({:?})", self.profile)
    }
}

impl Keys {
    /// Derives all session keys from the output of `EXTRACTOR-dtls_srtp`: client key, server key, client salt,
    /// server salt (RFC 5764 §4.2).
    ///
    /// # Errors
    /// [`WrongKeys`] unless `keying_material` has [`Profile::keying_material_len`] bytes.
    pub fn derive(profile: Profile, keying_material: &[u8], role: Role) -> Result<Keys, WrongKeys> {
        if keying_material.len() != profile.keying_material_len() {
            return Err(WrongKeys);
        }
        let (keys, salts) = keying_material.split_at(2 * profile.key_len());
        let (client_key, server_key) = keys.split_at(profile.key_len());
        let (client_salt, server_salt) = salts.split_at(profile.salt_len());
        let ((our_key, our_salt), (their_key, their_salt)) = match role {
            Role::Client => ((client_key, client_salt), (server_key, server_salt)),
            Role::Server => ((server_key, server_salt), (client_key, client_salt)),
        };
        Ok(Keys {
            profile,
            inbound: Inbound::new(profile, their_key, their_salt)?,
            outbound: Outbound::new(profile, our_key, our_salt)?,
        })
    }
}

/// One keyed direction of RTP or RTCP.
#[expect(
    clippy::large_enum_variant,
    reason = "what every packet needs stands where its transport stands"
)]
enum Cipher {
    Gcm(gcm::Gcm),
    Cm(cm::Cm),
}

/// Which of the two key sets of a master key.
#[derive(Clone, Copy)]
enum Traffic {
    Rtp,
    Rtcp,
}

impl Cipher {
    fn new(profile: Profile, traffic: Traffic, key: &[u8], salt: &[u8]) -> Result<Cipher, WrongKeys> {
        let provider = default_provider()?;
        let crypto: &dyn RTCCrypto = provider.crypto();
        Ok(match profile {
            Profile::AeadAes128Gcm | Profile::AeadAes256Gcm => {
                Cipher::Gcm(gcm::Gcm::new(crypto, profile, traffic, key, salt)?)
            }
            Profile::AesCm128Sha1 => Cipher::Cm(cm::Cm::new(crypto, traffic, key, salt)?),
        })
    }
}

#[cfg(test)]
mod vectors;

#[cfg(test)]
mod tests;
