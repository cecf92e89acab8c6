//! A hundred thousand audio packets through a whole shard, straight and through the relay, with tap, reports, checks,
//! loss and its repair: not one allocation.
//!
//! The counter is the thread's own and looks only while the shard works; clients and test runner allocate as they like.

use std::net::SocketAddr;
use std::sync::Arc;

use media_core::limits::{HEADROOM_BYTES, MS, SLOT_BYTES};
use media_core::matrix::{Announce, Part, Stance, Tap};
use media_core::music::{Music, Programme};
use media_core::origin::{Destination, Local, Relayed, Via, Wire};
use media_core::shard::Slot;
use media_core::srtp::Profile;
use media_core::tap::{Record, TapSink};
use testkit::bed::{Bed, Client, FRAME, Sent};
use testkit::counting::{Counting, counted, forget, looking};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A ring like the recorder's: memory made once, records copied into it.
struct Ring {
    cells: Vec<u8>,
    at: usize,
    records: u64,
}

impl TapSink for Ring {
    fn push(&mut self, record: Record<'_>) -> bool {
        let end = self.at + record.packet.len();
        let (from, to) = if end > self.cells.len() {
            (0, record.packet.len())
        } else {
            (self.at, end)
        };
        self.cells[from..to].copy_from_slice(record.packet);
        self.at = to;
        self.records += 1;
        true
    }
}

/// Where the clients on the wire send to, of the addresses of a socket that is bound to all.
const AT: Local = Local::new(2);

struct Run {
    bed: Bed,
    ring: Ring,
    buffers: Vec<Vec<u8>>,
    /// Who is behind the relay.
    behind: Vec<Relayed>,
    /// Transmissions through it.
    through_relay: u64,
}

impl Run {
    /// One turn as the shard's thread makes it: a batch in, timers, everything out.
    fn turn(&mut self, batch: &[(SocketAddr, Vec<u8>)]) -> Vec<Sent> {
        let Run {
            bed,
            ring,
            buffers,
            behind,
            through_relay,
        } = self;
        let mut sent = Vec::new();
        for (buffer, (_, bytes)) in buffers.iter_mut().zip(batch) {
            buffer[HEADROOM_BYTES..HEADROOM_BYTES + bytes.len()].copy_from_slice(bytes);
        }
        for (index, (from, bytes)) in batch.iter().enumerate() {
            looking(|| {
                let slot = Slot {
                    index: index as u16,
                    buffer: &mut buffers[index],
                    len: bytes.len(),
                };
                match behind.iter().find(|relayed| relayed.address == *from) {
                    Some(relayed) => bed.shard.relayed(bed.now, *relayed, slot, ring),
                    None => bed.shard.datagram(bed.now, Wire::new(*from, AT), slot, ring),
                }
            });
            assert!(!bed.shard.must_flush());
        }
        looking(|| bed.shard.tick(bed.now));
        for transmission in bed.shard.transmissions() {
            let slot = match transmission.place {
                media_core::shard::Place::Slot(index) => &buffers[usize::from(index)],
                media_core::shard::Place::Arena(_) => &buffers[0],
            };
            let bytes = bed.shard.bytes(transmission, slot).to_vec();
            let path = transmission.to.path();
            *through_relay += u64::from(path.is_some());
            let to = match transmission.to {
                Destination::Wire(wire) => {
                    assert_eq!(wire.local(), AT, "it leaves from where it was asked");
                    wire.remote()
                }
                Destination::Relay(path) => {
                    let reached = behind.iter().find(|relayed| relayed.path == path);
                    reached.expect("the path of somebody").address
                }
            };
            let from = transmission.to.wire().map_or(Local::UNNAMED, |wire| wire.local());
            sent.push(Sent { to, path, from, bytes });
        }
        looking(|| {
            bed.shard.flushed();
            while bed.shard.poll_second().is_some() {}
        });
        while bed.shard.poll_event().is_some() {}
        sent
    }
}

/// The leg's next packet, with the one before it inside (RFC 2198 §3).
fn redundant(leg: &mut Client) -> Vec<u8> {
    let (red, opus) = (leg.numbers.red.expect("it offers RED"), leg.numbers.opus);
    // 20 ms before, three bytes.
    let packet = leg.packet(red, &[0x80 | opus, 0x0F, 0, 3, opus, 1, 2, 3, 9, 9, 9]);
    leg.step();
    packet
}

/// The slot and sequence number of the last audio packet that was sent to `leg`.
fn last_of(leg: &Client, sent: &[Sent]) -> Option<(usize, u16)> {
    let slot = |ssrc: [u8; 4]| (0..leg.slots).find(|&slot| leg.slot_ssrc(slot).to_be_bytes() == ssrc);
    let mut packets = sent.iter().rev().filter(|sent| sent.to == leg.address);
    packets.find_map(|sent| match sent.bytes[..] {
        // A report carries its slot's SSRC elsewhere.
        [_, kind, high, low, _, _, _, _, a, b, c, d, ..] if !(192..=223).contains(&kind) => {
            Some((slot([a, b, c, d])?, u16::from_be_bytes([high, low])))
        }
        _ => None,
    })
}

/// A request for the packet that `leg` got last and the two before it, if it negotiated that.
fn asks(leg: &mut Client, newest: Option<(usize, u16)>) -> Option<(SocketAddr, Vec<u8>)> {
    let (slot, sequence) = newest.filter(|_| leg.nack)?;
    let numbers: [u16; 3] = [2, 1, 0].map(|behind| u16::wrapping_sub(sequence, behind));
    Some((leg.address, leg.nack_for(slot, &numbers)))
}

/// Customer and agent in talk, a partner with redundant audio beside them, a supervisor who listens: three sinks, all told
/// of the supervisor by a tone. Agent and supervisor are behind the relay. A second partner is on hold and hears the
/// music, a second customer waits and hears a prompt as well.
fn call() -> (Bed, [Client; 4], [Client; 2]) {
    let mut legs = [
        Client::new(1, Part::Customer),
        Client::with_profile(2, Part::Agent, Profile::AesCm128Sha1),
        Client::with_profile(3, Part::Partner, Profile::AeadAes256Gcm),
        Client::new(4, Part::Supervisor),
    ];
    legs[0].numbers.red = None;
    legs[3].uplink = false;
    legs[0].nack = true;
    legs[1].nack = true;
    legs.iter_mut().for_each(|leg| leg.fec = true);
    legs[1].go_behind_relay(Via::Udp, SocketAddr::from(([203, 0, 113, 200], 50_000)));
    legs[3].go_behind_relay(Via::Tls, SocketAddr::from(([203, 0, 113, 200], 50_001)));
    let mut bed = Bed::default();
    for leg in &mut legs {
        leg.local = AT;
        bed.bring_up(leg);
    }
    let mut idle = [Client::new(5, Part::Partner), Client::new(6, Part::Customer)];
    for leg in &mut idle {
        leg.local = AT;
        bed.bring_up(leg);
    }
    let frames = [[31 << 3; 80]; 50];
    let music = Music::new(frames.iter().map(<[u8; 80]>::as_slice)).expect("a second of frames");
    let music = Arc::new(music);
    bed.shard.set_music(Arc::clone(&music));
    bed.shard.set_tone(Arc::clone(&music));
    bed.shard.set_waiting(Programme::new(Arc::clone(&music), music, 100));
    bed.announce = Announce::All;
    plan(&mut bed, &legs, &idle, Stance::Listen);
    (bed, legs, idle)
}

/// The plan of [`call`], with the supervisor taking part like this.
fn plan(bed: &mut Bed, legs: &[Client; 4], idle: &[Client; 2], supervisor: Stance) {
    let mut stances: Vec<_> = legs.iter().map(|leg| (leg.leg, Stance::Talk)).collect();
    stances[3].1 = supervisor;
    stances.push((idle[0].leg, Stance::Held));
    stances.push((idle[1].leg, Stance::Queued));
    bed.plan(&stances, Tap::On);
}

#[test]
fn the_packet_path_allocates_nothing() {
    let (bed, mut legs, mut idle) = call();
    let ring = Ring {
        cells: vec![0; 1 << 20],
        at: 0,
        records: 0,
    };
    let mut run = Run {
        bed,
        ring,
        buffers: vec![vec![0; SLOT_BYTES]; 32],
        behind: legs.iter().filter_map(Client::relayed).collect(),
        through_relay: 0,
    };

    // The counter counts; otherwise the end of this test could not fail.
    let vector = looking(|| vec![1u8; 100]);
    assert_eq!((vector.len(), counted().allocations), (100, 1));

    let warm_up = 100u32;
    // What the shard last sent to each leg, by stream: a leg with NACK asks for it again now and then.
    let mut newest = [None; 4];
    let mut lost = Vec::new();
    let turns = 34_000 + warm_up;
    for turn in 0..turns {
        if turn == warm_up {
            forget();
        }
        let mut batch = Vec::new();
        for (number, leg) in legs.iter_mut().enumerate() {
            if number == 2 && turn % 2 == 0 {
                batch.push((leg.address, redundant(leg)));
            } else if number == 2 && turn % 40 == 21 {
                // Lost; the next one holds its audio.
                leg.step();
            } else if number == 1 && turn % 40 == 10 {
                lost.push(leg.speak(&[turn as u8; 90]));
            } else if number < 3 {
                batch.push((leg.address, leg.speak(&[turn as u8; 90])));
            }
            if number == 1 && turn % 40 == 13 {
                batch.push((leg.address, lost.pop().expect("it was lost three turns ago")));
            }
            if turn % 5 == 1 && turn % 1_000 != 1 {
                batch.extend(asks(leg, newest[number]));
            }
            if turn % 100 == number as u32 {
                batch.push((leg.address, leg.check(true)));
                batch.push((leg.address, leg.report(0, (turn % 7) as u8)));
            }
        }
        if turn % 100 == 50 {
            batch.extend(idle.each_mut().map(|leg| (leg.address, leg.check(true))));
        }
        // He comes anew now and then; a tone lasts a second, in the slot that each of the three has free.
        if turn % 400 == 300 {
            plan(&mut run.bed, &legs, &idle, Stance::Waiting);
            plan(&mut run.bed, &legs, &idle, Stance::Listen);
        }
        // What is dropped must not allocate either.
        let mut forged = batch[0].1.clone();
        let last = forged.len() - 1;
        forged[last] ^= 1;
        batch.push((legs[1].address, forged));
        batch.push((SocketAddr::from(([203, 0, 113, 1], 9)), vec![0x80; 50]));
        run.bed.now += FRAME / 2;
        let quiet = run.turn(&[]);
        run.bed.now += FRAME / 2;
        let sent = run.turn(&batch);
        for (leg, newest) in legs.iter().zip(&mut newest) {
            *newest = last_of(leg, &sent).or(*newest);
        }
        if turn % 1_000 == 0 {
            for leg in &mut legs {
                let heard = leg.open_all(&sent).len();
                assert!((2..=3).contains(&heard), "everybody hears everybody else");
                leg.open_reports(&quiet);
            }
            for leg in &mut idle {
                let music = leg.open_all(&quiet).len() + leg.open_all(&sent).len();
                assert_eq!(music, 1, "a frame of music in a frame of time");
            }
        }
    }
    everything_was_in_it(&run, turns);
    assert_eq!(counted().allocations, 0, "allocations on the packet path");
}

/// The run had enough of everything that must not allocate.
fn everything_was_in_it(run: &Run, turns: u32) {
    let totals = *run.bed.shard.totals();
    assert!(
        totals.rtp_opened >= 100_000
            && totals.rtp_forwarded + 3 * totals.repaired_late + 1_000 >= 3 * totals.rtp_opened,
        "{totals:?}"
    );
    assert!(
        totals.rtcp_sent > 400 && totals.rtcp_opened > 1_000 && totals.checks > 1_000,
        "{totals:?}"
    );
    assert!(
        totals.nacks_answered > 10_000 && totals.repaired_rtx > 500 && totals.repaired_red > 500,
        "{totals:?}"
    );
    // Two legs with music all the time, and a second in eight of tones for three.
    assert!(totals.music_sent >= 2 * u64::from(turns) + 10_000, "{totals:?}");
    assert_eq!(totals.accounted(), totals.datagrams);
    assert!(run.ring.records > 99_000, "{}", run.ring.records);
    assert!(run.through_relay > 150_000, "two of the sinks: {}", run.through_relay);
    assert!(
        run.bed.now > testkit::bed::BEGIN + 600_000 * MS,
        "ten minutes of a call"
    );
}
