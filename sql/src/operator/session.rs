//! GROUP BY with session windows: columnar accumulators over sessions that grow and merge.

use arrow::{
    array::{ArrayRef, BinaryArray, UInt32Array},
    buffer::BooleanBuffer,
    compute,
    datatypes::SchemaRef,
};
use millstream_streams::{
    Arena, Batch, ByteColumn, CachedStore, Reporter, StreamsError,
    operator::{
        SessionAggregator,
        session::{SessionChange, SessionChangeKind},
    },
};

use super::{
    aggregate::{AggregateArena, GroupInput, GroupRows},
    failed,
    keys::KeyWriterError,
};
use crate::{columnar::ColumnarBatch, expression::RowErrors, plan};

/// The columnar skin of the session core.
pub(crate) struct ColumnarSessions {
    input: GroupInput,
    rows: GroupRows,
    output: Changes,
}

/// Output rows that were written and not yet taken.
#[derive(Default)]
struct Changes {
    rows: Vec<u32>,
    starts: Vec<i64>,
    ends: Vec<i64>,
    present: Vec<bool>,
    /// The aggregates of each row, a column of one value each.
    results: Vec<Vec<ArrayRef>>,
}

impl ColumnarSessions {
    /// Prepares a planned aggregation over batches of `input`.
    pub(crate) fn new(
        step: &plan::Aggregate,
        input: &SchemaRef,
        errors: &RowErrors,
    ) -> Result<Self, KeyWriterError> {
        let (input, rows) = (GroupInput::new(step, input, errors)?, GroupRows::new(step)?);
        Ok(Self { input, rows, output: Changes::default() })
    }
}

impl SessionAggregator for ColumnarSessions {
    type Arena = AggregateArena;
    type Input = ColumnarBatch;

    fn keys(&mut self, input: &ColumnarBatch, keys: &mut ByteColumn) -> Result<(), StreamsError> {
        self.input.take_in(input, false, keys)
    }

    fn report(&mut self, input: &ColumnarBatch, reporter: &mut dyn Reporter) -> Result<(), StreamsError> {
        self.input.report(input, reporter)
    }

    fn fold(
        &mut self,
        _input: &ColumnarBatch,
        row: usize,
        from: &[u32],
        into: u32,
        arena: &mut AggregateArena,
    ) -> Result<(), StreamsError> {
        if !from.contains(&into) {
            arena.reset(into);
            for accumulator in &mut arena.accumulators {
                for session in from {
                    accumulator.merge(into as usize, *session as usize).map_err(failed)?;
                }
            }
        }
        self.input.add(row, into, arena)
    }

    fn write(&mut self, change: SessionChange<'_, Self>) -> Result<(), StreamsError> {
        let added = change.kind == SessionChangeKind::Added;
        let results = change.arena.results(&[change.slot]).map_err(failed)?;
        if change.arena.filters() {
            // HAVING is judged by the row as it is now; a session that is removed passes no more.
            let row = UInt32Array::from(vec![change.row as u32]);
            let bounds = (vec![change.session.0], vec![change.session.1]);
            let columns = self.input.groups(&row)?;
            let output = self.rows.assemble(columns, bounds, vec![change.session.1], results.clone());
            let output = output.with_present(Some(BooleanBuffer::from(vec![added])));
            let output = self.rows.finish(output, &[change.slot], change.arena)?;
            if output.rows() == 0 {
                return Ok(());
            }
            self.output.present.push(output.is_present(0));
        } else {
            self.output.present.push(added);
        }
        self.output.rows.push(change.row as u32);
        self.output.starts.push(change.session.0);
        self.output.ends.push(change.session.1);
        self.output.results.push(results);
        Ok(())
    }

    fn take(&mut self) -> Result<Box<dyn Batch>, StreamsError> {
        let Changes { rows, starts, ends, present, results } = std::mem::take(&mut self.output);
        let aggregates = self.rows.aggregates();
        let mut columns = Vec::with_capacity(aggregates.len());
        for (place, empty) in aggregates.iter().enumerate() {
            let parts: Vec<_> = results.iter().map(|row| row[place].as_ref()).collect();
            columns.push(match parts.is_empty() {
                true => arrow::array::new_empty_array(empty),
                false => compute::concat(&parts).map_err(failed)?,
            });
        }
        let keys = self.input.carried(&rows);
        let groups = self.input.groups(&UInt32Array::from(rows))?;
        let output = self.rows.assemble(groups, (starts, ends.clone()), ends, columns);
        Ok(Box::new(output.with_present(Some(BooleanBuffer::from(present))).with_key_bytes(Some(keys))))
    }

    fn emit(
        &mut self,
        store: &CachedStore<AggregateArena>,
        slots: &[u32],
        _changed: Option<&[usize]>,
    ) -> Result<Box<dyn Batch>, StreamsError> {
        let results = store.arena().results(slots).map_err(failed)?;
        let timestamps: Vec<i64> = slots.iter().map(|slot| store.timestamp(*slot)).collect();
        let keys: Vec<Option<&[u8]>> = slots.iter().map(|slot| Some(store.session_key(*slot).0)).collect();
        let bounds =
            slots.iter().map(|slot| (store.session_key(*slot).1, store.session_key(*slot).2)).unzip();
        let present: BooleanBuffer = slots.iter().map(|slot| store.exists(*slot)).collect();
        let output = self.rows.rows(&keys, bounds, timestamps, results)?;
        let output = output.with_key_bytes(Some(BinaryArray::from_iter(keys))).with_present(Some(present));
        // Whether a session that is gone had passed HAVING is not known any more: one delete too many does no harm.
        slots.iter().filter(|slot| !store.exists(**slot)).for_each(|slot| store.arena().assume_passed(*slot));
        Ok(Box::new(self.rows.finish(output, slots, store.arena())?))
    }
}
