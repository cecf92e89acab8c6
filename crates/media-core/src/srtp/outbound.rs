//! What we send: sealing in place under an index that the caller vouches for.
//!
//! Never two plaintexts under one (key, SSRC, index): a repeated GCM nonce gives the authentication key away. For
//! RTP the caller's slot guarantees it; the RTCP index is counted here.

use super::gcm;
use super::{Cipher, Profile, RTCP_INDEX_END, RTCP_OVERHEAD_MAX, RTP_INDEX_END, Refused, Traffic, WrongKeys, rtcp};
use crate::rtp;
use crate::table::Mark;

/// See the top of this file.
// In this order, at the start of a cache line: seven of nine hold what every packet needs.
#[repr(C, align(64))]
pub struct Outbound {
    rtp: Cipher,
    mark: Mark,
    tag: u8,
    /// Apart, for few packets need it.
    rtcp: Box<Cipher>,
    /// One count for all our SSRCs: every (SSRC, index) is then used once at most.
    rtcp_index: u32,
}

/// Where the bytes of an [`Outbound`] begin that every packet needs, and how many they are.
pub(crate) const HOT: [(usize, usize); gcm::HOT.len() + 1] = {
    let end = std::mem::offset_of!(Outbound, rtcp);
    let [table, schedule] = gcm::HOT;
    [table, schedule, (gcm::HOT_FROM, end - gcm::HOT_FROM)]
};

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outbound({} reports)", self.rtcp_index)
    }
}

impl Outbound {
    /// From our master key and salt.
    ///
    /// # Errors
    /// [`WrongKeys`] for other lengths than the profile's.
    pub fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Result<Outbound, WrongKeys> {
        if key.len() != profile.key_len() || salt.len() != profile.salt_len() {
            return Err(WrongKeys);
        }
        Ok(Outbound {
            rtp: Cipher::new(profile, Traffic::Rtp, key, salt)?,
            rtcp: Box::new(Cipher::new(profile, Traffic::Rtcp, key, salt)?),
            mark: Mark::Taken,
            tag: profile.tag_len() as u8,
            rtcp_index: 0,
        })
    }

    /// Seals the plain packet in `buffer[..len]`; returns the bytes to send. `buffer` needs
    /// [`super::RTP_OVERHEAD_MAX`] bytes behind `len`. `index`: 48 bits, its lower 16 the header's sequence number,
    /// never given twice for the header's SSRC.
    ///
    /// # Errors
    /// [`Refused::Malformed`], [`Refused::NoRoom`], [`Refused::Index`]; nothing was changed then.
    #[inline]
    pub fn seal_rtp(&mut self, buffer: &mut [u8], len: usize, index: u64) -> Result<usize, Refused> {
        let plain = buffer.get(..len).ok_or(Refused::NoRoom)?;
        let header = rtp::Header::parse(plain).map_err(|_| Refused::Malformed)?;
        if index >= RTP_INDEX_END || index as u16 != header.sequence {
            return Err(Refused::Index);
        }
        let end = len + usize::from(self.tag);
        let whole = buffer.get_mut(..end).ok_or(Refused::NoRoom)?;
        let (plain, tag) = whole.split_at_mut(len);
        match &mut self.rtp {
            Cipher::Gcm(gcm) => {
                let (aad, body) = plain.split_at_mut(header.len);
                gcm.seal(&gcm.rtp_nonce(header.ssrc, index), aad, body, tag)?;
            }
            Cipher::Cm(cm) => {
                cm.apply(header.ssrc, index, plain.split_at_mut(header.len).1)?;
                let roll_over = (index >> 16) as u32;
                tag.copy_from_slice(&cm.tag(plain, &roll_over.to_be_bytes()));
            }
        }
        Ok(end)
    }

    /// Seals the plain compound packet in `buffer[..len]`; returns the bytes to send. `buffer` needs
    /// [`RTCP_OVERHEAD_MAX`] bytes behind `len`.
    ///
    /// # Errors
    /// [`Refused::Malformed`], [`Refused::NoRoom`]; [`Refused::Index`] after 2^31 packets under one key.
    pub fn seal_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, Refused> {
        if self.rtcp_index >= RTCP_INDEX_END {
            return Err(Refused::Index);
        }
        if buffer.len() < len.saturating_add(RTCP_OVERHEAD_MAX) {
            return Err(Refused::NoRoom);
        }
        let end = rtcp::seal(&mut self.rtcp, buffer, len, self.rtcp_index)?;
        self.rtcp_index += 1;
        Ok(end)
    }

    /// For tests at the end of the index space.
    #[cfg(test)]
    pub(super) fn set_rtcp_index(&mut self, index: u32) {
        self.rtcp_index = index;
    }

    /// For vectors that begin at session keys.
    #[cfg(test)]
    pub(super) fn replace_ciphers(&mut self, rtp: Cipher, rtcp: Cipher) {
        (self.rtp, *self.rtcp) = (rtp, rtcp);
    }
}
