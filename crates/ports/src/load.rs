//! How full a node is, and how far its emptying has come.

/// What a node's recorder promises to a call that begins now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Recorder {
    /// Every recording.
    #[default]
    Ready,
    /// Those that are required: the disk fills, and an order to record an optional one is not carried out.
    RequiredOnly,
    /// None: the disk is full or fails, or the recorder is gone.
    Unavailable,
}

/// How far the emptying of a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draining {
    /// Counts the emptyings of this process: whoever began one sees whether it still is his. Another deadline makes no
    /// new one.
    pub number: u64,
    /// The rooms that still live.
    pub rooms: Rooms,
    /// Seconds until those that are left are closed.
    pub closes_in_s: u32,
}

/// The rooms of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rooms {
    /// How many live.
    pub count: u32,
    /// Seconds since the oldest of them was made.
    pub oldest_s: u32,
}

/// How full a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Live legs.
    pub legs: u32,
    /// Legs that the node is willing to carry.
    pub capacity_legs: u32,
    /// Busiest shard thread, 0 to 1, over the last 5 s.
    pub busy: f32,
    /// True while no shard takes another room: by legs, by its measured load, or because handshakes wait.
    pub full: bool,
    /// True while the node is being emptied.
    pub draining: bool,
    /// What the recorder promises.
    pub recorder: Recorder,
}
