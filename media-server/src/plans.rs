//! A plan on its way: to the recorder and to the shard, or to nobody.
//!
//! Plans are read in the desk's transactions and handed over behind them, so an older one may come last. The shard refuses
//! it by its epoch; the recorder knows no epochs and would go by what it hears last.
//!
//! Invariant: recorder and shard are told the same plans of a room in the same order.

use ports::{Plan, Stance};

use crate::convert;
use crate::plane::{Shared, lock};
use crate::recorder;
use media_core::command::Command;

impl Shared {
    /// See [`ports::Media::plan`].
    pub(crate) fn take_plan(&self, plan: Plan) {
        let room = plan.room;
        // Held to the end, or two plans could pass here in one order and be told in the other.
        let mut registry = lock(&self.registry);
        if !registry.takes_plan(room, plan.epoch) {
            let room = uuid::Uuid::from_u128(room.0);
            tracing::debug!(%room, epoch = plan.epoch, "a plan that is late, or for a room that is not here");
            return;
        }
        let at_ns = self.clock.now_ns();
        let of = |wanted: Stance| plan.stances.iter().filter(move |(_, stance)| *stance == wanted);
        self.recorder.tell(recorder::Message::Hold {
            room: room.0,
            at_ns,
            on: of(Stance::Held).chain(of(Stance::Queued)).next().is_some(),
        });
        self.recorder.tell(recorder::Message::Muted {
            room: room.0,
            at_ns,
            legs: of(Stance::Muted).map(|(leg, _)| leg.0).collect(),
        });
        self.recorder.tell(recorder::Message::Planned {
            room: room.0,
            at_ns,
            stances: plan.stances.iter().map(|(leg, stance)| (leg.0, *stance)).collect(),
        });
        self.tell_known(&registry, room, Command::Plan(Box::new(convert::plan(plan))));
    }
}
