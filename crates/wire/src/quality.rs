//! Call quality: live values and the stored timeline.

use uuid::Uuid;

use crate::{
    leg::{LegPath, Part},
    wire,
};

wire! {
    /// One leg's last second (`call.quality`).
    pub struct LegQuality {
        /// What the participant is.
        pub part: Part,
        /// True while the leg is up.
        pub up: bool,
        /// Lost share of what it sends, 0 to 1.
        pub loss: f32,
        /// Jitter in milliseconds.
        pub jitter_ms: f32,
        /// Round trip in milliseconds.
        #[cfg_attr(test, ts(optional = nullable))]
        pub rtt_ms: Option<f32>,
        /// Estimated opinion score of what it sends, on the way to the server alone, 1 to 4.5.
        pub mos: f32,
        /// Estimated opinion score of what it hears, on the way from the server alone.
        #[cfg_attr(test, ts(optional = nullable))]
        pub mos_down: Option<f32>,
        /// Estimated opinion score of how it hears the others, over both ways with their whole delay; of several speakers
        /// the worst. Absent while one of the ways is not measured.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional = nullable))]
        pub mos_end_to_end: Option<f32>,
        /// Level, 0 to 127.
        pub level: u8,
        /// It speaks now, by its levels, with the pauses between words.
        pub speaking: bool,
        /// Conditions that hold, such as `high_loss` or `one_way`; those of a call's history have the same words.
        pub flags: Vec<String>,
        /// Over what its media goes; absent until it is known.
        #[cfg_attr(test, ts(optional = nullable))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub path: Option<LegPath>,
    }
}

wire! {
    /// Server → client once a second during a call (`call.quality`).
    pub struct CallQuality {
        /// The call.
        pub call_id: Uuid,
        /// Its legs.
        pub legs: Vec<LegQuality>,
    }
}

wire! {
    /// Timeline of one direction of one leg; the arrays have a value per second.
    pub struct QualityTrack {
        /// The leg.
        pub leg_id: Uuid,
        /// What the participant is.
        pub part: Part,
        /// True: what it sent. False: what it heard.
        pub uplink: bool,
        /// Milliseconds from the start of the recording to the first value.
        #[cfg_attr(test, ts(type = "number"))]
        pub start_ms: i64,
        /// Estimated opinion score, 1 to 4.5.
        pub mos: Vec<f32>,
        /// Lost share, 0 to 1.
        pub loss: Vec<f32>,
        /// Lost share that no repair brought back, 0 to 1.
        pub residual_loss: Vec<f32>,
        /// Milliseconds.
        pub jitter_ms: Vec<f32>,
        /// Milliseconds; 0 where it was not measured.
        pub rtt_ms: Vec<f32>,
        /// 0 to 127.
        pub level: Vec<u8>,
        /// Score of the mean over voiced seconds.
        #[cfg_attr(test, ts(optional = nullable))]
        pub mos_mean: Option<f32>,
        /// Score of the worst 60 voiced seconds in a row; of all of them while they are fewer.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub mos_worst_minute: Option<f32>,
        /// Score below which 5 % of the voiced seconds lie.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub mos_low: Option<f32>,
    }
}

wire! {
    /// How well one participant heard another one: the loss and the delay of both hops together.
    pub struct EndToEnd {
        /// Who spoke.
        pub speaker: Part,
        /// His leg.
        pub speaker_leg_id: Uuid,
        /// Who heard him.
        pub listener: Part,
        /// His leg.
        pub listener_leg_id: Uuid,
        /// Estimated opinion score over the seconds in which he spoke and both hops were measured, 1 to 4.5.
        pub mos: f32,
        /// The same of the worst 60 of them in a row; of all of them while they are fewer.
        pub mos_worst_minute: f32,
        /// How many seconds these were.
        pub seconds: u32,
    }
}

wire! {
    /// One second of what a client heard, by its own statistics (`getStats()`).
    pub struct HeardSecond {
        /// Lost share, 0 to 1.
        pub loss: f32,
        /// Jitter in milliseconds, at most a minute.
        pub jitter_ms: f32,
        /// Round trip in milliseconds, where it was measured; at most a minute.
        #[cfg_attr(test, ts(optional = nullable))]
        pub rtt_ms: Option<f32>,
        /// Estimated opinion score, 1 to 4.5.
        pub mos: f32,
    }
}

wire! {
    /// `POST /api/support/call/{id}/quality`: at most one within five seconds.
    pub struct HeardReport {
        /// The last seconds, the newest last; 1 to 15.
        pub seconds: Vec<HeardSecond>,
    }
}

wire! {
    /// What one side says that it heard; a value per second from the answer on, null where nothing was told.
    pub struct HeardTrack {
        /// Whose client.
        pub part: Part,
        /// Estimated opinion score, 1 to 4.5.
        pub mos: Vec<Option<f32>>,
        /// Lost share, 0 to 1.
        pub loss: Vec<Option<f32>>,
        /// Milliseconds.
        pub jitter_ms: Vec<Option<f32>>,
        /// Milliseconds.
        pub rtt_ms: Vec<Option<f32>>,
    }
}

wire! {
    /// `GET /api/support/call/{id}/quality`.
    pub struct Quality {
        /// What the server measured: all tracks of the call.
        pub tracks: Vec<QualityTrack>,
        /// How each heard each of the others, over both hops.
        #[serde(default)]
        #[cfg_attr(test, ts(as = "Option<Vec<EndToEnd>>", optional))]
        pub end_to_end: Vec<EndToEnd>,
        /// What the clients say that they heard, never mixed with it.
        pub heard: Vec<HeardTrack>,
    }
}
