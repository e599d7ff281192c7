//! Cleaned segments take the place of the ones they stand for, so that a crash at any point leaves the one or the other.
//!
//! ```text
//! written and synced          X.log.cleaned  X.index.cleaned ..     sync the directory, so that all names are there
//! 1 all but the log renamed   X.index.swap ..                       from the last segment to the first,
//!   the log renamed           X.log.swap                            sync the directory: from here on it goes forward
//! 2 old files renamed         X.log.deleted Y.log.deleted ..        sync the directory
//! 3 the log renamed           X.log                                 sync the directory
//!   the others renamed        X.index ..                            sync the directory
//! 4 old files removed, after `file.delete.delay.ms`
//! ```
//! At the next start, [`settle`] undoes a swap while there is a `.cleaned` file at or below its base offset, and else
//! goes on from where it was. A `.log.swap` ends where the last of the old segments does, so it says what to remove.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::error::{IoContext, LogError, Result};
use crate::record::{HEADER_BYTES, PREFIX_BYTES, RecordBatch};
use crate::segment;
use crate::storage::{Entry, OpenMode, Storage};
use crate::types::Offset;

use super::output::CLEANED;

const SWAP: &str = "swap";
const DELETED: &str = "deleted";
/// Files of a segment other than the log itself.
const INDEXES: [&str; 3] = ["txnindex", "index", "timeindex"];
/// What goes with a segment.
const ALL: [&str; 5] = ["log", "txnindex", "index", "timeindex", "snapshot"];

/// Makes the cleaned segments sure to come: step 1. After an error the old ones are still in place, or will be after
/// [`discard`].
pub(crate) fn commit(storage: &dyn Storage, dir: &Path, outputs: &[Offset]) -> Result<()> {
    sync_dir(storage, dir)?;
    for &base in outputs.iter().rev() {
        for extension in INDEXES {
            rename_if_there(storage, dir, base, extension, CLEANED, SWAP)?;
        }
        rename(storage, dir, base, "log", CLEANED, SWAP)?;
        sync_dir(storage, dir)?;
    }
    Ok(())
}

/// Puts the cleaned segments in place of the old ones: steps 2 and 3. After an error only a restart can go on. Returns
/// the old files, which are still there for those who read them.
pub(crate) fn complete(
    storage: &dyn Storage,
    dir: &Path,
    sources: &[Offset],
    outputs: &[Offset],
) -> Result<Vec<PathBuf>> {
    let names = names(storage, dir)?;
    let mut deleted = Vec::new();
    for &base in sources {
        for extension in ALL {
            // A snapshot at the start of a segment that stays is as good as before.
            let stays = extension == "snapshot" && outputs.contains(&base);
            let path = segment::path(dir, base, extension);
            if !stays && names.contains(&file_name(&path)) {
                let to = with_suffix(&path, DELETED);
                storage.rename(&path, &to).context("rename", &path)?;
                deleted.push(to);
            }
        }
    }
    sync_dir(storage, dir)?;
    install(storage, dir, outputs)?;
    Ok(deleted)
}

/// Step 3.
fn install(storage: &dyn Storage, dir: &Path, outputs: &[Offset]) -> Result<()> {
    for &base in outputs {
        rename(storage, dir, base, "log", SWAP, "")?;
    }
    sync_dir(storage, dir)?;
    for &base in outputs {
        for extension in INDEXES {
            rename_if_there(storage, dir, base, extension, SWAP, "")?;
        }
    }
    sync_dir(storage, dir)
}

/// Removes what an unfinished cleaning left, before step 2.
pub(crate) fn discard(storage: &dyn Storage, dir: &Path) -> Result<()> {
    let renamed: Vec<_> = names(storage, dir)?.iter().filter_map(|name| base_of(name, ".log.swap")).collect();
    for &base in &renamed {
        // So that a crash from here on leads to the same end.
        rename(storage, dir, base, "log", SWAP, CLEANED)?;
        sync_dir(storage, dir)?;
    }
    undo(storage, dir, names(storage, dir)?)
}

/// Finishes or undoes what a crash interrupted, as the names in `dir` show. For a start, before segments are looked for.
/// Says whether there was anything to do. Twice is as good as once.
pub(crate) fn settle(storage: &dyn Storage, dir: &Path, entries: &[Entry]) -> Result<bool> {
    let is_left_over = |entry: &Entry| entry.name.ends_with(".cleaned") || entry.name.ends_with(".swap");
    if !entries.iter().any(is_left_over) {
        return Ok(false);
    }
    tracing::info!(dir = %dir.display(), "settles an interrupted compaction");
    undo(storage, dir, names(storage, dir)?)?;

    let names = names(storage, dir)?;
    let logs: Vec<Offset> = names.iter().filter_map(|name| base_of(name, ".log.swap")).collect();
    if let (Some(&first), Some(&last)) = (logs.first(), logs.last()) {
        let end = end_of(storage, &with_suffix(&segment::path(dir, last, "log"), SWAP))?;
        for name in &names {
            for extension in ALL {
                let base = base_of(name, &format!(".{extension}"));
                let is_replaced = base.is_some_and(|base| base >= first && base < end);
                let stays = extension == "snapshot" && base.is_some_and(|base| logs.contains(&base));
                if is_replaced && !stays {
                    let path = dir.join(name);
                    storage.remove_file(&path).context("remove", &path)?;
                }
            }
        }
        sync_dir(storage, dir)?;
        for &base in &logs {
            rename(storage, dir, base, "log", SWAP, "")?;
        }
        sync_dir(storage, dir)?;
    }
    for name in names.iter().filter(|name| name.ends_with(".swap") && !name.ends_with(".log.swap")) {
        let from = dir.join(name);
        let to = dir.join(name.trim_end_matches(".swap"));
        storage.rename(&from, &to).context("rename", &from)?;
    }
    sync_dir(storage, dir)?;
    Ok(true)
}

/// Removes `.swap` files for which there is a `.cleaned` file at or below their base, then the `.cleaned` files.
fn undo(storage: &dyn Storage, dir: &Path, names: BTreeSet<String>) -> Result<()> {
    let base = |name: &str| name.split('.').next().and_then(|stem| stem.parse::<u64>().ok());
    let is_cleaned = |name: &&String| name.ends_with(".cleaned");
    let Some(first) = names.iter().filter(is_cleaned).filter_map(|name| base(name)).min() else {
        return Ok(());
    };
    let is_swap = |name: &&String| name.ends_with(".swap") && base(name).is_some_and(|base| base >= first);
    for name in names.iter().filter(is_swap) {
        let path = dir.join(name);
        storage.remove_file(&path).context("remove", &path)?;
    }
    // Not together: without the `.cleaned` ones, the others would look as if they were whole.
    sync_dir(storage, dir)?;
    for name in names.iter().filter(is_cleaned) {
        let path = dir.join(name);
        storage.remove_file(&path).context("remove", &path)?;
    }
    sync_dir(storage, dir)
}

/// Offset behind the last batch of a log file.
fn end_of(storage: &dyn Storage, path: &Path) -> Result<Offset> {
    let file = storage.open(path, OpenMode::Existing).context("open", path)?;
    let size = file.size().context("read the size of", path)?;
    let invalid = || LogError::InvalidFile {
        path: path.to_path_buf(),
        reason: "it is not a whole segment: restore the partition from a copy".to_owned(),
    };
    let (mut position, mut end) = (0, None);
    while position < size {
        let mut header = [0; HEADER_BYTES];
        if file.read_at(position, &mut header).context("read", path)? < HEADER_BYTES {
            return Err(invalid());
        }
        end = RecordBatch::next_offset_in(&header);
        let length = u32::from_be_bytes(header[8..PREFIX_BYTES].try_into().expect("four bytes"));
        position += PREFIX_BYTES as u64 + u64::from(length);
    }
    end.filter(|_| position == size).ok_or_else(invalid)
}

fn names(storage: &dyn Storage, dir: &Path) -> Result<BTreeSet<String>> {
    Ok(storage.list(dir).context("list", dir)?.into_iter().map(|entry| entry.name).collect())
}

/// The base offset in a file name that ends in `suffix`.
fn base_of(name: &str, suffix: &str) -> Option<Offset> {
    let stem = name.strip_suffix(suffix).filter(|stem| stem.len() == 20)?;
    stem.parse().ok().map(Offset::new)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    if suffix.is_empty() {
        return path.to_path_buf();
    }
    path.with_file_name(format!("{}.{suffix}", file_name(path)))
}

fn rename(
    storage: &dyn Storage,
    dir: &Path,
    base: Offset,
    extension: &str,
    from: &str,
    to: &str,
) -> Result<()> {
    let path = segment::path(dir, base, extension);
    let from = with_suffix(&path, from);
    storage.rename(&from, &with_suffix(&path, to)).context("rename", &from)
}

fn rename_if_there(
    storage: &dyn Storage,
    dir: &Path,
    base: Offset,
    extension: &str,
    from: &str,
    to: &str,
) -> Result<()> {
    match rename(storage, dir, base, extension, from, to) {
        Err(LogError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

fn sync_dir(storage: &dyn Storage, dir: &Path) -> Result<()> {
    storage.sync_dir(dir).context("sync", dir)
}
