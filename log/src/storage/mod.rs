//! The files under the log, passed in: on disk or in memory. Tests bring their own to fill disks and break syncs.

mod cache;
mod disk;
mod memory;
mod read_only;

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

pub(crate) use cache::CachedStorage;
pub use disk::DiskStorage;
pub use memory::MemoryStorage;
pub use read_only::ReadOnlyStorage;

/// A file system, as much of it as the log needs. Paths are those given to [`LogBuilder::dir`](crate::LogBuilder::dir)
/// with names appended.
pub trait Storage: Send + Sync + fmt::Debug {
    /// Opens a file for reading and writing, as `mode` says.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;
    /// Size of a file.
    fn size(&self, path: &Path) -> io::Result<u64> {
        self.open(path, OpenMode::Existing)?.size()
    }
    /// Creates a directory and its parents; one that exists is fine.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Names of the files and directories directly inside a directory, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Renames a file or directory, replacing a file of the new name at once and as a whole.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file. Readers that have it open keep their view.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory with all it holds.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Puts content and size of all these files on stable storage. After an error any of them may not be there.
    fn sync_files(&self, files: &[Arc<dyn File>]) -> io::Result<()> {
        files.iter().try_for_each(|file| file.sync())
    }
    /// Puts the names inside a directory on stable storage.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Takes an exclusive lock that ends with the returned guard or with the process, and notes `holder` in the file.
    fn lock(&self, path: &Path, holder: &str) -> io::Result<Locking>;
}

/// An open file. Positions are in bytes.
pub trait File: Send + Sync + fmt::Debug {
    /// Reads at `position` until `buffer` is full or the file ends; returns how many bytes that were.
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes all of `bytes` at `position`. After an error any part of them may have been written.
    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()>;
    /// Size of the file.
    fn size(&self) -> io::Result<u64>;
    /// Cuts the file off at `size`.
    fn truncate(&self, size: u64) -> io::Result<()>;
    /// Puts content and size on stable storage.
    fn sync(&self) -> io::Result<()>;
    /// The operating system's handle, if this is one of its files.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    /// Drops what the system keeps in memory of the bytes from `from` on, so that they are read from the disk again.
    /// After a failed sync, memory may show what the disk does not hold. A storage without such memory does nothing.
    fn forget_cached(&self, _from: u64) -> io::Result<()> {
        Ok(())
    }
    /// The file to sync in place of this one, if this one only stands for it. The caller syncs it, or reports a failure.
    fn to_sync(&self) -> io::Result<Option<Arc<dyn File>>> {
        Ok(None)
    }
}

/// What to do when the file to open exists, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// It must exist.
    Existing,
    /// It is created if it does not exist.
    OrCreate,
    /// It is created, or emptied if it exists.
    Truncate,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The last part of its path.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// Outcome of [`Storage::lock`].
pub enum Locking {
    /// The lock is held until this is dropped.
    Acquired(Box<dyn Send + Sync>),
    /// Someone else holds it, by their own note.
    HeldBy(String),
}

impl fmt::Debug for Locking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acquired(_) => f.write_str("Acquired"),
            Self::HeldBy(holder) => f.debug_tuple("HeldBy").field(holder).finish(),
        }
    }
}

/// Reads a whole file.
pub(crate) fn read_all(file: &dyn File) -> io::Result<Vec<u8>> {
    let size = usize::try_from(file.size()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; size];
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Replaces a small file as a whole: after a crash it holds the old content or the new one.
pub(crate) fn replace(storage: &dyn Storage, path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let file = storage.open(&temporary, OpenMode::Truncate)?;
    file.write_at(0, content)?;
    file.sync()?;
    drop(file);
    storage.rename(&temporary, path)?;
    match path.parent() {
        Some(dir) => storage.sync_dir(dir),
        None => Ok(()),
    }
}
