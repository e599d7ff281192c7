//! Stream-stream join: rows of two streams with equal keys and times that lie close enough.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, UInt32Array},
    buffer::ScalarBuffer,
    compute,
    datatypes::SchemaRef,
};
use millstream_log::Header;
use millstream_streams::{
    Batch, ByteColumn, StreamsError,
    operator::{
        JoinedStream, Side, StreamJoiner,
        stream_join::{JoinParts, JoinedRow, Pair},
    },
};

use super::{
    failed,
    keys::{KeyWriterError, Keys},
    rows::{EncodedRows, RowArena, RowCodec},
};
use crate::{columnar::ColumnarBatch, plan::StreamJoin};

/// The columnar skin of the join core. Rows that come out hold the key (with the bounds of its window, if it has any),
/// the columns of the left side and those of the right one.
pub(crate) struct ColumnarStreamJoiner {
    left: ColumnarStream,
    right: ColumnarStream,
    /// The places of the key columns on the left side and on the right.
    key_places: Vec<(usize, usize)>,
    schema: SchemaRef,
}

/// One of the streams that are joined.
pub(crate) struct ColumnarStream {
    keys: Keys,
    codec: RowCodec,
    /// The rows of the present batch as they are kept.
    encoded: Option<EncodedRows>,
}

impl ColumnarStreamJoiner {
    /// Prepares a planned join of streams with these layouts.
    pub(crate) fn new(
        step: &StreamJoin,
        left: &SchemaRef,
        right: &SchemaRef,
    ) -> Result<Self, KeyWriterError> {
        let place = |name: &str, schema: &SchemaRef| {
            schema.index_of(name).expect("the plan reads the keys of joined streams")
        };
        let key_places = step.left_keys.names().zip(step.right_keys.names());
        let key_places = key_places.map(|(own, others)| (place(own, left), place(others, right))).collect();
        Ok(Self {
            left: ColumnarStream {
                keys: Keys::new(&step.left_keys, left)?,
                codec: RowCodec::new(left.fields())?,
                encoded: None,
            },
            right: ColumnarStream {
                keys: Keys::new(&step.right_keys, right)?,
                codec: RowCodec::new(right.fields())?,
                encoded: None,
            },
            key_places,
            schema: step.schema.clone(),
        })
    }
}

/// Where one side's part of a joined row is.
#[derive(Clone, Copy)]
enum Part<'a> {
    Input(u32),
    Stored(&'a [u8]),
    None,
}

impl JoinedStream for ColumnarStream {
    type Rows = RowArena;
    type Input = ColumnarBatch;

    fn keys(&mut self, input: &ColumnarBatch, keys: &mut ByteColumn) -> Result<(), StreamsError> {
        self.encoded = Some(self.codec.encode(input.columns())?);
        self.keys.append(input, false, keys)
    }

    fn has_value(&self, input: &ColumnarBatch, row: usize) -> bool {
        input.is_present(row)
    }

    fn write(
        &mut self,
        _input: &ColumnarBatch,
        rows: &[u32],
        slots: &[u32],
        arena: &mut RowArena,
    ) -> Result<(), StreamsError> {
        let Some(encoded) = &self.encoded else { return Ok(()) };
        for (row, slot) in rows.iter().zip(slots) {
            arena.set(*slot, encoded.get(*row as usize));
        }
        Ok(())
    }
}

impl StreamJoiner for ColumnarStreamJoiner {
    type Left = ColumnarStream;
    type Right = ColumnarStream;

    fn sides(&mut self) -> (&mut ColumnarStream, &mut ColumnarStream) {
        (&mut self.left, &mut self.right)
    }

    fn join(&mut self, rows: &[JoinedRow], of: &JoinParts<'_, Self>) -> Result<Box<dyn Batch>, StreamsError> {
        let parts = rows.iter().map(|joined| {
            let (left, right) = (of.left.arena(), of.right.arena());
            match (joined.pair, joined.side) {
                (Pair::Matched(slot), Side::Left) => (Part::Input(joined.row), stored(right, slot)),
                (Pair::Matched(slot), Side::Right) => (stored(left, slot), Part::Input(joined.row)),
                (Pair::Alone, Side::Left) => (Part::Input(joined.row), Part::None),
                (Pair::Alone, Side::Right) => (Part::None, Part::Input(joined.row)),
                (Pair::LeftAlone(_, slot), _) => (stored(left, slot), Part::None),
                (Pair::RightAlone(_, slot), _) => (Part::None, stored(right, slot)),
            }
        });
        let (left, right): (Vec<Part<'_>>, Vec<Part<'_>>) = parts.unzip();
        // The right side's key, where nothing of the left one comes out.
        let only_right: Vec<bool> = left.iter().map(|part| matches!(part, Part::None)).collect();
        let left = columns(&self.left.codec, of.inputs.left, &left)?;
        let right = columns(&self.right.codec, of.inputs.right, &right)?;
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for (place, right_place) in &self.key_places {
            columns.push(choose(&left[*place], &right[*right_place], &only_right)?);
        }
        columns.extend(left.into_iter().chain(right));
        let times: ScalarBuffer<i64> = rows.iter().map(|joined| joined.time).collect();
        let headers = [of.inputs.left, of.inputs.right].map(|input| input.and_then(ColumnarBatch::headers));
        let headers = headers.iter().any(Option::is_some).then(|| {
            let none: Arc<[Header]> = Arc::new([]);
            let headers_of = |joined: &JoinedRow| {
                let headers = headers[usize::from(joined.side == Side::Right)];
                Arc::clone(headers.map_or(&none, |headers| &headers[joined.row as usize]))
            };
            rows.iter().map(headers_of).collect()
        });
        Ok(Box::new(ColumnarBatch::new(self.schema.clone(), columns, times).with_headers(headers)))
    }
}

/// A row of a store.
fn stored(arena: &RowArena, slot: u32) -> Part<'_> {
    arena.get(slot).map_or(Part::None, Part::Stored)
}

/// One side's columns of joined rows, out of its batch and its store.
fn columns(
    codec: &RowCodec,
    input: Option<&ColumnarBatch>,
    parts: &[Part<'_>],
) -> Result<Vec<ArrayRef>, StreamsError> {
    let of_input = parts.iter().filter(|part| matches!(part, Part::Input(_))).count();
    let input = input.filter(|_| of_input > 0);
    if let Some(input) = input.filter(|_| of_input == parts.len()) {
        let rows = parts.iter().map(|part| match part {
            Part::Input(row) => Some(*row),
            Part::Stored(_) | Part::None => None,
        });
        let rows = UInt32Array::from_iter(rows);
        let taken = input.columns().iter().map(|column| compute::take(column, &rows, None));
        return taken.collect::<Result<_, _>>().map_err(failed);
    }
    let stored = codec.decode(parts.iter().filter_map(|part| match part {
        Part::Input(_) => None,
        Part::Stored(row) => Some(Some(*row)),
        Part::None => Some(None),
    }))?;
    let Some(input) = input else { return Ok(stored) };
    let mut next = 0..parts.len();
    let indices = parts.iter().map(|part| match part {
        Part::Input(row) => (0, *row as usize),
        Part::Stored(_) | Part::None => (1, next.next().unwrap_or_default()),
    });
    let indices: Vec<(usize, usize)> = indices.collect();
    let pairs = input.columns().iter().zip(&stored);
    pairs
        .map(|(input, stored)| compute::interleave(&[input.as_ref(), stored.as_ref()], &indices))
        .collect::<Result<_, _>>()
        .map_err(failed)
}

/// The second column where `second` is true, else the first.
fn choose(first: &ArrayRef, other: &ArrayRef, second: &[bool]) -> Result<ArrayRef, StreamsError> {
    if !second.contains(&true) {
        return Ok(first.clone());
    }
    let indices: Vec<(usize, usize)> =
        second.iter().enumerate().map(|(row, second)| (usize::from(*second), row)).collect();
    compute::interleave(&[first.as_ref(), other.as_ref()], &indices).map_err(failed)
}
