//! The journal: one fsynced line per step of a finished call, so that a crash repeats no step and forgets none.
//!
//! Holds ids, words and what the finaliser noted of stored files; no packet, no name, no address.
//!
//! Invariant: what [`Journal::append`] returned `Ok` for is read back by [`Journal::open`], whatever happens between.
//! A torn or bad line is passed over.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::disk::sync_folder_of;
use super::job::CallKey;

/// Lines beyond the needed ones from which on the file is written anew: 1 MiB of short lines.
const DEAD_LINES_MAX: usize = 8_192;

/// What happened to a finished call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(super) enum Step {
    /// Its END is synced, or a later start closed it.
    Ended {
        /// Which recording, as hexadecimal digits.
        recording: Option<Id>,
        reason: String,
        end_ns: u64,
    },
    /// Its files are stored and checked.
    Confirmed { note: serde_json::Value },
    /// The desk knows.
    Acknowledged,
}

/// 128 bits as 32 hexadecimal digits: JSON numbers do not hold them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Id(pub(super) u128);

impl From<Id> for String {
    fn from(id: Id) -> String {
        format!("{:032x}", id.0)
    }
}

impl TryFrom<String> for Id {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Id, Self::Error> {
        u128::from_str_radix(&text, 16).map(Id)
    }
}

#[derive(Serialize, Deserialize)]
struct Line {
    epoch: u64,
    call: Id,
    #[serde(flatten)]
    step: Step,
}

/// The file.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: Option<File>,
    lines: usize,
}

impl Journal {
    /// Opens the journal at `path`, or begins one; gives every step in it, oldest first.
    pub(super) fn open(path: PathBuf) -> io::Result<(Journal, Vec<(CallKey, Step)>)> {
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let steps = bytes.split_inclusive(|byte| *byte == b'\n').filter_map(read).collect();
        // The file is written anew before the first append: a torn tail must not swallow the next line.
        Ok((
            Journal {
                path,
                file: None,
                lines: 0,
            },
            steps,
        ))
    }

    /// Adds a step and waits until it is on disk. `state` are all steps still needed, without this one.
    pub(super) fn append<'a>(
        &mut self,
        key: CallKey,
        step: &Step,
        state: impl Iterator<Item = (CallKey, &'a Step)>,
    ) -> io::Result<()> {
        let state: Vec<_> = state.collect();
        if self.file.is_none() || self.lines > state.len() + DEAD_LINES_MAX {
            self.rewrite(&state)?;
        }
        let line = line(key, step)?;
        // Until the line is known to be on disk the file counts as broken: the next step writes it anew.
        let mut file = self
            .file
            .take()
            .ok_or_else(|| io::Error::other("the journal is not open"))?;
        file.write_all(&line)?;
        file.sync_data()?;
        self.file = Some(file);
        self.lines += 1;
        Ok(())
    }

    fn rewrite(&mut self, state: &[(CallKey, &Step)]) -> io::Result<()> {
        self.file = None;
        let fresh = self.path.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)?;
        let mut bytes = Vec::new();
        for (key, step) in state {
            bytes.extend_from_slice(&line(*key, step)?);
        }
        file.write_all(&bytes)?;
        file.sync_data()?;
        fs::rename(&fresh, &self.path)?;
        sync_folder_of(&self.path)?;
        self.file = Some(file);
        self.lines = state.len();
        Ok(())
    }
}

fn line(key: CallKey, step: &Step) -> io::Result<Vec<u8>> {
    let line = Line {
        epoch: key.node_epoch,
        call: Id(key.call),
        step: step.clone(),
    };
    let mut bytes = serde_json::to_vec(&line)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn read(line: &[u8]) -> Option<(CallKey, Step)> {
    let line: Line = serde_json::from_slice(line.strip_suffix(b"\n")?).ok()?;
    Some((
        CallKey {
            node_epoch: line.epoch,
            call: line.call.0,
        },
        line.step,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: CallKey = CallKey {
        node_epoch: 3,
        call: u128::MAX - 1,
    };

    fn ended() -> Step {
        Step::Ended {
            recording: Some(Id(7)),
            reason: "hangup".into(),
            end_ns: u64::MAX,
        }
    }

    #[test]
    fn steps_come_back_and_a_torn_line_does_not() {
        let folder = crate::recorder::tests::Folder::new();
        let path = folder.path().join("journal");
        let (mut journal, steps) = Journal::open(path.clone()).unwrap();
        assert!(steps.is_empty());
        let confirmed = Step::Confirmed {
            note: serde_json::json!({"duration_ms": 5}),
        };
        journal.append(KEY, &ended(), std::iter::empty()).unwrap();
        journal.append(KEY, &confirmed, std::iter::empty()).unwrap();
        let whole = fs::read(&path).unwrap();
        let both = vec![(KEY, ended()), (KEY, confirmed)];
        assert_eq!(Journal::open(path.clone()).unwrap().1, both);
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let complete = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
            let (mut journal, steps) = Journal::open(path.clone()).unwrap();
            assert_eq!(steps, both[..complete], "cut at {cut}");
            journal
                .append(KEY, &Step::Acknowledged, steps.iter().map(|(key, step)| (*key, step)))
                .unwrap();
            let (_, after) = Journal::open(path.clone()).unwrap();
            assert_eq!(after.len(), complete + 1, "a torn tail swallowed the next line");
        }
    }

    #[test]
    fn dead_lines_are_dropped_by_writing_anew() {
        let folder = crate::recorder::tests::Folder::new();
        let (mut journal, _) = Journal::open(folder.path().join("journal")).unwrap();
        journal.append(KEY, &ended(), std::iter::empty()).unwrap();
        journal.lines = DEAD_LINES_MAX + 1;
        journal
            .append(KEY, &Step::Acknowledged, std::iter::once((KEY, &ended())))
            .unwrap();
        assert_eq!(
            journal.lines,
            DEAD_LINES_MAX + 2,
            "at the limit nothing is written anew"
        );
        journal
            .append(KEY, &Step::Acknowledged, std::iter::once((KEY, &ended())))
            .unwrap();
        assert_eq!(journal.lines, 2);
        assert_eq!(
            Journal::open(journal.path.clone()).unwrap().1,
            vec![(KEY, ended()), (KEY, Step::Acknowledged)]
        );
    }
}
