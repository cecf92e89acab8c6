//! The few things the spool writer asks of a disk, so that a test can hand it one that fails.
//!
//! Never retries and never hides an error.
//!
//! Invariant: when [`SegmentFile::sync`] returned `Ok`, everything appended before survives a power cut.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Makes segment files.
pub trait Disk: Send {
    /// Creates a file that must not exist, readable by us alone.
    ///
    /// # Errors
    /// As the file system says; `AlreadyExists` if the name is taken.
    fn create(&mut self, path: &Path) -> io::Result<Box<dyn SegmentFile>>;
}

/// A file that is only appended to.
pub trait SegmentFile: Send {
    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// As the file system says; then part of them may be in the file.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Waits until everything appended is on stable storage.
    ///
    /// # Errors
    /// As the file system says. A failed sync is final: the kernel may have forgotten what it could not write.
    fn sync(&mut self) -> io::Result<()>;
}

/// The machine's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileSystem;

impl Disk for FileSystem {
    fn create(&mut self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        sync_folder_of(path)?;
        Ok(Box::new(file))
    }
}

impl SegmentFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Makes a created, renamed or removed name durable.
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
