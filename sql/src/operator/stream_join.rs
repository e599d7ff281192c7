//! Stream-stream join: rows of two streams with equal keys and times that lie close enough.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, UInt32Array},
    buffer::ScalarBuffer,
    compute,
    datatypes::SchemaRef,
};
use millstream_streams::{
    Batch, ByteColumn, StreamsError,
    operator::{
        Side, StreamJoiner,
        stream_join::{JoinedRow, Pair},
    },
    store::StreamRows,
};

use super::{
    failed,
    keys::{KeyWriterError, Keys},
    rows::{EncodedRows, RowArena, RowCodec},
};
use crate::{columnar::ColumnarBatch, plan::StreamJoin};

/// The columnar skin of one side of the join core. Rows that come out hold the key (with the bounds of its window, if
/// it has any), the columns of the left side and those of the right one.
pub(crate) struct ColumnarStreamJoiner {
    side: Side,
    keys: Keys,
    this: RowCodec,
    other: RowCodec,
    /// This side's rows of the present batch as they are kept.
    encoded: Option<EncodedRows>,
    /// The places of the key columns on this side and on the other.
    key_places: Vec<(usize, usize)>,
    schema: SchemaRef,
}

impl ColumnarStreamJoiner {
    /// Prepares one side of a planned join; `input` is its layout and `other` that of the other side.
    pub(crate) fn new(
        step: &StreamJoin,
        side: Side,
        input: &SchemaRef,
        other: &SchemaRef,
    ) -> Result<Self, KeyWriterError> {
        let (keys, others) = match side {
            Side::Left => (&step.left_keys, &step.right_keys),
            Side::Right => (&step.right_keys, &step.left_keys),
        };
        let place = |name: &str, schema: &SchemaRef| {
            schema.index_of(name).expect("the plan reads the keys of joined streams")
        };
        let key_places = keys.names().zip(others.names());
        let key_places = key_places.map(|(own, others)| (place(own, input), place(others, other))).collect();
        Ok(Self {
            side,
            keys: Keys::new(keys, input)?,
            this: RowCodec::new(input.fields())?,
            other: RowCodec::new(other.fields())?,
            encoded: None,
            key_places,
            schema: step.schema.clone(),
        })
    }
}

/// Where this side's part of a joined row is.
enum Own<'a> {
    Input(u32),
    Stored(&'a [u8]),
    None,
}

impl StreamJoiner for ColumnarStreamJoiner {
    type This = RowArena;
    type Other = RowArena;
    type Input = ColumnarBatch;

    fn keys(&mut self, input: &ColumnarBatch, keys: &mut ByteColumn) -> Result<(), StreamsError> {
        self.encoded = Some(self.this.encode(input.columns())?);
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

    fn join(
        &mut self,
        input: Option<&ColumnarBatch>,
        rows: &[JoinedRow],
        this: &StreamRows<RowArena>,
        other: &StreamRows<RowArena>,
    ) -> Result<Box<dyn Batch>, StreamsError> {
        let own = rows.iter().map(|joined| match joined.pair {
            Pair::Matched(_) | Pair::Alone => Own::Input(joined.row),
            Pair::ThisAlone(_, slot) => this.arena().get(slot).map_or(Own::None, Own::Stored),
            Pair::OtherAlone(..) => Own::None,
        });
        let own: Vec<Own<'_>> = own.collect();
        let owned = self.own_columns(input, &own)?;
        let others = self.other.decode(rows.iter().map(|joined| match joined.pair {
            Pair::Matched(slot) | Pair::OtherAlone(_, slot) => other.arena().get(slot),
            Pair::Alone | Pair::ThisAlone(..) => None,
        }))?;
        // The other side's key, where nothing of this side comes out.
        let only_other: Vec<bool> = own.iter().map(|own| matches!(own, Own::None)).collect();
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for (place, other_place) in &self.key_places {
            columns.push(choose(&owned[*place], &others[*other_place], &only_other)?);
        }
        match self.side {
            Side::Left => columns.extend(owned.into_iter().chain(others)),
            Side::Right => columns.extend(others.into_iter().chain(owned)),
        }
        let times: ScalarBuffer<i64> = rows.iter().map(|joined| joined.time).collect();
        let headers = input
            .and_then(ColumnarBatch::headers)
            .map(|headers| rows.iter().map(|joined| Arc::clone(&headers[joined.row as usize])).collect());
        Ok(Box::new(ColumnarBatch::new(self.schema.clone(), columns, times).with_headers(headers)))
    }
}

impl ColumnarStreamJoiner {
    /// This side's columns of joined rows, out of the batch or of the store.
    fn own_columns(
        &self,
        input: Option<&ColumnarBatch>,
        own: &[Own<'_>],
    ) -> Result<Vec<ArrayRef>, StreamsError> {
        let in_input = own.iter().map(|own| match own {
            Own::Input(row) => Some(*row),
            Own::Stored(_) | Own::None => None,
        });
        let in_input = UInt32Array::from_iter(in_input);
        let mut columns = match input {
            None => Vec::new(),
            Some(input) => {
                let columns = input.columns().iter();
                columns
                    .map(|column| compute::take(column, &in_input, None))
                    .collect::<Result<_, _>>()
                    .map_err(failed)?
            }
        };
        if input.is_none() || own.iter().any(|own| matches!(own, Own::Stored(_))) {
            let stored = self.this.decode(own.iter().map(|own| match own {
                Own::Stored(row) => Some(*row),
                Own::Input(_) | Own::None => None,
            }))?;
            let is_stored: Vec<bool> = own.iter().map(|own| matches!(own, Own::Stored(_))).collect();
            columns = match columns.is_empty() {
                true => stored,
                false => {
                    let pairs = columns.iter().zip(&stored);
                    pairs
                        .map(|(input, stored)| choose(input, stored, &is_stored))
                        .collect::<Result<_, _>>()?
                }
            };
        }
        Ok(columns)
    }
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
