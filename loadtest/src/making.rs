//! Calls as customers and agents make them, over REST: agent online, customer calls, agent accepts, both attach.
//!
//! Several at a time, as in a real hour; how many is bounded, because an offer has to be taken within its lease. A call
//! counts as made once both its legs are connected, so nothing piles up behind a server that is slow. What fails is
//! ended as a customer would end it, and made again.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use media_core::dtls::Certificate;
use testkit::calls::{self, Agent, Desk, Joined};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use uuid::Uuid;
use wire::call::CallStatus;
use wire::leg::LegGrant;

use crate::client::Client;
use crate::faults::{Faults, Patience};
use crate::generator::Leg as _;
use crate::progress::Progress;
use crate::road::{NoRelay, Relay, Road, Ways};
use crate::speaking::{Guest, Speaking};
use crate::{Fault, clock};

/// Calls that are made at the same time: a few offers' time ahead of the router, far below an offer's lease.
const WIDTH: usize = 8;
/// Requests of one kind at the same time, where order does not matter.
pub(crate) const REQUESTS_WIDTH: usize = 8;
/// An agent is not asked for again before this: he writes up his call for a minute.
const WRAP_UP: Duration = Duration::from_secs(65);
/// What the server says when it takes no more calls: an answer, and nothing that another try would mend.
const FULL: &str = "media_full";

/// A call with its two legs in the generator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// The call.
    pub(crate) id: Uuid,
    /// The customer's leg, the agent's.
    pub(crate) legs: [u32; 2],
}

/// Calls that were made together.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) calls: Vec<Call>,
    /// Those that failed and were made again.
    pub(crate) failed: Faults,
    /// Why fewer were made than were asked for.
    pub(crate) ended: Option<String>,
}

/// Makes calls. Clones share everything.
#[derive(Clone)]
pub(crate) struct Maker {
    pub(crate) desk: Desk,
    pub(crate) speaking: Arc<Speaking>,
    certificate: Certificate,
    /// None: every leg sends straight to the server.
    ways: Option<Ways>,
    run: Arc<str>,
    made: Arc<AtomicU32>,
    resting: Arc<Mutex<VecDeque<(Instant, Agent)>>>,
}

impl Maker {
    /// Over this desk, into this generator.
    pub(crate) fn new(desk: Desk, speaking: Arc<Speaking>) -> Result<Maker, Fault> {
        Ok(Maker {
            desk,
            speaking,
            certificate: Certificate::generate().map_err(|fault| fault.to_string())?,
            ways: None,
            run: Uuid::new_v4().simple().to_string().into(),
            made: Arc::default(),
            resting: Arc::default(),
        })
    }

    /// From now on legs go through the server's relay, if `ways` says so.
    pub(crate) fn over(self, ways: Option<Ways>) -> Maker {
        Maker { ways, ..self }
    }

    async fn agent(&self, number: u32) -> Result<Agent, Fault> {
        let rested = {
            let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
            let first = resting.front().is_some_and(|(at, _)| *at <= clock::now());
            if first { resting.pop_front() } else { None }
        };
        if let Some((_, agent)) = rested
            && self.desk.go_online(&agent).await.is_ok()
        {
            return Ok(agent);
        }
        let agent = self.desk.agent(&format!("load-{}-{number}", self.run)).await?;
        self.desk.go_online(&agent).await?;
        Ok(agent)
    }

    /// The agent of a call that ended may take another one later.
    pub(crate) fn rest(&self, agent: Agent) {
        let at = clock::now() + WRAP_UP;
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.push_back((at, agent));
    }

    /// One call with both its legs connected, and its agent. What could not be finished is ended, as far as the server
    /// takes that.
    pub(crate) async fn one(&self) -> Result<(Call, Agent), Fault> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let agent = self.agent(number).await?;
        let made = match self.joined(&agent, number).await {
            Ok(joined) => {
                let connected = self.connect(&joined, number).await;
                if connected.is_err() {
                    unasked(self.desk.hang_up(joined.call).await);
                }
                connected
            }
            Err(fault) => Err(fault),
        };
        if made.is_err() {
            // Nobody would take what he is offered from now on.
            unasked(self.desk.go_offline(&agent).await);
        }
        Ok((made?, agent))
    }

    /// A customer calls and `agent` takes a call: this one, or another one's that came first.
    async fn joined(&self, agent: &Agent, number: u32) -> Result<Joined, Fault> {
        let started = self.desk.start(&format!("load-{}-{number}", self.run)).await?;
        let answered = self.desk.answer(agent).await;
        if answered.is_err()
            && let Ok(call) = self.desk.call(started.call_id).await
            && call.status == CallStatus::Queued
        {
            unasked(self.desk.hang_up(started.call_id).await);
        }
        Ok(answered?)
    }

    async fn connect(&self, joined: &Joined, number: u32) -> Result<Call, Fault> {
        let customer = self.attach(&joined.customer, number * 2).await?;
        let agent = self.attach(&joined.agent, number * 2 + 1).await?;
        let legs = self.speaking.seat(Guest::pair([customer, agent])).await?;
        Ok(Call {
            id: joined.call,
            legs: legs.try_into().map_err(|_| "a call has two legs")?,
        })
    }

    async fn attach(&self, grant: &LegGrant, number: u32) -> Result<(Client, Road), Fault> {
        let (peer, offer) = Client::offering(&self.certificate, number);
        let answer = self.desk.attach(&grant.grant, offer).await?;
        let client = Client::answered(peer, &answer)?;
        let Some(ways) = self.ways else {
            return Ok((client, Road::Direct));
        };
        let relay = Relay::of(&grant.ice_servers, ways.of(number))?;
        let to = client.destination();
        let road = tokio::task::spawn_blocking(move || Road::relayed(&relay, to)).await??;
        Ok((client, road))
    }

    /// `count` more calls, or fewer when the server takes no more or fails too often.
    pub(crate) async fn many(&self, count: u32) -> Result<Made, Fault> {
        let progress = Progress::start("calls", u64::from(count));
        let turns = Arc::new(Semaphore::new(WIDTH));
        let patience = Arc::new(Mutex::new(Patience::of(u64::from(count))));
        let mut making = JoinSet::new();
        for _ in 0..count {
            let (maker, turns, patience) = (self.clone(), Arc::clone(&turns), Arc::clone(&patience));
            making.spawn(async move {
                let _turn = turns.acquire_owned().await?;
                maker.at_last(&patience).await
            });
        }
        let mut calls = Vec::with_capacity(count as usize);
        while let Some(made) = making.join_next().await {
            calls.extend(made??);
            progress.at(calls.len() as u64);
        }
        let patience = lock(&patience).clone();
        let (failed, ended) = patience.into_parts();
        Ok(Made { calls, failed, ended })
    }

    /// One call, as often as it takes; `None` when there is no point in going on.
    ///
    /// # Errors
    /// What no try mends and no other call escapes.
    async fn at_last(&self, patience: &Mutex<Patience>) -> Result<Option<Call>, Fault> {
        while !lock(patience).is_over() {
            match self.one().await {
                Ok((call, _)) => return Ok(Some(call)),
                Err(fault) if fault.is::<NoRelay>() => return Err(fault),
                Err(fault) if is_full(&fault) => lock(patience).enough(&fault.to_string()),
                Err(fault) => lock(patience).failed(&fault.to_string()),
            }
        }
        Ok(None)
    }

    /// Ends calls; what went wrong with that.
    pub(crate) async fn hang_up(&self, calls: &[Call]) -> Faults {
        self.each(calls, async |desk, call| desk.hang_up(call).await.map(drop))
            .await
    }

    /// Puts the customers of calls on hold; what went wrong with that.
    pub(crate) async fn hold(&self, calls: &[Call]) -> Faults {
        self.each(calls, async |desk, call| desk.hold(call).await.map(drop))
            .await
    }

    /// Takes them back; what went wrong with that.
    pub(crate) async fn resume(&self, calls: &[Call]) -> Faults {
        self.each(calls, async |desk, call| desk.resume(call).await.map(drop))
            .await
    }

    /// One request per call, some at a time.
    async fn each(&self, calls: &[Call], ask: impl AsyncFn(&Desk, Uuid) -> Result<(), calls::Fault>) -> Faults {
        let mut faults = Faults::default();
        for part in calls.chunks(REQUESTS_WIDTH) {
            let asked = part.iter().map(|call| ask(&self.desk, call.id));
            for fault in join_all(asked).await.into_iter().filter_map(Result::err) {
                faults.note(&fault.to_string());
            }
        }
        faults
    }
}

fn lock(patience: &Mutex<Patience>) -> MutexGuard<'_, Patience> {
    patience.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_full(fault: &Fault) -> bool {
    fault.downcast_ref().and_then(calls::Fault::code) == Some(FULL)
}

/// What is tidied up after a failure may fail as well: that failure is the one that is told.
fn unasked<T>(_: Result<T, calls::Fault>) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_server_is_an_answer() {
        let refused = |code: &str| -> Fault {
            Box::new(calls::Fault::Refused {
                what: "POST /api/support/call/start".to_owned(),
                status: 503,
                code: code.to_owned(),
            })
        };
        assert!(is_full(&refused("media_full")));
        assert!(!is_full(&refused("draining")));
        assert!(!is_full(&"a leg was not connected in time".into()));
    }
}
