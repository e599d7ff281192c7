//! What compaction does with a partition: looks at its segments, and puts cleaned ones in the place of others.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Condition, Partition, Surroundings};
use crate::cleaner::{Extent, Sources, swap};
use crate::error::Result;
use crate::producer_state::LastBatch;
use crate::segment::{self, Segment};
use crate::types::{Offset, ProducerId};

/// Cleaned segments and the ones whose place they take.
#[derive(Debug)]
pub(crate) struct Replacement {
    /// Neighbours in offset order, all sealed.
    pub(crate) sources: Vec<Arc<Segment>>,
    /// Base offsets of what is there as `.cleaned` files. They cover the same offsets as the sources.
    pub(crate) outputs: Vec<Offset>,
    /// Aborted transactions that readers of the outputs must know of, in order.
    pub(crate) aborted: Vec<crate::aborted::AbortedEntry>,
}

impl Partition {
    pub(crate) fn surroundings(&self) -> &Surroundings {
        &self.around
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether it takes batches, which is when it can be cleaned too.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.writer.lock().condition, Condition::Open)
    }

    /// What must stay of each producer.
    pub(crate) fn last_batches(&self) -> BTreeMap<ProducerId, LastBatch> {
        self.writer.lock().producers.last_batches()
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.state.lock().is_deleted
    }

    /// Its segments and offsets now.
    pub(crate) fn extent(&self) -> Extent {
        let state = self.state.lock();
        Extent {
            segments: state.segments.clone(),
            start: state.start,
            end: state.end,
            last_stable_offset: state.last_stable_offset(),
        }
    }

    /// The segments below `end`, where one starts, and what else cleaning them takes.
    pub(crate) fn sources(&self, end: Offset) -> Sources {
        let producers = self.last_batches();
        let state = self.state.lock();
        let count = state.segments.partition_point(|segment| segment.base() < end);
        Sources {
            // The active segment is not among them, whatever `end` says.
            segments: state.segments[..count.min(state.segments.len() - 1)].to_vec(),
            aborted: state.aborted.iter().filter(|entry| entry.first_offset < end).copied().collect(),
            producers,
        }
    }

    /// Removes `.cleaned` files, and `.swap` files that did not come into their place.
    pub(crate) fn discard_cleaned(&self) -> Result<()> {
        let _files = self.files.lock();
        // A swap that failed half way is for the next start to finish: its old files may be gone already.
        if self.check_open(&self.writer.lock()).is_err() {
            return Ok(());
        }
        swap::discard(&*self.around.storage, &self.dir)
    }

    /// Swaps cleaned segments in. Readers inside the old ones finish; later ones see the new. Appends wait only while
    /// the list of segments changes. Does nothing if retention got hold of a source meanwhile.
    pub(crate) fn replace(&self, replacement: Replacement) -> Result<()> {
        let storage = &*self.around.storage;
        let Replacement { sources, outputs, aborted } = replacement;
        let _files = self.files.lock();
        self.check_open(&self.writer.lock())?;
        let at = {
            let state = self.state.lock();
            state.segments.windows(sources.len()).position(|window| {
                window.iter().zip(&sources).all(|(segment, source)| Arc::ptr_eq(segment, source))
            })
        };
        let Some(at) = at else { return swap::discard(storage, &self.dir) };

        let bases: Vec<_> = sources.iter().map(|segment| segment.base()).collect();
        if let Err(error) = swap::commit(storage, &self.dir, &outputs) {
            return match swap::discard(storage, &self.dir) {
                Ok(()) => Err(error),
                Err(again) => {
                    self.stop(
                        &mut self.writer.lock(),
                        "an unfinished compaction could not be undone",
                        &again,
                    );
                    Err(error)
                }
            };
        }
        {
            // Whatever comes of this, what is swapped in is on stable storage.
            self.writer.lock().is_settled = false;
            let mut state = self.state.lock();
            state.unsynced.forget(&sources);
            let is_replaced = |path: &PathBuf| {
                let mut extensions = ["index", "timeindex", "txnindex"].iter();
                let is_of = |base: &Offset, extension| *path == segment::path(&self.dir, *base, extension);
                extensions.any(|extension| bases.iter().any(|base| is_of(base, extension)))
            };
            state.unsynced.beside.retain(|path| !is_replaced(path));
        }
        let completed = swap::complete(storage, &self.dir, &bases, &outputs).and_then(|deleted| {
            let segments = outputs.iter().map(|&base| self.open_cleaned(base)).collect::<Result<Vec<_>>>()?;
            Ok((deleted, segments))
        });
        let (deleted, segments) = match completed {
            Ok(completed) => completed,
            Err(error) => {
                // The files say neither the one nor the other until the next start finishes the swap.
                self.stop(&mut self.writer.lock(), "a compaction could not be finished", &error);
                return Err(error);
            }
        };

        {
            let mut state = self.state.lock();
            let from = bases[0];
            let end = state.segments[at + sources.len()].base();
            state.segments.splice(at..at + sources.len(), segments);
            // In the order of their markers.
            let before = state.aborted.partition_point(|entry| entry.last_offset < from);
            let after = state.aborted.partition_point(|entry| entry.last_offset < end);
            state.aborted.splice(before..after, aborted);
            state.tail.release_below(end);
            state.generation += 1;
        }
        let due = self.around.clock.monotonic().saturating_add(self.config().file_delete_delay);
        self.writer.lock().deleted.extend(deleted.into_iter().map(|path| (due, path)));
        Ok(())
    }

    fn open_cleaned(&self, base: Offset) -> Result<Arc<Segment>> {
        let segment = Segment::open(&self.around.storage, &self.dir, base, &self.config())?;
        segment.allow_gaps();
        Ok(Arc::new(segment))
    }
}
