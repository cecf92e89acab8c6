//! Batched UDP sockets: many datagrams per system call, in and out, from buffers that are made once.
//!
//! Knows nothing of what the datagrams mean. The only unsafe socket code of the project, and the one hint to the
//! processor that needs it; everything public is safe.
//!
//! Invariant: after [`Socket::bind`], [`Batch::new`] and [`Locals::default`] neither receiving nor sending allocates.

mod address;
mod batch;
mod bell;
mod destination;
mod doorbell;
mod locals;
mod loopback;
mod pause;
mod poller;
mod prefetch;
mod sender;
mod sleep;
mod socket;
mod stream;

/// What [`sleep`] is made of: standard atomics here, those of a model checker in its test.
mod sync {
    pub(crate) use std::sync::atomic::{AtomicBool, Ordering, fence};
}

pub use batch::{Batch, Outgoing};
pub use bell::{Bell, wait};
pub use doorbell::Doorbell;
pub use locals::Locals;
pub use loopback::{Arrival, Inbox, Loopback, Outbox};
pub use pause::Pause;
pub use poller::{Interest, Poller, Ready};
pub use prefetch::prefetch;
pub use socket::{Socket, dont_fragment, is_message_too_long};
pub use stream::{for_voice, listen};

/// Free bytes in front of every received datagram, for a relay's or a stream's framing.
pub const HEADROOM_BYTES: usize = 16;
/// Bytes behind the headroom: an Ethernet frame's datagram and what sealing may add.
pub const PACKET_BYTES: usize = 1_600;
/// One receive buffer.
pub const SLOT_BYTES: usize = HEADROOM_BYTES + PACKET_BYTES;
/// Datagrams per system call: the kernel itself takes no more than 1,024, and past 256 nothing is gained.
pub const BATCH_MAX: usize = 256;
/// Socket buffer in bytes: 8 MiB hold half a second of voice for a full shard. The kernel caps it at `rmem_max`.
pub const SOCKET_BUFFER_BYTES: usize = 8 << 20;
