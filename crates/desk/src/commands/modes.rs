//! What stands beside the status of a call and decides, with it, who hears whom: hold, and how supervisors take part.
//!
//! Read from the open intervals each time, so nothing about it need be remembered.

use ports::Stance;
use uuid::Uuid;
use wire::call::SuperviseMode;

use super::apply::{HOLD, SUPERVISE};
use crate::refusal::Refused;
use crate::store::legs;
use crate::tx::Tx;

/// See the top of this file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Modes {
    /// The customer hears the music.
    pub(crate) held: bool,
    /// Legs of supervisors, and how they take part.
    pub(crate) supervisors: Vec<(Uuid, Stance)>,
}

/// How it stands now.
pub(crate) async fn of(tx: &mut Tx, call: Uuid) -> Result<Modes, Refused> {
    let mut modes = Modes::default();
    for open in legs::open_intervals(tx.conn(), call).await? {
        match (open.kind.as_str(), open.leg_id) {
            (HOLD, _) => modes.held = true,
            (SUPERVISE, Some(leg)) => modes.supervisors.push((leg, stance(open.mode.as_deref()))),
            _ => {}
        }
    }
    Ok(modes)
}

/// What is not known listens and is not heard.
fn stance(mode: Option<&str>) -> Stance {
    match mode {
        Some("whisper") => Stance::Whisper,
        Some("barge") => Stance::Barge,
        _ => Stance::Listen,
    }
}

/// The word in the database.
pub(crate) const fn mode_word(mode: SuperviseMode) -> &'static str {
    match mode {
        SuperviseMode::Monitor => "monitor",
        SuperviseMode::Whisper => "whisper",
        SuperviseMode::Barge => "barge",
    }
}

/// Whether the supervisor's leg may send.
pub(crate) const fn speaks(mode: SuperviseMode) -> bool {
    !matches!(mode, SuperviseMode::Monitor)
}
