//! Every bound of the endpoint, and how fast one client may talk.

use std::time::Duration;

use tokio::time::Instant;

/// Largest message in bytes: an offer is 32 KiB at most, and JSON may double its line ends.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Largest frame that is read at all, in bytes. What lies between the two closes the connection as `bad_message`; what is
/// larger ends it unread.
pub const FRAME_BYTES_MAX: usize = 4 * MESSAGE_BYTES_MAX;
/// Messages per second that a client may send for long; a page trickles a dozen candidates and then falls silent.
pub const MESSAGES_PER_SECOND: u32 = 20;
/// Messages that may come at once.
pub const MESSAGES_BURST: u32 = 60;
/// Messages that wait to be written to one client; one more and it is told to come back and draw everything anew.
pub const OUTBOUND_MESSAGES_MAX: usize = 256;
/// Events kept per session for a resume.
pub const KEPT_EVENTS_MAX: usize = 256;
/// Commands of one client that wait for their turn; further ones are not read meanwhile.
pub const COMMANDS_MAX: usize = 8;
/// A command without an outcome by then is answered with `timeout`: no page waits longer.
pub const COMMAND_WITHIN: Duration = Duration::from_secs(10);
/// Sockets that have not said their first word, of the whole node: more come only from somebody who wants to do harm.
pub const SILENT_SOCKETS_MAX: usize = 1_000;
/// Of those, sockets of one IPv4 address or IPv6 /56: what the API's limit of handshakes (10 at once, 10 a second) lets in
/// from one address within [`HELLO_WITHIN`]. Higher: fewer networks can keep everybody else out.
pub const SILENT_PER_NETWORK_MAX: usize = 60;
/// First pause before a fallen feed is begun again.
pub(crate) const FEED_PAUSE_FIRST: Duration = Duration::from_millis(100);
/// Longest such pause.
pub(crate) const FEED_PAUSE_MAX: Duration = Duration::from_secs(10);
/// A feed that ran this long begins anew with the first pause.
pub(crate) const FEED_FORGIVEN: Duration = Duration::from_secs(60);
/// Heartbeats between two looks whether a member of staff is still signed in, and in the same role: a minute. A change is
/// told at once; this finds what was not told.
pub const SIGNED_IN_EVERY: u32 = 12;
/// Sessions of one person that are connected at the same time; one more closes the oldest.
pub const SOCKETS_PER_PERSON_MAX: usize = 5;
/// Sessions of this node, connected or waiting for a resume: 20,000 at about 4 KiB of state each.
pub const SESSIONS_MAX: usize = 20_000;
/// The first message must come within this time.
pub const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// A write that takes longer has nobody at its other end.
pub const WRITE_WITHIN: Duration = Duration::from_secs(5);
/// Time between two heartbeats.
pub const HEARTBEAT: Duration = Duration::from_secs(5);
/// Heartbeats without any sign of life after which the connection is dead.
pub const MISSED_HEARTBEATS_MAX: u32 = 3;
/// Time between two views of a call's quality.
pub const QUALITY: Duration = Duration::from_secs(1);
/// A session without a connection can be resumed for this long: a page's ten tries take about 90 s, and a train's
/// tunnel should not end a call whose sound comes back.
pub const DETACHED: Duration = Duration::from_secs(600);
/// After the end of a customer's call his session can be resumed for this long, to show the end.
pub const AFTER_CALL: Duration = Duration::from_secs(30);
/// Longest peer name of the guide's protocol, in bytes.
pub const PEER_BYTES_MAX: usize = 128;

/// A bucket of [`MESSAGES_BURST`] that fills by [`MESSAGES_PER_SECOND`].
#[derive(Debug)]
pub(crate) struct Pace {
    /// Messages that may come now, times 1000.
    milli: u64,
    at: Instant,
}

impl Pace {
    /// A full bucket.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            milli: u64::from(MESSAGES_BURST) * 1_000,
            at: now,
        }
    }

    /// One message more; false when it is one too many.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_millis();
        self.at = now;
        let gained = u64::try_from(passed)
            .unwrap_or(u64::MAX)
            .saturating_mul(u64::from(MESSAGES_PER_SECOND));
        self.milli = self.milli.saturating_add(gained).min(u64::from(MESSAGES_BURST) * 1_000);
        match self.milli.checked_sub(1_000) {
            Some(left) => {
                self.milli = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_only_the_steady_rate() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        for n in 0..MESSAGES_BURST {
            assert!(pace.take(start), "message {n} of the burst");
        }
        assert!(!pace.take(start));
        let later = start + Duration::from_secs(1);
        for n in 0..MESSAGES_PER_SECOND {
            assert!(pace.take(later), "message {n} of the next second");
        }
        assert!(!pace.take(later));
        assert!(!pace.take(start), "a clock that goes back gives nothing");
    }
}
