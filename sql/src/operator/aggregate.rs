//! GROUP BY: columnar accumulators over the slots of a store, and HAVING over what comes out of them.

use std::{cell::Cell, sync::Arc};

use arrow::{
    array::{ArrayRef, BinaryArray, BinaryBuilder, Int64Array, UInt32Array},
    buffer::{BooleanBuffer, ScalarBuffer},
    compute,
    datatypes::{Fields, SchemaRef},
};
use millstream_formats::{Decoder, FormatSpec};
use millstream_streams::{
    Arena, Batch, ByteColumn, CachedStore, StreamsError,
    operator::{Aggregator, aggregate::Running},
    store::StoreKind,
};

use super::{
    failed,
    keys::{KeyWriter, KeyWriterError, Keys, decode_keys},
};
use crate::{
    columnar::ColumnarBatch,
    error::SqlError,
    expression::{Bound, RowErrors, bind, bind_condition},
    function::{Accumulator, ResolvedAggregate},
    plan::{self, Window},
};

/// About what an accumulator's slot and its part of the tables take.
const ACCUMULATOR_BYTES: usize = 48;

/// The states of all aggregates of a query, by slot.
///
/// State bytes are those of each accumulator one after another, and with HAVING one byte more: whether the group was
/// let through when it was last emitted.
pub(crate) struct AggregateArena {
    accumulators: Vec<Box<dyn Accumulator>>,
    /// Cells, because a group is emitted while its store is only read.
    passed: Option<Vec<Cell<bool>>>,
}

impl AggregateArena {
    /// Accumulators without slots.
    pub(crate) fn new(functions: &[ResolvedAggregate], having: bool) -> Result<Self, SqlError> {
        let accumulators = functions.iter().map(ResolvedAggregate::accumulator).collect::<Result<_, _>>()?;
        Ok(Self { accumulators, passed: having.then(Vec::new) })
    }

    /// The value of every aggregate in these slots.
    pub(crate) fn results(&self, slots: &[u32]) -> Result<Vec<ArrayRef>, SqlError> {
        self.accumulators.iter().map(|accumulator| accumulator.result(slots)).collect()
    }
}

impl Arena for AggregateArena {
    fn resize(&mut self, slots: usize) {
        self.accumulators.iter_mut().for_each(|accumulator| accumulator.resize(slots));
        if let Some(passed) = &mut self.passed {
            passed.resize(slots.max(passed.len()), Cell::new(false));
        }
    }

    fn reset(&mut self, slot: u32) {
        self.accumulators.iter_mut().for_each(|accumulator| accumulator.reset(slot as usize));
        if let Some(passed) = &self.passed {
            passed[slot as usize].set(false);
        }
    }

    fn load(&mut self, slot: u32, mut bytes: &[u8]) -> Result<(), StreamsError> {
        for accumulator in &mut self.accumulators {
            accumulator.load(slot as usize, &mut bytes).map_err(failed)?;
        }
        if let Some(passed) = &self.passed {
            passed[slot as usize].set(bytes.first() == Some(&1));
        }
        Ok(())
    }

    fn save(&self, slot: u32, out: &mut Vec<u8>) -> Result<(), StreamsError> {
        self.accumulators.iter().for_each(|accumulator| accumulator.save(slot as usize, out));
        if let Some(passed) = &self.passed {
            out.push(u8::from(passed[slot as usize].get()));
        }
        Ok(())
    }

    fn size(&self, _slot: u32) -> usize {
        self.accumulators.len() * ACCUMULATOR_BYTES
    }
}

/// Makes rows of groups: grouping columns, window bounds, aggregates.
pub(crate) struct GroupRows {
    keys: Decoder,
    schema: SchemaRef,
    window: Option<Window>,
    having: Option<Bound>,
}

impl GroupRows {
    /// Prepares rows for a planned aggregation.
    pub(crate) fn new(step: &plan::Aggregate) -> Result<Self, KeyWriterError> {
        let having =
            step.having.as_ref().map(|having| bind_condition(&having.condition, &step.schema)).transpose()?;
        Ok(Self {
            keys: step.key_format.decoder(&group_fields(step), None)?,
            schema: step.schema.clone(),
            window: step.window,
            having,
        })
    }

    /// The rows of groups by their key bytes and window starts; `results` are the aggregates' columns.
    pub(crate) fn rows(
        &mut self,
        keys: &[Option<&[u8]>],
        starts: &[i64],
        timestamps: Vec<i64>,
        results: Vec<ArrayRef>,
    ) -> Result<ColumnarBatch, StreamsError> {
        let columns = decode_keys(&mut self.keys, keys)?;
        Ok(self.assemble(columns, starts, timestamps, results))
    }

    fn assemble(
        &self,
        mut columns: Vec<ArrayRef>,
        starts: &[i64],
        timestamps: Vec<i64>,
        results: Vec<ArrayRef>,
    ) -> ColumnarBatch {
        if let Some(window) = self.window {
            columns.push(Arc::new(Int64Array::from_iter_values(starts.iter().copied())));
            columns.push(Arc::new(Int64Array::from_iter_values(
                starts.iter().map(|start| start + window.size_ms),
            )));
        }
        columns.extend(results);
        ColumnarBatch::new(self.schema.clone(), columns, ScalarBuffer::from(timestamps))
    }

    /// Which groups HAVING lets through; `None` for all.
    pub(crate) fn having(&self, rows: &ColumnarBatch) -> Result<Option<BooleanBuffer>, StreamsError> {
        let Some(having) = &self.having else { return Ok(None) };
        Ok(having.select(rows).map_err(failed)?.map(|passed| passed.values().clone()))
    }
}

fn group_fields(step: &plan::Aggregate) -> Fields {
    step.group.iter().map(|(column, _)| column.field()).collect()
}

/// The columnar skin of the aggregation core.
pub(crate) struct ColumnarAggregator {
    keys: Keys,
    /// Writes grouping columns, for rows that are emitted one by one.
    group: Vec<Bound>,
    args: Vec<Vec<Bound>>,
    rows: GroupRows,
    errors: RowErrors,
}

impl ColumnarAggregator {
    /// Prepares a planned aggregation over batches of `input`.
    pub(crate) fn new(
        step: &plan::Aggregate,
        input: &SchemaRef,
        errors: &RowErrors,
    ) -> Result<Self, KeyWriterError> {
        let group: Vec<_> = step.group.iter().map(|(_, value)| value.clone()).collect();
        let keys = match step.key_bytes {
            true => Keys::Carried,
            false => {
                let format: FormatSpec = step.key_format;
                Keys::Written(Box::new(KeyWriter::new(&group, &group_fields(step), input, format)?))
            }
        };
        let bind_all = |exprs: &[datafusion::logical_expr::Expr]| {
            exprs.iter().map(|expr| bind(expr, input)).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            keys,
            group: bind_all(&group)?,
            args: step.calls.iter().map(|call| bind_all(&call.args)).collect::<Result<_, _>>()?,
            rows: GroupRows::new(step)?,
            errors: errors.clone(),
        })
    }

    /// The arguments of every aggregate, a value per entry of `rows`.
    fn arguments(&self, input: &ColumnarBatch, rows: &[u32]) -> Result<Vec<Vec<ArrayRef>>, StreamsError> {
        let batch = input.record_batch().map_err(failed)?;
        let all = rows.len() == batch.num_rows() && rows.iter().zip(0u32..).all(|(row, place)| *row == place);
        let indices = (!all).then(|| UInt32Array::from(rows.to_vec()));
        let argument = |expr: &Bound| -> Result<ArrayRef, StreamsError> {
            let values = expr.evaluate(&batch).map_err(failed)?;
            match &indices {
                None => Ok(values),
                Some(indices) => compute::take(&values, indices, None).map_err(failed),
            }
        };
        self.args.iter().map(|exprs| exprs.iter().map(argument).collect()).collect()
    }
}

impl Aggregator for ColumnarAggregator {
    type Arena = AggregateArena;
    type Input = ColumnarBatch;

    fn keys(&mut self, input: &ColumnarBatch, keys: &mut ByteColumn) -> Result<(), StreamsError> {
        self.keys.append(input, true, keys)
    }

    fn update(
        &mut self,
        input: &ColumnarBatch,
        rows: &[u32],
        slots: &[u32],
        arena: &mut AggregateArena,
    ) -> Result<(), StreamsError> {
        let arguments = self.arguments(input, rows)?;
        for (accumulator, args) in arena.accumulators.iter_mut().zip(&arguments) {
            accumulator.update(slots, args).map_err(failed)?;
        }
        log_row_errors(&self.errors);
        Ok(())
    }

    fn update_running(&mut self, pairs: Running<'_, Self>) -> Result<Box<dyn Batch>, StreamsError> {
        let Running { input, rows, slots, starts, times, arena } = pairs;
        let arguments = self.arguments(input, rows)?;
        let mut results = Vec::with_capacity(arguments.len());
        for (accumulator, args) in arena.accumulators.iter_mut().zip(&arguments) {
            results.push(accumulator.update_running(slots, args).map_err(failed)?);
        }
        log_row_errors(&self.errors);
        let indices = UInt32Array::from(rows.to_vec());
        let batch = input.record_batch().map_err(failed)?;
        let columns = self.group.iter().map(|expr| {
            let values = expr.evaluate(&batch).map_err(failed)?;
            compute::take(&values, &indices, None).map_err(failed)
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let mut keys = ByteColumn::default();
        self.keys.append(input, true, &mut keys)?;
        let mut carried = BinaryBuilder::new();
        rows.iter().for_each(|row| carried.append_option(keys.get(*row as usize)));
        let output = self.rows.assemble(columns, starts, times.to_vec(), results);
        let output = output.with_key_bytes(Some(carried.finish()));
        let passed = self.rows.having(&output)?;
        finish(output, passed, slots, arena)
    }

    fn emit(
        &mut self,
        store: &CachedStore<AggregateArena>,
        slots: &[u32],
        _changed: Option<&[usize]>,
    ) -> Result<Box<dyn Batch>, StreamsError> {
        let results = store.arena().results(slots).map_err(failed)?;
        let timestamps: Vec<i64> = slots.iter().map(|slot| store.timestamp(*slot)).collect();
        let windowed = matches!(store.kind(), StoreKind::Window { .. });
        let key = |slot: &u32| match windowed {
            true => store.windowed_key(*slot),
            false => (store.key(*slot), 0),
        };
        let (keys, starts): (Vec<Option<&[u8]>>, Vec<i64>) =
            slots.iter().map(|slot| (Some(key(slot).0), key(slot).1)).unzip();
        let output = self.rows.rows(&keys, &starts, timestamps, results)?;
        let output = output.with_key_bytes(Some(BinaryArray::from_iter(keys)));
        let passed = self.rows.having(&output)?;
        finish(output, passed, slots, store.arena())
    }
}

/// Applies HAVING: groups that no longer pass become deletes, those that never did are left out.
fn finish(
    output: ColumnarBatch,
    passed: Option<BooleanBuffer>,
    slots: &[u32],
    arena: &AggregateArena,
) -> Result<Box<dyn Batch>, StreamsError> {
    let Some(before) = &arena.passed else { return Ok(Box::new(output)) };
    let mut relevant = Vec::with_capacity(slots.len());
    let mut present = Vec::with_capacity(slots.len());
    for (row, slot) in (0u32..).zip(slots) {
        let passes = passed.as_ref().is_none_or(|passed| passed.value(row as usize));
        if before[*slot as usize].replace(passes) || passes {
            relevant.push(row);
            present.push(passes);
        }
    }
    let output = output.take(&UInt32Array::from(relevant)).map_err(failed)?;
    Ok(Box::new(output.with_present(Some(BooleanBuffer::from(present)))))
}

/// The core has no reporter at this place: what went wrong in arguments is in the log, and NULL in the aggregate.
fn log_row_errors(errors: &RowErrors) {
    if let Some((rows, messages)) = errors.drain() {
        tracing::warn!(rows, "aggregate arguments failed: {}", messages.join("; "));
    }
}
