//! DTLS records as far as they can be read before there are keys (RFC 6347 §4.1).
//!
//! Never panics; what is not a whole row of records is not passed on.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

/// Bytes of a record header.
const HEADER: usize = 13;
/// Content types (RFC 5246 §6.2.1).
const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;

/// One record, borrowed.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) kind: u8,
    pub(super) epoch: u16,
    /// Header and body.
    pub(super) whole: &'a [u8],
    pub(super) body: &'a [u8],
}

/// Takes one record off the front; `None` when it is not whole.
fn split(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let header = bytes.first_chunk::<HEADER>()?;
    let &[kind, _, _, e0, e1, _, _, _, _, _, _, l0, l1] = header;
    let end = HEADER + usize::from(u16::from_be_bytes([l0, l1]));
    let (whole, rest) = bytes.split_at_checked(end)?;
    let record = Record {
        kind,
        epoch: u16::from_be_bytes([e0, e1]),
        whole,
        body: whole.get(HEADER..)?,
    };
    Some((record, rest))
}

/// The whole records at the front of a datagram.
pub(super) fn records(mut bytes: &[u8]) -> impl Iterator<Item = Record<'_>> {
    std::iter::from_fn(move || {
        let (record, rest) = split(bytes)?;
        bytes = rest;
        Some(record)
    })
}

/// True if the datagram begins with a record of epoch 0: before encryption.
pub(super) fn is_clear(datagram: &[u8]) -> bool {
    records(datagram).next().is_some_and(|record| record.epoch == 0)
}

/// True if the datagram is an alert in clear.
pub(super) fn is_clear_alert(datagram: &[u8]) -> bool {
    records(datagram)
        .next()
        .is_some_and(|record| record.epoch == 0 && record.kind == ALERT)
}

/// The datagram without the records in clear that can do nothing but harm: alerts, data, malformed ones. `None` if
/// nothing is left, or if it is not a row of whole records.
pub(super) fn sift(datagram: &[u8]) -> Option<Vec<u8>> {
    let mut kept = Vec::with_capacity(datagram.len());
    let mut rest = datagram;
    while !rest.is_empty() {
        let (record, behind) = split(rest)?;
        rest = behind;
        let useful = match record.kind {
            _ if record.body.is_empty() => false,
            _ if record.epoch > 0 => true,
            HANDSHAKE => true,
            CHANGE_CIPHER_SPEC => record.body == [1],
            _ => false,
        };
        if useful {
            kept.extend_from_slice(record.whole);
        }
    }
    (!kept.is_empty()).then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, epoch: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind, 0xFE, 0xFD];
        bytes.extend_from_slice(&epoch.to_be_bytes());
        bytes.extend_from_slice(&[0; 6]);
        bytes.extend_from_slice(&(body.len() as u16).to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn alerts_and_data_in_clear_are_taken_out_and_the_rest_stays() {
        let handshake = record(HANDSHAKE, 0, b"hello");
        let sealed = record(ALERT, 1, b"sealed");
        let mut datagram = record(ALERT, 0, &[1, 0]);
        datagram.extend_from_slice(&handshake);
        datagram.extend_from_slice(&record(23, 0, b"data"));
        datagram.extend_from_slice(&record(CHANGE_CIPHER_SPEC, 0, &[2]));
        datagram.extend_from_slice(&sealed);
        assert_eq!(sift(&datagram), Some([handshake, sealed].concat()));
        assert_eq!(sift(&record(ALERT, 0, &[2, 40])), None);
        assert_eq!(
            sift(&record(CHANGE_CIPHER_SPEC, 0, &[1])).map(|kept| kept.len()),
            Some(14)
        );
    }

    #[test]
    fn torn_datagrams_are_dropped_whole() {
        let datagram = record(HANDSHAKE, 0, b"hello");
        for length in 0..datagram.len() {
            assert_eq!(sift(&datagram[..length]), None, "{length}");
        }
        assert_eq!(sift(&[datagram.clone(), vec![22]].concat()), None);
        assert!(sift(&datagram).is_some());
    }
}
