//! Arrays, maps and structs: built from values, and taken apart.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayBuilder, ArrayRef, AsArray, ListArray, MapArray, StringArray, StructArray, UInt32Builder,
        make_comparator, new_null_array,
    },
    buffer::{NullBuffer, OffsetBuffer},
    compute::{SortOptions, interleave, take},
    datatypes::{DataType, Field, Fields, Int32Type, Int64Type},
    error::ArrowError,
};
use datafusion::error::{DataFusionError, Result};

use super::row_errors::RowErrors;

/// `base->field` by the field's place; NULL for a NULL struct.
pub(super) fn field(base: &ArrayRef, place: usize) -> Result<ArrayRef> {
    let structs = base.as_struct();
    let column = structs.column(place);
    let Some(nulls) = structs.nulls() else { return Ok(column.clone()) };
    let union = NullBuffer::union(Some(nulls), column.nulls());
    Ok(arrow::array::make_array(column.to_data().into_builder().nulls(union).build()?))
}

/// `base[index]`: from 1, negative from the end, NULL outside; of a map the value of the (last equal) key.
pub(super) fn subscript(base: &ArrayRef, index: &ArrayRef) -> Result<ArrayRef> {
    match base.data_type() {
        DataType::List(_) => item(base.as_list::<i32>(), index),
        DataType::Map(_, _) => value_of(base.as_map(), index),
        other => Err(DataFusionError::Plan(format!("cannot take an item of {other}"))),
    }
}

fn item(lists: &ListArray, index: &ArrayRef) -> Result<ArrayRef> {
    let at = |row: usize| match index.data_type() {
        DataType::Int32 => i64::from(index.as_primitive::<Int32Type>().value(row)),
        _ => index.as_primitive::<Int64Type>().value(row),
    };
    let mut places = UInt32Builder::with_capacity(lists.len());
    for row in 0..lists.len() {
        let (start, length) = (lists.value_offsets()[row], i64::from(lists.value_length(row)));
        let place = if lists.is_null(row) || index.is_null(row) {
            None
        } else {
            match at(row) {
                from_start @ 1.. => Some(from_start - 1),
                0 => None,
                from_end => Some(length + from_end),
            }
        };
        places.append_option(
            place.filter(|place| (0..length).contains(place)).map(|place| (i64::from(start) + place) as u32),
        );
    }
    Ok(take(lists.values(), &places.finish(), None)?)
}

fn value_of(maps: &MapArray, key: &ArrayRef) -> Result<ArrayRef> {
    let compare = make_comparator(maps.keys(), key, SortOptions::default())?;
    let mut places = UInt32Builder::with_capacity(maps.len());
    for row in 0..maps.len() {
        let entries = maps.value_offsets()[row] as usize..maps.value_offsets()[row + 1] as usize;
        let known = !maps.is_null(row) && !key.is_null(row);
        let place = entries.rev().find(|entry| known && compare(*entry, row).is_eq());
        places.append_option(place.map(|place| place as u32));
    }
    Ok(take(maps.values(), &places.finish(), None)?)
}

/// `ARRAY[a, b]`: one list per row of the items' values in that row.
pub(super) fn array(items: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let values = row_by_row(items, rows)?;
    let field = Arc::new(Field::new("item", values.data_type().clone(), true));
    let offsets = OffsetBuffer::from_repeated_length(items.len(), rows);
    Ok(Arc::new(ListArray::try_new(field, offsets, values, None)?))
}

/// `MAP(k := v, ..)` of the keys followed by as many values. A later entry takes the place of one with the same key.
///
/// A STRING key that is NULL is the text `null`, as which JSON writes it; any other is an error of the row.
pub(super) fn map(keys_and_values: &[ArrayRef], rows: usize, errors: &RowErrors) -> Result<ArrayRef> {
    let (keys, values) = keys_and_values.split_at(keys_and_values.len() / 2);
    let entries = keys.len();
    let (mut keys, values) = (row_by_row(keys, rows)?, row_by_row(values, rows)?);
    if keys.null_count() > 0 {
        keys = match keys.data_type() {
            DataType::Utf8 => {
                let texts = keys.as_string::<i32>().iter().map(|key| Some(key.unwrap_or("null")));
                Arc::new(texts.collect::<StringArray>())
            }
            other => {
                errors.add(|| format!("a map key of type {other} is NULL"));
                return Ok(new_null_array(&map_type(other, values.data_type()), rows));
            }
        };
    }
    let compare = make_comparator(&keys, &keys, SortOptions::default())?;
    let mut kept = UInt32Builder::with_capacity(keys.len());
    let mut lengths = Vec::with_capacity(rows);
    for row in 0..rows {
        let range = row * entries..(row + 1) * entries;
        let is_last = |entry: &usize| (entry + 1..range.end).all(|later| compare(*entry, later).is_ne());
        let before = kept.len();
        range.clone().filter(is_last).for_each(|entry| kept.append_value(entry as u32));
        lengths.push(kept.len() - before);
    }
    let kept = kept.finish();
    let (keys, values) = (take(&keys, &kept, None)?, take(&values, &kept, None)?);
    let DataType::Map(entry, sorted) = map_type(keys.data_type(), values.data_type()) else {
        unreachable!("the type of a map is a map")
    };
    let DataType::Struct(fields) = entry.data_type().clone() else {
        unreachable!("the entries of a map are structs")
    };
    let pairs = StructArray::try_new(fields, vec![keys, values], None)?;
    Ok(Arc::new(MapArray::try_new(entry, OffsetBuffer::from_lengths(lengths), pairs, None, sorted)?))
}

fn map_type(key: &DataType, value: &DataType) -> DataType {
    let fields = vec![Field::new("keys", key.clone(), false), Field::new("values", value.clone(), true)];
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(Fields::from(fields)), false)), false)
}

/// `STRUCT(f := v, ..)`.
pub(super) fn structure(fields: &Fields, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    if values.is_empty() {
        return Ok(Arc::new(StructArray::new_empty_fields(rows, None)));
    }
    Ok(Arc::new(StructArray::try_new(fields.clone(), values.to_vec(), None)?))
}

/// The first row of every column, then the second row of every column, and so on.
fn row_by_row(columns: &[ArrayRef], rows: usize) -> Result<ArrayRef, ArrowError> {
    let Some(first) = columns.first() else { return Ok(new_null_array(&DataType::Null, 0)) };
    if rows == 0 {
        return Ok(first.slice(0, 0));
    }
    let arrays: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
    let places: Vec<(usize, usize)> =
        (0..rows).flat_map(|row| (0..columns.len()).map(move |c| (c, row))).collect();
    interleave(&arrays, &places)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, StringArray};

    use super::*;

    #[test]
    fn arrays_count_from_one_and_from_the_end() {
        let items: [ArrayRef; 2] =
            [Arc::new(Int32Array::from(vec![1; 5])), Arc::new(Int32Array::from(vec![2; 5]))];
        let lists = array(&items, 5).unwrap();
        let index: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), Some(-1), Some(0), Some(3), None]));
        let found = subscript(&lists, &index).unwrap();
        assert_eq!(found.as_ref(), &Int32Array::from(vec![Some(1), Some(2), None, None, None]));
    }

    #[test]
    fn maps_and_structs() {
        let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value; 2])) };
        let values = |value: i32| -> ArrayRef { Arc::new(Int32Array::from(vec![value; 2])) };
        let maps = map(&[text("a"), text("b"), values(1), values(2)], 2, &RowErrors::default()).unwrap();
        let keys: ArrayRef = Arc::new(StringArray::from(vec!["b", "c"]));
        assert_eq!(subscript(&maps, &keys).unwrap().as_ref(), &Int32Array::from(vec![Some(2), None]));
        let fields = Fields::from(vec![Field::new("F", DataType::Int32, true)]);
        let structs = structure(&fields, &[values(7)], 2).unwrap();
        assert_eq!(field(&structs, 0).unwrap().as_ref(), &Int32Array::from(vec![7, 7]));
    }
}
