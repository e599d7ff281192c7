//! Rows of a table in a store, as they are written: value bytes by key bytes.

use std::ops::Range;
use std::sync::Arc;

use arrow::{
    array::{AsArray, BinaryArray, UInt32Array},
    buffer::{BooleanBuffer, ScalarBuffer},
    datatypes::SchemaRef,
};
use millstream_formats::{Decoder, Encoder, Payloads};
use millstream_streams::{Arena, Batch, ByteColumn, CachedStore, StreamsError, operator::TableRows};

use super::{
    failed,
    keys::{KeyWriter, KeyWriterError, Keys, decode_keys},
};
use crate::{columnar::ColumnarBatch, expression::column, plan::Materialize};

/// Value bytes by slot; a slot without a row is empty.
#[derive(Default)]
pub(crate) struct RowArena {
    rows: Vec<Box<[u8]>>,
}

impl RowArena {
    /// The value bytes of a slot.
    pub(crate) fn value(&self, slot: u32) -> &[u8] {
        &self.rows[slot as usize]
    }
}

impl Arena for RowArena {
    fn resize(&mut self, slots: usize) {
        self.rows.resize_with(slots.max(self.rows.len()), Box::default);
    }

    fn reset(&mut self, slot: u32) {
        self.rows[slot as usize] = Box::default();
    }

    fn load(&mut self, slot: u32, bytes: &[u8]) -> Result<(), StreamsError> {
        self.rows[slot as usize] = bytes.into();
        Ok(())
    }

    fn save(&self, slot: u32, out: &mut Vec<u8>) -> Result<(), StreamsError> {
        out.extend_from_slice(&self.rows[slot as usize]);
        Ok(())
    }

    fn size(&self, slot: u32) -> usize {
        size_of::<Box<[u8]>>() + self.rows[slot as usize].len()
    }
}

/// The columnar skin of the table core.
pub(crate) struct ColumnarTable {
    keys: Keys,
    values: Values,
}

/// Where value bytes come from.
enum Values {
    /// The column of that place holds them: a topic's rows, kept for a join.
    Carried(usize),
    /// They are written from columns and read back when changes are passed on.
    Written(Box<Written>),
}

struct Written {
    encoder: Encoder,
    payloads: Payloads,
    key_count: usize,
    schema: SchemaRef,
    keys: Decoder,
    values: Decoder,
}

impl ColumnarTable {
    /// A topic's table for a join: keys travel along, the last column holds the value bytes.
    pub(crate) fn for_join(value_bytes: usize) -> Self {
        Self { keys: Keys::Carried, values: Values::Carried(value_bytes) }
    }

    /// The result of a query on a table, over batches of `input`.
    pub(crate) fn materialized(step: &Materialize, input: &SchemaRef) -> Result<Self, KeyWriterError> {
        let key_fields = step.key.iter().map(crate::catalogue::Column::field).collect();
        let value_fields = step.value.iter().map(crate::catalogue::Column::field).collect();
        let keys = match step.key_bytes {
            true => Keys::Carried,
            false => {
                let exprs: Vec<_> = step.key.iter().map(|key| column(&key.name)).collect();
                Keys::Written(Box::new(KeyWriter::new(&exprs, &key_fields, input, step.key_format)?))
            }
        };
        let written = Written {
            encoder: step.value_format.encoder(&value_fields)?,
            payloads: Payloads::new(),
            key_count: step.key.len(),
            schema: input.clone(),
            keys: step.key_format.decoder(&key_fields, None)?,
            values: step.value_format.decoder(&value_fields, None)?,
        };
        Ok(Self { keys, values: Values::Written(Box::new(written)) })
    }
}

impl TableRows for ColumnarTable {
    type Arena = RowArena;
    type Input = ColumnarBatch;

    fn keys(&mut self, input: &ColumnarBatch, keys: &mut ByteColumn) -> Result<(), StreamsError> {
        self.keys.append(input, false, keys)
    }

    fn has_value(&self, input: &ColumnarBatch, row: usize) -> bool {
        input.present().is_none_or(|present| present.value(row))
    }

    fn write(
        &mut self,
        input: &ColumnarBatch,
        rows: &[u32],
        slots: &[u32],
        arena: &mut RowArena,
    ) -> Result<(), StreamsError> {
        if rows.is_empty() {
            return Ok(());
        }
        match &mut self.values {
            Values::Carried(place) => {
                let values: &BinaryArray = input.column(*place).as_binary();
                for (row, slot) in rows.iter().zip(slots) {
                    arena.rows[*slot as usize] = values.value(*row as usize).into();
                }
            }
            Values::Written(written) => {
                let run = input.take(&UInt32Array::from(rows.to_vec())).map_err(failed)?;
                let columns = &run.columns()[written.key_count..];
                written.payloads.clear();
                written.encoder.encode(columns, rows.len(), None, &mut written.payloads).map_err(failed)?;
                for (row, slot) in slots.iter().enumerate() {
                    arena.rows[*slot as usize] = written.payloads.get(row).unwrap_or_default().into();
                }
            }
        }
        Ok(())
    }

    fn select(&mut self, input: Box<ColumnarBatch>, rows: &[u32]) -> Result<Box<dyn Batch>, StreamsError> {
        Ok(Box::new(input.take(&UInt32Array::from(rows.to_vec())).map_err(failed)?))
    }

    fn emit(
        &mut self,
        store: &CachedStore<RowArena>,
        changed: Range<usize>,
    ) -> Result<Box<dyn Batch>, StreamsError> {
        let slots = &store.dirty()[changed];
        let Values::Written(written) = &mut self.values else {
            return Err(StreamsError::Failed("the table of a join has no children".to_owned()));
        };
        let keys: Vec<Option<&[u8]>> = slots.iter().map(|slot| Some(store.key(*slot))).collect();
        let exists = |slot: &u32| store.exists(*slot);
        let values: Vec<_> =
            slots.iter().map(|slot| exists(slot).then(|| store.arena().value(*slot))).collect();
        let mut columns = decode_keys(&mut written.keys, &keys)?;
        let decoded = written.values.decode(&values);
        if let Some(error) = decoded.errors.first() {
            return Err(failed(format!("stored row is not readable: {}", error.message)));
        }
        columns.extend(decoded.columns.iter().map(Arc::clone));
        let timestamps: ScalarBuffer<i64> = slots.iter().map(|slot| store.timestamp(*slot)).collect();
        let present: BooleanBuffer = slots.iter().map(exists).collect();
        let changes = ColumnarBatch::new(written.schema.clone(), columns, timestamps);
        Ok(Box::new(changes.with_present(Some(present)).with_key_bytes(Some(BinaryArray::from_iter(keys)))))
    }
}
