//! A client with ICE, DTLS and SRTP, as the generator's thread sees it.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use media_core::dtls::Certificate;
use testkit::calls::{numbers, spread};
use testkit::peer::Peer;

use crate::generator::Leg;
use crate::{Fault, clock};

/// Levels of the packets, -dBov: from the first on, over so many steps. One that never changed would be a dead microphone,
/// and the server would tell everybody so.
const LEVEL: u8 = 20;
const LEVEL_STEPS: u8 = 23;

/// See the top of this file.
pub(crate) struct Client {
    peer: Peer,
    to: SocketAddr,
    level: u8,
}

impl Client {
    /// What a client that `number` makes different from all others offers; the answer makes a client of it.
    pub(crate) fn offering(certificate: &Certificate, number: u32) -> (Peer, String) {
        let peer = Peer::new(numbers(number), certificate.clone(), spread(number)).reporting();
        let offer = peer.offer();
        (peer, offer)
    }

    /// The client, once its answer is there.
    pub(crate) fn answered(mut peer: Peer, answer: &str) -> Result<Client, Fault> {
        peer.answer(clock::now(), answer)?;
        let to = peer.destination().ok_or("the answer names no address")?;
        Ok(Client { peer, to, level: 0 })
    }
}

impl Leg for Client {
    fn speak(&mut self, buffer: &mut [u8], payload: &[u8], samples: u32) -> Option<usize> {
        self.level = (self.level + 7) % LEVEL_STEPS;
        self.peer.speak(buffer, payload, samples, LEVEL + self.level, true)
    }

    fn hear(&mut self, now: Instant, datagram: &mut [u8]) -> io::Result<Option<(usize, usize)>> {
        let heard = self.peer.datagram(now, datagram).map_err(io::Error::other)?;
        Ok(heard.map(|heard| heard.payload))
    }

    fn timers(&mut self, now: Instant) -> io::Result<Option<Vec<u8>>> {
        self.peer.timeout(now).map_err(io::Error::other)?;
        Ok(self.peer.poll())
    }

    fn wake_at(&self) -> Option<Instant> {
        self.peer.wake_at()
    }

    fn moved(&mut self, now: Instant) {
        self.peer.moved(now);
    }

    fn destination(&self) -> SocketAddr {
        self.to
    }

    fn is_up(&self) -> bool {
        self.peer.is_up()
    }
}
