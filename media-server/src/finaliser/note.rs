//! What the journal keeps of a stored recording, so that a restart tells the desk again instead of storing again.
//!
//! Invariant: a note that was read back gives the same step; one that was not written by us is none.

use call_model::LegId;
use ports::{Layout, Part, QualityTrack, StepKind, StoredFile, Voice};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct File {
    key: String,
    size: u64,
    sha256: [u8; 32],
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Beside {
    file: File,
    /// 32 hexadecimal digits.
    leg: String,
    part: String,
    coverage: f32,
    heard_ms: Vec<(u64, u64)>,
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
    /// Notes of former releases have none.
    #[serde(default)]
    beside: Vec<Beside>,
}

/// What is known beside the files.
pub(super) struct Facts {
    pub(super) duration_ms: u64,
    pub(super) layout: Layout,
    pub(super) coverage: [f32; 2],
    pub(super) reason: String,
    pub(super) degraded: bool,
    pub(super) beside: Vec<Voice>,
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

/// The parts that somebody beside the two sides may have.
const PARTS: [(Part, &str); 2] = [(Part::Partner, "partner"), (Part::Supervisor, "supervisor")];

impl From<Voice> for Beside {
    fn from(voice: Voice) -> Beside {
        let word = PARTS.iter().find(|(part, _)| *part == voice.part);
        Beside {
            file: voice.file.into(),
            leg: format!("{:032x}", voice.leg.0),
            part: word.map_or_else(String::new, |(_, word)| (*word).to_owned()),
            coverage: voice.coverage,
            heard_ms: voice.heard_ms.iter().map(|span| (span.start, span.end)).collect(),
        }
    }
}

impl Beside {
    fn voice(self) -> Option<Voice> {
        let (part, _) = PARTS.iter().find(|(_, word)| *word == self.part)?;
        Some(Voice {
            leg: LegId(u128::from_str_radix(&self.leg, 16).ok()?),
            part: *part,
            file: self.file.into(),
            coverage: self.coverage,
            heard_ms: self.heard_ms.iter().map(|(from, to)| *from..*to).collect(),
        })
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
            beside: facts.beside.into_iter().map(Beside::from).collect(),
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
            beside: self.beside.into_iter().filter_map(Beside::voice).collect(),
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
        let voices: Vec<Voice> = PARTS
            .iter()
            .map(|(part, word)| Voice {
                leg: LegId(u128::MAX),
                part: *part,
                file: file(word),
                coverage: 0.5,
                heard_ms: vec![1..2, 5..u64::MAX],
            })
            .collect();
        for layout in [Layout::TwoChannel, Layout::Split, Layout::Empty] {
            let facts = Facts {
                duration_ms: 7,
                layout,
                coverage: [0.25, 1.0],
                reason: "hangup".into(),
                degraded: true,
                beside: voices.clone(),
            };
            let note = Note::new(file("a"), file("c"), facts);
            assert_eq!(Note::read(&note.write()), Some(note.clone()));
            let mut before = note.write();
            before.as_object_mut().expect("a note is an object").remove("beside");
            let old = Note::read(&before).expect("a note of a former release");
            assert!(matches!(old.step(Vec::new()), StepKind::Confirmed { beside, .. } if beside.is_empty()));
            let StepKind::Confirmed { layout: l, beside, .. } = note.step(Vec::new()) else {
                panic!("a note is a confirmed step");
            };
            assert_eq!((l, beside), (layout, voices.clone()));
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
                beside: Vec::new(),
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
