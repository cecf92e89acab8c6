//! The media process of a run, as the generator sees it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;
use uuid::Uuid;

use crate::Fault;
pub(crate) use crate::media::Role;
use crate::media::{Order, Reply};
use crate::server::SHARDS;
use crate::system;

const OTHER: &str = "the media process gave another reply than was asked for";

type Waiting = Mutex<HashMap<u64, oneshot::Sender<Reply>>>;

/// A running media process; it ends when this is dropped.
pub(crate) struct Media {
    child: Child,
    orders: Option<Mutex<ChildStdin>>,
    waiting: Arc<Waiting>,
    next: AtomicU64,
}

/// A leg in its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seated {
    pub(crate) room: u64,
    leg: Uuid,
}

impl Media {
    /// Starts it from this program's own file, and keeps its shard on core 0.
    pub(crate) fn start() -> Result<Media, Fault> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("serve-media")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(orders), Some(replies)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the media process has no pipes".into());
        };
        let mut replies = BufReader::new(replies).lines();
        let first = replies.next().ok_or("the media process ended at once")??;
        if !matches!(serde_json::from_str(&first)?, Reply::Ready) {
            return Err("the media process did not say that it is ready".into());
        }
        let waiting: Arc<Waiting> = Arc::default();
        let told = Arc::clone(&waiting);
        thread::Builder::new().name("replies".to_owned()).spawn(move || {
            for line in replies.map_while(Result::ok) {
                let Ok(reply) = serde_json::from_str::<Reply>(&line) else {
                    continue;
                };
                let (Reply::Joined { id, .. }
                | Reply::Left { id }
                | Reply::Told { id }
                | Reply::Recorded { id, .. }
                | Reply::Refused { id, .. }) = &reply
                else {
                    continue;
                };
                let waits = told.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
                if let Some(waits) = waits {
                    // Whoever asked and is gone needs no reply.
                    drop(waits.send(reply));
                }
            }
            // Nobody waits for a process that has ended.
            told.lock().unwrap_or_else(PoisonError::into_inner).clear();
        })?;
        let media = Media {
            child,
            orders: Some(Mutex::new(orders)),
            waiting,
            next: AtomicU64::new(0),
        };
        for shard in media.shards()? {
            system::pin(Some(shard), 0)?;
        }
        Ok(media)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its threads that forward.
    pub(crate) fn shards(&self) -> Result<Vec<u32>, Fault> {
        Ok(system::threads(self.pid(), SHARDS)?)
    }

    async fn ask(&self, order: impl FnOnce(u64) -> Order) -> Result<Reply, Fault> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, reply);
        let mut line = serde_json::to_vec(&order(id))?;
        line.push(b'\n');
        if let Some(orders) = &self.orders {
            orders.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line)?;
        }
        answer.await.map_err(|_| "the media process ended".into())
    }

    /// A leg joins a room; where it sits, and the answer to its offer.
    pub(crate) async fn join(&self, room: u64, role: Role, sdp: String) -> Result<(Seated, String), Fault> {
        let order = |id| Order::Join { id, room, role, sdp };
        match self.ask(order).await? {
            Reply::Joined { leg, sdp, .. } => Ok((Seated { room, leg }, sdp)),
            Reply::Refused { why, .. } => Err(why.into()),
            _ => Err(OTHER.into()),
        }
    }

    /// Every call is recorded from now on, or none for now.
    pub(crate) async fn record(&self, on: bool) -> Result<(), Fault> {
        self.ask(|id| Order::Record { id, on }).await.map(drop)
    }

    /// How many packets were recorded so far.
    pub(crate) async fn recorded(&self) -> Result<u64, Fault> {
        match self.ask(|id| Order::Recorded { id }).await? {
            Reply::Recorded { packets, .. } => Ok(packets),
            _ => Err(OTHER.into()),
        }
    }

    /// A leg leaves.
    pub(crate) async fn leave(&self, seat: Seated) -> Result<(), Fault> {
        let Seated { room, leg } = seat;
        self.ask(|id| Order::Leave { id, room, leg }).await.map(drop)
    }
}

impl Drop for Media {
    fn drop(&mut self) {
        // The end of its input is what it ends by.
        self.orders = None;
        if self.child.wait().is_err() {
            eprintln!("the media process cannot be waited for");
        }
    }
}
