//! The table functions EXPLODE and CUBE_EXPLODE.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};

use super::lists::{ListMaker, list_of, range};
use crate::error::SqlError;
use crate::function::{Call, TableFunction};

/// More items have more combinations than a row may give.
const CUBE_ITEMS_MAX: usize = 20;

pub(super) fn functions() -> [TableFunction; 2] {
    [
        TableFunction::new("explode", "A row for every item of the array.")
            .forms(&["(ARRAY<T>) -> T", "(ARRAY<DECIMAL>) -> DECIMAL"], |call| call.array(0)),
        TableFunction::new(
            "cube_explode",
            "A row for every combination of the items of the array, the others NULL.",
        )
        .form("(ARRAY<T>) -> ARRAY<T>", cube),
    ]
}

/// Counts in binary: a bit says whether an item is there, the last item has the lowest. Items that are NULL look alike
/// either way, so combinations in which their bit is set are left out.
fn cube(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let lists = call.array(0)?;
    let lists = lists.as_list::<i32>();
    let items = lists.values();
    let mut combinations = ListMaker::new(Arc::clone(items), call.rows());
    let mut lengths = Vec::with_capacity(call.rows());
    for row in 0..call.rows() {
        let places: Vec<usize> = range(lists, row).into_iter().flatten().collect();
        if places.len() > CUBE_ITEMS_MAX {
            call.fail::<()>(format!("{} items have too many combinations", places.len()));
            lengths.push(0);
            continue;
        }
        if lists.is_null(row) {
            lengths.push(0);
            continue;
        }
        let bit = |place: usize| 1usize << (places.len() - 1 - place);
        let nulls = (0..places.len()).filter(|i| items.is_null(places[*i])).fold(0, |mask, i| mask | bit(i));
        let chosen = (0..1usize << places.len()).filter(|mask| mask & nulls == 0);
        let mut count = 0;
        for mask in chosen {
            combinations.push((0..places.len()).map(|i| (mask & bit(i) != 0).then_some(places[i])));
            count += 1;
        }
        lengths.push(count);
    }
    list_of(combinations.finish()?, lengths, None)
}
