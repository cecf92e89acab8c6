//! This process as a node: its start, its heartbeat, and the end of what an earlier start has left behind.
//!
//! A node never takes its own earlier life for granted: its epoch rises with each start, and whatever carries an older
//! epoch is over. Two processes under one name: the later one wins, the earlier one is fenced and decides nothing more.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use call_model::call::Input;
use call_model::{Span, Timestamp};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::commands::{Act, Actor, call_input};
use crate::refusal::{Code, Refused, note};
use crate::shared::{Core, NodeEpoch};
use crate::store::due::LostCall;
use crate::store::{calls, due, nodes};
use crate::tx::{Ctx, Store};
use crate::types::At;

/// How long a node is believed alive after a heartbeat: four beats, so that one lost packet kills nobody's calls.
pub(crate) const NODE_LEASE: Span = Span::seconds(8);
/// How often a node shows itself.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Orphans closed in one look; a node carries some hundred calls, and the loop goes on until none is left.
const ORPHANS_MAX: i64 = 200;
/// Longest name of a node in bytes, as the table has it.
const NODE_ID_BYTES_MAX: usize = 64;
/// Longest address in bytes, as the table has it.
const WS_URL_BYTES_MAX: usize = 512;

/// What a process says about itself when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStart {
    /// Name of the node; two processes must not share one.
    pub node_id: String,
    /// WebSocket address that clients of this node's calls use.
    pub ws_url: String,
    /// Address of the node's media socket, for operators.
    pub udp_addr: String,
}

impl Store {
    /// Begins a new epoch of this node. Reports of earlier ones are fenced from now on; their calls are closed when the
    /// desk begins to run.
    ///
    /// # Errors
    /// `validation` for a name or address that the table does not hold, `database`.
    pub async fn start_node(&self, start: NodeStart) -> Result<NodeEpoch, Refused> {
        if start.node_id.is_empty() || start.node_id.len() > NODE_ID_BYTES_MAX {
            return Err(Refused::field(
                "nodeId",
                format!("must have 1 to {NODE_ID_BYTES_MAX} bytes"),
            ));
        }
        if start.ws_url.len() > WS_URL_BYTES_MAX {
            return Err(Refused::field(
                "wsUrl",
                format!("must have at most {WS_URL_BYTES_MAX} bytes"),
            ));
        }
        self.with_ctx(Ctx::System("node"), move |tx| {
            Box::pin(async move {
                let lease_s = NODE_LEASE.as_seconds();
                let last_seen = nodes::last_seen(tx.conn(), &start.node_id, lease_s).await?;
                let epoch = nodes::begin(tx.conn(), &start.node_id, &start.ws_url, &start.udp_addr, lease_s).await?;
                Ok(NodeEpoch {
                    epoch: u64::try_from(epoch).map_err(|_| Refused::new(Code::Internal))?,
                    node_id: start.node_id,
                    ws_url: start.ws_url,
                    last_seen: last_seen.map(|At(at)| at),
                })
            })
        })
        .await
    }
}

/// Closes the calls that earlier starts of this node have left. Returns how many.
pub(crate) async fn close_orphans(core: &Arc<Core>) -> Result<usize, Refused> {
    let mut closed = 0;
    loop {
        let (id, epoch) = (core.node.node_id.clone(), epoch_of(core));
        let orphans = core
            .write("node", move |tx| {
                Box::pin(async move { nodes::orphans(tx.conn(), &id, epoch).await })
            })
            .await?;
        if orphans.is_empty() {
            return Ok(closed);
        }
        for orphan in orphans {
            close_lost(core, orphan.id, core.node.last_seen).await?;
            closed += 1;
        }
    }
}

/// Closes the calls of other nodes that have not shown themselves in time, and of their earlier starts.
pub(crate) async fn close_dead(core: &Arc<Core>) -> Result<usize, Refused> {
    let me = core.node.node_id.clone();
    let lost: Vec<LostCall> = core
        .write("reaper", move |tx| {
            Box::pin(async move {
                let mut lost = due::dead(tx.conn(), &me, NODE_LEASE.as_seconds(), ORPHANS_MAX).await?;
                lost.extend(due::superseded(tx.conn(), &me, ORPHANS_MAX).await?);
                Ok(lost)
            })
        })
        .await?;
    for call in &lost {
        tracing::warn!(call.id = %call.id, node.id = %call.node_id, node.epoch = call.node_epoch, "its node is gone");
        close_lost(core, call.id, Some(call.last_seen.0)).await?;
    }
    Ok(lost.len())
}

/// Ends one call whose node is gone, at the moment at which the node was last seen.
async fn close_lost(core: &Arc<Core>, call: Uuid, last_seen: Option<Timestamp>) -> Result<(), Refused> {
    let held = Arc::clone(core);
    core.write("node", move |tx| {
        Box::pin(async move {
            if calls::lock(tx.conn(), call).await?.is_none() {
                return Ok(());
            }
            if !due::is_lost(tx.conn(), call, &held.node.node_id).await? {
                return Ok(());
            }
            // Nothing ends before it has begun, whatever the node's last heartbeat says.
            let told = due::last_told(tx.conn(), call, None).await?.map(|At(at)| at);
            let act = Act {
                actor: Actor::system("node"),
                at: last_seen.max(told),
                word: None,
            };
            call_input(&held, tx, call, Input::NodeLost, &act).await?;
            Ok(())
        })
    })
    .await
}

/// Shows the node's life every two seconds until `stop`, then says good-bye.
pub(crate) async fn run(core: Arc<Core>, stop: CancellationToken) {
    let mut beat = interval(HEARTBEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = beat.tick() => {}
            () = stop.cancelled() => break,
        }
        match show(&core).await {
            Ok(true)
            | Err(Refused {
                code: Code::Draining, ..
            }) => {}
            Ok(false) => {
                core.fenced.store(true, Ordering::Release);
                tracing::error!(
                    node.id = %core.node.node_id, node.epoch = core.node.epoch,
                    "another process has started under this node's name; this one decides nothing any more"
                );
            }
            Err(refused) => note("heartbeat", &refused),
        }
    }
    let (id, epoch) = (core.node.node_id.clone(), epoch_of(&core));
    let left = core
        .write("node", move |tx| {
            Box::pin(async move { nodes::leave(tx.conn(), &id, epoch).await })
        })
        .await;
    if let Err(refused) = left {
        tracing::warn!(code = refused.code.word(), "the node could not say good-bye");
    }
}

/// One heartbeat; false when a newer start has taken over.
async fn show(core: &Arc<Core>) -> Result<bool, Refused> {
    let (id, epoch, load) = (core.node.node_id.clone(), epoch_of(core), core.media.load());
    core.write("node", move |tx| {
        Box::pin(async move { nodes::heartbeat(tx.conn(), &id, epoch, NODE_LEASE.as_seconds(), &load).await })
    })
    .await
}

/// The node's epoch as the database has it.
pub(crate) fn epoch_of(core: &Core) -> i64 {
    i64::try_from(core.node.epoch).unwrap_or(i64::MAX)
}
