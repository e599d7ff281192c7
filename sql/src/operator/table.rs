//! Rows of a table in a store, by key.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{ArrayRef, BinaryArray, BooleanArray, UInt32Array},
    buffer::{BooleanBuffer, ScalarBuffer},
    datatypes::SchemaRef,
};
use millstream_formats::{Decoder, Encoder, Payloads};
use millstream_streams::{Batch, ByteColumn, CachedStore, StreamsError, operator::TableRows};

use super::{
    failed,
    keys::{KeyWriterError, Keys, decode_keys},
    rows::{EncodedRows, RowArena, RowCodec},
};
use crate::{
    columnar::ColumnarBatch,
    plan::{Kept, Materialize},
};

/// The columnar skin of the table core.
pub(crate) struct ColumnarTable {
    keys: Keys,
    /// Reads key columns where nothing else tells them: of rows deleted while changes were held back.
    key_decoder: Decoder,
    /// The places of the key columns.
    key_places: Vec<usize>,
    schema: SchemaRef,
    values: Values,
    sends_old: bool,
    drops_unknown_deletes: bool,
    /// The keys of the present batch, if they did not come with it.
    written_keys: Option<BinaryArray>,
    /// The rows before those of the present batch that take part, in their order.
    old: Vec<Option<Box<[u8]>>>,
}

/// What is kept of a row.
enum Values {
    /// All columns.
    Rows { codec: RowCodec, encoded: Option<EncodedRows> },
    /// The columns behind the key as the topic of the table has them, for queries from outside.
    Format { encoder: Encoder, decoder: Box<Decoder>, payloads: Payloads },
}

impl Values {
    /// Writes all rows of a batch.
    fn prepare(&mut self, input: &ColumnarBatch, key_count: usize) -> Result<(), StreamsError> {
        match self {
            Self::Rows { codec, encoded } => *encoded = Some(codec.encode(input.columns())?),
            Self::Format { encoder, payloads, .. } => {
                payloads.clear();
                let columns = &input.columns()[key_count..];
                encoder.encode(columns, input.rows(), None, payloads).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// One of the rows written last.
    fn row(&self, row: usize) -> Box<[u8]> {
        match self {
            Self::Rows { encoded, .. } => encoded.as_ref().map(|rows| rows.get(row)).unwrap_or_default(),
            Self::Format { payloads, .. } => payloads.get(row).unwrap_or_default().into(),
        }
    }

    /// The columns of kept rows, with those of the key in front or none of them.
    fn columns(&mut self, rows: &[Option<&[u8]>]) -> Result<Vec<ArrayRef>, StreamsError> {
        match self {
            Self::Rows { codec, .. } => codec.decode(rows.iter().copied()),
            Self::Format { decoder, .. } => {
                let decoded = decoder.decode(rows);
                match decoded.errors.first() {
                    Some(error) => Err(failed(format!("stored row is not readable: {}", error.message))),
                    None => Ok(decoded.columns.iter().map(Arc::clone).collect()),
                }
            }
        }
    }
}

impl ColumnarTable {
    /// A planned table over batches of `input`.
    pub(crate) fn new(step: &Materialize, input: &SchemaRef) -> Result<Self, KeyWriterError> {
        let keys = &step.keys;
        let key_fields = keys.fields();
        let values = match step.kept {
            Kept::Rows => Values::Rows { codec: RowCodec::new(input.fields())?, encoded: None },
            Kept::Value(format) => {
                let fields = input.fields()[keys.columns.len()..].into();
                Values::Format {
                    encoder: format.encoder(&fields, None)?,
                    decoder: Box::new(format.decoder(&fields, None, None)?),
                    payloads: Payloads::new(),
                }
            }
        };
        let key_places = keys.columns.iter().filter_map(|(column, _)| input.index_of(&column.name).ok());
        Ok(Self {
            key_places: key_places.collect(),
            key_decoder: keys.format.decoder(&key_fields, None, None)?,
            keys: Keys::new(keys, input)?,
            schema: input.clone(),
            values,
            sends_old: step.sends_old,
            drops_unknown_deletes: step.drops_unknown_deletes,
            written_keys: (!keys.carried).then(|| BinaryArray::new_null(0)),
            old: Vec::new(),
        })
    }

    /// The rows before changes; `key_columns` are those of the changes.
    fn old_rows(
        &mut self,
        old: &[Option<&[u8]>],
        timestamps: &ScalarBuffer<i64>,
    ) -> Result<ColumnarBatch, StreamsError> {
        let columns = self.values.columns(old)?;
        let present: BooleanBuffer = old.iter().map(Option::is_some).collect();
        Ok(ColumnarBatch::new(self.schema.clone(), columns, timestamps.clone()).with_present(Some(present)))
    }

    fn without_unknown_deletes(
        &self,
        changes: ColumnarBatch,
        existed: impl Iterator<Item = bool>,
    ) -> Result<ColumnarBatch, StreamsError> {
        if !self.drops_unknown_deletes || changes.present().is_none() {
            return Ok(changes);
        }
        let keep: BooleanBuffer =
            existed.enumerate().map(|(row, existed)| existed || changes.is_present(row)).collect();
        changes.filter(&BooleanArray::new(keep, None)).map_err(failed)
    }
}

impl TableRows for ColumnarTable {
    type Arena = RowArena;
    type Input = ColumnarBatch;

    fn sends_old(&self) -> bool {
        self.sends_old || self.drops_unknown_deletes
    }

    fn remember(&mut self, slot: u32, arena: &RowArena) {
        self.old.push(arena.get(slot).map(Into::into));
    }

    fn keys(&mut self, input: &ColumnarBatch, keys: &mut ByteColumn) -> Result<(), StreamsError> {
        self.old.clear();
        self.values.prepare(input, self.key_places.len())?;
        self.keys.append(input, false, keys)?;
        if let Some(written) = &mut self.written_keys {
            *written = BinaryArray::from_iter(keys.iter());
        }
        Ok(())
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
        for (row, slot) in rows.iter().zip(slots) {
            arena.set(*slot, self.values.row(*row as usize));
        }
        Ok(())
    }

    fn select(&mut self, input: Box<ColumnarBatch>, rows: &[u32]) -> Result<Box<dyn Batch>, StreamsError> {
        let input = match &self.written_keys {
            Some(written) => input.with_key_bytes(Some(written.clone())),
            None => *input,
        };
        let mut changes = match rows.len() == input.rows() {
            true => input,
            false => input.take(&UInt32Array::from(rows.to_vec())).map_err(failed)?,
        };
        let old = std::mem::take(&mut self.old);
        if self.sends_old {
            let old: Vec<Option<&[u8]>> = old.iter().map(Option::as_deref).collect();
            let times = ScalarBuffer::from(changes.timestamps().to_vec());
            let before = self.old_rows(&old, &times)?;
            changes = changes.with_old(Some(before));
        }
        let changes = self.without_unknown_deletes(changes, old.iter().map(Option::is_some))?;
        Ok(Box::new(changes))
    }

    fn emit(
        &mut self,
        store: &CachedStore<RowArena>,
        changed: Range<usize>,
    ) -> Result<Box<dyn Batch>, StreamsError> {
        let slots = &store.dirty()[changed.clone()];
        let keys: Vec<Option<&[u8]>> = slots.iter().map(|slot| Some(store.key(*slot))).collect();
        let rows: Vec<Option<&[u8]>> =
            slots.iter().map(|slot| store.arena().get(*slot).filter(|_| store.exists(*slot))).collect();
        let key_columns = decode_keys(&mut self.key_decoder, self.keys.without_bounds(&keys).as_slice())?;
        let mut columns = self.values.columns(&rows)?;
        match &self.values {
            Values::Format { .. } => columns = key_columns.into_iter().chain(columns).collect(),
            Values::Rows { .. } => {
                for (place, column) in self.key_places.iter().zip(key_columns) {
                    columns[*place] = column;
                }
            }
        }
        let timestamps: ScalarBuffer<i64> = slots.iter().map(|slot| store.timestamp(*slot)).collect();
        let present: BooleanBuffer = rows.iter().map(Option::is_some).collect();
        let mut changes = ColumnarBatch::new(self.schema.clone(), columns, timestamps.clone())
            .with_present(Some(present))
            .with_key_bytes(Some(BinaryArray::from_iter(keys)));
        if self.sends_old {
            let old: Vec<Option<&[u8]>> = changed.clone().map(|at| store.arena().before(at)).collect();
            changes = changes.with_old(Some(self.old_rows(&old, &timestamps)?));
        }
        let existed = changed.map(|at| self.drops_unknown_deletes && store.arena().before(at).is_some());
        Ok(Box::new(self.without_unknown_deletes(changes, existed)?))
    }
}
