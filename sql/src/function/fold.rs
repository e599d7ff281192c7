//! Aggregates as folds: what is kept per group, and what a row does to it.

use arrow::array::ArrayRef;

use crate::error::SqlError;
use crate::function::Accumulator;

/// An aggregate: its state for one group, what a row does to that, and what comes out.
///
/// ```
/// use std::sync::Arc;
///
/// use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
/// use arrow::datatypes::Int64Type;
/// use millstream_sql::SqlError;
/// use millstream_sql::function::{AggregateFunction, Fold, take_exact};
///
/// /// The sum of the squares.
/// struct SumOfSquares;
///
/// impl Fold for SumOfSquares {
///     type State = i64;
///     type Input<'a> = &'a Int64Array;
///     type Output = Vec<i64>;
///
///     fn empty(&self) -> i64 {
///         0
///     }
///
///     fn input<'a>(&self, args: &'a [ArrayRef]) -> Result<&'a Int64Array, SqlError> {
///         Ok(args[0].as_primitive::<Int64Type>())
///     }
///
///     fn add(&self, state: &mut i64, values: &&Int64Array, row: usize) -> Result<(), SqlError> {
///         if values.is_valid(row) {
///             *state = state.wrapping_add(values.value(row).wrapping_mul(values.value(row)));
///         }
///         Ok(())
///     }
///
///     fn merge(&self, state: &mut i64, later: &i64) -> Result<(), SqlError> {
///         *state = state.wrapping_add(*later);
///         Ok(())
///     }
///
///     fn save(&self, state: &i64, out: &mut Vec<u8>) {
///         out.extend_from_slice(&state.to_le_bytes());
///     }
///
///     fn load(&self, bytes: &mut &[u8]) -> Result<i64, SqlError> {
///         Ok(i64::from_le_bytes(take_exact(bytes)?))
///     }
///
///     fn output(&self, capacity: usize) -> Vec<i64> {
///         Vec::with_capacity(capacity)
///     }
///
///     fn emit(&self, state: &i64, output: &mut Vec<i64>) {
///         output.push(*state);
///     }
///
///     fn finish(&self, output: Vec<i64>) -> Result<ArrayRef, SqlError> {
///         Ok(Arc::new(Int64Array::from(output)))
///     }
/// }
///
/// let function = AggregateFunction::new("SUM_OF_SQUARES", "The sum of the squares of all values.")
///     .fold(&["(BIGINT) -> BIGINT"], |_| Ok(SumOfSquares));
/// ```
pub trait Fold: Send + 'static {
    /// What is kept per group.
    type State: Clone + Send;
    /// The argument columns of a batch, as their Arrow types.
    type Input<'a>;
    /// Where results are gathered.
    type Output;

    /// The state of a group without rows.
    fn empty(&self) -> Self::State;
    /// Looks at the columns of a batch once, for all its rows.
    fn input<'a>(&self, args: &'a [ArrayRef]) -> Result<Self::Input<'a>, SqlError>;
    /// Adds a row. An error stops the query.
    fn add(&self, state: &mut Self::State, input: &Self::Input<'_>, row: usize) -> Result<(), SqlError>;
    /// Adds all that `later` holds, as when two sessions turn out to be one; `state` is that of the earlier one.
    fn merge(&self, state: &mut Self::State, later: &Self::State) -> Result<(), SqlError>;
    /// Appends the state to `out`, for the state store.
    fn save(&self, state: &Self::State, out: &mut Vec<u8>);
    /// Reads the state at the start of `bytes`, and moves `bytes` behind it.
    fn load(&self, bytes: &mut &[u8]) -> Result<Self::State, SqlError>;

    /// A place for about so many results.
    fn output(&self, capacity: usize) -> Self::Output;
    /// Appends the result of a group.
    fn emit(&self, state: &Self::State, output: &mut Self::Output);
    /// The results as a column of the type that the signature says.
    fn finish(&self, output: Self::Output) -> Result<ArrayRef, SqlError>;

    /// Takes a row away again. Aggregates that [support tables](crate::function::AggregateFunction::supports_tables)
    /// have this.
    fn remove(
        &self,
        _state: &mut Self::State,
        _input: &Self::Input<'_>,
        _row: usize,
    ) -> Result<(), SqlError> {
        Err(SqlError::unsupported("this aggregate cannot undo, so it cannot aggregate a table"))
    }
}

/// The accumulator of a fold.
pub(crate) struct Folding<F: Fold> {
    fold: F,
    states: Vec<F::State>,
}

impl<F: Fold> Folding<F> {
    pub(crate) fn boxed(fold: F) -> Box<dyn Accumulator> {
        Box::new(Self { fold, states: Vec::new() })
    }
}

impl<F: Fold> Accumulator for Folding<F> {
    fn resize(&mut self, slots: usize) {
        if slots > self.states.len() {
            self.states.resize(slots, self.fold.empty());
        }
    }

    fn reset(&mut self, slot: usize) {
        self.states[slot] = self.fold.empty();
    }

    fn update(&mut self, slots: &[u32], args: &[ArrayRef]) -> Result<(), SqlError> {
        let input = self.fold.input(args)?;
        for (row, slot) in slots.iter().enumerate() {
            self.fold.add(&mut self.states[*slot as usize], &input, row)?;
        }
        Ok(())
    }

    fn update_running(&mut self, slots: &[u32], args: &[ArrayRef]) -> Result<ArrayRef, SqlError> {
        let input = self.fold.input(args)?;
        let mut output = self.fold.output(slots.len());
        for (row, slot) in slots.iter().enumerate() {
            let state = &mut self.states[*slot as usize];
            self.fold.add(state, &input, row)?;
            self.fold.emit(state, &mut output);
        }
        self.fold.finish(output)
    }

    fn result(&self, slots: &[u32]) -> Result<ArrayRef, SqlError> {
        let mut output = self.fold.output(slots.len());
        for slot in slots {
            self.fold.emit(&self.states[*slot as usize], &mut output);
        }
        self.fold.finish(output)
    }

    fn undo(&mut self, slots: &[u32], args: &[ArrayRef]) -> Result<(), SqlError> {
        let input = self.fold.input(args)?;
        for (row, slot) in slots.iter().enumerate() {
            self.fold.remove(&mut self.states[*slot as usize], &input, row)?;
        }
        Ok(())
    }

    fn merge(&mut self, into: usize, from: usize) -> Result<(), SqlError> {
        let later = self.states[from].clone();
        self.fold.merge(&mut self.states[into], &later)
    }

    fn save(&self, slot: usize, out: &mut Vec<u8>) {
        self.fold.save(&self.states[slot], out);
    }

    fn load(&mut self, slot: usize, bytes: &mut &[u8]) -> Result<(), SqlError> {
        self.states[slot] = self.fold.load(bytes)?;
        Ok(())
    }
}

/// Takes the first `N` bytes of a saved state. Fails if there are fewer.
pub fn take_exact<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], SqlError> {
    match bytes.split_first_chunk::<N>() {
        Some((head, rest)) => {
            *bytes = rest;
            Ok(*head)
        }
        None => Err(SqlError::failed(
            "read the state of an aggregate",
            format!("it ends after {} bytes where {N} more are due", bytes.len()),
        )),
    }
}

/// Takes what [`put_bytes`] appended off a saved state. Fails if it is not all there.
pub fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], SqlError> {
    let length = u32::from_le_bytes(take_exact(bytes)?) as usize;
    match bytes.split_at_checked(length) {
        Some((head, rest)) => {
            *bytes = rest;
            Ok(head)
        }
        None => Err(SqlError::failed(
            "read the state of an aggregate",
            format!("it ends after {} bytes where {length} more are due", bytes.len()),
        )),
    }
}

/// Appends bytes to a saved state, behind their length of 32 bits.
pub fn put_bytes(slice: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(slice.len()).expect("Arrow values are shorter than 2^31 bytes");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(slice);
}

/// Appends a count of items of 32 bits.
pub(crate) fn put_count(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(
        &u32::try_from(count).expect("an aggregate holds fewer than 2^32 items").to_le_bytes(),
    );
}
