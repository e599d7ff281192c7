//! `CAST(x AS type)`: which casts exist, and what they do to each value.

use std::{fmt::Write as _, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, BinaryBuilder, BooleanArray,
        ListArray, MapArray, PrimitiveArray, StringBuilder, StructArray, new_null_array,
    },
    datatypes::{
        ArrowNativeType, DataType, Date32Type, Decimal128Type, Decimal256Type, Float64Type, Int32Type,
        Int64Type, Time32MillisecondType, TimestampMillisecondType,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use chrono::{DateTime, NaiveDate, NaiveTime, Timelike};
use datafusion::error::{DataFusionError, Result};
use millstream_formats::decimal_type;

use super::{datetime, row_errors::RowErrors};
use crate::decimal::{self, Decimals, nearest_units, of_decimals, ten_to};
use crate::types::SqlType;

/// Whether values of `from` can be cast to `to` at all.
pub(crate) fn castable(from: &SqlType, to: &SqlType) -> bool {
    use SqlType::{Array, Boolean, Bytes, Date, Map, String, Struct, Time, Timestamp};
    match (from, to) {
        (from, to) if from == to => true,
        (from, to) if from.is_numeric() && to.is_numeric() => true,
        (Bytes, String) => false,
        (_, String) => true,
        (String, to) => to.is_numeric() || matches!(to, Boolean | Timestamp | Date | Time | Bytes),
        (Timestamp, Date | Time) | (Date, Timestamp) => true,
        (Array(from), Array(to)) => castable(from, to),
        (Map(k1, v1), Map(k2, v2)) => castable(k1, k2) && castable(v1, v2),
        (Struct(from), Struct(to)) => to.iter().all(|field| {
            from.iter().filter(|old| old.name == field.name).all(|old| castable(&old.ty, &field.ty))
        }),
        _ => false,
    }
}

/// Casts every value; one that cannot be cast becomes NULL and an entry in `errors`.
pub(crate) fn cast(array: &ArrayRef, to: &DataType, errors: &RowErrors) -> Result<ArrayRef> {
    let from = array.data_type();
    if from == to {
        return Ok(array.clone());
    }
    if *from == DataType::Null {
        return Ok(new_null_array(to, array.len()));
    }
    match (from, to) {
        (DataType::Utf8, _) => from_text(array, to, errors),
        (_, DataType::Utf8) => Ok(to_text(array)),
        (DataType::List(_), DataType::List(item)) => {
            let list = array.as_list::<i32>();
            let values = cast(list.values(), item.data_type(), errors)?;
            Ok(Arc::new(ListArray::try_new(
                item.clone(),
                list.offsets().clone(),
                values,
                list.nulls().cloned(),
            )?))
        }
        (DataType::Map(_, _), DataType::Map(entries, sorted)) => {
            let map = array.as_map();
            let DataType::Struct(fields) = entries.data_type() else {
                return Err(unsupported(from, to));
            };
            let columns = map.entries().columns().iter().zip(fields.iter());
            let columns = columns.map(|(c, f)| cast(c, f.data_type(), errors)).collect::<Result<Vec<_>>>()?;
            let values = StructArray::try_new(fields.clone(), columns, None)?;
            let offsets = map.offsets().clone();
            Ok(Arc::new(MapArray::try_new(entries.clone(), offsets, values, map.nulls().cloned(), *sorted)?))
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let old = array.as_struct();
            let columns = fields.iter().map(|field| match old.column_by_name(field.name()) {
                Some(column) => cast(column, field.data_type(), errors),
                None => Ok(new_null_array(field.data_type(), array.len())),
            });
            let columns = columns.collect::<Result<Vec<_>>>()?;
            if columns.is_empty() {
                return Ok(Arc::new(StructArray::new_empty_fields(array.len(), array.nulls().cloned())));
            }
            Ok(Arc::new(StructArray::try_new(fields.clone(), columns, array.nulls().cloned())?))
        }
        (DataType::Timestamp(_, _), DataType::Date32) => {
            let times = array.as_primitive::<TimestampMillisecondType>();
            Ok(Arc::new(times.unary::<_, Date32Type>(|ms| ms.div_euclid(datetime::DAY_MS) as i32)))
        }
        (DataType::Timestamp(_, _), DataType::Time32(_)) => {
            let times = array.as_primitive::<TimestampMillisecondType>();
            Ok(Arc::new(times.unary::<_, Time32MillisecondType>(|ms| ms.rem_euclid(datetime::DAY_MS) as i32)))
        }
        (DataType::Date32, DataType::Timestamp(_, _)) => {
            let days = array.as_primitive::<Date32Type>();
            Ok(Arc::new(days.unary::<_, TimestampMillisecondType>(|day| i64::from(day) * datetime::DAY_MS)))
        }
        _ => number(array, to, errors),
    }
}

fn unsupported(from: &DataType, to: &DataType) -> DataFusionError {
    DataFusionError::Plan(format!("cast of {from} to {to} is not supported"))
}

fn number(array: &ArrayRef, to: &DataType, errors: &RowErrors) -> Result<ArrayRef> {
    let from = array.data_type();
    Ok(match (from, to) {
        (DataType::Int32, DataType::Int64) => {
            Arc::new(array.as_primitive::<Int32Type>().unary::<_, Int64Type>(i64::from))
        }
        (DataType::Int32, DataType::Float64) => {
            Arc::new(array.as_primitive::<Int32Type>().unary::<_, Float64Type>(f64::from))
        }
        (DataType::Int64, DataType::Int32) => {
            Arc::new(array.as_primitive::<Int64Type>().unary::<_, Int32Type>(|value| value as i32))
        }
        (DataType::Int64, DataType::Float64) => {
            Arc::new(array.as_primitive::<Int64Type>().unary::<_, Float64Type>(|value| value as f64))
        }
        (DataType::Float64, DataType::Int32) => {
            Arc::new(array.as_primitive::<Float64Type>().unary::<_, Int32Type>(|value| value as i32))
        }
        (DataType::Float64, DataType::Int64) => {
            Arc::new(array.as_primitive::<Float64Type>().unary::<_, Int64Type>(|value| value as i64))
        }
        (_, DataType::Decimal128(precision, scale)) => {
            to_decimal::<Decimal128Type>(array, *precision, *scale, errors)?
        }
        (_, DataType::Decimal256(precision, scale)) => {
            to_decimal::<Decimal256Type>(array, *precision, *scale, errors)?
        }
        (DataType::Decimal128(_, scale), _) => from_decimal::<Decimal128Type>(array, *scale, to)?,
        (DataType::Decimal256(_, scale), _) => from_decimal::<Decimal256Type>(array, *scale, to)?,
        _ => return Err(unsupported(from, to)),
    })
}

/// Converts each value; a refused one becomes NULL.
fn rows<F, T>(
    values: &PrimitiveArray<F>,
    errors: &RowErrors,
    convert: impl Fn(F::Native) -> Result<T::Native, String>,
) -> PrimitiveArray<T>
where
    F: ArrowPrimitiveType,
    T: ArrowPrimitiveType,
{
    values.unary_opt(|value| convert(value).map_err(|message| errors.add(|| message)).ok())
}

/// Numbers as decimals, rounded half away from zero.
fn to_decimal<T: Decimals>(
    array: &ArrayRef,
    precision: u8,
    scale: i8,
    errors: &RowErrors,
) -> Result<ArrayRef> {
    let rows: PrimitiveArray<T> = match array.data_type() {
        DataType::Float64 => {
            let moved = Moved::<T>::new(scale, precision, scale);
            rows(array.as_primitive::<Float64Type>(), errors, |value| {
                match nearest_units(value, scale.into()) {
                    Some(units) if units.unsigned_abs() < 10u64.pow(precision.min(18).into()) => {
                        moved.apply(T::from_i128(units.into()))
                    }
                    _ => decimal_from_text(&format!("{value}"), precision, scale),
                }
            })
        }
        DataType::Int32 => {
            let moved = Moved::<T>::new(0, precision, scale);
            rows(array.as_primitive::<Int32Type>(), errors, |value| moved.apply(T::from_i128(value.into())))
        }
        DataType::Int64 => {
            let moved = Moved::<T>::new(0, precision, scale);
            rows(array.as_primitive::<Int64Type>(), errors, |value| moved.apply(T::from_i128(value.into())))
        }
        DataType::Decimal128(_, from) => {
            let moved = Moved::<T>::new(*from, precision, scale);
            rows(array.as_primitive::<Decimal128Type>(), errors, |value| moved.apply(T::from_i128(value)))
        }
        DataType::Decimal256(_, from) => {
            let moved = Moved::<Decimal256Type>::new(*from, precision, scale);
            rows(array.as_primitive::<Decimal256Type>(), errors, |value| moved.apply(value).map(T::from_i256))
        }
        other => return Err(unsupported(other, &decimal_type(precision, scale))),
    };
    Ok(Arc::new(rows.with_precision_and_scale(precision, scale)?))
}

/// Decimals as other numbers, cut like Java cuts them.
fn from_decimal<T: Decimals>(array: &ArrayRef, scale: i8, to: &DataType) -> Result<ArrayRef> {
    let values = array.as_primitive::<T>();
    let unit = ten_to::<T::Native>(scale.unsigned_abs().into());
    let whole = |value: T::Native| T::to_i256(value.div_wrapping(unit)).as_i128();
    Ok(match to {
        DataType::Float64 => {
            Arc::new(values.unary::<_, Float64Type>(|value| decimal::to_f64::<T>(value, scale)))
        }
        DataType::Int32 => Arc::new(values.unary::<_, Int32Type>(|value| whole(value) as i32)),
        DataType::Int64 => Arc::new(values.unary::<_, Int64Type>(|value| whole(value) as i64)),
        _ => return Err(unsupported(array.data_type(), to)),
    })
}

/// Moves the point of unscaled values, rounding half away from zero, to that of DECIMAL(precision, scale).
struct Moved<T: Decimals> {
    from: i8,
    precision: u8,
    scale: i8,
    /// 10 to the power of the places that the point moves.
    factor: T::Native,
    half: T::Native,
    /// No value of the precision is as large.
    bound: T::Native,
}

impl<T: Decimals> Moved<T> {
    fn new(from: i8, precision: u8, scale: i8) -> Self {
        let factor = ten_to::<T::Native>(scale.abs_diff(from).into());
        let half = factor.div_wrapping(T::Native::usize_as(2));
        Self { from, precision, scale, factor, half, bound: ten_to(precision.into()) }
    }

    fn apply(&self, value: T::Native) -> Result<T::Native, String> {
        let moved = if self.scale >= self.from {
            value.mul_checked(self.factor).ok()
        } else if value.is_lt(T::Native::ZERO) {
            Some(value.sub_wrapping(self.half).div_wrapping(self.factor))
        } else {
            Some(value.add_wrapping(self.half).div_wrapping(self.factor))
        };
        let fits = |moved: &T::Native| moved.is_lt(self.bound) && self.bound.neg_wrapping().is_lt(*moved);
        moved.filter(fits).ok_or_else(|| misfit(&decimal::text(value, self.from), self.precision, self.scale))
    }
}

fn misfit(number: &str, precision: u8, scale: i8) -> String {
    format!("numeric field overflow: {number} does not fit DECIMAL({precision}, {scale})")
}

/// Reads decimal text such as `-1.50` or `1e3`, rounding half away from zero to `scale`.
fn decimal_from_text<N: ArrowNativeTypeOp>(text: &str, precision: u8, scale: i8) -> Result<N, String> {
    let bad = || format!("'{text}' is not a decimal number");
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().map_err(|_| bad())?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.as_bytes().first() {
        Some(b'-') => (true, &mantissa[1..]),
        Some(b'+') => (false, &mantissa[1..]),
        _ => (false, mantissa),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let digits = [whole, fraction].concat();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad());
    }
    let digits = digits.trim_start_matches('0').as_bytes();
    if digits.is_empty() {
        return Ok(N::ZERO);
    }
    // The digits up to the last place that is kept, some of which may be zeros that were not written.
    let kept = digits.len() as i64 - fraction.len() as i64 + i64::from(exponent) + i64::from(scale);
    if kept > i64::from(precision) {
        return Err(misfit(text, precision, scale));
    }
    let Ok(kept) = usize::try_from(kept) else { return Ok(N::ZERO) };
    let written = digits.iter().chain(std::iter::repeat(&b'0')).take(kept);
    let cut = written.fold(N::ZERO, |value, digit| {
        value.mul_wrapping(N::usize_as(10)).add_wrapping(N::usize_as((digit - b'0').into()))
    });
    let up = digits.get(kept).is_some_and(|next| *next >= b'5');
    let rounded = if up { cut.add_wrapping(N::ONE) } else { cut };
    if rounded.is_ge(ten_to(precision.into())) {
        return Err(misfit(text, precision, scale));
    }
    Ok(if negative { rounded.neg_wrapping() } else { rounded })
}

fn from_text(array: &ArrayRef, to: &DataType, errors: &RowErrors) -> Result<ArrayRef> {
    let texts = array.as_string::<i32>();
    fn parse<T: ArrowPrimitiveType>(
        texts: &arrow::array::StringArray,
        errors: &RowErrors,
        read: impl Fn(&str) -> Result<T::Native, String>,
    ) -> PrimitiveArray<T> {
        let read = |text: Option<&str>| read(text?.trim()).map_err(|message| errors.add(|| message)).ok();
        texts.iter().map(read).collect()
    }
    let wrong = |text: &str, what: &str| format!("'{text}' is not a valid {what}");
    Ok(match to {
        DataType::Boolean => {
            let truth = |text: &str| {
                let text = text.trim().to_ascii_lowercase();
                !text.is_empty() && ("true".starts_with(&text) || "yes".starts_with(&text))
            };
            Arc::new(texts.iter().map(|text| text.map(truth)).collect::<BooleanArray>())
        }
        DataType::Int32 => {
            Arc::new(parse::<Int32Type>(texts, errors, |t| t.parse().map_err(|_| wrong(t, "INTEGER"))))
        }
        DataType::Int64 => {
            Arc::new(parse::<Int64Type>(texts, errors, |t| t.parse().map_err(|_| wrong(t, "BIGINT"))))
        }
        DataType::Float64 => Arc::new(parse::<Float64Type>(texts, errors, |t| {
            t.parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(|| wrong(t, "DOUBLE"))
        })),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            of_decimals!(to, |Parsed| {
                let rows = parse::<Parsed>(texts, errors, |t| decimal_from_text(t, *precision, *scale));
                Arc::new(rows.with_precision_and_scale(*precision, *scale)?)
            })
        }
        DataType::Timestamp(_, _) => Arc::new(parse::<TimestampMillisecondType>(texts, errors, |t| {
            datetime::parse_timestamp(t).ok_or_else(|| wrong(t, "TIMESTAMP"))
        })),
        DataType::Date32 => Arc::new(parse::<Date32Type>(texts, errors, |t| {
            datetime::parse_timestamp(t)
                .map(|ms| ms.div_euclid(datetime::DAY_MS) as i32)
                .ok_or_else(|| wrong(t, "DATE"))
        })),
        DataType::Time32(_) => Arc::new(parse::<Time32MillisecondType>(texts, errors, |t| {
            datetime::parse_time(t).map(|ms| ms as i32).ok_or_else(|| wrong(t, "TIME"))
        })),
        DataType::Binary => {
            let mut rows = BinaryBuilder::new();
            for text in texts.iter() {
                match text.map(|text| BASE64.decode(text.trim())) {
                    Some(Ok(bytes)) => rows.append_value(bytes),
                    Some(Err(_)) => {
                        errors.add(|| wrong(text.unwrap_or_default(), "base64 text"));
                        rows.append_null();
                    }
                    None => rows.append_null(),
                }
            }
            Arc::new(rows.finish())
        }
        _ => return Err(unsupported(&DataType::Utf8, to)),
    })
}

fn to_text(array: &ArrayRef) -> ArrayRef {
    let mut rows = StringBuilder::with_capacity(array.len(), array.len() * 8);
    let mut text = String::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            rows.append_null();
        } else {
            text.clear();
            write_value(array.as_ref(), row, &mut text);
            rows.append_value(&text);
        }
    }
    Arc::new(rows.finish())
}

/// Prints a value as Java would: `1.0E10`, `[1, 2]`, `{a=1}`, `Struct{F=1}` without fields that are NULL, `null`.
pub(crate) fn write_value(array: &dyn Array, row: usize, out: &mut String) {
    if array.is_null(row) {
        out.push_str("null");
        return;
    }
    // Writing to a String cannot fail.
    let _ = match array.data_type() {
        DataType::Boolean => write!(out, "{}", array.as_boolean().value(row)),
        DataType::Int32 => write!(out, "{}", array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => write!(out, "{}", array.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => out.write_str(&java_double(array.as_primitive::<Float64Type>().value(row))),
        data_type @ (DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale)) => {
            of_decimals!(data_type, |Printed| {
                out.write_str(&decimal::text(array.as_primitive::<Printed>().value(row), *scale))
            })
        }
        DataType::Utf8 => out.write_str(array.as_string::<i32>().value(row)),
        DataType::Binary => out.write_str(&BASE64.encode(array.as_binary::<i32>().value(row))),
        DataType::Timestamp(_, _) => {
            let ms = array.as_primitive::<TimestampMillisecondType>().value(row);
            let time = DateTime::from_timestamp_millis(ms).unwrap_or_default();
            write!(out, "{}", time.format("%Y-%m-%dT%H:%M:%S%.3f"))
        }
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>().value(row);
            let date = NaiveDate::from_num_days_from_ce_opt(days.saturating_add(719_163)).unwrap_or_default();
            write!(out, "{date}")
        }
        DataType::Time32(_) => {
            let ms = array.as_primitive::<Time32MillisecondType>().value(row).max(0) as u32;
            let time = NaiveTime::from_num_seconds_from_midnight_opt(ms / 1000, 0).unwrap_or_default();
            let pattern = if time.second() == 0 { "%H:%M" } else { "%H:%M:%S" };
            write!(out, "{}", time.format(pattern))
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            out.push('[');
            for item in 0..items.len() {
                out.push_str(if item > 0 { ", " } else { "" });
                write_value(items.as_ref(), item, out);
            }
            out.write_char(']')
        }
        DataType::Map(_, _) => {
            let entries = array.as_map().value(row);
            out.push('{');
            for entry in 0..entries.len() {
                out.push_str(if entry > 0 { ", " } else { "" });
                write_value(entries.column(0), entry, out);
                out.push('=');
                write_value(entries.column(1), entry, out);
            }
            out.write_char('}')
        }
        DataType::Struct(fields) => {
            out.push_str("Struct{");
            let present =
                fields.iter().zip(array.as_struct().columns()).filter(|(_, column)| column.is_valid(row));
            for (place, (field, column)) in present.enumerate() {
                let _ = write!(out, "{}{}=", if place > 0 { "," } else { "" }, field.name());
                write_value(column, row, out);
            }
            out.write_char('}')
        }
        other => write!(out, "{other}"),
    };
}

/// A double as Java prints it: plain between 1e-3 and 1e7, else with an exponent, always with a point.
pub(crate) fn java_double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    let size = value.abs();
    if size == 0.0 || (1e-3..1e7).contains(&size) {
        let plain = format!("{value}");
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let text = format!("{value:E}");
    match text.split_once('E') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => {
            // Java writes at least two digits: the nearest, which are not always those and a zero.
            let two = format!("{value:.1E}");
            if two.parse() == Ok(value) { two } else { format!("{mantissa}.0E{exponent}") }
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int32Array, Int64Array, StringArray};

    use super::*;

    fn check(from: ArrayRef, to: &str, expected: Vec<Option<&str>>) {
        let errors = RowErrors::default();
        let to = SqlType::parse(to).unwrap();
        let result = cast(&from, &to.to_arrow(), &errors).unwrap();
        assert_eq!(result.data_type(), &to.to_arrow());
        let printed: Vec<_> = (0..result.len())
            .map(|row| {
                let mut text = String::new();
                write_value(result.as_ref(), row, &mut text);
                (!result.is_null(row)).then_some(text)
            })
            .collect();
        assert_eq!(printed.iter().map(Option::as_deref).collect::<Vec<_>>(), expected, "{from:?} to {to}");
    }

    #[test]
    fn doubles_round_as_the_digits_they_print_as() {
        let mut bits = 1u64;
        for number in 0..20_000u64 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let scale = (number % 7) as i8;
            // Half of them are ties, or look like ones.
            let places = if number % 2 == 0 { 10f64.powi(i32::from(scale) + 1) } else { 1e7 };
            let value = (bits >> 40) as f64 / places * if bits & 1 == 0 { 1.0 } else { -1.0 };
            if let Some(units) = nearest_units(value, scale.into()) {
                let text = decimal_from_text::<i128>(&format!("{value}"), 38, scale);
                assert_eq!(text, Ok(units.into()), "{value} with {scale} places");
            }
        }
        assert_eq!(nearest_units(f64::NAN, 2), None);
        assert_eq!(nearest_units(1e300, 2), None);
        assert_eq!(nearest_units(0.125, 2), None, "a tie");
    }

    #[test]
    fn numbers() {
        let doubles = || -> ArrayRef { Arc::new(Float64Array::from(vec![1.0e10, 12.5, -0.5, 1e-5])) };
        check(doubles(), "STRING", vec![Some("1.0E10"), Some("12.5"), Some("-0.5"), Some("1.0E-5")]);
        check(doubles(), "INT", vec![Some("2147483647"), Some("12"), Some("0"), Some("0")]);
        check(doubles(), "DECIMAL(4,1)", vec![None, Some("12.5"), Some("-0.5"), Some("0.0")]);
        check(Arc::new(Int64Array::from(vec![1 << 32 | 7])), "INT", vec![Some("7")]);
        check(Arc::new(Int32Array::from(vec![100, 99])), "DECIMAL(3,1)", vec![None, Some("99.0")]);
    }

    #[test]
    fn decimals_on_both_sides_of_38_digits() {
        let decimals = |text: &str, ty: &str| {
            let text: ArrayRef = Arc::new(StringArray::from(vec![text]));
            cast(&text, &SqlType::parse(ty).unwrap().to_arrow(), &RowErrors::default()).unwrap()
        };
        let (few, many) = ("9".repeat(38), "9".repeat(76));
        for (value, from, to, expected) in [
            ("12.35", "DECIMAL(4,2)", "DECIMAL(4,1)", Some("12.4")),
            ("-12.35", "DECIMAL(4,2)", "DECIMAL(4,1)", Some("-12.4")),
            ("12.35", "DECIMAL(4,2)", "DECIMAL(38,36)", Some(&format!("12.35{}", "0".repeat(34)))),
            ("99.95", "DECIMAL(4,2)", "DECIMAL(3,1)", None),
            (&few, "DECIMAL(38,0)", "DECIMAL(38,1)", None),
            (&few, "DECIMAL(38,0)", "DECIMAL(39,1)", Some(&format!("{few}.0"))),
            (&few, "DECIMAL(38,0)", "DECIMAL(76,38)", Some(&format!("{few}.{}", "0".repeat(38)))),
            (&many, "DECIMAL(76,0)", "DECIMAL(76,1)", None),
            (&many, "DECIMAL(76,0)", "DECIMAL(38,0)", None),
            (
                &format!("12.{few}"),
                "DECIMAL(40,38)",
                "DECIMAL(38,36)",
                Some(&format!("13.{}", "0".repeat(36))),
            ),
            (&format!("-12.3{few}"), "DECIMAL(41,39)", "DECIMAL(4,2)", Some("-12.40")),
            ("-12.9", "DECIMAL(40,1)", "INT", Some("-12")),
            ("4294967303", "DECIMAL(40,0)", "INT", Some("7")),
            ("18446744073709551617", "DECIMAL(40,0)", "BIGINT", Some("1")),
            ("-0.1", "DECIMAL(76,40)", "DOUBLE", Some("-0.1")),
            (&few, "DECIMAL(40,0)", "DOUBLE", Some("1.0E38")),
            (&few, "DECIMAL(40,1)", "STRING", Some(&format!("{few}.0"))),
        ] {
            check(decimals(value, from), to, vec![expected]);
        }
        check(
            Arc::new(Int64Array::from(vec![i64::MIN])),
            "DECIMAL(76,57)",
            vec![Some(&format!("{}.{}", i64::MIN, "0".repeat(57)))],
        );
        check(Arc::new(Int32Array::from(vec![7])), "DECIMAL(76,76)", vec![None]);
        check(
            Arc::new(Float64Array::from(vec![1e75, 1e76, f64::NAN, 0.5])),
            "DECIMAL(76,0)",
            vec![Some(&format!("1{}", "0".repeat(75))), None, None, Some("1")],
        );
    }

    #[test]
    fn text() {
        let texts = |rows: Vec<&str>| -> ArrayRef { Arc::new(StringArray::from(rows)) };
        check(texts(vec![" 12 ", "1.5", "x"]), "INT", vec![Some("12"), None, None]);
        check(
            texts(vec!["tr", "YES", "no", ""]),
            "BOOLEAN",
            vec![Some("true"), Some("true"), Some("false"), Some("false")],
        );
        check(texts(vec!["12.345", "1e1", "a"]), "DECIMAL(5,2)", vec![Some("12.35"), Some("10.00"), None]);
        check(
            texts(vec!["-0.5", "0.49", "99.5", "1e2", "1e-9", "-.05e1", "00012", "1e2147483647", "0e9", "."]),
            "DECIMAL(2,0)",
            vec![Some("-1"), Some("0"), None, None, Some("0"), Some("-1"), Some("12"), None, Some("0"), None],
        );
        let (most, more) = ("9".repeat(76), "9".repeat(77));
        check(
            texts(vec![&most, &format!("-{most}.4"), &format!("{most}.5"), &more, "1e75", "1e76"]),
            "DECIMAL(76,0)",
            vec![
                Some(&most),
                Some(&format!("-{most}")),
                None,
                None,
                Some(&format!("1{}", "0".repeat(75))),
                None,
            ],
        );
        check(texts(vec![&format!("0.{most}")]), "DECIMAL(4,3)", vec![Some("1.000")]);
        check(
            texts(vec!["2020-01-02T03:04:05.678", "2020", "2020-01-02T03:04:05+0100", "no"]),
            "TIMESTAMP",
            vec![
                Some("2020-01-02T03:04:05.678"),
                Some("2020-01-01T00:00:00.000"),
                Some("2020-01-02T02:04:05.000"),
                None,
            ],
        );
        check(texts(vec!["03:04"]), "TIME", vec![Some("03:04")]);
        check(texts(vec!["2020-02-29"]), "DATE", vec![Some("2020-02-29")]);
    }
}
