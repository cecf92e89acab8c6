//! The few things the spool writer asks of a disk, so that a test can hand it one that fails or fills.
//!
//! Never retries and never hides an error.
//!
//! Invariant: when [`SegmentFile::sync`] returned `Ok`, everything appended before survives a power cut.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What a look at the spool's disk shows, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// What the spool's folder holds.
    pub spool: u64,
    /// What the file system has for us and others: used and free. What only root may write does not count.
    pub capacity: u64,
    /// What we may still write.
    pub free: u64,
}

impl Space {
    /// What is taken of the file system, by whomever.
    #[must_use]
    pub const fn used(&self) -> u64 {
        self.capacity.saturating_sub(self.free)
    }
}

/// Makes segment files.
pub trait Disk: Send {
    /// Creates a file that must not exist, readable by us alone.
    ///
    /// # Errors
    /// As the file system says; `AlreadyExists` if the name is taken.
    fn create(&mut self, path: &Path) -> io::Result<Box<dyn SegmentFile>>;

    /// How much `folder` and its disk hold now.
    ///
    /// # Errors
    /// As the file system says.
    fn space(&mut self, folder: &Path) -> io::Result<Space>;
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

    fn space(&mut self, folder: &Path) -> io::Result<Space> {
        let disk = rustix::fs::statvfs(folder)?;
        let taken = disk.f_blocks.saturating_sub(disk.f_bfree);
        Ok(Space {
            spool: bytes_in(folder)?,
            capacity: taken.saturating_add(disk.f_bavail).saturating_mul(disk.f_frsize),
            free: disk.f_bavail.saturating_mul(disk.f_frsize),
        })
    }
}

/// Bytes of the files in `folder`; it has no folders in it. One that goes while we look counts nothing.
fn bytes_in(folder: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        match entry?.metadata() {
            Ok(file) => sum += file.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sum)
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
