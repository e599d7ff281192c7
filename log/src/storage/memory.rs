//! Files in memory, for tests and for logs that need not outlive the process.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Entry, File, Locking, OpenMode, Storage};
use crate::mutex::Mutex;

/// Files in memory. Clones share them; [`fork`](Self::fork) copies them.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage {
    tree: Arc<Mutex<Tree>>,
}

#[derive(Debug, Default)]
struct Tree {
    files: BTreeMap<PathBuf, Arc<MemoryFile>>,
    dirs: BTreeSet<PathBuf>,
    locks: BTreeMap<PathBuf, String>,
}

#[derive(Debug, Default)]
struct MemoryFile {
    bytes: Mutex<Vec<u8>>,
}

impl MemoryStorage {
    /// An empty file system.
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy of all files as they are now, without the locks: what a killed process leaves behind.
    pub fn fork(&self) -> Self {
        let tree = self.tree.lock();
        let files = tree.files.iter().map(|(path, file)| {
            let bytes = Mutex::new(file.bytes.lock().clone());
            (path.clone(), Arc::new(MemoryFile { bytes }))
        });
        let tree = Tree { files: files.collect(), dirs: tree.dirs.clone(), locks: BTreeMap::new() };
        Self { tree: Arc::new(Mutex::new(tree)) }
    }
}

impl Storage for MemoryStorage {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut tree = self.tree.lock();
        if let Some(file) = tree.files.get(path) {
            if mode == OpenMode::Truncate {
                file.bytes.lock().clear();
            }
            return Ok(file.clone());
        }
        if mode == OpenMode::Existing {
            return Err(io::ErrorKind::NotFound.into());
        }
        if path.parent().is_some_and(|dir| !tree.dirs.contains(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = Arc::new(MemoryFile::default());
        tree.files.insert(path.to_path_buf(), file.clone());
        Ok(file)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut tree = self.tree.lock();
        for dir in path.ancestors() {
            tree.dirs.insert(dir.to_path_buf());
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let tree = self.tree.lock();
        if !tree.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let name = |path: &PathBuf| match path.parent() == Some(dir) {
            true => path.file_name().map(|name| name.to_string_lossy().into_owned()),
            false => None,
        };
        let files = tree.files.keys().filter_map(name).map(|name| Entry { name, is_dir: false });
        let dirs = tree.dirs.iter().filter_map(name).map(|name| Entry { name, is_dir: true });
        Ok(files.chain(dirs).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut tree = self.tree.lock();
        if let Some(file) = tree.files.remove(from) {
            tree.files.insert(to.to_path_buf(), file);
            return Ok(());
        }
        if !tree.dirs.contains(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let moved = |path: &PathBuf| match path.strip_prefix(from) {
            Ok(rest) if rest.as_os_str().is_empty() => to.to_path_buf(),
            Ok(rest) => to.join(rest),
            Err(_) => path.clone(),
        };
        tree.files =
            std::mem::take(&mut tree.files).into_iter().map(|(path, file)| (moved(&path), file)).collect();
        tree.dirs = tree.dirs.iter().map(moved).collect();
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        match self.tree.lock().files.remove(path) {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut tree = self.tree.lock();
        if !tree.dirs.contains(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        tree.files.retain(|file, _| !file.starts_with(path));
        tree.dirs.retain(|dir| !dir.starts_with(path));
        Ok(())
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Locking> {
        let mut tree = self.tree.lock();
        if let Some(holder) = tree.locks.get(path) {
            return Ok(Locking::HeldBy(holder.clone()));
        }
        tree.locks.insert(path.to_path_buf(), holder.to_owned());
        Ok(Locking::Acquired(Box::new(MemoryLock { tree: self.tree.clone(), path: path.to_path_buf() })))
    }
}

struct MemoryLock {
    tree: Arc<Mutex<Tree>>,
    path: PathBuf,
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.tree.lock().locks.remove(&self.path);
    }
}

impl File for MemoryFile {
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.bytes.lock();
        let from = usize::try_from(position).map_or(bytes.len(), |position| position.min(bytes.len()));
        let count = buffer.len().min(bytes.len() - from);
        buffer[..count].copy_from_slice(&bytes[from..from + count]);
        Ok(count)
    }

    fn write_at(&self, position: u64, new: &[u8]) -> io::Result<()> {
        let mut bytes = self.bytes.lock();
        let from = usize::try_from(position).map_err(io::Error::other)?;
        if bytes.len() < from + new.len() {
            bytes.resize(from + new.len(), 0);
        }
        bytes[from..from + new.len()].copy_from_slice(new);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().len() as u64)
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.bytes.lock().truncate(usize::try_from(size).map_err(io::Error::other)?);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
