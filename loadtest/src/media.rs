//! Media alone in a process: what `joins` and `fanout` load, so that no desk, database or REST stands in their figures.
//!
//! Orders come as JSON, one a line, on the standard input; replies go to the standard output in the order in which they
//! are done. The end of the input is the end of the process, so none is left behind by a generator that was killed.

use std::collections::HashMap;
use std::io::{BufRead, Write, stdin, stdout};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};

use call_model::{CallId, LegId};
use media_server::{Config, MediaServer};
use ports::{Announce, Cause, LegGrant, Media, Part, Plan, Red, Sdp, Secret, Shield, Stance, Tap};
use serde::{Deserialize, Serialize};
use testkit::bad_line::Dice;
use uuid::Uuid;

use crate::Fault;

/// Legs that admission lets in: more than the engine takes, so that the engine's own limit is what decides.
const LEGS_PER_SHARD: u32 = 1_000_000;
/// Seconds within which an admitted leg has to offer.
const FIRST_OFFER_S: u32 = 120;
/// Events taken from media at once.
const EVENTS: usize = 1_000;

/// What the generator orders.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub(crate) enum Order {
    /// A leg of a room, with its offer.
    Join {
        id: u64,
        room: u64,
        /// Whether others hear it.
        speaks: bool,
        sdp: String,
    },
    /// It goes.
    Leave { id: u64, room: u64, leg: Uuid },
}

/// What became of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    /// Media listens.
    Ready,
    /// The leg is in its room.
    Joined { id: u64, leg: Uuid, sdp: String },
    /// It is gone.
    Left { id: u64 },
    /// It was refused.
    Refused { id: u64, why: String },
}

#[derive(Default)]
struct Room {
    epoch: u64,
    legs: Vec<(LegId, Stance)>,
}

struct Control {
    media: Arc<dyn Media>,
    rooms: Mutex<HashMap<u64, Room>>,
}

/// Serves until the standard input ends.
pub(crate) fn serve(shards: usize) -> Result<(), Fault> {
    let folder = std::env::temp_dir().join(format!("helpline-loadtest-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let served = serve_in(&folder, shards);
    std::fs::remove_dir_all(&folder)?;
    served
}

fn serve_in(folder: &std::path::Path, shards: usize) -> Result<(), Fault> {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut config = Config::new(
        folder.to_owned(),
        "loadtest".to_owned(),
        1,
        vec![loopback],
        vec![loopback],
    );
    config.base_port = 0;
    config.shards = shards;
    config.legs_per_shard = LEGS_PER_SHARD;
    let server = MediaServer::start(config, &prometheus::Registry::new())?;
    let control = Arc::new(Control {
        media: server.media(),
        rooms: Mutex::default(),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.spawn(acknowledge(Arc::clone(&control.media)));
    say(&Reply::Ready);
    for line in stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line?)?;
        let control = Arc::clone(&control);
        runtime.spawn(async move { say(&control.carry_out(order).await) });
    }
    drop(runtime);
    server.stop();
    Ok(())
}

/// Takes media's events, as a desk would: what nobody acknowledges is kept.
async fn acknowledge(media: Arc<dyn Media>) {
    loop {
        for event in media.outstanding(EVENTS) {
            media.acknowledge(event.room, event.seq);
        }
        media.changed().await;
    }
}

fn say(reply: &Reply) {
    let Ok(mut line) = serde_json::to_vec(reply) else {
        return;
    };
    line.push(b'\n');
    let mut out = stdout().lock();
    // A generator that is gone reads nothing; the end of the input follows.
    let _ = out.write_all(&line).and_then(|()| out.flush());
}

impl Control {
    async fn carry_out(&self, order: Order) -> Reply {
        match order {
            Order::Join { id, room, speaks, sdp } => match self.join(room, speaks, sdp).await {
                Ok((leg, sdp)) => Reply::Joined {
                    id,
                    leg: Uuid::from_u128(leg.0),
                    sdp,
                },
                Err(refusal) => Reply::Refused {
                    id,
                    why: refusal.to_string(),
                },
            },
            Order::Leave { id, room, leg } => {
                self.leave(room, LegId(leg.as_u128()));
                Reply::Left { id }
            }
        }
    }

    async fn join(&self, room: u64, speaks: bool, sdp: String) -> Result<(LegId, String), ports::Refusal> {
        let leg = LegId(Uuid::new_v4().as_u128());
        let secret = secret(leg);
        let grant = LegGrant {
            secret: secret.clone(),
            leg,
            room: CallId(u128::from(room)),
            part: if speaks { Part::Agent } else { Part::Customer },
            uplink: true,
            red: Red::Off,
            first_offer_s: FIRST_OFFER_S,
        };
        self.media.admit(grant).await?;
        let stance = if speaks { Stance::Talk } else { Stance::Muted };
        self.change(room, |legs| legs.push((leg, stance)));
        let answer = self.media.offer(secret, Sdp(sdp)).await?;
        Ok((leg, answer.sdp.0))
    }

    fn leave(&self, room: u64, leg: LegId) {
        self.change(room, |legs| legs.retain(|(one, _)| *one != leg));
        self.media.close_leg(leg, Cause::HangUp);
    }

    /// Changes who is in a room, and puts the plan in force.
    fn change(&self, room: u64, change: impl FnOnce(&mut Vec<(LegId, Stance)>)) {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let here = rooms.entry(room).or_default();
        here.epoch += 1;
        change(&mut here.legs);
        // Under the lock: a later plan must not come first.
        self.media.plan(Plan {
            room: CallId(u128::from(room)),
            epoch: here.epoch,
            stances: here.legs.clone(),
            tap: Tap::Off,
            announce: Announce::Nobody,
            shield: Shield::Off,
        });
    }
}

/// A secret for a leg on loopback, that nobody is to guess by accident.
fn secret(leg: LegId) -> Secret {
    let mut dice = Dice::of(leg.0 as u64, (leg.0 >> 64) as u64);
    let mut bytes = [0; Secret::BYTES];
    for part in bytes.chunks_mut(8) {
        part.copy_from_slice(&dice.throw().to_be_bytes()[..part.len()]);
    }
    Secret::new(bytes)
}
