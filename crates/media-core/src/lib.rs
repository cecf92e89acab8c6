//! The SFU engine as pure code: datagrams, commands and a time value in; datagrams, tap records, handshake jobs,
//! per-second counters and events out.
//!
//! It has no socket, no thread, no clock, no random source and no file, and it does not know who speaks: no name,
//! queue or role beyond the [`matrix::Part`] that decides who hears whom. Secrets, SSRCs and ids are handed in.
//!
//! # Words
//!
//! *room*: the audio of one call. *leg*: one participant's place in a room; it outlives its transport.
//! *transport*: one ICE + DTLS + SRTP association of a leg; a page reload makes a new one. *slot*: one outgoing RTP
//! stream of a leg. *edge*: "sink hears source". *shard*: one thread, one UDP port, everything behind it.
//!
//! # Contract of [`shard::Shard`]
//!
//! A shard is driven by one thread that owns it. Times are nanoseconds of one monotonic clock and never go back.
//!
//! ```text
//! loop {
//!     receive up to 256 datagrams, each into its own slot buffer of limits::SLOT_BYTES,
//!         payload from limits::HEADROOM_BYTES on
//!     now = clock                                          (once per turn)
//!     for each pending command: shard.command(now, command)?  → Err is for the log, nothing was changed
//!     for i in 0..received {
//!         shard.datagram(now, from[i], Slot { index: i, buffer: &mut buffers[i], len: len[i] }, &mut tap)
//!         if shard.must_flush() { send shard.transmissions() with one sendmmsg; shard.flushed() }
//!     }
//!     shard.tick(now)                                      (timers: reports, time-outs, counters)
//!     send what shard.transmissions() lists; shard.flushed()
//!     drain shard.poll_job(), shard.poll_event(), shard.poll_ended(), shard.poll_second()
//!     wait for the socket, the command bell or shard.wake_at()
//! }
//! ```
//!
//! * A transmission points into the slot buffer that brought the packet ([`shard::Place::Slot`]) or into the
//!   shard's arena ([`shard::Place::Arena`]); [`shard::Shard::bytes`] gives the bytes of either. **A slot buffer must
//!   not be received into again before [`shard::Shard::flushed`].**
//! * What came through the relay goes in by [`shard::Shard::relayed`] instead, in slot buffers with numbers of their own.
//! * A destination is a way over the wire, whose family says which of the two sockets sends, or a path through the relay
//!   ([`origin::Destination`]). Where a socket is bound to all addresses of the machine, `from` says which of them was asked,
//!   and the transmission leaves from there ([`origin::Wire`]). A send error skips that datagram.
//! * Jobs go, in order, to one helper thread per shard that owns a `dtls::Handshake` per transport
//!   ([`shard::Job::Start`] makes it, [`shard::Job::Stop`] drops it); what it says comes back as
//!   [`command::Command::Handshake`]. Flights are sent by the shard, which alone knows the address.
//! * Every output queue is bounded. A full one drops and counts ([`counters::Totals`]); nothing ever waits.
//! * `catch_unwind` goes round a batch. After a panic call [`shard::Shard::remove_after_panic`], which removes the leg
//!   that was being worked on from every table, and go on with the next datagram.
//! * Per forwarded packet there is no allocation, no lock and no task hop; `tests/no_allocation.rs` counts.
//!
//! Invariant: nobody is sent a packet of a leg that the plan in force does not let him hear.

#![forbid(unsafe_code)]
#![warn(missing_docs, clippy::wildcard_enum_match_arm)]

pub mod addr;
pub mod command;
pub mod counters;
pub mod demux;
pub mod dtls;
mod dtmf;
pub mod event;
mod gaps;
mod gate;
mod ice;
mod judge;
mod leg;
pub mod limits;
pub mod matrix;
mod missing;
pub mod music;
pub mod opus;
pub mod origin;
pub mod quality;
pub mod red;
mod ring;
mod room;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
pub mod shard;
pub mod slot;
pub mod srtp;
mod table;
pub mod tap;
pub mod timer;
mod transport;
mod ways;

use std::fmt;

/// A participant's place in a room; opaque here (`call_legs.id`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId(pub u128);

/// The audio of one call; opaque here (`voice_calls.id`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomId(pub u128);

/// One ICE + DTLS + SRTP association of a leg; a number the caller never uses twice in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransportId(pub u64);

/// The number by which tap records name a leg: 4 bytes instead of 16. Chosen by the caller, unique among living legs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TapId(pub u32);

impl fmt::Display for TransportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
