//! A plan on its way: to the recorder and to the shard, or to nobody.
//!
//! Plans are read in the desk's transactions and handed over behind them, so an older one may come last. The shard refuses
//! it by its epoch; the recorder knows no epochs and would go by what it hears last.
//!
//! Invariant: recorder and shard are told the same plans of a room in the same order.

use call_model::CallId;
use ports::{Author, Plan, Stance};
use recording::spool::By;

use crate::convert;
use crate::plane::{Shared, lock};
use crate::recorder;
use media_core::command::Command;

impl Shared {
    /// See [`ports::Media::plan_by`]; without an author nothing is new in it but a leg.
    pub(crate) fn take_plan(&self, plan: Plan, author: Option<Author>) {
        let room = plan.room;
        // Held to the end, or two plans could pass here in one order and be told in the other.
        let mut registry = lock(&self.registry);
        if !registry.takes_plan(room, plan.epoch) {
            let room = uuid::Uuid::from_u128(room.0);
            tracing::debug!(%room, epoch = plan.epoch, "a plan that is late, or for a room that is not here");
            return;
        }
        // Without an author, too: what is new in it is not the will of whoever wanted the plan before.
        self.wanted_by(room, author.as_ref());
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
        let plan = convert::plan(plan);
        registry.planned(room, plan.stances.clone());
        self.tell_known(&registry, room, Command::Plan(Box::new(plan)));
    }

    /// Tells the recorder whose will it is what it is told next of the room; under the registry's lock, with what is told.
    pub(crate) fn wanted_by(&self, room: CallId, author: Option<&Author>) {
        self.recorder.tell(recorder::Message::Wanted {
            room: room.0,
            by: author.map(|author| By::new(author.role, author.reason.as_deref())),
        });
    }
}

#[cfg(test)]
mod tests {
    use call_model::voices::{self, Parties, Supervision};
    use media_core::limits::{LEGS_PER_ROOM_MAX, SLOTS_PER_LEG_MAX};
    use media_core::matrix::{Line, Part, Seat, Stance, edges};

    const HOW: [Option<Supervision>; 4] = [
        None,
        Some(Supervision::Listen),
        Some(Supervision::Whisper),
        Some(Supervision::Barge),
    ];

    fn stance(how: Supervision) -> Stance {
        match how {
            Supervision::Listen => Stance::Listen,
            Supervision::Whisper => Stance::Whisper,
            Supervision::Barge => Stance::Barge,
        }
    }

    /// The desk refuses by the rule of `call_model` what the engine would leave without a slot.
    #[test]
    fn the_desk_counts_voices_as_the_matrix_does_and_knows_how_many_streams_there_are() {
        assert_eq!(voices::PER_EAR_MAX, SLOTS_PER_LEG_MAX);
        let mut refused = 0;
        for (parties, parts) in [
            (Parties::Two, &[Part::Customer, Part::Agent][..]),
            (Parties::Three, &[Part::Customer, Part::Agent, Part::Partner][..]),
        ] {
            for (one, two) in HOW.into_iter().flat_map(|one| HOW.map(|two| (one, two))) {
                let supervisors: Vec<_> = one.into_iter().chain(two).collect();
                let talk = parts.iter().map(|part| (*part, Stance::Talk));
                let others = supervisors.iter().map(|how| (Part::Supervisor, stance(*how)));
                let mut seats = [None; LEGS_PER_ROOM_MAX];
                for (seat, (part, stance)) in seats.iter_mut().zip(talk.chain(others)) {
                    *seat = Some(Seat {
                        part,
                        stance,
                        uplink: true,
                        line: Line::Here,
                    });
                }
                let edges = edges(&seats);
                let most = (0..LEGS_PER_ROOM_MAX).map(|ear| edges.sources(ear).count_ones()).max();
                let counted = voices::most(parties, &supervisors);
                assert_eq!(most, u32::try_from(counted).ok(), "{parties:?} {supervisors:?}");
                let fits = voices::fit(parties, &supervisors).is_ok();
                assert_eq!(fits, counted <= SLOTS_PER_LEG_MAX);
                refused += usize::from(!fits);
            }
        }
        assert_eq!(
            refused, 6,
            "in a conference: two who speak, or one who joins and one who listens"
        );
    }
}
