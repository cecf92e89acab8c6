//! Calls as customers and agents make them, over REST: agent online, customer calls, agent accepts, both attach.
//!
//! Several at a time, as in a real hour; how many is bounded, because an offer has to be taken within its lease.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use media_core::dtls::Certificate;
use testkit::calls::{Agent, Desk};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use uuid::Uuid;
use wire::leg::LegGrant;

use crate::client::Client;
use crate::generator::Leg as _;
use crate::progress::Progress;
use crate::road::{Relay, Road, Ways};
use crate::speaking::Speaking;
use crate::{Fault, clock};

/// Calls that are made at the same time: a few offers' time ahead of the router, far below an offer's lease.
const WIDTH: usize = 8;
/// Requests of one kind at the same time, where order does not matter.
pub(crate) const REQUESTS_WIDTH: usize = 8;
/// An agent is not asked for again before this: he writes up his call for a minute.
const WRAP_UP: Duration = Duration::from_secs(65);

/// A call with its two legs in the generator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// The call.
    pub(crate) id: Uuid,
    /// The customer's leg, the agent's.
    pub(crate) legs: [u32; 2],
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

    /// One call that both have attached to, and its agent.
    pub(crate) async fn one(&self) -> Result<(Call, Agent), Fault> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let agent = self.agent(number).await?;
        self.desk.start(&format!("load-{}-{number}", self.run)).await?;
        let joined = self.desk.answer(&agent).await?;
        let customer = self.attach(&joined.customer, number * 2).await?;
        let other = self.attach(&joined.agent, number * 2 + 1).await?;
        let call = Call {
            id: joined.call,
            legs: self.speaking.pair([customer, other]).await?,
        };
        Ok((call, agent))
    }

    async fn attach(&self, grant: &LegGrant, number: u32) -> Result<(Client, Road), Fault> {
        let (peer, offer) = Client::offering(&self.certificate, number);
        let answer = self.desk.attach(&grant.grant, offer).await?;
        let client = Client::answered(peer, &answer)?;
        let Some(ways) = self.ways else {
            return Ok((client, Road::direct()?));
        };
        let relay = Relay::of(&grant.ice_servers, ways.of(number))?;
        let to = client.destination();
        let road = tokio::task::spawn_blocking(move || Road::relayed(&relay, to)).await??;
        Ok((client, road))
    }

    /// `count` more calls.
    pub(crate) async fn many(&self, count: u32) -> Result<Vec<Call>, Fault> {
        let progress = Progress::start("calls", u64::from(count));
        let turns = Arc::new(Semaphore::new(WIDTH));
        let mut making = JoinSet::new();
        for _ in 0..count {
            let (maker, turns) = (self.clone(), Arc::clone(&turns));
            making.spawn(async move {
                let _turn = turns.acquire_owned().await?;
                maker.one().await
            });
        }
        let mut calls = Vec::with_capacity(count as usize);
        while let Some(made) = making.join_next().await {
            calls.push(made??.0);
            progress.at(calls.len() as u64);
        }
        Ok(calls)
    }

    /// Ends calls.
    pub(crate) async fn hang_up(&self, calls: &[Call]) -> Result<(), Fault> {
        self.each(calls, async |desk, call| desk.hang_up(call).await.map(drop))
            .await
    }

    /// Puts the customers of calls on hold.
    pub(crate) async fn hold(&self, calls: &[Call]) -> Result<(), Fault> {
        self.each(calls, async |desk, call| desk.hold(call).await.map(drop))
            .await
    }

    /// Takes them back.
    pub(crate) async fn resume(&self, calls: &[Call]) -> Result<(), Fault> {
        self.each(calls, async |desk, call| desk.resume(call).await.map(drop))
            .await
    }

    /// One request per call, some at a time.
    async fn each(
        &self,
        calls: &[Call],
        ask: impl AsyncFn(&Desk, Uuid) -> Result<(), testkit::calls::Fault>,
    ) -> Result<(), Fault> {
        for part in calls.chunks(REQUESTS_WIDTH) {
            let asked = part.iter().map(|call| ask(&self.desk, call.id));
            for done in join_all(asked).await {
                done?;
            }
        }
        Ok(())
    }
}
