//! STUN on 3478 and 3479: tells a client the address that the world sees. The TURN relay comes on top of it.
//!
//! Answers Binding requests (RFC 8489) without a credential and nothing else; everything it does not understand meets
//! silence. Never answers faster than a budget per source prefix allows, so nobody can aim it at somebody.
//!
//! Invariant: a reply goes to where the request came from, and no byte leaves without a well-formed request.
#![forbid(unsafe_code)]

mod budget;
mod clock;
#[path = "io/mod.rs"]
mod relay_io;
pub mod core;
mod metrics;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use stun::binding::{REPLY_BYTES_MAX, public_reply};
use udp::{Batch, Bell, HEADROOM_BYTES, Outgoing, Socket};

use budget::Budget;
use clock::Clock;
pub use metrics::Metrics;

/// The ports of the guide.
pub const PORTS: [u16; 2] = [3478, 3479];
/// Datagrams per system call: public STUN is a few requests per joining client.
const BATCH: usize = 64;
/// Milliseconds after which the thread looks whether it should end, at the latest.
const WAIT_MS: i32 = 1_000;
/// Most sockets: two families on two ports.
const SOCKETS_MAX: usize = 4;

/// Why the listener could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartFailed {
    /// A port could not be bound.
    #[error("STUN cannot listen on {address}: {source}")]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// What the kernel says.
        source: io::Error,
    },
    /// More addresses than [`SOCKETS_MAX`].
    #[error("STUN listens on {SOCKETS_MAX} addresses at most")]
    TooMany,
    /// No descriptor or thread was left.
    #[error("STUN could not start: {0}")]
    System(io::Error),
}

/// A running listener.
pub struct StunServer {
    stop: Arc<AtomicBool>,
    bell: Bell,
    thread: Option<JoinHandle<()>>,
    addresses: Vec<SocketAddr>,
}

impl StunServer {
    /// Binds every address and answers from a thread of its own. Port 0 takes any free one.
    ///
    /// # Errors
    /// [`StartFailed`]; nothing is left bound then.
    pub fn start(addresses: &[SocketAddr], metrics: Metrics) -> Result<StunServer, StartFailed> {
        if addresses.len() > SOCKETS_MAX {
            return Err(StartFailed::TooMany);
        }
        let bind = |&address| Socket::bind(address).map_err(|source| StartFailed::Bind { address, source });
        let sockets = addresses.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
        let addresses = sockets.iter().map(Socket::local).collect();
        let bell = Bell::new().map_err(StartFailed::System)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (hear, ended) = (bell.clone(), Arc::clone(&stop));
        let thread = std::thread::Builder::new()
            .name("hl-stun".to_owned())
            .spawn(move || run(&sockets, &hear, &ended, &metrics))
            .map_err(StartFailed::System)?;
        Ok(StunServer {
            stop,
            bell,
            thread: Some(thread),
            addresses,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

impl Drop for StunServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.bell.ring();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was logged when it happened; there is nothing left to save.
            let _ = thread.join();
        }
    }
}

fn run(sockets: &[Socket], bell: &Bell, stop: &AtomicBool, metrics: &Metrics) {
    let clock = Clock::start();
    let mut batch = Batch::new(BATCH);
    let mut budget = Budget::new();
    let mut replies = vec![[0; REPLY_BYTES_MAX]; BATCH];
    let mut list: Vec<(usize, SocketAddr)> = Vec::with_capacity(BATCH);
    let borrowed: Vec<&Socket> = sockets.iter().collect();
    while !stop.load(Ordering::Relaxed) {
        let mut busy = false;
        for socket in sockets {
            let received = match batch.receive(socket, 0) {
                Ok(received) => received,
                Err(fault) => {
                    tracing::warn!(%fault, "STUN could not read from a socket");
                    continue;
                }
            };
            busy |= received == BATCH;
            let now = clock.now_ms();
            list.clear();
            for index in 0..received {
                let Some((from, len)) = batch.received(index) else {
                    continue;
                };
                let datagram = &batch.slot(index)[HEADROOM_BYTES..HEADROOM_BYTES + len];
                let Some(reply) = replies.get_mut(list.len()) else {
                    break;
                };
                match public_reply(datagram, from, reply) {
                    None => metrics.ignored(),
                    Some(_) if !budget.take(now, from.ip()) => metrics.limited(),
                    Some(bytes) => {
                        metrics.answered();
                        list.push((bytes, from));
                    }
                }
            }
            batch.send(socket, list.len(), |n, _| {
                let &(bytes, to) = list.get(n)?;
                Some(Outgoing {
                    bytes: replies.get(n)?.get(..bytes)?,
                    to,
                })
            });
        }
        if !busy && let Err(fault) = udp::wait(&borrowed, bell, WAIT_MS) {
            tracing::error!(%fault, "STUN cannot wait for datagrams any more");
            return;
        }
    }
}
