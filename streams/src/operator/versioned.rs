//! Versioned tables: rows into a store that keeps their history, and the join of a stream with a table as it was at the
//! time of each stream row.

use crate::ByteColumn;
use crate::batch::{Batch, downcast};
use crate::error::StreamsError;
use crate::operator::aggregate::report;
use crate::operator::join::{MissingKey, TableJoiner};
use crate::processor::{Context, Processor};
use crate::report::ReportKind;
use crate::store::versioned::{PutOutcome, Versions};
use crate::store::{Arena, CachedStore, NO_SLOT, StoreHandle};

/// What one skin knows about the rows of a versioned table.
pub trait VersionedRows: Send + 'static {
    /// The stored rows.
    type Arena: Arena;
    /// The batch; its rows are versions of the table's rows.
    type Input: Batch;

    /// Appends the key bytes of every row; rows without key are absent, and dropped.
    fn keys(&mut self, input: &Self::Input, keys: &mut ByteColumn) -> Result<(), StreamsError>;

    /// Whether a row has a value; one without deletes its key.
    fn has_value(&self, input: &Self::Input, row: usize) -> bool;

    /// Stores the value of a row in a slot.
    fn write(&mut self, input: &Self::Input, row: usize, arena: &mut Self::Arena, slot: u32);

    /// The batch with only these rows, ascending.
    fn select(&mut self, input: Box<Self::Input>, rows: &[u32]) -> Result<Box<dyn Batch>, StreamsError>;
}

/// Keeps a versioned table in a store that it alone writes, and passes on the rows that are the latest of their key. As
/// with Kafka's, "latest" is by time: rows that come late find their place in history, and those that come later than
/// history is kept are dropped.
pub struct VersionedTableProcessor<T: VersionedRows> {
    rows_of: T,
    store: StoreHandle,
    keys: ByteColumn,
}

impl<T: VersionedRows> VersionedTableProcessor<T> {
    /// A table in `store`, a versioned one.
    pub fn new(rows_of: T, store: StoreHandle) -> Self {
        Self { rows_of, store, keys: ByteColumn::default() }
    }
}

impl<T: VersionedRows> Processor for VersionedTableProcessor<T> {
    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let input = downcast::<T::Input>(batch)?;
        self.keys.clear();
        self.rows_of.keys(&input, &mut self.keys)?;
        let store = context.store::<CachedStore<Versions<T::Arena>>>(self.store)?;
        let (mut latest, mut without_key, mut late) = (Vec::with_capacity(input.rows()), 0, 0);
        for (number, row) in (0..input.rows()).zip(0u32..) {
            let Some(key) = self.keys.get(number) else {
                without_key += 1;
                continue;
            };
            let timestamp = input.timestamps()[number];
            let outcome = if self.rows_of.has_value(&input, number) {
                let rows_of = &mut self.rows_of;
                store.put_version(key, timestamp, |arena, slot| rows_of.write(&input, number, arena, slot))?
            } else {
                store.delete_version(key, timestamp)?
            };
            match outcome {
                PutOutcome::Latest => latest.push(row),
                PutOutcome::ValidTo(_) => {}
                PutOutcome::TooOld => late += 1,
            }
        }
        report(context, ReportKind::Incomplete, without_key, "a row of the table has no key");
        report(context, ReportKind::Late, late, "a row of the table came later than its history is kept");
        if latest.is_empty() || !context.has_children() {
            return Ok(());
        }
        let output = self.rows_of.select(input, &latest)?;
        context.forward(output)
    }
}

/// What a skin of the stream-table join knows beside it.
pub trait VersionedJoiner: TableJoiner {
    /// As [`TableJoiner::join`], with the versions that were valid at the rows' times.
    fn join_versions(
        &mut self,
        input: Box<Self::Input>,
        slots: &[u32],
        versions: &Self::Arena,
    ) -> Result<Option<Box<dyn Batch>>, StreamsError>;
}

/// Runs a [`VersionedJoiner`]: each stream row meets the table's row as it was at the stream row's time. What is longer
/// ago than history is kept is as absent. It only reads the store.
pub struct VersionedJoinProcessor<J: VersionedJoiner> {
    joiner: J,
    store: StoreHandle,
    missing_key: MissingKey,
    keys: ByteColumn,
    slots: Vec<u32>,
}

impl<J: VersionedJoiner> VersionedJoinProcessor<J> {
    /// A join with the versioned table in `store`.
    pub fn new(joiner: J, store: StoreHandle, missing_key: MissingKey) -> Self {
        Self { joiner, store, missing_key, keys: ByteColumn::default(), slots: Vec::new() }
    }
}

impl<J: VersionedJoiner> Processor for VersionedJoinProcessor<J> {
    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let input = downcast::<J::Input>(batch)?;
        self.keys.clear();
        self.joiner.keys(&input, &mut self.keys)?;
        let store = context.store::<CachedStore<Versions<J::Arena>>>(self.store)?;
        self.slots.clear();
        for (key, time) in self.keys.iter().zip(input.timestamps()) {
            let version = key.map(|key| store.version_at(key, *time)).transpose()?.flatten();
            self.slots.push(version.map_or(NO_SLOT, |version| version.slot));
        }
        let output = self.joiner.join_versions(input, &self.slots, &store.arena().inner)?;
        if self.missing_key == MissingKey::Drop {
            let dropped = self.keys.iter().filter(Option::is_none).count();
            report(context, ReportKind::Incomplete, dropped, "a row of the stream has no key to join on");
        }
        output.map_or(Ok(()), |output| context.forward(output))
    }
}
