//! How legs and rooms end when somebody says so: the client itself, the desk, or the node.
//!
//! Invariant: what an end is decided by does not change before its shard is told; the registry's lock is held so long.

use call_model::{CallId, LegId};
use media_core::command::Command;
use ports::{Cause, Refusal, Secret};

use crate::convert;
use crate::plane::{Shared, digest, lock};
use crate::recorder;
use crate::registry::Registry;

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
            return self.tell_or_refuse(shard, command);
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
            if registry.shard_of(room).is_some() {
                self.end_room(&mut registry, room, cause)
            } else {
                // Given up before, or closed already: in that case the numbers go with its last report.
                registry.remove_room(room)
            }
        };
        // Not under the registry's lock: the control thread takes the two the other way round.
        if over {
            lock(&self.outbox).close(room);
        }
    }

    /// Gives up rooms without legs. Their events keep their numbers: the call may live, and the desk takes each number once.
    pub(crate) fn end_abandoned(&self, now: u64) {
        let mut registry = lock(&self.registry);
        for room in registry.abandoned(now) {
            tracing::warn!(call.id = %uuid::Uuid::from_u128(room.0), "a room without legs was given up");
            self.end_room(&mut registry, room, Cause::Lost);
        }
    }

    /// Ends a room that is known. True when its shard has nothing more to report of it.
    fn end_room(&self, registry: &mut Registry, room: CallId, cause: Cause) -> bool {
        let close = Command::CloseRoom {
            room: convert::room(room),
            cause: convert::cause_in(cause),
        };
        self.tell_known(registry, room, close);
        self.recorder.tell(recorder::Message::RoomClosed {
            room: room.0,
            at_ns: self.clock.now_ns(),
            cause: cause.word(),
        });
        lock(&self.live).remove(room);
        registry.remove_room(room)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ports::{EventKind, LegGrant, Part, Red};

    use super::*;
    use crate::registry::ROOM_EMPTY_NS;

    const ROOM: CallId = CallId(0xE0);

    fn grant() -> LegGrant {
        LegGrant {
            secret: Secret::new([7; 32]),
            leg: LegId(70),
            room: ROOM,
            part: Part::Customer,
            uplink: true,
            red: Red::Off,
            first_offer_s: 120,
        }
    }

    #[tokio::test]
    async fn a_room_that_was_made_behind_the_end_of_its_call_is_given_up() {
        let folder = std::env::temp_dir().join(format!("helpline-ends-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let here = vec![std::net::IpAddr::from([127, 0, 0, 1])];
        let mut config = crate::Config::new(folder.clone(), "test".to_owned(), 1, here.clone(), here);
        config.base_port = 0;
        let server = crate::MediaServer::start(config, &prometheus::Registry::new()).expect("media starts");
        let (media, shared) = (server.media(), Arc::clone(server.shared()));
        media.admit(grant()).await.expect("there is room");
        lock(&shared.outbox).add(ROOM, 0, EventKind::RoomLive);
        media.acknowledge(ROOM, 1);
        let now = shared.clock.now_ns();
        shared.end_abandoned(now);
        shared.end_abandoned(now + 2 * ROOM_EMPTY_NS);
        assert_eq!(media.rooms().count, 1, "a leg is promised");
        media.leave(grant().secret).expect("it never came");
        shared.end_abandoned(now);
        shared.end_abandoned(now + 2 * ROOM_EMPTY_NS);
        assert_eq!(media.rooms().count, 0, "an emptying waits for nothing more");

        // Had the call lived, its next report would have the next number; its end ends the numbers.
        lock(&shared.outbox).add(ROOM, 0, EventKind::RoomLive);
        assert_eq!(media.outstanding(1)[0].seq, 2);
        media.acknowledge(ROOM, 2);
        media.close_room(ROOM, Cause::HangUp);
        assert_eq!(lock(&shared.outbox).rooms(), 0);

        // What was decided before that end and is handed out behind it makes nothing anew.
        assert_eq!(media.admit(grant()).await, Err(Refusal::UnknownGrant));
        assert_eq!(media.rooms().count, 0);
        server.stop();
        // What stays in the temporary folder costs disk, not a test.
        let _ = std::fs::remove_dir_all(&folder);
    }
}
