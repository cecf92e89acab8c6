//! Media alone in a process: what `joins` and `fanout` load, so that no desk, database or REST stands in their figures.
//!
//! Orders come as JSON, one a line, on the standard input; replies go to the standard output in the order in which they
//! are done. The end of the input is the end of the process, so none is left behind by a generator that was killed.

use std::collections::HashMap;
use std::io::{BufRead, Write, stdin, stdout};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};

use call_model::{CallId, LegId, RecordingId};
use media_server::recorder::Marks;
use media_server::{Config, MediaServer};
use ports::{
    Announce, Cause, LegGrant, Media, Part, Plan, Policy, RecordCommand, Red, Sdp, Secret, Shield, Stance, Tap,
};
use serde::{Deserialize, Serialize};
use testkit::bad_line::Dice;
use uuid::Uuid;

use crate::Fault;

/// Legs that admission lets in: as many as the engine holds.
const LEGS_PER_SHARD: u32 = media_server::config::LEGS_PER_SHARD_MAX;
/// Seconds within which an admitted leg has to offer.
const FIRST_OFFER_S: u32 = 120;
/// What counts the packets that the recorder took.
const TAKEN: &str = "helpline_recording_packets_total";
/// Events taken from media at once.
const EVENTS: usize = 1_000;

/// Who a leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// Others hear it; left channel of a recording.
    Customer,
    /// Others hear it; right channel.
    Agent,
    /// It only hears.
    Listener,
}

/// What the generator orders.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub(crate) enum Order {
    /// A leg of a room, with its offer.
    Join {
        id: u64,
        room: u64,
        role: Role,
        sdp: String,
    },
    /// Every call is recorded from now on, or none for now.
    Record { id: u64, on: bool },
    /// How many packets were recorded so far.
    Recorded { id: u64 },
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
    /// Calls are recorded as was asked for.
    Told { id: u64 },
    /// Packets that the recorder took.
    Recorded { id: u64, packets: u64 },
    /// It was refused.
    Refused { id: u64, why: String },
}

struct Room {
    epoch: u64,
    legs: Vec<(LegId, Stance)>,
    tap: Tap,
}

impl Default for Room {
    fn default() -> Room {
        Room {
            epoch: 0,
            legs: Vec::new(),
            tap: Tap::Off,
        }
    }
}

struct Control {
    media: Arc<dyn Media>,
    registry: prometheus::Registry,
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
    // What is measured must not depend on what else lies on the disk.
    config.disk_marks = Marks::LAST_BYTE;
    let registry = prometheus::Registry::new();
    let server = MediaServer::start(config, &registry)?;
    let control = Arc::new(Control {
        media: server.media(),
        registry,
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
            Order::Join { id, room, role, sdp } => match self.join(room, role, sdp).await {
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
            Order::Record { id, on } => {
                self.record(on);
                Reply::Told { id }
            }
            Order::Recorded { id } => Reply::Recorded {
                id,
                packets: self.recorded(),
            },
        }
    }

    async fn join(&self, room: u64, role: Role, sdp: String) -> Result<(LegId, String), ports::Refusal> {
        let leg = LegId(Uuid::new_v4().as_u128());
        let secret = secret(leg);
        let grant = LegGrant {
            secret: secret.clone(),
            leg,
            room: CallId(u128::from(room)),
            part: if role == Role::Agent {
                Part::Agent
            } else {
                Part::Customer
            },
            uplink: true,
            red: Red::Off,
            first_offer_s: FIRST_OFFER_S,
        };
        self.media.admit(grant).await?;
        let stance = if role == Role::Listener {
            Stance::Muted
        } else {
            Stance::Talk
        };
        self.change(room, |legs| legs.push((leg, stance)));
        let answer = self.media.offer(secret, Sdp(sdp)).await?;
        Ok((leg, answer.sdp.0))
    }

    fn leave(&self, room: u64, leg: LegId) {
        self.change(room, |legs| legs.retain(|(one, _)| *one != leg));
        self.media.close_leg(leg, Cause::HangUp);
    }

    /// Records all rooms, from their first time on, or pauses that: a room has one recording.
    fn record(&self, on: bool) {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, room) in rooms.iter_mut() {
            if on && room.tap == Tap::Off {
                let order = RecordCommand::Start {
                    recording: RecordingId(Uuid::new_v4().as_u128()),
                    policy: Policy::Optional,
                    customer_left: true,
                };
                self.media.record(CallId(u128::from(*number)), order);
            }
            room.tap = match (on, room.tap) {
                (true, _) => Tap::On,
                (false, Tap::Off) => Tap::Off,
                (false, Tap::On | Tap::Paused) => Tap::Paused,
            };
            self.put_in_force(*number, room);
        }
    }

    /// Packets that the recorder took, by its own counter.
    fn recorded(&self) -> u64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == TAKEN);
        let counters = family.map(|family| family.get_metric().iter().map(|one| one.get_counter().get_value()));
        counters.map_or(0, |values| values.sum::<f64>() as u64)
    }

    /// Changes who is in a room, and puts the plan in force.
    fn change(&self, room: u64, change: impl FnOnce(&mut Vec<(LegId, Stance)>)) {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let here = rooms.entry(room).or_default();
        change(&mut here.legs);
        // Under the lock: a later plan must not come first.
        self.put_in_force(room, here);
    }

    fn put_in_force(&self, number: u64, room: &mut Room) {
        room.epoch += 1;
        self.media.plan(Plan {
            room: CallId(u128::from(number)),
            epoch: room.epoch,
            stances: room.legs.clone(),
            tap: room.tap,
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
