//! Stream-table join: the columns of a table's row beside each row of a stream.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, UInt32Array, UInt32Builder},
    buffer::{BooleanBuffer, NullBuffer},
    compute,
    datatypes::SchemaRef,
};
use hashbrown::{HashMap, hash_map::Entry};
use millstream_formats::Decoder;
use millstream_streams::{Batch, ByteColumn, CachedStore, NO_SLOT, StreamsError, operator::TableJoiner};
use rustc_hash::FxBuildHasher;

use super::{
    failed,
    keys::{KeyWriter, KeyWriterError, Keys},
    table::RowArena,
};
use crate::{
    ast::JoinKind,
    columnar::ColumnarBatch,
    expression::column,
    plan::{Origin, TableJoin},
};

/// The columnar skin of the join core.
///
/// A row's table columns are decoded once per distinct key of a batch and then spread over the rows.
pub(crate) struct ColumnarJoiner {
    keys: Keys,
    inner: bool,
    /// The stream's key column, when the table's key column is wanted.
    key_column: Option<usize>,
    values: Decoder,
    schema: SchemaRef,
    places: HashMap<u32, u32, FxBuildHasher>,
}

impl ColumnarJoiner {
    /// Prepares a planned join over stream batches of `input`.
    pub(crate) fn new(step: &TableJoin, input: &SchemaRef) -> Result<Self, KeyWriterError> {
        let source = &step.table.source;
        let keys = match step.key_bytes {
            true => Keys::Carried,
            false => {
                let fields = source.columns.key_fields();
                Keys::Written(Box::new(KeyWriter::new(
                    &[column(&step.key)],
                    &fields,
                    input,
                    source.key_format,
                )?))
            }
        };
        let values = step.table.origins.iter().filter_map(|origin| match origin {
            Origin::Value(place) => Some(*place),
            _ => None,
        });
        let values: Vec<usize> = values.collect();
        let key_column = step.key_column.as_ref().map(|_| {
            input.index_of(&step.key).expect("the plan keeps the join column where the key is wanted")
        });
        Ok(Self {
            keys,
            inner: step.kind == JoinKind::Inner,
            key_column,
            values: source.value_format.decoder(&source.columns.value_fields(), Some(&values))?,
            schema: step.schema.clone(),
            places: HashMap::default(),
        })
    }

    /// The table's value columns, a row per entry of `slots`.
    fn gather(
        &mut self,
        slots: &[u32],
        store: &CachedStore<RowArena>,
    ) -> Result<Vec<ArrayRef>, StreamsError> {
        self.places.clear();
        let mut distinct: Vec<Option<&[u8]>> = Vec::new();
        let mut indices = UInt32Builder::with_capacity(slots.len());
        for slot in slots {
            if *slot == NO_SLOT {
                indices.append_null();
                continue;
            }
            let place = match self.places.entry(*slot) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    distinct.push(Some(store.arena().value(*slot)));
                    *new.insert((distinct.len() - 1) as u32)
                }
            };
            indices.append_value(place);
        }
        let decoded = self.values.decode(&distinct);
        if let Some(error) = decoded.errors.first() {
            return Err(failed(format!("stored row is not readable: {}", error.message)));
        }
        let indices = indices.finish();
        decoded.columns.iter().map(|column| compute::take(column, &indices, None).map_err(failed)).collect()
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
        let mut columns = rows.columns().to_vec();
        if let Some(place) = self.key_column {
            columns.push(null_where_missing(rows.column(place), &slots)?);
        }
        columns.extend(self.gather(&slots, store)?);
        Ok(Some(Box::new(rows.with_present(None).with_columns(self.schema.clone(), columns))))
    }
}

/// The table's key is the stream's where there is a row, else NULL.
fn null_where_missing(keys: &ArrayRef, slots: &[u32]) -> Result<ArrayRef, StreamsError> {
    if slots.iter().all(|slot| *slot != NO_SLOT) {
        return Ok(Arc::clone(keys));
    }
    let indices = UInt32Array::from_iter_values(0..slots.len() as u32).into_parts().1;
    let found = NullBuffer::from_iter(slots.iter().map(|slot| *slot != NO_SLOT));
    compute::take(keys, &UInt32Array::new(indices, Some(found)), None).map_err(failed)
}
