//! EARLIEST_BY_OFFSET and LATEST_BY_OFFSET: the first or last values in the order of arrival.

use std::collections::VecDeque;

use arrow::array::ArrayRef;

use super::cell::Cell;
use super::collect::{ListOutput, any_cell};
use crate::ast::Literal;
use crate::error::SqlError;
use crate::function::fold::{Fold, Folding, put_count, take_exact};
use crate::function::{Accumulator, AggregateCall, AggregateFunction};
use crate::types::{SqlType, StructField};

pub(super) fn functions() -> [AggregateFunction; 2] {
    let one = ["(T) -> T", "(T, LITERAL BOOLEAN) -> T"];
    let several = ["(T, LITERAL INT) -> ARRAY<T>", "(T, LITERAL INT, LITERAL BOOLEAN) -> ARRAY<T>"];
    let function = |name, description, end| {
        AggregateFunction::new(name, description)
            .forms(&one, move |call| any_cell!(&call.arg_types[0], |cell| create_one(cell, call, end)))
            .forms(&several, move |call| {
                any_cell!(&call.arg_types[0], |cell| create_several(cell, call, end))
            })
            .state_type(|args| {
                let field = |name: &str, ty| StructField { name: name.to_owned(), ty };
                SqlType::Struct(vec![field("SEQ", SqlType::Bigint), field("VAL", args[0].clone())])
            })
    };
    [
        function(
            "EARLIEST_BY_OFFSET",
            "First value by arrival, or the first n. NULLs are passed over unless the last argument is false.",
            End::Earliest,
        ),
        function(
            "LATEST_BY_OFFSET",
            "Last value by arrival, or the last n. NULLs are passed over unless the last argument is false.",
            End::Latest,
        ),
    ]
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Earliest,
    Latest,
}

fn create_one<C: Cell>(
    cell: C,
    call: &AggregateCall<'_>,
    end: End,
) -> Result<Box<dyn Accumulator>, SqlError> {
    Ok(Folding::boxed(One { cell, end, keeps_nulls: keeps_nulls(call) }))
}

fn create_several<C: Cell>(
    cell: C,
    call: &AggregateCall<'_>,
    end: End,
) -> Result<Box<dyn Accumulator>, SqlError> {
    let most = match call.literals.first() {
        Some(Literal::Int(n)) => usize::try_from(*n).ok().filter(|n| *n > 0),
        _ => None,
    };
    let Some(most) = most else {
        return Err(SqlError::invalid("the number of values must be at least 1"));
    };
    let item = call.arg_types[0].to_arrow();
    Ok(Folding::boxed(Several { cell, end, keeps_nulls: keeps_nulls(call), most, item }))
}

/// The last argument says whether NULLs are ignored, which they are by default.
fn keeps_nulls(call: &AggregateCall<'_>) -> bool {
    matches!(call.literals.last(), Some(Literal::Boolean(false)))
}

struct One<C> {
    cell: C,
    end: End,
    keeps_nulls: bool,
}

/// The value, once there is one; it may be NULL.
impl<C: Cell> Fold for One<C> {
    type State = Option<Option<C::Value>>;
    type Input<'a> = C::View<'a>;
    type Output = C::Builder;

    fn empty(&self) -> Self::State {
        None
    }

    fn input<'a>(&self, args: &'a [ArrayRef]) -> Result<C::View<'a>, SqlError> {
        self.cell.view(&args[0])
    }

    fn add(&self, state: &mut Self::State, view: &C::View<'_>, row: usize) -> Result<(), SqlError> {
        if self.end == End::Earliest && state.is_some() {
            return Ok(());
        }
        if self.keeps_nulls || !self.cell.is_null(view, row) {
            self.cell.replace(state.get_or_insert_default(), view, row);
        }
        Ok(())
    }

    fn merge(&self, state: &mut Self::State, later: &Self::State) -> Result<(), SqlError> {
        let replaces = match self.end {
            End::Earliest => state.is_none(),
            End::Latest => later.is_some(),
        };
        if replaces {
            state.clone_from(later);
        }
        Ok(())
    }

    fn save(&self, state: &Self::State, out: &mut Vec<u8>) {
        out.push(u8::from(state.is_some()));
        if let Some(value) = state {
            self.cell.save_option(value.as_ref(), out);
        }
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<Self::State, SqlError> {
        let [seen] = take_exact(bytes)?;
        if seen == 0 { Ok(None) } else { self.cell.load_option(bytes).map(Some) }
    }

    fn output(&self, capacity: usize) -> C::Builder {
        self.cell.builder(capacity)
    }

    fn emit(&self, state: &Self::State, output: &mut C::Builder) {
        self.cell.append(output, state.as_ref().and_then(Option::as_ref));
    }

    fn finish(&self, output: C::Builder) -> Result<ArrayRef, SqlError> {
        self.cell.finish(output)
    }
}

struct Several<C> {
    cell: C,
    end: End,
    keeps_nulls: bool,
    most: usize,
    item: arrow::datatypes::DataType,
}

impl<C: Cell> Several<C> {
    fn push(&self, state: &mut VecDeque<Option<C::Value>>, value: Option<C::Value>) {
        if state.len() == self.most {
            match self.end {
                End::Earliest => return,
                End::Latest => drop(state.pop_front()),
            }
        }
        state.push_back(value);
    }
}

impl<C: Cell> Fold for Several<C> {
    type State = VecDeque<Option<C::Value>>;
    type Input<'a> = C::View<'a>;
    type Output = ListOutput<C::Builder>;

    fn empty(&self) -> Self::State {
        VecDeque::new()
    }

    fn input<'a>(&self, args: &'a [ArrayRef]) -> Result<C::View<'a>, SqlError> {
        self.cell.view(&args[0])
    }

    fn add(&self, state: &mut Self::State, view: &C::View<'_>, row: usize) -> Result<(), SqlError> {
        let value = self.cell.get(view, row);
        if value.is_some() || self.keeps_nulls {
            self.push(state, value);
        }
        Ok(())
    }

    fn merge(&self, state: &mut Self::State, later: &Self::State) -> Result<(), SqlError> {
        later.iter().for_each(|value| self.push(state, value.clone()));
        Ok(())
    }

    fn save(&self, state: &Self::State, out: &mut Vec<u8>) {
        put_count(state.len(), out);
        state.iter().for_each(|value| self.cell.save_option(value.as_ref(), out));
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<Self::State, SqlError> {
        let count = u32::from_le_bytes(take_exact(bytes)?);
        (0..count).map(|_| self.cell.load_option(bytes)).collect()
    }

    fn output(&self, capacity: usize) -> Self::Output {
        ListOutput::new(self.cell.builder(capacity), capacity)
    }

    fn emit(&self, state: &Self::State, output: &mut Self::Output) {
        state.iter().for_each(|value| self.cell.append(&mut output.items, value.as_ref()));
        output.end_list(state.len());
    }

    fn finish(&self, output: Self::Output) -> Result<ArrayRef, SqlError> {
        output.finish(&self.item, |items| self.cell.finish(items))
    }
}
