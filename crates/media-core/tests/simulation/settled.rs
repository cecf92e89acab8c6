//! Who must have heard whom under a plan that was in force long enough: every edge that the plan has, and the music.
//!
//! Whether a plan is judged hangs on what happened to the clients and their lines, never on what was heard.

use media_core::limits::{SECOND, SLOTS_PER_LEG_MAX};
use media_core::matrix::{Part, Stance};

use crate::judge::must_hear;
use crate::peer::Life;
use crate::story::Party;
use crate::world::World;

/// How long a plan is in force, and both are up, before a word must have got through.
const SETTLED: u64 = 2 * SECOND;
/// How long the last trouble of the call is over: an address that another leg had is given up only after its silence.
const CALM: u64 = 12 * SECOND;
/// How long before the plan's end the last word came.
const HEARD_WITHIN: u64 = 3 * SECOND;

impl World {
    /// The plan in force is about to be replaced, or the call to end.
    pub(crate) fn judge_the_plan(&mut self, call: usize) {
        let state = &self.calls[call];
        let since = |at: u64, long: u64| self.now >= at.saturating_add(long);
        if !(since(state.planned_at, SETTLED) && since(state.disturbed_until, CALM)) {
            return;
        }
        // With those whose legs have just ended: until a moment ago they took slots.
        let (_, parties) = &state.plans[state.epoch as usize];
        let seats: Vec<_> = parties.iter().map(|party| (party.part, party.stance)).collect();
        let is_well = |party: &Party| {
            let peer = &self.peers[party.peer];
            let up = peer.life == Life::Well && peer.is_up() && since(peer.up_at, SETTLED);
            up && self.judge.is_living(party.leg)
        };
        let in_time = |at: u64, epoch: u64| at + HEARD_WITHIN >= self.now && epoch == state.epoch;
        let mut counts = Vec::new();
        for (ear, sink) in parties.iter().enumerate().filter(|(_, party)| is_well(party)) {
            let peer = &self.peers[sink.peer];
            if matches!(sink.stance, Stance::Held | Stance::Queued) {
                let music = peer.music.is_some_and(|(at, epoch)| in_time(at, epoch));
                assert!(
                    music,
                    "call {call}: {sink:?} hears no music but {:?} at {}",
                    peer.music, self.now
                );
                counts.push(if sink.stance == Stance::Held { HELD } else { QUEUED });
            }
            let sources: Vec<_> = (0..seats.len())
                .filter(|&mouth| must_hear(&seats, ear, mouth))
                .collect();
            if sources.len() > SLOTS_PER_LEG_MAX {
                continue;
            }
            for source in sources
                .into_iter()
                .map(|mouth| &parties[mouth])
                .filter(|party| is_well(party))
            {
                let heard = peer.heard.iter().find(|heard| heard.speaker == source.peer as u32);
                assert!(
                    heard.is_some_and(|heard| in_time(heard.at, heard.epoch)),
                    "call {call}: {sink:?} is deaf to {source:?} under plan {}: {heard:?} at {}",
                    state.epoch,
                    self.now
                );
                counts.push(name(sink, source));
            }
        }
        counts.into_iter().for_each(|name| self.figures.count(name));
    }
}

const HELD: &str = "had to be heard: music on hold";
const QUEUED: &str = "had to be heard: music of the queue";

/// What must be met in every run, the last in every long one.
pub(crate) const EDGES: [&str; 8] = [
    HELD,
    QUEUED,
    "had to be heard: between customer and agent",
    "had to be heard: a partner",
    "had to be heard: in consultation",
    "had to be heard: by who listens",
    "had to be heard: a whisper, or by who whispers",
    "had to be heard: who barges, or by him",
];

fn name(sink: &Party, source: &Party) -> &'static str {
    let stances = [sink.stance, source.stance];
    let parts = [sink.part, source.part];
    if stances.contains(&Stance::Barge) {
        EDGES[7]
    } else if stances.contains(&Stance::Whisper) {
        EDGES[6]
    } else if stances.contains(&Stance::Listen) {
        EDGES[5]
    } else if stances.contains(&Stance::Consult) {
        EDGES[4]
    } else if parts.contains(&Part::Partner) {
        EDGES[3]
    } else {
        EDGES[2]
    }
}
