//! Somebody who reads what a client sends and can send under any address, but knows no key.

use std::net::SocketAddr;

use media_core::LegId;
use media_core::limits::MS;

use crate::relay;
use crate::world::{Inbound, What, World};

/// The leg of somebody who is in no call of ours any more.
const NOBODY: LegId = LegId(u128::MAX);
/// Forged packets at once under a client's own address: far below its rate, which every sender there shares.
const FORGED: u64 = 10;

/// One kind of attack.
#[derive(Clone, Copy, Debug)]
enum Attack {
    ReplayedCheckElsewhere,
    ReplayedHere,
    ReplayedElsewhere,
    ForgedMedia,
    ForgedReport,
    ForgedCheck,
    StrangersHandshake,
    ForeignCredential,
    SpoofedGoodBye,
    Garbage,
}

const ATTACKS: [(Attack, &str); 10] = [
    (Attack::ReplayedCheckElsewhere, "attack: check replayed from elsewhere"),
    (Attack::ReplayedHere, "attack: datagram replayed from its own address"),
    (Attack::ReplayedElsewhere, "attack: datagram replayed from elsewhere"),
    (
        Attack::ForgedMedia,
        "attack: media with the right source and wrong keys",
    ),
    (
        Attack::ForgedReport,
        "attack: report with the right source and wrong keys",
    ),
    (Attack::ForgedCheck, "attack: check with a wrong password"),
    (
        Attack::StrangersHandshake,
        "attack: handshake from an unchecked address",
    ),
    (
        Attack::ForeignCredential,
        "attack: through the relay with another leg's credential",
    ),
    (Attack::SpoofedGoodBye, "attack: spoofed good-bye"),
    (Attack::Garbage, "attack: garbage"),
];

impl World {
    /// Something hostile against one client.
    pub(crate) fn attack(&mut self, peer: usize) {
        let (attack, name) = self.chance.pick(&ATTACKS);
        self.figures.count(name);
        let own = self.peers[peer].address;
        let stranger = self.stranger();
        match attack {
            Attack::ReplayedCheckElsewhere => self.replays(peer, stranger, true),
            Attack::ReplayedHere => self.replays(peer, own, false),
            Attack::ReplayedElsewhere => self.replays(peer, stranger, false),
            Attack::ForgedMedia => {
                let (ssrc, kind) = (self.peers[peer].media.ssrc, self.peers[peer].media.params.opus);
                for _ in 0..FORGED {
                    let mut bytes = self.chance.bytes(80);
                    bytes[..2].copy_from_slice(&[0x80, kind]);
                    bytes[8..12].copy_from_slice(&ssrc.to_be_bytes());
                    self.strikes(peer, own, bytes);
                }
            }
            Attack::ForgedReport => {
                let ssrc = self.peers[peer].media.ssrc;
                for _ in 0..FORGED {
                    let mut bytes = self.chance.bytes(60);
                    bytes[..4].copy_from_slice(&[0x80, 201, 0, 1]);
                    bytes[4..8].copy_from_slice(&ssrc.to_be_bytes());
                    self.strikes(peer, own, bytes);
                }
            }
            Attack::ForgedCheck => {
                let forged = self.peers[peer].check(Some("a password that nobody gave out"));
                self.strikes(peer, stranger, forged.clone());
                self.strikes(peer, own, forged);
            }
            Attack::StrangersHandshake => {
                let mut hello = self.chance.bytes(200);
                // A handshake record of epoch 0 (RFC 6347 §4.1).
                hello[..13].copy_from_slice(&[22, 0xFE, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0, 187]);
                self.strikes(peer, stranger, hello);
                if let Some(overheard) = self.overheard(peer, |bytes| (20..=63).contains(&bytes[0])) {
                    self.strikes(peer, stranger, overheard);
                }
            }
            Attack::ForeignCredential => {
                // A way of one's own, and through it what somebody else has sent: right in everything but the leg.
                let kept: Vec<_> = self.peers[peer].overheard.iter().cloned().collect();
                self.next_address += 1;
                let from = relay::virtual_address(self.next_address);
                for overheard in kept {
                    let after = self.chance.between(1, 50) * MS;
                    let inbound = Inbound {
                        from,
                        behind: Some(NOBODY),
                        bytes: overheard.bytes,
                        proof: None,
                    };
                    self.later(after, What::Arrives(inbound));
                }
            }
            Attack::SpoofedGoodBye => {
                // close_notify and a fatal alert in clear, and one that claims to be sealed (RFC 5246 §7.2).
                for (level, description, epoch) in [(1, 0, 0), (2, 40, 0), (1, 0, 1)] {
                    let alert = [21, 0xFE, 0xFD, 0, epoch, 0, 0, 0, 0, 0, 9, 0, 2, level, description];
                    self.strikes(peer, own, alert.to_vec());
                }
            }
            Attack::Garbage => {
                let len = self.chance.between(1, 1_500);
                let first = self.chance.pick(&[0, 1, 20, 22, 63, 64, 128, 144, 191, 200, 255]);
                let mut bytes = self.chance.bytes(len);
                bytes[0] = first;
                let from = if self.chance.permille(500) { own } else { stranger };
                self.strikes(peer, from, bytes);
            }
        }
    }

    /// An exact copy of something the client sent, up to seconds later.
    fn replays(&mut self, peer: usize, from: SocketAddr, check: bool) {
        let kept = &self.peers[peer].overheard;
        let those: Vec<usize> = (0..kept.len())
            .filter(|place| !check || kept[*place].proof.is_some())
            .collect();
        if those.is_empty() {
            return;
        }
        let chosen = kept[self.chance.pick(&those)].clone();
        let after = self.chance.between(0, 4_000) * MS;
        let inbound = Inbound {
            from,
            behind: self.way_of(peer, from),
            bytes: chosen.bytes,
            proof: chosen.proof,
        };
        self.later(after, What::Arrives(inbound));
    }

    fn overheard(&self, peer: usize, which: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        let kept = self.peers[peer].overheard.iter().find(|kept| which(&kept.bytes));
        kept.map(|kept| kept.bytes.clone())
    }

    fn strikes(&mut self, peer: usize, from: SocketAddr, bytes: Vec<u8>) {
        let after = self.chance.between(1, 50) * MS;
        let inbound = Inbound {
            from,
            behind: self.way_of(peer, from),
            bytes,
            proof: None,
        };
        self.later(after, What::Arrives(inbound));
    }

    /// Who imitates a client behind the relay forges its address on the media port, or its flow at the relay's, which
    /// then takes it for the client's own.
    fn way_of(&mut self, peer: usize, from: SocketAddr) -> Option<LegId> {
        let imitates = relay::is_virtual(from) && self.chance.permille(500);
        imitates.then_some(self.peers[peer].leg)
    }

    fn stranger(&mut self) -> SocketAddr {
        let last = self.chance.between(1, 250) as u8;
        SocketAddr::from(([203, 0, 113, last], 1_024 + self.chance.below(60_000) as u16))
    }
}
