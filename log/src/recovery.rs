//! Opening a partition's files: what is sound is kept, a torn tail is cut off, damage is fenced off.
//!
//! A *torn tail* is what a crash in the middle of a write leaves: a bad batch at the end of the last segment with no
//! sound batch behind it, in a log that was not closed cleanly. It was never acknowledged as synced, so it goes. Any
//! other bad batch is *corruption*: nothing is cut away, the offsets before it stay readable, appends are refused.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::aborted::AbortedEntry;
use crate::cleaner::swap;

use crate::config::TopicConfig;
use crate::error::{IoContext, LogError, Result};
use crate::producer_state::ProducerStates;
use crate::record::{HEADER_BYTES, PREFIX_BYTES};
use crate::segment::{self, SCAN_BYTES, Scan, Segment};
use crate::storage::{self, OpenMode, Storage};
use crate::types::Offset;

/// What the log's checkpoints say of a partition.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Checkpoint {
    /// Everything below is on stable storage.
    pub(crate) recovery_point: Option<Offset>,
    /// The first offset, where that is not the first segment's base.
    pub(crate) log_start: Option<Offset>,
    /// Segments that start below were compacted, and may have gaps between their batches.
    pub(crate) compacted_below: Offset,
    /// Whether the log was closed cleanly.
    pub(crate) is_clean: bool,
}

/// A partition's files, opened.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// In offset order; the last is the active one.
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) end: Offset,
    pub(crate) bytes_since_entry: u64,
    pub(crate) producers: ProducerStates,
    pub(crate) aborted: Vec<AbortedEntry>,
    pub(crate) corrupt: Option<CorruptRange>,
}

/// Where sound bytes end before the log does.
#[derive(Clone, Debug)]
pub(crate) struct CorruptRange {
    pub(crate) path: PathBuf,
    pub(crate) position: u64,
    pub(crate) offset: Offset,
    pub(crate) reason: &'static str,
}

impl CorruptRange {
    pub(crate) fn to_error(&self) -> LogError {
        LogError::Corrupt {
            path: self.path.clone(),
            position: self.position,
            offset: self.offset,
            reason: self.reason,
        }
    }
}

/// Opens the files in `dir`, which exists.
pub(crate) fn load(
    storage: &dyn Storage,
    dir: &Path,
    config: &TopicConfig,
    checkpoint: Checkpoint,
) -> Result<Loaded> {
    swap::settle(storage, dir)?;
    let names = Names::list(storage, dir)?;
    let mut segments = Vec::new();
    // Segments from this one on are scanned as a whole, and what is derived from them is built anew.
    let mut rebuild_from = None;
    for (at, &base) in names.segments.iter().enumerate() {
        let next = names.segments.get(at + 1);
        let is_settled = checkpoint.is_clean
            || next.zip(checkpoint.recovery_point).is_some_and(|(next, point)| *next <= point);
        let trust = is_settled && rebuild_from.is_none();
        let (segment, is_trusted) = Segment::open(storage, dir, base, config, trust)?;
        if base < checkpoint.compacted_below {
            segment.allow_gaps();
        }
        match (is_trusted, next) {
            (true, Some(_)) => segment.forget_indexes(),
            (true, None) => {}
            (false, _) => drop(rebuild_from.get_or_insert(at)),
        }
        segments.push(Arc::new(segment));
    }
    if segments.is_empty() {
        let base = checkpoint.log_start.unwrap_or_default();
        segments.push(Arc::new(Segment::create(storage, dir, base, config)?));
        rebuild_from = Some(0);
    }

    let rebuild_base = rebuild_from.map(|at| segments[at].base());
    let mut loaded = Loaded {
        end: segments[0].base(),
        bytes_since_entry: 0,
        producers: ProducerStates::default(),
        aborted: read_aborted(storage, dir, &names, rebuild_base)?,
        corrupt: None,
        segments,
    };
    let replay_from = read_snapshot(storage, dir, &names, rebuild_base, &mut loaded.producers)?;
    scan(&mut loaded, config, rebuild_from, replay_from, checkpoint)?;
    rewrite_aborted(storage, dir, &names, rebuild_base, &loaded)?;

    if let Some(point) = checkpoint.recovery_point
        && loaded.corrupt.is_none()
        && loaded.end < point
    {
        let active = loaded.segments.last().expect("there is always a segment");
        let (path, position, offset) = (active.path().to_path_buf(), active.size(), loaded.end);
        let reason = "it ends before batches that were synced";
        tracing::error!(path = %path.display(), position, %offset, reason, "corrupt");
        loaded.corrupt = Some(CorruptRange { path, position, offset, reason });
    }
    Ok(loaded)
}

/// Goes over the batches that are not settled: from where the snapshot ends, and all of the segments to rebuild.
fn scan(
    loaded: &mut Loaded,
    config: &TopicConfig,
    rebuild_from: Option<usize>,
    replay_from: Offset,
    checkpoint: Checkpoint,
) -> Result<()> {
    let last = loaded.segments.len() - 1;
    let replay_segment =
        loaded.segments.partition_point(|segment| segment.base() <= replay_from).saturating_sub(1);
    for at in replay_segment.min(rebuild_from.unwrap_or(last))..=last {
        let segment = loaded.segments[at].clone();
        let size = segment.size();
        let is_rebuilt = rebuild_from.is_some_and(|from| at >= from);
        let mut walk = Walk { is_rebuilt, is_indexed: is_rebuilt, replay_from };
        // The end of the active segment is not in its index, but never far behind where the replay starts.
        let hint = if is_rebuilt { 0 } else { segment.position_hint(replay_from)? };
        let mut bad = walk.run(loaded, &segment, config, hint)?;
        if bad.is_some() && hint > 0 {
            // The index may have led astray, or else the bad batch's offset is only known from the start.
            walk.is_indexed = true;
            bad = walk.run(loaded, &segment, config, 0)?;
        }
        if let Some((position, reason)) = bad {
            let offset = loaded.end;
            let is_torn = !checkpoint.is_clean
                && at == last
                && checkpoint.recovery_point.is_none_or(|point| offset >= point)
                && !holds_batch_behind(&segment, position, size, offset)?;
            let path = segment.path().to_path_buf();
            if is_torn {
                let bytes = size - position;
                tracing::warn!(path = %path.display(), position, %offset, bytes, reason, "cut off a torn tail");
                segment.truncate()?;
            } else {
                tracing::error!(path = %path.display(), position, %offset, reason, "corrupt");
                loaded.corrupt = Some(CorruptRange { path, position, offset, reason });
            }
            return Ok(());
        }
        if let Some(next) = loaded.segments.get(at + 1)
            && next.base() != loaded.end
        {
            let (path, offset) = (segment.path().to_path_buf(), loaded.end);
            let reason = "the next segment does not follow on";
            loaded.corrupt = Some(CorruptRange { path, position: size, offset, reason });
            return Ok(());
        }
        if walk.is_indexed && at < last {
            segment.seal()?;
            // Once the recovery point has passed it, its indexes are taken as they are.
            for file in segment.index_files() {
                file.sync().context("sync the indexes of", segment.path())?;
            }
        }
    }
    Ok(())
}

/// One way through the batches of a segment.
#[derive(Clone, Copy, Debug)]
struct Walk {
    /// Whether its aborted transactions are collected anew.
    is_rebuilt: bool,
    /// Whether its indexes are built anew.
    is_indexed: bool,
    /// Producers are known up to here.
    replay_from: Offset,
}

impl Walk {
    /// Goes on from `start` and returns where and why it could not.
    fn run(
        self,
        loaded: &mut Loaded,
        segment: &Segment,
        config: &TopicConfig,
        start: u64,
    ) -> Result<Option<(u64, &'static str)>> {
        let mut scanner = segment.scan(start, SCAN_BYTES);
        if self.is_indexed {
            segment.restart();
        }
        loaded.end = segment.base();
        loaded.bytes_since_entry = 0;
        loop {
            match scanner.next()? {
                Scan::Batch { batch } => {
                    if self.is_indexed {
                        segment.include(&batch, &mut loaded.bytes_since_entry, config.index_interval_bytes);
                    } else {
                        loaded.bytes_since_entry += batch.len_bytes() as u64;
                    }
                    if batch.base_offset() >= self.replay_from
                        && let Some(entry) = loaded.producers.update(&batch)
                        && self.is_rebuilt
                    {
                        loaded.aborted.push(entry);
                    }
                    loaded.end = batch.next_offset();
                }
                Scan::End => return Ok(None),
                Scan::Bad { position, reason } => return Ok(Some((position, reason))),
            }
        }
    }
}

/// Whether a sound batch that belongs behind `offset` starts anywhere behind `position`.
fn holds_batch_behind(segment: &Segment, position: u64, size: u64, offset: Offset) -> Result<bool> {
    const MAGIC_AT: usize = 16;
    let mut window_start = position + 1;
    while window_start + (HEADER_BYTES as u64) <= size {
        let window = segment.read_bytes(window_start, SCAN_BYTES + HEADER_BYTES)?;
        let starts = window.len().saturating_sub(HEADER_BYTES - 1).min(SCAN_BYTES);
        for start in memchr::memchr_iter(2, &window[MAGIC_AT..(MAGIC_AT + starts).min(window.len())]) {
            let header = &window[start..];
            let base = u64::from_be_bytes(header[..8].try_into().expect("eight bytes"));
            let length = u32::from_be_bytes(header[8..PREFIX_BYTES].try_into().expect("four bytes")) as u64;
            let at = window_start + start as u64;
            let fits =
                at + PREFIX_BYTES as u64 + length <= size && length as usize >= HEADER_BYTES - PREFIX_BYTES;
            let follows = (offset.get()..offset.get() + i32::MAX as u64).contains(&base);
            if fits && follows && is_sound(segment, at, length as usize + PREFIX_BYTES)? {
                return Ok(true);
            }
        }
        window_start += SCAN_BYTES as u64;
    }
    Ok(false)
}

fn is_sound(segment: &Segment, position: u64, length: usize) -> Result<bool> {
    let bytes = segment.read_bytes(position, length)?;
    Ok(crate::record::RecordBatch::parse(bytes.into()).is_ok_and(|batch| batch.check_crc()))
}

/// Names of the files in a partition's directory, by kind.
#[derive(Debug, Default)]
struct Names {
    segments: BTreeSet<Offset>,
    snapshots: BTreeSet<Offset>,
    aborted: BTreeSet<Offset>,
}

impl Names {
    fn list(storage: &dyn Storage, dir: &Path) -> Result<NamesInOrder> {
        let mut names = Self::default();
        for entry in storage.list(dir).context("list", dir)? {
            let path = dir.join(&entry.name);
            let Some((stem, extension)) = entry.name.split_once('.') else { continue };
            let base = stem.parse::<u64>().ok().filter(|_| stem.len() == 20).map(Offset::new);
            match (base, extension) {
                (Some(base), "log") => drop(names.segments.insert(base)),
                (Some(base), "snapshot") => drop(names.snapshots.insert(base)),
                (Some(base), "txnindex") => drop(names.aborted.insert(base)),
                _ if entry.name.ends_with(".deleted") || entry.name.ends_with(".cleaned") => {
                    storage.remove_file(&path).context("remove", &path)?;
                }
                _ => {}
            }
        }
        Ok(NamesInOrder {
            segments: names.segments.into_iter().collect(),
            snapshots: names.snapshots.into_iter().collect(),
            aborted: names.aborted.into_iter().collect(),
        })
    }
}

/// The same in offset order.
#[derive(Debug)]
struct NamesInOrder {
    segments: Vec<Offset>,
    snapshots: Vec<Offset>,
    aborted: Vec<Offset>,
}

/// Reads the newest sound snapshot at or before `rebuild_base` and removes all others but those at segment starts.
/// Returns the offset it stands for, or the partition's first.
fn read_snapshot(
    storage: &dyn Storage,
    dir: &Path,
    names: &NamesInOrder,
    rebuild_base: Option<Offset>,
    producers: &mut ProducerStates,
) -> Result<Offset> {
    let mut found = None;
    for &offset in names.snapshots.iter().rev() {
        let path = segment::path(dir, offset, "snapshot");
        if found.is_none() && rebuild_base.is_none_or(|base| offset <= base) {
            let file = storage.open(&path, OpenMode::Existing).context("open", &path)?;
            let bytes = storage::read_all(&*file).context("read", &path)?;
            if let Some(states) = ProducerStates::decode(&bytes) {
                *producers = states;
                found = Some(offset);
                continue;
            }
        } else if names.segments.binary_search(&offset).is_ok() {
            continue;
        }
        storage.remove_file(&path).context("remove", &path)?;
    }
    Ok(found.or(names.segments.first().copied()).unwrap_or_default())
}

/// Reads the aborted transactions of the segments below `rebuild_base`.
fn read_aborted(
    storage: &dyn Storage,
    dir: &Path,
    names: &NamesInOrder,
    rebuild_base: Option<Offset>,
) -> Result<Vec<AbortedEntry>> {
    let mut aborted = Vec::new();
    for &base in names.aborted.iter().filter(|base| rebuild_base.is_none_or(|rebuild| **base < rebuild)) {
        let path = segment::path(dir, base, "txnindex");
        let file = storage.open(&path, OpenMode::Existing).context("open", &path)?;
        let bytes = storage::read_all(&*file).context("read", &path)?;
        let entries = AbortedEntry::decode_all(&bytes).ok_or_else(|| LogError::InvalidFile {
            path: path.clone(),
            reason:
                "its entries make no sense: remove .kafka_cleanshutdown and the recovery point checkpoint \
                     to have it rebuilt"
                    .to_owned(),
        })?;
        aborted.extend(entries);
    }
    Ok(aborted)
}

/// Writes the aborted transactions of the segments that were rebuilt.
fn rewrite_aborted(
    storage: &dyn Storage,
    dir: &Path,
    names: &NamesInOrder,
    rebuild_base: Option<Offset>,
    loaded: &Loaded,
) -> Result<()> {
    let Some(rebuild_base) = rebuild_base else { return Ok(()) };
    for (at, segment) in
        loaded.segments.iter().enumerate().filter(|(_, segment)| segment.base() >= rebuild_base)
    {
        let end = loaded.segments.get(at + 1).map_or(Offset::new(u64::MAX), |next| next.base());
        let entries =
            loaded.aborted.iter().filter(|entry| (segment.base()..end).contains(&entry.last_offset));
        let mut bytes = Vec::new();
        entries.for_each(|entry| entry.encode(&mut bytes));
        if bytes.is_empty() && names.aborted.binary_search(&segment.base()).is_err() {
            continue;
        }
        let path = segment::path(dir, segment.base(), "txnindex");
        storage::replace(storage, &path, &bytes).context("write", &path)?;
    }
    Ok(())
}

/// Checks that a directory is there, creating it with its parents if not, their names on stable storage.
pub(crate) fn ensure_dir_durably(storage: &dyn Storage, dir: &Path) -> Result<()> {
    let is_missing = |dir: &&Path| {
        let is_named = !dir.as_os_str().is_empty();
        is_named && storage.list(dir).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    let missing: Vec<&Path> = dir.ancestors().take_while(is_missing).collect();
    ensure_dir(storage, dir)?;
    for parent in missing.into_iter().filter_map(Path::parent) {
        storage.sync_dir(parent).context("sync", parent)?;
    }
    Ok(())
}

/// Checks that a directory is there, creating it with its parents if not. Says whether it was created.
pub(crate) fn ensure_dir(storage: &dyn Storage, dir: &Path) -> Result<bool> {
    match storage.list(dir) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            storage.create_dir(dir).context("create", dir)?;
            Ok(true)
        }
        Err(error) => Err(LogError::io("list", dir, error)),
    }
}
