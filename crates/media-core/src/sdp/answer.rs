//! The answer to an offer, complete: a lite agent has nothing to trickle.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use crate::command::SlotParams;
use crate::dtls::Fingerprint;

use super::offer::{AUDIO_LEVEL, Section};
use super::{Direction, Offer};

/// Type preference of a host candidate (RFC 8445 §5.1.2.1).
const HOST_PREFERENCE: u32 = 126;
/// How Opus is to be sent: FEC and DTX on, speech bit rate (RFC 7587 §6.1).
const OPUS_FORMAT: &str = "minptime=10;useinbandfec=1;usedtx=1;maxaveragebitrate=32000";

/// Whether redundant audio (RFC 2198) is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Red {
    /// Never.
    Off,
    /// Behind plain Opus.
    Offer,
    /// Before plain Opus.
    Prefer,
}

/// What our side puts into an answer.
#[derive(Clone, Copy, Debug)]
pub struct Ours<'a> {
    /// Our user name fragment.
    pub ufrag: &'a str,
    /// Our password.
    pub pwd: &'a str,
    /// SHA-256 of our certificate.
    pub fingerprint: Fingerprint,
    /// Where the shard listens, best first.
    pub candidates: &'a [SocketAddr],
    /// Number for the origin line; differs between answers of one process.
    pub session: u64,
    /// Redundant audio.
    pub red: Red,
    /// Whether the leg may speak.
    pub uplink: bool,
    /// The leg's outgoing streams; those that the offer has no section for are left out.
    pub slots: &'a [SlotParams],
}

/// Writes the answer.
#[must_use]
pub fn answer(offer: &Offer, ours: &Ours<'_>) -> String {
    let mut text = String::with_capacity(2_048);
    // Writing to a String cannot fail.
    let _ = write(&mut text, offer, ours);
    text
}

fn write(text: &mut String, offer: &Offer, ours: &Ours<'_>) -> std::fmt::Result {
    write!(
        text,
        "v=0\r\no=- {} 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n",
        ours.session
    )?;
    if offer.bundle {
        text.push_str("a=group:BUNDLE");
        for mid in offer
            .sections
            .iter()
            .filter(|section| section.accepted)
            .filter_map(|section| section.mid.as_ref())
        {
            write!(text, " {mid}")?;
        }
        text.push_str("\r\n");
    }
    text.push_str("a=ice-lite\r\na=msid-semantic: WMS *\r\n");
    let mut slots = ours.slots.iter();
    let receiving: Vec<usize> = offer.receiving().collect();
    let mut first = true;
    for (number, section) in offer.sections.iter().enumerate() {
        if !section.accepted {
            refused(text, section)?;
            continue;
        }
        let slot = if receiving.contains(&number) {
            slots.next()
        } else {
            None
        };
        accepted(text, offer, ours, section, slot, first)?;
        first = false;
    }
    Ok(())
}

/// A section that is not ours to speak: port 0, its own formats given back (RFC 3264 §6).
fn refused(text: &mut String, section: &Section) -> std::fmt::Result {
    write!(text, "m={} 0 {}", section.kind, section.protocol)?;
    for format in &section.formats {
        write!(text, " {format}")?;
    }
    text.push_str("\r\nc=IN IP4 0.0.0.0\r\n");
    if let Some(mid) = &section.mid {
        write!(text, "a=mid:{mid}\r\n")?;
    }
    text.push_str("a=inactive\r\n");
    Ok(())
}

fn accepted(
    text: &mut String,
    offer: &Offer,
    ours: &Ours<'_>,
    section: &Section,
    slot: Option<&SlotParams>,
    first: bool,
) -> std::fmt::Result {
    let red = offer.red.filter(|_| ours.red != Red::Off && section.red() == offer.red);
    let dtmf = offer.dtmf.filter(|_| section.dtmf() == offer.dtmf);
    let mut formats = match (ours.red, red) {
        (Red::Prefer, Some(red)) => vec![red, offer.opus],
        (_, Some(red)) => vec![offer.opus, red],
        (_, None) => vec![offer.opus],
    };
    formats.extend(dtmf);
    let default = ours.candidates.first();
    write!(
        text,
        "m=audio {} {}",
        default.map_or(9, SocketAddr::port),
        section.protocol
    )?;
    for format in &formats {
        write!(text, " {format}")?;
    }
    text.push_str("\r\n");
    match default.map(SocketAddr::ip) {
        Some(IpAddr::V4(ip)) => write!(text, "c=IN IP4 {ip}\r\n")?,
        Some(IpAddr::V6(ip)) => write!(text, "c=IN IP6 {ip}\r\n")?,
        None => text.push_str("c=IN IP4 0.0.0.0\r\n"),
    }
    if let Some(mid) = &section.mid {
        write!(text, "a=mid:{mid}\r\n")?;
    }
    write!(
        text,
        "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=fingerprint:sha-256 ",
        ours.ufrag, ours.pwd
    )?;
    for (n, byte) in ours.fingerprint.0.iter().enumerate() {
        write!(text, "{}{byte:02X}", if n == 0 { "" } else { ":" })?;
    }
    text.push_str("\r\na=setup:passive\r\na=rtcp-mux\r\na=rtcp-rsize\r\n");
    codecs(text, offer.opus, offer.nack && section.nack(), red, dtmf)?;
    if let Some(id) = offer.audio_level.filter(|_| section.level == offer.audio_level) {
        write!(text, "a=extmap:{id} {AUDIO_LEVEL}\r\n")?;
    }
    let hears = ours.uplink && section.direction.sends();
    write!(text, "a={}\r\n", direction(hears, slot.is_some()).word())?;
    if let Some(slot) = slot {
        let ssrc = slot.ssrc;
        write!(text, "a=msid:helpline audio-{ssrc}\r\na=ssrc:{ssrc} cname:helpline\r\n")?;
        write!(text, "a=ssrc:{ssrc} msid:helpline audio-{ssrc}\r\n")?;
    }
    if first {
        candidates(text, ours.candidates)?;
    }
    Ok(())
}

/// Ours, given whether we hear and whether we send.
const fn direction(hears: bool, sends: bool) -> Direction {
    match (hears, sends) {
        (true, true) => Direction::SendRecv,
        (false, true) => Direction::SendOnly,
        (true, false) => Direction::RecvOnly,
        (false, false) => Direction::Inactive,
    }
}

fn codecs(text: &mut String, opus: u8, nack: bool, red: Option<u8>, dtmf: Option<u8>) -> std::fmt::Result {
    write!(text, "a=rtpmap:{opus} opus/48000/2\r\na=fmtp:{opus} {OPUS_FORMAT}\r\n")?;
    if nack {
        write!(text, "a=rtcp-fb:{opus} nack\r\n")?;
    }
    if let Some(red) = red {
        write!(text, "a=rtpmap:{red} red/48000/2\r\na=fmtp:{red} {opus}/{opus}\r\n")?;
    }
    if let Some(kind) = dtmf {
        write!(text, "a=rtpmap:{kind} telephone-event/48000\r\na=fmtp:{kind} 0-15\r\n")?;
    }
    text.push_str("a=ptime:20\r\na=maxptime:60\r\n");
    Ok(())
}

/// Host candidates, best first, and the mark that there are no more.
pub(super) fn candidates(text: &mut String, addresses: &[SocketAddr]) -> std::fmt::Result {
    for (n, address) in addresses.iter().enumerate() {
        let preference = 65_535 - u32::try_from(n).unwrap_or(65_535).min(65_535);
        let priority = HOST_PREFERENCE << 24 | preference << 8 | 255;
        let (ip, port) = (address.ip(), address.port());
        write!(text, "a=candidate:{} 1 udp {priority} {ip} {port} typ host\r\n", n + 1)?;
    }
    text.push_str("a=end-of-candidates\r\n");
    Ok(())
}
