//! The shard from outside: legs come, speak, move, fall silent and go, on a virtual clock.
//!
//! Keys are injected as the handshake helper would report them; handshakes have their own tests.

mod abuse;
mod alone;
mod audio;
mod faults;
mod fec;
mod flags;
mod foresight;
mod hold;
mod hops;
mod ice;
mod keep;
mod legs;
mod life;
mod limits;
mod line;
mod live_repair;
mod locals;
mod microphone;
mod nonces;
mod plans;
mod preflight;
mod relay;
mod renegotiation;
mod repair;
mod reports;
mod shield;
mod tone;
mod voices;
mod waiting;

use media_core::LegId;
use media_core::event::{Event, Kind};
use media_core::matrix::{Part, Stance, Tap};
use testkit::bed::{Bed, Client};

/// A customer and an agent, up and in talk; events so far are taken out.
struct Call {
    bed: Bed,
    customer: Client,
    agent: Client,
}

impl Call {
    fn new() -> Call {
        let (mut customer, mut agent) = (Client::new(1, Part::Customer), Client::new(2, Part::Agent));
        let mut bed = Bed::default();
        bed.bring_up(&mut customer);
        bed.bring_up(&mut agent);
        let mut call = Call { bed, customer, agent };
        call.talk();
        call.bed.events();
        call
    }

    fn talk(&mut self) {
        let stances = [(self.customer.leg, Stance::Talk), (self.agent.leg, Stance::Talk)];
        self.bed.plan(&stances, Tap::On);
    }

    /// One packet of the customer; true if the agent heard exactly it.
    fn customer_is_heard(&mut self) -> bool {
        let payload = self.customer.index.to_be_bytes();
        let heard = self.bed.say(&mut self.customer, &payload, &mut self.agent);
        heard.len() == 1 && heard[0].payload == payload
    }
}

fn kinds(events: &[Event]) -> Vec<Kind> {
    events.iter().map(|event| event.kind.clone()).collect()
}

/// The cause of the leg's end, if it ended.
fn down(events: &[Event], leg: LegId) -> Option<media_core::event::Cause> {
    events.iter().find_map(|event| match &event.kind {
        Kind::LegDown { leg: down, cause, .. } if *down == leg => Some(*cause),
        _ => None,
    })
}

/// Redundant audio (RFC 2198 §3): `blocks` as (offset in samples, bytes), oldest first; inner payload type `kind`.
fn red(kind: u8, blocks: &[(u32, &[u8])], own: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (offset, bytes) in blocks {
        let word = u32::from(0x80 | kind) << 24 | offset << 10 | bytes.len() as u32;
        payload.extend_from_slice(&word.to_be_bytes());
    }
    payload.push(kind);
    for (_, bytes) in blocks {
        payload.extend_from_slice(bytes);
    }
    payload.extend_from_slice(own);
    payload
}
