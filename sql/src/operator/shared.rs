//! A topic over which several streams or tables of one query are declared: each of its records is a row of all of them.
//!
//! ```text
//!            ┌▶ pick 0 ─▶ rows of the first source
//! records ─▶ shared
//!            └▶ pick 1 ─▶ rows of the second
//! ```

use std::{any::Any, sync::Arc};

use arrow::{
    array::{AsArray, BooleanArray},
    buffer::BooleanBuffer,
    compute,
};
use millstream_log::PartitionRecords;
use millstream_streams::{Batch, Context, Decoded, Decoder, Processor, Reporter, StreamsError, downcast};

use super::{
    failed,
    source::{Rows, SourceDecoder},
};
use crate::columnar::ColumnarBatch;

/// Reads the records of one topic partition for several sources. A record that one of them cannot read is still a row of
/// the others.
pub(crate) struct SharedDecoder {
    parts: Vec<SourceDecoder>,
}

impl SharedDecoder {
    /// With a decoder for each source.
    pub(crate) fn new(parts: Vec<SourceDecoder>) -> Self {
        Self { parts }
    }
}

impl Decoder for SharedDecoder {
    fn decode(&mut self, run: &PartitionRecords, report: &mut dyn Reporter) -> Result<Decoded, StreamsError> {
        let read = self.parts.iter_mut().map(|part| part.read(run, report));
        let mut read = read.collect::<Result<Vec<_>, _>>()?;
        let mut offsets =
            read.first_mut().map(|first| std::mem::take(&mut first.offsets)).unwrap_or_default();
        let is_of = |part: &Rows, row: usize| part.keep.as_ref().is_none_or(|keep| keep.value(row));
        let owner = |row: usize| read.iter().find(|part| is_of(part, row));
        let wanted: BooleanBuffer = (0..offsets.len()).map(|row| owner(row).is_some()).collect();
        // A record has the time that the first source gives it; each source has its own for its rows.
        let times = (0..offsets.len()).filter_map(|row| Some(owner(row)?.batch.timestamps()[row]));
        let times: Arc<[i64]> = times.collect();
        let mut wants = wanted.iter();
        offsets.retain(|_| wants.next().unwrap_or(false));
        let wanted = BooleanArray::new(wanted, None);
        let part = |rows: Rows| -> Result<Part, StreamsError> {
            let marks =
                rows.keep.map(|keep| compute::filter(&BooleanArray::new(keep, None), &wanted)).transpose();
            let keep = marks.map_err(failed)?.map(|marks| marks.as_boolean().values().clone());
            Ok(Part { batch: rows.batch.filter(&wanted).map_err(failed)?, keep })
        };
        let parts = read.into_iter().map(part).collect::<Result<_, _>>()?;
        let batch = SharedBatch { parts, from: 0, rows: times.len(), times };
        Ok(Decoded { batch: Box::new(batch), offsets })
    }
}

/// The rows of one source, and which of the records are rows of it; `None` for all.
#[derive(Clone)]
struct Part {
    batch: ColumnarBatch,
    keep: Option<BooleanBuffer>,
}

/// Records as rows of several sources: a window of `rows` of them, `from` on.
#[derive(Clone)]
struct SharedBatch {
    parts: Vec<Part>,
    times: Arc<[i64]>,
    from: usize,
    rows: usize,
}

impl Batch for SharedBatch {
    fn rows(&self) -> usize {
        self.rows
    }

    fn timestamps(&self) -> &[i64] {
        &self.times[self.from..self.from + self.rows]
    }

    fn split_front(&mut self, rows: usize) -> Box<dyn Batch> {
        let front = Self { rows, ..self.clone() };
        self.from += rows;
        self.rows -= rows;
        Box::new(front)
    }

    fn duplicate(&self) -> Box<dyn Batch> {
        Box::new(self.clone())
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

/// Passes the rows of one source on.
pub(crate) struct PickProcessor {
    part: usize,
}

impl PickProcessor {
    /// Of the source at this place.
    pub(crate) fn new(part: usize) -> Self {
        Self { part }
    }
}

impl Processor for PickProcessor {
    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let mut shared = downcast::<SharedBatch>(batch)?;
        let Part { batch, keep } = shared.parts.swap_remove(self.part);
        let mut batch = batch.slice(shared.from, shared.rows);
        if let Some(keep) = keep {
            let keep = BooleanArray::new(keep.slice(shared.from, shared.rows), None);
            batch = batch.filter(&keep).map_err(failed)?;
        }
        context.forward(Box::new(batch))
    }

    fn can_fail(&self) -> bool {
        false
    }
}
