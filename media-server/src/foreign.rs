//! What clients without our script ask for beyond an offer: WHIP's one way up (RFC 9725), trickled fragments and ICE
//! restarts by fragment (RFC 8840).
//!
//! Invariant: a refused fragment has changed nothing; the session goes on with the credentials it has.

use std::sync::atomic::Ordering;

use media_core::command::{Command, SlotParams};
use media_core::sdp::{self, Fragment};
use ports::{Refusal, Sdp, Secret};

use crate::convert;
use crate::plane::{Shared, digest, fresh_ice, lock};

/// Which way an answer lets sound go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// As the offer and the grant have it.
    AsOffered,
    /// From the client to us only, and nothing of the offer is left out.
    Up,
}

impl Way {
    /// The streams that are announced to the client.
    pub(crate) fn slots(self, all: &[SlotParams]) -> &[SlotParams] {
        match self {
            Way::AsOffered => all,
            Way::Up => &[],
        }
    }
}

impl Shared {
    /// Refuses an offer that cannot be answered this way. `uplink`: whether the grant lets the leg speak.
    pub(crate) fn may_go(&self, way: Way, offer: &sdp::Offer, uplink: bool) -> Result<(), Refusal> {
        let reason = match way {
            Way::AsOffered => return Ok(()),
            Way::Up if !offer.is_taken_whole() => "offer_taken_in_part",
            Way::Up if !offer.sends() => "offer_sends_nothing",
            Way::Up if !uplink => "grant_without_uplink",
            Way::Up => return Ok(()),
        };
        self.refused(reason)
    }

    /// Our user name fragment is on the wire in every check, so it gives nothing away.
    pub(crate) fn session_of(&self, secret: &Secret) -> Result<String, Refusal> {
        let mut registry = lock(&self.registry);
        let (_, _, leg) = registry.by_secret(&digest(secret))?;
        Ok(leg.ice.as_ref().ok_or(Refusal::NoSession)?.local_ufrag.clone())
    }

    pub(crate) fn take_trickle(&self, secret: &Secret, text: &str) -> Result<(), Refusal> {
        let mut registry = lock(&self.registry);
        let (_, _, leg) = registry.by_secret(&digest(secret))?;
        let ice = leg.ice.as_ref().ok_or(Refusal::NoSession)?;
        let fragment = self.read_fragment(text)?;
        if matches!(&fragment.credentials, Some((ufrag, _)) if *ufrag != ice.remote_ufrag) {
            return self.refused("fragment_of_another_session");
        }
        let candidates = u64::from(fragment.candidates);
        self.candidates_seen.fetch_add(candidates, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn restart_by_fragment(&self, secret: &Secret, text: &str) -> Result<Sdp, Refusal> {
        let mut registry = lock(&self.registry);
        let (id, shard, leg) = registry.by_secret(&digest(secret))?;
        let present = leg.ice.as_ref().ok_or(Refusal::NoSession)?;
        let fragment = self.read_fragment(text)?;
        let Some((ufrag, pwd)) = &fragment.credentials else {
            return self.refused("fragment_without_credentials");
        };
        // RFC 8445 §9: a restart changes both of the pair.
        if *ufrag == present.remote_ufrag {
            return self.refused("fragment_restarts_nothing");
        }
        let ice = fresh_ice(ufrag)?;
        let link = self.link(shard)?;
        let restart = Command::Restart {
            leg: convert::leg(id),
            // A fragment carries none (RFC 8840 §4.4); a WHIP session has one page.
            fingerprint: None,
            ice: Box::new(ice.clone()),
            media: None,
        };
        self.tell_or_refuse(shard, restart)?;
        let mid = fragment.mid.as_deref();
        let answer = sdp::restart_fragment(&ice.local_ufrag, &ice.local_pwd, mid, &link.candidates);
        leg.ice = Some(ice);
        if let Some(page) = &mut leg.page {
            (page.ufrag, page.pwd) = (ufrag.clone(), pwd.clone());
        }
        let candidates = u64::from(fragment.candidates);
        self.candidates_seen.fetch_add(candidates, Ordering::Relaxed);
        Ok(Sdp(answer))
    }

    fn read_fragment(&self, text: &str) -> Result<Fragment, Refusal> {
        sdp::read_fragment(text).or_else(|refused| self.refused(refused.word()))
    }

    fn refused<T>(&self, reason: &'static str) -> Result<T, Refusal> {
        self.offers_refused.fetch_add(1, Ordering::Relaxed);
        Err(Refusal::BadOffer { reason })
    }
}
