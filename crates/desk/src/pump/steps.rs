//! The steps of recordings: each is applied, acknowledged after the commit, and left to its recorder otherwise.
//!
//! A step that cannot be stored is tried again after a pause of its own: acknowledging it would free the spool that holds
//! the only copy of what it tells, and trying it without a pause would keep the steps behind it and the process from
//! going on.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use call_model::RecordingId;
use ports::RecordingStep;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{BACK_OFF, POLL, PULL_MAX, is_absence, step};
use crate::refusal::Refused;
use crate::shared::Core;

/// First pause of a step that could not be stored, or whose acknowledgement its recorder did not take; doubled each time.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
/// Longest one: whoever has mended the cause waits no longer than this.
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// A step of a recording.
type Key = (RecordingId, &'static str);

/// When a step that was tried may be tried again.
#[derive(Clone, Copy, Debug)]
struct Again {
    at: Instant,
    pause: Duration,
}

/// The steps that were tried and are told nevertheless. As many as the recorder keeps.
#[derive(Debug, Default)]
struct Tried(HashMap<Key, Again>);

impl Tried {
    /// Whether the step may be tried now.
    fn may(&self, key: Key, now: Instant) -> bool {
        self.0.get(&key).is_none_or(|again| again.at <= now)
    }

    /// The step was tried; if it is told again it waits.
    fn note(&mut self, key: Key, now: Instant) {
        let pause = self
            .0
            .get(&key)
            .map_or(AGAIN_FIRST, |again| again.pause.saturating_mul(2).min(AGAIN_MAX));
        let at = now + pause;
        self.0.insert(key, Again { at, pause });
    }

    /// Forgets what is told no more.
    fn keep(&mut self, told: &[RecordingStep]) {
        let told: std::collections::HashSet<Key> = told.iter().map(key).collect();
        self.0.retain(|key, _| told.contains(key));
    }
}

fn key(told: &RecordingStep) -> Key {
    (told.recording, told.kind.word())
}

/// Applies the steps of recordings until `stop`.
pub(crate) async fn run(core: Arc<Core>, stop: CancellationToken) {
    let mut tried = Tried::default();
    loop {
        let changed = core.recordings.steps_changed();
        let pause = match pull(&core, &mut tried).await {
            Ok(More::Yes) if !stop.is_cancelled() => continue,
            Ok(_) => POLL,
            Err(refused) => {
                tracing::debug!(code = refused.code.word(), "the recorder's steps wait");
                BACK_OFF
            }
        };
        let failed = pause == BACK_OFF;
        tokio::select! {
            () = changed, if !failed => {}
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => break,
        }
    }
    // Media has ended by now: how its last recordings ended is said here, or not before this node's next start.
    while matches!(pull(&core, &mut tried).await, Ok(More::Yes)) {}
}

/// Whether another pull finds something to do at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum More {
    Yes,
    No,
}

/// One pull: up to [`PULL_MAX`] steps that may be tried, past those that wait for their time.
async fn pull(core: &Arc<Core>, tried: &mut Tried) -> Result<More, Refused> {
    let pulled = Instant::now();
    let wanted = PULL_MAX + tried.0.len();
    let steps = core.recordings.steps(wanted);
    tried.keep(&steps);
    let is_all = steps.len() < wanted;
    let mut done = 0;
    for told in steps {
        let key = key(&told);
        if tried.may(key, pulled) {
            apply(core, told, pulled).await?;
            tried.note(key, Instant::now());
            done += 1;
        }
    }
    Ok(if is_all || done == 0 { More::No } else { More::Yes })
}

/// One step, acknowledged after the commit.
async fn apply(core: &Arc<Core>, told: RecordingStep, pulled: Instant) -> Result<(), Refused> {
    let (recording, word) = key(&told);
    match step::apply(core, told, pulled).await {
        Ok(()) => acknowledge(core, recording, word).await,
        Err(refused) if is_absence(&refused) => return Err(refused),
        Err(refused) => tracing::error!(
            recording.id = %Uuid::from_u128(recording.0), step = word, code = refused.code.word(),
            "a step of a recording could not be stored"
        ),
    }
    Ok(())
}

/// The recorder notes it in a journal and waits for the disk: on a thread that nobody else needs meanwhile. Should that
/// fall, the step comes again.
async fn acknowledge(core: &Arc<Core>, recording: RecordingId, word: &'static str) {
    let held = Arc::clone(core);
    let noted = tokio::task::spawn_blocking(move || held.recordings.acknowledge_step(recording, word));
    if noted.await.is_err() {
        tracing::error!("the recorder fell over an acknowledgement");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_comes_again_waits_longer_each_time_and_one_that_went_begins_anew() {
        let mut tried = Tried::default();
        let key = (RecordingId(1), "ended");
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert!(tried.may(key, now));
            tried.note(key, now);
            let pause = tried.0[&key].pause;
            assert!(!tried.may(key, now + pause - Duration::from_millis(1)));
            pauses.push(pause.as_secs());
            now += pause;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        tried.keep(&[]);
        assert!(tried.may(key, now));
        assert!(tried.0.is_empty());
    }
}
