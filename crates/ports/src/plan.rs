//! Who takes part how in one room, as the desk tells media: never a delta.

use call_model::{CallId, LegId};

/// How a leg takes part at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stance {
    /// Hears nobody and is heard by nobody.
    Waiting,
    /// Waits for an agent: hears the waiting music with its prompt and no person, and is heard by nobody. For customers
    /// alone.
    Queued,
    /// Is in the conversation: hears and is heard by every other leg that talks. Not for supervisors.
    Talk,
    /// Is in the conversation but not heard. Not for supervisors.
    Muted,
    /// Hears the music and no person, and is heard by nobody. Not for supervisors.
    Held,
    /// Agent and partner apart from the customer: hears and is heard by those who consult.
    Consult,
    /// A supervisor who hears every party that another party hears, and is heard by nobody.
    Listen,
    /// A supervisor who hears as one who listens, and the agent also while he has the customer on hold; heard by the
    /// agent alone.
    Whisper,
    /// A supervisor who hears all who speak and is heard by all but those on hold.
    Barge,
}

/// Whether the room's audio goes to the recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tap {
    /// Never.
    Off,
    /// From the moment the room is live ([`crate::EventKind::RoomLive`]) on; nothing before it.
    On,
    /// Stopped for now; no packet of the span reaches memory that the recorder sees.
    Paused,
}

/// Who hears a tone of ours when a supervisor begins to listen, whisper or join.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Announce {
    /// Nobody.
    #[default]
    Nobody,
    /// The agent and a colleague who is consulted.
    Agents,
    /// They and the customer.
    All,
}

/// Whether the keys that somebody presses (telephone events, RFC 4733) go where his voice goes. That one was pressed is
/// told either way ([`crate::EventKind::Dtmf`]), and never which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Shield {
    /// They do.
    #[default]
    Off,
    /// Nobody gets them, whoever hears the voice.
    On,
}

/// Who wants a change, and why: for what media writes down of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// A stable word such as `agent` or `system`; never a name.
    pub role: &'static str,
    /// The word that was given, or a stable one.
    pub reason: Option<String>,
}

/// The whole of who takes part how: never a delta. The highest epoch wins; the same epoch twice is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which room.
    pub room: CallId,
    /// Grows by at least one with every change of the room's plan.
    pub epoch: u64,
    /// Legs that are not named hear nobody.
    pub stances: Vec<(LegId, Stance)>,
    /// The tap for the whole room.
    pub tap: Tap,
    /// Who is told of supervisors.
    pub announce: Announce,
    /// Whether pressed keys are kept from everybody.
    pub shield: Shield,
}
