//! TOPK and TOPKDISTINCT: the largest values, in falling order.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, StructArray};
use arrow::datatypes::{
    DataType, Date32Type, Fields, Float64Type, Int32Type, Int64Type, Time32MillisecondType,
    TimestampMillisecondType,
};

use super::cell::{Binary, Cell, Nested, OrderedCell, Primitive, Text};
use super::collect::ListOutput;
use crate::ast::Literal;
use crate::decimal::of_decimals;
use crate::error::SqlError;
use crate::function::fold::{Fold, Folding, put_count, take_exact};
use crate::function::{Accumulator, AggregateCall, AggregateFunction};
use crate::types::{SqlType, StructField};

pub(super) fn topk() -> AggregateFunction {
    let types = ["INT", "BIGINT", "DOUBLE", "STRING"];
    let plain = types.map(|ty| format!("({ty}, LITERAL INT) -> ARRAY<{ty}>"));
    let plain: Vec<&str> = plain.iter().map(String::as_str).collect();
    let mut function = AggregateFunction::new(
        "TOPK",
        "The k largest values, largest first; with more columns as structs with those.",
    )
    .forms(&plain, |call| values(call, false));
    for ty in types {
        let signature = format!("({ty}, ANY, ANY..., LITERAL INT) -> ARRAY<{ty}>");
        function = function.forms(&[&signature], rows).returning(|args| {
            let columns = &args[..args.len() - 1];
            SqlType::Array(Box::new(SqlType::Struct(row_fields(columns))))
        });
    }
    function
}

pub(super) fn topk_distinct() -> AggregateFunction {
    let types = ["INT", "BIGINT", "DOUBLE", "STRING", "DECIMAL", "DATE", "TIME", "TIMESTAMP", "BYTES"];
    let forms = types.map(|ty| format!("({ty}, LITERAL INT) -> ARRAY<{ty}>"));
    let forms: Vec<&str> = forms.iter().map(String::as_str).collect();
    AggregateFunction::new("TOPKDISTINCT", "The k largest different values, largest first.")
        .forms(&forms, |call| values(call, true))
}

/// The column that is sorted by, then the others.
fn row_fields(columns: &[SqlType]) -> Vec<StructField> {
    let name =
        |place: usize| place.checked_sub(1).map_or("sort_col".to_owned(), |other| format!("col{other}"));
    columns.iter().enumerate().map(|(place, ty)| StructField { name: name(place), ty: ty.clone() }).collect()
}

fn most(call: &AggregateCall<'_>) -> Result<usize, SqlError> {
    let most = match call.literals.first() {
        Some(Literal::Int(k)) => usize::try_from(*k).ok().filter(|k| *k > 0),
        _ => None,
    };
    most.ok_or_else(|| SqlError::invalid("k must be at least 1"))
}

fn values(call: &AggregateCall<'_>, distinct: bool) -> Result<Box<dyn Accumulator>, SqlError> {
    let most = most(call)?;
    let ty = &call.arg_types[0];
    let item = ty.to_arrow();
    macro_rules! top {
        ($cell:expr) => {
            Folding::boxed(TopK { cell: $cell, most, item, distinct })
        };
    }
    Ok(match ty {
        SqlType::Int => top!(Primitive::<Int32Type>::of(ty)),
        SqlType::Bigint => top!(Primitive::<Int64Type>::of(ty)),
        SqlType::Double => top!(Primitive::<Float64Type>::of(ty)),
        SqlType::Decimal { .. } => of_decimals!(ty.to_arrow(), |Number| top!(Primitive::<Number>::of(ty))),
        SqlType::Date => top!(Primitive::<Date32Type>::of(ty)),
        SqlType::Time => top!(Primitive::<Time32MillisecondType>::of(ty)),
        SqlType::Timestamp => top!(Primitive::<TimestampMillisecondType>::of(ty)),
        SqlType::Bytes => top!(Binary),
        _ => top!(Text),
    })
}

fn rows(call: &AggregateCall<'_>) -> Result<Box<dyn Accumulator>, SqlError> {
    let most = most(call)?;
    let ty = &call.arg_types[0];
    let row = SqlType::Struct(row_fields(call.arg_types));
    let kept = Nested::of(&row)?;
    let item = row.to_arrow();
    let DataType::Struct(fields) = item.clone() else {
        return Err(SqlError::invalid(format!("{row} is no STRUCT")));
    };
    Ok(match ty {
        SqlType::Int => {
            Folding::boxed(TopRows { cell: Primitive::<Int32Type>::of(ty), row: kept, fields, most, item })
        }
        SqlType::Bigint => {
            Folding::boxed(TopRows { cell: Primitive::<Int64Type>::of(ty), row: kept, fields, most, item })
        }
        SqlType::Double => {
            Folding::boxed(TopRows { cell: Primitive::<Float64Type>::of(ty), row: kept, fields, most, item })
        }
        _ => Folding::boxed(TopRows { cell: Text, row: kept, fields, most, item }),
    })
}

struct TopK<C> {
    cell: C,
    most: usize,
    item: DataType,
    distinct: bool,
}

impl<C: OrderedCell> TopK<C> {
    /// Inserts behind all values at least as large, and drops what is too many.
    fn insert(&self, state: &mut Vec<C::Value>, value: C::Value) {
        let position = state.partition_point(|kept| self.cell.compare(kept, &value) != Ordering::Less);
        let known = position > 0 && self.cell.compare(&state[position - 1], &value) == Ordering::Equal;
        if self.distinct && known {
            return;
        }
        state.insert(position, value);
        state.truncate(self.most);
    }
}

impl<C: OrderedCell> Fold for TopK<C> {
    type State = Vec<C::Value>;
    type Input<'a> = C::View<'a>;
    type Output = ListOutput<C::Builder>;

    fn empty(&self) -> Self::State {
        Vec::new()
    }

    fn input<'a>(&self, args: &'a [ArrayRef]) -> Result<C::View<'a>, SqlError> {
        self.cell.view(&args[0])
    }

    fn add(&self, state: &mut Self::State, view: &C::View<'_>, row: usize) -> Result<(), SqlError> {
        if self.cell.is_null(view, row) {
            return Ok(());
        }
        let full_of_larger = state.len() == self.most
            && state
                .last()
                .is_some_and(|smallest| self.cell.compare_row(view, row, smallest) != Ordering::Greater);
        if !full_of_larger && let Some(value) = self.cell.get(view, row) {
            self.insert(state, value);
        }
        Ok(())
    }

    fn merge(&self, state: &mut Self::State, later: &Self::State) -> Result<(), SqlError> {
        later.iter().for_each(|value| self.insert(state, value.clone()));
        Ok(())
    }

    fn save(&self, state: &Self::State, out: &mut Vec<u8>) {
        put_count(state.len(), out);
        state.iter().for_each(|value| self.cell.save(value, out));
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<Self::State, SqlError> {
        let count = u32::from_le_bytes(take_exact(bytes)?);
        (0..count).map(|_| self.cell.load(bytes)).collect()
    }

    fn output(&self, capacity: usize) -> Self::Output {
        ListOutput::new(self.cell.builder(capacity), capacity)
    }

    fn emit(&self, state: &Self::State, output: &mut Self::Output) {
        state.iter().for_each(|value| self.cell.append(&mut output.items, Some(value)));
        output.end_list(state.len());
    }

    fn finish(&self, output: Self::Output) -> Result<ArrayRef, SqlError> {
        output.finish(&self.item, |items| self.cell.finish(items))
    }
}

/// Keeps whole rows by the value of their first column.
struct TopRows<C> {
    cell: C,
    row: Nested,
    fields: Fields,
    most: usize,
    item: DataType,
}

/// The value that is sorted by, and the row.
type Kept<C> = (<C as Cell>::Value, Box<[u8]>);

impl<C: OrderedCell> TopRows<C> {
    fn insert(&self, state: &mut Vec<Kept<C>>, value: Kept<C>) {
        let position = state.partition_point(|kept| self.cell.compare(&kept.0, &value.0) != Ordering::Less);
        state.insert(position, value);
        state.truncate(self.most);
    }
}

impl<C: OrderedCell> Fold for TopRows<C> {
    type State = Vec<Kept<C>>;
    type Input<'a> = (C::View<'a>, ArrayRef);
    type Output = ListOutput<Vec<Option<Box<[u8]>>>>;

    fn empty(&self) -> Self::State {
        Vec::new()
    }

    fn input<'a>(&self, args: &'a [ArrayRef]) -> Result<Self::Input<'a>, SqlError> {
        let rows = StructArray::try_new(self.fields.clone(), args.to_vec(), None)?;
        Ok((self.cell.view(&args[0])?, Arc::new(rows)))
    }

    fn add(
        &self,
        state: &mut Self::State,
        (view, rows): &Self::Input<'_>,
        row: usize,
    ) -> Result<(), SqlError> {
        if self.cell.is_null(view, row) {
            return Ok(());
        }
        let full_of_larger = state.len() == self.most
            && state
                .last()
                .is_some_and(|smallest| self.cell.compare_row(view, row, &smallest.0) != Ordering::Greater);
        if full_of_larger {
            return Ok(());
        }
        let one = rows.slice(row, 1);
        let kept = self.row.get(&self.row.view(&one)?, 0);
        if let (Some(value), Some(kept)) = (self.cell.get(view, row), kept) {
            self.insert(state, (value, kept));
        }
        Ok(())
    }

    fn merge(&self, state: &mut Self::State, later: &Self::State) -> Result<(), SqlError> {
        later.iter().for_each(|kept| self.insert(state, kept.clone()));
        Ok(())
    }

    fn save(&self, state: &Self::State, out: &mut Vec<u8>) {
        put_count(state.len(), out);
        for (value, row) in state {
            self.cell.save(value, out);
            self.row.save(row, out);
        }
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<Self::State, SqlError> {
        let count = u32::from_le_bytes(take_exact(bytes)?);
        (0..count).map(|_| Ok((self.cell.load(bytes)?, self.row.load(bytes)?))).collect()
    }

    fn output(&self, capacity: usize) -> Self::Output {
        ListOutput::new(self.row.builder(capacity), capacity)
    }

    fn emit(&self, state: &Self::State, output: &mut Self::Output) {
        state.iter().for_each(|(_, row)| self.row.append(&mut output.items, Some(row)));
        output.end_list(state.len());
    }

    fn finish(&self, output: Self::Output) -> Result<ArrayRef, SqlError> {
        output.finish(&self.item, |items| self.row.finish(items))
    }
}
