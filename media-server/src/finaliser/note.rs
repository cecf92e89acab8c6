//! What the journal keeps of a stored recording, so that a restart tells the desk again instead of storing again.
//!
//! Invariant: a note that was read back gives the same step; one that was not written by us is none.

use ports::{Layout, QualityTrack, StepKind, StoredFile};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct File {
    key: String,
    size: u64,
    sha256: [u8; 32],
}

/// The stored files and facts of one recording. A former version noted a file of peaks as well, which is passed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    audio: File,
    manifest: File,
    duration_ms: u64,
    layout: String,
    coverage: [f32; 2],
    reason: String,
    degraded: bool,
}

/// What is known beside the files.
pub(super) struct Facts {
    pub(super) duration_ms: u64,
    pub(super) layout: Layout,
    pub(super) coverage: [f32; 2],
    pub(super) reason: String,
    pub(super) degraded: bool,
}

impl From<StoredFile> for File {
    fn from(file: StoredFile) -> File {
        File {
            key: file.key,
            size: file.size,
            sha256: file.sha256,
        }
    }
}

impl From<File> for StoredFile {
    fn from(file: File) -> StoredFile {
        StoredFile {
            key: file.key,
            size: file.size,
            sha256: file.sha256,
        }
    }
}

impl Note {
    pub(super) fn new(audio: StoredFile, manifest: StoredFile, facts: Facts) -> Note {
        Note {
            audio: audio.into(),
            manifest: manifest.into(),
            duration_ms: facts.duration_ms,
            layout: facts.layout.word().to_owned(),
            coverage: facts.coverage,
            reason: facts.reason,
            degraded: facts.degraded,
        }
    }

    /// As the journal keeps it.
    pub(super) fn write(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("plain values always serialise")
    }

    /// From the journal; `None` when it is none of ours.
    pub(super) fn read(value: &serde_json::Value) -> Option<Note> {
        let note: Note = serde_json::from_value(value.clone()).ok()?;
        layout(&note.layout).map(|_| note)
    }

    /// The step for the desk.
    pub(super) fn step(self, quality: Vec<QualityTrack>) -> StepKind {
        StepKind::Confirmed {
            audio: self.audio.into(),
            manifest: self.manifest.into(),
            duration_ms: self.duration_ms,
            layout: layout(&self.layout).unwrap_or(Layout::TwoChannel),
            coverage: self.coverage,
            reason: self.reason,
            degraded: self.degraded,
            quality,
        }
    }
}

fn layout(word: &str) -> Option<Layout> {
    [Layout::TwoChannel, Layout::Split, Layout::Empty]
        .into_iter()
        .find(|layout| layout.word() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_comes_back_as_it_was_and_others_are_refused() {
        let file = |key: &str| StoredFile {
            key: key.into(),
            size: u64::MAX,
            sha256: [0xfe; 32],
        };
        for layout in [Layout::TwoChannel, Layout::Split, Layout::Empty] {
            let facts = Facts {
                duration_ms: 7,
                layout,
                coverage: [0.25, 1.0],
                reason: "hangup".into(),
                degraded: true,
            };
            let note = Note::new(file("a"), file("c"), facts);
            assert_eq!(Note::read(&note.write()), Some(note.clone()));
            assert!(matches!(note.step(Vec::new()), StepKind::Confirmed { layout: l, .. } if l == layout));
        }
        assert_eq!(Note::read(&serde_json::json!({"duration_ms": 3})), None);
        let mut other = Note::new(
            file("a"),
            file("c"),
            Facts {
                duration_ms: 7,
                layout: Layout::Split,
                coverage: [0.0; 2],
                reason: String::new(),
                degraded: false,
            },
        );
        other.layout = "quadrophonic".into();
        assert_eq!(Note::read(&other.write()), None);
    }

    #[test]
    fn a_note_of_the_version_that_stored_peaks_is_read() {
        let file = |key: &str| serde_json::json!({ "key": key, "size": 3, "sha256": vec![7; 32] });
        let old = serde_json::json!({
            "audio": file("a"), "peaks": file("p"), "manifest": file("m"), "duration_ms": 4_000, "layout": "split",
            "coverage": [1.0, 0.5], "reason": "hangup", "degraded": false,
        });
        let StepKind::Confirmed {
            audio,
            manifest,
            duration_ms,
            layout,
            ..
        } = Note::read(&old).expect("a note").step(Vec::new())
        else {
            panic!("another step");
        };
        assert_eq!(
            (audio.key.as_str(), manifest.key.as_str(), audio.sha256),
            ("a", "m", [7; 32])
        );
        assert_eq!((duration_ms, layout), (4_000, Layout::Split));
    }
}
