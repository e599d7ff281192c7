//! Functions of maps.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, MapArray, StringBuilder, StructArray, UInt32Builder};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute;
use arrow::datatypes::{DataType, Fields};
use hashbrown::HashMap;

use super::lists::{list_of, range};
use super::order::compare_text;
use crate::error::SqlError;
use crate::function::{Call, Category, ScalarFunction};

pub(super) fn functions() -> Vec<ScalarFunction> {
    vec![
        map("as_map", "The map of the keys in the first array to the values in the second.")
            .form("(ARRAY<STRING>, ARRAY<T>) -> MAP<STRING, T>", as_map),
        map("entries", "The keys and values of the map, sorted by key if the second argument is true.")
            .forms(
                &[
                    "(MAP<STRING, INT>, BOOLEAN!) -> ARRAY<STRUCT<K STRING, V INT>>",
                    "(MAP<STRING, BIGINT>, BOOLEAN!) -> ARRAY<STRUCT<K STRING, V BIGINT>>",
                    "(MAP<STRING, DOUBLE>, BOOLEAN!) -> ARRAY<STRUCT<K STRING, V DOUBLE>>",
                    "(MAP<STRING, BOOLEAN>, BOOLEAN!) -> ARRAY<STRUCT<K STRING, V BOOLEAN>>",
                    "(MAP<STRING, STRING>, BOOLEAN!) -> ARRAY<STRUCT<K STRING, V STRING>>",
                ],
                entries,
            ),
        map("map_keys", "The keys of the map.")
            .form("(MAP<STRING, T>) -> ARRAY<STRING>", |call| side(call, 0)),
        map("map_values", "The values of the map.")
            .form("(MAP<STRING, T>) -> ARRAY<T>", |call| side(call, 1)),
        map("map_union", "The entries of both maps; the second wins.")
            .form("(MAP<STRING, T>, MAP<STRING, T>) -> MAP<STRING, T>", union),
        map("split_to_map", "The map of text cut into entries, and those into keys and values.")
            .form("(STRING, STRING, STRING) -> MAP<STRING, STRING>", split),
    ]
}

fn map(name: &str, description: &str) -> ScalarFunction {
    ScalarFunction::new(name, description).category(Category::Map)
}

/// Maps in the making.
pub(super) struct MapMaker {
    lengths: Vec<usize>,
    present: Vec<bool>,
}

impl MapMaker {
    pub(super) fn new(rows: usize) -> Self {
        Self { lengths: Vec::with_capacity(rows), present: Vec::with_capacity(rows) }
    }

    /// Ends a map of so many entries, or says that there is none.
    pub(super) fn end(&mut self, entries: Option<usize>) {
        self.lengths.push(entries.unwrap_or(0));
        self.present.push(entries.is_some());
    }

    /// The maps with all their keys, of which none is NULL, and values, as a column of this type.
    pub(super) fn finish(
        self,
        data_type: &DataType,
        keys: ArrayRef,
        values: ArrayRef,
    ) -> Result<ArrayRef, SqlError> {
        let DataType::Map(entry, sorted) = data_type else {
            return Err(SqlError::invalid(format!("{data_type} is not the type of a map")));
        };
        let fields: Fields = match entry.data_type() {
            DataType::Struct(fields) => fields.clone(),
            other => return Err(SqlError::invalid(format!("{other} is not the type of an entry"))),
        };
        let entries = StructArray::try_new(fields, vec![keys, values], None)?;
        let offsets = OffsetBuffer::from_lengths(self.lengths);
        let nulls = Some(NullBuffer::from(self.present));
        Ok(Arc::new(MapArray::try_new(Arc::clone(entry), offsets, entries, nulls, *sorted)?))
    }
}

/// The places of the entries of a row's map, `None` for NULL.
pub(super) fn entries_of(maps: &MapArray, row: usize) -> Option<std::ops::Range<usize>> {
    let offsets = maps.value_offsets();
    maps.is_valid(row).then(|| offsets[row] as usize..offsets[row + 1] as usize)
}

fn as_map(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let (keys, values) = (call.array(0)?, call.array(1)?);
    let (keys, values) = (keys.as_list::<i32>(), values.as_list::<i32>());
    let names = keys.values().as_string::<i32>();
    let (mut out, mut taken_keys, mut taken) =
        (MapMaker::new(call.rows()), StringBuilder::new(), UInt32Builder::new());
    for row in 0..call.rows() {
        let (Some(keys), Some(values)) = (range(keys, row), range(values, row)) else {
            out.end(None);
            continue;
        };
        let key = |place: usize| if names.is_null(place) { "null" } else { names.value(place) };
        let mut last: HashMap<&str, usize> = HashMap::with_capacity(keys.len());
        let mut order = Vec::with_capacity(keys.len());
        for (i, place) in keys.enumerate() {
            if last.insert(key(place), i).is_none() {
                order.push(key(place));
            }
        }
        for name in &order {
            let value = values.start + last[name];
            taken_keys.append_value(name);
            taken.append_option((value < values.end).then_some(value as u32));
        }
        out.end(Some(order.len()));
    }
    let values = compute::take(values.values(), &taken.finish(), None)?;
    out.finish(&call.return_type().to_arrow(), Arc::new(taken_keys.finish()), values)
}

fn entries(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let maps = call.array(0)?;
    let maps = maps.as_map();
    let sorted = call.booleans(1);
    let keys = maps.keys().as_string::<i32>();
    let (mut taken, mut lengths, mut present) = (UInt32Builder::new(), Vec::new(), Vec::new());
    for row in 0..call.rows() {
        let mut places: Vec<usize> = entries_of(maps, row).into_iter().flatten().collect();
        if sorted.get(row) == Some(true) {
            places.sort_by(|i, j| compare_text(keys.value(*i), keys.value(*j)));
        }
        places.iter().for_each(|place| taken.append_value(*place as u32));
        lengths.push(places.len());
        present.push(maps.is_valid(row));
    }
    let taken = taken.finish();
    let columns =
        vec![compute::take(maps.keys(), &taken, None)?, compute::take(maps.values(), &taken, None)?];
    let fields = match call.return_type().to_arrow() {
        DataType::List(item) => match item.data_type() {
            DataType::Struct(fields) => fields.clone(),
            _ => Fields::empty(),
        },
        _ => Fields::empty(),
    };
    list_of(Arc::new(StructArray::try_new(fields, columns, None)?), lengths, Some(NullBuffer::from(present)))
}

/// The keys or the values, in the order of the entries.
fn side(call: &Call<'_>, column: usize) -> Result<ArrayRef, SqlError> {
    let maps = call.array(0)?;
    let maps = maps.as_map();
    let lengths: Vec<usize> =
        (0..call.rows()).map(|row| entries_of(maps, row).unwrap_or_default().len()).collect();
    let mut taken = UInt32Builder::new();
    for row in 0..call.rows() {
        entries_of(maps, row).into_iter().flatten().for_each(|place| taken.append_value(place as u32));
    }
    let items = compute::take(maps.entries().column(column), &taken.finish(), None)?;
    list_of(items, lengths, maps.nulls().cloned())
}

fn union(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let (first, second) = (call.array(0)?, call.array(1)?);
    let (first, second) = (first.as_map(), second.as_map());
    let second_from = first.keys().len();
    let keys = compute::concat(&[first.keys(), second.keys()])?;
    let values = compute::concat(&[first.values(), second.values()])?;
    let names = keys.as_string::<i32>();
    let (mut out, mut taken) = (MapMaker::new(call.rows()), UInt32Builder::new());
    for row in 0..call.rows() {
        let (a, b) = (entries_of(first, row), entries_of(second, row));
        if a.is_none() && b.is_none() {
            out.end(None);
            continue;
        }
        let b = b.map(|places| places.start + second_from..places.end + second_from);
        let mut known: HashMap<&str, usize> = HashMap::new();
        let mut union: Vec<usize> = Vec::new();
        for place in a.into_iter().flatten().chain(b.into_iter().flatten()) {
            let next = union.len();
            match *known.entry(names.value(place)).or_insert(next) {
                same if same < next => union[same] = place,
                _ => union.push(place),
            }
        }
        union.iter().for_each(|place| taken.append_value(*place as u32));
        out.end(Some(union.len()));
    }
    let taken = taken.finish();
    let (keys, values) = (compute::take(&keys, &taken, None)?, compute::take(&values, &taken, None)?);
    out.finish(&call.return_type().to_arrow(), keys, values)
}

fn split(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let (texts, entries, pairs) = (call.strings(0), call.strings(1), call.strings(2));
    let (mut out, mut keys, mut values) =
        (MapMaker::new(call.rows()), StringBuilder::new(), StringBuilder::new());
    for row in 0..call.rows() {
        let (Some(text), Some(entry), Some(pair)) = (texts.get(row), entries.get(row), pairs.get(row)) else {
            out.end(None);
            continue;
        };
        if entry.is_empty() || pair.is_empty() || entry == pair {
            out.end(None);
            continue;
        }
        let mut found: Vec<(&str, &str)> = Vec::new();
        for part in text.split(entry).filter(|part| !part.is_empty()) {
            let mut pieces = part.split(pair);
            let (Some(key), Some(value)) = (pieces.next(), pieces.next()) else { continue };
            match found.iter_mut().find(|(known, _)| *known == key) {
                Some(known) => known.1 = value,
                None => found.push((key, value)),
            }
        }
        for (key, value) in &found {
            keys.append_value(key);
            values.append_value(value);
        }
        out.end(Some(found.len()));
    }
    out.finish(&call.return_type().to_arrow(), Arc::new(keys.finish()), Arc::new(values.finish()))
}
