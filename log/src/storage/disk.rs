//! The operating system's files.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use super::{Entry, File, Locking, OpenMode, Storage};

/// Files on local disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskStorage;

#[derive(Debug)]
pub(super) struct DiskFile(fs::File);

impl DiskFile {
    pub(super) fn read_only(path: &Path) -> io::Result<Self> {
        Ok(Self(fs::File::open(path)?))
    }
}

impl Storage for DiskStorage {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(mode != OpenMode::Existing)
            .truncate(mode == OpenMode::Truncate)
            .open(path)?;
        Ok(Arc::new(DiskFile(file)))
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // Names that are not UTF-8 are not the log's.
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(Entry { name, is_dir: entry.file_type()?.is_dir() });
            }
        }
        Ok(entries)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn sync_files(&self, files: &[Arc<dyn File>]) -> io::Result<()> {
        match shared_file_system(files) {
            Some(any) => match rustix::fs::syncfs(any) {
                Err(rustix::io::Errno::NOSYS) => files.iter().try_for_each(|file| file.sync()),
                outcome => Ok(outcome?),
            },
            None => files.iter().try_for_each(|file| file.sync()),
        }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        // The parent of a relative name is the empty path.
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        fs::File::open(path)?.sync_all()
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Locking> {
        let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0)?;
                file.write_all_at(holder.as_bytes(), 0)?;
                Ok(Locking::Acquired(Box::new(file)))
            }
            Err(fs::TryLockError::WouldBlock) => Ok(Locking::HeldBy(io::read_to_string(&file)?)),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

/// From this many files on, one call for their whole file system is taken to cost less than one for each.
const SYNCFS_MIN: usize = 3;

/// No system has larger pages.
const PAGE_BYTES_MAX: u64 = 64 << 10;

/// Before Linux 5.8 `syncfs` did not report that a write had failed.
static SYNCFS_REPORTS_ERRORS: LazyLock<bool> = LazyLock::new(|| {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse::<u32>().ok());
    numbers.next().zip(numbers.next()).is_some_and(|version| version >= (5, 8))
});

/// A handle to the file system that holds all of `files`, if one call for it is worthwhile and honest.
fn shared_file_system(files: &[Arc<dyn File>]) -> Option<BorrowedFd<'_>> {
    if files.len() < SYNCFS_MIN || !*SYNCFS_REPORTS_ERRORS {
        return None;
    }
    let mut device = None;
    for file in files {
        let found = rustix::fs::fstat(file.descriptor()?).ok()?.st_dev;
        if *device.get_or_insert(found) != found {
            return None;
        }
    }
    files.first()?.descriptor()
}

impl File for DiskFile {
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.0.read_at(&mut buffer[filled..], position + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, position)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }

    fn forget_cached(&self, from: u64) -> io::Result<()> {
        // A page that starts before would stay in memory as a whole.
        let from = from - from % PAGE_BYTES_MAX;
        Ok(rustix::fs::fadvise(&self.0, from, None, rustix::fs::Advice::DontNeed)?)
    }
}
