//! Choices among values.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, BinaryBuilder, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute;
use arrow::datatypes::{
    Date32Type, Float64Type, Int32Type, Int64Type, Time32MillisecondType, TimestampMillisecondType,
};
use arrow::row::{RowConverter, SortField};

use super::order::{compare_bytes, compare_text};
use crate::decimal::of_decimals;
use crate::error::SqlError;
use crate::function::{Call, Category, ScalarFunction};
use crate::types::SqlType;

pub(super) fn functions() -> Vec<ScalarFunction> {
    vec![
        conditional("COALESCE", "The first argument that is not NULL.").form("(T, T...) -> T", first_present),
        conditional("IFNULL", "The first argument, or the second if the first is NULL.")
            .form("(T, T) -> T", first_present),
        conditional("NULLIF", "The first argument, or NULL if it equals the second.")
            .form("(T, T) -> T", null_if),
        ScalarFunction::new("AS_VALUE", "The argument: copies a key column into the value.")
            .form("(T) -> T", |call| call.array(0)),
        best("greatest", "The largest argument; NULLs are passed over.", Ordering::Greater),
        best("least", "The smallest argument; NULLs are passed over.", Ordering::Less),
    ]
}

fn conditional(name: &str, description: &str) -> ScalarFunction {
    ScalarFunction::new(name, description).category(Category::Conditional)
}

fn first_present(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let mut result = call.array(0)?;
    for position in 1..call.arg_count() {
        if result.null_count() == 0 {
            break;
        }
        let present = compute::is_not_null(&result)?;
        result = compute::kernels::zip::zip(&present, &result, &call.array(position)?)?;
    }
    Ok(result)
}

/// Compares in row format, in which equal values of any type have equal bytes.
fn null_if(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let (first, second) = (call.array(0)?, call.array(1)?);
    let converter = RowConverter::new(vec![SortField::new(first.data_type().clone())])?;
    let a = converter.convert_columns(std::slice::from_ref(&first))?;
    let b = converter.convert_columns(&[second])?;
    let equal = BooleanBuffer::collect_bool(call.rows(), |row| a.row(row) == b.row(row));
    Ok(compute::nullif(&first, &BooleanArray::new(equal, None))?)
}

fn best(name: &str, description: &str, wins: Ordering) -> ScalarFunction {
    let forms = ["INT", "BIGINT", "DECIMAL", "DOUBLE", "STRING", "BYTES", "DATE", "TIME", "TIMESTAMP"]
        .map(|t| format!("({t}, {t}...) -> {t}"));
    let forms: Vec<&str> = forms.iter().map(String::as_str).collect();
    ScalarFunction::new(name, description).category(Category::Mathematical).forms(&forms, move |call| {
        match call.return_type() {
            SqlType::Int => best_number::<Int32Type>(call, wins),
            SqlType::Bigint => best_number::<Int64Type>(call, wins),
            SqlType::Double => best_number::<Float64Type>(call, wins),
            ty @ SqlType::Decimal { .. } => {
                of_decimals!(ty.to_arrow(), |Number| best_number::<Number>(call, wins))
            }
            SqlType::Date => best_number::<Date32Type>(call, wins),
            SqlType::Time => best_number::<Time32MillisecondType>(call, wins),
            SqlType::Timestamp => best_number::<TimestampMillisecondType>(call, wins),
            SqlType::String => {
                let columns: Vec<_> = (0..call.arg_count()).map(|i| call.strings(i)).collect();
                let better = |a, b| if compare_text(b, a) == wins { b } else { a };
                call.build_slices(|row| columns.iter().filter_map(|column| column.get(row)).reduce(better))
            }
            _ => {
                let columns: Vec<_> = (0..call.arg_count()).map(|i| call.bytes(i)).collect();
                let better = |a, b| if compare_bytes(b, a) == wins { b } else { a };
                let mut out = BinaryBuilder::with_capacity(call.rows(), call.rows() * 16);
                for row in 0..call.rows() {
                    out.append_option(columns.iter().filter_map(|column| column.get(row)).reduce(better));
                }
                Ok(Arc::new(out.finish()))
            }
        }
    })
}

fn best_number<T: ArrowPrimitiveType>(call: &Call<'_>, wins: Ordering) -> Result<ArrayRef, SqlError> {
    let columns: Vec<_> = (0..call.arg_count()).map(|i| call.primitives::<T>(i)).collect();
    let better = |a: T::Native, b: T::Native| if b.compare(a) == wins { b } else { a };
    call.build::<T>(|row| columns.iter().filter_map(|column| column.get(row)).reduce(better))
}
