//! What the other side sends: roll-over estimate, replay window, opening in place.
//!
//! Invariant: a packet that fails its tag leaves every stream as it was, and makes no stream known.

use super::gcm;
use super::replay::{Age, Window};
use super::{Cipher, Profile, RTCP_INDEX_END, Refused, STREAMS_MAX, Traffic, WrongKeys, rtcp};
use crate::rtp;
use crate::table::Mark;

/// A packet that was opened; it now lies in plain at the start of the same buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its header.
    pub header: rtp::Header,
    /// Bytes of the plain packet.
    pub len: usize,
    /// 48-bit index: roll-over count and sequence number.
    pub index: u64,
    /// True if nothing of this stream was opened before.
    pub first: bool,
}

/// One stream of the other side.
#[derive(Default)]
struct Stream {
    ssrc: u32,
    window: Window,
}

/// Up to [`STREAMS_MAX`] streams, in the order in which they came.
///
/// The first stands here, as long as its window is empty it has not come: a browser sends one, and a second only after it has
/// changed its source.
#[derive(Default)]
#[repr(C)]
struct Streams {
    first: Stream,
    others: Vec<Stream>,
}

impl Streams {
    fn len(&self) -> usize {
        usize::from(self.first.window.newest().is_some()) + self.others.len()
    }

    #[inline]
    fn find(&self, ssrc: u32) -> Result<Option<&Stream>, Refused> {
        if self.first.ssrc == ssrc {
            // An empty window says of every index what no stream at all does.
            return Ok(Some(&self.first));
        }
        let found = self.others.iter().find(|stream| stream.ssrc == ssrc);
        if found.is_none() && self.len() >= STREAMS_MAX {
            return Err(Refused::TooManyStreams);
        }
        Ok(found)
    }

    /// Marks an authenticated index; true if its stream is new.
    #[inline]
    fn take(&mut self, ssrc: u32, index: u64) -> bool {
        let came = self.first.window.newest().is_some();
        if !came || self.first.ssrc == ssrc {
            self.first.ssrc = ssrc;
            self.first.window.take(index);
            return !came;
        }
        if let Some(stream) = self.others.iter_mut().find(|stream| stream.ssrc == ssrc) {
            stream.window.take(index);
            return false;
        }
        let mut window = Window::default();
        window.take(index);
        self.others.push(Stream { ssrc, window });
        true
    }
}

/// See the top of this file.
// In this order, at the start of a cache line: eight of ten hold what every packet needs.
#[repr(C, align(64))]
pub struct Inbound {
    rtp: Cipher,
    mark: Mark,
    tag: u8,
    rtp_streams: Streams,
    rtcp: Box<Reports>,
}

/// Where the bytes of an [`Inbound`] begin that every packet needs, and how many they are.
pub(crate) const HOT: [(usize, usize); gcm::HOT.len() + 1] = {
    let end = std::mem::offset_of!(Inbound, rtp_streams) + size_of::<Stream>();
    let [table, schedule] = gcm::HOT;
    [table, schedule, (gcm::HOT_FROM, end - gcm::HOT_FROM)]
};

/// What opens the other side's reports: apart, for few packets need it.
struct Reports {
    cipher: Cipher,
    streams: Streams,
}

impl std::fmt::Debug for Inbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inbound({} streams)", self.rtp_streams.len())
    }
}

impl Inbound {
    /// From the master key and salt of the other side.
    ///
    /// # Errors
    /// [`WrongKeys`] for other lengths than the profile's.
    pub fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Result<Inbound, WrongKeys> {
        if key.len() != profile.key_len() || salt.len() != profile.salt_len() {
            return Err(WrongKeys);
        }
        Ok(Inbound {
            rtp: Cipher::new(profile, Traffic::Rtp, key, salt)?,
            mark: Mark::Taken,
            tag: profile.tag_len() as u8,
            rtp_streams: Streams::default(),
            rtcp: Box::new(Reports {
                cipher: Cipher::new(profile, Traffic::Rtcp, key, salt)?,
                streams: Streams::default(),
            }),
        })
    }

    /// Opens one SRTP packet: `packet` is the whole datagram and holds the plain packet in its first
    /// [`Opened::len`] bytes afterwards. On error the body may be garbage.
    ///
    /// # Errors
    /// [`Refused::Malformed`], [`Refused::TooManyStreams`], [`Refused::TooOld`], [`Refused::Replayed`],
    /// [`Refused::NotAuthentic`].
    #[inline]
    pub fn open_rtp(&mut self, packet: &mut [u8]) -> Result<Opened, Refused> {
        let header = rtp::Header::parse(packet).map_err(|_| Refused::Malformed)?;
        let end = packet
            .len()
            .checked_sub(usize::from(self.tag))
            .ok_or(Refused::Malformed)?;
        if end < header.len {
            return Err(Refused::Malformed);
        }
        let stream = self.rtp_streams.find(header.ssrc)?;
        let index = match stream.and_then(|stream| stream.window.newest()) {
            Some(newest) => estimate(newest, header.sequence),
            // RFC 3711 §3.3.1: the roll-over count of a new stream is 0.
            None => u64::from(header.sequence),
        };
        match stream.map_or(Age::New, |stream| stream.window.age(index)) {
            Age::New => {}
            Age::Replayed => return Err(Refused::Replayed),
            Age::TooOld => return Err(Refused::TooOld),
        }
        let (plain, tag) = packet.split_at_mut(end);
        match &mut self.rtp {
            Cipher::Gcm(gcm) => {
                let (aad, body) = plain.split_at_mut(header.len);
                gcm.open(&gcm.rtp_nonce(header.ssrc, index), aad, body, tag)?;
            }
            Cipher::Cm(cm) => {
                let roll_over = (index >> 16) as u32;
                cm.verify(plain, &roll_over.to_be_bytes(), tag)?;
                cm.apply(header.ssrc, index, plain.split_at_mut(header.len).1)?;
            }
        }
        let first = self.rtp_streams.take(header.ssrc, index);
        Ok(Opened {
            header,
            len: end,
            index,
            first,
        })
    }

    /// Opens one SRTCP packet in place; returns the bytes of the plain compound packet.
    ///
    /// # Errors
    /// As [`Inbound::open_rtp`]; also [`Refused::NotEncrypted`].
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Refused> {
        let Reports { cipher, streams } = &mut *self.rtcp;
        let trailer = rtcp::Trailer::of(cipher, packet)?;
        let stream = streams.find(trailer.ssrc)?;
        match stream.map_or(Age::New, |stream| stream.window.age(u64::from(trailer.index))) {
            Age::New => {}
            Age::Replayed => return Err(Refused::Replayed),
            Age::TooOld => return Err(Refused::TooOld),
        }
        let len = rtcp::open(cipher, packet, &trailer)?;
        debug_assert!(trailer.index < RTCP_INDEX_END);
        streams.take(trailer.ssrc, u64::from(trailer.index));
        Ok(len)
    }

    /// For vectors that begin at session keys.
    #[cfg(test)]
    pub(super) fn replace_ciphers(&mut self, rtp: Cipher, rtcp: Cipher) {
        (self.rtp, self.rtcp.cipher) = (rtp, rtcp);
    }
}

/// The index nearest to the newest one that ends in `sequence` (RFC 3711 §3.3.1, appendix A). An index below zero
/// does not exist: what looks like one is taken as a jump forward within the first roll.
#[inline]
fn estimate(newest: u64, sequence: u16) -> u64 {
    let step = sequence.wrapping_sub(newest as u16) as i16;
    match newest.checked_add_signed(i64::from(step)) {
        Some(index) => index,
        None => u64::from(sequence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roll_over_count_follows_the_nearest_index() {
        assert_eq!(estimate(0x0000_FFFF, 0), 0x0001_0000);
        assert_eq!(estimate(0x0001_0000, 0xFFFF), 0x0000_FFFF);
        assert_eq!(estimate(0x0005_0010, 0x0011), 0x0005_0011);
        assert_eq!(estimate(0x0005_0010, 0x800F), 0x0005_800F);
        assert_eq!(estimate(0x0005_0010, 0x8010), 0x0004_8010);
        assert_eq!(estimate(0xFFFF_FFFF, 0), 0x1_0000_0000);
        assert_eq!(estimate(5, 0xFFFD), 0xFFFD);
    }
}
