//! What a shard is told: legs, transports, plans, and what the handshake helper has to say.
//!
//! Everything secret or random in here was drawn by the caller.

use crate::dtls::Certificate;
use crate::event::Cause;
use crate::limits::{REMOTE_UFRAG_BYTES_MAX, SLOTS_PER_LEG_MAX, UFRAG_BYTES_MAX};
use crate::matrix::{Part, Plan};
use crate::quality::thresholds::Thresholds;
use crate::srtp;
use crate::{LegId, RoomId, TapId, TransportId};

/// One instruction.
pub enum Command {
    /// A leg joins; its room is made if it is new.
    AddLeg(Box<AddLeg>),
    /// A living leg gets a second transport (resume, reload). The old one dies when the new one has keys.
    Attach {
        /// Which leg.
        leg: LegId,
        /// The new transport.
        transport: Box<NewTransport>,
    },
    /// ICE restart: new credentials for one transport; association, keys and SSRCs stay.
    Restart {
        /// Which leg.
        leg: LegId,
        /// The fingerprint of the offer: a page that is being loaded anew shares the leg with the one before it, and
        /// means itself. `None` when the restart came without one: the transport in use.
        fingerprint: Option<[u8; 32]>,
        /// The new credentials.
        ice: Box<IceCredentials>,
        /// What the description that restarts agreed on; `None` when the restart came without one.
        media: Option<Box<MediaParams>>,
    },
    /// Another agreement about the media of a transport that goes on: association, keys, addresses and SSRCs stay.
    Media {
        /// Which leg.
        leg: LegId,
        /// The fingerprint of the offer, as in a restart.
        fingerprint: [u8; 32],
        /// What was negotiated; it takes the place of what was before.
        media: Box<MediaParams>,
    },
    /// Who hears whom from the next packet on; the room is made if it is new.
    Plan(Box<Plan>),
    /// A participant is something else to the call from now on; his leg goes on.
    Part {
        /// Which leg.
        leg: LegId,
        /// What he is.
        part: Part,
    },
    /// Ends a leg.
    RemoveLeg {
        /// Which leg.
        leg: LegId,
        /// Why.
        cause: Cause,
    },
    /// Ends a room and its legs.
    CloseRoom {
        /// Which room.
        room: RoomId,
        /// Why.
        cause: Cause,
    },
    /// From where on a second counts as bad, for every leg and room from its next second on.
    Thresholds(Box<Thresholds>),
    /// The helper reports about a transport's handshake.
    Handshake {
        /// Which transport.
        transport: TransportId,
        /// What happened.
        report: Report,
    },
}

impl Command {
    /// The living leg that it is about, if it is about one.
    pub(crate) const fn leg(&self) -> Option<LegId> {
        match self {
            Command::Attach { leg, .. }
            | Command::Restart { leg, .. }
            | Command::Media { leg, .. }
            | Command::Part { leg, .. }
            | Command::RemoveLeg { leg, .. } => Some(*leg),
            Command::AddLeg(_)
            | Command::Plan(_)
            | Command::CloseRoom { .. }
            | Command::Thresholds(_)
            | Command::Handshake { .. } => None,
        }
    }
}

/// A new leg with its first transport.
pub struct AddLeg {
    /// Which room.
    pub room: RoomId,
    /// Which leg.
    pub leg: LegId,
    /// What the participant is.
    pub part: Part,
    /// Its number in tap records.
    pub tap: TapId,
    /// Its first transport.
    pub transport: NewTransport,
}

/// A transport as the answer described it.
pub struct NewTransport {
    /// Never used twice.
    pub id: TransportId,
    /// The ICE credentials of both sides.
    pub ice: IceCredentials,
    /// SHA-256 of the certificate that the offer announced.
    pub fingerprint: [u8; 32],
    /// Ours, whose fingerprint the answer announced; the handshake shows it, whatever later answers announce.
    pub certificate: Certificate,
    /// What was negotiated.
    pub media: MediaParams,
}

/// ICE credentials of one session (RFC 8445 §5.3). Not printable.
#[derive(Clone)]
pub struct IceCredentials {
    /// Our user name fragment, 4 to [`UFRAG_BYTES_MAX`] bytes, random: it is the key under which checks are found.
    pub local_ufrag: String,
    /// Our password, at least 22 characters.
    pub local_pwd: String,
    /// The other side's user name fragment, at most [`REMOTE_UFRAG_BYTES_MAX`] bytes.
    pub remote_ufrag: String,
}

impl IceCredentials {
    pub(crate) fn fit(&self) -> bool {
        (4..=UFRAG_BYTES_MAX).contains(&self.local_ufrag.len())
            && self.local_pwd.len() >= 22
            && (1..=REMOTE_UFRAG_BYTES_MAX).contains(&self.remote_ufrag.len())
    }
}

/// What offer and answer agreed on. Payload types and extension ids are those of this very offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaParams {
    /// Opus.
    pub opus: u8,
    /// Redundant audio (RFC 2198), if accepted.
    pub red: Option<u8>,
    /// Telephone events at 48 kHz, if accepted.
    pub dtmf: Option<u8>,
    /// The id of `ssrc-audio-level` (RFC 6464), if accepted.
    pub audio_level: Option<u8>,
    /// True: both sides ask for lost packets of Opus and send them again (RFC 4585 §6.2.1).
    pub nack: bool,
    /// True: both sides make use of in-band FEC of Opus (RFC 7587 §6.1, `useinbandfec`); ours always says so.
    pub fec: bool,
    /// False: the answer let the leg send nothing; what it sends anyway is dropped unopened.
    pub uplink: bool,
    /// The streams that we announced, in the order of the audio sections.
    pub slots: [Option<SlotParams>; SLOTS_PER_LEG_MAX],
}

/// One stream that we announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotParams {
    /// Its SSRC, as in the answer.
    pub ssrc: u32,
    /// Random; the first sequence number is its lower 15 bits.
    pub sequence: u16,
    /// Random; the first timestamp.
    pub timestamp: u32,
}

/// What the helper says about one transport.
pub enum Report {
    /// Datagrams for the peer, in order: a flight of the handshake, or an alert.
    Flight(Vec<Box<[u8]>>),
    /// The handshake is complete and the certificate was the announced one.
    Established(Box<srtp::Keys>),
    /// It failed.
    Failed(Failure),
    /// The peer said good-bye (`close_notify`).
    Closed,
}

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The certificate is not the announced one.
    Fingerprint,
    /// Anything else.
    Other,
}

/// Why a command changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No such leg here; it may just have ended.
    #[error("no such leg")]
    UnknownLeg,
    /// No such room here.
    #[error("no such room")]
    UnknownRoom,
    /// No such transport here; it may just have been replaced.
    #[error("no such transport")]
    UnknownTransport,
    /// The leg lives already.
    #[error("the leg lives already")]
    LegExists,
    /// The transport id or user name fragment is in use.
    #[error("a transport with this id or user name fragment lives already")]
    TransportExists,
    /// [`crate::limits::LEGS_PER_ROOM_MAX`].
    #[error("the room is full")]
    RoomFull,
    /// [`crate::limits::LEGS_PER_SHARD_MAX`] or [`crate::limits::ROOMS_PER_SHARD_MAX`].
    #[error("the shard is full")]
    ShardFull,
    /// Credentials of a length that the engine does not take.
    #[error("the ICE credentials have a wrong length")]
    BadCredentials,
    /// The plan is older than the one in force, or names too many legs.
    #[error("the plan is older than the one in force or names too many legs")]
    BadPlan,
    /// More datagrams in one flight than [`crate::limits::FLIGHT_DATAGRAMS_MAX`], or one too large.
    #[error("the flight is too large")]
    BadFlight,
}
