//! Every limit and time of the engine, with its unit and its reason.
//!
//! Nothing else in this crate holds a number that bounds what a peer can cause.

/// Nanoseconds of a millisecond.
pub const MS: u64 = 1_000_000;
/// Nanoseconds of a second.
pub const SECOND: u64 = 1_000 * MS;

/// Legs in one room: the edge matrix is one `u64` of 8 × 8 bits.
pub const LEGS_PER_ROOM_MAX: usize = 8;
/// Outgoing streams of one leg: our client offers three audio sections, so a leg hears at most three sources.
pub const SLOTS_PER_LEG_MAX: usize = 3;
/// Legs on one shard: four times what a core carries, so the limit never decides before admission does.
pub const LEGS_PER_SHARD_MAX: usize = 4_096;
/// Rooms on one shard: as many as legs, for a room is made with its first leg or plan.
pub const ROOMS_PER_SHARD_MAX: usize = 4_096;
/// Places for which a table takes memory at a time, if nothing else is said: what stands empty at most.
pub const CHUNK: u32 = 32;

/// Largest datagram that is looked at; an Ethernet frame carries no more, and nobody sends audio in fragments.
pub const DATAGRAM_BYTES_MAX: usize = 1_500;
/// Free bytes in front of every packet, for a relay's or a stream's framing.
pub const HEADROOM_BYTES: usize = 16;
/// Bytes behind the headroom: a datagram and what sealing may add.
pub const PACKET_BYTES: usize = 1_600;
/// A whole slot or arena buffer.
pub const SLOT_BYTES: usize = HEADROOM_BYTES + PACKET_BYTES;
/// Buffers for second and later sinks, reports and answers; when fewer than [`ARENA_RESERVE`] are free, flush.
pub const ARENA_BUFFERS_MAX: usize = 256;
/// Buffers that one datagram, command or timer can need at most: seven sinks and an answer, or one flight.
pub const ARENA_RESERVE: usize = FLIGHT_DATAGRAMS_MAX;
/// Datagrams from one turn's batch: what the socket layer takes from the kernel at most.
pub const BATCH_MAX: usize = 256;

/// Uplink packets per second and leg: four times 50, for 5 ms frames or a burst after a network freeze.
pub const UPLINK_PACKETS_PER_S_MAX: u32 = 200;
/// Packets a leg may bring at once after silence: one second's worth.
pub const UPLINK_BURST_PACKETS_MAX: u32 = 200;
/// Uplink bytes per second and leg: 256 kbit/s, eight times our Opus ceiling.
pub const UPLINK_BYTES_PER_S_MAX: u32 = 32_000;
/// Bytes a leg may bring at once after silence: two seconds' worth, so packet size never decides before count does.
pub const UPLINK_BURST_BYTES_MAX: u32 = 64_000;
/// Presses of keys that are told per second and leg once [`KEYS_BURST_MAX`] are used up; each becomes a row in the history
/// of its call.
pub const KEYS_PER_S_MAX: u32 = 1;
/// Presses that are told at once after a pause: the longest account number (34), and what a hand adds to it.
pub const KEYS_BURST_MAX: u32 = 40;
/// RTCP packets per second and leg: browsers send one to five.
pub const RTCP_PER_S_MAX: u32 = 50;

/// Bytes of the music in memory: an hour at 37 kbit/s; more is a radio station and no tune.
pub const MUSIC_BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// Bytes of one frame of it: 400 kbit/s, and small enough to be sealed in any buffer.
pub const MUSIC_FRAME_BYTES_MAX: usize = 1_024;

/// STUN requests per second and transport that are worth an HMAC: browsers send under one per pair.
pub const STUN_PER_S_MAX: u32 = 50;
/// Addresses and paths that a transport is known by: v4 and v6, Wi-Fi and mobile; or straight, and through the relay over
/// UDP, TCP and TLS. Of more the one that was heard longest ago gives way until its next check, never the one in use.
pub const ADDRESSES_PER_TRANSPORT_MAX: usize = 4;
/// Changes of the sending address per second and transport; more is a peer playing ping-pong.
pub const MOVES_PER_S_MAX: u32 = 5;
/// Longest ICE user name fragment of ours, in bytes; RFC 8445 asks for at least 4.
pub const UFRAG_BYTES_MAX: usize = 16;
/// Longest user name fragment of the other side, in bytes (RFC 8839 §5.4).
pub const REMOTE_UFRAG_BYTES_MAX: usize = 256;

/// DTLS datagrams before the handshake is complete: a bad path repeats flights, nobody honest needs 64.
pub const DTLS_DATAGRAMS_MAX: u32 = 64;
/// DTLS bytes before the handshake is complete: bounds what a peer can pin in reassembly.
pub const DTLS_BYTES_MAX: u32 = 32 * 1_024;
/// DTLS datagrams per second afterwards: alerts only.
pub const DTLS_AFTER_PER_S_MAX: u32 = 10;
/// Handshake jobs waiting for the helper thread: a second of joins at full rate.
pub const JOBS_MAX: usize = 1_024;
/// Datagrams of one flight that the helper may hand back at once.
pub const FLIGHT_DATAGRAMS_MAX: usize = 16;

/// Events waiting for the caller. A leg makes fewer than ten in a life, so this is a whole shard closing at once.
pub const EVENTS_MAX: usize = 16_384;
/// Transports that have ended before their legs, waiting for the caller: as many as commands in a second of joins at full rate.
/// Higher: 32 bytes each. Lower: a page is answered for a transport that is no more, until it comes with other credentials.
pub const ENDED_MAX: usize = 1_024;
/// Counter rows waiting for the caller: two directions of every leg, twice.
pub const SECONDS_MAX: usize = 16_384;

/// No valid check this long after the transport was made: `ice_timeout`.
pub const ICE_TIMEOUT: u64 = 15 * SECOND;
/// No keys this long after the first valid check: `dtls_timeout`.
pub const DTLS_TIMEOUT: u64 = 10 * SECOND;
/// No valid check for this long closes the transport (RFC 7675 §5.1 says 30 s; a dead path is noticed before that).
pub const CONSENT: u64 = 25 * SECOND;
/// Lower bound of the consent setting.
pub const CONSENT_MIN: u64 = 20 * SECOND;
/// Upper bound of the consent setting (RFC 7675 §5.1).
pub const CONSENT_MAX: u64 = 30 * SECOND;
/// A leg waits this long after the last valid check for a new transport.
pub const LEG_KEEP: u64 = 30 * SECOND;
/// Nothing authenticated for this long: the leg is away.
pub const AWAY: u64 = 5 * SECOND;
/// The same for a leg that sends no audio: Firefox checks only every 4 to 6 s.
pub const AWAY_WITHOUT_UPLINK: u64 = 8 * SECOND;
/// No audio for this long while the line lives: a dead microphone; with DTX still 2.5 packets come per second.
pub const UPLINK_STALL: u64 = 5 * SECOND;
/// How long an echo leg lives once it has keys: the page speaks for 5 s, and a second try fits in.
/// Higher: forgotten pages hold lines. Lower: a slow reader's test ends under his hands.
pub const PREFLIGHT: u64 = 30 * SECOND;
/// Old ICE credentials live this long after a restart.
pub const OLD_CREDENTIALS: u64 = 10 * SECOND;
/// A valid check from elsewhere moves sending when the present address was silent for this long.
pub const ADDRESS_SILENT: u64 = SECOND;
/// The same for a leg that has sent no audio for as long: Firefox checks only every 4 to 6 s, and a path that is merely
/// checked beside must not take sending away in between.
pub const ADDRESS_SILENT_WITHOUT_AUDIO: u64 = AWAY_WITHOUT_UPLINK;
/// The address before a move may take sending back within this time.
pub const REVERT_WINDOW: u64 = 2 * SECOND;
/// A second audio source of one transport takes over when the present one was silent for this long.
pub const SSRC_SILENT: u64 = 60 * MS;

/// First report after keys; spread by leg, never later than this.
pub const REPORT_FIRST_MAX: u64 = SECOND;
/// Report interval in the first [`REPORT_EARLY`] and while loss is above [`REPORT_LOSS`].
pub const REPORT_FAST: u64 = SECOND;
/// Report interval otherwise.
pub const REPORT_SLOW: u64 = 5 * SECOND;
/// How long a leg is young after it got keys, with every page anew.
pub const REPORT_EARLY: u64 = 10 * SECOND;
/// Fraction lost, in 1/256, above which reports stay frequent: 1 %. FEC of the speaker follows them.
pub const REPORT_LOSS: u8 = 3;

/// Sealed packets kept per slot to answer a NACK: 640 ms of 20 ms frames; a later repair helps no listener.
/// Higher: [`RING_CELL_BYTES`] per packet and slot. Lower: late NACKs stay unanswered.
pub const RING_PACKETS_MAX: usize = 32;
/// Longest sealed packet that is kept: 20 ms at 48 kbit/s with header, level and tag, above our Opus ceiling.
pub const RING_CELL_BYTES: usize = 160;
/// Times one packet is sent again: as often as we ask ourselves.
pub const RESENDS_PER_PACKET_MAX: u8 = 3;
/// Packets sent again for one datagram: with the reports it may cause, they fit [`ARENA_RESERVE`].
pub const RESENDS_PER_DATAGRAM_MAX: usize = 12;
/// Bytes per second sent again to one leg: as much as one stream at our Opus ceiling, so a peer that asks for
/// everything doubles what it gets and no more.
pub const RESEND_BYTES_PER_S_MAX: u32 = 8_000;
/// Bytes sent again at once: a whole ring.
pub const RESEND_BURST_BYTES_MAX: u32 = (RING_PACKETS_MAX * RING_CELL_BYTES) as u32;
const _: () = assert!(RESENDS_PER_DATAGRAM_MAX < ARENA_RESERVE);

/// Missing packets that are remembered per uplink: 1.3 s of 20 ms frames, longer than one is worth asking for.
pub const MISSING_MAX: usize = 64;
/// How long a missing packet is asked for: browsers keep what they sent about as long.
pub const MISSING_FOR: u64 = SECOND;
/// Least time before a missing packet is asked for: most of what is late was only reordered.
pub const NACK_AFTER_MIN: u64 = 20 * MS;
/// Time beyond the round trip before a packet is asked for, and again.
pub const NACK_AFTER_RTT: u64 = 10 * MS;
/// Time beyond that before a packet is asked for again: what a browser and its pacer take to answer. Without it, a link of
/// 80 ms there and back had most packets sent twice.
pub const NACK_AGAIN_AFTER: u64 = 20 * MS;
/// Times one packet is asked for.
pub const NACK_TRIES_MAX: u8 = 3;
/// Unanswered NACKs in a row after which a stream is asked no more: it answers none.
pub const NACKS_UNANSWERED_MAX: u32 = 5;
/// A repaired packet this far behind the newest, in 48 kHz samples, goes to the recorder alone (60 ms): jitter buffers
/// have played past it.
pub const REPAIR_LIVE_SAMPLES_MAX: u32 = 2_880;
