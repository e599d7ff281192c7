//! FILTER, REDUCE and TRANSFORM.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, UInt32Array};
use arrow::compute;

use super::lists::{Equality, ListMaker, list_of, range};
use super::maps::{MapMaker, entries_of};
use crate::error::SqlError;
use crate::function::{Call, Category, ScalarFunction};

pub(super) fn functions() -> Vec<ScalarFunction> {
    vec![
        lambda("transform", "Every item, or every key and value, as the lambda makes it.")
            .form("(ARRAY<T>, LAMBDA(T) => R) -> ARRAY<R>", transform_list)
            .form("(MAP<K, V>, LAMBDA(K, V) => R, LAMBDA(K, V) => W) -> MAP<R, W>", transform_map),
        lambda("filter", "The items, or entries, for which the lambda is true.")
            .form("(ARRAY<T>, LAMBDA(T) => BOOLEAN) -> ARRAY<T>", filter_list)
            .form("(MAP<K, V>, LAMBDA(K, V) => BOOLEAN) -> MAP<K, V>", filter_map),
        lambda(
            "reduce",
            "What the lambda makes of the second argument and all items, or entries, one by one.",
        )
        .form("(ARRAY<T>, S, LAMBDA(S, T) => S) -> S", |call| {
            let lists = call.array(0)?;
            let lists = lists.as_list::<i32>();
            reduce(call, &[Arc::clone(lists.values())], |row| range(lists, row))
        })
        .form("(MAP<K, V>, S, LAMBDA(S, K, V) => S) -> S", |call| {
            let maps = call.array(0)?;
            let maps = maps.as_map();
            reduce(call, &[Arc::clone(maps.keys()), Arc::clone(maps.values())], |row| entries_of(maps, row))
        }),
    ]
}

fn lambda(name: &str, description: &str) -> ScalarFunction {
    ScalarFunction::new(name, description).category(Category::Lambda)
}

/// The items of all rows that a column has, and to which row each belongs.
struct Spread {
    places: UInt32Array,
    rows: UInt32Array,
    lengths: Vec<usize>,
}

impl Spread {
    fn new(rows: usize, places: impl Fn(usize) -> Option<Range<usize>>) -> Self {
        let (mut of_items, mut of_rows, mut lengths) = (Vec::new(), Vec::new(), Vec::with_capacity(rows));
        for row in 0..rows {
            let places = places(row).unwrap_or_default();
            lengths.push(places.len());
            of_rows.extend(std::iter::repeat_n(row as u32, places.len()));
            of_items.extend(places.map(|place| place as u32));
        }
        Self { places: of_items.into(), rows: of_rows.into(), lengths }
    }

    fn take(&self, values: &ArrayRef) -> Result<ArrayRef, SqlError> {
        Ok(compute::take(values, &self.places, None)?)
    }

    /// For every row the places of its items among the spread ones.
    fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let mut end = 0;
        self.lengths.iter().map(move |length| {
            end += length;
            end - length..end
        })
    }
}

fn transform_list(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let lists = call.array(0)?;
    let lists: &ListArray = lists.as_list();
    let spread = Spread::new(call.rows(), |row| range(lists, row));
    let made = call.lambda(1)?.apply(&[spread.take(lists.values())?], &spread.rows)?;
    list_of(made, spread.lengths, lists.nulls().cloned())
}

fn filter_list(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let lists = call.array(0)?;
    let lists: &ListArray = lists.as_list();
    let spread = Spread::new(call.rows(), |row| range(lists, row));
    let items = spread.take(lists.values())?;
    let keeps = call.lambda(1)?.apply(&[Arc::clone(&items)], &spread.rows)?;
    let keeps = known(call, keeps.as_ref());
    let mut out = ListMaker::new(items, call.rows());
    for (row, places) in spread.ranges().enumerate() {
        match lists.is_valid(row) {
            true => out.push(places.filter(|place| keeps(*place)).map(Some)),
            false => out.push_null(),
        }
    }
    out.finish()
}

/// Whether a truth value is true; one that is NULL is an error.
fn known<'a>(call: &'a Call<'_>, truths: &'a dyn Array) -> impl Fn(usize) -> bool + 'a {
    let truths = truths.as_boolean();
    move |place| match truths.is_valid(place) {
        true => truths.value(place),
        false => call.fail("the lambda gives NULL for an item").unwrap_or(false),
    }
}

fn filter_map(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let maps = call.array(0)?;
    let maps: &MapArray = maps.as_map();
    let spread = Spread::new(call.rows(), |row| entries_of(maps, row));
    let (keys, values) = (spread.take(maps.keys())?, spread.take(maps.values())?);
    let keeps = call.lambda(1)?.apply(&[Arc::clone(&keys), Arc::clone(&values)], &spread.rows)?;
    let keeps = known(call, keeps.as_ref());
    let mut out = MapMaker::new(call.rows());
    let mut kept = Vec::new();
    for (row, places) in spread.ranges().enumerate() {
        let before = kept.len();
        kept.extend(places.filter(|place| keeps(*place)).map(|place| place as u32));
        let failed = kept[before..].iter().any(|place| values.is_null(*place as usize));
        if failed {
            call.fail::<()>("an entry of the map has the value NULL");
            kept.truncate(before);
        }
        out.end((maps.is_valid(row) && !failed).then(|| kept.len() - before));
    }
    let kept = UInt32Array::from(kept);
    let (keys, values) = (compute::take(&keys, &kept, None)?, compute::take(&values, &kept, None)?);
    out.finish(&call.return_type().to_arrow(), keys, values)
}

fn transform_map(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let maps = call.array(0)?;
    let maps: &MapArray = maps.as_map();
    let spread = Spread::new(call.rows(), |row| entries_of(maps, row));
    let given = [spread.take(maps.keys())?, spread.take(maps.values())?];
    let keys = call.lambda(1)?.apply(&given, &spread.rows)?;
    let values = call.lambda(2)?.apply(&given, &spread.rows)?;
    let equality = Equality::of(&keys)?;
    let mut out = MapMaker::new(call.rows());
    let mut kept = Vec::new();
    for (row, places) in spread.ranges().enumerate() {
        let problem = if places.clone().any(|place| keys.is_null(place)) {
            Some("a key of the map would be NULL")
        } else if places.clone().any(|place| values.is_null(place)) {
            Some("a value of the map would be NULL")
        } else if equality.distinct(places.clone(), []).len() < places.len() {
            Some("two entries of the map would have the same key")
        } else {
            None
        };
        if let Some(problem) = problem {
            call.fail::<()>(problem);
        } else if maps.is_valid(row) {
            out.end(Some(places.len()));
            kept.extend(places.map(|place| place as u32));
            continue;
        }
        out.end(None);
    }
    let kept = UInt32Array::from(kept);
    let (keys, values) = (compute::take(&keys, &kept, None)?, compute::take(&values, &kept, None)?);
    out.finish(&call.return_type().to_arrow(), keys, values)
}

/// Step by step for all rows at once: the first items, then the second ones of the rows that have so many, and so on.
fn reduce(
    call: &Call<'_>,
    items: &[ArrayRef],
    places: impl Fn(usize) -> Option<Range<usize>>,
) -> Result<ArrayRef, SqlError> {
    let step = call.lambda(2)?;
    let mut state = call.array(1)?;
    let ranges: Vec<Range<usize>> =
        (0..call.rows()).map(|row| places(row).filter(|_| state.is_valid(row)).unwrap_or_default()).collect();
    let longest = ranges.iter().map(Range::len).max().unwrap_or(0);
    for round in 0..longest {
        let rows: Vec<u32> =
            (0u32..).zip(&ranges).filter(|(_, r)| r.len() > round).map(|(row, _)| row).collect();
        let now: UInt32Array = rows.iter().map(|row| (ranges[*row as usize].start + round) as u32).collect();
        let rows = UInt32Array::from(rows);
        let mut given = vec![compute::take(&state, &rows, None)?];
        for column in items {
            given.push(compute::take(column, &now, None)?);
        }
        let made = step.apply(&given, &rows)?;
        state = replace(&state, &rows, &made)?;
    }
    Ok(state)
}

/// `values` with those of some rows, in rising order, replaced.
fn replace(values: &ArrayRef, rows: &UInt32Array, by: &ArrayRef) -> Result<ArrayRef, SqlError> {
    if rows.len() == values.len() {
        return Ok(Arc::clone(by));
    }
    let mut next = 0;
    let places: Vec<(usize, usize)> = (0..values.len())
        .map(|row| {
            if next < rows.len() && rows.value(next) as usize == row {
                next += 1;
                (1, next - 1)
            } else {
                (0, row)
            }
        })
        .collect();
    Ok(compute::interleave(&[values, by], &places)?)
}
