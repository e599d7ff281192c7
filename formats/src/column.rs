//! One Arrow column while it grows, row by row, with a way back when half a row turns out to be bad.

use std::{collections::HashSet, mem, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Date32Array, Decimal128Array,
        Decimal256Array, Float64Array, Int32Array, Int64Array, ListArray, MapArray, NullBufferBuilder,
        StringArray, StructArray, Time32MillisecondArray, TimestampMillisecondArray,
    },
    buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer},
    datatypes::{DataType, FieldRef, Fields, i256},
};

use crate::decimal::{self, Misfit, Unscaled};

/// A growing column of one SQL type. Nested columns hold their parts as columns.
///
/// A value is first built and then ended, so [`Column::truncate`] always finds the last whole row: for
/// variable and nested types the offsets are pushed last, and what lies behind the last offset belongs to
/// nobody.
pub(crate) enum Column {
    Boolean(Bits),
    Int(Fixed<i32>),
    BigInt(Fixed<i64>),
    Double(Fixed<f64>),
    Decimal(Decimals<i128>),
    WideDecimal(Decimals<i256>),
    String(Variable),
    Bytes(Variable),
    Time(Fixed<i32>),
    Date(Fixed<i32>),
    Timestamp(Fixed<i64>),
    Array(Lists),
    Map(Maps),
    Struct(Structs),
}

/// Bits of a BOOLEAN column.
pub(crate) struct Bits {
    values: BooleanBufferBuilder,
    valid: NullBufferBuilder,
}

/// Values of one width.
pub(crate) struct Fixed<T> {
    values: Vec<T>,
    valid: NullBufferBuilder,
}

/// Unscaled values of a DECIMAL column.
pub(crate) struct Decimals<N> {
    precision: u8,
    scale: i8,
    /// 10^precision: no value is as large.
    bound: N,
    values: Fixed<N>,
}

/// Bytes back to back. A value is written to `bytes` and closed with [`Variable::end`].
pub(crate) struct Variable {
    pub(crate) bytes: Vec<u8>,
    offsets: Vec<i32>,
    valid: NullBufferBuilder,
}

/// Lists of one item column.
pub(crate) struct Lists {
    field: FieldRef,
    pub(crate) item: Box<Column>,
    offsets: Vec<i32>,
    valid: NullBufferBuilder,
}

/// Maps with STRING keys.
pub(crate) struct Maps {
    field: FieldRef,
    ordered: bool,
    pub(crate) keys: Variable,
    pub(crate) values: Box<Column>,
    offsets: Vec<i32>,
    valid: NullBufferBuilder,
}

/// Structs: one column per field.
pub(crate) struct Structs {
    fields: Fields,
    pub(crate) columns: Vec<Column>,
    valid: NullBufferBuilder,
}

impl Column {
    /// A column of a type that [`FormatSpec::check`](crate::FormatSpec::check) let through.
    pub(crate) fn new(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean(Bits { values: BooleanBufferBuilder::new(0), valid: valid() }),
            DataType::Int32 => Self::Int(Fixed::new()),
            DataType::Int64 => Self::BigInt(Fixed::new()),
            DataType::Float64 => Self::Double(Fixed::new()),
            DataType::Decimal128(precision, scale) => Self::Decimal(Decimals::new(*precision, *scale)),
            DataType::Decimal256(precision, scale) => Self::WideDecimal(Decimals::new(*precision, *scale)),
            DataType::Utf8 => Self::String(Variable::new()),
            DataType::Binary => Self::Bytes(Variable::new()),
            DataType::Time32(_) => Self::Time(Fixed::new()),
            DataType::Date32 => Self::Date(Fixed::new()),
            DataType::Timestamp(..) => Self::Timestamp(Fixed::new()),
            DataType::List(item) => Self::Array(Lists {
                field: Arc::clone(item),
                item: Box::new(Self::new(item.data_type())),
                offsets: vec![0],
                valid: valid(),
            }),
            DataType::Map(entries, ordered) => {
                let DataType::Struct(pair) = entries.data_type() else {
                    unreachable!("map entries are {entries}")
                };
                Self::Map(Maps {
                    field: Arc::clone(entries),
                    ordered: *ordered,
                    keys: Variable::new(),
                    values: Box::new(Self::new(pair[1].data_type())),
                    offsets: vec![0],
                    valid: valid(),
                })
            }
            DataType::Struct(fields) => Self::Struct(Structs {
                fields: fields.clone(),
                columns: fields.iter().map(|field| Self::new(field.data_type())).collect(),
                valid: valid(),
            }),
            other => unreachable!("type {other} passed the format check"),
        }
    }

    /// Makes room for this many more rows.
    pub(crate) fn reserve(&mut self, rows: usize) {
        match self {
            Self::Boolean(column) => column.values.reserve(rows),
            Self::Int(column) | Self::Time(column) | Self::Date(column) => column.values.reserve(rows),
            Self::BigInt(column) | Self::Timestamp(column) => column.values.reserve(rows),
            Self::Double(column) => column.values.reserve(rows),
            Self::Decimal(column) => column.values.values.reserve(rows),
            Self::WideDecimal(column) => column.values.values.reserve(rows),
            Self::String(column) | Self::Bytes(column) => {
                column.offsets.reserve(rows);
                column.bytes.reserve(8 * rows);
            }
            Self::Array(column) => column.offsets.reserve(rows),
            Self::Map(column) => column.offsets.reserve(rows),
            Self::Struct(column) => column.columns.iter_mut().for_each(|child| child.reserve(rows)),
        }
    }

    pub(crate) fn push_null(&mut self) {
        match self {
            Self::Boolean(column) => column.push_null(),
            Self::Int(column) | Self::Time(column) | Self::Date(column) => column.push_null(),
            Self::BigInt(column) | Self::Timestamp(column) => column.push_null(),
            Self::Double(column) => column.push_null(),
            Self::Decimal(column) => column.values.push_null(),
            Self::WideDecimal(column) => column.values.push_null(),
            Self::String(column) | Self::Bytes(column) => column.push_null(),
            Self::Array(column) => column.end(false),
            Self::Map(column) => column.end(false),
            Self::Struct(column) => column.push_null(),
        }
    }

    /// Undoes everything after the first `rows` rows, half a value included.
    pub(crate) fn truncate(&mut self, rows: usize) {
        match self {
            Self::Boolean(column) => {
                column.values.truncate(rows);
                truncate_valid(&mut column.valid, rows);
            }
            Self::Int(column) | Self::Time(column) | Self::Date(column) => column.truncate(rows),
            Self::BigInt(column) | Self::Timestamp(column) => column.truncate(rows),
            Self::Double(column) => column.truncate(rows),
            Self::Decimal(column) => column.values.truncate(rows),
            Self::WideDecimal(column) => column.values.truncate(rows),
            Self::String(column) | Self::Bytes(column) => column.truncate(rows),
            Self::Array(column) => {
                let items = truncate_offsets(&mut column.offsets, rows);
                column.item.truncate(items);
                truncate_valid(&mut column.valid, rows);
            }
            Self::Map(column) => {
                let entries = truncate_offsets(&mut column.offsets, rows);
                column.keys.truncate(entries);
                column.values.truncate(entries);
                truncate_valid(&mut column.valid, rows);
            }
            Self::Struct(column) => {
                column.columns.iter_mut().for_each(|child| child.truncate(rows));
                truncate_valid(&mut column.valid, rows);
            }
        }
    }

    /// The rows so far as an array; the column is empty again.
    pub(crate) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Boolean(column) => {
                let values = column.values.finish();
                Arc::new(BooleanArray::new(values, column.valid.finish()))
            }
            Self::Int(column) => Arc::new(Int32Array::new(column.take(), column.valid.finish())),
            Self::BigInt(column) => Arc::new(Int64Array::new(column.take(), column.valid.finish())),
            Self::Double(column) => Arc::new(Float64Array::new(column.take(), column.valid.finish())),
            Self::Decimal(Decimals { precision, scale, values, .. }) => Arc::new(
                Decimal128Array::new(values.take(), values.valid.finish())
                    .with_data_type(DataType::Decimal128(*precision, *scale)),
            ),
            Self::WideDecimal(Decimals { precision, scale, values, .. }) => Arc::new(
                Decimal256Array::new(values.take(), values.valid.finish())
                    .with_data_type(DataType::Decimal256(*precision, *scale)),
            ),
            Self::String(column) => Arc::new(column.finish_text()),
            Self::Bytes(column) => {
                let (offsets, bytes, valid) = column.take();
                Arc::new(BinaryArray::new(offsets, bytes, valid))
            }
            Self::Time(column) => Arc::new(Time32MillisecondArray::new(column.take(), column.valid.finish())),
            Self::Date(column) => Arc::new(Date32Array::new(column.take(), column.valid.finish())),
            Self::Timestamp(column) => {
                Arc::new(TimestampMillisecondArray::new(column.take(), column.valid.finish()))
            }
            Self::Array(column) => Arc::new(ListArray::new(
                Arc::clone(&column.field),
                take_offsets(&mut column.offsets),
                column.item.finish(),
                column.valid.finish(),
            )),
            Self::Map(column) => Arc::new(column.finish()),
            Self::Struct(column) => Arc::new(column.finish()),
        }
    }

    #[cfg(test)]
    fn push_text(&mut self, text: &str) {
        match self {
            Self::String(column) => {
                column.bytes.extend_from_slice(text.as_bytes());
                column.end();
            }
            _ => panic!("not a STRING column"),
        }
    }
}

impl Bits {
    pub(crate) fn push(&mut self, value: bool) {
        self.values.append(value);
        self.valid.append_non_null();
    }

    fn push_null(&mut self) {
        self.values.append(false);
        self.valid.append_null();
    }
}

impl<T: arrow::datatypes::ArrowNativeType> Fixed<T> {
    fn new() -> Self {
        Self { values: Vec::new(), valid: valid() }
    }

    #[inline]
    pub(crate) fn push(&mut self, value: T) {
        self.values.push(value);
        self.valid.append_non_null();
    }

    fn push_null(&mut self) {
        self.values.push(T::default());
        self.valid.append_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        truncate_valid(&mut self.valid, rows);
    }

    fn take(&mut self) -> ScalarBuffer<T> {
        ScalarBuffer::from(mem::take(&mut self.values))
    }
}

impl<N: Unscaled> Decimals<N> {
    fn new(precision: u8, scale: i8) -> Self {
        Self { precision, scale, bound: decimal::ten_to(precision.into()), values: Fixed::new() }
    }

    /// Pushes the number that a text holds; the error is made of why it does not fit, and of the precision and
    /// the scale that it should fit.
    #[inline]
    pub(crate) fn push_text<E>(
        &mut self,
        text: &[u8],
        error: impl FnOnce(Misfit, u8, i8) -> E,
    ) -> Result<(), E> {
        let value = decimal::parse(text, self.precision, self.scale);
        self.values.push(value.map_err(|misfit| error(misfit, self.precision, self.scale))?);
        Ok(())
    }

    /// Pushes the number of big-endian bytes in two's complement, which has a scale of its own.
    #[inline]
    pub(crate) fn push_signed(&mut self, bytes: &[u8], scale: i32) -> Result<(), String> {
        let value = decimal::fit_signed(bytes, scale, self.precision, self.scale, self.bound)?;
        self.values.push(value);
        Ok(())
    }
}

impl Variable {
    fn new() -> Self {
        Self { bytes: Vec::new(), offsets: vec![0], valid: valid() }
    }

    #[inline]
    pub(crate) fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.end();
    }

    /// Ends the value that was written to `bytes`.
    #[inline]
    pub(crate) fn end(&mut self) {
        self.offsets.push(offset(self.bytes.len()));
        self.valid.append_non_null();
    }

    fn push_null(&mut self) {
        // Half a value may lie behind the last offset.
        let end = self.offsets.last().map_or(0, |end| *end as usize);
        self.bytes.truncate(end);
        self.offsets.push(offset(end));
        self.valid.append_null();
    }

    /// Number of ended values.
    pub(crate) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// An ended value.
    pub(crate) fn get(&self, row: usize) -> &[u8] {
        &self.bytes[self.offsets[row] as usize..self.offsets[row + 1] as usize]
    }

    fn truncate(&mut self, rows: usize) {
        let end = truncate_offsets(&mut self.offsets, rows);
        self.bytes.truncate(end);
        truncate_valid(&mut self.valid, rows);
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Buffer, Option<NullBuffer>) {
        (take_offsets(&mut self.offsets), Buffer::from_vec(mem::take(&mut self.bytes)), self.valid.finish())
    }

    fn finish_text(&mut self) -> StringArray {
        let (offsets, bytes, valid) = self.take();
        // Every reader checks its payload before it pushes text.
        StringArray::try_new(offsets, bytes, valid).expect("only whole UTF-8 values are pushed")
    }
}

impl Lists {
    /// Ends a list that was pushed to `item`, or pushes NULL.
    pub(crate) fn end(&mut self, valid: bool) {
        let end = if valid { offset(self.item.len()) } else { last(&self.offsets) };
        self.offsets.push(end);
        self.valid.append(valid);
    }
}

impl Maps {
    /// Entries of the map that is being built.
    pub(crate) fn open_entries(&self) -> std::ops::Range<usize> {
        last(&self.offsets) as usize..self.keys.len()
    }

    /// Positions, in order, of entries of the map that is being built whose key comes again later: of repeated
    /// keys the last counts.
    pub(crate) fn repeated_keys(&self) -> Vec<usize> {
        let entries = self.open_entries();
        let first = entries.start;
        if entries.len() <= 8 {
            // Small maps are compared in place, without a set.
            let again = |entry: &usize| {
                (entry + 1..entries.end).any(|later| self.keys.get(later) == self.keys.get(*entry))
            };
            return entries.clone().filter(again).map(|entry| entry - first).collect();
        }
        let mut later = HashSet::with_capacity(entries.len());
        let mut repeated: Vec<usize> = entries
            .rev()
            .filter(|entry| !later.insert(self.keys.get(*entry)))
            .map(|entry| entry - first)
            .collect();
        repeated.reverse();
        repeated
    }

    /// Takes the entries of the map that is being built back.
    pub(crate) fn reopen(&mut self) {
        let start = self.open_entries().start;
        self.keys.truncate(start);
        self.values.truncate(start);
    }

    /// Ends a map that was pushed to `keys` and `values`, or pushes NULL.
    pub(crate) fn end(&mut self, valid: bool) {
        let end = if valid { offset(self.keys.len()) } else { last(&self.offsets) };
        self.offsets.push(end);
        self.valid.append(valid);
    }

    fn finish(&mut self) -> MapArray {
        let DataType::Struct(pair) = self.field.data_type() else {
            unreachable!("map entries are {}", self.field)
        };
        let entries = vec![Arc::new(self.keys.finish_text()) as ArrayRef, self.values.finish()];
        let entries = StructArray::new(pair.clone(), entries, None);
        let offsets = take_offsets(&mut self.offsets);
        MapArray::new(Arc::clone(&self.field), offsets, entries, self.valid.finish(), self.ordered)
    }
}

impl Structs {
    /// Ends a struct whose fields were pushed to `columns`.
    pub(crate) fn end(&mut self) {
        self.valid.append_non_null();
    }

    pub(crate) fn push_null(&mut self) {
        self.columns.iter_mut().for_each(Column::push_null);
        self.valid.append_null();
    }

    /// Number of ended structs.
    pub(crate) fn len(&self) -> usize {
        self.valid.len()
    }

    fn finish(&mut self) -> StructArray {
        let rows = self.valid.len();
        let valid = self.valid.finish();
        if self.columns.is_empty() {
            return StructArray::new_empty_fields(rows, valid);
        }
        let columns = self.columns.iter_mut().map(Column::finish).collect();
        StructArray::new(self.fields.clone(), columns, valid)
    }
}

impl Column {
    fn len(&self) -> usize {
        match self {
            Self::Boolean(column) => column.values.len(),
            Self::Int(column) | Self::Time(column) | Self::Date(column) => column.values.len(),
            Self::BigInt(column) | Self::Timestamp(column) => column.values.len(),
            Self::Double(column) => column.values.len(),
            Self::Decimal(column) => column.values.values.len(),
            Self::WideDecimal(column) => column.values.values.len(),
            Self::String(column) | Self::Bytes(column) => column.len(),
            Self::Array(column) => column.offsets.len() - 1,
            Self::Map(column) => column.offsets.len() - 1,
            Self::Struct(column) => column.len(),
        }
    }
}

fn valid() -> NullBufferBuilder {
    NullBufferBuilder::new(0)
}

fn truncate_valid(valid: &mut NullBufferBuilder, rows: usize) {
    if valid.len() > rows {
        valid.truncate(rows);
    }
}

/// Keeps the offsets of `rows` values and tells where the last of them ends.
fn truncate_offsets(offsets: &mut Vec<i32>, rows: usize) -> usize {
    offsets.truncate(rows + 1);
    last(offsets) as usize
}

fn take_offsets(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::new(ScalarBuffer::from(mem::replace(offsets, vec![0])))
}

fn last(offsets: &[i32]) -> i32 {
    offsets.last().copied().unwrap_or_default()
}

#[inline]
fn offset(len: usize) -> i32 {
    i32::try_from(len).expect("the decoder refuses batches whose columns could pass 2 GiB")
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Array, AsArray},
        datatypes::Field,
    };

    use super::*;

    #[test]
    fn half_a_row_is_undone() {
        let item = Arc::new(Field::new("item", DataType::Utf8, true));
        let mut column = Column::new(&DataType::List(item));
        let Column::Array(lists) = &mut column else { unreachable!() };
        lists.item.push_text("a");
        lists.end(true);
        lists.item.push_text("b");
        column.truncate(1);
        column.push_null();
        let array = column.finish();
        let lists = array.as_list::<i32>();
        assert_eq!((lists.len(), lists.values().len(), lists.null_count()), (2, 1, 1));
    }

    #[test]
    fn a_finished_column_starts_again_empty() {
        let mut column = Column::new(&DataType::Utf8);
        column.push_text("first");
        assert_eq!(column.finish().len(), 1);
        column.push_null();
        column.push_text("second");
        let array = column.finish();
        assert_eq!(array.as_string::<i32>().iter().collect::<Vec<_>>(), [None, Some("second")]);
    }
}
