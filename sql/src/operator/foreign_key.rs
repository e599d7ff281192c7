//! Foreign-key join of two tables: each left row has a column that is the key of a right row.

use arrow::{
    array::BinaryArray,
    buffer::{BooleanBuffer, ScalarBuffer},
    datatypes::SchemaRef,
};
use millstream_formats::Decoder;
use millstream_log::Header;
use millstream_streams::{
    Batch, ByteColumn, CachedStore, StreamsError,
    operator::foreign_key::{ForeignJoiner, LeftChanges, LeftRows, Resolved, RightRows},
};

use super::{
    failed,
    keys::{KeyWriterError, Keys, decode_keys},
    rows::{RowArena, RowCodec},
};
use crate::{ast::JoinKind, columnar::ColumnarBatch, plan::ForeignJoin};

/// Appends the rows that are present as they are kept, absent where they are not.
fn append_rows(codec: &RowCodec, batch: &ColumnarBatch, values: &mut ByteColumn) -> Result<(), StreamsError> {
    let rows = codec.encode(batch.columns())?;
    let mut bytes = Vec::new();
    for row in 0..batch.rows() {
        bytes.clear();
        rows.append(row, &mut bytes);
        values.push(batch.is_present(row).then_some(bytes.as_slice()));
    }
    Ok(())
}

/// The columnar skin of the left table.
pub(crate) struct ForeignLeft {
    keys: Keys,
    foreign_keys: Keys,
    codec: RowCodec,
}

impl ForeignLeft {
    /// Prepares a planned join over changes of `left`.
    pub(crate) fn new(step: &ForeignJoin, left: &SchemaRef) -> Result<Self, KeyWriterError> {
        Ok(Self {
            keys: Keys::new(&step.left_rows.keys, left)?,
            foreign_keys: Keys::new(&step.foreign_key, left)?,
            codec: RowCodec::new(left.fields())?,
        })
    }
}

impl LeftRows for ForeignLeft {
    type Input = ColumnarBatch;

    fn changes(&mut self, input: &ColumnarBatch, changes: &mut LeftChanges) -> Result<(), StreamsError> {
        self.keys.append(input, false, &mut changes.keys)?;
        append_rows(&self.codec, input, &mut changes.values)?;
        self.foreign_keys.append(input, true, &mut changes.foreign_keys)?;
        let old = input.old().ok_or_else(|| failed("changes of the left table come without old rows"))?;
        changes.existed.extend((0..old.rows()).map(|row| old.is_present(row)));
        self.foreign_keys.append(old, true, &mut changes.old_foreign_keys)
    }

    fn headers<'a>(&self, input: &'a ColumnarBatch, row: usize) -> &'a [Header] {
        input.headers_of(row)
    }
}

/// The columnar skin of the right table.
pub(crate) struct ForeignRight {
    keys: Keys,
    codec: RowCodec,
}

impl ForeignRight {
    /// Prepares a planned join over changes of `right`.
    pub(crate) fn new(step: &ForeignJoin, right: &SchemaRef) -> Result<Self, KeyWriterError> {
        Ok(Self { keys: Keys::new(&step.right_rows.keys, right)?, codec: RowCodec::new(right.fields())? })
    }
}

impl RightRows for ForeignRight {
    type Input = ColumnarBatch;

    fn changes(
        &mut self,
        input: &ColumnarBatch,
        keys: &mut ByteColumn,
        values: &mut ByteColumn,
    ) -> Result<(), StreamsError> {
        self.keys.append(input, false, keys)?;
        append_rows(&self.codec, input, values)
    }

    fn headers<'a>(&self, input: &'a ColumnarBatch, row: usize) -> &'a [Header] {
        input.headers_of(row)
    }
}

/// The columnar skin of the result: the left columns, then the right ones.
pub(crate) struct ForeignResult {
    inner: bool,
    foreign_keys: Keys,
    left: RowCodec,
    left_schema: SchemaRef,
    right: RowCodec,
    key_decoder: Decoder,
    key_places: Vec<usize>,
    schema: SchemaRef,
}

impl ForeignResult {
    /// Prepares a planned join of rows of `left` and `right`.
    pub(crate) fn new(
        step: &ForeignJoin,
        left: &SchemaRef,
        right: &SchemaRef,
    ) -> Result<Self, KeyWriterError> {
        let keys = &step.left_rows.keys;
        let key_places = keys.columns.iter().map(|(column, _)| left.index_of(&column.name));
        Ok(Self {
            inner: step.kind == JoinKind::Inner,
            foreign_keys: Keys::new(&step.foreign_key, left)?,
            left: RowCodec::new(left.fields())?,
            left_schema: left.clone(),
            right: RowCodec::new(right.fields())?,
            key_decoder: keys.format.decoder(&keys.fields(), None, None)?,
            key_places: key_places.collect::<Result<_, _>>()?,
            schema: step.schema.clone(),
        })
    }
}

impl ForeignJoiner for ForeignResult {
    type Arena = RowArena;

    fn has_foreign_key(
        &mut self,
        _key: &[u8],
        slot: u32,
        left: &CachedStore<RowArena>,
    ) -> Result<bool, StreamsError> {
        let columns = self.left.decode([left.arena().get(slot)])?;
        let row = ColumnarBatch::new(self.left_schema.clone(), columns, ScalarBuffer::from(vec![0]));
        let mut keys = ByteColumn::default();
        self.foreign_keys.append(&row, true, &mut keys)?;
        Ok(keys.get(0).is_some())
    }

    fn join(
        &mut self,
        answers: &[Resolved<'_>],
        left: &CachedStore<RowArena>,
    ) -> Result<Box<dyn Batch>, StreamsError> {
        let rows = answers.iter().map(|answer| answer.left.and_then(|slot| left.arena().get(slot)));
        let mut columns = self.left.decode(rows)?;
        let keys: Vec<Option<&[u8]>> = answers.iter().map(|answer| Some(answer.key)).collect();
        // A row that is gone still tells its key.
        for (place, column) in self.key_places.iter().zip(decode_keys(&mut self.key_decoder, &keys)?) {
            columns[*place] = column;
        }
        columns.extend(self.right.decode(answers.iter().map(|answer| answer.foreign))?);
        let exists =
            |answer: &Resolved<'_>| answer.left.is_some() && (answer.foreign.is_some() || !self.inner);
        let present: BooleanBuffer = answers.iter().map(exists).collect();
        let times: ScalarBuffer<i64> = answers.iter().map(|answer| answer.time).collect();
        let headers = answers.iter().any(|answer| !answer.headers.is_empty());
        let headers = headers.then(|| answers.iter().map(|answer| answer.headers.into()).collect());
        let joined = ColumnarBatch::new(self.schema.clone(), columns, times)
            .with_present(Some(present))
            .with_headers(headers)
            .with_key_bytes(Some(BinaryArray::from_iter(keys)));
        Ok(Box::new(joined))
    }
}
