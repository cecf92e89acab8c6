//! A browser's microphone and encoder, told when to begin its clip.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use opus::{Application, Bitrate, Channels, Encoder};
use testkit::calls::Source;

use super::clip::{FRAME, RATE};

/// Longest Opus packet that libopus makes of one frame (RFC 6716 §3.2.1).
const PACKET_BYTES: usize = 1_275;
/// Packets after the clip, so that its last ones are not the call's last: one second.
const AFTER: usize = 50;
/// What the microphone takes while nobody speaks.
const NOTHING: [i16; FRAME] = [0; FRAME];
/// No packet.
const NONE: u64 = u64::MAX;

/// What the test and a talking side tell each other.
pub(super) struct Cue {
    go: AtomicBool,
    first: AtomicU64,
    done: AtomicBool,
}

impl Cue {
    pub(super) fn new() -> Arc<Cue> {
        Arc::new(Cue {
            go: AtomicBool::new(false),
            first: AtomicU64::new(NONE),
            done: AtomicBool::new(false),
        })
    }

    /// The clip begins with the next packet.
    pub(super) fn go(&self) {
        self.go.store(true, Ordering::Relaxed);
    }

    /// True once the clip and a second of silence after it were sent.
    pub(super) fn is_done(&self) -> bool {
        self.done.load(Ordering::Relaxed)
    }

    /// The number of the clip's first packet.
    pub(super) fn first(&self) -> Option<usize> {
        usize::try_from(self.first.load(Ordering::Relaxed))
            .ok()
            .filter(|n| *n as u64 != NONE)
    }
}

/// An encoder as browsers have it on a link without loss: 48 kHz, mono, for voice, 32 kbit/s, redundancy allowed.
fn encoder() -> Encoder {
    let mut encoder = Encoder::new(RATE, Channels::Mono, Application::Voip).expect("libopus has encoders");
    encoder.set_bitrate(Bitrate::Bits(32_000)).expect("a usual rate");
    encoder.set_inband_fec(true).expect("a usual switch");
    encoder
}

/// One encoder all the call long: silence, the clip when it is due, silence.
pub(super) fn source(pcm: Vec<i16>, cue: Arc<Cue>) -> Source {
    let mut encoder = encoder();
    let mut begun: Option<u64> = None;
    Box::new(move |n| {
        if begun.is_none() && cue.go.load(Ordering::Relaxed) {
            begun = Some(n);
            cue.first.store(n, Ordering::Relaxed);
        }
        let place = begun.map_or(0, |first| (n - first) as usize * FRAME);
        let frame = pcm.get(place..place + FRAME).filter(|_| begun.is_some());
        if place >= pcm.len() + AFTER * FRAME {
            cue.done.store(true, Ordering::Relaxed);
        }
        Some(
            encoder
                .encode_vec(frame.unwrap_or(&NOTHING), PACKET_BYTES)
                .expect("one whole frame"),
        )
    })
}
