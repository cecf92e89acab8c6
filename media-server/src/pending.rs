//! Commands that found a shard's queue full, and their way when it listens again.
//!
//! Invariant: commands of one shard keep their order, and a shard that stands still holds up only its own.

use std::collections::VecDeque;

use media_core::command::Command;

/// Hands over what can be handed over; the rest waits on. `hand`: to this shard, or back when its queue is full.
pub(crate) fn hand_over(
    pending: &mut VecDeque<(usize, Command)>,
    mut hand: impl FnMut(usize, Command) -> Result<(), Command>,
) {
    let mut full = Vec::new();
    // Once round: whoever goes to the back comes there in the old order.
    for _ in 0..pending.len() {
        let Some((shard, command)) = pending.pop_front() else {
            return;
        };
        if full.contains(&shard) {
            pending.push_back((shard, command));
        } else if let Err(command) = hand(shard, command) {
            full.push(shard);
            pending.push_back((shard, command));
        }
    }
}

/// Hands over one more command to this shard, unless something waits for it that was said before. `hand`: to the shard, or
/// back when its queue is full.
///
/// # Errors
/// The command, for whoever can say no to somebody.
pub(crate) fn hand_or_refuse(
    pending: &VecDeque<(usize, Command)>,
    shard: usize,
    command: Command,
    hand: impl FnOnce(Command) -> Result<(), Command>,
) -> Result<(), Command> {
    if pending.iter().any(|(waiting, _)| *waiting == shard) {
        return Err(command);
    }
    hand(command)
}

#[cfg(test)]
mod tests {
    use media_core::RoomId;
    use media_core::event::Cause;

    use super::*;

    fn command(room: u128) -> Command {
        Command::CloseRoom {
            room: RoomId(room),
            cause: Cause::HangUp,
        }
    }

    fn room(command: &Command) -> u128 {
        let Command::CloseRoom { room, .. } = command else {
            panic!("only ends of rooms")
        };
        room.0
    }

    #[test]
    fn a_full_shard_holds_up_its_own_commands_and_no_others() {
        let mut pending: VecDeque<_> = [(0, 1), (1, 2), (0, 3), (2, 4), (1, 5)]
            .map(|(shard, room)| (shard, command(room)))
            .into();
        let mut handed = Vec::new();
        let mut asked = 0;
        hand_over(&mut pending, |shard, command| {
            asked += 1;
            if shard == 0 {
                return Err(command);
            }
            handed.push((shard, room(&command)));
            Ok(())
        });
        assert_eq!(handed, [(1, 2), (2, 4), (1, 5)]);
        assert_eq!(asked, 4, "a full one is asked once");
        let waiting: Vec<_> = pending.iter().map(|(shard, command)| (*shard, room(command))).collect();
        assert_eq!(waiting, [(0, 1), (0, 3)], "in their order");
        // One place: the second waits on, and is the first then.
        let mut places = 1;
        hand_over(&mut pending, |_, command| match places {
            0 => Err(command),
            _ => {
                places -= 1;
                Ok(())
            }
        });
        assert_eq!(
            pending.iter().map(|(_, command)| room(command)).collect::<Vec<_>>(),
            [3]
        );
    }

    #[test]
    fn who_can_be_refused_overtakes_nobody_who_waits() {
        let mut pending: VecDeque<_> = [(1, command(7))].into();
        let mut taken = Vec::new();
        let mut hand = |command: Command| {
            taken.push(room(&command));
            Ok(())
        };
        let refused = hand_or_refuse(&pending, 1, command(8), &mut hand).expect_err("an end waits");
        assert_eq!(room(&refused), 8, "it comes back whole");
        assert!(
            hand_or_refuse(&pending, 0, command(9), &mut hand).is_ok(),
            "another shard's queue is its own"
        );
        hand_over(&mut pending, |_, command| hand(command));
        assert!(hand_or_refuse(&pending, 1, command(10), &mut hand).is_ok());
        assert_eq!(taken, [9, 7, 10], "the end comes first");
        let full = hand_or_refuse(&pending, 1, command(11), Err);
        assert!(full.is_err(), "a full queue is a no");
    }
}
