//! A whole shard driven by bytes: legs come, speak, move, reload and go in any order, between them anything at all.

use std::net::SocketAddr;

use media_core::LegId;
use media_core::command::Command;
use media_core::event::Cause;
use media_core::limits::{DATAGRAM_BYTES_MAX, MS};
use media_core::matrix::{Part, Stance, Tap};
use media_core::rtp::Header;
use media_core::shard::Tables;

use crate::bed::{Bed, Client, ROOM, Sent};

use super::Input;

const PARTS: [Part; 4] = [Part::Customer, Part::Agent, Part::Supervisor, Part::Preflight];
/// Steps of one script: more teach nothing new and cost the fuzzer its speed.
const STEPS_MAX: usize = 512;

struct Stage<'a> {
    bed: Bed,
    clients: Vec<Client>,
    input: Input<'a>,
}

/// Runs a script.
///
/// # Panics
/// If a datagram is counted twice or not at all, something is sent to an address that passed no check, the shard's
/// own packets do not open, or an end leaves something behind.
pub fn script(data: &[u8]) {
    let client = |number: u16| {
        let mut client = Client::new(number, PARTS[usize::from(number)]);
        client.nack = true;
        client
    };
    let clients = (0..4).map(client).collect();
    let mut stage = Stage {
        bed: Bed::default(),
        clients,
        input: Input(data),
    };
    for place in 0..2 {
        stage.bed.bring_up(&mut stage.clients[place]);
    }
    stage.plan(0b0101);
    for _ in 0..STEPS_MAX {
        let Some(step) = stage.input.next() else { break };
        stage.step(step);
        let totals = stage.bed.shard.totals();
        assert_eq!(totals.accounted(), totals.datagrams);
        while stage.bed.shard.poll_job().is_some() {}
        while stage.bed.shard.poll_second().is_some() {}
        stage.bed.events();
        stage.bed.tape.records.clear();
    }
    stage.end();
}

impl Stage<'_> {
    fn step(&mut self, step: u8) {
        let place = usize::from(step >> 4) % self.clients.len();
        let sent = match step & 15 {
            0 => {
                let time = u64::from(self.input.byte()) * 50 * MS;
                self.bed.advance(time)
            }
            1 => {
                let packet = self.clients[place].speak(&[step; 20]);
                self.from(place, &packet)
            }
            2 => {
                let check = self.clients[place].check(step & 64 != 0);
                self.from(place, &check)
            }
            3 => {
                let report = self.clients[place].report(0, self.input.byte());
                self.from(place, &report)
            }
            4 => self.mangled(place),
            5 => {
                let len = usize::from(self.input.byte());
                let bytes = self.input.bytes(len);
                let bytes = bytes.to_vec();
                self.from(place, &bytes)
            }
            6 => {
                let len = usize::from(self.input.byte()) * 8;
                let bytes = self.input.bytes(len).to_vec();
                self.bed.datagram(SocketAddr::from(([203, 0, 113, 1], 1)), &bytes)
            }
            7 => {
                let stances = self.input.byte();
                self.plan(stances);
                Vec::new()
            }
            8 => self.sealed_rtp(place),
            9 => {
                let len = usize::from(self.input.byte());
                let mut plain = vec![0x80, 201, 0, 1, 0, 0, 0, 0];
                plain.extend_from_slice(self.input.bytes(len));
                plain[1] = 200 + self.input.byte() % 8;
                if plain[1] == 205 && plain.len() >= 12 {
                    // A NACK for the first stream, with entries of the input's own.
                    let words = (plain.len() / 4 - 1) as u16;
                    plain[2..4].copy_from_slice(&words.to_be_bytes());
                    plain[8..12].copy_from_slice(&self.clients[place].slot_ssrc(0).to_be_bytes());
                    plain.truncate(4 * (usize::from(words) + 1));
                }
                let packet = self.clients[place].seal_rtcp(&plain);
                self.from(place, &packet)
            }
            _ => {
                self.command(step & 15, place);
                Vec::new()
            }
        };
        self.judge(&sent);
    }

    fn from(&mut self, place: usize, bytes: &[u8]) -> Vec<Sent> {
        let bytes = &bytes[..bytes.len().min(DATAGRAM_BYTES_MAX + 1)];
        self.bed.datagram(self.clients[place].address, bytes)
    }

    /// A good packet or check with one byte changed, or cut.
    fn mangled(&mut self, place: usize) -> Vec<Sent> {
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
        self.from(place, &bytes)
    }

    /// Authentic, and inside whatever the input says.
    fn sealed_rtp(&mut self, place: usize) -> Vec<Sent> {
        let (first, kind, len) = (self.input.byte(), self.input.byte(), self.input.byte());
        let client = &mut self.clients[place];
        let mut plain = vec![0x80 | first & 0x3F, kind];
        plain.extend_from_slice(&(client.index as u16).to_be_bytes());
        plain.extend_from_slice(&client.timestamp.to_be_bytes());
        plain.extend_from_slice(&client.numbers.ssrc.to_be_bytes());
        plain.extend_from_slice(self.input.bytes(usize::from(len)));
        if Header::parse(&plain).is_err() {
            return Vec::new();
        }
        let packet = client.seal(plain);
        client.index += u64::from(first >> 6) * 700 + 1;
        self.from(place, &packet)
    }

    /// Two bits a leg: is on hold, talks, is muted, is not named.
    fn plan(&mut self, bits: u8) {
        let stance = |place: usize| match bits >> (2 * place) & 3 {
            0 => Some(Stance::Held),
            1 => Some(Stance::Talk),
            2 => Some(Stance::Muted),
            _ => None,
        };
        let stances: Vec<(LegId, Stance)> = self
            .clients
            .iter()
            .enumerate()
            .filter_map(|(place, client)| Some((client.leg, stance(place)?)))
            .collect();
        self.bed
            .plan(&stances, if bits & 1 == 1 { Tap::On } else { Tap::Paused });
    }

    fn command(&mut self, step: u8, place: usize) {
        let now = self.bed.now;
        let client = &mut self.clients[place];
        let leg = client.leg;
        // A refusal is part of the game: legs may be there or not.
        let _ = match step {
            10 => self.bed.add(ROOM, client),
            11 => {
                client.reload();
                let transport = Box::new(client.transport());
                self.bed.shard.command(now, Command::Attach { leg, transport })
            }
            12 => {
                client.restart();
                self.bed.shard.command(now, client.restart_command())
            }
            13 => {
                client.address.set_port(4_000 + u16::from(self.input.byte() % 4));
                Ok(())
            }
            14 => self.bed.establish(client),
            _ => {
                let cause = Cause::Kicked;
                self.bed.shard.command(now, Command::RemoveLeg { leg, cause })
            }
        };
        self.bed.shard.flushed();
    }

    fn judge(&mut self, sent: &[Sent]) {
        let stranger = SocketAddr::from(([203, 0, 113, 1], 1));
        assert!(
            sent.iter().all(|sent| sent.to != stranger),
            "a stranger is never sent anything"
        );
        assert!(
            sent.iter()
                .all(|sent| !sent.bytes.is_empty() && sent.bytes.len() <= DATAGRAM_BYTES_MAX + 16)
        );
        let tables = self.bed.shard.tables();
        assert!(tables.legs <= 4 && tables.transports <= 8 && tables.addresses <= 32 && tables.ufrags <= 16);
    }

    fn end(mut self) {
        let close = Command::CloseRoom {
            room: ROOM,
            cause: Cause::HangUp,
        };
        let closed = self.bed.shard.command(self.bed.now, close);
        assert!(closed.is_ok(), "the room was made with the first leg");
        assert_eq!(self.bed.shard.tables(), Tables::default());
    }
}
