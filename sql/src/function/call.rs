//! One call of a scalar function for a batch of rows.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayAccessor, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BinaryBuilder, BooleanArray,
    BooleanBuilder, ListArray, ListBuilder, MapArray, PrimitiveArray, PrimitiveBuilder, StringArray,
    StringBuilder, UInt32Array,
};
use arrow::compute;
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};

use crate::error::SqlError;
use crate::expression::RowErrors;
use crate::expression::cast::write_value;
use crate::function::Lambda;
use crate::types::SqlType;

/// The arguments of a call, as columns of the types that the function's signature says, and what it must return:
/// one column of [`rows`](Self::rows) values.
///
/// An argument that is the same in every row comes as a [`Column`] that holds it once.
#[derive(Debug)]
pub struct Call<'a> {
    pub(super) name: &'a str,
    pub(super) args: &'a [ArrayRef],
    pub(super) constant: &'a [bool],
    pub(super) lambdas: &'a [(usize, &'a dyn Lambda)],
    pub(super) arg_types: &'a [SqlType],
    pub(super) return_type: &'a SqlType,
    pub(super) rows: usize,
    pub(super) errors: &'a RowErrors,
}

impl<'a> Call<'a> {
    /// How many rows the result must have.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many arguments there are.
    pub fn arg_count(&self) -> usize {
        self.args.len()
    }

    /// The type of an argument.
    pub fn arg_type(&self, position: usize) -> &SqlType {
        &self.arg_types[position]
    }

    /// The type of the result.
    pub fn return_type(&self) -> &SqlType {
        self.return_type
    }

    /// An argument as a column of [`rows`](Self::rows) values, whatever its type.
    pub fn array(&self, position: usize) -> Result<ArrayRef, SqlError> {
        self.expand(position, Arc::clone(&self.args[position]))
    }

    /// An argument that is the same in every row: its one value as an array. `None` if it varies.
    pub fn constant(&self, position: usize) -> Option<&ArrayRef> {
        self.constant[position].then_some(&self.args[position])
    }

    /// The lambda that was passed as an argument.
    ///
    /// Fails if that argument is none, which its signature rules out.
    pub fn lambda(&self, position: usize) -> Result<&'a dyn Lambda, SqlError> {
        let found = self.lambdas.iter().find(|(place, _)| *place == position);
        found.map(|(_, lambda)| *lambda).ok_or_else(|| {
            SqlError::invalid(format!("argument {} of function '{}' is no lambda", position + 1, self.name))
        })
    }

    /// A STRING argument.
    pub fn strings(&self, position: usize) -> Column<'a, StringArray> {
        self.column(position, self.args[position].as_string())
    }

    /// A BYTES argument.
    pub fn bytes(&self, position: usize) -> Column<'a, BinaryArray> {
        self.column(position, self.args[position].as_binary())
    }

    /// A BOOLEAN argument.
    pub fn booleans(&self, position: usize) -> Column<'a, BooleanArray> {
        self.column(position, self.args[position].as_boolean())
    }

    /// An INT argument.
    pub fn ints(&self, position: usize) -> Column<'a, PrimitiveArray<Int32Type>> {
        self.primitives(position)
    }

    /// A BIGINT argument.
    pub fn bigints(&self, position: usize) -> Column<'a, PrimitiveArray<Int64Type>> {
        self.primitives(position)
    }

    /// A DOUBLE argument.
    pub fn doubles(&self, position: usize) -> Column<'a, PrimitiveArray<Float64Type>> {
        self.primitives(position)
    }

    /// A MAP argument.
    pub fn maps(&self, position: usize) -> Column<'a, MapArray> {
        self.column(position, self.args[position].as_map())
    }

    /// An ARRAY argument.
    pub fn lists(&self, position: usize) -> Column<'a, ListArray> {
        self.column(position, self.args[position].as_list())
    }

    /// An argument held in the primitive Arrow type `T`, which must be that of its SQL type.
    pub fn primitives<T: ArrowPrimitiveType>(&self, position: usize) -> Column<'a, PrimitiveArray<T>> {
        self.column(position, self.args[position].as_primitive())
    }

    fn column<A>(&self, position: usize, array: &'a A) -> Column<'a, A> {
        Column { array, mask: if self.constant[position] { 0 } else { usize::MAX } }
    }

    /// One row cannot be computed: reports why and gives its result, NULL.
    pub fn fail<T>(&self, message: impl fmt::Display) -> Option<T> {
        self.errors.add(|| format!("{}: {message}", self.name));
        None
    }

    /// The value, or the report of its error and NULL.
    pub fn check<T, E: fmt::Display>(&self, outcome: Result<T, E>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(error) => self.fail(error),
        }
    }

    /// The result of applying `value` to the first argument, NULL where that is NULL.
    pub fn map<I: ArrowPrimitiveType, O: ArrowPrimitiveType>(
        &self,
        value: impl Fn(I::Native) -> O::Native,
    ) -> Result<ArrayRef, SqlError> {
        let mapped =
            self.args[0].as_primitive::<I>().unary::<_, O>(value).with_data_type(self.return_type.to_arrow());
        self.expand(0, Arc::new(mapped))
    }

    /// `array`, which holds one value per value of an argument's array, with one value per row.
    fn expand(&self, position: usize, array: ArrayRef) -> Result<ArrayRef, SqlError> {
        if self.constant[position] {
            Ok(compute::take(&array, &UInt32Array::from_value(0, self.rows), None)?)
        } else {
            Ok(array)
        }
    }

    /// Builds the result of a primitive Arrow type, row by row.
    pub fn build<T: ArrowPrimitiveType>(
        &self,
        mut value: impl FnMut(usize) -> Option<T::Native>,
    ) -> Result<ArrayRef, SqlError> {
        let mut out =
            PrimitiveBuilder::<T>::with_capacity(self.rows).with_data_type(self.return_type.to_arrow());
        (0..self.rows).for_each(|row| out.append_option(value(row)));
        Ok(Arc::new(out.finish()))
    }

    /// Builds a BOOLEAN result, row by row.
    pub fn build_booleans(&self, mut value: impl FnMut(usize) -> Option<bool>) -> Result<ArrayRef, SqlError> {
        let mut out = BooleanBuilder::with_capacity(self.rows);
        (0..self.rows).for_each(|row| out.append_option(value(row)));
        Ok(Arc::new(out.finish()))
    }

    /// Builds a STRING result, row by row: `write` appends the text to a buffer that is empty, or returns `None` for NULL.
    pub fn build_strings(
        &self,
        mut write: impl FnMut(usize, &mut String) -> Option<()>,
    ) -> Result<ArrayRef, SqlError> {
        let mut out = StringBuilder::with_capacity(self.rows, self.rows * 16);
        let mut buffer = String::new();
        for row in 0..self.rows {
            buffer.clear();
            match write(row, &mut buffer) {
                Some(()) => out.append_value(&buffer),
                None => out.append_null(),
            }
        }
        Ok(Arc::new(out.finish()))
    }

    /// Builds a BYTES result, row by row: `write` appends to a buffer that is empty, or returns `None` for NULL.
    pub fn build_bytes(
        &self,
        mut write: impl FnMut(usize, &mut Vec<u8>) -> Option<()>,
    ) -> Result<ArrayRef, SqlError> {
        let mut out = BinaryBuilder::with_capacity(self.rows, self.rows * 16);
        let mut buffer = Vec::new();
        for row in 0..self.rows {
            buffer.clear();
            match write(row, &mut buffer) {
                Some(()) => out.append_value(&buffer),
                None => out.append_null(),
            }
        }
        Ok(Arc::new(out.finish()))
    }

    /// Builds an `ARRAY<STRING>` result, row by row: `write` appends items, or returns `None` for NULL.
    pub fn build_string_lists(
        &self,
        mut write: impl FnMut(usize, &mut StringBuilder) -> Option<()>,
    ) -> Result<ArrayRef, SqlError> {
        let mut out = ListBuilder::new(StringBuilder::new());
        for row in 0..self.rows {
            let found = write(row, out.values()).is_some();
            out.append(found);
        }
        Ok(Arc::new(out.finish()))
    }

    /// Builds a STRING result out of pieces of what exists already, row by row.
    pub fn build_slices<'s>(
        &self,
        mut value: impl FnMut(usize) -> Option<&'s str>,
    ) -> Result<ArrayRef, SqlError> {
        let mut out = StringBuilder::with_capacity(self.rows, self.rows * 16);
        (0..self.rows).for_each(|row| out.append_option(value(row)));
        Ok(Arc::new(out.finish()))
    }
}

/// A value of any column as CAST to STRING writes it: `1.0E10`, `[1, 2]`, `{a=1}`, `Struct{F=1}`, `null`.
pub fn text_of(values: &dyn Array, row: usize) -> String {
    let mut text = String::new();
    write_value(values, row, &mut text);
    text
}

/// An argument's values by row.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a, A> {
    array: &'a A,
    /// All ones, or all zeroes if every row reads the one value there is.
    mask: usize,
}

impl<'a, A> Column<'a, A>
where
    &'a A: ArrayAccessor,
{
    /// The value in a row, `None` for NULL.
    pub fn get(&self, row: usize) -> Option<<&'a A as ArrayAccessor>::Item> {
        let index = row & self.mask;
        let array = self.array;
        if array.is_null(index) { None } else { Some(array.value(index)) }
    }
}
