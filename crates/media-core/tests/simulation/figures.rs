//! What a run did, for whoever reads its output.

use std::collections::BTreeMap;

use crate::network::Done;

#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    counts: BTreeMap<&'static str, u64>,
    pub(crate) network: Done,
    pub(crate) words_heard: u64,
    pub(crate) music_heard: u64,
    pub(crate) tones_heard: u64,
    /// Sent to an address that nobody has any more, or an attacker's.
    pub(crate) to_nobody: u64,
    pub(crate) most_legs: usize,
    pub(crate) besieged_said: u64,
    pub(crate) besieged_heard: u64,
}

impl Figures {
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(crate) fn of(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or_default()
    }

    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.counts.iter().map(|(what, count)| (*what, *count))
    }
}
