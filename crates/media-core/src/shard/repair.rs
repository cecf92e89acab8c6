//! Loss repair: sending again what a listener misses.
//!
//! Never allocates.
//!
//! Invariant: what is sent again is what was sent before, bit for bit, and only while its listener may hear its source.

use super::{Place, Shard};
use crate::limits::HEADROOM_BYTES;
use crate::ring::Refused;
use crate::rtcp::Nack;

impl Shard {
    /// Sends a listener again what it misses, as far as it is kept and within limits. `left`: packets that may still be
    /// sent again for this datagram.
    pub(super) fn resend(&mut self, now: u64, place: u32, nack: &Nack<'_>, left: &mut usize) {
        let Some(transport) = self.transports.get_mut(place) else {
            return;
        };
        let Some(leg) = self.legs.get_mut(transport.leg) else {
            return;
        };
        if !transport.media.nack || leg.transport != Some(place) {
            return;
        }
        let slot = leg.slots.iter_mut().flatten().find(|slot| slot.ssrc == nack.media);
        let (Some(to), Some(slot)) = (transport.destination(), slot) else {
            return;
        };
        for number in nack.numbers() {
            self.out.totals.nacks_received += 1;
            let sealed = match slot.find_sent(number) {
                Ok(sealed) => sealed,
                Err(Refused::Missed) => {
                    self.out.totals.nacks_missed += 1;
                    continue;
                }
                Err(Refused::Enough) => {
                    self.out.totals.nacks_limited += 1;
                    continue;
                }
            };
            let within = *left > 0 && transport.may_resend(now, sealed.len());
            let Some((number_of_buffer, buffer)) = self.out.scratch().filter(|_| within) else {
                self.out.totals.nacks_limited += 1;
                continue;
            };
            let len = sealed.len();
            buffer[HEADROOM_BYTES..HEADROOM_BYTES + len].copy_from_slice(sealed);
            self.out.send(to, Place::Arena(number_of_buffer), len);
            self.out.totals.nacks_answered += 1;
            slot.sent_again(number);
            *left -= 1;
        }
    }
}
