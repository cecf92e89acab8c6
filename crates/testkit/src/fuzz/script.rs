//! A whole shard driven by bytes: legs come, speak, move, reload and go in any order, between them anything at all.

use std::net::SocketAddr;
use std::sync::Arc;

use media_core::command::Command;
use media_core::counters::Totals;
use media_core::event::Cause as End;
use media_core::limits::{DATAGRAM_BYTES_MAX, MS};
use media_core::matrix::{Part, Stance, Tap};
use media_core::music::Music;
use media_core::rtp::Header;
use media_core::shard::Tables;

use crate::bed::{Bed, Client, ROOM, Sent};

use super::witness::{AGENT, CUSTOMER, Cause, Fresh, PLACES, SUPERVISOR, Witness};
use super::{Input, aside};

const PARTS: [Part; PLACES] = [Part::Customer, Part::Agent, Part::Supervisor, Part::Preflight];
/// Steps of one script: more teach nothing new and cost the fuzzer its speed.
const STEPS_MAX: usize = 512;
/// One tick of the shard's clock, in which at most one frame of the music is due.
const TICK: u64 = 10 * MS;
/// Ticks between two frames of the music.
const FRAME_TICKS: usize = 2;
/// A frame of it: 20 ms of Opus, as far as anybody looks at it.
const TUNE: [u8; 24] = [0xF8; 24];

struct Stage<'a> {
    bed: Bed,
    clients: Vec<Client>,
    witness: Witness,
    input: Input<'a>,
    /// Packets of which it is certain who heard them, and frames of the music.
    heard: (usize, usize),
}

/// Runs a script.
///
/// # Panics
/// If a datagram is counted twice or not at all; something is sent to an address of which no check was answered, or
/// under other keys than its owner's, or two packets under one nonce; somebody hears whom he may not, or does not hear
/// whom he may and the shard counts no reason; something is taped against the plan; or an end leaves something behind.
pub fn script(data: &[u8]) {
    let mut stage = aside(|| Stage::new(Input(data)));
    for _ in 0..STEPS_MAX {
        let Some(step) = stage.input.next() else { break };
        stage.step(step);
        let totals = stage.bed.shard.totals();
        assert_eq!(totals.accounted(), totals.datagrams);
    }
    stage.end();
}

impl<'a> Stage<'a> {
    /// Customer and agent are up and talk.
    fn new(input: Input<'a>) -> Stage<'a> {
        let client = |number: u16| {
            let mut client = Client::new(number, PARTS[usize::from(number)]);
            client.nack = true;
            client
        };
        let clients: Vec<_> = (0..PLACES as u16).map(client).collect();
        let mut stage = Stage {
            witness: Witness::new(&clients),
            bed: Bed::default(),
            clients,
            input,
            heard: (0, 0),
        };
        let music = Music::new([&TUNE[..]].into_iter()).expect("a frame of 20 ms");
        stage.bed.shard.set_music(Arc::new(music));
        for place in [CUSTOMER, AGENT] {
            stage.command(10, place);
            let check = stage.clients[place].check(true);
            stage.from(place, &check);
            stage.command(14, place);
        }
        stage.plan(0b0101);
        stage
    }
}

impl Stage<'_> {
    fn step(&mut self, step: u8) {
        let place = usize::from(step >> 4) % self.clients.len();
        match step & 15 {
            0 => {
                let ticks = usize::from(self.input.byte()) * 5;
                self.wait(ticks);
            }
            1 => {
                let packet = self.clients[place].speak(&[step; 20]);
                let fresh = self.from(place, &packet);
                self.said(place, &fresh, &[step; 20]);
            }
            2 => {
                let check = self.clients[place].check(step & 64 != 0);
                self.from(place, &check);
            }
            3 => {
                let report = self.clients[place].report(0, self.input.byte());
                self.from(place, &report);
            }
            4 => self.mangled(place),
            5 => {
                let len = usize::from(self.input.byte());
                let bytes = self.input.bytes(len).to_vec();
                self.from(place, &bytes);
            }
            6 => {
                let len = usize::from(self.input.byte()) * 8;
                let bytes = self.input.bytes(len).to_vec();
                let sent = self.bed.datagram(SocketAddr::from(([203, 0, 113, 1], 1)), &bytes);
                assert!(sent.is_empty(), "a stranger is never answered, nor anybody for him");
                self.settle(Cause::Nobody, &sent);
            }
            7 => {
                let stances = self.input.byte();
                self.plan(stances);
            }
            8 => self.sealed_rtp(place),
            9 => self.sealed_rtcp(place),
            _ => self.command(step & 15, place),
        }
    }

    /// One datagram of a client, and what nobody was sent before.
    fn from(&mut self, place: usize, bytes: &[u8]) -> Vec<Fresh> {
        let bytes = &bytes[..bytes.len().min(DATAGRAM_BYTES_MAX + 1)];
        let before = *self.bed.shard.totals();
        let sent = self.bed.datagram(self.clients[place].address, bytes);
        let totals = *self.bed.shard.totals();
        aside(|| {
            let audience = self.witness.audience(place);
            let fresh = self.look(Some(place), &sent);
            assert_eq!(fresh.len() as u64, totals.rtp_forwarded - before.rtp_forwarded);
            let ears = fresh.iter().fold(0u8, |bits, fresh| bits | 1 << fresh.to);
            assert_eq!(ears.count_ones() as usize, fresh.len(), "nobody hears a packet twice");
            if totals.rtp_opened > before.rtp_opened && lost(&totals) == lost(&before) {
                assert_eq!(audience & !ears, 0, "who hears {place} by the plan, and can be reached");
                self.heard.0 += fresh.len();
            }
            fresh
        })
    }

    /// Time passes; who is on hold all the while hears the music all the while.
    fn wait(&mut self, ticks: usize) {
        let played_to = |stage: &Self| std::array::from_fn(|place| stage.witness.is_played_to(place));
        let mut held: [bool; PLACES] = played_to(self);
        let mut frames = [0usize; PLACES];
        for _ in 0..ticks {
            let sent = self.bed.advance(TICK);
            aside(|| {
                for fresh in self.look(None, &sent) {
                    assert_eq!(fresh.payload, TUNE, "nothing else is played");
                    frames[fresh.to] += 1;
                }
                let still: [bool; PLACES] = played_to(self);
                (0..PLACES).for_each(|place| held[place] &= still[place]);
            });
        }
        for place in (0..PLACES).filter(|&place| held[place]) {
            assert!(
                frames[place].abs_diff(ticks / FRAME_TICKS) <= 1,
                "{frames:?} in {ticks} ticks"
            );
            self.heard.1 += frames[place];
        }
    }

    fn look(&mut self, from: Option<usize>, sent: &[Sent]) -> Vec<Fresh> {
        let clients = std::mem::take(&mut self.clients);
        let cause = from.map_or(Cause::Time, |place| Cause::From(place, &clients[place]));
        let fresh = self.settle(cause, sent);
        self.clients = clients;
        fresh
    }

    /// Whoever heard these packets heard what was said, under his own numbers.
    fn said(&self, speaker: usize, fresh: &[Fresh], words: &[u8]) {
        for fresh in fresh {
            let ear = &self.clients[fresh.to];
            assert_eq!(fresh.payload, words, "what {speaker} said");
            assert!((0..ear.slots).any(|place| ear.slot_ssrc(place) == fresh.header.ssrc));
            assert_eq!(fresh.header.payload_type, ear.numbers.opus);
        }
    }

    /// A good packet or check with one byte changed, or cut.
    fn mangled(&mut self, place: usize) {
        let (kind, at, with) = (self.input.byte(), self.input.byte(), self.input.byte());
        let client = &mut self.clients[place];
        let mut bytes = match kind & 3 {
            0 => client.check(true),
            1 => client.report(0, 1),
            _ => client.speak(&[kind; 30]),
        };
        let at = usize::from(at) % bytes.len();
        if with == 0 {
            bytes.truncate(at);
        } else {
            bytes[at] ^= with;
        }
        self.from(place, &bytes);
    }

    /// Authentic, and inside whatever the input says.
    fn sealed_rtp(&mut self, place: usize) {
        let (first, kind, len) = (self.input.byte(), self.input.byte(), self.input.byte());
        let client = &mut self.clients[place];
        let mut plain = vec![0x80 | first & 0x3F, kind];
        plain.extend_from_slice(&(client.index as u16).to_be_bytes());
        plain.extend_from_slice(&client.timestamp.to_be_bytes());
        plain.extend_from_slice(&client.numbers.ssrc.to_be_bytes());
        plain.extend_from_slice(self.input.bytes(usize::from(len)));
        if Header::parse(&plain).is_err() {
            return;
        }
        let packet = client.seal(plain);
        client.index += u64::from(first >> 6) * 700 + 1;
        self.from(place, &packet);
    }

    /// A report of any kind, or a request for packets of the first stream, with entries of the input's own.
    fn sealed_rtcp(&mut self, place: usize) {
        let len = usize::from(self.input.byte());
        let mut plain = vec![0x80, 201, 0, 1, 0, 0, 0, 0];
        plain.extend_from_slice(self.input.bytes(len));
        plain[1] = 200 + self.input.byte() % 8;
        if plain[1] == 205 && plain.len() >= 12 {
            let words = (plain.len() / 4 - 1) as u16;
            plain[2..4].copy_from_slice(&words.to_be_bytes());
            plain[8..12].copy_from_slice(&self.clients[place].slot_ssrc(0).to_be_bytes());
            plain.truncate(4 * (usize::from(words) + 1));
        }
        let packet = self.clients[place].seal_rtcp(&plain);
        self.from(place, &packet);
    }

    /// Two bits a leg: is on hold, talks, is muted, is not named; of the supervisor: whispers, listens, barges.
    fn plan(&mut self, bits: u8) {
        let stance = |place: usize| match (bits >> (2 * place) & 3, place) {
            (0, SUPERVISOR) => Stance::Whisper,
            (1, SUPERVISOR) => Stance::Listen,
            (2, SUPERVISOR) => Stance::Barge,
            (0, _) => Stance::Held,
            (1, _) => Stance::Talk,
            (2, _) => Stance::Muted,
            _ => Stance::Waiting,
        };
        let stances: [Stance; PLACES] = std::array::from_fn(stance);
        let legs = self.clients.iter().map(|client| client.leg).zip(stances);
        // Who is not named waits.
        let named: Vec<_> = legs.filter(|(_, stance)| *stance != Stance::Waiting).collect();
        let tap = if bits & 1 == 1 { Tap::On } else { Tap::Paused };
        self.bed.plan(&named, tap);
        aside(|| {
            self.witness.planned(stances, tap);
            self.settle(Cause::Nobody, &[]);
        });
    }

    fn command(&mut self, step: u8, place: usize) {
        let now = self.bed.now;
        let (client, witness) = (&mut self.clients[place], &mut self.witness);
        let leg = client.leg;
        // A refusal is part of the game: legs may be there or not.
        match step {
            10 => {
                if self.bed.add(ROOM, client).is_ok() {
                    aside(|| witness.added(place, client));
                }
            }
            11 => {
                client.reload();
                let transport = Box::new(client.transport());
                if self.bed.shard.command(now, Command::Attach { leg, transport }).is_ok() {
                    aside(|| witness.attached(place, client));
                }
            }
            12 => {
                client.restart();
                if self.bed.shard.command(now, client.restart_command()).is_ok() {
                    aside(|| witness.restarted(client));
                }
            }
            13 => client.address.set_port(4_000 + u16::from(self.input.byte() % 4)),
            14 => {
                if self.bed.establish(client).is_ok() {
                    aside(|| witness.keyed(client));
                }
            }
            _ => {
                let cause = End::Kicked;
                let _ = self.bed.shard.command(now, Command::RemoveLeg { leg, cause });
            }
        }
        assert!(
            self.bed.shard.transmissions().is_empty(),
            "no command here sends anything"
        );
        aside(|| self.settle(Cause::Nobody, &[]));
    }

    /// Takes all that the shard hands out, and has it judged.
    fn settle(&mut self, cause: Cause<'_>, sent: &[Sent]) -> Vec<Fresh> {
        while self.bed.shard.poll_job().is_some() {}
        while self.bed.shard.poll_second().is_some() {}
        for event in self.bed.events() {
            self.witness.event(&event);
        }
        let fresh = self.witness.judge(cause, sent);
        self.witness.taped(cause, &self.bed.tape.records);
        self.bed.tape.records.clear();
        self.witness.bury(std::iter::from_fn(|| self.bed.shard.poll_ended()));
        assert!(sent.iter().all(|sent| sent.bytes.len() <= DATAGRAM_BYTES_MAX + 16));
        let tables = self.bed.shard.tables();
        assert!(tables.legs <= 4 && tables.transports <= 8 && tables.addresses <= 32 && tables.ufrags <= 16);
        fresh
    }

    fn end(mut self) {
        let close = Command::CloseRoom {
            room: ROOM,
            cause: End::HangUp,
        };
        let closed = self.bed.shard.command(self.bed.now, close);
        assert!(closed.is_ok(), "the room was made with the first leg");
        assert_eq!(self.bed.shard.tables(), Tables::default());
    }
}

/// Packets and copies of them that the shard says did not reach somebody, whatever the reason.
fn lost(totals: &Totals) -> u64 {
    let one = [
        totals.drop_inside,
        totals.drop_payload_type,
        totals.drop_second_ssrc,
        totals.repaired_late,
    ];
    let copies = [totals.drop_slot, totals.drop_seal, totals.drop_arena, totals.drop_dtmf];
    one.iter().chain(&copies).sum()
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// A script, and what is certain to have been heard in it: packets of voices, frames of music.
    fn heard(data: &[u8]) -> (usize, usize) {
        let mut stage = Stage::new(Input(data));
        while let Some(step) = stage.input.next() {
            stage.step(step);
        }
        let heard = stage.heard;
        stage.end();
        heard
    }

    /// Supervisor and preflight come up.
    const ALL_COME: [u8; 6] = [0x2A, 0x22, 0x2E, 0x3A, 0x32, 0x3E];
    /// All four speak.
    const ALL_SPEAK: [u8; 4] = [0x01, 0x11, 0x21, 0x31];

    /// A script whose bytes mean nothing would find nothing.
    #[test]
    fn who_is_to_be_heard_is_heard() {
        // Customer and agent talk, the supervisor whispers, listens, barges, waits; preflight tests its line.
        // By speaker: the customer, the agent, the supervisor, the line test.
        for (supervisor, ears) in [(0, 2 + 2 + 1 + 1), (1, 2 + 2 + 1), (2, 2 + 2 + 2 + 1), (3, 1 + 1 + 1)] {
            let plan = [0x07, 0b0100_0101 | supervisor << 4];
            let script = [&ALL_COME[..], &plan, &ALL_SPEAK].concat();
            assert_eq!(heard(&script).0, ears, "stance {supervisor}");
        }
        assert_eq!(heard(&[0x07, 0x54, 0x00, 20, 0x11]), (0, 50), "a second on hold");
    }

    /// The customer moves, loads the page anew and checks from the same address: the old transport is sent nothing.
    #[test]
    fn who_lost_his_address_to_a_new_page_is_not_missed() {
        let moved = [0x0d, 2, 0x42, 0x0b, 0x0d, 2, 0x02];
        let held = [0x07, 0x00, 0x00, 100];
        assert_eq!(
            heard(&[&moved[..], &held].concat()).1,
            250,
            "the agent alone hears the music"
        );
    }

    /// What the shard sent the agent for a word of the customer, with everything up, not judged yet.
    fn a_word<'a>() -> (Stage<'a>, Vec<Sent>) {
        let mut stage = Stage::new(Input(&[]));
        let packet = stage.clients[CUSTOMER].speak(b"word");
        let sent = stage.bed.datagram(stage.clients[CUSTOMER].address, &packet);
        assert_eq!(sent.len(), 1);
        (stage, sent)
    }

    /// Whether the witness lets something pass that was made of the word.
    fn passes(make: impl FnOnce(&mut Stage<'_>, &mut Vec<Sent>)) -> bool {
        let (mut stage, mut sent) = a_word();
        make(&mut stage, &mut sent);
        catch_unwind(AssertUnwindSafe(|| stage.look(Some(CUSTOMER), &sent))).is_ok()
    }

    #[test]
    fn the_witness_sees_what_is_wrong() {
        assert!(passes(|_, _| {}), "nothing is wrong");
        assert!(
            !passes(|_, sent| sent[0].to.set_port(1)),
            "an address that passed no check"
        );
        assert!(
            !passes(|stage, sent| sent[0].to = stage.clients[CUSTOMER].address),
            "keys of somebody else"
        );
        assert!(!passes(|_, sent| sent[0].bytes[20] ^= 1), "a packet that does not open");
        assert!(
            !passes(|_, sent| sent.extend_from_within(..)),
            "sent again, and nobody asked"
        );
        assert!(!passes(|_, sent| sent[0].bytes[0] = 22), "a handshake that nobody made");
        let held = [Stance::Talk, Stance::Held, Stance::Waiting, Stance::Waiting];
        assert!(
            !passes(|stage, _| stage.witness.planned(held, Tap::On)),
            "who is on hold hears a voice"
        );
        let twice = |stage: &mut Stage<'_>, sent: &mut Vec<Sent>| {
            // Another word sealed under the first one's number.
            let mut keys = stage.clients[AGENT].server_keys();
            let mut plain = vec![0x80, 97];
            plain.extend_from_slice(&sent[0].bytes[2..12]);
            let index = u64::from(u16::from_be_bytes([plain[2], plain[3]]));
            plain.extend_from_slice(b"other");
            let len = plain.len();
            plain.resize(len + media_core::srtp::RTP_OVERHEAD_MAX, 0);
            let len = keys.outbound.seal_rtp(&mut plain, len, index).expect("room");
            plain.truncate(len);
            sent.push(Sent {
                bytes: plain,
                ..sent[0].clone()
            });
        };
        assert!(!passes(twice), "two packets under one nonce");
        let gone = |stage: &mut Stage<'_>, _: &mut Vec<Sent>| stage.command(15, AGENT);
        assert!(!passes(gone), "who is over is sent nothing");
    }
}
