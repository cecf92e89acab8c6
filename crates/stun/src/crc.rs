//! The FINGERPRINT value: CRC-32 of ITU V.42, xored with "STUN" (RFC 8489 §14.7).

/// One entry per byte value, for the reflected polynomial 0xEDB88320.
const TABLE: [u32; 256] = table();

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler: an index out of range cannot be built"
)]
const fn table() -> [u32; 256] {
    let mut table = [0u32; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                (value >> 1) ^ 0xEDB8_8320
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
}

/// The FINGERPRINT of the concatenation of `parts`.
#[must_use]
pub fn fingerprint(parts: &[&[u8]]) -> u32 {
    let mut crc = !0u32;
    for part in parts {
        for &byte in *part {
            let entry = TABLE.get(usize::from(crc as u8 ^ byte)).copied().unwrap_or_default();
            crc = entry ^ (crc >> 8);
        }
    }
    !crc ^ 0x5354_554E
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_polynomial_comes_out() {
        assert_eq!(fingerprint(&[b"1234", b"56789"]) ^ 0x5354_554E, 0xCBF4_3926);
    }
}
