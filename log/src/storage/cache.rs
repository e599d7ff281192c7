//! A storage that keeps a bounded number of files open, however many are in use.
//!
//! ```text
//! handle ─▶ slot ─┬─ open file            the one that was used longest ago is closed when there are too many
//!                 └─ path to open it by   follows renames; gone once the file is removed
//! ```
//! - Opening a path twice gives the same handle.
//! - A file with unsynced writes is synced before it is closed for another. If that fails, the handle takes no more
//!   writes and every later sync of it fails, because nobody knows what the disk holds.
//! - A handle whose file was removed or replaced reads on while it is open; closed, it never opens what is at its path
//!   now, and fails with [`io::ErrorKind::NotFound`].

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use super::{Entry, File, Locking, OpenMode, Storage};
use crate::mutex::Mutex;

/// Passes everything on to another storage and bounds how many of its files are open.
pub(crate) struct CachedStorage {
    storage: Arc<dyn Storage>,
    cache: Arc<Cache>,
}

#[derive(Default)]
struct Cache {
    files_max: usize,
    /// Handles by where their file is now.
    handles: Mutex<BTreeMap<Arc<Path>, Weak<Handle>>>,
    open: Mutex<Open>,
}

/// Handles with an open file, by when they were opened or last spared.
#[derive(Default)]
struct Open {
    queue: BTreeMap<u64, Weak<Handle>>,
    next: u64,
}

/// A file that is open or can be opened again.
struct Handle {
    itself: Weak<Handle>,
    storage: Arc<dyn Storage>,
    cache: Arc<Cache>,
    slot: Mutex<Slot>,
    /// Whether it was used since it was last considered for closing.
    is_used: AtomicBool,
    /// Its place in the queue of open files.
    ticket: AtomicU64,
}

struct Slot {
    /// `None` once the file was removed or replaced.
    path: Option<Arc<Path>>,
    file: Option<Arc<dyn File>>,
    is_dirty: bool,
    /// Why a sync failed that nobody waited for.
    failure: Option<String>,
}

impl CachedStorage {
    /// Keeps at most `files_max` files of `storage` open, plus those in the middle of an operation.
    pub(crate) fn new(storage: Arc<dyn Storage>, files_max: usize) -> Self {
        Self { storage, cache: Arc::new(Cache { files_max: files_max.max(1), ..Cache::default() }) }
    }

    /// The handle of what is at `path`.
    fn handle(&self, path: &Path) -> Arc<Handle> {
        let mut handles = self.cache.handles.lock();
        if let Some(handle) = handles.get(path).and_then(Weak::upgrade) {
            return handle;
        }
        let path: Arc<Path> = path.into();
        let handle = Arc::new_cyclic(|itself| Handle {
            itself: itself.clone(),
            storage: self.storage.clone(),
            cache: self.cache.clone(),
            slot: Mutex::new(Slot { path: Some(path.clone()), file: None, is_dirty: false, failure: None }),
            is_used: AtomicBool::new(true),
            ticket: AtomicU64::new(0),
        });
        handles.insert(path, Arc::downgrade(&handle));
        handle
    }

    /// Lets handles at or below `from` go on at `to`, and those of what was at `to` come to their end.
    fn follow(&self, from: &Path, to: &Path) {
        let mut moved = Vec::new();
        let mut handles = self.cache.handles.lock();
        let replaced = handles.remove(to).and_then(|handle| handle.upgrade());
        for path in paths_below(&handles, from) {
            let rest = path.strip_prefix(from).expect("it is below");
            let target: Arc<Path> =
                if rest.as_os_str().is_empty() { to.into() } else { to.join(rest).into() };
            if let Some(handle) = handles.remove(&path).and_then(|handle| handle.upgrade()) {
                handle.slot.lock().path = Some(target.clone());
                handles.insert(target, Arc::downgrade(&handle));
                moved.push(handle);
            }
        }
        // Whoever holds the last reference takes this lock.
        drop(handles);
        replaced.iter().for_each(|handle| handle.slot.lock().path = None);
    }

    /// Ends the handles at or below `path`.
    fn retire(&self, path: &Path) {
        let mut handles = self.cache.handles.lock();
        let paths = paths_below(&handles, path);
        let retired: Vec<_> = paths.iter().filter_map(|path| handles.remove(path)?.upgrade()).collect();
        drop(handles);
        retired.iter().for_each(|handle| handle.slot.lock().path = None);
    }
}

fn paths_below(handles: &BTreeMap<Arc<Path>, Weak<Handle>>, dir: &Path) -> Vec<Arc<Path>> {
    let from = handles.range::<Path, _>((Bound::Included(dir), Bound::Unbounded));
    from.take_while(|(path, _)| path.starts_with(dir)).map(|(path, _)| path.clone()).collect()
}

impl Storage for CachedStorage {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let handle = self.handle(path);
        let mut slot = handle.slot.lock();
        if slot.file.is_some() && mode != OpenMode::Truncate {
            drop(slot);
            return Ok(handle);
        }
        let is_new = slot.file.is_none();
        // What a new file holds, nothing, needs no sync; what an old one held has to go for certain.
        slot.is_dirty |= mode == OpenMode::Truncate && self.storage.size(path).is_ok_and(|size| size > 0);
        slot.file = Some(self.storage.open(path, mode)?);
        drop(slot);
        if is_new {
            self.cache.admit(&handle);
        }
        Ok(handle)
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        self.storage.size(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.storage.create_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.storage.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.storage.rename(from, to)?;
        self.follow(from, to);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.storage.remove_file(path)?;
        self.retire(path);
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.storage.remove_dir(path)?;
        self.retire(path);
        Ok(())
    }

    fn sync_files(&self, files: &[Arc<dyn File>]) -> io::Result<()> {
        let files: Vec<_> = files
            .iter()
            .map(|file| Ok(file.to_sync()?.unwrap_or_else(|| file.clone())))
            .collect::<io::Result<_>>()?;
        self.storage.sync_files(&files)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.storage.sync_dir(path)
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Locking> {
        self.storage.lock(path, holder)
    }
}

impl fmt::Debug for CachedStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedStorage").field("storage", &self.storage).finish_non_exhaustive()
    }
}

impl Cache {
    /// Counts a file in that was just opened, and closes others if there are too many now.
    fn admit(&self, handle: &Arc<Handle>) {
        let mut looks = {
            let mut open = self.open.lock();
            open.insert(handle);
            // Each is looked at twice at most: once to find it used, once to find it unused.
            2 * open.queue.len()
        };
        while looks > 0
            && let Some(oldest) = self.pop_surplus()
        {
            looks -= 1;
            let Some(oldest) = oldest.upgrade() else { continue };
            if oldest.is_used.swap(false, Ordering::Relaxed) || !oldest.close() {
                self.open.lock().insert(&oldest);
            }
        }
    }

    fn pop_surplus(&self) -> Option<Weak<Handle>> {
        let mut open = self.open.lock();
        if open.queue.len() > self.files_max {
            open.queue.pop_first().map(|(_, handle)| handle)
        } else {
            None
        }
    }
}

impl Open {
    fn insert(&mut self, handle: &Arc<Handle>) {
        handle.ticket.store(self.next, Ordering::Relaxed);
        self.queue.insert(self.next, Arc::downgrade(handle));
        self.next += 1;
    }
}

impl Handle {
    /// The open file, opened again if it was closed meanwhile.
    fn file(&self, change: Change) -> io::Result<Arc<dyn File>> {
        self.is_used.store(true, Ordering::Relaxed);
        let mut slot = self.slot.lock();
        if change == Change::Content {
            slot.check()?;
            slot.is_dirty = true;
        }
        if let Some(file) = &slot.file {
            return Ok(file.clone());
        }
        let path = slot.path.clone().ok_or(io::ErrorKind::NotFound)?;
        let file = self.storage.open(&path, OpenMode::Existing)?;
        slot.file = Some(file.clone());
        drop(slot);
        if let Some(itself) = self.itself.upgrade() {
            self.cache.admit(&itself);
        }
        Ok(file)
    }

    /// Closes the file, unless it is in the middle of an operation.
    fn close(&self) -> bool {
        let mut slot = self.slot.lock();
        let Some(file) = &slot.file else { return true };
        if Arc::strong_count(file) > 1 {
            return false;
        }
        if slot.is_dirty
            && slot.failure.is_none()
            && let Err(error) = file.sync()
        {
            tracing::error!(path = ?slot.path, %error, "a sync failed");
            slot.failure = Some(error.to_string());
        }
        slot.is_dirty = false;
        slot.file = None;
        true
    }
}

impl File for Handle {
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file(Change::Nothing)?.read_at(position, buffer)
    }

    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()> {
        self.file(Change::Content)?.write_at(position, bytes)
    }

    fn size(&self) -> io::Result<u64> {
        self.file(Change::Nothing)?.size()
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.file(Change::Content)?.truncate(size)
    }

    fn sync(&self) -> io::Result<()> {
        let Some(file) = self.to_sync()? else { return Ok(()) };
        file.sync().inspect_err(|error| {
            self.slot.lock().failure = Some(error.to_string());
        })
    }

    fn to_sync(&self) -> io::Result<Option<Arc<dyn File>>> {
        let file = self.file(Change::Nothing)?;
        let mut slot = self.slot.lock();
        slot.check()?;
        // What is written from here on is for the next sync.
        slot.is_dirty = false;
        Ok(Some(file))
    }

    fn forget_cached(&self, from: u64) -> io::Result<()> {
        self.file(Change::Nothing)?.forget_cached(from)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("path", &self.slot.lock().path).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Nothing,
    Content,
}

impl Slot {
    fn check(&self) -> io::Result<()> {
        self.failure.as_ref().map_or(Ok(()), |failure| Err(io::Error::other(failure.clone())))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let ticket = self.ticket.load(Ordering::Relaxed);
        let mut open = self.cache.open.lock();
        if open.queue.get(&ticket).is_some_and(|handle| handle.strong_count() == 0) {
            open.queue.remove(&ticket);
        }
        drop(open);
        if let Some(path) = &self.slot.lock().path {
            let mut handles = self.cache.handles.lock();
            if handles.get(path).is_some_and(|handle| handle.strong_count() == 0) {
                handles.remove(path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::storage::MemoryStorage;

    /// Memory that counts open files and syncs, and whose syncs can fail.
    #[derive(Clone, Debug, Default)]
    struct Counting {
        storage: MemoryStorage,
        open: Arc<AtomicUsize>,
        syncs: Arc<AtomicUsize>,
        is_broken: Arc<AtomicBool>,
    }

    #[derive(Debug)]
    struct CountedFile(Arc<dyn File>, Counting);

    impl Storage for Counting {
        fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
            let file = self.storage.open(path, mode)?;
            self.open.fetch_add(1, Ordering::SeqCst);
            Ok(Arc::new(CountedFile(file, self.clone())))
        }
        fn create_dir(&self, path: &Path) -> io::Result<()> {
            self.storage.create_dir(path)
        }
        fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
            self.storage.list(dir)
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.storage.rename(from, to)
        }
        fn remove_file(&self, path: &Path) -> io::Result<()> {
            self.storage.remove_file(path)
        }
        fn remove_dir(&self, path: &Path) -> io::Result<()> {
            self.storage.remove_dir(path)
        }
        fn sync_dir(&self, path: &Path) -> io::Result<()> {
            self.storage.sync_dir(path)
        }
        fn lock(&self, path: &Path, holder: &str) -> io::Result<Locking> {
            self.storage.lock(path, holder)
        }
    }

    impl File for CountedFile {
        fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read_at(position, buffer)
        }
        fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()> {
            self.0.write_at(position, bytes)
        }
        fn size(&self) -> io::Result<u64> {
            self.0.size()
        }
        fn truncate(&self, size: u64) -> io::Result<()> {
            self.0.truncate(size)
        }
        fn sync(&self) -> io::Result<()> {
            self.1.syncs.fetch_add(1, Ordering::SeqCst);
            match self.1.is_broken.load(Ordering::SeqCst) {
                true => Err(io::Error::other("broken")),
                false => Ok(()),
            }
        }
    }

    impl Drop for CountedFile {
        fn drop(&mut self) {
            self.1.open.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn path(number: usize) -> std::path::PathBuf {
        Path::new("d").join(number.to_string())
    }

    fn cached(files_max: usize) -> (Counting, CachedStorage) {
        let counting = Counting::default();
        counting.create_dir(Path::new("d")).unwrap();
        let cached = CachedStorage::new(Arc::new(counting.clone()), files_max);
        (counting, cached)
    }

    fn content(file: &dyn File) -> io::Result<Vec<u8>> {
        crate::storage::read_all(file)
    }

    #[test]
    fn no_more_files_are_open_than_allowed() {
        let (counting, cached) = cached(4);
        let files: Vec<_> =
            (0..20).map(|number| cached.open(&path(number), OpenMode::OrCreate).unwrap()).collect();
        for round in 0..3_u8 {
            for (number, file) in files.iter().enumerate() {
                file.write_at(u64::from(round), &[number as u8]).unwrap();
                assert!(counting.open.load(Ordering::SeqCst) <= 4);
            }
        }
        for (number, file) in files.iter().enumerate() {
            assert_eq!(content(&**file).unwrap(), [number as u8; 3]);
        }
        assert!(counting.syncs.load(Ordering::SeqCst) >= 56, "what is closed unsynced is synced first");
        drop(files);
        assert_eq!(counting.open.load(Ordering::SeqCst), 0);
        assert!(cached.cache.handles.lock().is_empty() && cached.cache.open.lock().queue.is_empty());
    }

    #[test]
    fn a_failed_sync_of_a_file_that_is_closed_is_not_forgotten() {
        let (counting, cached) = cached(1);
        let file = cached.open(&path(0), OpenMode::OrCreate).unwrap();
        file.write_at(0, b"a").unwrap();
        counting.is_broken.store(true, Ordering::SeqCst);
        let other = cached.open(&path(1), OpenMode::OrCreate).unwrap();
        other.size().unwrap();
        counting.is_broken.store(false, Ordering::SeqCst);
        for _ in 0..2 {
            assert_eq!(file.sync().unwrap_err().to_string(), "broken");
            assert_eq!(file.write_at(1, b"b").unwrap_err().to_string(), "broken");
        }
        assert_eq!(content(&*file).unwrap(), b"a");
        other.sync().unwrap();
    }

    #[test]
    fn handles_follow_their_file_and_never_open_another() {
        let (_, cached) = cached(1);
        let [old, new] = [0, 1].map(|number| {
            let file = cached.open(&path(number), OpenMode::OrCreate).unwrap();
            file.write_at(0, &[number as u8]).unwrap();
            file
        });
        cached.rename(&path(0), &path(2)).unwrap();
        cached.rename(&path(1), &path(0)).unwrap();
        assert_eq!(content(&*old).unwrap(), [0]);
        assert_eq!(content(&*new).unwrap(), [1]);
        assert_eq!(content(&*cached.open(&path(0), OpenMode::Existing).unwrap()).unwrap(), [1]);
        cached.remove_file(&path(2)).unwrap();
        assert_eq!(content(&*old).unwrap_err().kind(), io::ErrorKind::NotFound);
        cached.create_dir(Path::new("e")).unwrap();
        cached.rename(Path::new("d"), Path::new("f")).unwrap();
        cached.open(Path::new("e/other"), OpenMode::OrCreate).unwrap();
        assert_eq!(content(&*new).unwrap(), [1]);
        cached.remove_dir(Path::new("f")).unwrap();
        cached.open(Path::new("e/another"), OpenMode::OrCreate).unwrap();
        assert!(content(&*new).is_err());
    }
}
