//! What a disk holds after the machine stopped: all, none or some of what was not synced.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fastrand::Rng;

use super::disk::{DataChange, DirNode, FileNode, Node, SimDisk, Tree};

/// Which of the changes since the last syncs survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CrashMode {
    /// The process was killed: all changes survive, still unsynced.
    KeepAll,
    /// None.
    DropAll,
    /// The first ones, in the order they were made.
    Prefix,
    /// Any of them, each on its own.
    Subset,
    /// The first ones, and the last write of them is cut at a multiple of this many bytes.
    Torn(usize),
    /// Files are as long as they were, but what they grew by is zeros.
    ZeroTail,
    /// Files are as long as they were, but what they grew by is random.
    GarbageTail,
    /// All names, but no bytes.
    NamesOnly,
    /// All bytes, but no names.
    BytesOnly,
}

impl CrashMode {
    /// All modes.
    pub const ALL: [Self; 11] = [
        Self::KeepAll,
        Self::DropAll,
        Self::Prefix,
        Self::Subset,
        Self::Torn(1),
        Self::Torn(512),
        Self::Torn(4096),
        Self::ZeroTail,
        Self::GarbageTail,
        Self::NamesOnly,
        Self::BytesOnly,
    ];

    /// Whether only what was synced is promised.
    pub fn is_power_loss(self) -> bool {
        self != Self::KeepAll
    }
}

/// A disk at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(super) tree: Tree,
    pub(super) operation: u64,
}

/// What happens to one change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Lost,
    /// Only so many bytes of it are kept.
    Cut(usize),
}

impl Snapshot {
    /// Number of the operation that it was taken after.
    pub fn operation(&self) -> u64 {
        self.operation
    }

    /// Whether there is anything that a power failure could take.
    pub fn has_pending(&self) -> bool {
        self.tree.nodes.iter().any(|node| match &**node {
            Node::File(file) => !file.pending.is_empty() || file.is_gated,
            Node::Dir(dir) => !dir.pending.is_empty(),
        })
    }

    /// The disk that the next start finds. `rng` decides what the mode leaves open.
    pub fn crash(&self, mode: CrashMode, rng: &mut Rng) -> SimDisk {
        let seed = rng.u64(..);
        if mode == CrashMode::KeepAll {
            return SimDisk::with_tree(self.tree.clone(), seed);
        }
        let fates = self.fates(mode, rng);
        let fate = |at: &u64| fates.get(at).copied().unwrap_or(Fate::Lost);
        let after = |node: &Arc<Node>| match &**node {
            Node::File(file) if file.pending.is_empty() && !file.is_gated => node.clone(),
            Node::File(file) => Arc::new(Node::File(file_after(file, mode, rng, &fate))),
            Node::Dir(dir) => Arc::new(Node::Dir(dir_after(dir, &fate))),
        };
        let nodes = self.tree.nodes.iter().map(after).collect();
        SimDisk::with_tree(Tree { nodes, next_change: self.tree.next_change }, seed)
    }

    fn fates(&self, mode: CrashMode, rng: &mut Rng) -> BTreeMap<u64, Fate> {
        let (mut names, mut writes) = (BTreeSet::new(), BTreeMap::new());
        for node in &self.tree.nodes {
            match &**node {
                Node::Dir(dir) => names.extend(dir.pending.iter().map(|(at, _)| *at)),
                Node::File(file) => writes.extend(file.pending.iter().map(|(at, change)| match change {
                    DataChange::Write { bytes, .. } => (*at, bytes.len()),
                    DataChange::Truncate { .. } => (*at, 0),
                })),
            }
        }
        let all: BTreeSet<u64> = names.iter().copied().chain(writes.keys().copied()).collect();
        let kept = |changes: BTreeSet<u64>| changes.into_iter().map(|at| (at, Fate::Kept)).collect();
        match mode {
            CrashMode::KeepAll | CrashMode::DropAll => BTreeMap::new(),
            CrashMode::NamesOnly | CrashMode::ZeroTail | CrashMode::GarbageTail => kept(names),
            CrashMode::BytesOnly => kept(writes.into_keys().collect()),
            CrashMode::Subset => kept(all.into_iter().filter(|_| rng.bool()).collect()),
            CrashMode::Prefix => {
                let count = rng.usize(0..=all.len());
                kept(all.into_iter().take(count).collect())
            }
            CrashMode::Torn(unit) => {
                let long: Vec<_> = writes.iter().filter(|(_, len)| **len > unit).collect();
                let Some((&last, &len)) = rng.choice(long) else { return kept(all) };
                let mut fates: BTreeMap<_, _> = kept(all.range(..last).copied().collect());
                fates.insert(last, Fate::Cut(rng.usize(1..len.div_ceil(unit)) * unit));
                fates
            }
        }
    }

    /// Directories of the segments whose newest bytes a failed sync dropped while reads still show them.
    pub(super) fn failed_dirs(&self) -> BTreeSet<String> {
        let mut dirs = BTreeSet::new();
        self.tree.visit(&mut |path, file| {
            let is_segment = path.extension().is_some_and(|extension| extension == "log");
            let dir = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
            dirs.extend(dir.filter(|_| file.is_gated && is_segment).map(str::to_owned));
        });
        dirs
    }

    /// A hash of all names and bytes that are there now.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = 0_u64;
        self.tree.visit(&mut |path, file| {
            let name = u64::from(crc32c::crc32c(path.as_os_str().as_encoded_bytes()));
            let content = u64::from(crc32c::crc32c(&file.current)) << 32 | file.current.len() as u64;
            for word in [name, content] {
                hash = (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
            }
        });
        hash
    }

    /// All files by path.
    pub fn files(&self) -> BTreeMap<PathBuf, Arc<Vec<u8>>> {
        let mut files = BTreeMap::new();
        self.tree.visit(&mut |path, file| drop(files.insert(path.to_path_buf(), file.current.clone())));
        files
    }
}

fn file_after(file: &FileNode, mode: CrashMode, rng: &mut Rng, fate: &dyn Fn(&u64) -> Fate) -> FileNode {
    let mut content = (*file.durable).clone();
    if matches!(mode, CrashMode::ZeroTail | CrashMode::GarbageTail) {
        let known = content.len();
        content.resize(file.current.len(), 0);
        if mode == CrashMode::GarbageTail && known < content.len() {
            rng.fill(&mut content[known..]);
        }
    }
    for (at, change) in &file.pending {
        match (fate(at), change) {
            (Fate::Lost, _) => {}
            (Fate::Cut(count), DataChange::Write { position, bytes }) => {
                let bytes = bytes.slice(..count.min(bytes.len()));
                DataChange::Write { position: *position, bytes }.apply(&mut content);
            }
            (Fate::Kept | Fate::Cut(_), change) => change.apply(&mut content),
        }
    }
    let content = Arc::new(content);
    FileNode { current: content.clone(), durable: content, pending: Vec::new(), is_gated: false }
}

fn dir_after(dir: &DirNode, fate: &dyn Fn(&u64) -> Fate) -> DirNode {
    let mut names = dir.durable.clone();
    let kept = dir.pending.iter().filter(|(at, _)| fate(at) != Fate::Lost);
    kept.for_each(|(_, change)| change.apply(&mut names));
    DirNode { durable: names.clone(), current: names, pending: Vec::new() }
}
