//! Single values of any type, taken out of columns, kept, saved, and put into columns again.

use std::cmp::Ordering;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, BinaryArray, BinaryBuilder,
    PrimitiveArray, PrimitiveBuilder, StringArray, StringBuilder, new_null_array,
};
use arrow::datatypes::{DataType, i256};
use arrow::row::{RowConverter, Rows, SortField};

use crate::error::SqlError;
use crate::function::fold::{put_bytes, take_bytes, take_exact};
use crate::functions::order::{compare_bytes, compare_text};
use crate::types::SqlType;

/// Native numbers: their sum, and their bytes in a saved state.
pub(super) trait Number: ArrowNativeTypeOp + Send {
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn to_f64(self) -> f64;
    fn save(self, out: &mut Vec<u8>);
    fn load(bytes: &mut &[u8]) -> Result<Self, SqlError>;
}

macro_rules! number {
    ($($native:ty: $plus:expr, $minus:expr;)*) => {$(
        impl Number for $native {
            fn plus(self, other: Self) -> Self {
                $plus(self, other)
            }

            fn minus(self, other: Self) -> Self {
                $minus(self, other)
            }

            fn to_f64(self) -> f64 {
                self as f64
            }

            fn save(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn load(bytes: &mut &[u8]) -> Result<Self, SqlError> {
                Ok(Self::from_le_bytes(take_exact(bytes)?))
            }
        }
    )*};
}

number! {
    i32: i32::wrapping_add, i32::wrapping_sub;
    i64: i64::wrapping_add, i64::wrapping_sub;
    f64: |a: f64, b: f64| a + b, |a: f64, b: f64| a - b;
    i128: i128::saturating_add, i128::saturating_sub;
}

impl Number for i256 {
    // The sum of two decimals of 76 digits does not overflow.
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }

    fn minus(self, other: Self) -> Self {
        self.wrapping_sub(other)
    }

    fn to_f64(self) -> f64 {
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    fn save(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    fn load(bytes: &mut &[u8]) -> Result<Self, SqlError> {
        Ok(Self::from_le_bytes(take_exact(bytes)?))
    }
}

/// Values of one type.
pub(super) trait Cell: Send + Sized + 'static {
    /// A value that is kept.
    type Value: Clone + Send;
    /// A column to take values from.
    type View<'a>;
    /// A column to be.
    type Builder;

    fn view<'a>(&self, column: &'a ArrayRef) -> Result<Self::View<'a>, SqlError>;
    fn is_null(&self, view: &Self::View<'_>, row: usize) -> bool;
    /// The value of a row, `None` for NULL.
    fn get(&self, view: &Self::View<'_>, row: usize) -> Option<Self::Value>;
    /// Makes `kept` the value of a row, in the place that a value before took.
    fn replace(&self, kept: &mut Option<Self::Value>, view: &Self::View<'_>, row: usize) {
        *kept = self.get(view, row);
    }

    fn builder(&self, capacity: usize) -> Self::Builder;
    fn append(&self, builder: &mut Self::Builder, value: Option<&Self::Value>);
    fn finish(&self, builder: Self::Builder) -> Result<ArrayRef, SqlError>;
    fn save(&self, value: &Self::Value, out: &mut Vec<u8>);
    fn load(&self, bytes: &mut &[u8]) -> Result<Self::Value, SqlError>;
    fn equal(&self, a: &Self::Value, b: &Self::Value) -> bool;

    fn save_option(&self, value: Option<&Self::Value>, out: &mut Vec<u8>) {
        out.push(u8::from(value.is_some()));
        if let Some(value) = value {
            self.save(value, out);
        }
    }

    fn load_option(&self, bytes: &mut &[u8]) -> Result<Option<Self::Value>, SqlError> {
        let [present] = take_exact(bytes)?;
        if present == 0 { Ok(None) } else { self.load(bytes).map(Some) }
    }
}

/// Values that have an order.
pub(super) trait OrderedCell: Cell {
    fn compare(&self, a: &Self::Value, b: &Self::Value) -> Ordering;
    /// The order of the value of a row, which is not NULL, and a kept one, without keeping the former.
    fn compare_row(&self, view: &Self::View<'_>, row: usize, kept: &Self::Value) -> Ordering;
}

/// Numbers, decimals, dates and times.
pub(super) struct Primitive<T> {
    data_type: DataType,
    of: PhantomData<fn() -> T>,
}

impl<T> Primitive<T> {
    pub(super) fn of(ty: &SqlType) -> Self {
        Self { data_type: ty.to_arrow(), of: PhantomData }
    }
}

impl<T: ArrowPrimitiveType> Cell for Primitive<T>
where
    T::Native: Number,
{
    type Value = T::Native;
    type View<'a> = &'a PrimitiveArray<T>;
    type Builder = PrimitiveBuilder<T>;

    fn view<'a>(&self, column: &'a ArrayRef) -> Result<&'a PrimitiveArray<T>, SqlError> {
        Ok(column.as_primitive())
    }

    fn is_null(&self, view: &&PrimitiveArray<T>, row: usize) -> bool {
        view.is_null(row)
    }

    fn get(&self, view: &&PrimitiveArray<T>, row: usize) -> Option<T::Native> {
        view.is_valid(row).then(|| view.value(row))
    }

    fn builder(&self, capacity: usize) -> PrimitiveBuilder<T> {
        PrimitiveBuilder::with_capacity(capacity).with_data_type(self.data_type.clone())
    }

    fn append(&self, builder: &mut PrimitiveBuilder<T>, value: Option<&T::Native>) {
        builder.append_option(value.copied());
    }

    fn finish(&self, mut builder: PrimitiveBuilder<T>) -> Result<ArrayRef, SqlError> {
        Ok(Arc::new(builder.finish()))
    }

    fn save(&self, value: &T::Native, out: &mut Vec<u8>) {
        value.save(out);
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<T::Native, SqlError> {
        T::Native::load(bytes)
    }

    fn equal(&self, a: &T::Native, b: &T::Native) -> bool {
        a.is_eq(*b)
    }
}

impl<T: ArrowPrimitiveType> OrderedCell for Primitive<T>
where
    T::Native: Number,
{
    fn compare(&self, a: &T::Native, b: &T::Native) -> Ordering {
        a.compare(*b)
    }

    fn compare_row(&self, view: &&PrimitiveArray<T>, row: usize, kept: &T::Native) -> Ordering {
        view.value(row).compare(*kept)
    }
}

/// STRING values.
pub(super) struct Text;

impl Cell for Text {
    type Value = String;
    type View<'a> = &'a StringArray;
    type Builder = StringBuilder;

    fn view<'a>(&self, column: &'a ArrayRef) -> Result<&'a StringArray, SqlError> {
        Ok(column.as_string())
    }

    fn is_null(&self, view: &&StringArray, row: usize) -> bool {
        view.is_null(row)
    }

    fn get(&self, view: &&StringArray, row: usize) -> Option<String> {
        view.is_valid(row).then(|| view.value(row).into())
    }

    fn replace(&self, kept: &mut Option<String>, view: &&StringArray, row: usize) {
        match kept {
            Some(text) if view.is_valid(row) => {
                text.clear();
                text.push_str(view.value(row));
            }
            _ => *kept = self.get(view, row),
        }
    }

    fn builder(&self, capacity: usize) -> StringBuilder {
        StringBuilder::with_capacity(capacity, capacity * 16)
    }

    fn append(&self, builder: &mut StringBuilder, value: Option<&String>) {
        builder.append_option(value);
    }

    fn finish(&self, mut builder: StringBuilder) -> Result<ArrayRef, SqlError> {
        Ok(Arc::new(builder.finish()))
    }

    fn save(&self, value: &String, out: &mut Vec<u8>) {
        put_bytes(value.as_bytes(), out);
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<String, SqlError> {
        let text = std::str::from_utf8(take_bytes(bytes)?);
        Ok(text.map_err(|e| SqlError::failed("read the state of an aggregate", e))?.into())
    }

    fn equal(&self, a: &String, b: &String) -> bool {
        a == b
    }
}

impl OrderedCell for Text {
    fn compare(&self, a: &String, b: &String) -> Ordering {
        compare_text(a, b)
    }

    fn compare_row(&self, view: &&StringArray, row: usize, kept: &String) -> Ordering {
        compare_text(view.value(row), kept)
    }
}

/// BYTES values.
pub(super) struct Binary;

impl Cell for Binary {
    type Value = Vec<u8>;
    type View<'a> = &'a BinaryArray;
    type Builder = BinaryBuilder;

    fn view<'a>(&self, column: &'a ArrayRef) -> Result<&'a BinaryArray, SqlError> {
        Ok(column.as_binary())
    }

    fn is_null(&self, view: &&BinaryArray, row: usize) -> bool {
        view.is_null(row)
    }

    fn get(&self, view: &&BinaryArray, row: usize) -> Option<Vec<u8>> {
        view.is_valid(row).then(|| view.value(row).into())
    }

    fn replace(&self, kept: &mut Option<Vec<u8>>, view: &&BinaryArray, row: usize) {
        match kept {
            Some(bytes) if view.is_valid(row) => {
                bytes.clear();
                bytes.extend_from_slice(view.value(row));
            }
            _ => *kept = self.get(view, row),
        }
    }

    fn builder(&self, capacity: usize) -> BinaryBuilder {
        BinaryBuilder::with_capacity(capacity, capacity * 16)
    }

    fn append(&self, builder: &mut BinaryBuilder, value: Option<&Vec<u8>>) {
        builder.append_option(value);
    }

    fn finish(&self, mut builder: BinaryBuilder) -> Result<ArrayRef, SqlError> {
        Ok(Arc::new(builder.finish()))
    }

    fn save(&self, value: &Vec<u8>, out: &mut Vec<u8>) {
        put_bytes(value, out);
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<Vec<u8>, SqlError> {
        Ok(take_bytes(bytes)?.into())
    }

    fn equal(&self, a: &Vec<u8>, b: &Vec<u8>) -> bool {
        a == b
    }
}

impl OrderedCell for Binary {
    fn compare(&self, a: &Vec<u8>, b: &Vec<u8>) -> Ordering {
        compare_bytes(a, b)
    }

    fn compare_row(&self, view: &&BinaryArray, row: usize, kept: &Vec<u8>) -> Ordering {
        compare_bytes(view.value(row), kept)
    }
}

/// Values of any other type, kept in Arrow's row format: BOOLEAN, ARRAY, MAP, STRUCT.
pub(super) struct Nested {
    converter: RowConverter,
    /// How NULL looks in row format.
    null: Box<[u8]>,
}

impl Nested {
    pub(super) fn of(ty: &SqlType) -> Result<Self, SqlError> {
        let converter = RowConverter::new(vec![SortField::new(ty.to_arrow())])?;
        let null = converter.convert_columns(&[new_null_array(&ty.to_arrow(), 1)])?.row(0).as_ref().into();
        Ok(Self { converter, null })
    }
}

/// A column in row format, with the NULLs of the column itself.
pub(super) struct NestedView<'a> {
    column: &'a ArrayRef,
    rows: Rows,
}

impl Cell for Nested {
    type Value = Box<[u8]>;
    type View<'a> = NestedView<'a>;
    type Builder = Vec<Option<Box<[u8]>>>;

    fn view<'a>(&self, column: &'a ArrayRef) -> Result<NestedView<'a>, SqlError> {
        Ok(NestedView { column, rows: self.converter.convert_columns(std::slice::from_ref(column))? })
    }

    fn is_null(&self, view: &NestedView<'_>, row: usize) -> bool {
        view.column.is_null(row)
    }

    fn get(&self, view: &NestedView<'_>, row: usize) -> Option<Box<[u8]>> {
        view.column.is_valid(row).then(|| view.rows.row(row).as_ref().into())
    }

    fn builder(&self, capacity: usize) -> Self::Builder {
        Vec::with_capacity(capacity)
    }

    fn append(&self, builder: &mut Self::Builder, value: Option<&Box<[u8]>>) {
        builder.push(value.cloned());
    }

    fn finish(&self, builder: Self::Builder) -> Result<ArrayRef, SqlError> {
        let parser = self.converter.parser();
        let rows = builder.iter().map(|row| parser.parse(row.as_deref().unwrap_or(&self.null)));
        Ok(self.converter.convert_rows(rows)?.swap_remove(0))
    }

    fn save(&self, value: &Box<[u8]>, out: &mut Vec<u8>) {
        put_bytes(value, out);
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<Box<[u8]>, SqlError> {
        Ok(take_bytes(bytes)?.into())
    }

    fn equal(&self, a: &Box<[u8]>, b: &Box<[u8]>) -> bool {
        a == b
    }
}
