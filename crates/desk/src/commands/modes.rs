//! What stands beside the status of a call and decides, with it, who hears whom: hold, mute, a consulted colleague, how
//! supervisors take part, and whether pressed keys are shielded.
//!
//! Read from the open intervals each time, so nothing about it need be remembered; whether supervisors are announced, from
//! the settings.

use call_model::voices::{Parties, Supervision};
use ports::{Announce, Shield, Stance};
use uuid::Uuid;
use wire::call::SuperviseMode;

use super::apply::{CONFERENCE, CONSULT, HOLD, MUTE, SELF_MUTE, SHIELD, SUPERVISE};
use crate::refusal::Refused;
use crate::settings::Settings;
use crate::store::legs::{self, OpenInterval};
use crate::tx::Tx;

/// See the top of this file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Modes {
    /// The agent has put the customer on hold.
    pub(crate) held: bool,
    /// Agent and colleague are apart from the customer.
    pub(crate) apart: bool,
    /// Agent, colleague and customer speak.
    pub(crate) conference: bool,
    /// Legs whose voice is kept from everybody.
    pub(crate) muted: Vec<Uuid>,
    /// Legs of supervisors, and how they take part.
    pub(crate) supervisors: Vec<(Uuid, Stance)>,
    /// Who is told of them by a tone.
    pub(crate) announce: Announce,
    /// Whether pressed keys are kept from everybody.
    pub(crate) shield: Shield,
}

impl Modes {
    /// Who speaks with one another.
    pub(crate) const fn parties(&self) -> Parties {
        if self.conference { Parties::Three } else { Parties::Two }
    }

    /// How supervisors take part, but for the one with this leg.
    pub(crate) fn supervisions(&self, but: Option<Uuid>) -> Vec<Supervision> {
        let others = self.supervisors.iter().filter(|(leg, _)| Some(*leg) != but);
        others
            .map(|(_, stance)| match stance {
                Stance::Whisper => Supervision::Whisper,
                Stance::Barge => Supervision::Barge,
                Stance::Waiting
                | Stance::Queued
                | Stance::Talk
                | Stance::Muted
                | Stance::Held
                | Stance::Consult
                | Stance::Listen => Supervision::Listen,
            })
            .collect()
    }
}

/// How it stands now.
pub(crate) async fn of(tx: &mut Tx, call: Uuid) -> Result<Modes, Refused> {
    let mut modes = from(&legs::open_intervals(tx.conn(), call).await?);
    if !modes.supervisors.is_empty() {
        modes.announce = Settings::announce(tx.conn()).await?;
    }
    Ok(modes)
}

/// The same from the rows.
pub(crate) fn from(intervals: &[OpenInterval]) -> Modes {
    let mut modes = Modes::default();
    for open in intervals {
        match (open.kind.as_str(), open.leg_id) {
            (HOLD, _) => modes.held = true,
            (CONSULT, _) => modes.apart = true,
            (CONFERENCE, _) => modes.conference = true,
            (SHIELD, _) => modes.shield = Shield::On,
            (MUTE | SELF_MUTE, Some(leg)) => modes.muted.push(leg),
            (SUPERVISE, Some(leg)) => modes.supervisors.push((leg, stance(open.mode.as_deref()))),
            _ => {}
        }
    }
    modes
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
        SuperviseMode::Takeover => "takeover",
    }
}

/// The mode of the database's word; what is not known listens.
pub(crate) fn mode_of(word: Option<&str>) -> SuperviseMode {
    match word {
        Some("whisper") => SuperviseMode::Whisper,
        Some("barge") => SuperviseMode::Barge,
        _ => SuperviseMode::Monitor,
    }
}

/// The same as the rule of voices has it; who takes the call over supervises no more.
pub(crate) const fn supervision(mode: SuperviseMode) -> Option<Supervision> {
    match mode {
        SuperviseMode::Monitor => Some(Supervision::Listen),
        SuperviseMode::Whisper => Some(Supervision::Whisper),
        SuperviseMode::Barge => Some(Supervision::Barge),
        SuperviseMode::Takeover => None,
    }
}

/// Whether the supervisor's leg may send.
pub(crate) const fn speaks(mode: SuperviseMode) -> bool {
    !matches!(mode, SuperviseMode::Monitor)
}
