//! Stream-table join: each stream row looks up its key in the table's store, as it is when the row comes.

use crate::ByteColumn;
use crate::batch::{Batch, downcast};
use crate::error::StreamsError;
use crate::operator::aggregate::report;
use crate::processor::{Context, Processor};
use crate::report::ReportKind;
use crate::store::{Arena, CachedStore, StoreHandle};

/// What a join does with stream rows that have no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingKey {
    /// Inner join: they are dropped and reported.
    Drop,
    /// Left join: they meet no table row.
    Keep,
}

/// What one skin knows about a stream-table join.
pub trait TableJoiner: Send + 'static {
    /// The state of the table's store.
    type Arena: Arena;
    /// The stream's batch.
    type Input: Batch;

    /// Whether rows of the store count from when they are forwarded, and not from when they are written: so that
    /// two tables, each looking the other up, agree on what came first.
    fn as_forwarded(&self) -> bool {
        false
    }

    /// Appends the key bytes of every row; rows without key are absent.
    fn keys(&mut self, input: &Self::Input, keys: &mut ByteColumn) -> Result<(), StreamsError>;

    /// Joins every row of the stream with the table row in its slot, or [`NO_SLOT`](crate::NO_SLOT) for none,
    /// in order. The output keeps the stream's timestamps. None if nothing comes of it.
    fn join(
        &mut self,
        input: Box<Self::Input>,
        slots: &[u32],
        store: &CachedStore<Self::Arena>,
    ) -> Result<Option<Box<dyn Batch>>, StreamsError>;
}

/// Runs a [`TableJoiner`]. It only reads the store.
pub struct JoinProcessor<J: TableJoiner> {
    joiner: J,
    store: StoreHandle,
    missing_key: MissingKey,
    keys: ByteColumn,
    slots: Vec<u32>,
}

impl<J: TableJoiner> JoinProcessor<J> {
    /// A join with the table in `store`.
    pub fn new(joiner: J, store: StoreHandle, missing_key: MissingKey) -> Self {
        Self { joiner, store, missing_key, keys: ByteColumn::default(), slots: Vec::new() }
    }
}

impl<J: TableJoiner> Processor for JoinProcessor<J> {
    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let input = downcast::<J::Input>(batch)?;
        self.keys.clear();
        self.joiner.keys(&input, &mut self.keys)?;
        self.slots.clear();
        let store = context.store::<CachedStore<J::Arena>>(self.store)?;
        if self.joiner.as_forwarded() {
            store.find_forwarded(self.keys.iter(), &mut self.slots)?;
        } else {
            store.find_many(self.keys.iter(), &mut self.slots)?;
        }
        let output = self.joiner.join(input, &self.slots, store)?;
        if self.missing_key == MissingKey::Drop {
            let dropped = self.keys.iter().filter(Option::is_none).count();
            report(context, ReportKind::Incomplete, dropped, "a row of the stream has no key to join on");
        }
        output.map_or(Ok(()), |output| context.forward(output))
    }
}
