//! A look into the ClientHello before the library sees it: is SRTP offered, and with GCM?
//!
//! The ClientHello of a browser with post-quantum key exchange spans datagrams, so it is put together here first.
//! Never holds more than [`HELLO_BYTES_MAX`] bytes.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

use super::record;

/// Largest ClientHello that is looked into, in bytes: browsers send 200 to 1,900.
pub(super) const HELLO_BYTES_MAX: usize = 4_096;
/// Handshake type of ClientHello.
const CLIENT_HELLO: u8 = 1;
/// Bytes of a handshake header.
const HEADER: usize = 12;
/// Number of the `use_srtp` extension (RFC 5764 §9).
const USE_SRTP: u16 = 14;
/// The profiles that we speak (RFC 5764 §4.1.2, RFC 7714 §14.2).
const AES_CM_128_HMAC_SHA1_80: u16 = 1;
const AEAD_AES_128_GCM: u16 = 7;
const AEAD_AES_256_GCM: u16 = 8;

/// What the ClientHello offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// Not all of it is here.
    Incomplete,
    /// No SRTP, or no profile that we speak.
    NoSrtp,
    /// At least one GCM profile.
    Gcm,
    /// SRTP without GCM.
    Other,
}

/// The first ClientHello under reassembly.
#[derive(Default)]
pub(super) struct Hello {
    bytes: Vec<u8>,
    /// Which bytes are there.
    present: Vec<bool>,
}

impl Hello {
    /// Adds the fragments of one datagram. Fragments may come in any order, twice, or overlap.
    pub(super) fn push(&mut self, datagram: &[u8]) -> Offered {
        for record in record::records(datagram) {
            if record.kind == record::HANDSHAKE && record.epoch == 0 {
                self.fragment(record.body);
            }
        }
        if self.bytes.is_empty() || self.present.contains(&false) {
            return Offered::Incomplete;
        }
        offered(&self.bytes).unwrap_or(Offered::NoSrtp)
    }

    /// `None`, which nobody looks at, for what is not a fragment of this message.
    fn fragment(&mut self, body: &[u8]) -> Option<()> {
        let (&[kind, l0, l1, l2, s0, s1, o0, o1, o2, f0, f1, f2], data) = body.split_first_chunk::<HEADER>()?;
        let length = int24(l0, l1, l2);
        let (from, size) = (int24(o0, o1, o2), int24(f0, f1, f2));
        // The first message of an association has number 0; a second ClientHello says the same as the first.
        let ours = kind == CLIENT_HELLO && (s0, s1) == (0, 0) && (1..=HELLO_BYTES_MAX).contains(&length);
        if !ours {
            return None;
        }
        if self.bytes.is_empty() {
            self.bytes = vec![0; length];
            self.present = vec![false; length];
        }
        let range = from..from.checked_add(size)?;
        let data = data.get(..size)?;
        self.bytes.get_mut(range.clone())?.copy_from_slice(data);
        self.present.get_mut(range)?.fill(true);
        Some(())
    }
}

fn int24(high: u8, middle: u8, low: u8) -> usize {
    usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)
}

/// Reads a ClientHello body (RFC 5246 §7.4.1.2, RFC 6347 §4.2.1); `None` when it does not hold together.
fn offered(mut hello: &[u8]) -> Option<Offered> {
    let hello = &mut hello;
    take(hello, 2 + 32)?;
    let session = byte(hello)?;
    take(hello, usize::from(session))?;
    let cookie = byte(hello)?;
    take(hello, usize::from(cookie))?;
    let suites = word(hello)?;
    take(hello, usize::from(suites))?;
    let compressions = byte(hello)?;
    take(hello, usize::from(compressions))?;
    let extensions = word(hello)?;
    let mut extensions = take(hello, usize::from(extensions))?;
    while !extensions.is_empty() {
        let kind = word(&mut extensions)?;
        let length = word(&mut extensions)?;
        let mut value = take(&mut extensions, usize::from(length))?;
        if kind == USE_SRTP {
            let length = word(&mut value)?;
            return Some(profiles(take(&mut value, usize::from(length))?));
        }
    }
    Some(Offered::NoSrtp)
}

fn profiles(mut list: &[u8]) -> Offered {
    let mut found = Offered::NoSrtp;
    while let Some(profile) = word(&mut list) {
        match profile {
            AEAD_AES_128_GCM | AEAD_AES_256_GCM => return Offered::Gcm,
            AES_CM_128_HMAC_SHA1_80 => found = Offered::Other,
            _ => {}
        }
    }
    found
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn byte(bytes: &mut &[u8]) -> Option<u8> {
    take(bytes, 1)?.first().copied()
}

fn word(bytes: &mut &[u8]) -> Option<u16> {
    take(bytes, 2)?.first_chunk::<2>().map(|pair| u16::from_be_bytes(*pair))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ClientHello body with these `use_srtp` profiles between two other extensions; `None`: no such extension.
    fn hello(profiles: Option<&[u16]>) -> Vec<u8> {
        let mut extensions = vec![0, 23, 0, 0];
        if let Some(profiles) = profiles {
            let list: Vec<u8> = profiles.iter().flat_map(|profile| profile.to_be_bytes()).collect();
            extensions.extend_from_slice(&[0, 14]);
            extensions.extend_from_slice(&(list.len() as u16 + 3).to_be_bytes());
            extensions.extend_from_slice(&(list.len() as u16).to_be_bytes());
            extensions.extend_from_slice(&list);
            extensions.push(0);
        }
        extensions.extend_from_slice(&[0x12, 0x34, 0, 2, 9, 9]);
        let mut body = vec![0xFE, 0xFD];
        body.extend_from_slice(&[7; 32]);
        body.extend_from_slice(&[0, 0, 0, 2, 0xC0, 0x2B, 1, 0]);
        body.extend_from_slice(&(extensions.len() as u16).to_be_bytes());
        body.extend_from_slice(&extensions);
        body
    }

    fn fragment(whole: &[u8], from: usize, to: usize) -> Vec<u8> {
        let three = |number: usize| (number as u32).to_be_bytes()[1..].to_vec();
        let mut body = vec![CLIENT_HELLO];
        body.extend_from_slice(&three(whole.len()));
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(&three(from));
        body.extend_from_slice(&three(to - from));
        body.extend_from_slice(&whole[from..to]);
        let mut record = vec![record::HANDSHAKE, 0xFE, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0];
        record.extend_from_slice(&(body.len() as u16).to_be_bytes());
        record.extend_from_slice(&body);
        record
    }

    #[test]
    fn the_offer_is_read_wherever_the_hello_is_cut() {
        for (profiles, expected) in [
            (Some(&[1, 7][..]), Offered::Gcm),
            (Some(&[8]), Offered::Gcm),
            (Some(&[2, 1]), Offered::Other),
            (Some(&[2]), Offered::NoSrtp),
            (Some(&[]), Offered::NoSrtp),
            (None, Offered::NoSrtp),
        ] {
            let whole = hello(profiles);
            for cut in 1..whole.len() {
                let mut state = Hello::default();
                assert_eq!(state.push(&fragment(&whole, cut, whole.len())), Offered::Incomplete);
                assert_eq!(state.push(&fragment(&whole, cut, whole.len())), Offered::Incomplete);
                assert_eq!(state.push(&fragment(&whole, 0, cut)), expected, "{profiles:?} at {cut}");
            }
        }
    }

    #[test]
    fn a_hello_that_lies_about_its_lengths_offers_nothing() {
        let whole = hello(Some(&[7]));
        for at in 0..whole.len() {
            for value in [0, 1, 0x7F, 0xFF] {
                let mut changed = whole.clone();
                changed[at] = value;
                let _ = Hello::default().push(&fragment(&changed, 0, changed.len()));
            }
            let cut = whole[..at].to_vec();
            if !cut.is_empty() {
                assert_eq!(
                    Hello::default().push(&fragment(&cut, 0, cut.len())),
                    Offered::NoSrtp,
                    "{at}"
                );
            }
        }
    }

    #[test]
    fn a_hello_above_the_limit_is_never_collected() {
        let mut state = Hello::default();
        let at_limit = vec![0; HELLO_BYTES_MAX];
        assert_eq!(state.push(&fragment(&at_limit, 0, 1_000)), Offered::Incomplete);
        assert_eq!(state.bytes.len(), HELLO_BYTES_MAX);
        let mut state = Hello::default();
        let above = vec![0; HELLO_BYTES_MAX + 1];
        assert_eq!(state.push(&fragment(&above, 0, 1_000)), Offered::Incomplete);
        assert!(state.bytes.is_empty());
    }

    #[test]
    fn other_messages_are_no_hello() {
        let whole = hello(Some(&[7]));
        let mut other = fragment(&whole, 0, whole.len());
        other[13] = 2;
        assert_eq!(Hello::default().push(&other), Offered::Incomplete);
        let mut second = fragment(&whole, 0, whole.len());
        second[18] = 1;
        assert_eq!(Hello::default().push(&second), Offered::Incomplete);
    }
}
