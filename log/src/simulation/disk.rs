//! A disk in memory that keeps apart what is on stable storage and what is only in the page cache.
//!
//! Each file has durable bytes and a list of writes and truncations since; each directory has durable names and a list
//! of changes since. Syncing a file does not make its name durable, and syncing a directory does not make the files in
//! it durable, which is stricter than common file systems on purpose. Everything is copied on write, so that a
//! [`Snapshot`] costs next to nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use fastrand::Rng;

use super::crash::Snapshot;
use crate::mutex::Mutex;
use crate::storage::{Entry, File, Locking, OpenMode, Storage};

/// Index of a file or directory.
pub(super) type NodeId = usize;

/// The directory that paths start from; it is always there.
pub(super) const ROOT: NodeId = 0;

/// So many reads after a stale one are right, which leaves time to look again.
const READS_BETWEEN_STALE: u32 = 16;

/// What a [`SimDisk`] does wrong while it runs. Rates are per operation, in [0, 1].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// A write fails with an I/O error, after a random part of it.
    pub write_error: f64,
    /// A sync fails once and what it should have written is lost at the next power failure, though reads still see it
    /// and later syncs succeed.
    pub sync_error: f64,
    /// A read fails with an I/O error.
    pub read_error: f64,
    /// Creating, opening, renaming or removing fails with an I/O error.
    pub name_error: f64,
    /// A read returns what the disk held before the last sync in place of what was written since. That is over when the
    /// same bytes are read again.
    pub stale_read: f64,
    /// Bytes that all files together may take; a write beyond it fails after the part that fits.
    pub capacity: Option<u64>,
}

/// A simulated disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

struct State {
    tree: Tree,
    operations: u64,
    trace: u64,
    faults: Faults,
    faults_hit: u64,
    /// Reads since the last one that was stale.
    reads_since_stale: u32,
    rng: Rng,
    halt_at: Option<u64>,
    halted: Option<Snapshot>,
    recording: Option<Vec<Snapshot>>,
    /// What was done, in words, if that is wanted.
    journal: Option<Vec<String>>,
    locks: Vec<PathBuf>,
}

/// All files and directories, and how much of them is durable.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Arc<Node>>,
    pub(super) next_change: u64,
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    File(FileNode),
    Dir(DirNode),
}

#[derive(Clone, Debug, Default)]
pub(super) struct FileNode {
    pub(super) current: Arc<Vec<u8>>,
    pub(super) durable: Arc<Vec<u8>>,
    /// Since the last sync, each with its place among all changes of the disk.
    pub(super) pending: Vec<(u64, DataChange)>,
    /// Whether a failed sync dropped changes that `current` still shows.
    pub(super) is_gated: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct DirNode {
    pub(super) current: BTreeMap<Arc<str>, NodeId>,
    pub(super) durable: BTreeMap<Arc<str>, NodeId>,
    pub(super) pending: Vec<(u64, NameChange)>,
}

#[derive(Clone, Debug)]
pub(super) enum DataChange {
    Write { position: usize, bytes: Bytes },
    Truncate { size: usize },
}

#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Link {
        name: Arc<str>,
        node: NodeId,
    },
    Unlink {
        name: Arc<str>,
        node: NodeId,
    },
    /// Within one directory, at once.
    Rename {
        from: Arc<str>,
        to: Arc<str>,
        node: NodeId,
    },
}

impl DataChange {
    pub(super) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { position, bytes } => {
                if content.len() < position + bytes.len() {
                    content.resize(position + bytes.len(), 0);
                }
                content[*position..position + bytes.len()].copy_from_slice(bytes);
            }
            Self::Truncate { size } => content.resize(*size, 0),
        }
    }
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut BTreeMap<Arc<str>, NodeId>) {
        match self {
            Self::Link { name, node } => drop(names.insert(name.clone(), *node)),
            Self::Unlink { name, node } => {
                if names.get(name) == Some(node) {
                    names.remove(name);
                }
            }
            Self::Rename { from, to, node } => {
                if names.get(from) == Some(node) {
                    names.remove(from);
                }
                names.insert(to.clone(), *node);
            }
        }
    }
}

impl FileNode {
    fn change(&mut self, at: u64, change: DataChange) {
        change.apply(Arc::make_mut(&mut self.current));
        self.pending.push((at, change));
    }

    fn sync(&mut self) {
        if self.is_gated {
            let durable = Arc::make_mut(&mut self.durable);
            self.pending.iter().for_each(|(_, change)| change.apply(durable));
        } else {
            self.durable = self.current.clone();
        }
        self.pending.clear();
    }
}

impl Tree {
    fn new() -> Self {
        Self { nodes: vec![Arc::new(Node::Dir(DirNode::default()))], next_change: 0 }
    }

    fn find(&self, path: &Path) -> io::Result<NodeId> {
        let mut at = ROOT;
        for name in names(path)? {
            at = *self.dir(at)?.current.get(name).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(at)
    }

    /// Directory and name that a path leads to.
    fn split<'a>(&self, path: &'a Path) -> io::Result<(NodeId, &'a str)> {
        let name = path.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.find(path.parent().unwrap_or(Path::new("")))?, name))
    }

    pub(super) fn dir(&self, node: NodeId) -> io::Result<&DirNode> {
        match &*self.nodes[node] {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn dir_mut(&mut self, node: NodeId) -> io::Result<&mut DirNode> {
        match Arc::make_mut(&mut self.nodes[node]) {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    pub(super) fn file(&self, node: NodeId) -> io::Result<&FileNode> {
        match &*self.nodes[node] {
            Node::File(file) => Ok(file),
            Node::Dir(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn file_mut(&mut self, node: NodeId) -> io::Result<&mut FileNode> {
        match Arc::make_mut(&mut self.nodes[node]) {
            Node::File(file) => Ok(file),
            Node::Dir(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn change_names(&mut self, dir: NodeId, change: NameChange) -> io::Result<()> {
        let at = self.take_change();
        let dir = self.dir_mut(dir)?;
        change.apply(&mut dir.current);
        dir.pending.push((at, change));
        Ok(())
    }

    fn change_data(&mut self, file: NodeId, change: DataChange) -> io::Result<()> {
        let at = self.take_change();
        self.file_mut(file)?.change(at, change);
        Ok(())
    }

    fn take_change(&mut self) -> u64 {
        self.next_change += 1;
        self.next_change
    }

    fn add(&mut self, dir: NodeId, name: &str, node: Node) -> io::Result<NodeId> {
        let id = self.nodes.len();
        self.nodes.push(Arc::new(node));
        self.change_names(dir, NameChange::Link { name: name.into(), node: id })?;
        Ok(id)
    }

    /// Unlinks everything below a directory, deepest first, each name a change of its own.
    fn empty(&mut self, node: NodeId) -> io::Result<()> {
        let entries: Vec<_> =
            self.dir(node)?.current.iter().map(|(name, child)| (name.clone(), *child)).collect();
        for (name, child) in entries {
            if matches!(&*self.nodes[child], Node::Dir(_)) {
                self.empty(child)?;
            }
            self.change_names(node, NameChange::Unlink { name, node: child })?;
        }
        Ok(())
    }

    /// Calls `visit` for every file that has a name, in the order of their paths.
    pub(super) fn visit(&self, visit: &mut dyn FnMut(&Path, &FileNode)) {
        self.visit_from(ROOT, Path::new(""), visit);
    }

    fn visit_from(&self, node: NodeId, path: &Path, visit: &mut dyn FnMut(&Path, &FileNode)) {
        match &*self.nodes[node] {
            Node::File(file) => visit(path, file),
            Node::Dir(dir) => {
                dir.current.iter().for_each(|(name, child)| {
                    self.visit_from(*child, &path.join(&**name), visit);
                });
            }
        }
    }

    fn bytes_used(&self) -> u64 {
        let mut used = 0;
        self.visit(&mut |_, file| used += file.current.len() as u64);
        used
    }
}

/// The names along a path.
fn names(path: &Path) -> io::Result<impl Iterator<Item = &str>> {
    let is_plain = path.components().all(|part| {
        matches!(part, Component::Normal(name) if name.to_str().is_some()) || part == Component::CurDir
    });
    if !is_plain {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(path.components().filter_map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    }))
}

impl SimDisk {
    /// An empty disk without faults. `seed` decides when faults happen.
    pub fn new(seed: u64) -> Self {
        Self::with_tree(Tree::new(), seed)
    }

    pub(super) fn with_tree(tree: Tree, seed: u64) -> Self {
        let state = State {
            tree,
            operations: 0,
            trace: seed,
            faults: Faults::default(),
            faults_hit: 0,
            reads_since_stale: 0,
            rng: Rng::with_seed(seed),
            halt_at: None,
            halted: None,
            recording: None,
            journal: None,
            locks: Vec::new(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Sets what goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.state.lock().faults = faults;
    }

    /// Lets the machine stop right after the operation with this number: all later ones fail and change nothing.
    pub fn halt_at(&self, operation: u64) {
        self.state.lock().halt_at = Some(operation);
    }

    /// Whether the machine has stopped.
    pub fn is_halted(&self) -> bool {
        self.state.lock().halted.is_some()
    }

    /// Number of operations so far that changed something or made it durable.
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// Number of faults so far.
    pub fn faults_hit(&self) -> u64 {
        self.state.lock().faults_hit
    }

    /// A hash of all operations so far with their paths, bytes and outcomes: equal for equal runs.
    pub fn trace(&self) -> u64 {
        self.state.lock().trace
    }

    /// Bytes of all files that have a name.
    pub fn bytes_used(&self) -> u64 {
        self.state.lock().tree.bytes_used()
    }

    /// Whether there is a file or directory at `path`.
    pub fn holds(&self, path: &Path) -> bool {
        self.state.lock().tree.find(path).is_ok()
    }

    /// Keeps a snapshot after every operation from now on.
    pub fn record(&self) {
        self.state.lock().recording = Some(Vec::new());
    }

    /// The snapshots kept since [`record`](Self::record).
    pub fn take_recording(&self) -> Vec<Snapshot> {
        self.state.lock().recording.take().unwrap_or_default()
    }

    /// Notes each operation in words from now on.
    pub(super) fn keep_journal(&self) {
        self.state.lock().journal = Some(Vec::new());
    }

    /// The operations noted since the last call.
    pub(super) fn take_journal(&self) -> Vec<String> {
        self.state.lock().journal.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The disk as it is now, or as it was when the machine stopped.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.state.lock();
        state.halted.clone().unwrap_or_else(|| state.snapshot())
    }

    /// Flips one bit of a file's bytes, in the page cache and on stable storage alike.
    pub fn flip_bit(&self, path: &Path, position: usize, bit: u8) -> io::Result<()> {
        let mut state = self.state.lock();
        let node = state.tree.find(path)?;
        let file = state.tree.file_mut(node)?;
        for content in [&mut file.current, &mut file.durable] {
            if let Some(byte) = Arc::make_mut(content).get_mut(position) {
                *byte ^= 1 << (bit % 8);
            }
        }
        Ok(())
    }
}

impl State {
    fn snapshot(&self) -> Snapshot {
        Snapshot { tree: self.tree.clone(), operation: self.operations }
    }

    fn check_running(&self) -> io::Result<()> {
        match self.halted {
            Some(_) => Err(io::Error::other("the machine has stopped")),
            None => Ok(()),
        }
    }

    fn hits(&mut self, rate: f64) -> bool {
        let is_hit = rate > 0.0 && self.rng.f64() < rate;
        self.faults_hit += u64::from(is_hit);
        is_hit
    }

    fn mix(&mut self, word: u64) {
        self.trace = (self.trace.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn mix_bytes(&mut self, kind: u64, bytes: &[u8]) {
        self.mix(kind << 32 | u64::from(crc32c::crc32c(bytes)));
    }

    /// Does what changes the disk: `kind` and `detail` go into the trace.
    fn operate<T>(
        &mut self,
        kind: u64,
        detail: &[u8],
        fault_rate: f64,
        what: impl FnOnce() -> String,
        operation: impl FnOnce(&mut Self) -> io::Result<T>,
    ) -> io::Result<T> {
        self.check_running()?;
        self.mix_bytes(kind, detail);
        let outcome = match self.hits(fault_rate) {
            true => Err(io::Error::other("simulated I/O error")),
            false => operation(self),
        };
        self.mix(u64::from(outcome.is_ok()));
        self.operations += 1;
        if let Some(journal) = &mut self.journal {
            let failed = if outcome.is_ok() { "" } else { ", failed" };
            journal.push(format!("{} {}{failed}", self.operations, what()));
        }
        if self.recording.is_some() {
            let snapshot = self.snapshot();
            self.recording.iter_mut().for_each(|kept| kept.push(snapshot.clone()));
        }
        if self.halt_at.is_some_and(|at| self.operations >= at) {
            self.halted = Some(self.snapshot());
        }
        outcome
    }

    /// Makes what was read from `from` on stale, now and then.
    fn spoil(&mut self, node: NodeId, from: usize, buffer: &mut [u8]) -> io::Result<()> {
        let rate = self.faults.stale_read;
        if rate == 0.0 {
            return Ok(());
        }
        self.reads_since_stale = self.reads_since_stale.saturating_add(1);
        if self.reads_since_stale <= READS_BETWEEN_STALE || self.rng.f64() >= rate {
            return Ok(());
        }
        let durable = &self.tree.file(node)?.durable;
        let stale = (from..).map(|at| durable.get(at).copied().unwrap_or(0));
        if stale.clone().zip(&*buffer).any(|(old, new)| old != *new) {
            buffer.iter_mut().zip(stale).for_each(|(byte, old)| *byte = old);
            self.faults_hit += 1;
            self.reads_since_stale = 0;
        }
        Ok(())
    }

    /// Takes a name away, after `prepare` saw to what is behind it.
    fn remove(
        &mut self,
        kind: u64,
        path: &Path,
        what: &str,
        prepare: impl FnOnce(&mut Tree, NodeId) -> io::Result<()>,
    ) -> io::Result<()> {
        self.check_running()?;
        let node = self.tree.find(path)?;
        let rate = self.faults.name_error;
        self.operate(
            kind,
            of(path),
            rate,
            || format!("{what} {}", path.display()),
            |state| {
                prepare(&mut state.tree, node)?;
                let (dir, name) = state.tree.split(path)?;
                state.tree.change_names(dir, NameChange::Unlink { name: name.into(), node })
            },
        )
    }
}

/// Bytes of a path for the trace.
fn of(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

impl Storage for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut state = self.state.lock();
        state.check_running()?;
        let rate = state.faults.name_error;
        let node = match state.tree.find(path) {
            Ok(node) => {
                state.tree.file(node)?;
                if mode == OpenMode::Truncate {
                    state.operate(
                        1,
                        of(path),
                        rate,
                        || format!("empty {}", path.display()),
                        |state| state.tree.change_data(node, DataChange::Truncate { size: 0 }),
                    )?;
                } else if state.hits(rate) {
                    return Err(io::Error::other("simulated I/O error"));
                }
                node
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && mode != OpenMode::Existing => state
                .operate(
                    2,
                    of(path),
                    rate,
                    || format!("create {}", path.display()),
                    |state| {
                        let (dir, name) = state.tree.split(path)?;
                        state.tree.add(dir, name, Node::File(FileNode::default()))
                    },
                )?,
            Err(error) => return Err(error),
        };
        Ok(Arc::new(SimFile { state: self.state.clone(), node, path: path.to_path_buf() }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let rate = state.faults.name_error;
        let mut at = ROOT;
        for name in names(path)? {
            let known = state.tree.dir(at)?.current.get(name).copied();
            at = match known {
                Some(node) => node,
                None => state.operate(
                    3,
                    of(path),
                    rate,
                    || format!("create directory {}", path.display()),
                    |state| state.tree.add(at, name, Node::Dir(DirNode::default())),
                )?,
            };
        }
        state.check_running()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut state = self.state.lock();
        state.check_running()?;
        let rate = state.faults.read_error;
        if state.hits(rate) {
            return Err(io::Error::other("simulated I/O error"));
        }
        let tree = &state.tree;
        let entry = |(name, node): (&Arc<str>, &NodeId)| Entry {
            name: name.to_string(),
            is_dir: matches!(&*tree.nodes[*node], Node::Dir(_)),
        };
        Ok(tree.dir(tree.find(dir)?)?.current.iter().map(entry).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let rate = state.faults.name_error;
        state.operate(
            4,
            of(to),
            rate,
            || format!("rename {} to {}", from.display(), to.display()),
            |state| {
                let node = state.tree.find(from)?;
                let ((from_dir, from), (to_dir, to)) = (state.tree.split(from)?, state.tree.split(to)?);
                if from_dir == to_dir {
                    let change = NameChange::Rename { from: from.into(), to: to.into(), node };
                    return state.tree.change_names(from_dir, change);
                }
                state.tree.change_names(to_dir, NameChange::Link { name: to.into(), node })?;
                state.tree.change_names(from_dir, NameChange::Unlink { name: from.into(), node })
            },
        )
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.state.lock().remove(5, path, "remove", |_, _| Ok(()))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.state.lock().remove(6, path, "remove directory", Tree::empty)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let rate = state.faults.sync_error;
        state.operate(
            7,
            of(path),
            rate,
            || format!("sync directory {}", path.display()),
            |state| {
                let node = state.tree.find(path)?;
                let dir = state.tree.dir_mut(node)?;
                dir.durable.clone_from(&dir.current);
                dir.pending.clear();
                Ok(())
            },
        )
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Locking> {
        let mut state = self.state.lock();
        state.check_running()?;
        if state.locks.iter().any(|locked| locked == path) {
            return Ok(Locking::HeldBy(holder.to_owned()));
        }
        state.locks.push(path.to_path_buf());
        Ok(Locking::Acquired(Box::new(SimLock { state: self.state.clone(), path: path.to_path_buf() })))
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk").field("operations", &self.operations()).finish_non_exhaustive()
    }
}

struct SimLock {
    state: Arc<Mutex<State>>,
    path: PathBuf,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.state.lock().locks.retain(|locked| *locked != self.path);
    }
}

struct SimFile {
    state: Arc<Mutex<State>>,
    node: NodeId,
    /// What it was opened by.
    path: PathBuf,
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFile").field("node", &self.node).finish_non_exhaustive()
    }
}

impl File for SimFile {
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state.lock();
        state.check_running()?;
        let rate = state.faults.read_error;
        if state.hits(rate) {
            return Err(io::Error::other("simulated I/O error"));
        }
        let content = &state.tree.file(self.node)?.current;
        let from = usize::try_from(position).map_or(content.len(), |from| from.min(content.len()));
        let count = buffer.len().min(content.len() - from);
        buffer[..count].copy_from_slice(&content[from..from + count]);
        state.spoil(self.node, from, &mut buffer[..count])?;
        Ok(count)
    }

    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        let position = usize::try_from(position).map_err(io::Error::other)?;
        state.mix((self.node as u64) << 32 | position as u64);
        let (rate, capacity) = (state.faults.write_error, state.faults.capacity);
        let what = || format!("write {} bytes at {position} of {}", bytes.len(), self.path.display());
        state.operate(8, bytes, 0.0, what, |state| {
            let size = state.tree.file(self.node)?.current.len();
            let growth = (position + bytes.len()).saturating_sub(size) as u64;
            let (mut written, mut outcome) = (bytes.len(), Ok(()));
            let free = capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(state.tree.bytes_used()));
            if growth > free {
                written = bytes.len().saturating_sub((growth - free) as usize);
                outcome = Err(io::ErrorKind::StorageFull.into());
                state.faults_hit += 1;
            } else if state.hits(rate) {
                written = state.rng.usize(0..=bytes.len());
                outcome = Err(io::Error::other("simulated I/O error"));
            }
            if written > 0 {
                let bytes = Bytes::copy_from_slice(&bytes[..written]);
                state.tree.change_data(self.node, DataChange::Write { position, bytes })?;
            }
            outcome
        })
    }

    fn size(&self) -> io::Result<u64> {
        let state = self.state.lock();
        state.check_running()?;
        Ok(state.tree.file(self.node)?.current.len() as u64)
    }

    fn forget_cached(&self, from: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check_running()?;
        let file = state.tree.file_mut(self.node)?;
        if file.is_gated {
            let mut content = (*file.durable).clone();
            file.pending.iter().for_each(|(_, change)| change.apply(&mut content));
            // From there on, reads show what the disk has.
            let kept = usize::try_from(from).unwrap_or(usize::MAX).min(content.len()).min(file.current.len());
            file.is_gated = content[..kept] != file.current[..kept];
            content[..kept].copy_from_slice(&file.current[..kept]);
            file.current = Arc::new(content);
        }
        Ok(())
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        let size = usize::try_from(size).map_err(io::Error::other)?;
        let rate = state.faults.write_error;
        let what = || format!("cut {} at {size}", self.path.display());
        state.operate(9, &size.to_le_bytes(), rate, what, |state| {
            state.tree.change_data(self.node, DataChange::Truncate { size })
        })
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        let rate = state.faults.sync_error;
        let what = || format!("sync {}", self.path.display());
        state.operate(10, &self.node.to_le_bytes(), 0.0, what, |state| {
            let is_failing = state.hits(rate);
            let file = state.tree.file_mut(self.node)?;
            if is_failing {
                // The kernel marks the pages clean all the same: nobody will write them again.
                file.is_gated = true;
                file.pending.clear();
                return Err(io::Error::other("simulated failure of a sync"));
            }
            file.sync();
            Ok(())
        })
    }
}
