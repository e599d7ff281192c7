//! Comparisons with two outcomes: a NULL on either side is false, never NULL.

use std::cmp::Ordering;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Datum, PrimitiveArray},
    buffer::BooleanBuffer,
    compute::{self, kernels::cmp},
    datatypes::{DataType, Decimal256Type, Float64Type, i256},
};
use datafusion::{
    error::{DataFusionError, Result},
    logical_expr::ColumnarValue,
    scalar::ScalarValue,
};
use millstream_formats::{DECIMAL_PRECISION_MAX, decimal_type};

use super::{cast, row_errors::RowErrors};
use crate::decimal::{self, ten_to};
use crate::functions::order::{compare_bytes, compare_text};

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `IS DISTINCT FROM`: NULL is a value here, equal to itself.
    Distinct,
    /// `IS NOT DISTINCT FROM`
    NotDistinct,
}

impl Comparison {
    /// The operator as written.
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Distinct => "IS DISTINCT FROM",
            Self::NotDistinct => "IS NOT DISTINCT FROM",
        }
    }

    /// The operator's name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Equal => "EQUAL",
            Self::NotEqual => "NOT_EQUAL",
            Self::Less => "LESS_THAN",
            Self::LessOrEqual => "LESS_THAN_OR_EQUAL",
            Self::Greater => "GREATER_THAN",
            Self::GreaterOrEqual => "GREATER_THAN_OR_EQUAL",
            Self::Distinct => "IS_DISTINCT_FROM",
            Self::NotDistinct => "IS_NOT_DISTINCT_FROM",
        }
    }

    /// Whether it asks for equality only, which every type supports.
    pub(crate) fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual | Self::Distinct | Self::NotDistinct)
    }

    /// The operator that says the same with the sides swapped.
    #[must_use]
    pub(crate) fn swapped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }
}

/// Compares two sides of one type (numbers of different types are brought together here).
pub(super) fn evaluate(
    comparison: Comparison,
    left: &ColumnarValue,
    right: &ColumnarValue,
    rows: usize,
) -> Result<ColumnarValue> {
    let (left, right) = (Side::new(left)?.beside(right)?, Side::new(right)?.beside(left)?);
    let (left, right) = match common_number(left.array.data_type(), right.array.data_type()) {
        Some((to_left, to_right)) => (left.cast(&to_left)?, right.cast(&to_right)?),
        None => (left, right),
    };
    let outcome = if left.array.data_type().is_nested() {
        nested(comparison, &left.rows(rows)?, &right.rows(rows)?)?
    } else if let Some(order) = own_order(comparison, &left, &right)? {
        ordered(comparison, &left, &right, if left.scalar && right.scalar { 1 } else { rows }, order)
    } else {
        match comparison {
            Comparison::Equal => cmp::eq(&left, &right),
            Comparison::NotEqual => cmp::neq(&left, &right),
            Comparison::Less => cmp::lt(&left, &right),
            Comparison::LessOrEqual => cmp::lt_eq(&left, &right),
            Comparison::Greater => cmp::gt(&left, &right),
            Comparison::GreaterOrEqual => cmp::gt_eq(&left, &right),
            Comparison::Distinct => cmp::distinct(&left, &right),
            Comparison::NotDistinct => cmp::not_distinct(&left, &right),
        }?
    };
    let outcome = false_for_null(&outcome);
    Ok(if left.scalar && right.scalar {
        ColumnarValue::Scalar(ScalarValue::Boolean(Some(outcome.value(0))))
    } else {
        ColumnarValue::Array(std::sync::Arc::new(outcome))
    })
}

/// NULL becomes false.
pub(super) fn false_for_null(outcome: &BooleanArray) -> BooleanArray {
    match outcome.nulls() {
        Some(nulls) if nulls.null_count() > 0 => BooleanArray::new(outcome.values() & nulls.inner(), None),
        _ => BooleanArray::new(outcome.values().clone(), None),
    }
}

/// One side: a row each, or one row that stands for all.
struct Side {
    array: ArrayRef,
    scalar: bool,
}

impl Side {
    fn new(value: &ColumnarValue) -> Result<Self> {
        Ok(match value {
            ColumnarValue::Array(array) => Self { array: array.clone(), scalar: false },
            ColumnarValue::Scalar(scalar) => Self { array: scalar.to_array()?, scalar: true },
        })
    }

    /// A decimal constant beside doubles as a double, where that makes no difference.
    fn beside(self, other: &ColumnarValue) -> Result<Self> {
        if !self.scalar || other.data_type() != DataType::Float64 {
            return Ok(self);
        }
        let Some((unscaled, scale)) = self.unscaled()? else { return Ok(self) };
        let double = cast::cast(&self.array, &DataType::Float64, &RowErrors::default())?;
        let nearest = double.as_primitive::<Float64Type>().value(0);
        if double.is_valid(0) && decimal::compare_shortest(unscaled.value(0), scale, nearest).is_ne() {
            return Ok(self);
        }
        Ok(Self { array: double, scalar: true })
    }

    /// Decimals as the wider of their types, and their scale.
    fn unscaled(&self) -> Result<Option<(PrimitiveArray<Decimal256Type>, i8)>> {
        let (DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)) =
            *self.array.data_type()
        else {
            return Ok(None);
        };
        let wide = compute::cast(&self.array, &DataType::Decimal256(precision, scale))?;
        Ok(Some((wide.as_primitive::<Decimal256Type>().clone(), scale)))
    }

    fn cast(self, to: &DataType) -> Result<Self> {
        Ok(Self {
            array: if self.array.data_type() == to { self.array } else { compute::cast(&self.array, to)? },
            ..self
        })
    }

    /// The side with a row each.
    fn rows(&self, rows: usize) -> Result<ArrayRef> {
        if self.scalar {
            ScalarValue::try_from_array(&self.array, 0)?.to_array_of_size(rows)
        } else {
            Ok(self.array.clone())
        }
    }
}

impl Datum for Side {
    fn get(&self) -> (&dyn Array, bool) {
        (&self.array, self.scalar)
    }
}

/// The types in which two different numbers are compared: one for both, if there is a decimal that holds both. `None` for
/// equal types and other kinds.
fn common_number(left: &DataType, right: &DataType) -> Option<(DataType, DataType)> {
    use DataType::{Decimal128, Decimal256, Float64, Int32, Int64};
    let both = |number: DataType| (number.clone(), number);
    let digits = |side: &DataType| match side {
        Int32 => Some((10, 0)),
        Int64 => Some((19, 0)),
        Decimal128(precision, scale) | Decimal256(precision, scale) => {
            Some((i16::from(*precision), i16::from(*scale)))
        }
        _ => None,
    };
    if left == right {
        return None;
    }
    match (left, right) {
        (Float64, Int32 | Int64) | (Int32 | Int64, Float64) => Some(both(Float64)),
        (Int32 | Int64, Int32 | Int64) => Some(both(Int64)),
        _ => {
            let ((p1, s1), (p2, s2)) = (digits(left)?, digits(right)?);
            let scale = s1.max(s2);
            let precision = (p1 - s1).max(p2 - s2) + scale;
            Some(if precision <= i16::from(DECIMAL_PRECISION_MAX) {
                both(decimal_type(precision as u8, scale as i8))
            } else {
                (Decimal256(p1 as u8, s1 as i8), Decimal256(p2 as u8, s2 as i8))
            })
        }
    }
}

/// How the values of two rows are ordered.
type Order<'a> = Box<dyn Fn(usize, usize) -> Ordering + 'a>;

/// The order of decimals and doubles, of decimals that no type holds both of, and of BYTES and text beyond ASCII, which is
/// not that of Arrow.
fn own_order<'a>(comparison: Comparison, left: &'a Side, right: &'a Side) -> Result<Option<Order<'a>>> {
    let order: Order<'a> = match (left.array.data_type(), right.array.data_type()) {
        (&DataType::Decimal256(_, s1), &DataType::Decimal256(_, s2)) if s1 != s2 => {
            let unscaled = |side: &'a Side| side.array.as_primitive::<Decimal256Type>();
            let (a, b) = (unscaled(left), unscaled(right));
            Box::new(move |i, j| compare_decimals(a.value(i), s1, b.value(j), s2))
        }
        (DataType::Float64, DataType::Decimal128(..) | DataType::Decimal256(..)) => {
            let order = decimals_and_doubles(right, left)?;
            Box::new(move |i, j| order(j, i).reverse())
        }
        (DataType::Decimal128(..) | DataType::Decimal256(..), DataType::Float64) => {
            Box::new(decimals_and_doubles(left, right)?)
        }
        _ if comparison.is_equality() => return Ok(None),
        (DataType::Utf8, DataType::Utf8) => {
            let (a, b) = (left.array.as_string::<i32>(), right.array.as_string::<i32>());
            if a.is_ascii() && b.is_ascii() {
                return Ok(None);
            }
            Box::new(move |i, j| compare_text(a.value(i), b.value(j)))
        }
        (DataType::Binary, DataType::Binary) => {
            let (a, b) = (left.array.as_binary::<i32>(), right.array.as_binary::<i32>());
            Box::new(move |i, j| compare_bytes(a.value(i), b.value(j)))
        }
        _ => return Ok(None),
    };
    Ok(Some(order))
}

/// The order of decimals and doubles, which count as the decimals that they print as. Those next to different doubles are
/// ordered as these are.
fn decimals_and_doubles<'a>(
    decimals: &Side,
    doubles: &'a Side,
) -> Result<impl Fn(usize, usize) -> Ordering + use<'a>> {
    let (unscaled, scale) = decimals
        .unscaled()?
        .ok_or_else(|| DataFusionError::Plan(format!("{} is not a decimal", decimals.array.data_type())))?;
    let nearest = cast::cast(&decimals.array, &DataType::Float64, &RowErrors::default())?;
    let nearest = nearest.as_primitive::<Float64Type>().clone();
    let doubles = doubles.array.as_primitive::<Float64Type>();
    Ok(move |i, j| {
        let (near, double) = (nearest.value(i), doubles.value(j));
        match near.partial_cmp(&double) {
            Some(Ordering::Equal) => decimal::compare_shortest(unscaled.value(i), scale, double),
            Some(order) => order,
            None => near.total_cmp(&double),
        }
    })
}

/// The order of unscaled values of two scales: by what is in front of the point, then by what is behind it.
fn compare_decimals(a: i256, a_scale: i8, b: i256, b_scale: i8) -> Ordering {
    let ten_to = |digits: i8| ten_to::<i256>(digits.unsigned_abs().into());
    let (a_unit, b_unit) = (ten_to(a_scale), ten_to(b_scale));
    let scale = a_scale.max(b_scale);
    let behind = |value: i256, unit, own: i8| value.wrapping_rem(unit).wrapping_mul(ten_to(scale - own));
    a.wrapping_div(a_unit)
        .cmp(&b.wrapping_div(b_unit))
        .then_with(|| behind(a, a_unit, a_scale).cmp(&behind(b, b_unit, b_scale)))
}

fn ordered(comparison: Comparison, left: &Side, right: &Side, rows: usize, order: Order<'_>) -> BooleanArray {
    let outcome = BooleanBuffer::collect_bool(rows, |row| {
        let (i, j) = (if left.scalar { 0 } else { row }, if right.scalar { 0 } else { row });
        let nulls = (left.array.is_null(i), right.array.is_null(j));
        if nulls.0 || nulls.1 {
            return match comparison {
                Comparison::Distinct => nulls.0 != nulls.1,
                Comparison::NotDistinct => nulls.0 == nulls.1,
                _ => false,
            };
        }
        match comparison {
            Comparison::Less => order(i, j).is_lt(),
            Comparison::LessOrEqual => order(i, j).is_le(),
            Comparison::Greater => order(i, j).is_gt(),
            Comparison::GreaterOrEqual => order(i, j).is_ge(),
            Comparison::Equal | Comparison::NotDistinct => order(i, j).is_eq(),
            Comparison::NotEqual | Comparison::Distinct => order(i, j).is_ne(),
        }
    });
    BooleanArray::new(outcome, None)
}

/// Equality of arrays, maps and structs.
fn nested(comparison: Comparison, left: &ArrayRef, right: &ArrayRef) -> Result<BooleanArray> {
    if !comparison.is_equality() {
        return Err(DataFusionError::Plan(format!(
            "{} is not defined on {}",
            comparison.symbol(),
            left.data_type()
        )));
    }
    let outcome = BooleanBuffer::collect_bool(left.len(), |row| {
        let nulls = left.is_null(row) || right.is_null(row);
        let equal = || same(left, row, right, row);
        match comparison {
            Comparison::Equal => !nulls && equal(),
            Comparison::NotEqual => !nulls && !equal(),
            Comparison::Distinct => !equal(),
            _ => equal(),
        }
    });
    Ok(BooleanArray::new(outcome, None))
}

/// Whether two values of one type are the same, where NULL is the same as NULL. Maps have no order.
pub(crate) fn same(left: &dyn Array, i: usize, right: &dyn Array, j: usize) -> bool {
    if left.is_null(i) || right.is_null(j) {
        return left.is_null(i) && right.is_null(j);
    }
    match left.data_type() {
        DataType::List(_) => {
            let (a, b) = (left.as_list::<i32>().value(i), right.as_list::<i32>().value(j));
            a.len() == b.len() && (0..a.len()).all(|item| same(&a, item, &b, item))
        }
        DataType::Map(_, _) => {
            let (a, b) = (left.as_map().value(i), right.as_map().value(j));
            let (keys, values) = (b.column(0), b.column(1));
            a.len() == b.len()
                && (0..a.len()).all(|entry| {
                    (0..b.len()).any(|other| {
                        same(a.column(0), entry, keys, other) && same(a.column(1), entry, values, other)
                    })
                })
        }
        DataType::Struct(_) => {
            let columns = left.as_struct().columns().iter().zip(right.as_struct().columns());
            columns.into_iter().all(|(a, b)| same(a, i, b, j))
        }
        _ => left.slice(i, 1).to_data() == right.slice(j, 1).to_data(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int32Array, StringArray};

    use super::*;

    fn check(comparison: Comparison, left: ColumnarValue, right: ColumnarValue, expected: Vec<bool>) {
        let outcome = evaluate(comparison, &left, &right, expected.len()).unwrap();
        let outcome = outcome.into_array(expected.len()).unwrap();
        assert_eq!(outcome.as_boolean(), &BooleanArray::from(expected), "{}", comparison.symbol());
    }

    #[test]
    fn null_compares_as_false() {
        let ids = || ColumnarValue::Array(Arc::new(Int32Array::from(vec![Some(1), None, Some(3)])));
        let two = || ColumnarValue::Scalar(ScalarValue::Int64(Some(2)));
        check(Comparison::Less, ids(), two(), vec![true, false, false]);
        check(Comparison::NotEqual, ids(), two(), vec![true, false, true]);
        check(Comparison::Distinct, ids(), two(), vec![true, true, true]);
        check(Comparison::NotDistinct, ids(), ids(), vec![true, true, true]);
    }

    #[test]
    fn numbers_compare_by_value() {
        let half = || ColumnarValue::Scalar(ScalarValue::Decimal128(Some(150), 3, 2));
        let ids = ColumnarValue::Array(Arc::new(Int32Array::from(vec![1, 2])));
        check(Comparison::Greater, ids, half(), vec![false, true]);
        let same = ColumnarValue::Scalar(ScalarValue::Decimal128(Some(15), 2, 1));
        check(Comparison::Equal, same, half(), vec![true]);
    }

    #[test]
    fn decimals_compare_by_value_whatever_their_digits() {
        use Ordering::{Equal, Greater, Less};
        use arrow::array::Int64Array;
        let array = |text: Option<&str>, ty: &str| -> ArrayRef {
            if ty == "BIGINT" {
                return Arc::new(Int64Array::from(vec![text.map(|text| text.parse::<i64>().unwrap())]));
            }
            let text: ArrayRef = Arc::new(StringArray::from(vec![text]));
            let to = crate::types::SqlType::parse(ty).unwrap().to_arrow();
            cast::cast(&text, &to, &RowErrors::default()).unwrap()
        };
        let (nines, tenth) = ("9".repeat(76), format!("0.1{}", "0".repeat(75)));
        let (tiny, minus) = (format!("0.{}1", "0".repeat(75)), format!("-0.{}1", "0".repeat(75)));
        for (left, right, order) in [
            (("1.50", "DECIMAL(3,2)"), ("1.5", "DECIMAL(40,1)"), Equal),
            (("1.50", "DECIMAL(38,2)"), ("1.51", "DECIMAL(39,2)"), Less),
            (("2", "BIGINT"), ("1.9", "DECIMAL(60,1)"), Greater),
            // Together these would have more than 76 digits.
            ((&nines, "DECIMAL(76,0)"), (&tenth, "DECIMAL(76,76)"), Greater),
            (("0", "DECIMAL(76,0)"), (&tiny, "DECIMAL(76,76)"), Less),
            (("0", "DECIMAL(76,0)"), (&minus, "DECIMAL(76,76)"), Greater),
            (("0.1", "DECIMAL(76,1)"), (&tenth, "DECIMAL(76,76)"), Equal),
            (("-7", "BIGINT"), (&tenth, "DECIMAL(76,76)"), Less),
        ] {
            let (a, b) = (array(Some(left.0), left.1), array(Some(right.0), right.1));
            for (a, b, order) in [(&a, &b, order), (&b, &a, order.reverse())] {
                let sides = || (ColumnarValue::Array(a.clone()), ColumnarValue::Array(b.clone()));
                for (comparison, expected) in [
                    (Comparison::Equal, order == Equal),
                    (Comparison::NotEqual, order != Equal),
                    (Comparison::Less, order == Less),
                    (Comparison::GreaterOrEqual, order != Less),
                    (Comparison::Distinct, order != Equal),
                    (Comparison::NotDistinct, order == Equal),
                ] {
                    check(comparison, sides().0, sides().1, vec![expected]);
                }
            }
            let (some, none) = (|| array(Some(left.0), left.1), || array(None, right.1));
            for (left, right, distinct) in [(some(), none(), true), (array(None, left.1), none(), false)] {
                let sides = || (ColumnarValue::Array(left.clone()), ColumnarValue::Array(right.clone()));
                check(Comparison::Equal, sides().0, sides().1, vec![false]);
                check(Comparison::NotEqual, sides().0, sides().1, vec![false]);
                check(Comparison::Distinct, sides().0, sides().1, vec![distinct]);
                check(Comparison::NotDistinct, sides().0, sides().1, vec![!distinct]);
            }
        }
    }

    #[test]
    fn doubles_compare_with_decimals_as_what_they_print_as() {
        use arrow::array::Float64Array;
        let decimals = |texts: Vec<Option<&str>>, ty: &str| -> ArrayRef {
            let texts: ArrayRef = Arc::new(StringArray::from(texts));
            let to = crate::types::SqlType::parse(ty).unwrap().to_arrow();
            cast::cast(&texts, &to, &RowErrors::default()).unwrap()
        };
        let doubles = || ColumnarValue::Array(Arc::new(Float64Array::from(vec![Some(0.1), Some(0.2), None])));
        let (near, wide) = ("0.10000000000000000001", "DECIMAL(60,20)");
        for (texts, ty, equal, less) in [
            (
                vec![Some("0.1"), Some("0.1"), Some("0.1")],
                "DECIMAL(2,1)",
                [true, false, false],
                [false, false, false],
            ),
            (vec![Some("0.1"), Some("0.3"), Some("0.1")], wide, [true, false, false], [false, true, false]),
            (vec![Some(near), None, Some(near)], wide, [false; 3], [true, false, false]),
            (
                vec![Some(near), Some("0.2"), None],
                "DECIMAL(38,20)",
                [false, true, false],
                [true, false, false],
            ),
        ] {
            let column = || ColumnarValue::Array(decimals(texts.clone(), ty));
            check(Comparison::Equal, doubles(), column(), equal.to_vec());
            check(Comparison::Equal, column(), doubles(), equal.to_vec());
            check(Comparison::Less, doubles(), column(), less.to_vec());
            check(Comparison::Greater, column(), doubles(), less.to_vec());
        }
        for (constant, ty, less) in [
            ("0.1", "DECIMAL(2,1)", [false, false, false]),
            (near, wide, [true, false, false]),
            ("0.15", "DECIMAL(40,2)", [true, false, false]),
        ] {
            let scalar = || {
                let array = decimals(vec![Some(constant)], ty);
                ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0).unwrap())
            };
            check(Comparison::Less, doubles(), scalar(), less.to_vec());
            check(Comparison::Greater, scalar(), doubles(), less.to_vec());
        }
    }

    #[test]
    fn text_compares_with_a_constant() {
        let kinds = ColumnarValue::Array(Arc::new(StringArray::from(vec![Some("buy"), Some("sell"), None])));
        check(
            Comparison::Equal,
            kinds,
            ColumnarValue::Scalar(ScalarValue::from("buy")),
            vec![true, false, false],
        );
    }
}
