//! Lists that are made of items that exist already, and which items are equal.

use std::sync::Arc;

use arrow::array::{Array, ArrayBuilder, ArrayRef, AsArray, ListArray, UInt32Builder};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute;
use arrow::datatypes::{DataType, Field};
use arrow::row::{RowConverter, Rows, SortField};
use hashbrown::HashSet;

use crate::error::SqlError;
use crate::expression::comparison::same;

/// Lists in the making, out of the items of one column.
pub(super) struct ListMaker {
    items: ArrayRef,
    taken: UInt32Builder,
    lengths: Vec<usize>,
    present: Vec<bool>,
}

impl ListMaker {
    pub(super) fn new(items: ArrayRef, rows: usize) -> Self {
        Self {
            taken: UInt32Builder::with_capacity(items.len()),
            items,
            lengths: Vec::with_capacity(rows),
            present: Vec::with_capacity(rows),
        }
    }

    /// Appends a list of these items; `None` is an item that is NULL.
    pub(super) fn push(&mut self, items: impl IntoIterator<Item = Option<usize>>) {
        let before = self.taken.len();
        for item in items {
            self.taken.append_option(item.map(|item| item as u32));
        }
        self.lengths.push(self.taken.len() - before);
        self.present.push(true);
    }

    /// Appends NULL.
    pub(super) fn push_null(&mut self) {
        self.lengths.push(0);
        self.present.push(false);
    }

    /// Appends a list, or NULL.
    pub(super) fn push_option(&mut self, items: Option<impl IntoIterator<Item = Option<usize>>>) {
        match items {
            Some(items) => self.push(items),
            None => self.push_null(),
        }
    }

    pub(super) fn finish(mut self) -> Result<ArrayRef, SqlError> {
        let items = compute::take(&self.items, &self.taken.finish(), None)?;
        list_of(items, self.lengths, Some(NullBuffer::from(self.present)))
    }
}

/// Lists of so many items each.
pub(super) fn list_of(
    items: ArrayRef,
    lengths: impl IntoIterator<Item = usize>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, SqlError> {
    let field = Arc::new(Field::new("item", items.data_type().clone(), true));
    Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), items, nulls)?))
}

/// The places of the items of a row's list, `None` for NULL.
pub(super) fn range(lists: &ListArray, row: usize) -> Option<std::ops::Range<usize>> {
    let offsets = lists.value_offsets();
    lists.is_valid(row).then(|| offsets[row] as usize..offsets[row + 1] as usize)
}

/// The items of several list columns as one column, and from which place on those of each stand.
pub(super) fn join_items(columns: &[&ArrayRef]) -> Result<(ArrayRef, Vec<usize>), SqlError> {
    let items: Vec<&dyn Array> = columns.iter().map(|c| c.as_list::<i32>().values() as &dyn Array).collect();
    let mut from = 0;
    let starts = items
        .iter()
        .map(|items| {
            from += items.len();
            from - items.len()
        })
        .collect();
    Ok((compute::concat(&items)?, starts))
}

/// Tells which values of a column are equal; NULL equals NULL.
pub(super) struct Equality<'a> {
    values: &'a ArrayRef,
    /// In which equal values have equal bytes; there is no such form of maps.
    rows: Option<Rows>,
}

impl<'a> Equality<'a> {
    pub(super) fn of(values: &'a ArrayRef) -> Result<Self, SqlError> {
        let field = SortField::new(values.data_type().clone());
        let rows = match has_map(values.data_type()) {
            true => None,
            false => Some(RowConverter::new(vec![field])?.convert_columns(std::slice::from_ref(values))?),
        };
        Ok(Self { values, rows })
    }

    pub(super) fn equal(&self, i: usize, j: usize) -> bool {
        match &self.rows {
            Some(rows) => rows.row(i) == rows.row(j),
            None => same(self.values, i, self.values, j),
        }
    }

    /// The places among these of which no earlier one is equal, nor one of `without`.
    pub(super) fn distinct(
        &self,
        places: impl IntoIterator<Item = usize>,
        without: impl IntoIterator<Item = usize>,
    ) -> Vec<usize> {
        let mut kept = Vec::new();
        match &self.rows {
            Some(rows) => {
                let mut seen: HashSet<&[u8]> = without.into_iter().map(|i| rows.row(i).data()).collect();
                kept.extend(places.into_iter().filter(|i| seen.insert(rows.row(*i).data())));
            }
            None => {
                let mut seen: Vec<usize> = without.into_iter().collect();
                for place in places {
                    if !seen.iter().any(|known| self.equal(*known, place)) {
                        seen.push(place);
                        kept.push(place);
                    }
                }
            }
        }
        kept
    }
}

fn has_map(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(_, _) => true,
        DataType::List(item) => has_map(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_map(field.data_type())),
        _ => false,
    }
}
