//! The recorder in virtual time: a folder that goes away, a disk that fails on order, and both threads as plain calls.

use std::cell::Cell;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::{fs, io};

use media_core::counters::{Direction, Second};
use media_core::tap::{Flags as TapFlags, Record, TapSink};
use media_core::{LegId, RoomId, TapId, matrix};
use ports::{Part, Policy};
use recording::spool::{RecordedCall, SegmentHeader};
use recording::{Flags, Lane, Packet};

use super::super::disk::{Disk, FileSystem, SegmentFile, Space};
use super::super::drain::Drain;
use super::super::job::Job;
use super::super::ledger::Ledger;
use super::super::message::Message;
use super::super::series::Series;
use super::super::stats;
use super::super::writer::Writer;
use crate::tap::{Consumer, Producer, ring};

pub(super) const SECOND: u64 = 1_000_000_000;
pub(super) const TURN: u64 = 20_000_000;

/// A folder that goes with its owner.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "helpline-recorder-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A disk that takes so many bytes and then fails, whose syncs fail or take their time, and that says how full it is;
/// the rest is the real one.
#[derive(Clone)]
pub(super) struct Shaky {
    pub(super) bytes_left: Arc<AtomicUsize>,
    pub(super) bad_syncs: Arc<AtomicUsize>,
    /// Nanoseconds that every sync takes.
    pub(super) sync_ns: Arc<AtomicU64>,
    /// Nanoseconds that all syncs took.
    pub(super) spent_ns: Arc<AtomicU64>,
    /// Bytes of [`DISK_BYTES`] that are used.
    pub(super) used: Arc<AtomicU64>,
}

/// Size of the shaky disk.
pub(super) const DISK_BYTES: u64 = 1_000_000;

impl Shaky {
    pub(super) fn sound() -> Shaky {
        Shaky {
            bytes_left: Arc::new(AtomicUsize::new(usize::MAX)),
            bad_syncs: Arc::default(),
            sync_ns: Arc::default(),
            spent_ns: Arc::default(),
            used: Arc::default(),
        }
    }
}

struct ShakyFile(Box<dyn SegmentFile>, Shaky);

impl Disk for Shaky {
    fn create(&mut self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(ShakyFile(FileSystem.create(path)?, self.clone())))
    }

    fn space(&mut self, folder: &Path) -> io::Result<Space> {
        Ok(Space {
            capacity: DISK_BYTES,
            free: DISK_BYTES - self.used.load(Ordering::Relaxed),
            ..FileSystem.space(folder)?
        })
    }
}

impl SegmentFile for ShakyFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let left = self.1.bytes_left.load(Ordering::Relaxed);
        let taken = left.min(bytes.len());
        self.0.append(&bytes[..taken])?;
        self.1.bytes_left.store(left - taken, Ordering::Relaxed);
        if taken < bytes.len() {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        let took = self.1.sync_ns.load(Ordering::Relaxed);
        self.1.spent_ns.fetch_add(took, Ordering::Relaxed);
        let bad = self.1.bad_syncs.load(Ordering::Relaxed);
        if bad > 0 {
            self.1.bad_syncs.store(bad - 1, Ordering::Relaxed);
            return Err(io::Error::other("the disk forgot"));
        }
        self.0.sync()
    }
}

/// A recorder whose threads are the test.
pub(super) struct Rig {
    pub(super) now: Cell<u64>,
    pub(super) producer: Producer,
    pub(super) taps: Vec<Consumer>,
    pub(super) told: VecDeque<Message>,
    pub(super) drain: Drain,
    pub(super) writer: Writer,
    pub(super) jobs: Receiver<Job>,
    pub(super) stats: Arc<stats::Stats>,
    pub(super) series: Series,
    spent_ns: Arc<AtomicU64>,
    pub(super) degraded: Arc<Mutex<Vec<(u128, u64)>>>,
}

pub(super) const EPOCH: u64 = 11;

impl Rig {
    pub(super) fn new(folder: &Folder, disk: Shaky) -> Rig {
        let ledger = Arc::new(Ledger::open(folder.path(), 0).unwrap());
        ledger.recovered();
        let (send, jobs) = channel();
        let stats = Arc::<stats::Stats>::default();
        let header = SegmentHeader {
            node: "n".into(),
            node_epoch: EPOCH,
            shard: 0,
            wall_ns_at_zero: 1_000 * SECOND,
        };
        let folder = folder.path().to_owned();
        let series = Series::new(&prometheus::Registry::new()).unwrap();
        let spent_ns = Arc::clone(&disk.spent_ns);
        stats.running.store(true, Ordering::Relaxed);
        let writer = Writer::new(
            Box::new(disk),
            folder,
            header,
            Arc::clone(&ledger),
            send,
            Arc::clone(&stats),
            series.sync.clone(),
        );
        let degraded = Arc::<Mutex<Vec<(u128, u64)>>>::default();
        let tell = Arc::clone(&degraded);
        let drain = Drain::new(
            Arc::clone(&stats),
            Box::new(move |room, packets| tell.lock().unwrap().push((room, packets))),
        );
        let (producer, consumer) = ring(8_192);
        let (now, told) = (Cell::new(SECOND), VecDeque::new());
        Rig {
            now,
            producer,
            taps: vec![consumer],
            told,
            drain,
            writer,
            jobs,
            stats,
            series,
            spent_ns,
            degraded,
        }
    }

    /// A room with a customer (tap 2·room) and an agent (tap 2·room + 1).
    pub(super) fn room(&mut self, room: u128, recorded: bool) {
        self.room_of(room, recorded.then_some(Policy::Required));
    }

    pub(super) fn room_of(&mut self, room: u128, policy: Option<Policy>) {
        for (n, part) in [(0, Part::Customer), (1, Part::Agent)] {
            self.told.push_back(Message::LegJoined {
                room,
                leg: leg(room, n),
                part,
                tap: tap(room, n),
                at_ns: self.now.get(),
            });
        }
        if let Some(policy) = policy {
            let recording = room + 1_000;
            self.told.push_back(Message::Start {
                room,
                recording,
                policy,
                customer_left: true,
            });
        }
        self.told.push_back(Message::RoomLive {
            room,
            at_ns: self.now.get(),
        });
    }

    /// One packet of each side, 20 ms later; what was sent.
    pub(super) fn speak(&mut self, room: u128, n: u32) -> [Packet; 2] {
        [0, 1].map(|side| {
            let packet = Packet {
                ext_seq: 65_530 + n,
                rtp_ts: (n * 960).wrapping_sub(10_000),
                arrival_ns: self.now.get() + u64::from(n % 7) * 13,
                flags: Flags::VOICE,
                level: 60 + side as u8,
                payload: (0..40 + n % 90)
                    .map(|byte| (byte * 7 + n + side * 101) as u8 | 1)
                    .collect(),
            };
            assert!(self.push(tap(room, side), TapFlags::VOICE, &packet));
            packet
        })
    }

    pub(super) fn push(&mut self, tap: u32, flags: TapFlags, packet: &Packet) -> bool {
        let mut rtp = vec![0x80, 111];
        rtp.extend_from_slice(&(packet.ext_seq as u16).to_be_bytes());
        rtp.extend_from_slice(&packet.rtp_ts.to_be_bytes());
        rtp.extend_from_slice(&[0, 0, 0, 1]);
        rtp.extend_from_slice(&packet.payload);
        self.producer.push(Record {
            arrival_ns: packet.arrival_ns,
            leg: TapId(tap),
            ext_seq: packet.ext_seq,
            flags,
            level: packet.level,
            packet: &rtp,
        })
    }

    pub(super) fn second(&mut self, room: u128, side: u32, at: u64) {
        let leg = LegId(leg(room, side));
        let tap = TapId(tap(room, side));
        let mut second = Second::empty(leg, RoomId(room), tap, matrix::Part::Agent, Direction::Up, at);
        second.expected = 50;
        second.mos = Some(4.2);
        self.told.push_back(Message::Second(Box::new(second)));
    }

    pub(super) fn close(&mut self, room: u128) {
        self.told.push_back(Message::RoomClosed {
            room,
            at_ns: self.now.get(),
            cause: "hangup",
        });
    }

    /// 20 ms pass on both threads.
    pub(super) fn turn(&mut self) {
        self.drained();
        self.written();
        self.now.set(self.now.get() + TURN);
    }

    pub(super) fn drained(&mut self) {
        let told = std::mem::take(&mut self.told);
        if let Some(batch) = self.drain.step(self.now.get(), told, &mut self.taps) {
            self.writer.push(batch);
        }
    }

    pub(super) fn written(&mut self) {
        let (now, spent_ns) = (&self.now, &self.spent_ns);
        self.writer.step(&|| now.get() + spent_ns.load(Ordering::Relaxed));
    }

    pub(super) fn turns(&mut self, count: usize) {
        for _ in 0..count {
            self.turn();
        }
    }

    /// `count` packets of each side, a turn each.
    pub(super) fn talk(&mut self, room: u128, count: u32) -> [Vec<Packet>; 2] {
        let mut sent = [Vec::new(), Vec::new()];
        for n in 0..count {
            for (all, one) in sent.iter_mut().zip(self.speak(room, n)) {
                all.push(one);
            }
            self.turn();
        }
        sent
    }
}

pub(super) const fn leg(room: u128, side: u32) -> u128 {
    room * 10 + side as u128
}

pub(super) const fn tap(room: u128, side: u32) -> u32 {
    room as u32 * 2 + side
}

pub(super) fn tracks(call: &RecordedCall) -> [Vec<Packet>; 2] {
    [Lane::Customer, Lane::Agent].map(|lane| {
        let of = call.tracks.iter().filter(|track| track.lane == lane);
        of.flat_map(|track| track.packets.clone()).collect()
    })
}
