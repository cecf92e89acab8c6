//! The handshake helper: DTLS for the legs of one shard, on a thread of its own, so that public-key arithmetic never
//! stands between two packets of somebody else's call.
//!
//! Never sends a datagram: flights go back to the shard, which alone knows the leg's address.
//!
//! Invariant: an association lives from `Start` to `Stop` and no longer, whatever it says in between.

use std::collections::{BTreeSet, HashMap};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use media_core::TransportId;
use media_core::command::{Command, Failure, Report};
use media_core::dtls::{self, Fingerprint, Handshake, Output};
use media_core::shard::Job;

use crate::clock::Clock;

/// Jobs taken in one turn before timers are looked at again: some 20 ms of handshakes.
const JOBS_PER_TURN: usize = 64;
/// How long an idle helper waits at most, so that a clock that jumped is noticed.
const IDLE: Duration = Duration::from_secs(1);

/// The associations of one shard.
pub struct Helper {
    clock: Clock,
    running: HashMap<TransportId, Box<Running>>,
    /// Deadlines in order; the one that counts stands in [`Running::due`].
    timers: BTreeSet<(u64, u64)>,
}

struct Running {
    handshake: Handshake,
    due: Option<u64>,
}

impl Helper {
    /// Nothing runs yet.
    #[must_use]
    pub fn new(clock: Clock) -> Helper {
        Helper {
            clock,
            running: HashMap::new(),
            timers: BTreeSet::new(),
        }
    }

    /// Works until the shard's end of `jobs` is gone. `report` hands a command to the shard; it may wait.
    pub fn run(mut self, jobs: &Receiver<Job>, mut report: impl FnMut(Command)) {
        loop {
            match jobs.recv_timeout(self.until_due()) {
                Ok(job) => self.job(job, &mut report),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            for _ in 1..JOBS_PER_TURN {
                let Ok(job) = jobs.try_recv() else { break };
                self.job(job, &mut report);
            }
            self.fire(&mut report);
        }
    }

    fn until_due(&self) -> Duration {
        let Some(&(due, _)) = self.timers.first() else {
            return IDLE;
        };
        Duration::from_nanos(due.saturating_sub(self.clock.now_ns())).min(IDLE)
    }

    fn job(&mut self, job: Job, report: &mut impl FnMut(Command)) {
        match job {
            Job::Start {
                transport,
                fingerprint,
                certificate,
            } => {
                let handshake = Handshake::server(&certificate, Fingerprint(fingerprint));
                self.running
                    .insert(transport, Box::new(Running { handshake, due: None }));
            }
            Job::Datagram { transport, at, bytes } => {
                let now = self.clock.instant(at);
                if let Some(running) = self.running.get_mut(&transport) {
                    running.handshake.datagram(now, &bytes);
                    self.settle(transport, report);
                }
            }
            Job::Stop { transport } => {
                if let Some(due) = self.running.remove(&transport).and_then(|running| running.due) {
                    self.timers.remove(&(due, transport.0));
                }
            }
        }
    }

    fn fire(&mut self, report: &mut impl FnMut(Command)) {
        let now = self.clock.now_ns();
        while let Some(&(due, transport)) = self.timers.first() {
            if due > now {
                return;
            }
            self.timers.pop_first();
            let transport = TransportId(transport);
            if let Some(running) = self.running.get_mut(&transport) {
                running.due = None;
                running.handshake.timeout(self.clock.instant(now));
                self.settle(transport, report);
            }
        }
    }

    /// Passes on what the association says and sets its timer anew.
    fn settle(&mut self, transport: TransportId, report: &mut impl FnMut(Command)) {
        let Some(running) = self.running.get_mut(&transport) else {
            return;
        };
        let mut flight = Vec::new();
        while let Some(output) = running.handshake.poll() {
            let said = match output {
                Output::Datagram(bytes) => {
                    flight.push(bytes.into_boxed_slice());
                    continue;
                }
                Output::Keys(keys) => Report::Established(keys),
                Output::Failed(dtls::Failure::Fingerprint) => Report::Failed(Failure::Fingerprint),
                Output::Failed(_) => Report::Failed(Failure::Other),
                Output::Closed => Report::Closed,
            };
            if !flight.is_empty() {
                report(Command::Handshake {
                    transport,
                    report: Report::Flight(std::mem::take(&mut flight)),
                });
            }
            report(Command::Handshake {
                transport,
                report: said,
            });
        }
        if !flight.is_empty() {
            report(Command::Handshake {
                transport,
                report: Report::Flight(flight),
            });
        }
        let due = running.handshake.next_timeout().map(|at| self.clock.of_instant(at));
        if due == running.due {
            return;
        }
        if let Some(old) = std::mem::replace(&mut running.due, due) {
            self.timers.remove(&(old, transport.0));
        }
        if let Some(due) = due {
            self.timers.insert((due, transport.0));
        }
    }
}
