//! The sound of one client: what it says, what it hears, what it asks for again.
//!
//! Every packet says who speaks, so that whoever opens it can tell whether he was to hear it.
//!
//! Invariant: what the engine sent to this client opens with its keys, and between two switches of a source its
//! numbers go on as the speaker's do.

use std::collections::VecDeque;

use media_core::command::{MediaParams, SlotParams};
use media_core::limits::SLOTS_PER_LEG_MAX;
use media_core::rtcp::{self, Block, Packet};
use media_core::srtp::{Keys, RTCP_OVERHEAD_MAX, RTP_OVERHEAD_MAX, Refused};

use crate::chance::Chance;

/// First byte of what a client says.
const VOICE: u8 = b'V';
/// A frame of the music: 20 ms of Opus by its first byte (RFC 6716 §3.1), and a mark.
pub(crate) const TUNE: [u8; 24] = [0xF8; 24];
/// A frame of the tone that tells of supervisors.
pub(crate) const TONE: [u8; 24] = {
    let mut frame = TUNE;
    frame[23] = 1;
    frame
};
/// Bytes of a word and what is beside it: about 20 kbit/s at 50 packets/s.
pub(crate) const WORD_BYTES: usize = 40;
/// Packets kept to send again.
const KEPT: usize = 32;
/// A gap longer than this is not asked for.
const ASKED_MAX: u64 = 8;
/// Sources and plans between which numbers are compared.
const THREADS: usize = 8;

/// One packet of a voice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// Who speaks.
    pub(crate) speaker: u32,
    /// Grows with whatever breaks the numbering or time of this voice.
    pub(crate) stream: u16,
    /// Counts packets of the voice; with its sequence number.
    pub(crate) said: u32,
    /// The voice has just changed its stream: late packets of the one before may still interrupt it.
    pub(crate) fresh: bool,
}

/// What was in force when a packet was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Under {
    /// The plan of the call.
    pub(crate) epoch: u64,
    /// How often the stream had turned between voices and music.
    pub(crate) turns: u32,
}

/// What came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Word(Word),
    Music,
    Tone,
    /// A copy, or too late.
    Again,
    Report,
    /// No keys yet.
    Early,
    /// Must not be.
    Wrong(&'static str),
}

/// Numbers of a source as this client gets them: between two switches the distance stays.
#[derive(Clone, Copy, Debug)]
struct Thread {
    ssrc: u32,
    speaker: u32,
    stream: u16,
    under: Under,
    distance: i64,
}

pub(crate) struct Media {
    /// Who speaks.
    pub(crate) number: u32,
    pub(crate) params: MediaParams,
    pub(crate) keys: Option<Box<Keys>>,
    pub(crate) ssrc: u32,
    pub(crate) stream: u16,
    /// Sources used under these keys.
    pub(crate) sources: u32,
    /// Until then words are marked as fresh.
    pub(crate) fresh_until: u64,
    index: u64,
    timestamp: u32,
    said: u32,
    kept: VecDeque<(u16, Vec<u8>)>,
    threads: VecDeque<Thread>,
    newest: [(u32, u64); SLOTS_PER_LEG_MAX],
}

impl Media {
    /// `first_ssrc`: of the streams to this client; three in a row are its.
    pub(crate) fn new(number: u32, first_ssrc: u32, uplink: bool, chance: &mut Chance) -> Media {
        let small = (number % 8) as u8;
        let slot = |place: usize| SlotParams {
            ssrc: first_ssrc + place as u32,
            sequence: 0x7FF0 + place as u16,
            timestamp: u32::MAX - 4_000,
        };
        let params = MediaParams {
            opus: 96 + small,
            red: chance.permille(300).then_some(104 + small),
            dtmf: Some(112 + small),
            audio_level: Some(1 + small),
            nack: chance.permille(700),
            fec: number.is_multiple_of(2),
            uplink,
            slots: std::array::from_fn(|place| Some(slot(place))),
        };
        Media {
            number,
            params,
            keys: None,
            ssrc: 0x4000_0000 | chance.below(1 << 30) as u32,
            stream: 0,
            sources: 1,
            fresh_until: 0,
            index: chance.below(1 << 15),
            timestamp: chance.below(1 << 32) as u32,
            said: 0,
            kept: VecDeque::new(),
            threads: VecDeque::new(),
            newest: std::array::from_fn(|place| (first_ssrc + place as u32, 0)),
        }
    }

    /// The next packet; `samples` have passed since the one before. `None` without keys.
    pub(crate) fn speak(&mut self, now: u64, samples: u32, chance: &mut Chance) -> Option<Vec<u8>> {
        let keys = self.keys.as_mut()?;
        let level = self.params.audio_level.unwrap_or(1);
        let red = self.params.red.filter(|_| self.said % 2 == 1);
        let mut packet = vec![0x90, red.unwrap_or(self.params.opus)];
        packet.extend_from_slice(&(self.index as u16).to_be_bytes());
        packet.extend_from_slice(&self.timestamp.to_be_bytes());
        packet.extend_from_slice(&self.ssrc.to_be_bytes());
        packet.extend_from_slice(&[0xBE, 0xDE, 0, 1, level << 4, 0x80 | chance.below(60) as u8, 0, 0]);
        if red.is_some() {
            // The packet before, once more (RFC 2198 §3).
            let header = u32::from(0x80 | self.params.opus) << 24 | samples.min(0x3FFF) << 10 | WORD_BYTES as u32;
            packet.extend_from_slice(&header.to_be_bytes());
            packet.push(self.params.opus);
            packet.extend(word(self.number, self.stream, self.said.wrapping_sub(1), false));
        }
        packet.extend(word(self.number, self.stream, self.said, now < self.fresh_until));
        let len = packet.len();
        packet.resize(len + RTP_OVERHEAD_MAX, 0);
        let sealed = keys.outbound.seal_rtp(&mut packet, len, self.index).ok()?;
        packet.truncate(sealed);
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((self.index as u16, packet.clone()));
        self.index += 1;
        self.said += 1;
        self.timestamp = self.timestamp.wrapping_add(samples);
        Some(packet)
    }

    /// Words said so far.
    pub(crate) fn said(&self) -> u32 {
        self.said
    }

    /// Another source of the same voice, as a track that is replaced makes it.
    pub(crate) fn change_source(&mut self, now: u64, chance: &mut Chance) {
        self.ssrc = self.ssrc.wrapping_add(1);
        self.index = chance.below(1 << 15);
        self.timestamp = chance.below(1 << 32) as u32;
        self.break_off(now);
        self.sources += 1;
        self.kept.clear();
    }

    /// The clock of this client jumps.
    pub(crate) fn jump(&mut self, now: u64, samples: u32) {
        self.timestamp = self.timestamp.wrapping_add(samples);
        self.break_off(now);
    }

    /// Numbering or time of the voice breaks here.
    pub(crate) fn break_off(&mut self, now: u64) {
        self.stream += 1;
        self.fresh_until = now + media_core::limits::SECOND;
    }

    /// A receiver report, now and then about loss.
    pub(crate) fn report(&mut self, chance: &mut Chance) -> Option<Vec<u8>> {
        let (ssrc, newest) = self.newest[0];
        let block = Block {
            ssrc,
            fraction_lost: chance.below(30) as u8,
            highest: newest as u32,
            ..Block::default()
        };
        let mut plain = [0; 256];
        let len = rtcp::receiver_report(&mut plain, self.ssrc, &[block], "client").ok()?;
        self.seal(&plain[..len])
    }

    fn seal(&mut self, plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys.as_mut()?;
        let mut packet = plain.to_vec();
        packet.resize(plain.len() + RTCP_OVERHEAD_MAX, 0);
        let sealed = keys.outbound.seal_rtcp(&mut packet, plain.len()).ok()?;
        packet.truncate(sealed);
        Some(packet)
    }

    /// One packet for this client, sent `under` what was in force then; what it makes the client send.
    pub(crate) fn take_rtp(&mut self, mut packet: Vec<u8>, under: Under, out: &mut Vec<Vec<u8>>) -> Heard {
        let Some(keys) = self.keys.as_mut() else {
            return Heard::Early;
        };
        let opened = match keys.inbound.open_rtp(&mut packet) {
            Ok(opened) => opened,
            Err(Refused::Replayed | Refused::TooOld) => return Heard::Again,
            Err(_) => return Heard::Wrong("a packet that does not open"),
        };
        let header = opened.header;
        let Ok(range) = header.payload(&packet[..opened.len]) else {
            return Heard::Wrong("a packet with broken padding");
        };
        let mut payload = &packet[range];
        if Some(header.payload_type) == self.params.red {
            let Some(primary) = media_core::red::primary(payload) else {
                return Heard::Wrong("broken redundancy");
            };
            payload = &payload[primary.at..];
        } else if header.payload_type != self.params.opus {
            return Heard::Wrong("a payload type that was not negotiated");
        }
        self.ask(header.ssrc, opened.index, out);
        if payload == TUNE {
            return Heard::Music;
        }
        if payload == TONE {
            return Heard::Tone;
        }
        let Some(word) = read(payload) else {
            return Heard::Wrong("a payload that nobody said");
        };
        if self.goes_on(header.ssrc, opened.index, under, word) {
            Heard::Word(word)
        } else {
            Heard::Wrong("numbers that do not go on")
        }
    }

    /// Asks for what lies between the newest packet and this one.
    fn ask(&mut self, ssrc: u32, index: u64, out: &mut Vec<Vec<u8>>) {
        let Some((_, newest)) = self.newest.iter_mut().find(|(known, _)| *known == ssrc) else {
            return;
        };
        let before = std::mem::replace(newest, index.max(*newest));
        let missing = index.saturating_sub(before + 1);
        if before == 0 || missing == 0 || missing > ASKED_MAX || !self.params.nack {
            return;
        }
        let numbers: Vec<u16> = (before + 1..index).map(|index| index as u16).collect();
        let mut plain = [0; 128];
        if let Ok(len) = rtcp::nack(&mut plain, self.ssrc, ssrc, &numbers) {
            out.extend(self.seal(&plain[..len]));
        }
    }

    fn goes_on(&mut self, ssrc: u32, index: u64, under: Under, word: Word) -> bool {
        if word.fresh {
            self.threads.retain(|thread| thread.speaker != word.speaker);
            return true;
        }
        let distance = index as i64 - i64::from(word.said);
        let known = self.threads.iter().find(|thread| {
            (thread.ssrc, thread.speaker, thread.stream, thread.under) == (ssrc, word.speaker, word.stream, under)
        });
        if let Some(known) = known {
            return known.distance == distance;
        }
        if self.threads.len() == THREADS {
            self.threads.pop_front();
        }
        self.threads.push_back(Thread {
            ssrc,
            speaker: word.speaker,
            stream: word.stream,
            under,
            distance,
        });
        true
    }

    /// One compound for this client; what it is asked for goes out again.
    pub(crate) fn take_rtcp(&mut self, mut packet: Vec<u8>, out: &mut Vec<Vec<u8>>) -> Heard {
        let Some(keys) = self.keys.as_mut() else {
            return Heard::Early;
        };
        let len = match keys.inbound.open_rtcp(&mut packet) {
            Ok(len) => len,
            Err(Refused::Replayed | Refused::TooOld) => return Heard::Again,
            Err(_) => return Heard::Wrong("a report that does not open"),
        };
        let Ok(compound) = rtcp::parse(&packet[..len]) else {
            return Heard::Wrong("a report that is none");
        };
        for packet in compound {
            if let Packet::Nack(nack) = packet
                && nack.media == self.ssrc
            {
                let wanted = nack.numbers();
                let kept = wanted.filter_map(|number| self.kept.iter().find(|(kept, _)| *kept == number));
                out.extend(kept.map(|(_, packet)| packet.clone()));
            }
        }
        Heard::Report
    }
}

fn word(speaker: u32, stream: u16, said: u32, fresh: bool) -> [u8; WORD_BYTES] {
    let mut bytes = [0x55; WORD_BYTES];
    bytes[0] = VOICE;
    bytes[1..5].copy_from_slice(&speaker.to_be_bytes());
    bytes[5..7].copy_from_slice(&stream.to_be_bytes());
    bytes[7..11].copy_from_slice(&said.to_be_bytes());
    bytes[11] = u8::from(fresh);
    bytes
}

/// The word in a payload.
pub(crate) fn read(payload: &[u8]) -> Option<Word> {
    match payload {
        [VOICE, a, b, c, d, s, t, e, f, g, h, fresh, ..] if payload.len() == WORD_BYTES => Some(Word {
            speaker: u32::from_be_bytes([*a, *b, *c, *d]),
            stream: u16::from_be_bytes([*s, *t]),
            said: u32::from_be_bytes([*e, *f, *g, *h]),
            fresh: *fresh == 1,
        }),
        _ => None,
    }
}
