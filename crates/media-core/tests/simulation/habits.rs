//! What one client does by itself: checks, handshake, speech, reports, moves, reloads; and what reaches it.

use std::net::SocketAddr;

use media_core::TransportId;
use media_core::command::Command;
use media_core::dtls::Certificate;
use media_core::limits::{MS, SECOND};
use media_core::matrix::{Part, Stance, Tap};

use crate::judge::may_hear;
use crate::media::{Heard, Under, Word};
use crate::peer::{CHECK, CHECK_FIRST, Life, credentials};
use crate::relay;
use crate::story::Act;
use crate::world::{Habit, Inbound, What, World};

/// Addresses that are kept for the next who needs one.
const LEFT: usize = 64;
/// Of 1,000 addresses, those behind the relay.
const BEHIND_RELAY: u64 = 300;

impl World {
    /// An address that nobody ever had, on the wire or behind the relay.
    pub(crate) fn new_address(&mut self) -> SocketAddr {
        self.next_address += 1;
        if self.chance.permille(BEHIND_RELAY) {
            self.figures.count("addresses behind the relay");
            return relay::virtual_address(self.next_address);
        }
        let [_, a, b, c] = self.next_address.to_be_bytes();
        SocketAddr::from(([10, a, b, c], 20_000 + self.next_address as u16 % 10_000))
    }

    pub(crate) fn new_transport(&mut self) -> TransportId {
        self.next_transport += 1;
        TransportId(self.next_transport)
    }

    /// The certificate with this number.
    pub(crate) fn certificate(&self, number: usize) -> &Certificate {
        &self.certificates[number % self.certificates.len()]
    }

    /// The client has its answer after a while, and begins.
    pub(crate) fn begins_checks(&mut self, peer: usize, after: u64) {
        self.next_time(peer, Habit::Check, after);
    }

    fn next_time(&mut self, peer: usize, habit: Habit, after: u64) {
        let transport = self.peers[peer].transport;
        self.later(after, What::Does { peer, transport, habit });
    }

    /// A client sends.
    pub(crate) fn send(&mut self, peer: usize, bytes: Vec<u8>, proof: Option<TransportId>) {
        let client = &mut self.peers[peer];
        client.overhear(&bytes, proof, &mut self.chance);
        let (from, leg) = (client.address, client.leg);
        let behind = relay::is_virtual(from).then_some(leg);
        let times = client.up.carry(self.now, &mut self.chance, &mut self.figures.network);
        for at in times.into_iter().flatten() {
            let bytes = bytes.clone();
            let inbound = Inbound {
                from,
                behind,
                bytes,
                proof,
            };
            self.later(at - self.now, What::Arrives(inbound));
        }
    }

    pub(crate) fn does(&mut self, peer: usize, transport: TransportId, habit: Habit) {
        let client = &mut self.peers[peer];
        if client.transport != transport || client.life == Life::Gone {
            return;
        }
        if client.asleep_until > self.now {
            let rest = client.asleep_until - self.now;
            return self.next_time(peer, habit, rest);
        }
        match habit {
            Habit::Check => {
                let after = if client.answered { CHECK } else { CHECK_FIRST };
                if client.life != Life::Mute {
                    self.checks(peer);
                }
                self.next_time(peer, Habit::Check, after);
            }
            Habit::Speak => {
                let frame = client.frame;
                if let Some(packet) = client.media.speak(self.now, (frame * 48 / MS) as u32, &mut self.chance) {
                    self.send(peer, packet, None);
                }
                self.next_time(peer, Habit::Speak, frame);
            }
            Habit::Report => {
                if let Some(report) = client.media.report(&mut self.chance) {
                    self.send(peer, report, None);
                }
                let after = self.chance.between(1_000, 5_000) * MS;
                self.next_time(peer, Habit::Report, after);
            }
            Habit::Handshake => {
                let now = self.clock.instant(self.now);
                if let Some(dtls) = client.dtls.as_mut()
                    && dtls.next_timeout().is_some_and(|due| due <= now)
                {
                    dtls.timeout(now);
                    self.shaken(peer);
                }
            }
        }
    }

    pub(crate) fn checks(&mut self, peer: usize) {
        let client = &mut self.peers[peer];
        let proof = client.transport;
        let bytes = client.check(None);
        self.send(peer, bytes, Some(proof));
    }

    /// Sends what the handshake wants sent.
    fn shaken(&mut self, peer: usize) {
        let mut out = Vec::new();
        let (fresh, due) = self.peers[peer].drain(&mut out);
        for bytes in out {
            self.send(peer, bytes, None);
        }
        if let Some(due) = due {
            let after = self.clock.nanoseconds(due).saturating_sub(self.now);
            self.next_time(peer, Habit::Handshake, after);
        }
        if fresh {
            self.peers[peer].up_at = self.now;
            let after = self.chance.between(0, 20) * MS;
            self.next_time(peer, Habit::Speak, after);
            self.next_time(peer, Habit::Report, SECOND);
        }
    }

    /// A datagram comes to an address.
    pub(crate) fn reaches(&mut self, to: SocketAddr, transport: TransportId, under: Under, bytes: Vec<u8>) {
        let Some(&peer) = self.routes.get(&to) else { return };
        let now = self.clock.instant(self.now);
        let client = &mut self.peers[peer];
        if client.transport != transport || client.life == Life::Gone || client.asleep_until > self.now {
            return;
        }
        if (20..=63).contains(&bytes[0]) {
            if let Some(dtls) = client.dtls.as_mut() {
                dtls.datagram(now, &bytes);
                self.shaken(peer);
            }
            return;
        }
        let mut out = Vec::new();
        let heard = client.take(bytes, under, &mut out);
        let begins = client.answered && client.dtls.is_none() && client.life != Life::WithoutHandshake;
        for bytes in out {
            self.send(peer, bytes, None);
        }
        if begins {
            // Who shows another certificate than it announced has his neighbour's.
            let client = &self.peers[peer];
            let shown = client.certificate + usize::from(client.life == Life::Impostor);
            let (own, server) = (self.certificate(shown).clone(), self.helper.certificate.clone());
            self.peers[peer].shake_hands(now, &own, &server);
            self.shaken(peer);
        }
        self.heard(peer, under.epoch, heard);
    }

    fn heard(&mut self, peer: usize, epoch: u64, heard: Heard) {
        let call = &self.calls[self.peers[peer].call];
        let own = call.part_under(epoch, peer);
        match heard {
            Heard::Word(word) => self.word(peer, epoch, word),
            Heard::Music => {
                let held = own.is_some_and(|(_, stance)| matches!(stance, Stance::Held | Stance::Queued));
                let talks = own.is_some_and(|(part, stance)| {
                    part != Part::Supervisor && matches!(stance, Stance::Talk | Stance::Muted | Stance::Consult)
                });
                let comforted = talks && self.judge.may_comfort(self.now, call.room);
                let unmet = matches!(own, Some((Part::Customer, Stance::Talk | Stance::Muted)));
                let unmet = unmet && !self.judge.met(self.now, call.company_under(epoch, peer));
                assert!(held || comforted || unmet, "music for {own:?} at {}", self.now);
                self.figures.music_heard += 1;
                self.peers[peer].hears_music(self.now, epoch);
            }
            Heard::Tone => {
                let told = call.is_told(epoch, peer);
                assert!(told, "a tone for {own:?} at {}", self.now);
                self.figures.tones_heard += 1;
            }
            Heard::Wrong(what) => panic!("{what} reached {own:?}, client {peer}, at {}", self.now),
            Heard::Again | Heard::Report | Heard::Early => {}
        }
    }

    /// Whoever hears a word was to hear it when it was sent.
    fn word(&mut self, peer: usize, epoch: u64, word: Word) {
        let call = &self.calls[self.peers[peer].call];
        let sink = call.part_under(epoch, peer);
        let source = call.part_under(epoch, word.speaker as usize);
        let allowed = sink.zip(source).is_some_and(|(sink, source)| may_hear(sink, source));
        assert!(
            allowed,
            "client {peer} ({sink:?}) hears client {} ({source:?}) of another call or against plan {epoch}",
            word.speaker
        );
        self.figures.words_heard += 1;
        self.peers[peer].hears(self.now, epoch, word.speaker);
    }

    /// A record of the tap, taken a moment ago: the plan in force let it be taken.
    pub(crate) fn taped(&mut self, tap: u32, packet: (u32, u32), rebuilt: bool) {
        let peer = tap as usize;
        let call = &self.calls[self.peers[peer].call];
        let (on, _) = &call.plans[call.epoch as usize];
        let own = call.part_under(call.epoch, peer);
        let of_the_call = matches!(
            own,
            Some((
                Part::Customer | Part::Agent | Part::Partner,
                Stance::Talk | Stance::Consult
            )) | Some((Part::Supervisor, Stance::Barge))
        );
        assert!(*on == Tap::On && of_the_call, "taped: {own:?} while the tap is {on:?}");
        self.judge.taped(self.now, self.peers[peer].leg, packet, rebuilt);
    }

    /// The client sends from elsewhere from now on; `checks`: it knows and tells at once.
    pub(crate) fn moves(&mut self, peer: usize, checks: bool) {
        let address = self.new_address();
        self.moves_to(peer, address);
        if checks {
            self.checks(peer);
        }
    }

    pub(crate) fn moves_to(&mut self, peer: usize, address: SocketAddr) {
        let before = std::mem::replace(&mut self.peers[peer].address, address);
        self.leave_address(peer, before);
        self.routes.insert(address, peer);
    }

    /// Unless somebody else has it by now, an address is free for the next.
    fn leave_address(&mut self, peer: usize, address: SocketAddr) {
        if self.routes.get(&address) != Some(&peer) {
            return;
        }
        self.routes.remove(&address);
        // A freed port of the relay rests, and its next life is another path.
        if self.left.len() < LEFT && !relay::is_virtual(address) {
            self.left.push(address);
        }
    }

    /// It sends nothing more, and nothing reaches it.
    pub(crate) fn gone(&mut self, peer: usize) {
        self.peers[peer].life = Life::Gone;
        self.peers[peer].dtls = None;
        self.peers[peer].media.keys = None;
        let address = self.peers[peer].address;
        self.leave_address(peer, address);
    }

    pub(crate) fn says_good_bye(&mut self, peer: usize) {
        let now = self.clock.instant(self.now);
        if let Some(dtls) = self.peers[peer].dtls.as_mut() {
            dtls.close(now);
            self.shaken(peer);
        }
    }

    /// The page is loaded anew: it asks for another transport of its leg.
    pub(crate) fn reload(&mut self, peer: usize) {
        let (address, transport) = (self.new_address(), self.new_transport());
        let before = self.peers[peer].address;
        self.leave_address(peer, before);
        self.routes.insert(address, peer);
        let client = &mut self.peers[peer];
        client.life = Life::Well;
        client.reload(transport, address, &mut self.chance);
        let call = client.call;
        let after = self.chance.between(100, 800) * MS;
        self.later(
            after,
            What::Acts {
                call,
                act: Act::Attaches(peer, transport),
            },
        );
    }

    /// The desk asks for the transport of a new page, unless the page was left meanwhile.
    pub(crate) fn attach(&mut self, peer: usize, transport: TransportId) {
        let client = &self.peers[peer];
        if client.transport != transport || client.life == Life::Gone {
            return;
        }
        let (leg, transport) = (
            client.leg,
            Box::new(client.new_transport(self.certificate(client.certificate), &self.helper.certificate)),
        );
        if !self.judge.is_living(leg) {
            let refused = self.command(Command::Attach { leg, transport });
            assert!(refused.is_err(), "an ended leg cannot be revived");
            self.figures.count("reloads that came too late");
            return self.gone(peer);
        }
        self.judge.attached(leg, transport.id);
        self.command(Command::Attach { leg, transport })
            .expect("the leg lives and the transport is new");
        self.begins_checks(peer, 100 * MS);
    }

    /// The client has the answer to its ICE restart.
    pub(crate) fn restarted(&mut self, peer: usize) {
        let client = &mut self.peers[peer];
        let ice = credentials(client.transport.0 << 16 | u64::from(client.restarts));
        client.restart(ice);
        if client.life == Life::Well {
            self.checks(peer);
        }
    }
}
