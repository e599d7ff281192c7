//! The operating system's files, only to be looked at.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::disk::DiskFile;
use super::{DiskStorage, Entry, File, Locking, OpenMode, Storage};

/// Files on local disk that nobody may write: for tools that look at a log without owning it, and for logs on media
/// that cannot be written. Everything that changes something fails with [`io::ErrorKind::ReadOnlyFilesystem`].
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOnlyStorage;

impl Storage for ReadOnlyStorage {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        match mode {
            OpenMode::Existing => Ok(Arc::new(DiskFile::read_only(path)?)),
            OpenMode::OrCreate | OpenMode::Truncate => refuse(),
        }
    }

    fn create_dir(&self, _path: &Path) -> io::Result<()> {
        refuse()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        DiskStorage.list(dir)
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        refuse()
    }

    fn remove_file(&self, _path: &Path) -> io::Result<()> {
        refuse()
    }

    fn remove_dir(&self, _path: &Path) -> io::Result<()> {
        refuse()
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        refuse()
    }

    fn lock(&self, _path: &Path, _holder: &str) -> io::Result<Locking> {
        refuse()
    }
}

fn refuse<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_and_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        DiskStorage.open(&path, OpenMode::OrCreate).unwrap().write_at(0, b"abc").unwrap();
        let file = ReadOnlyStorage.open(&path, OpenMode::Existing).unwrap();
        let mut bytes = [0; 3];
        assert_eq!((file.read_at(0, &mut bytes).unwrap(), &bytes), (3, b"abc"));
        file.write_at(0, b"x").unwrap_err();
        file.truncate(0).unwrap_err();
        for mode in [OpenMode::OrCreate, OpenMode::Truncate] {
            let error = ReadOnlyStorage.open(&path, mode).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ReadOnlyFilesystem);
        }
        ReadOnlyStorage.remove_file(&path).unwrap_err();
        assert_eq!(ReadOnlyStorage.list(dir.path()).unwrap().len(), 1);
    }
}
