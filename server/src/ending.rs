//! When the process ends: signals, and the emptying of the node before it.
//!
//! | signal | does |
//! |---|---|
//! | SIGTERM | empties the node, ends when no call lives or the time is over |
//! | SIGTERM again, SIGINT | ends now |
//! | SIGUSR1 | empties the node and stays |
//! | SIGUSR2 | serves again; takes a SIGTERM back |
//!
//! Whoever undoes the emptying over the API takes a SIGTERM back as well.

use std::time::Duration;

use desk::Desk;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use crate::Fault;

/// How often it is looked whether the node is empty.
const LOOK: Duration = Duration::from_secs(1);
/// Looks between two lines of the log that say how far it is.
const LOOKS_PER_LINE: u32 = 30;

/// The signals that are listened to, from here on: before, each ends the process.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    empty: Signal,
    serve: Signal,
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// [`Fault::Other`] with what the system says.
    pub(crate) fn listen() -> Result<Signals, Fault> {
        let on = |kind| signal(kind).map_err(Fault::other);
        Ok(Signals {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            empty: on(SignalKind::user_defined1())?,
            serve: on(SignalKind::user_defined2())?,
        })
    }

    /// Returns when the process is to end. `limit_s`: seconds that an emptying lasts at most.
    pub(crate) async fn ended(mut self, desk: &Desk, limit_s: u64) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The emptying that SIGTERM began; after another one the process is asked anew.
        let mut ours = None;
        let mut looks = 0u32;
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => {
                    if ours.is_some() && ours == number(desk) || limit_s == 0 {
                        return;
                    }
                    desk.media().drain(Some(limit_s));
                    (ours, looks) = (number(desk), 0);
                    look.reset_immediately();
                }
                _ = self.empty.recv() => desk.media().drain(Some(limit_s)),
                _ = self.serve.recv() => desk.media().drain(None),
                _ = look.tick(), if ours.is_some() => {
                    let left = left(desk).await;
                    let Some(left) = left.filter(|left| Some(left.number) == ours) else {
                        tracing::info!("the emptying was undone; the server stays");
                        ours = None;
                        continue;
                    };
                    if left.is_over() {
                        return;
                    }
                    if looks.is_multiple_of(LOOKS_PER_LINE) {
                        tracing::info!(
                            rooms = left.rooms, calls = ?left.calls, seconds = left.seconds,
                            "waiting for the calls that live; a second signal ends them now"
                        );
                    }
                    looks = looks.wrapping_add(1);
                }
            }
        }
    }
}

/// What an emptying still waits for.
struct Left {
    number: u64,
    rooms: u32,
    /// By the database; `None` while it does not answer.
    calls: Option<u32>,
    seconds: u32,
}

impl Left {
    /// True when nobody is there any more, or the time is over and media has closed what was left.
    fn is_over(&self) -> bool {
        self.rooms == 0 && (self.calls.is_none_or(|calls| calls == 0) || self.seconds == 0)
    }
}

/// Which emptying goes on.
fn number(desk: &Desk) -> Option<u64> {
    desk.media().draining().map(|draining| draining.number)
}

/// `None` when the node serves.
async fn left(desk: &Desk) -> Option<Left> {
    let draining = desk.media().draining()?;
    Some(Left {
        number: draining.number,
        rooms: draining.rooms.count,
        calls: desk.calls_here().await.ok(),
        seconds: draining.closes_in_s,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_over_when_nobody_is_there_or_the_time_is_up_and_the_rooms_are_closed() {
        let over = |rooms, calls, seconds| {
            let number = 1;
            Left {
                number,
                rooms,
                calls,
                seconds,
            }
            .is_over()
        };
        assert!(over(0, Some(0), 500));
        assert!(over(0, None, 500), "a database that is away keeps nobody");
        assert!(over(0, Some(3), 0), "who still waits then is left to the next start");
        assert!(!over(0, Some(1), 1), "somebody waits for an agent");
        assert!(!over(1, Some(0), 0), "media is still closing");
    }
}
