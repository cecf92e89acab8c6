//! SRTCP on the wire (RFC 3711 §3.4, RFC 7714 §9).
//!
//! GCM: `header 8 | ciphertext | tag 16 | E + index 4`; CM: `header 8 | ciphertext | E + index 4 | tag 10`.

use super::{Cipher, Refused, cm, gcm};

/// Bytes in clear in front: the first packet's header and its sender.
const CLEAR: usize = 8;
/// Bytes of the word with the E flag and the index.
const WORD: usize = 4;
/// The E flag: the packet is encrypted.
const ENCRYPTED: u32 = 1 << 31;

/// What can be read before anything is authenticated.
pub(super) struct Trailer {
    pub(super) ssrc: u32,
    pub(super) index: u32,
    /// E flag and index as on the wire.
    word: [u8; WORD],
    /// Bytes of the plain compound packet.
    len: usize,
}

impl Trailer {
    pub(super) fn of(cipher: &Cipher, packet: &[u8]) -> Result<Trailer, Refused> {
        let tag = match cipher {
            Cipher::Gcm(_) => gcm::TAG,
            Cipher::Cm(_) => cm::TAG,
        };
        let len = packet.len().checked_sub(tag + WORD).ok_or(Refused::Malformed)?;
        if len < CLEAR {
            return Err(Refused::Malformed);
        }
        let at = match cipher {
            Cipher::Gcm(_) => len + tag,
            Cipher::Cm(_) => len,
        };
        let word = chunk(packet, at)?;
        let value = u32::from_be_bytes(word);
        if value & ENCRYPTED == 0 {
            return Err(Refused::NotEncrypted);
        }
        Ok(Trailer {
            ssrc: u32::from_be_bytes(chunk(packet, 4)?),
            index: value & !ENCRYPTED,
            word,
            len,
        })
    }
}

fn chunk(packet: &[u8], at: usize) -> Result<[u8; 4], Refused> {
    let bytes = packet.get(at..).and_then(|rest| rest.first_chunk::<4>());
    bytes.copied().ok_or(Refused::Malformed)
}

/// AAD of GCM: the clear bytes and the E word (RFC 7714 §9.2).
fn aad(packet: &[u8], word: [u8; WORD]) -> Result<[u8; CLEAR + WORD], Refused> {
    let mut aad = [0u8; CLEAR + WORD];
    let (clear, tail) = aad.split_at_mut(CLEAR);
    clear.copy_from_slice(packet.get(..CLEAR).ok_or(Refused::Malformed)?);
    tail.copy_from_slice(&word);
    Ok(aad)
}

/// Opens in place; returns the bytes of the plain packet.
pub(super) fn open(cipher: &mut Cipher, packet: &mut [u8], trailer: &Trailer) -> Result<usize, Refused> {
    let aad = aad(packet, trailer.word)?;
    match cipher {
        Cipher::Gcm(gcm) => {
            let nonce = gcm.rtcp_nonce(trailer.ssrc, trailer.index);
            let (plain, rest) = packet.split_at_mut(trailer.len);
            let tag = rest.get(..gcm::TAG).ok_or(Refused::Malformed)?;
            gcm.open(&nonce, &aad, plain.split_at_mut(CLEAR).1, tag)?;
        }
        Cipher::Cm(cm) => {
            let (signed, tag) = packet.split_at_mut(trailer.len + WORD);
            cm.verify(signed, &[], tag)?;
            let plain = signed.get_mut(CLEAR..trailer.len).ok_or(Refused::Malformed)?;
            cm.apply(trailer.ssrc, u64::from(trailer.index), plain)?;
        }
    }
    Ok(trailer.len)
}

/// Seals `buffer[..len]` in place; returns the bytes to send.
pub(super) fn seal(cipher: &mut Cipher, buffer: &mut [u8], len: usize, index: u32) -> Result<usize, Refused> {
    if len < CLEAR {
        return Err(Refused::Malformed);
    }
    let ssrc = u32::from_be_bytes(chunk(buffer, 4)?);
    let word = (index | ENCRYPTED).to_be_bytes();
    let aad = aad(buffer, word)?;
    let (plain, rest) = buffer.split_at_mut_checked(len).ok_or(Refused::NoRoom)?;
    match cipher {
        Cipher::Gcm(gcm) => {
            let (tag, rest) = rest.split_at_mut_checked(gcm::TAG).ok_or(Refused::NoRoom)?;
            let place = rest.get_mut(..WORD).ok_or(Refused::NoRoom)?;
            gcm.seal(&gcm.rtcp_nonce(ssrc, index), &aad, plain.split_at_mut(CLEAR).1, tag)?;
            place.copy_from_slice(&word);
            Ok(len + gcm::TAG + WORD)
        }
        Cipher::Cm(cm) => {
            if rest.len() < WORD + cm::TAG {
                return Err(Refused::NoRoom);
            }
            cm.apply(ssrc, u64::from(index), plain.split_at_mut(CLEAR).1)?;
            let (signed, rest) = buffer.split_at_mut(len + WORD);
            signed.split_at_mut(len).1.copy_from_slice(&word);
            rest.split_at_mut(cm::TAG).0.copy_from_slice(&cm.tag(signed, &[]));
            Ok(len + WORD + cm::TAG)
        }
    }
}
