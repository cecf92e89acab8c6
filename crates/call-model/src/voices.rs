//! How many voices everybody on a call would have to hear at once, and whether there is a stream for each.
//!
//! A leg hears up to [`PER_EAR_MAX`] others, so up to four may speak: customer, agent, a colleague in conference, and a
//! supervisor who joins. One more would be missing at some ear, and nobody there would know.
//!
//! Hold and mute end at a word, so who is silent by them counts as a voice; a colleague counts once he is in the
//! conference, for as long as he is apart with the agent the customer is on music.

use crate::Refusal;

/// Voices that one leg can hear at once: the streams that an answer announces to a client.
pub const PER_EAR_MAX: usize = 3;

/// Who speaks with one another, the customer among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Parties {
    /// Customer and agent; or agent and colleague while the customer hears music.
    Two,
    /// Customer, agent and colleague.
    Three,
}

impl Parties {
    const fn count(self) -> usize {
        match self {
            Parties::Two => 2,
            Parties::Three => 3,
        }
    }
}

/// How a supervisor takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Supervision {
    /// Hears everybody and is heard by nobody.
    Listen,
    /// Is heard by the agent alone.
    Whisper,
    /// Is heard by all.
    Barge,
}

/// The most voices that anybody on the call would have to hear.
#[must_use]
pub fn most(parties: Parties, supervisors: &[Supervision]) -> usize {
    let count = |wanted: Supervision| supervisors.iter().filter(|how| **how == wanted).count();
    let (barging, whispering) = (count(Supervision::Barge), count(Supervision::Whisper));
    let open = parties.count() + barging;
    // The agent hears everybody but himself, and what is whispered to him.
    let agent = open - 1 + whispering;
    // Who is not heard by all hears every open voice; who is, all but his own.
    let supervisor = if supervisors.len() > barging { open } else { open - 1 };
    agent.max(supervisor)
}

/// Whether there is a stream for every voice at every ear.
///
/// # Errors
/// `TooManyVoices`.
pub fn fit(parties: Parties, supervisors: &[Supervision]) -> Result<(), Refusal> {
    if most(parties, supervisors) > PER_EAR_MAX {
        return Err(Refusal::TooManyVoices);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Parties::{Three, Two};
    use super::Supervision::{Barge, Listen, Whisper};
    use super::*;

    #[test]
    fn four_may_speak_and_no_fifth() {
        assert_eq!(fit(Two, &[Barge, Barge]), Ok(()), "four speak");
        assert_eq!(fit(Three, &[Barge]), Ok(()), "four speak");
        assert_eq!(fit(Three, &[Barge, Barge]), Err(Refusal::TooManyVoices), "five");
    }

    #[test]
    fn a_whisper_is_a_voice_at_one_ear() {
        assert_eq!(fit(Three, &[Whisper]), Ok(()));
        assert_eq!(
            fit(Three, &[Whisper, Whisper]),
            Err(Refusal::TooManyVoices),
            "the agent's"
        );
        assert_eq!(fit(Three, &[Whisper, Barge]), Err(Refusal::TooManyVoices));
        assert_eq!(fit(Two, &[Whisper, Barge]), Ok(()));
    }

    #[test]
    fn who_only_listens_needs_a_stream_for_everybody_else() {
        assert_eq!(fit(Three, &[Listen, Listen]), Ok(()));
        assert_eq!(
            fit(Three, &[Listen, Whisper]),
            Ok(()),
            "he does not hear what is whispered"
        );
        assert_eq!(fit(Two, &[Listen, Barge]), Ok(()));
        assert_eq!(
            fit(Three, &[Listen, Barge]),
            Err(Refusal::TooManyVoices),
            "four speak, and he would hear three of them"
        );
    }
}
