//! The store of finished recordings: objects that are put once, checked, and read by range.
//!
//! Never writes over an object of a recording and never believes a write: size and digest are read back. Only what was
//! derived from such objects and can be made anew is put without either ([`Storage::keep`]).
//!
//! Invariant: a [`StoredFile`] was in the store, whole and durable, when it was handed out.

pub mod keys;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use ports::{AudioSlice, RecordingFault, StoredFile};
use ring::digest;
use thiserror::Error;

/// Most bytes of one answer to a range request: a player asks again, and a node's memory stays bounded (some nine
/// minutes of two sides).
pub const SLICE_BYTES_MAX: u64 = 4 << 20;
/// Bytes that are read back at once to check what was stored. The store's own stream hands its thread 8 KiB at a time,
/// and ninety packets then cost a change of threads and back. Higher: more memory while a recording is checked.
const CHECK_BYTES: u64 = 4 << 20;

/// Why an object could not be stored or read.
#[derive(Debug, Error)]
pub enum StorageFault {
    /// An object of other content lies at this key.
    #[error("another object lies at this key")]
    Taken,
    /// No object lies at this key.
    #[error("no object lies at this key")]
    Missing,
    /// The key is none of ours.
    #[error("this is no key of a recording")]
    Key,
    /// What was read back is not what was written.
    #[error("the store holds {held} bytes where {written} were written, or other ones")]
    Damaged {
        /// Bytes that the store holds.
        held: u64,
        /// Bytes that were written.
        written: u64,
    },
    /// The folder cannot be made or opened.
    #[error("the store's folder cannot be used")]
    Folder(#[source] std::io::Error),
    /// The store failed.
    #[error("the store failed")]
    Store(#[source] object_store::Error),
}

impl From<object_store::Error> for StorageFault {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => StorageFault::Missing,
            error => StorageFault::Store(error),
        }
    }
}

/// SHA-256 of bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// The store; copies are the same store.
#[derive(Clone, Debug)]
pub struct Storage {
    store: Arc<dyn ObjectStore>,
}

impl Storage {
    /// A store in a folder of this machine, made if need be, for this user only. Objects are synced to the disk.
    ///
    /// # Errors
    /// `Folder`, `Store`.
    pub fn local(root: &Path) -> Result<Storage, StorageFault> {
        use std::os::unix::fs::DirBuilderExt;
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(root);
        made.map_err(StorageFault::Folder)?;
        let store = LocalFileSystem::new_with_prefix(root)?.with_fsync(true);
        Ok(Storage::over(Arc::new(store)))
    }

    /// A store of any kind.
    #[must_use]
    pub fn over(store: Arc<dyn ObjectStore>) -> Storage {
        Storage { store }
    }

    fn location(key: &str) -> Result<Location, StorageFault> {
        if !keys::is_ours(key) {
            return Err(StorageFault::Key);
        }
        Location::parse(key).map_err(|_| StorageFault::Key)
    }

    /// Puts an object where none is, or finds that it is there already, and reads it back: size first, then digest.
    ///
    /// # Errors
    /// `Taken` when an object of other content lies there; `Damaged`, `Key`, `Store`.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<StoredFile, StorageFault> {
        let location = Self::location(key)?;
        let file = StoredFile {
            key: key.to_owned(),
            size: bytes.len() as u64,
            sha256: sha256(&bytes),
        };
        let options = PutOptions {
            mode: PutMode::Create,
            ..PutOptions::default()
        };
        let there = match self
            .store
            .put_opts(&location, PutPayload::from_bytes(bytes), options)
            .await
        {
            Ok(_) => false,
            Err(object_store::Error::AlreadyExists { .. }) => true,
            Err(error) => return Err(error.into()),
        };
        let held = self.store.head(&location).await?.size;
        if held == file.size && self.digest(&location, held).await? == file.sha256 {
            return Ok(file);
        }
        Err(if there {
            StorageFault::Taken
        } else {
            StorageFault::Damaged {
                held,
                written: file.size,
            }
        })
    }

    /// Puts what was derived from a recording, over whatever lies there. Nothing is read back: whoever reads it later
    /// checks it, and makes it anew if need be.
    ///
    /// # Errors
    /// `Key`, `Store`.
    pub async fn keep(&self, key: &str, bytes: Bytes) -> Result<(), StorageFault> {
        let location = Self::location(key)?;
        self.store.put(&location, PutPayload::from_bytes(bytes)).await?;
        Ok(())
    }

    /// Takes away what [`Storage::keep`] put; what is not there is gone already.
    ///
    /// # Errors
    /// `Key`, `Store`.
    pub async fn forget(&self, key: &str) -> Result<(), StorageFault> {
        let location = Self::location(key)?;
        match self.store.delete(&location).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Digest of the first `size` bytes of what lies in the store, read piece by piece.
    async fn digest(&self, location: &Location, size: u64) -> Result<[u8; 32], StorageFault> {
        let mut context = digest::Context::new(&digest::SHA256);
        let mut at = 0;
        while at < size {
            let end = size.min(at + CHECK_BYTES);
            context.update(&self.store.get_range(location, at..end).await?);
            at = end;
        }
        let mut out = [0; 32];
        out.copy_from_slice(context.finish().as_ref());
        Ok(out)
    }

    /// Bytes `range` of an object and its whole length; an end beyond the object, or more than [`SLICE_BYTES_MAX`], is
    /// cut.
    ///
    /// # Errors
    /// `Missing`, `Range`, `Store`.
    pub async fn read(&self, key: &str, range: Range<u64>) -> Result<AudioSlice, RecordingFault> {
        let location = Self::location(key).map_err(|_| RecordingFault::Missing)?;
        if range.start >= range.end {
            return Err(RecordingFault::Range);
        }
        let end = range.end.min(range.start.saturating_add(SLICE_BYTES_MAX));
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.start..end)),
            ..GetOptions::default()
        };
        let got = match self.store.get_opts(&location, options).await {
            Ok(got) => got,
            Err(object_store::Error::NotFound { .. }) => return Err(RecordingFault::Missing),
            // Stores name a range beyond the end in many ways: the length decides.
            Err(_) => {
                let size = self
                    .store
                    .head(&location)
                    .await
                    .map_err(|_| RecordingFault::Store)?
                    .size;
                return Err(if range.start >= size {
                    RecordingFault::Range
                } else {
                    RecordingFault::Store
                });
            }
        };
        let (total, range) = (got.meta.size, got.range.clone());
        let bytes = got.bytes().await.map_err(|_| RecordingFault::Store)?;
        Ok(AudioSlice { total, range, bytes })
    }

    /// A whole object of at most `most` bytes.
    ///
    /// # Errors
    /// `Missing`; `Store` when it is longer or cannot be read.
    pub async fn read_all(&self, key: &str, most: u64) -> Result<Bytes, RecordingFault> {
        let location = Self::location(key).map_err(|_| RecordingFault::Missing)?;
        let got = match self.store.get(&location).await {
            Ok(got) => got,
            Err(object_store::Error::NotFound { .. }) => return Err(RecordingFault::Missing),
            Err(_) => return Err(RecordingFault::Store),
        };
        if got.meta.size > most {
            return Err(RecordingFault::Store);
        }
        got.bytes().await.map_err(|_| RecordingFault::Store)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;

    const KEY: &str = "recordings/2026/11/24/x/audio.opus";

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(work)
    }

    fn both(test: impl AsyncFn(Storage)) {
        let folder = std::env::temp_dir().join(format!("helpline-storage-{}", uuid::Uuid::new_v4()));
        run(async {
            test(Storage::over(Arc::new(InMemory::new()))).await;
            test(Storage::local(&folder).unwrap()).await;
        });
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_object_is_put_once_and_never_written_over() {
        both(async |storage| {
            let first = storage.put(KEY, Bytes::from_static(b"abc")).await.unwrap();
            assert_eq!((first.size, first.sha256), (3, sha256(b"abc")));
            assert_eq!(
                storage.put(KEY, Bytes::from_static(b"abc")).await.unwrap(),
                first,
                "again is no harm"
            );
            for other in [&b"abd"[..], b"abcd", b""] {
                let fault = storage.put(KEY, Bytes::from_static(other)).await.unwrap_err();
                assert!(matches!(fault, StorageFault::Taken), "{fault}");
            }
            assert_eq!(storage.read_all(KEY, 3).await.unwrap(), &b"abc"[..]);
            assert_eq!(storage.read_all(KEY, 2).await, Err(RecordingFault::Store));
        });
    }

    #[test]
    fn an_object_is_read_back_to_its_last_byte() {
        both(async |storage| {
            for size in [CHECK_BYTES - 1, CHECK_BYTES, CHECK_BYTES + 1, 2 * CHECK_BYTES + 1] {
                let key = format!("recordings/2026/11/24/{size}/audio.opus");
                let mut bytes = vec![7; size as usize];
                let stored = storage.put(&key, bytes.clone().into()).await.unwrap();
                assert_eq!((stored.size, stored.sha256), (size, sha256(&bytes)));
                *bytes.last_mut().unwrap() = 8;
                let fault = storage.put(&key, bytes.into()).await.unwrap_err();
                assert!(matches!(fault, StorageFault::Taken), "{size}: {fault}");
            }
        });
    }

    #[test]
    fn what_was_derived_is_put_over_what_was_there() {
        both(async |storage| {
            for bytes in [&b"abc"[..], b"longer", b""] {
                storage.keep(KEY, Bytes::from_static(bytes)).await.unwrap();
                assert_eq!(storage.read_all(KEY, 6).await.unwrap(), bytes);
            }
            for _ in 0..2 {
                storage.forget(KEY).await.unwrap();
                assert_eq!(storage.read_all(KEY, 6).await, Err(RecordingFault::Missing));
            }
            let elsewhere = storage.keep("elsewhere/a", Bytes::new()).await.unwrap_err();
            assert!(matches!(elsewhere, StorageFault::Key), "{elsewhere}");
        });
    }

    #[test]
    fn ranges_are_cut_to_the_object() {
        both(async |storage| {
            let bytes: Vec<u8> = (0..=255).collect();
            storage.put(KEY, bytes.clone().into()).await.unwrap();
            for (asked, got) in [
                (0..256, 0..256),
                (0..1, 0..1),
                (255..900, 255..256),
                (10..u64::MAX, 10..256),
            ] {
                let slice = storage.read(KEY, asked).await.unwrap();
                assert_eq!((slice.total, slice.range.clone()), (256, got.clone()));
                assert_eq!(slice.bytes, bytes[got.start as usize..got.end as usize]);
            }
            for wrong in [256..300, 5..5, Range { start: 9, end: 3 }, u64::MAX - 1..u64::MAX] {
                assert_eq!(storage.read(KEY, wrong).await.unwrap_err(), RecordingFault::Range);
            }
            let missing = storage.read("recordings/2026/11/24/y/audio.opus", 0..9).await;
            assert_eq!(missing.unwrap_err(), RecordingFault::Missing);
            assert_eq!(
                storage.read("recordings/../../etc/passwd", 0..9).await.unwrap_err(),
                RecordingFault::Missing
            );
        });
    }

    #[test]
    fn a_slice_holds_at_most_its_limit() {
        both(async |storage| {
            let bytes = vec![7; SLICE_BYTES_MAX as usize + 1];
            storage.put(KEY, bytes.into()).await.unwrap();
            for (asked, got) in [
                (SLICE_BYTES_MAX, SLICE_BYTES_MAX),
                (SLICE_BYTES_MAX + 1, SLICE_BYTES_MAX),
            ] {
                assert_eq!(storage.read(KEY, 0..asked).await.unwrap().bytes.len() as u64, got);
            }
        });
    }

    #[test]
    fn an_object_that_the_disk_changed_is_not_confirmed() {
        let folder = std::env::temp_dir().join(format!("helpline-storage-{}", uuid::Uuid::new_v4()));
        run(async {
            let storage = Storage::local(&folder).unwrap();
            storage.put(KEY, Bytes::from_static(b"abc")).await.unwrap();
            std::fs::write(folder.join(KEY), b"abX").unwrap();
            let again = storage.put(KEY, Bytes::from_static(b"abc")).await.unwrap_err();
            assert!(matches!(again, StorageFault::Taken));
        });
        std::fs::remove_dir_all(folder).unwrap();
    }
}
