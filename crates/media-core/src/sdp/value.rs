//! Values of attributes that have a grammar of their own.

/// 32 bytes as `AB:CD:…`.
pub(super) fn hex_bytes(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    let mut parts = text.split(':');
    for byte in &mut out {
        let part = parts
            .next()
            .filter(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(out)
}

/// The payload type of `111 minptime=10;useinbandfec=1`, if its sayer makes use of in-band FEC (RFC 7587 §6.1).
pub(super) fn uses_fec(format: &str) -> Option<u8> {
    let (kind, parameters) = format.split_once(' ')?;
    let mut said = parameters.split(';').filter_map(|one| one.split_once('='));
    said.find(|(name, value)| name.trim().eq_ignore_ascii_case("useinbandfec") && value.trim() == "1")?;
    kind.parse().ok()
}
