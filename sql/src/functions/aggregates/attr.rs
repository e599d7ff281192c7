//! ATTR: the value that all rows have.

use arrow::array::ArrayRef;

use super::cell::Cell;
use super::collect::any_cell;
use crate::error::SqlError;
use crate::function::AggregateFunction;
use crate::function::fold::{Fold, Folding, put_count, take_exact};
use crate::types::{SqlType, StructField};

pub(super) fn attr() -> AggregateFunction {
    AggregateFunction::new("ATTR", "The value that all rows have, NULL if they differ.")
        .forms(&["(T) -> T"], |call| any_cell!(&call.arg_types[0], |cell| Ok(Folding::boxed(Attr { cell }))))
        .state_type(|args| {
            let field = |name: &str, ty| StructField { name: name.to_owned(), ty };
            let entry = vec![field("VALUE", args[0].clone()), field("COUNT", SqlType::Int)];
            SqlType::Array(Box::new(SqlType::Struct(entry)))
        })
        .supports_tables()
}

struct Attr<C> {
    cell: C,
}

impl<C: Cell> Attr<C> {
    fn equal(&self, a: Option<&C::Value>, b: Option<&C::Value>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => self.cell.equal(a, b),
            (a, b) => a.is_none() && b.is_none(),
        }
    }

    fn count(&self, state: &mut Counts<C>, value: Option<C::Value>, by: u32) {
        match state.iter_mut().find(|(known, _)| self.equal(known.as_ref(), value.as_ref())) {
            Some((_, count)) => *count += by,
            None => state.push((value, by)),
        }
    }
}

/// The different values, NULL being one, and how many rows have each.
type Counts<C> = Vec<(Option<<C as Cell>::Value>, u32)>;

impl<C: Cell> Fold for Attr<C> {
    type State = Counts<C>;
    type Input<'a> = C::View<'a>;
    type Output = C::Builder;

    fn empty(&self) -> Counts<C> {
        Vec::new()
    }

    fn input<'a>(&self, args: &'a [ArrayRef]) -> Result<C::View<'a>, SqlError> {
        self.cell.view(&args[0])
    }

    fn add(&self, state: &mut Counts<C>, view: &C::View<'_>, row: usize) -> Result<(), SqlError> {
        self.count(state, self.cell.get(view, row), 1);
        Ok(())
    }

    fn remove(&self, state: &mut Counts<C>, view: &C::View<'_>, row: usize) -> Result<(), SqlError> {
        let value = self.cell.get(view, row);
        if let Some(place) = state.iter().position(|(known, _)| self.equal(known.as_ref(), value.as_ref())) {
            state[place].1 -= 1;
            if state[place].1 == 0 {
                state.remove(place);
            }
        }
        Ok(())
    }

    fn merge(&self, state: &mut Counts<C>, later: &Counts<C>) -> Result<(), SqlError> {
        later.iter().for_each(|(value, count)| self.count(state, value.clone(), *count));
        Ok(())
    }

    fn save(&self, state: &Counts<C>, out: &mut Vec<u8>) {
        put_count(state.len(), out);
        for (value, count) in state {
            self.cell.save_option(value.as_ref(), out);
            out.extend_from_slice(&count.to_le_bytes());
        }
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<Counts<C>, SqlError> {
        let entries = u32::from_le_bytes(take_exact(bytes)?);
        let mut state = Vec::new();
        for _ in 0..entries {
            let value = self.cell.load_option(bytes)?;
            state.push((value, u32::from_le_bytes(take_exact(bytes)?)));
        }
        Ok(state)
    }

    fn output(&self, capacity: usize) -> C::Builder {
        self.cell.builder(capacity)
    }

    fn emit(&self, state: &Counts<C>, output: &mut C::Builder) {
        let only = match state.as_slice() {
            [(value, _)] => value.as_ref(),
            _ => None,
        };
        self.cell.append(output, only);
    }

    fn finish(&self, output: C::Builder) -> Result<ArrayRef, SqlError> {
        self.cell.finish(output)
    }
}
