//! Stream-table join: the columns of a table's row beside each row of a stream.

use arrow::{array::BooleanArray, buffer::BooleanBuffer, datatypes::SchemaRef};
use millstream_streams::{Batch, ByteColumn, CachedStore, NO_SLOT, StreamsError, operator::TableJoiner};

use super::{
    failed,
    keys::{KeyWriterError, Keys},
    rows::{RowArena, RowCodec, StoredRows},
};
use crate::{ast::JoinKind, columnar::ColumnarBatch, plan::TableJoin};

/// The columnar skin of the join core.
pub(crate) struct ColumnarJoiner {
    keys: Keys,
    inner: bool,
    table: StoredRows,
    schema: SchemaRef,
}

impl ColumnarJoiner {
    /// Prepares a planned join over stream batches of `input`.
    pub(crate) fn new(step: &TableJoin, input: &SchemaRef) -> Result<Self, KeyWriterError> {
        Ok(Self {
            keys: Keys::new(&step.keys, input)?,
            inner: step.kind == JoinKind::Inner,
            table: StoredRows::new(RowCodec::new(step.table.layout().fields())?),
            schema: step.schema.clone(),
        })
    }
}

impl TableJoiner for ColumnarJoiner {
    type Arena = RowArena;
    type Input = ColumnarBatch;

    fn keys(&mut self, input: &ColumnarBatch, keys: &mut ByteColumn) -> Result<(), StreamsError> {
        self.keys.append(input, false, keys)
    }

    fn join(
        &mut self,
        input: Box<ColumnarBatch>,
        slots: &[u32],
        store: &CachedStore<RowArena>,
    ) -> Result<Option<Box<dyn Batch>>, StreamsError> {
        let matched = BooleanBuffer::collect_bool(slots.len(), |row| slots[row] != NO_SLOT);
        let mut joins = if self.inner { matched } else { BooleanBuffer::new_set(slots.len()) };
        // Records without value never join.
        if let Some(present) = input.present() {
            joins = &joins & present;
        }
        let all = joins.count_set_bits() == joins.len();
        let joins = BooleanArray::new(joins, None);
        let (rows, slots) = if all {
            (*input, slots.to_vec())
        } else {
            let kept = slots.iter().zip(joins.values()).filter_map(|(slot, joins)| joins.then_some(*slot));
            (input.filter(&joins).map_err(failed)?, kept.collect())
        };
        if slots.is_empty() {
            return Ok(None);
        }
        let met = slots.iter().map(|slot| match *slot {
            NO_SLOT => None,
            slot => store.arena().get(slot).map(|row| (slot, row)),
        });
        let mut columns = rows.columns().to_vec();
        columns.extend(self.table.gather(met)?);
        Ok(Some(Box::new(rows.with_present(None).with_columns(self.schema.clone(), columns))))
    }
}
