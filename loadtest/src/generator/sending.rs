//! What leaves: datagrams of one gate together, and the moment at which each of them did.

use std::time::Instant;

use super::harbour::{GATES, Mark};
use super::line::{Leg, Way};
use super::{Generator, nanos};
use crate::clock;

impl<L: Leg> Generator<L> {
    /// Sends what the profile held back until now.
    pub(super) fn release(&mut self, now: Instant) {
        while let Some(entry) = self.held.first_entry()
            && entry.key().0 <= now
        {
            let (number, bytes) = entry.remove();
            self.post(number, &bytes, None);
        }
    }

    /// Sends a datagram of a leg: with the next call of its gate, or over its relay at once.
    pub(super) fn post(&mut self, number: u32, bytes: &[u8], mark: Option<Mark>) {
        let Some(line) = self.lines[number as usize].as_mut() else {
            return;
        };
        let (gate, posted) = match &mut line.way {
            Way::Direct(berth) => {
                let staged = self.harbour.stage(*berth, line.leg.destination(), bytes, mark);
                (Some(berth.gate), staged)
            }
            Way::Relayed(relayed) => {
                if let Some(mark) = mark {
                    let now = clock::now();
                    line.times.note(mark.number, nanos(self.origin, now));
                    if mark.counts {
                        self.window.late(now.saturating_duration_since(mark.due));
                    }
                }
                self.window.effort.send_calls += 1;
                self.window.effort.sent += 1;
                (None, relayed.send(bytes))
            }
        };
        if let Err(fault) = posted {
            self.fall(number, &fault);
        }
        if let Some(gate) = gate
            && self.harbour.is_full(gate)
        {
            self.flush(gate);
        }
    }

    pub(super) fn flush_all(&mut self) {
        for gate in 0..GATES {
            if self.harbour.has_staged(gate) {
                self.flush(gate);
            }
        }
    }

    /// Sends what is staged at a gate. Each datagram left when its turn within the call came.
    fn flush(&mut self, gate: usize) {
        let before = clock::now();
        let sent = self.harbour.send(gate);
        let took = clock::now().duration_since(before);
        let effort = &mut self.window.effort;
        effort.send_calls += 1;
        effort.sent += sent.datagrams;
        effort.refused += sent.refused;
        let each = took.div_f64(sent.datagrams.max(1) as f64);
        let mut left = before;
        for mark in self.harbour.marks(gate).drain(..) {
            if let Some(mark) = mark {
                if mark.counts {
                    self.window.late(left.saturating_duration_since(mark.due));
                }
                if let Some(line) = self.lines[mark.leg as usize].as_mut() {
                    line.times.note(mark.number, nanos(self.origin, left));
                }
            }
            left += each;
        }
    }
}
