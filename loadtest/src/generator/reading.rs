//! What comes: read by turns, some of each gate, and dated by the kernel's stamps.

use std::io;
use std::time::{Duration, Instant};

use udp::Inbox;

use super::harbour::GATES;
use super::line::{Leg, Way};
use super::window::Reading;
use super::{Counted, Generator, nanos};
use crate::payload::Label;
use crate::{clock, payload};

impl<L: Leg> Generator<L> {
    /// Reads what came; true when there is more.
    pub(super) fn receive(&mut self) -> io::Result<bool> {
        let mut more = false;
        if let Some(mut inbox) = self.inbox.take() {
            for gate in 0..GATES {
                let count = self.harbour.receive(gate, &mut inbox)?;
                more |= count == inbox.size();
                self.read_gate(gate, count, &mut inbox);
            }
            self.inbox = Some(inbox);
        }
        if self.relayed > 0 {
            self.receive_relayed()?;
        }
        while let Some(number) = self.asked.pop() {
            self.poke(number)?;
        }
        Ok(more)
    }

    /// Hands on what one call has read.
    fn read_gate(&mut self, gate: usize, count: usize, inbox: &mut Inbox) {
        if count == 0 {
            return;
        }
        let (now, stamp) = (clock::now(), clock::stamp());
        self.window.effort.read_calls += 1;
        self.window.effort.read += count as u64;
        for index in 0..count {
            let Some(arrival) = inbox.arrival(index) else { continue };
            if let Some(all) = arrival.dropped {
                self.window.effort.dropped += self.harbour.dropped(gate, all);
            }
            let Some(number) = self.harbour.owner(arrival.to) else {
                continue;
            };
            let unread = arrival.stamp.map(|at| stamp.saturating_sub(at));
            self.take(number, inbox.datagram_mut(index), now, unread, Duration::ZERO);
        }
    }

    fn receive_relayed(&mut self) -> io::Result<()> {
        if let Err(fault) = self.poll.poll(&mut self.events, Some(Duration::ZERO))
            && fault.kind() != io::ErrorKind::Interrupted
        {
            return Err(fault);
        }
        self.ready.clear();
        self.ready
            .extend(self.events.iter().map(|event| event.token().0 as u32));
        let looked = std::mem::replace(&mut self.looked, clock::now());
        let mut buffer = std::mem::take(&mut self.buffer);
        for index in 0..self.ready.len() {
            let number = self.ready[index];
            while let Some(line) = self.lines[number as usize].as_mut() {
                let Way::Relayed(relayed) = &mut line.way else { break };
                match relayed.receive(&mut buffer) {
                    Ok(Some(len)) => {
                        let now = clock::now();
                        self.window.effort.read_calls += 1;
                        self.window.effort.read += 1;
                        let doubt = now.saturating_duration_since(looked);
                        self.take(number, &mut buffer[..len], now, None, doubt);
                    }
                    Ok(None) => break,
                    Err(fault) => {
                        self.fall(number, &fault);
                        break;
                    }
                }
            }
        }
        self.buffer = buffer;
        Ok(())
    }

    /// A datagram for a leg, read at `now`. `unread`: how long it lay, by the kernel's stamp; without one, at most `doubt`.
    fn take(&mut self, number: u32, datagram: &mut [u8], now: Instant, unread: Option<Duration>, doubt: Duration) {
        let Some(line) = self.lines[number as usize]
            .as_mut()
            .filter(|line| line.fallen.is_none())
        else {
            return;
        };
        let (from, to) = match line.leg.hear(now, datagram) {
            Ok(Some(payload)) => payload,
            Ok(None) => {
                if self.asked.last() != Some(&number) {
                    self.asked.push(number);
                }
                return;
            }
            Err(fault) => return self.fall(number, &fault),
        };
        let payload = &datagram[from..to];
        let arrived = now.checked_sub(unread.unwrap_or_default()).unwrap_or(now);
        // What comes before the other side's line is up is the server's music.
        if !line.has_heard && payload::is_voice(payload) {
            line.has_heard = true;
            self.heard += 1;
            self.first_heard.push((number, arrived));
        }
        let Some(label) = payload::label(payload).filter(|label| line.hears(label.leg)) else {
            return;
        };
        let Some(speaker) = self.lines.get(label.leg as usize).and_then(Option::as_ref) else {
            return;
        };
        let left = speaker.times.of(label.number);
        let counted = self
            .counted
            .filter(|_| label.span == self.span && speaker.sent_in(self.span, label.number));
        if let Some(Counted { begin, .. }) = self.counted {
            let missed = self.missed_before(number, label, begin, counted.is_some());
            self.window.unheard(missed);
        }
        let reading = Reading {
            at_ns: nanos(self.origin, arrived),
            unread_ns: unread.map(|unread| unread.as_nanos() as u64),
            doubt_ns: doubt.as_nanos() as u64,
        };
        if let Some(line) = self.lines[number as usize].as_mut() {
            let window = counted.is_some().then_some(&mut self.window);
            line.hear(label.number, left.unwrap_or(label.sent_ns), reading, window);
        }
    }

    /// Packets of the window that went by a listener before the one with this label, if it is the first that he ever hears,
    /// or one that left behind the window. None if he or the speaker came within the window, which began then.
    fn missed_before(&self, listener: u32, label: Label, begin: Instant, counts: bool) -> u64 {
        let waited = self.whole(listener, begin).filter(|line| line.is_deaf() || !counts);
        let (Some(line), Some(speaker)) = (waited, self.whole(label.leg, begin)) else {
            return 0;
        };
        speaker.sent_between(line.unheard_from(), label.number)
    }
}
