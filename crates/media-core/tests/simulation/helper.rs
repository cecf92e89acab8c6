//! The handshake helper on virtual time: the engine's own handshakes, one per transport, as the product runs them.
//!
//! Invariant: an association lives from `Start` to `Stop` and no longer.

use media_core::TransportId;
use media_core::command::{Failure, Report};
use media_core::dtls::{self, Certificate, Fingerprint, Handshake, Output};
use media_core::shard::Job;
use rustc_hash::FxHashMap;

use crate::peer::Clock;

pub(crate) struct Helper {
    clock: Clock,
    pub(crate) certificate: Certificate,
    running: FxHashMap<TransportId, Handshake>,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
}

impl Helper {
    pub(crate) fn new(clock: Clock, certificate: Certificate) -> Helper {
        Helper {
            clock,
            certificate,
            running: FxHashMap::default(),
            completed: 0,
            failed: 0,
        }
    }

    pub(crate) fn associations(&self) -> usize {
        self.running.len()
    }

    /// Takes a job; what it makes the helper report, and when the transport wants to be woken.
    pub(crate) fn job(&mut self, job: Job) -> (Vec<Report>, Option<u64>) {
        match job {
            Job::Start {
                transport,
                fingerprint,
                certificate,
            } => {
                let handshake = Handshake::server(&certificate, Fingerprint(fingerprint));
                let before = self.running.insert(transport, handshake);
                assert!(before.is_none(), "a transport starts once");
                (Vec::new(), None)
            }
            Job::Datagram { transport, at, bytes } => {
                let handshake = self
                    .running
                    .get_mut(&transport)
                    .expect("it was started and not stopped");
                handshake.datagram(self.clock.instant(at), &bytes);
                self.settle(transport)
            }
            Job::Stop { transport } => {
                assert!(self.running.remove(&transport).is_some(), "a transport stops once");
                (Vec::new(), None)
            }
        }
    }

    /// The transport's timer, if it is due.
    pub(crate) fn fire(&mut self, now: u64, transport: TransportId) -> (Vec<Report>, Option<u64>) {
        let instant = self.clock.instant(now);
        match self.running.get_mut(&transport) {
            Some(handshake) if handshake.next_timeout().is_some_and(|due| due <= instant) => {
                handshake.timeout(instant);
                self.settle(transport)
            }
            Some(_) | None => (Vec::new(), None),
        }
    }

    fn settle(&mut self, transport: TransportId) -> (Vec<Report>, Option<u64>) {
        let handshake = self.running.get_mut(&transport).expect("the caller has just used it");
        let (mut reports, mut flight) = (Vec::new(), Vec::new());
        while let Some(output) = handshake.poll() {
            let said = match output {
                Output::Datagram(bytes) => {
                    flight.push(bytes.into_boxed_slice());
                    continue;
                }
                Output::Keys(keys) => {
                    self.completed += 1;
                    Report::Established(keys)
                }
                Output::Failed(failure) => {
                    self.failed += 1;
                    Report::Failed(match failure {
                        dtls::Failure::Fingerprint => Failure::Fingerprint,
                        _ => Failure::Other,
                    })
                }
                Output::Closed => Report::Closed,
            };
            if !flight.is_empty() {
                reports.push(Report::Flight(std::mem::take(&mut flight)));
            }
            reports.push(said);
        }
        if !flight.is_empty() {
            reports.push(Report::Flight(flight));
        }
        let due = handshake.next_timeout();
        (reports, due.map(|due| self.clock.nanoseconds(due)))
    }
}
