//! Functions of arrays.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Builder, Int64Builder, ListArray, ListBuilder,
    UInt32Builder, make_comparator,
};
use arrow::compute::{self, SortOptions};
use arrow::datatypes::{DataType, Int32Type};

use super::lists::{Equality, ListMaker, join_items, range};
use super::order::{compare_bytes, compare_text};
use crate::error::SqlError;
use crate::expression::cast::write_value;
use crate::function::{Call, Category, ScalarFunction};
use crate::types::SqlType;

/// A series longer than this is an error of its row.
const SERIES_MAX: u64 = 1 << 24;

pub(super) fn functions() -> Vec<ScalarFunction> {
    vec![
        array("ARRAY_LENGTH", "Number of items.").form("(ARRAY<T>) -> INT", |call| {
            let lists = call.lists(0);
            call.build::<Int32Type>(|row| i32::try_from(lists.get(row)?.len()).ok())
        }),
        array("array_contains", "Whether the array has such an item; NULL is found as well.")
            .form("(ARRAY<T>, T) -> BOOLEAN", contains),
        array("array_join", "The items as text with ',' or the second argument between them.")
            .forms(&["(ARRAY<T>) -> STRING", "(ARRAY<T>, STRING) -> STRING"], join),
        array("array_concat", "The items of both arrays.").form("(ARRAY<T>, ARRAY<T>) -> ARRAY<T>", |call| {
            combine(call, |_, left, right| match (left, right) {
                (None, None) => None,
                (left, right) => {
                    Some(left.into_iter().flatten().chain(right.into_iter().flatten()).collect())
                }
            })
        }),
        array("array_distinct", "Every item once, in the order in which they come first.")
            .form("(ARRAY<T>) -> ARRAY<T>", distinct),
        array("array_except", "Every item of the first array that is not in the second, once.")
            .form("(ARRAY<T>, ARRAY<T>) -> ARRAY<T>", |call| {
                combine(call, |equality, left, right| Some(equality.distinct(left?, right?)))
            }),
        array("array_intersect", "Every item of the first array that is in the second, too, once.").form(
            "(ARRAY<T>, ARRAY<T>) -> ARRAY<T>",
            |call| {
                combine(call, |equality, left, right| {
                    let (left, right) = (left?, right?);
                    let in_both = |place: &usize| right.clone().any(|other| equality.equal(*place, other));
                    Some(equality.distinct(left.filter(in_both), []))
                })
            },
        ),
        array("array_union", "Every item of both arrays, once.")
            .form("(ARRAY<T>, ARRAY<T>) -> ARRAY<T>", |call| {
                combine(call, |equality, left, right| Some(equality.distinct(left?.chain(right?), [])))
            }),
        array("array_remove", "The array without the items that equal the second argument.")
            .form("(ARRAY<T>, T) -> ARRAY<T>", remove),
        extreme("ARRAY_MAX", "The largest item; NULLs are passed over.", Ordering::Greater),
        extreme("array_min", "The smallest item; NULLs are passed over.", Ordering::Less),
        array("array_sort", "The items in order, or with DESC in falling order; NULLs come last.")
            .forms(&["(ARRAY<T>) -> ARRAY<T>", "(ARRAY<T>, STRING) -> ARRAY<T>"], sort),
        array("slice", "The items from one place to another, both included and counted from 1.")
            .form("(ARRAY<T>, INT, INT) -> ARRAY<T>", slice),
        array(
            "generate_series",
            "The numbers from the first to the second argument, by steps of 1 or the third.",
        )
        .forms(&["(INT!, INT!) -> ARRAY<INT>", "(INT!, INT!, INT!) -> ARRAY<INT>"], |call| {
            let (starts, ends) = (call.ints(0), call.ints(1));
            let mut out = ListBuilder::new(Int32Builder::new());
            for row in 0..call.rows() {
                let bounds = starts.get(row).zip(ends.get(row)).map(|(a, b)| (a.into(), b.into()));
                let series = bounds.and_then(|(start, end)| series(call, row, start, end));
                // All between two INTs are.
                out.append_option(series.map(|numbers| numbers.map(|number| Some(number as i32))));
            }
            Ok(Arc::new(out.finish()))
        })
        .forms(
            &["(BIGINT!, BIGINT!) -> ARRAY<BIGINT>", "(BIGINT!, BIGINT!, INT!) -> ARRAY<BIGINT>"],
            |call| {
                let (starts, ends) = (call.bigints(0), call.bigints(1));
                let mut out = ListBuilder::new(Int64Builder::new());
                for row in 0..call.rows() {
                    let bounds = starts.get(row).zip(ends.get(row));
                    let series = bounds.and_then(|(start, end)| series(call, row, start, end));
                    out.append_option(series.map(|numbers| numbers.map(Some)));
                }
                Ok(Arc::new(out.finish()))
            },
        ),
    ]
}

fn array(name: &str, description: &str) -> ScalarFunction {
    ScalarFunction::new(name, description).category(Category::Array)
}

fn contains(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let (lists, wanted) = (call.array(0)?, call.array(1)?);
    let lists = lists.as_list::<i32>();
    let wanted_from = lists.values().len();
    let items = compute::concat(&[lists.values(), &wanted])?;
    let equality = Equality::of(&items)?;
    let found = (0..call.rows()).map(|row| {
        let mut places = range(lists, row).unwrap_or_default();
        Some(places.any(|item| equality.equal(item, wanted_from + row)))
    });
    Ok(Arc::new(found.collect::<BooleanArray>()))
}

fn join(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let SqlType::Array(item) = call.arg_type(0) else { return call.array(0) };
    let printable = item.is_numeric() || matches!(**item, SqlType::Boolean | SqlType::String);
    if !printable {
        return Err(SqlError::invalid(format!("ARRAY_JOIN cannot print items of type {item}")));
    }
    let lists = call.array(0)?;
    let lists = lists.as_list::<i32>();
    let items = lists.values();
    call.build_strings(|row, out| {
        let places = range(lists, row)?;
        let delimiter = if call.arg_count() > 1 { call.strings(1).get(row).unwrap_or("") } else { "," };
        for item in places.clone() {
            out.push_str(if item > places.start { delimiter } else { "" });
            write_value(items, item, out);
        }
        Some(())
    })
}

/// An array of items of two, whose places are in one column.
fn combine(
    call: &Call<'_>,
    choose: impl Fn(&Equality<'_>, Option<Range<usize>>, Option<Range<usize>>) -> Option<Vec<usize>>,
) -> Result<ArrayRef, SqlError> {
    let (left, right) = (call.array(0)?, call.array(1)?);
    let (items, starts) = join_items(&[&left, &right])?;
    let equality = Equality::of(&items)?;
    let mut out = ListMaker::new(Arc::clone(&items), call.rows());
    let (left, right) = (left.as_list::<i32>(), right.as_list::<i32>());
    for row in 0..call.rows() {
        let moved = range(right, row).map(|places| places.start + starts[1]..places.end + starts[1]);
        let chosen = choose(&equality, range(left, row), moved);
        out.push_option(chosen.map(|places| places.into_iter().map(Some)));
    }
    out.finish()
}

fn distinct(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let lists = call.array(0)?;
    let lists = lists.as_list::<i32>();
    let equality = Equality::of(lists.values())?;
    let mut out = ListMaker::new(Arc::clone(lists.values()), call.rows());
    for row in 0..call.rows() {
        out.push_option(range(lists, row).map(|places| equality.distinct(places, []).into_iter().map(Some)));
    }
    out.finish()
}

fn remove(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let (lists, victims) = (call.array(0)?, call.array(1)?);
    let lists = lists.as_list::<i32>();
    let victims_from = lists.values().len();
    let items = compute::concat(&[lists.values(), &victims])?;
    let equality = Equality::of(&items)?;
    let mut out = ListMaker::new(Arc::clone(&items), call.rows());
    for row in 0..call.rows() {
        let stays = |item: &usize| !equality.equal(*item, victims_from + row);
        out.push_option(range(lists, row).map(|places| places.filter(stays).map(Some)));
    }
    out.finish()
}

/// Orders the values of a column that are not NULL.
type Order<'a> = Box<dyn Fn(usize, usize) -> Ordering + 'a>;

fn order(items: &ArrayRef) -> Result<Order<'_>, SqlError> {
    Ok(match items.data_type() {
        DataType::Utf8 => {
            let texts = items.as_string::<i32>();
            Box::new(move |i, j| compare_text(texts.value(i), texts.value(j)))
        }
        DataType::Binary => {
            let bytes = items.as_binary::<i32>();
            Box::new(move |i, j| compare_bytes(bytes.value(i), bytes.value(j)))
        }
        _ => make_comparator(items, items, SortOptions::default())?,
    })
}

fn extreme(name: &str, description: &str, wins: Ordering) -> ScalarFunction {
    array(name, description).form("(ARRAY<T>) -> T", move |call| {
        if is_nested(call.return_type()) {
            return Err(SqlError::invalid(format!("items of type {} have no order", call.return_type())));
        }
        let lists = call.array(0)?;
        let lists = lists.as_list::<i32>();
        let items = lists.values();
        let order = order(items)?;
        let mut found = UInt32Builder::with_capacity(call.rows());
        for row in 0..call.rows() {
            let places = range(lists, row).unwrap_or_default().filter(|item| items.is_valid(*item));
            let best = places.reduce(|best, item| if order(item, best) == wins { item } else { best });
            found.append_option(best.map(|item| item as u32));
        }
        Ok(compute::take(items, &found.finish(), None)?)
    })
}

fn is_nested(ty: &SqlType) -> bool {
    matches!(ty, SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(_))
}

fn sort(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let lists = call.array(0)?;
    let lists = lists.as_list::<i32>();
    let items = lists.values();
    let SqlType::Array(item) = call.arg_type(0) else { return call.array(0) };
    if is_nested(item) {
        return Err(SqlError::invalid(format!("items of type {item} have no order")));
    }
    let order = order(items)?;
    let mut out = ListMaker::new(Arc::clone(items), call.rows());
    for row in 0..call.rows() {
        let falling = match call.arg_count() {
            1 => Some(false),
            _ => call.strings(1).get(row).and_then(falling),
        };
        let (Some(places), Some(falling)) = (range(lists, row), falling) else {
            out.push_null();
            continue;
        };
        let (mut sorted, nulls): (Vec<usize>, Vec<usize>) = places.partition(|item| items.is_valid(*item));
        match falling {
            false => sorted.sort_by(|i, j| order(*i, *j)),
            true => sorted.sort_by(|i, j| order(*j, *i)),
        }
        out.push(sorted.into_iter().chain(nulls).map(Some));
    }
    out.finish()
}

fn falling(direction: &str) -> Option<bool> {
    match direction.to_ascii_uppercase().as_str() {
        "ASC" | "ASCENDING" => Some(false),
        "DESC" | "DESCENDING" => Some(true),
        _ => None,
    }
}

fn slice(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let lists = call.array(0)?;
    let lists: &ListArray = lists.as_list();
    let (from, to) = (call.ints(1), call.ints(2));
    let mut out = ListMaker::new(Arc::clone(lists.values()), call.rows());
    for row in 0..call.rows() {
        let part = range(lists, row).and_then(|places| {
            let length = i64::try_from(places.len()).ok()?;
            let first = from.get(row).map_or(0, |from| i64::from(from) - 1);
            let end = to.get(row).map_or(length, i64::from);
            let fits = (0..=length).contains(&first) && (first..=length).contains(&end);
            fits.then(|| places.start + first as usize..places.start + end as usize)
        });
        out.push_option(part.map(|places| places.map(Some)));
    }
    out.finish()
}

fn series(call: &Call<'_>, row: usize, start: i64, end: i64) -> Option<impl Iterator<Item = i64>> {
    let step = match call.arg_count() {
        2 => {
            if end > start {
                1
            } else {
                -1
            }
        }
        _ => i64::from(call.ints(2).get(row)?),
    };
    if step == 0 {
        return call.fail("the step must not be 0");
    }
    let distance = i128::from(end) - i128::from(start);
    if (distance > 0 && step < 0) || (distance < 0 && step > 0) {
        return call.fail(format!("step {step} leads away from {end}, seen from {start}"));
    }
    let steps = u64::try_from(distance / i128::from(step)).ok()?;
    if steps >= SERIES_MAX {
        return call.fail(format!("a series of {steps} numbers is too long"));
    }
    Some((0..=steps as i64).map(move |i| start + i * step))
}
