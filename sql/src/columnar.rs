//! What travels between SQL operators: Arrow columns with a time, a key and a presence per row.

use std::{any::Any, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, BinaryArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
        UInt32Array,
    },
    buffer::{BooleanBuffer, ScalarBuffer},
    compute,
    datatypes::SchemaRef,
    error::ArrowError,
};
use millstream_log::Header;
use millstream_streams::Batch;

/// A run of rows of a stream, or of changes of a table.
///
/// ```text
///   columns        timestamps  present  key bytes
///   ID KIND PRICE
///   1  buy  2.50   1000        true     00000001     a row
///   2  null null   1001        false    00000002     stream: a record without value; table: a delete
/// ```
///
/// * Every column, `timestamps`, `present` and `key_bytes` have [`rows`](Batch::rows) entries.
/// * Key columns hold their values in absent rows too, all other columns are NULL there.
/// * `key_bytes` is the serialized record key, kept only where a later operator asks for it.
/// * `headers` are those of the records that the rows come from; `None` if no row has any.
/// * `old` are the rows as they were before these changes, in a batch of the same layout whose `present` says which
///   were there. It comes along only where an operator below asks for it.
#[derive(Clone, Debug)]
pub(crate) struct ColumnarBatch {
    schema: SchemaRef,
    columns: Vec<ArrayRef>,
    timestamps: ScalarBuffer<i64>,
    present: Option<BooleanBuffer>,
    key_bytes: Option<BinaryArray>,
    headers: Option<RowHeaders>,
    old: Option<Box<ColumnarBatch>>,
}

/// The headers of each row.
pub(crate) type RowHeaders = Vec<Arc<[Header]>>;

impl ColumnarBatch {
    /// Rows that are all present and carry no key bytes.
    pub(crate) fn new(schema: SchemaRef, columns: Vec<ArrayRef>, timestamps: ScalarBuffer<i64>) -> Self {
        debug_assert_eq!(schema.fields().len(), columns.len(), "a column per field of {schema:?}");
        debug_assert!(columns.iter().all(|column| column.len() == timestamps.len()), "equal lengths");
        Self { schema, columns, timestamps, present: None, key_bytes: None, headers: None, old: None }
    }

    /// The same rows; those whose bit is false have no value. A mask without false bits is left out.
    #[must_use]
    pub(crate) fn with_present(mut self, present: Option<BooleanBuffer>) -> Self {
        self.present = present.filter(|mask| mask.count_set_bits() < mask.len());
        self
    }

    /// The same rows with their serialized record keys.
    #[must_use]
    pub(crate) fn with_key_bytes(mut self, key_bytes: Option<BinaryArray>) -> Self {
        self.key_bytes = key_bytes;
        self
    }

    /// The same rows with the headers of their records.
    #[must_use]
    pub(crate) fn with_headers(mut self, headers: Option<RowHeaders>) -> Self {
        debug_assert!(headers.as_ref().is_none_or(|headers| headers.len() == self.timestamps.len()));
        self.headers = headers;
        self
    }

    /// The same changes with the rows before them.
    #[must_use]
    pub(crate) fn with_old(mut self, old: Option<ColumnarBatch>) -> Self {
        debug_assert!(old.as_ref().is_none_or(|old| old.timestamps.len() == self.timestamps.len()));
        self.old = old.map(Box::new);
        self
    }

    /// The same rows, times and keys with other columns. Rows before these changes are left behind.
    #[must_use]
    pub(crate) fn with_columns(mut self, schema: SchemaRef, columns: Vec<ArrayRef>) -> Self {
        debug_assert_eq!(schema.fields().len(), columns.len(), "a column per field of {schema:?}");
        self.schema = schema;
        self.columns = columns;
        self.old = None;
        self
    }

    /// The columns, in the order of the schema.
    pub(crate) fn columns(&self) -> &[ArrayRef] {
        &self.columns
    }

    /// One column by its place in the schema.
    pub(crate) fn column(&self, index: usize) -> &ArrayRef {
        &self.columns[index]
    }

    /// Which rows have a value; `None` when all have.
    pub(crate) fn present(&self) -> Option<&BooleanBuffer> {
        self.present.as_ref()
    }

    /// Whether a row has a value.
    pub(crate) fn is_present(&self, row: usize) -> bool {
        self.present.as_ref().is_none_or(|present| present.value(row))
    }

    /// The rows before these changes, if they come along.
    pub(crate) fn old(&self) -> Option<&ColumnarBatch> {
        self.old.as_deref()
    }

    /// Takes the rows before these changes out.
    pub(crate) fn take_old(&mut self) -> Option<ColumnarBatch> {
        self.old.take().map(|old| *old)
    }

    /// The headers of each row; `None` if no row has any.
    pub(crate) fn headers(&self) -> Option<&RowHeaders> {
        self.headers.as_ref()
    }

    /// The headers of one row.
    pub(crate) fn headers_of(&self, row: usize) -> &[Header] {
        self.headers.as_ref().map_or(&[], |headers| &headers[row])
    }

    /// Serialized record keys, if an operator asked the source to keep them.
    pub(crate) fn key_bytes(&self) -> Option<&BinaryArray> {
        self.key_bytes.as_ref()
    }

    /// The columns as Arrow's own batch, for expressions.
    pub(crate) fn record_batch(&self) -> Result<RecordBatch, ArrowError> {
        let options = RecordBatchOptions::new().with_row_count(Some(self.timestamps.len()));
        RecordBatch::try_new_with_options(self.schema.clone(), self.columns.clone(), &options)
    }

    /// The rows whose bit is true.
    pub(crate) fn filter(&self, keep: &BooleanArray) -> Result<Self, ArrowError> {
        let predicate = compute::FilterBuilder::new(keep).optimize().build();
        let times = Int64Array::new(self.timestamps.clone(), None);
        let filter_bits = |bits: &BooleanBuffer| -> Result<BooleanBuffer, ArrowError> {
            let kept = predicate.filter(&BooleanArray::new(bits.clone(), None))?;
            Ok(arrow::array::AsArray::as_boolean(&kept).values().clone())
        };
        let columns = self.columns.iter().map(|column| predicate.filter(column)).collect::<Result<_, _>>()?;
        let key_bytes = self.key_bytes.as_ref().map(|keys| predicate.filter(keys)).transpose()?;
        let headers = self.headers.as_ref().map(|headers| {
            let kept = headers.iter().zip(keep.values()).filter(|(_, keep)| *keep);
            kept.map(|(headers, _)| Arc::clone(headers)).collect()
        });
        Ok(Self {
            schema: self.schema.clone(),
            columns,
            timestamps: int64_values(&predicate.filter(&times)?),
            present: self.present.as_ref().map(filter_bits).transpose()?,
            key_bytes: key_bytes.map(|keys| binary(&keys)),
            headers,
            old: self.old.as_ref().map(|old| old.filter(keep).map(Box::new)).transpose()?,
        })
    }

    /// The rows at `indices`, in that order.
    pub(crate) fn take(&self, indices: &UInt32Array) -> Result<Self, ArrowError> {
        let times = Int64Array::new(self.timestamps.clone(), None);
        let columns = self
            .columns
            .iter()
            .map(|column| compute::take(column, indices, None))
            .collect::<Result<_, _>>()?;
        let present = self.present.as_ref().map(|bits| {
            BooleanBuffer::collect_bool(indices.len(), |row| bits.value(indices.value(row) as usize))
        });
        let key_bytes = self.key_bytes.as_ref().map(|keys| compute::take(keys, indices, None)).transpose()?;
        let headers = self
            .headers
            .as_ref()
            .map(|headers| indices.values().iter().map(|row| Arc::clone(&headers[*row as usize])).collect());
        Ok(Self {
            schema: self.schema.clone(),
            columns,
            timestamps: int64_values(&compute::take(&times, indices, None)?),
            present,
            key_bytes: key_bytes.map(|keys| binary(&keys)),
            headers,
            old: self.old.as_ref().map(|old| old.take(indices).map(Box::new)).transpose()?,
        })
    }

    /// `rows` rows from `offset` on, sharing the memory.
    #[must_use]
    pub(crate) fn slice(&self, offset: usize, rows: usize) -> Self {
        Self {
            schema: self.schema.clone(),
            columns: self.columns.iter().map(|column| column.slice(offset, rows)).collect(),
            timestamps: self.timestamps.slice(offset, rows),
            present: self.present.as_ref().map(|bits| bits.slice(offset, rows)),
            key_bytes: self.key_bytes.as_ref().map(|keys| keys.slice(offset, rows)),
            headers: self.headers.as_ref().map(|headers| headers[offset..offset + rows].to_vec()),
            old: self.old.as_ref().map(|old| Box::new(old.slice(offset, rows))),
        }
    }

    /// The batch that came along an edge of a SQL topology.
    pub(crate) fn from_batch(batch: Box<dyn Batch>) -> Self {
        *batch.into_any().downcast().expect("every edge of a SQL topology carries columnar batches")
    }
}

impl Batch for ColumnarBatch {
    fn rows(&self) -> usize {
        self.timestamps.len()
    }

    fn timestamps(&self) -> &[i64] {
        &self.timestamps
    }

    fn split_front(&mut self, rows: usize) -> Box<dyn Batch> {
        let front = self.slice(0, rows);
        *self = self.slice(rows, self.timestamps.len() - rows);
        Box::new(front)
    }

    fn duplicate(&self) -> Box<dyn Batch> {
        Box::new(self.clone())
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

/// The values of a BIGINT column.
fn int64_values(array: &ArrayRef) -> ScalarBuffer<i64> {
    arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(array).values().clone()
}

/// The bytes of the texts of a column, and of no others that its memory holds.
pub(crate) fn text_bytes(texts: &StringArray) -> &[u8] {
    let offsets = texts.value_offsets();
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    &texts.value_data()[first as usize..last as usize]
}

/// A BYTES column as its own type.
fn binary(array: &ArrayRef) -> BinaryArray {
    arrow::array::AsArray::as_binary::<i32>(array).clone()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::Int32Array,
        datatypes::{DataType, Field, Schema},
    };

    use super::*;

    fn batch() -> ColumnarBatch {
        let schema = Arc::new(Schema::new(vec![Field::new("ID", DataType::Int32, true)]));
        let ids: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), Some(2), None, Some(4)]));
        ColumnarBatch::new(schema, vec![ids], vec![10, 11, 12, 13].into())
            .with_present(Some(BooleanBuffer::from(vec![true, true, false, true])))
            .with_key_bytes(Some(BinaryArray::from(vec![&b"a"[..], b"b", b"c", b"d"])))
            .with_headers(Some((0..4).map(|n| vec![header(n)].into()).collect()))
    }

    fn header(n: usize) -> Header {
        Header { key: n.to_string(), value: None }
    }

    /// Changes of which the second is an update and the others are new rows.
    fn changes() -> ColumnarBatch {
        let old = batch().with_headers(None).with_key_bytes(None);
        batch().with_old(Some(old.with_present(Some(BooleanBuffer::from(vec![false, true, false, false])))))
    }

    #[test]
    fn filter_take_and_split_keep_rows_together() {
        let kept = batch().filter(&BooleanArray::from(vec![true, false, true, false])).unwrap();
        let taken = batch().take(&UInt32Array::from(vec![0, 2])).unwrap();
        for rows in [&kept, &taken] {
            assert_eq!(rows.timestamps(), [10, 12]);
            assert_eq!(rows.column(0).as_ref(), &Int32Array::from(vec![Some(1), None]));
            assert_eq!(rows.present().unwrap(), &BooleanBuffer::from(vec![true, false]));
            assert_eq!(rows.key_bytes().unwrap(), &BinaryArray::from(vec![&b"a"[..], b"c"]));
            assert_eq!((rows.headers_of(0), rows.headers_of(1)), (&[header(0)][..], &[header(2)][..]));
        }
        let mut rest = batch();
        let front = ColumnarBatch::from_batch(rest.split_front(3));
        assert_eq!(front.timestamps(), [10, 11, 12]);
        assert_eq!(rest.timestamps(), [13]);
        assert_eq!(rest.key_bytes().unwrap().value(0), b"d");
        assert_eq!(rest.headers_of(0), [header(3)]);
    }

    #[test]
    fn rows_before_a_change_stay_with_it() {
        let was = |rows: &ColumnarBatch| -> Vec<bool> {
            let old = rows.old().expect("it comes along");
            (0..rows.rows()).map(|row| old.is_present(row)).collect()
        };
        assert_eq!(
            was(&changes().filter(&BooleanArray::from(vec![true, true, false, false])).unwrap()),
            [false, true]
        );
        assert_eq!(was(&changes().take(&UInt32Array::from(vec![1, 0])).unwrap()), [true, false]);
        let mut rest = changes();
        rest.split_front(1);
        assert_eq!(was(&rest), [true, false, false]);
    }

    #[test]
    fn a_mask_that_hides_nothing_is_left_out() {
        let all = BooleanBuffer::from(vec![true; 4]);
        assert!(batch().with_present(Some(all)).present().is_none());
    }
}
