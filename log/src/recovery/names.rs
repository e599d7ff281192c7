//! The files in a partition's directory, by kind.

use std::collections::BTreeSet;
use std::path::Path;

use crate::corruption;
use crate::error::{IoContext, Result};
use crate::storage::{Entry, Storage};
use crate::types::Offset;

/// Base offsets in order, by kind of file.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) segments: Vec<Offset>,
    pub(super) snapshots: Vec<Offset>,
    pub(super) aborted: Vec<Offset>,
    /// Whether damage was noted.
    pub(super) has_damage: bool,
}

impl Names {
    /// Sorts what `dir` holds, and removes what nobody needs any more: files being deleted, and indexes without a log.
    pub(super) fn of(storage: &dyn Storage, dir: &Path, entries: Vec<Entry>) -> Result<Self> {
        let [mut segments, mut snapshots, mut aborted] = [(); 3].map(|()| BTreeSet::new());
        let mut indexes = BTreeSet::new();
        let mut names = Self::default();
        let mut leftovers = Vec::new();
        for entry in entries {
            let Some((stem, extension)) = entry.name.split_once('.') else {
                names.has_damage |= entry.name == corruption::FILE;
                continue;
            };
            let base = stem.parse::<u64>().ok().filter(|_| stem.len() == 20).map(Offset::new);
            match (base, extension) {
                (Some(base), "log") => drop(segments.insert(base)),
                (Some(base), "snapshot") => drop(snapshots.insert(base)),
                (Some(base), "txnindex") => drop(aborted.insert(base)),
                (Some(base), "index" | "timeindex") => drop(indexes.insert((base, entry.name))),
                _ if entry.name.ends_with(".deleted") || entry.name.ends_with(".tmp") => {
                    leftovers.push(entry.name)
                }
                _ => {}
            }
        }
        leftovers
            .extend(indexes.into_iter().filter(|(base, _)| !segments.contains(base)).map(|(_, name)| name));
        let orphans = aborted.iter().filter(|base| !segments.contains(base));
        leftovers.extend(orphans.map(|base| format!("{:020}.txnindex", base.get())));
        aborted.retain(|base| segments.contains(base));
        leftovers.sort();
        for name in leftovers {
            let path = dir.join(name);
            storage.remove_file(&path).context("remove", &path)?;
        }
        names.segments = segments.into_iter().collect();
        names.snapshots = snapshots.into_iter().collect();
        names.aborted = aborted.into_iter().collect();
        Ok(names)
    }
}
