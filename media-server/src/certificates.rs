//! The certificate that answers announce, and when another one takes its place.
//!
//! A transport has the certificate of its own answer until it ends, whatever is announced by then: a handshake that was
//! offered before the change succeeds after it, and a restart of ICE answers with what its association was made with. So
//! an old certificate lives exactly as long as the longest of those legs, and its key no longer.
//!
//! Time is an argument; the key is drawn here, on the control thread: a fraction of a millisecond, once a day.
//!
//! Invariant: there is always one to announce; when no new one can be made, the old one goes on.

use std::sync::Mutex;

use media_core::dtls::{Certificate, Kept};

use crate::metrics::Metrics;
use crate::plane::lock;

/// Nanoseconds for which one certificate is announced: a day. Longer: a stolen key says for longer that it is us. Shorter
/// gains nothing, for the fingerprint of every answer comes over TLS anyway.
pub(crate) const ANNOUNCED_NS_MAX: u64 = 24 * 3_600 * 1_000_000_000;
/// Nanoseconds until the next attempt when no certificate could be made: a source of randomness that fails does so for
/// longer than a second, and one line of the log a minute is enough.
pub(crate) const RETRY_NS: u64 = 60 * 1_000_000_000;

/// See the top of this file.
pub(crate) struct Rotation {
    announced_at: u64,
    due_at: u64,
    /// Those before the announced one that somebody still has: at most one for each day of the longest leg.
    older: Vec<Kept>,
}

impl Rotation {
    /// The first certificate is announced since `now`, nanoseconds.
    pub(crate) fn new(now: u64) -> Rotation {
        Rotation {
            announced_at: now,
            due_at: now.saturating_add(ANNOUNCED_NS_MAX),
            older: Vec::new(),
        }
    }

    /// Replaces the certificate when it is due, and tells the figures.
    pub(crate) fn look(&mut self, now: u64, announced: &Mutex<Certificate>, metrics: &Metrics) {
        if now >= self.due_at {
            match Certificate::generate() {
                Ok(fresh) => self.replace(now, announced, fresh),
                Err(fault) => {
                    self.due_at = now.saturating_add(RETRY_NS);
                    tracing::warn!(%fault, "the certificate of media stays: no other could be made");
                }
            }
        }
        self.older.retain(Kept::is_kept);
        let age_s = now.saturating_sub(self.announced_at) as f64 / 1e9;
        metrics.certificate_age(age_s);
    }

    fn replace(&mut self, now: u64, announced: &Mutex<Certificate>, fresh: Certificate) {
        let old = std::mem::replace(&mut *lock(announced), fresh);
        self.older.push(old.kept());
        drop(old);
        self.older.retain(Kept::is_kept);
        self.announced_at = now;
        self.due_at = now.saturating_add(ANNOUNCED_NS_MAX);
        tracing::info!(
            older = self.older.len(),
            "new answers announce a new certificate; running legs keep theirs"
        );
    }
}

#[cfg(test)]
mod tests;
