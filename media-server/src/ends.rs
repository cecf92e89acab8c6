//! How legs and rooms end when somebody says so: the client itself, the desk, or the node.
//!
//! Invariant: what an end is decided by does not change before its shard is told; the registry's lock is held so long.

use call_model::{CallId, LegId};
use media_core::command::Command;
use ports::{Cause, Refusal, Secret};

use crate::convert;
use crate::plane::{Shared, digest, lock};
use crate::recorder;

impl Shared {
    /// See [`ports::Media::leave`].
    pub(crate) fn leave_now(&self, secret: &Secret) -> Result<(), Refusal> {
        let mut registry = lock(&self.registry);
        let (id, shard, leg) = registry.by_secret(&digest(secret))?;
        if leg.attached {
            let command = Command::RemoveLeg {
                leg: convert::leg(id),
                cause: media_core::event::Cause::HangUp,
            };
            return self.link(shard)?.tell(command);
        }
        registry.remove_leg(id);
        Ok(())
    }

    /// See [`ports::Media::close_leg`].
    pub(crate) fn close_leg(&self, leg: LegId, cause: Cause) {
        // Held over both: a first offer that is answered in between would put the leg into the shard behind its end.
        let mut registry = lock(&self.registry);
        let known = registry.leg(leg).map(|leg| (leg.room, leg.attached));
        let Some((room, attached)) = known else { return };
        if !attached {
            registry.remove_leg(leg);
            return;
        }
        let remove = Command::RemoveLeg {
            leg: convert::leg(leg),
            cause: convert::cause_in(cause),
        };
        self.tell_known(&registry, room, remove);
    }

    /// See [`ports::Media::close_room`].
    pub(crate) fn close_room(&self, room: CallId, cause: Cause) {
        let over = {
            let mut registry = lock(&self.registry);
            if registry.shard_of(room).is_none() {
                return;
            }
            let close = Command::CloseRoom {
                room: convert::room(room),
                cause: convert::cause_in(cause),
            };
            self.tell_known(&registry, room, close);
            registry.remove_room(room)
        };
        // Not under the registry's lock: the control thread takes the two the other way round.
        if over {
            lock(&self.outbox).close(room);
        }
        self.recorder.tell(recorder::Message::RoomClosed {
            room: room.0,
            at_ns: self.clock.now_ns(),
            cause: cause.word(),
        });
        lock(&self.live).remove(room);
    }
}
