//! What every part of the desk shares: the store, this node, media, randomness, and who is to be woken.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ports::{Media, Recordings, Secret};
use tokio::sync::Notify;

use crate::after::{After, Count};
use crate::hub::Hub;
use crate::ice::{IceConfig, RelayMarks};
use crate::metrics::Metrics;
use crate::refusal::{Code, Refused};
use crate::tx::{Ctx, InTx, Store, Tx, broken};

/// A cryptographic source of random bytes, handed in by the edge; tests hand in a seeded one.
pub trait Random: Send + Sync + 'static {
    /// Fills `bytes` with bytes that nobody can foresee.
    fn fill(&self, bytes: &mut [u8]);
}

/// The start of a node that this process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeEpoch {
    /// Name of the node.
    pub node_id: String,
    /// Grows with every start; reports of an earlier one are fenced.
    pub epoch: u64,
    /// WebSocket address that clients of this node's calls use.
    pub ws_url: String,
    /// When an earlier start of the node was last seen alive; what it has left ended no later.
    pub last_seen: Option<call_model::Timestamp>,
}

/// What becomes of a call that must be recorded while no recording is promised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnavailable {
    /// It is refused with a named reason.
    #[default]
    Refuse,
    /// It is taken; its history, the log and an alert say so.
    Warn,
}

/// Which calls have their pressed keys kept from everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shielding {
    /// Those whose agent asks for it, as long as he wants it.
    #[default]
    OnDemand,
    /// Every call that begins from now on, from its begin to its end.
    Always,
}

/// What the edge decides.
#[derive(Clone)]
pub struct DeskOptions {
    /// Ids, grants, tickets.
    pub random: Arc<dyn Random>,
    /// For `iceServers`.
    pub ice: IceConfig,
    /// Whether the guide's own requests without a token are served.
    pub demo: bool,
    /// What a missing recorder means for calls that must be recorded.
    pub recorder_missing: OnUnavailable,
    /// Redundant audio for the legs of calls; a line test never has it.
    pub red: ports::Red,
    /// Which calls have their pressed keys kept from everybody.
    pub shield: Shielding,
    /// Where the desk's metrics are registered.
    pub registry: prometheus::Registry,
}

/// Shared by everything in the desk.
pub(crate) struct Core {
    pub(crate) store: Store,
    pub(crate) node: NodeEpoch,
    pub(crate) media: Arc<dyn Media>,
    pub(crate) recordings: Arc<dyn Recordings>,
    pub(crate) options: DeskOptions,
    pub(crate) metrics: Metrics,
    pub(crate) hub: Hub,
    pub(crate) wakes: Wakes,
    pub(crate) relay_marks: RelayMarks,
    /// Rung when the outbox may have work.
    pub(crate) outbox_bell: Notify,
    /// True once a newer start of this node was seen: this process decides nothing any more.
    pub(crate) fenced: AtomicBool,
}

impl Core {
    /// Runs `work` in one transaction that no caller can cancel, and does what it left to be done after the commit.
    pub(crate) async fn write<T, F>(self: &Arc<Self>, part: &'static str, work: F) -> Result<T, Refused>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Tx) -> InTx<'a, T> + Send + 'static,
    {
        self.run(Ctx::System(part), work).await
    }

    /// The same under the caller's own role; `work` goes on as the desk before it writes.
    pub(crate) async fn run<T, F>(self: &Arc<Self>, ctx: Ctx, work: F) -> Result<T, Refused>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Tx) -> InTx<'a, T> + Send + 'static,
    {
        if self.fenced.load(Ordering::Acquire) {
            return Err(Refused::because(
                Code::Draining,
                "another start of this node has taken over",
            ));
        }
        let (core, part) = (Arc::clone(self), ctx.word());
        let done = tokio::spawn(async move {
            let (value, after) = core.store.run(ctx, work).await?;
            core.carry_out(after).await;
            Ok(value)
        });
        done.await.unwrap_or_else(|_| Err(broken(part)))
    }

    /// Does what a committed decision asks for.
    async fn carry_out(&self, after: Vec<After>) {
        for action in after {
            match action {
                After::Plan(plan, author) => self.media.plan_by(plan, author),
                After::ChangePart(leg, part, author) => self.media.change_part(leg, part, author),
                After::CloseLeg(leg, cause) => {
                    self.media.close_leg(leg, cause);
                    self.options.ice.close_leg(leg);
                }
                After::FreeRelay(leg) => self.options.ice.close_leg(leg),
                After::CloseRoom(call, cause) => self.media.close_room(call, cause),
                After::Thresholds(thresholds) => self.media.set_thresholds(thresholds),
                After::WakeQueue(queue) => self.wakes.queue(queue),
                After::WakeHub => self.hub.ring(),
                After::WakeOutbox => self.outbox_bell.notify_one(),
                After::Count(count) => self.count(count),
            }
        }
    }

    /// Adds to the figures.
    fn count(&self, count: Count) {
        match count {
            Count::State { call, state, reason } => {
                self.metrics.transitions.with_label_values(&[state]).inc();
                tracing::info!(call.id = %call, state, reason, "a call has a new state");
            }
            Count::OfferEnd(reason) => self.metrics.offer_ends.with_label_values(&[reason]).inc(),
            Count::Answered { wait_s, setup_s } => {
                self.metrics.answered.inc();
                self.metrics.wait.observe(wait_s);
                self.metrics.setup.observe(setup_s);
            }
        }
    }

    /// A fresh random id in the form of a UUID of version 4.
    pub(crate) fn fresh_id(&self) -> u128 {
        let mut bytes = [0; 16];
        self.options.random.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid().as_u128()
    }

    /// A fresh bearer secret.
    pub(crate) fn fresh_secret(&self) -> Secret {
        let mut bytes = [0; Secret::BYTES];
        self.options.random.fill(&mut bytes);
        Secret::new(bytes)
    }
}

/// Runs `work` to its end even when whoever asked for it goes away: what is committed and what follows from it belong
/// together. `part` stands in the log when it falls.
pub(crate) async fn to_the_end<T, R>(part: &'static str, work: R) -> Result<T, Refused>
where
    T: Send + 'static,
    R: Future<Output = Result<T, Refused>> + Send + 'static,
{
    tokio::spawn(work).await.unwrap_or_else(|_| Err(broken(part)))
}

/// Queues in which something changed since the router last looked.
#[derive(Default)]
pub(crate) struct Wakes {
    names: Mutex<HashSet<String>>,
    router: Notify,
    views: Notify,
}

impl Wakes {
    /// Something changed in `queue`.
    pub(crate) fn queue(&self, queue: String) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(queue);
        self.router.notify_one();
        self.views.notify_one();
    }

    /// Takes the names of the queues that changed.
    pub(crate) fn take(&self) -> HashSet<String> {
        std::mem::take(&mut *self.names.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for the next change, for the router.
    pub(crate) async fn changed(&self) {
        self.router.notified().await;
    }

    /// Waits for the next change, for those who show queues.
    pub(crate) async fn seen_change(&self) {
        self.views.notified().await;
    }
}
