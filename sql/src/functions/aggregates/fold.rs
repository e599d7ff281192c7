//! The frame around aggregates: slots, batches, running values.

use arrow::array::ArrayRef;

use crate::error::SqlError;
use crate::function::Accumulator;

/// An aggregate: its state for one group, and what a row does to that.
pub(super) trait Fold: Send + 'static {
    /// What is kept per group.
    type State: Clone + Send;
    /// The argument columns of a batch, as their Arrow types.
    type Input<'a>;
    /// Where results are gathered.
    type Output;

    fn empty(&self) -> Self::State;
    fn input<'a>(&self, args: &'a [ArrayRef]) -> Result<Self::Input<'a>, SqlError>;
    fn add(&self, state: &mut Self::State, input: &Self::Input<'_>, row: usize) -> Result<(), SqlError>;
    fn merge(&self, state: &mut Self::State, later: &Self::State) -> Result<(), SqlError>;
    fn save(&self, state: &Self::State, out: &mut Vec<u8>);
    fn load(&self, bytes: &mut &[u8]) -> Result<Self::State, SqlError>;

    fn output(&self, capacity: usize) -> Self::Output;
    fn emit(&self, state: &Self::State, output: &mut Self::Output);
    fn finish(&self, output: Self::Output) -> Result<ArrayRef, SqlError>;

    /// Takes a row away again. Aggregates that say they support tables have this.
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
pub(super) struct Folding<F: Fold> {
    fold: F,
    states: Vec<F::State>,
}

impl<F: Fold> Folding<F> {
    pub(super) fn boxed(fold: F) -> Box<dyn Accumulator> {
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

/// Takes the first `N` bytes of a saved state.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], SqlError> {
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

/// Takes a length and that many bytes of a saved state.
pub(super) fn take_slice<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], SqlError> {
    let length = u32::from_le_bytes(take(bytes)?) as usize;
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

/// Appends a length of 32 bits and the bytes.
pub(super) fn put_slice(slice: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(slice.len()).expect("Arrow values are shorter than 2^31 bytes");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(slice);
}

/// Appends a count of items of 32 bits.
pub(super) fn put_count(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(
        &u32::try_from(count).expect("an aggregate holds fewer than 2^32 items").to_le_bytes(),
    );
}
