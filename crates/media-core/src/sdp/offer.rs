//! What an offer says, as far as audio needs it.

use std::collections::HashMap;

use crate::command::{MediaParams, SlotParams};
use crate::dtls::Fingerprint;
use crate::limits::{REMOTE_UFRAG_BYTES_MAX, SLOTS_PER_LEG_MAX};

use super::value::{hex_bytes, uses_fec};
use super::{LINE_BYTES_MAX, LINES_MAX, OFFER_BYTES_MAX, Red, SECTIONS_MAX};

/// Password lengths (RFC 8839 §5.4).
const PWD_BYTES: std::ops::RangeInclusive<usize> = 22..=256;
/// User name fragment lengths (RFC 8839 §5.4).
const UFRAG_BYTES: std::ops::RangeInclusive<usize> = 4..=REMOTE_UFRAG_BYTES_MAX;
/// Payload types that mean anything with `rtcp-mux` (RFC 5761 §4): 64 to 95 would look like RTCP.
const TYPES_MAX: u8 = 127;
/// Identifiers of the one-byte form of header extensions (RFC 8285 §4.2).
const EXTENSION_IDS: std::ops::RangeInclusive<u8> = 1..=14;
/// The extension that tells a packet's level (RFC 6464).
pub(super) const AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";

/// Why an offer was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// More than [`OFFER_BYTES_MAX`], [`LINES_MAX`] or [`LINE_BYTES_MAX`].
    #[error("the offer is too large")]
    TooLarge,
    /// More than [`SECTIONS_MAX`].
    #[error("the offer has too many sections")]
    TooManySections,
    /// Not SDP, or a line that cannot be what it says.
    #[error("the offer is malformed")]
    Malformed,
    /// No audio section with Opus.
    #[error("the offer has no audio section with Opus")]
    WithoutOpus,
    /// No SHA-256 fingerprint.
    #[error("the offer has no SHA-256 fingerprint")]
    NoFingerprint,
    /// A fingerprint that is empty or no 32 bytes.
    #[error("the fingerprint is malformed")]
    FingerprintMalformed,
    /// Two sections of one bundle with different fingerprints.
    #[error("the fingerprints contradict one another")]
    FingerprintMismatch,
    /// `setup:passive`: we are passive ourselves.
    #[error("the offer wants to be the DTLS server")]
    SetupPassive,
    /// Both sides lite.
    #[error("the offer is ICE-lite")]
    IceLite,
    /// No usable `ice-ufrag` or `ice-pwd`.
    #[error("the offer has no ICE credentials")]
    NoIceCredentials,
    /// RTCP on a port of its own.
    #[error("the offer does not multiplex RTCP")]
    NoRtcpMux,
}

impl Refused {
    /// Every refusal.
    pub const ALL: [Refused; 11] = [
        Refused::TooLarge,
        Refused::TooManySections,
        Refused::Malformed,
        Refused::WithoutOpus,
        Refused::NoFingerprint,
        Refused::FingerprintMalformed,
        Refused::FingerprintMismatch,
        Refused::SetupPassive,
        Refused::IceLite,
        Refused::NoIceCredentials,
        Refused::NoRtcpMux,
    ];

    /// Stable snake_case word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Refused::TooLarge => "offer_too_large",
            Refused::TooManySections => "offer_too_many_sections",
            Refused::Malformed => "offer_malformed",
            Refused::WithoutOpus => "offer_without_opus",
            Refused::NoFingerprint => "offer_without_fingerprint",
            Refused::FingerprintMalformed => "fingerprint_malformed",
            Refused::FingerprintMismatch => "fingerprint_mismatch",
            Refused::SetupPassive => "setup_passive",
            Refused::IceLite => "ice_lite_offer",
            Refused::NoIceCredentials => "offer_without_ice_credentials",
            Refused::NoRtcpMux => "offer_without_rtcp_mux",
        }
    }
}

/// Which way a section's audio goes, from the side that says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// The sayer sends.
    SendOnly,
    /// The sayer receives.
    RecvOnly,
    /// Nobody.
    Inactive,
}

impl Direction {
    /// True if the sayer sends.
    #[must_use]
    pub const fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// True if the sayer receives.
    #[must_use]
    pub const fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    /// The attribute.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }
}

/// How many candidates of which type an offer carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    /// `typ host` with an address.
    pub host: u32,
    /// `typ host` with a `.local` name.
    pub mdns: u32,
    /// `typ srflx` and `prflx`.
    pub reflexive: u32,
    /// `typ relay`.
    pub relay: u32,
}

/// One `m=` section.
#[derive(Clone, Debug, Default)]
pub(super) struct Section {
    /// The first word of the `m=` line.
    pub(super) kind: String,
    /// The transport word of the `m=` line, given back when the section is refused.
    pub(super) protocol: String,
    /// The formats of the `m=` line, in order.
    pub(super) formats: Vec<String>,
    pub(super) mid: Option<String>,
    pub(super) direction: Direction,
    /// True if it is answered; else it gets port 0.
    pub(super) accepted: bool,
    port: u16,
    bundle_only: bool,
    rtcp_mux: bool,
    /// Payload type to (codec in lower case, clock rate).
    codecs: HashMap<u8, (String, u32)>,
    pub(super) level: Option<u8>,
    /// The formats with generic NACK as feedback, as written; `*` is all of them.
    nacks: Vec<String>,
    /// The payload types whose format parameters ask for in-band FEC.
    fec: Vec<u8>,
    facts: Facts,
}

/// What may stand on session or section level.
#[derive(Clone, Debug, Default)]
struct Facts {
    ufrag: Option<String>,
    pwd: Option<String>,
    fingerprints: Vec<Fingerprint>,
    fingerprint_bad: bool,
    setup: Option<String>,
    direction: Option<Direction>,
}

/// A read offer.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The client's user name fragment.
    pub ufrag: String,
    /// The client's password; a lite agent never sends checks, so nobody uses it.
    pub pwd: String,
    /// SHA-256 of the client's certificate.
    pub fingerprint: Fingerprint,
    /// What it said of candidates.
    pub candidates: Candidates,
    /// Payload type of Opus.
    pub opus: u8,
    /// Payload type of RED over Opus.
    pub red: Option<u8>,
    /// Payload type of telephone events at 48 kHz, the clock of Opus. Those at 8 kHz are not taken: in one stream
    /// with Opus their times cannot be told apart (RFC 7160).
    pub dtmf: Option<u8>,
    /// Id of the level extension.
    pub audio_level: Option<u8>,
    /// True if it offers generic NACK for Opus (RFC 4585 §4.2).
    pub nack: bool,
    /// True if it makes use of in-band FEC of Opus (RFC 7587 §6.1).
    pub fec: bool,
    pub(super) sections: Vec<Section>,
    pub(super) bundle: bool,
}

/// Reads an offer.
///
/// # Errors
/// [`Refused`].
pub fn read_offer(text: &str) -> Result<Offer, Refused> {
    if text.len() > OFFER_BYTES_MAX {
        return Err(Refused::TooLarge);
    }
    let mut reader = Reader::default();
    for (number, line) in text.lines().enumerate() {
        if number >= LINES_MAX || line.len() > LINE_BYTES_MAX {
            return Err(Refused::TooLarge);
        }
        if number == 0 && line != "v=0" {
            return Err(Refused::Malformed);
        }
        // A lone carriage return could otherwise come back in our answer as a line of its own.
        if line.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(Refused::Malformed);
        }
        if !line.is_empty() {
            reader.line(line)?;
        }
    }
    reader.finish()
}

#[derive(Default)]
struct Reader {
    session: Facts,
    bundle: Option<Vec<String>>,
    ice_lite: bool,
    sections: Vec<Section>,
    candidates: Candidates,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), Refused> {
        let (kind, value) = line.split_once('=').ok_or(Refused::Malformed)?;
        match kind {
            "m" => self.section(value),
            "a" => self.attribute(value),
            _ if kind.len() == 1 => Ok(()),
            _ => Err(Refused::Malformed),
        }
    }

    fn section(&mut self, value: &str) -> Result<(), Refused> {
        if self.sections.len() >= SECTIONS_MAX {
            return Err(Refused::TooManySections);
        }
        let mut words = value.split_ascii_whitespace();
        let kind = words.next().ok_or(Refused::Malformed)?;
        let port = words
            .next()
            .and_then(|port| port.split('/').next())
            .ok_or(Refused::Malformed)?;
        let protocol = words.next().ok_or(Refused::Malformed)?;
        self.sections.push(Section {
            kind: kind.to_owned(),
            protocol: protocol.to_owned(),
            formats: words.map(str::to_owned).collect(),
            port: port.parse().map_err(|_| Refused::Malformed)?,
            ..Section::default()
        });
        Ok(())
    }

    fn attribute(&mut self, attribute: &str) -> Result<(), Refused> {
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        match name {
            "ice-lite" => self.ice_lite = true,
            "candidate" => self.candidate(value),
            "group" => {
                let mut words = value.split_ascii_whitespace();
                if words.next() == Some("BUNDLE") {
                    self.bundle = Some(words.map(str::to_owned).collect());
                }
            }
            _ => {
                let facts = match self.sections.last_mut() {
                    Some(section) => {
                        section.attribute(name, value)?;
                        &mut section.facts
                    }
                    None => &mut self.session,
                };
                facts.attribute(name, value);
            }
        }
        Ok(())
    }

    /// Counted, never parsed further: nothing in it can be wrong enough to matter.
    fn candidate(&mut self, value: &str) {
        let mut words = value.split_ascii_whitespace();
        let address = words.nth(4).unwrap_or_default();
        let kind = words.nth(2).unwrap_or_default();
        let count = match kind {
            "host" if address.to_ascii_lowercase().ends_with(".local") => &mut self.candidates.mdns,
            "host" => &mut self.candidates.host,
            "srflx" | "prflx" => &mut self.candidates.reflexive,
            "relay" => &mut self.candidates.relay,
            _ => return,
        };
        *count += 1;
    }

    fn finish(mut self) -> Result<Offer, Refused> {
        if self.ice_lite {
            return Err(Refused::IceLite);
        }
        let session_direction = self.session.direction.unwrap_or_default();
        for section in &mut self.sections {
            section.direction = section.facts.direction.unwrap_or(session_direction);
        }
        let first = self
            .sections
            .iter()
            .position(|section| section.usable())
            .ok_or(Refused::WithoutOpus)?;
        let bundle = self.bundle.as_deref();
        let together = |section: &Section| match (bundle, &section.mid) {
            (Some(mids), Some(mid)) => mids.contains(mid),
            (_, _) => false,
        };
        let first_together = self.sections.get(first).is_some_and(together);
        // The engine keeps one table of payload types per transport: a section with another Opus is not taken.
        let opus = self.sections.get(first).and_then(Section::opus);
        for (n, section) in self.sections.iter_mut().enumerate() {
            let alike = first_together && together(section) && section.opus() == opus;
            section.accepted = section.usable() && (n == first || alike);
        }
        let main = self.sections.get(first).ok_or(Refused::WithoutOpus)?;
        if !main.rtcp_mux {
            return Err(Refused::NoRtcpMux);
        }
        let setup = main.facts.setup.as_deref().or(self.session.setup.as_deref());
        match setup {
            None | Some("actpass" | "active") => {}
            Some("passive") => return Err(Refused::SetupPassive),
            Some(_) => return Err(Refused::Malformed),
        }
        let (ufrag, pwd) = credentials(&main.facts, &self.session)?;
        let fingerprint = self.fingerprint()?;
        let opus = main.opus().ok_or(Refused::WithoutOpus)?;
        Ok(Offer {
            ufrag,
            pwd,
            fingerprint,
            candidates: self.candidates,
            opus,
            red: main.red(),
            dtmf: main.dtmf(),
            audio_level: main.level,
            nack: main.nack(),
            fec: main.fec.contains(&opus),
            bundle: first_together,
            sections: self.sections,
        })
    }

    /// The one fingerprint of all accepted sections.
    fn fingerprint(&self) -> Result<Fingerprint, Refused> {
        let accepted = self
            .sections
            .iter()
            .filter(|section| section.accepted)
            .map(|section| &section.facts);
        let all: Vec<&Facts> = accepted.chain([&self.session]).collect();
        let mut good = all.iter().flat_map(|facts| &facts.fingerprints);
        let Some(first) = good.next() else {
            let bad = all.iter().any(|facts| facts.fingerprint_bad);
            return Err(if bad {
                Refused::FingerprintMalformed
            } else {
                Refused::NoFingerprint
            });
        };
        if all.iter().any(|facts| facts.fingerprint_bad) {
            return Err(Refused::FingerprintMalformed);
        }
        if good.any(|other| other != first) {
            return Err(Refused::FingerprintMismatch);
        }
        Ok(*first)
    }
}

fn credentials(own: &Facts, session: &Facts) -> Result<(String, String), Refused> {
    let ufrag = own
        .ufrag
        .as_ref()
        .or(session.ufrag.as_ref())
        .filter(|text| is_ufrag(text));
    let pwd = own.pwd.as_ref().or(session.pwd.as_ref()).filter(|text| is_pwd(text));
    match (ufrag, pwd) {
        (Some(ufrag), Some(pwd)) => Ok((ufrag.clone(), pwd.clone())),
        (_, _) => Err(Refused::NoIceCredentials),
    }
}

/// True for a user name fragment (RFC 8839 §5.4).
pub(super) fn is_ufrag(text: &str) -> bool {
    UFRAG_BYTES.contains(&text.len()) && is_ice_chars(text)
}

/// True for a password (RFC 8839 §5.4).
pub(super) fn is_pwd(text: &str) -> bool {
    PWD_BYTES.contains(&text.len()) && is_ice_chars(text)
}

fn is_ice_chars(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

impl Facts {
    fn attribute(&mut self, name: &str, value: &str) {
        match name {
            "ice-ufrag" => self.ufrag = Some(value.trim().to_owned()),
            "ice-pwd" => self.pwd = Some(value.trim().to_owned()),
            "setup" => self.setup = Some(value.trim().to_owned()),
            "fingerprint" => self.fingerprint(value),
            "sendrecv" => self.direction = Some(Direction::SendRecv),
            "sendonly" => self.direction = Some(Direction::SendOnly),
            "recvonly" => self.direction = Some(Direction::RecvOnly),
            "inactive" => self.direction = Some(Direction::Inactive),
            _ => {}
        }
    }

    /// Only SHA-256 counts (RFC 8122 §5); other functions may stand beside it.
    fn fingerprint(&mut self, value: &str) {
        let mut words = value.split_ascii_whitespace();
        let function = words.next().unwrap_or_default();
        let known = ["sha-1", "sha-224", "sha-384", "sha-512", "md5", "md2"];
        if known.iter().any(|other| function.eq_ignore_ascii_case(other)) {
            return;
        }
        let bytes = words
            .next()
            .filter(|_| function.eq_ignore_ascii_case("sha-256"))
            .and_then(hex_bytes);
        match bytes {
            Some(bytes) if words.next().is_none() => self.fingerprints.push(Fingerprint(bytes)),
            Some(_) | None => self.fingerprint_bad = true,
        }
    }
}

impl Section {
    fn attribute(&mut self, name: &str, value: &str) -> Result<(), Refused> {
        match name {
            "mid" => self.mid = Some(value.trim().to_owned()),
            "rtcp-mux" | "rtcp-mux-only" => self.rtcp_mux = true,
            "bundle-only" => self.bundle_only = true,
            "rtpmap" => self.rtpmap(value)?,
            "extmap" => self.extmap(value),
            "rtcp-fb" => self.feedback(value),
            "fmtp" => self.fec.extend(uses_fec(value)),
            _ => {}
        }
        Ok(())
    }

    /// `111 opus/48000/2`.
    fn rtpmap(&mut self, value: &str) -> Result<(), Refused> {
        let (kind, codec) = value.split_once(' ').ok_or(Refused::Malformed)?;
        let kind: u8 = kind.parse().map_err(|_| Refused::Malformed)?;
        let mut parts = codec.trim().split('/');
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let rate = parts
            .next()
            .and_then(|rate| rate.parse().ok())
            .ok_or(Refused::Malformed)?;
        let listed = self.formats.iter().any(|format| format.parse() == Ok(kind));
        if listed && kind <= TYPES_MAX && !(64..=95).contains(&kind) {
            self.codecs.insert(kind, (name, rate));
        }
        Ok(())
    }

    /// `111 nack` or `* nack`; `111 nack pli` is another thing.
    fn feedback(&mut self, value: &str) {
        let mut words = value.split_ascii_whitespace();
        if let (Some(format), Some("nack"), None) = (words.next(), words.next(), words.next()) {
            self.nacks.push(format.to_owned());
        }
    }

    /// `1 urn:…` or `1/sendonly urn:…`.
    fn extmap(&mut self, value: &str) {
        let mut words = value.split_ascii_whitespace();
        let id = words
            .next()
            .and_then(|id| id.split('/').next())
            .and_then(|id| id.parse().ok());
        if let (Some(id), Some(AUDIO_LEVEL)) = (id, words.next())
            && EXTENSION_IDS.contains(&id)
        {
            self.level = Some(id);
        }
    }

    /// The first payload type of a codec, in the offer's order.
    fn codec(&self, name: &str, rate: u32) -> Option<u8> {
        let mut order = self.formats.iter().filter_map(|format| format.parse::<u8>().ok());
        order.find(|kind| {
            self.codecs
                .get(kind)
                .is_some_and(|codec| codec.0 == name && codec.1 == rate)
        })
    }

    fn opus(&self) -> Option<u8> {
        self.codec("opus", 48_000)
    }

    pub(super) fn red(&self) -> Option<u8> {
        self.codec("red", 48_000)
    }

    pub(super) fn dtmf(&self) -> Option<u8> {
        self.codec("telephone-event", 48_000)
    }

    /// True if Opus has generic NACK here.
    pub(super) fn nack(&self) -> bool {
        let opus = self.opus();
        let mut nacks = self.nacks.iter();
        nacks.any(|format| format == "*" || opus.is_some_and(|opus| format.parse() == Ok(opus)))
    }

    fn usable(&self) -> bool {
        let alive = self.port != 0 || self.bundle_only;
        self.kind == "audio" && alive && self.protocol.ends_with("SAVPF") && self.opus().is_some()
    }
}

impl Offer {
    /// Sections that the client can receive on, in order: each carries one slot.
    pub(super) fn receiving(&self) -> impl Iterator<Item = usize> + '_ {
        let sections = self.sections.iter().enumerate();
        let fit = sections.filter(|(_, section)| section.accepted && section.direction.receives());
        fit.map(|(n, _)| n).take(SLOTS_PER_LEG_MAX)
    }

    /// True if the client means to send.
    #[must_use]
    pub fn sends(&self) -> bool {
        self.sections
            .iter()
            .any(|section| section.accepted && section.direction.sends())
    }

    /// True if it has one section and that is taken: nothing of it is refused.
    #[must_use]
    pub fn is_taken_whole(&self) -> bool {
        matches!(self.sections.as_slice(), [only] if only.accepted)
    }

    /// What the engine needs of it. `uplink`: whether the leg may speak; `red`: what is answered to redundant audio;
    /// `slots`: its outgoing streams.
    #[must_use]
    pub fn media_params(&self, uplink: bool, red: Red, slots: [Option<SlotParams>; SLOTS_PER_LEG_MAX]) -> MediaParams {
        let receiving = self.receiving().count();
        let mut slots = slots;
        for slot in slots.iter_mut().skip(receiving) {
            *slot = None;
        }
        MediaParams {
            opus: self.opus,
            red: self.red.filter(|_| red != Red::Off),
            dtmf: self.dtmf,
            audio_level: self.audio_level,
            nack: self.nack,
            fec: self.fec,
            uplink: uplink && self.sends(),
            slots,
        }
    }
}
