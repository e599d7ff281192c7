//! Table-table join on the key: a change of one side looks up the other's row.

use arrow::{
    array::UInt32Array,
    buffer::{BooleanBuffer, ScalarBuffer},
    datatypes::SchemaRef,
};
use millstream_streams::{
    Batch, ByteColumn, CachedStore, NO_SLOT, StreamsError,
    operator::{Side, TableJoiner},
};

use super::{
    failed,
    keys::{KeyWriterError, Keys},
    rows::{RowArena, RowCodec, StoredRows, null_where_absent},
};
use crate::{ast::JoinKind, columnar::ColumnarBatch, plan::PairJoin};

/// The columnar skin of the join core for one side of two tables. Rows that come out hold the key, the columns of the
/// left side and those of the right one.
pub(crate) struct PairJoiner {
    keys: Keys,
    side: Side,
    /// Without a row of this side nothing comes of it.
    own_needed: bool,
    /// Without a row of the other side nothing comes of it.
    other_needed: bool,
    /// The place of the column that becomes the key.
    key: usize,
    other: StoredRows,
    schema: SchemaRef,
}

impl PairJoiner {
    /// Prepares one side of a planned join; `input` is its layout and `other` that of the other side.
    pub(crate) fn new(
        step: &PairJoin,
        side: Side,
        input: &SchemaRef,
        other: &SchemaRef,
    ) -> Result<Self, KeyWriterError> {
        let (left_needed, right_needed) = match step.kind {
            JoinKind::Inner => (true, true),
            JoinKind::Left => (true, false),
            JoinKind::Right => (false, true),
            JoinKind::Full => (false, false),
        };
        let (keys, own_needed, other_needed) = match side {
            Side::Left => (&step.left_keys, left_needed, right_needed),
            Side::Right => (&step.right_keys, right_needed, left_needed),
        };
        let key = &keys.columns[0].0.name;
        Ok(Self {
            keys: Keys::new(keys, input)?,
            side,
            own_needed,
            other_needed,
            key: input.index_of(key).expect("the plan reads the key of a joined table"),
            other: StoredRows::new(RowCodec::new(other.fields())?),
            schema: step.schema.clone(),
        })
    }

    fn exists(&self, own: bool, other: bool) -> bool {
        (own || !self.own_needed) && (other || !self.other_needed) && (own || other)
    }

    /// Rows of this side beside those of the other one.
    fn combine(
        &self,
        own: &ColumnarBatch,
        others: &[arrow::array::ArrayRef],
        met: &BooleanBuffer,
        timestamps: ScalarBuffer<i64>,
    ) -> Result<ColumnarBatch, StreamsError> {
        let mut columns = vec![own.column(self.key).clone()];
        let owned = null_where_absent(own.columns(), own.present())?;
        match self.side {
            Side::Left => columns.extend(owned.into_iter().chain(others.iter().cloned())),
            Side::Right => columns.extend(others.iter().cloned().chain(owned)),
        }
        let present =
            BooleanBuffer::collect_bool(met.len(), |row| self.exists(own.is_present(row), met.value(row)));
        Ok(ColumnarBatch::new(self.schema.clone(), columns, timestamps).with_present(Some(present)))
    }
}

/// The row of a slot and its time, as far as it was forwarded.
fn forwarded(store: &CachedStore<RowArena>, slot: u32) -> Option<(&[u8], i64)> {
    if slot == NO_SLOT {
        return None;
    }
    match store.pending(slot) {
        Some(position) => Some((store.arena().before(position)?, store.timestamp_before(position))),
        None => Some((store.arena().get(slot)?, store.timestamp(slot))),
    }
}

impl TableJoiner for PairJoiner {
    type Arena = RowArena;
    type Input = ColumnarBatch;

    fn as_forwarded(&self) -> bool {
        true
    }

    fn keys(&mut self, input: &ColumnarBatch, keys: &mut ByteColumn) -> Result<(), StreamsError> {
        self.keys.append(input, false, keys)
    }

    fn join(
        &mut self,
        input: Box<ColumnarBatch>,
        slots: &[u32],
        store: &CachedStore<RowArena>,
    ) -> Result<Option<Box<dyn Batch>>, StreamsError> {
        let (mut rows, mut met, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for (row, slot) in slots.iter().enumerate() {
            let found = forwarded(store, *slot);
            let existed = input.old().is_some_and(|old| old.is_present(row));
            if found.is_none() && (self.other_needed || !(input.is_present(row) || existed)) {
                continue;
            }
            rows.push(row as u32);
            let time = input.timestamps()[row];
            times.push(found.map_or(time, |(_, other)| time.max(other)));
            met.push(found.map(|(bytes, _)| (*slot, bytes)));
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let mut own = match rows.len() == input.rows() {
            true => *input,
            false => input.take(&UInt32Array::from(rows)).map_err(failed)?,
        };
        let others = self.other.gather(met.iter().copied())?;
        let met: BooleanBuffer = met.iter().map(Option::is_some).collect();
        let times = ScalarBuffer::from(times);
        let old = own.take_old();
        let headers = own.headers().cloned();
        let old = old.map(|old| self.combine(&old, &others, &met, times.clone())).transpose()?;
        Ok(Some(Box::new(self.combine(&own, &others, &met, times)?.with_headers(headers).with_old(old))))
    }
}
