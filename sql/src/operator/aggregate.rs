//! GROUP BY: columnar accumulators over the slots of a store, and HAVING over what comes out of them.

use std::{cell::Cell, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, Int64Array, UInt32Array},
    buffer::{BooleanBuffer, ScalarBuffer},
    compute,
    datatypes::{DataType, Int64Type, SchemaRef},
};
use datafusion::logical_expr::Expr;
use hashbrown::HashMap;
use millstream_formats::Decoder;
use millstream_streams::{
    Arena, Batch, ByteColumn, CachedStore, Reporter, StreamsError,
    operator::{Aggregator, aggregate::Running},
    store::StoreKind,
};
use rustc_hash::FxBuildHasher;

use super::{
    failed,
    keys::{KeyWriterError, Keys, decode_keys},
    reports::{Computed, Drained},
};
use crate::{
    columnar::ColumnarBatch,
    error::SqlError,
    expression::{Bound, RowErrors, bind, bind_condition, column, select},
    function::{Accumulator, ResolvedAggregate},
    plan,
};

/// About what an accumulator's slot and its part of the tables take.
const ACCUMULATOR_BYTES: usize = 48;

/// The states of all aggregates of a query, by slot.
///
/// State bytes are those of each accumulator one after another, and with HAVING one byte more: whether the group was
/// let through when it was last emitted.
pub(crate) struct AggregateArena {
    pub(super) accumulators: Vec<Box<dyn Accumulator>>,
    /// Cells, because a group is emitted while its store is only read.
    passed: Option<Vec<Cell<bool>>>,
    /// Which slots have a state, where that is asked for.
    filled: Vec<bool>,
}

impl AggregateArena {
    /// Accumulators without slots.
    pub(crate) fn new(functions: &[ResolvedAggregate], having: bool) -> Result<Self, SqlError> {
        let accumulators = functions.iter().map(ResolvedAggregate::accumulator).collect::<Result<_, _>>()?;
        Ok(Self { accumulators, passed: having.then(Vec::new), filled: Vec::new() })
    }

    /// Whether a HAVING decides which groups come out.
    pub(super) fn filters(&self) -> bool {
        self.passed.is_some()
    }

    /// Takes a group for one that HAVING let through.
    pub(super) fn assume_passed(&self, slot: u32) {
        if let Some(passed) = &self.passed {
            passed[slot as usize].set(true);
        }
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
        self.filled.resize(slots.max(self.filled.len()), false);
    }

    fn reset(&mut self, slot: u32) {
        self.accumulators.iter_mut().for_each(|accumulator| accumulator.reset(slot as usize));
        if let Some(passed) = &self.passed {
            passed[slot as usize].set(false);
        }
        self.filled[slot as usize] = false;
    }

    fn load(&mut self, slot: u32, mut bytes: &[u8]) -> Result<(), StreamsError> {
        for accumulator in &mut self.accumulators {
            accumulator.load(slot as usize, &mut bytes).map_err(failed)?;
        }
        if let Some(passed) = &self.passed {
            passed[slot as usize].set(bytes.first() == Some(&1));
        }
        self.filled[slot as usize] = true;
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
    windowed: bool,
    /// How many of the columns are aggregates.
    calls: usize,
    having: Option<Bound>,
}

/// The start and end of the window of each row, in ms; empty without windows.
pub(crate) type Bounds = (Vec<i64>, Vec<i64>);

impl GroupRows {
    /// Prepares rows for a planned aggregation.
    pub(crate) fn new(step: &plan::Aggregate) -> Result<Self, KeyWriterError> {
        let having =
            step.having.as_ref().map(|having| bind_condition(&having.condition, &step.schema)).transpose()?;
        Ok(Self {
            keys: step.keys.format.decoder(&step.keys.fields(), None, None)?,
            schema: step.schema.clone(),
            windowed: step.window.is_some() || !step.keys.bounds.is_empty(),
            calls: step.calls.len(),
            having,
        })
    }

    /// The rows of groups by their key bytes and windows; `results` are the aggregates' columns.
    pub(crate) fn rows(
        &mut self,
        keys: &[Option<&[u8]>],
        bounds: Bounds,
        timestamps: Vec<i64>,
        results: Vec<ArrayRef>,
    ) -> Result<ColumnarBatch, StreamsError> {
        let columns = decode_keys(&mut self.keys, keys)?;
        Ok(self.assemble(columns, bounds, timestamps, results))
    }

    /// The same with the grouping columns.
    pub(super) fn assemble(
        &self,
        mut columns: Vec<ArrayRef>,
        bounds: Bounds,
        timestamps: Vec<i64>,
        results: Vec<ArrayRef>,
    ) -> ColumnarBatch {
        if self.windowed {
            let (starts, ends) = bounds;
            columns.push(Arc::new(Int64Array::from(starts)));
            columns.push(Arc::new(Int64Array::from(ends)));
        }
        columns.extend(results);
        ColumnarBatch::new(self.schema.clone(), columns, ScalarBuffer::from(timestamps))
    }

    /// The types of the aggregates.
    pub(super) fn aggregates(&self) -> Vec<DataType> {
        let fields = self.schema.fields();
        fields[fields.len() - self.calls..].iter().map(|field| field.data_type().clone()).collect()
    }

    /// Which groups HAVING lets through; `None` for all.
    pub(crate) fn having(&self, rows: &ColumnarBatch) -> Result<Option<BooleanBuffer>, StreamsError> {
        let Some(having) = &self.having else { return Ok(None) };
        let rows = rows.record_batch().map_err(failed)?;
        Ok(select(&having.evaluate(&rows).map_err(failed)?).map(|passed| passed.values().clone()))
    }

    /// Applies HAVING: groups that no longer pass become deletes, those that never did are left out. `output` has a row
    /// per slot, and those that are not present do not pass.
    pub(super) fn finish(
        &self,
        output: ColumnarBatch,
        slots: &[u32],
        arena: &AggregateArena,
    ) -> Result<ColumnarBatch, StreamsError> {
        let Some(before) = &arena.passed else { return Ok(output) };
        let passing = self.having(&output)?;
        let mut relevant = Vec::with_capacity(slots.len());
        let mut present = Vec::with_capacity(slots.len());
        for (row, slot) in (0u32..).zip(slots) {
            let passes = passing.as_ref().is_none_or(|passing| passing.value(row as usize))
                && output.is_present(row as usize);
            if before[*slot as usize].replace(passes) || passes {
                relevant.push(row);
                present.push(passes);
            }
        }
        let output = output.take(&UInt32Array::from(relevant)).map_err(failed)?;
        Ok(output.with_present(Some(BooleanBuffer::from(present))))
    }
}

/// What an aggregation takes of its input: keys, grouping columns and the arguments of the aggregates, computed once
/// per batch.
pub(super) struct GroupInput {
    keys: Keys,
    group: Vec<Bound>,
    /// The bounds of windows that are part of the key.
    bounds: Vec<Bound>,
    args: Vec<Vec<Bound>>,
    /// The calls as written.
    texts: Vec<String>,
    errors: RowErrors,
    /// Arguments of the present batch with rows that failed: call, argument, errors.
    failures: Vec<(usize, usize, Drained)>,
    /// Of the present batch.
    columns: Vec<ArrayRef>,
    bound_columns: Vec<ArrayRef>,
    key_bytes: BinaryArray,
    new: Vec<Vec<ArrayRef>>,
    old: Vec<Vec<ArrayRef>>,
}

impl GroupInput {
    pub(super) fn new(
        step: &plan::Aggregate,
        input: &SchemaRef,
        errors: &RowErrors,
    ) -> Result<Self, KeyWriterError> {
        let bind_all = |exprs: &mut dyn Iterator<Item = &Expr>| {
            exprs.map(|expr| bind(expr, input)).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            keys: Keys::new(&step.keys, input)?,
            group: bind_all(&mut step.keys.columns.iter().map(|(_, value)| value))?,
            bounds: bind_all(
                &mut step.keys.bounds.iter().map(|bound| column(bound)).collect::<Vec<_>>().iter(),
            )?,
            args: step.calls.iter().map(|call| bind_all(&mut call.args.iter())).collect::<Result<_, _>>()?,
            texts: step.calls.iter().map(|call| call.text.clone()).collect(),
            errors: errors.clone(),
            failures: Vec::new(),
            columns: Vec::new(),
            bound_columns: Vec::new(),
            key_bytes: BinaryBuilder::new().finish(),
            new: Vec::new(),
            old: Vec::new(),
        })
    }

    /// Takes in a batch, and appends the keys of its rows. Rows without value have none, unless `changes` are wanted.
    pub(super) fn take_in(
        &mut self,
        input: &ColumnarBatch,
        changes: bool,
        keys: &mut ByteColumn,
    ) -> Result<(), StreamsError> {
        self.keys.append(input, !changes, keys)?;
        let mut carried = BinaryBuilder::with_capacity(input.rows(), input.rows() * 8);
        keys.iter().for_each(|key| carried.append_option(key));
        self.key_bytes = carried.finish();
        let rows = input.record_batch().map_err(failed)?;
        let group = self.group.iter().map(|expr| expr.evaluate(&rows)).collect::<Result<_, _>>();
        self.columns = group.map_err(failed)?;
        let bounds = self.bounds.iter().map(|expr| expr.evaluate(&rows)).collect::<Result<_, _>>();
        self.bound_columns = bounds.map_err(failed)?;
        if let Some(old) = input.old() {
            self.old = self.arguments(old)?;
        }
        // What the new rows leave is reported; that an old row failed was said when it was new.
        self.new = self.arguments(input)?;
        Ok(())
    }

    fn arguments(&mut self, input: &ColumnarBatch) -> Result<Vec<Vec<ArrayRef>>, StreamsError> {
        let rows = input.record_batch().map_err(failed)?;
        self.failures.clear();
        let mut arguments = Vec::with_capacity(self.args.len());
        for (call, args) in self.args.iter().enumerate() {
            let mut columns = Vec::with_capacity(args.len());
            for (place, arg) in args.iter().enumerate() {
                columns.push(arg.evaluate(&rows).map_err(failed)?);
                self.failures.extend(self.errors.drain().map(|drained| (call, place, drained)));
            }
            arguments.push(columns);
        }
        Ok(arguments)
    }

    /// Reports rows of the present batch whose arguments failed.
    pub(super) fn report(
        &mut self,
        input: &ColumnarBatch,
        report: &mut dyn Reporter,
    ) -> Result<(), StreamsError> {
        for (call, place, drained) in std::mem::take(&mut self.failures) {
            let rows = input.record_batch().map_err(failed)?;
            let computed = Computed { rows: &rows, times: input.timestamps(), errors: &self.errors };
            let what = format!("Error computing expression {} with index {call}", self.texts[call]);
            computed.report(&self.args[call][place], drained, &what, report)?;
        }
        Ok(())
    }

    /// The arguments of every aggregate, a value per entry of `rows`.
    fn at(&self, rows: &[u32]) -> Result<Vec<Vec<ArrayRef>>, StreamsError> {
        let all =
            rows.len() == self.key_bytes.len() && rows.iter().zip(0u32..).all(|(row, place)| *row == place);
        if all {
            return Ok(self.new.clone());
        }
        let indices = UInt32Array::from(rows.to_vec());
        let taken =
            |args: &Vec<ArrayRef>| args.iter().map(|arg| compute::take(arg, &indices, None)).collect();
        self.new.iter().map(taken).collect::<Result<_, _>>().map_err(failed)
    }

    /// Adds one row to a slot.
    pub(super) fn add(&self, row: usize, slot: u32, arena: &mut AggregateArena) -> Result<(), StreamsError> {
        for (accumulator, args) in arena.accumulators.iter_mut().zip(&self.new) {
            let args: Vec<ArrayRef> = args.iter().map(|arg| arg.slice(row, 1)).collect();
            accumulator.update(&[slot], &args).map_err(failed)?;
        }
        arena.filled[slot as usize] = true;
        Ok(())
    }

    /// Takes the row before a change out of a slot, and adds the row after it.
    fn change(
        &self,
        input: &ColumnarBatch,
        row: usize,
        slot: u32,
        arena: &mut AggregateArena,
    ) -> Result<(), StreamsError> {
        // There is nothing to take out of a group that is not known.
        if arena.filled[slot as usize] && input.old().is_some_and(|old| old.is_present(row)) {
            for (accumulator, args) in arena.accumulators.iter_mut().zip(&self.old) {
                let args: Vec<ArrayRef> = args.iter().map(|arg| arg.slice(row, 1)).collect();
                accumulator.undo(&[slot], &args).map_err(failed)?;
            }
        }
        if input.is_present(row) {
            self.add(row, slot, arena)?;
        }
        Ok(())
    }

    /// Takes all changes, each slot's in their order, and puts the aggregates right after each into `results`.
    fn change_all(
        &self,
        input: &ColumnarBatch,
        rows: &[u32],
        slots: &[u32],
        arena: &mut AggregateArena,
        mut results: Option<&mut Results>,
    ) -> Result<(), StreamsError> {
        let rounds = rounds(slots);
        if slots.len() < rounds.len() * ROUND_ROWS {
            for (place, (row, slot)) in rows.iter().zip(slots).enumerate() {
                self.change(input, *row as usize, *slot, arena)?;
                if let Some(results) = &mut results {
                    results.add(&[place as u32], &[*slot], arena)?;
                }
            }
            return Ok(());
        }
        for places in rounds {
            let pairs = || places.iter().map(|place| (rows[*place as usize], slots[*place as usize]));
            let was = |row: u32| input.old().is_some_and(|old| old.is_present(row as usize));
            // There is nothing to take out of a group that is not known.
            let leaving = pairs().filter(|(row, slot)| arena.filled[*slot as usize] && was(*row));
            let (leaving, left): (Vec<u32>, Vec<u32>) = leaving.unzip();
            let entering = pairs().filter(|(row, _)| input.is_present(*row as usize));
            let (entering, entered): (Vec<u32>, Vec<u32>) = entering.unzip();
            let (leaving, entering) = (UInt32Array::from(leaving), UInt32Array::from(entering));
            let taken = |args: &[ArrayRef], rows: &UInt32Array| -> Result<Vec<ArrayRef>, StreamsError> {
                args.iter().map(|arg| compute::take(arg, rows, None).map_err(failed)).collect()
            };
            if !left.is_empty() {
                for (accumulator, args) in arena.accumulators.iter_mut().zip(&self.old) {
                    accumulator.undo(&left, &taken(args, &leaving)?).map_err(failed)?;
                }
            }
            if !entered.is_empty() {
                for (accumulator, args) in arena.accumulators.iter_mut().zip(&self.new) {
                    accumulator.update(&entered, &taken(args, &entering)?).map_err(failed)?;
                }
                entered.iter().for_each(|slot| arena.filled[*slot as usize] = true);
            }
            if let Some(results) = &mut results {
                let slots: Vec<u32> = places.iter().map(|place| slots[*place as usize]).collect();
                results.add(&places, &slots, arena)?;
            }
        }
        Ok(())
    }

    /// The grouping columns of these rows.
    pub(super) fn groups(&self, rows: &UInt32Array) -> Result<Vec<ArrayRef>, StreamsError> {
        self.columns.iter().map(|column| compute::take(column, rows, None).map_err(failed)).collect()
    }

    /// The serialized keys of these rows, without the bounds of windows.
    pub(super) fn carried(&self, rows: &[u32]) -> BinaryArray {
        let key = |row: usize| split_bounds(self.key_bytes.value(row), self.bounds.len()).0;
        let rows = rows.iter().map(|row| *row as usize);
        BinaryArray::from_iter(rows.map(|row| self.key_bytes.is_valid(row).then(|| key(row))))
    }

    /// The bounds of the windows that are part of the keys of these rows; nothing if none are.
    fn bounds(&self, rows: &[u32]) -> Option<Bounds> {
        let [starts, ends] = self.bound_columns.as_slice() else { return None };
        let values = |column: &ArrayRef| {
            let values = column.as_primitive::<Int64Type>();
            rows.iter().map(|row| values.value(*row as usize)).collect()
        };
        Some((values(starts), values(ends)))
    }
}

/// Changes that are worth taking together.
const ROUND_ROWS: usize = 16;

/// The places of slots, in rounds in which each slot comes once: its nth place is in the nth round.
fn rounds(slots: &[u32]) -> Vec<Vec<u32>> {
    let mut next: HashMap<u32, usize, FxBuildHasher> = HashMap::default();
    let mut rounds: Vec<Vec<u32>> = Vec::new();
    for (place, slot) in (0u32..).zip(slots) {
        let round = next.entry(*slot).or_default();
        if *round == rounds.len() {
            rounds.push(Vec::new());
        }
        rounds[*round].push(place);
        *round += 1;
    }
    rounds
}

/// The aggregates right after changes that were taken in another order.
#[derive(Default)]
struct Results {
    /// The place of each change.
    places: Vec<u32>,
    /// The aggregates, in parts: those of each accumulator.
    parts: Vec<Vec<ArrayRef>>,
}

impl Results {
    /// The aggregates of `slots` as they are now belong to these places.
    fn add(&mut self, places: &[u32], slots: &[u32], arena: &AggregateArena) -> Result<(), StreamsError> {
        self.places.extend_from_slice(places);
        self.parts.resize_with(arena.accumulators.len(), Vec::new);
        for (part, result) in self.parts.iter_mut().zip(arena.results(slots).map_err(failed)?) {
            part.push(result);
        }
        Ok(())
    }

    /// The aggregates in the order of the places.
    fn in_order(self, arena: &AggregateArena) -> Result<Vec<ArrayRef>, StreamsError> {
        if self.places.is_empty() {
            return arena.results(&[]).map_err(failed);
        }
        let mut order = vec![0u32; self.places.len()];
        for (taken, place) in (0u32..).zip(&self.places) {
            order[*place as usize] = taken;
        }
        let order = UInt32Array::from(order);
        let column = |parts: Vec<ArrayRef>| {
            let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            compute::take(&compute::concat(&parts)?, &order, None)
        };
        self.parts.into_iter().map(column).collect::<Result<_, _>>().map_err(failed)
    }
}

/// A serialized key without the bounds of its window, and these, if it has them.
fn split_bounds(key: &[u8], bounds: usize) -> (&[u8], (i64, i64)) {
    let split = || {
        let (rest, end) = key.split_last_chunk::<8>()?;
        let (rest, start) = rest.split_last_chunk::<8>()?;
        Some((rest, (i64::from_be_bytes(*start), i64::from_be_bytes(*end))))
    };
    if bounds == 2 { split().unwrap_or((key, (0, 0))) } else { (key, (0, 0)) }
}

/// The columnar skin of the aggregation core, without windows or over windows of one size.
pub(crate) struct ColumnarAggregator {
    input: GroupInput,
    rows: GroupRows,
    window: Option<plan::TimeWindow>,
    /// Whether the rows are changes of a table.
    changes: bool,
    /// The highest time of rows with a key.
    newest: i64,
}

impl ColumnarAggregator {
    /// Prepares a planned aggregation over batches of `input`.
    pub(crate) fn new(
        step: &plan::Aggregate,
        input: &SchemaRef,
        errors: &RowErrors,
    ) -> Result<Self, KeyWriterError> {
        let window = match step.window {
            Some(plan::Window::Time(window)) => Some(window),
            Some(plan::Window::Session(_)) | None => None,
        };
        Ok(Self {
            input: GroupInput::new(step, input, errors)?,
            rows: GroupRows::new(step)?,
            window,
            changes: step.changes,
            newest: i64::MIN,
        })
    }

    /// The bounds of windows with these starts.
    fn bounds(&self, starts: &[i64]) -> Bounds {
        (starts.to_vec(), starts.iter().map(|start| self.end(*start)).collect())
    }

    /// The end of the window with this start.
    fn end(&self, start: i64) -> i64 {
        start.saturating_add(self.window.map_or(0, |window| window.size_ms))
    }

    /// Whether a window with this start is still kept when it is emitted in the end. ksqlDB keeps windows for their size
    /// and grace behind the start of the newest window, so a large step in time drops windows that nobody has seen.
    fn is_kept(&self, start: i64) -> bool {
        let Some(window) = self.window else { return true };
        if self.newest == i64::MIN {
            return true;
        }
        let newest_start = self.newest - self.newest.rem_euclid(window.advance_ms);
        start >= newest_start.saturating_sub(window.size_ms).saturating_sub(window.grace_ms)
    }
}

impl Aggregator for ColumnarAggregator {
    type Arena = AggregateArena;
    type Input = ColumnarBatch;

    fn keys(&mut self, input: &ColumnarBatch, keys: &mut ByteColumn) -> Result<(), StreamsError> {
        self.input.take_in(input, self.changes, keys)?;
        let keyed = input.timestamps().iter().zip(keys.iter()).filter(|(_, key)| key.is_some());
        self.newest = keyed.fold(self.newest, |newest, (time, _)| newest.max(*time));
        Ok(())
    }

    fn report(&mut self, input: &ColumnarBatch, reporter: &mut dyn Reporter) -> Result<(), StreamsError> {
        self.input.report(input, reporter)
    }

    fn may_delete(&self) -> bool {
        self.changes
    }

    fn may_delete_with(
        &self,
        input: &ColumnarBatch,
        rows: &[u32],
        slots: &[u32],
        arena: &AggregateArena,
    ) -> bool {
        // What leaves a group that is not known leaves none behind.
        let known =
            |(row, slot): (&u32, &u32)| input.is_present(*row as usize) || arena.filled[*slot as usize];
        input.present().is_some() && !rows.iter().zip(slots).all(known)
    }

    fn has_state(&self, arena: &AggregateArena, slot: u32) -> bool {
        arena.filled[slot as usize]
    }

    fn update(
        &mut self,
        input: &ColumnarBatch,
        rows: &[u32],
        slots: &[u32],
        arena: &mut AggregateArena,
    ) -> Result<(), StreamsError> {
        if self.changes {
            return self.input.change_all(input, rows, slots, arena, None);
        }
        let arguments = self.input.at(rows)?;
        for (accumulator, args) in arena.accumulators.iter_mut().zip(&arguments) {
            accumulator.update(slots, args).map_err(failed)?;
        }
        Ok(())
    }

    fn update_running(&mut self, pairs: Running<'_, Self>) -> Result<Box<dyn Batch>, StreamsError> {
        let Running { input, rows, slots, starts, times, arena } = pairs;
        let mut present = None;
        let results = if self.changes {
            let mut results = Results::default();
            self.input.change_all(input, rows, slots, arena, Some(&mut results))?;
            // Where one of these rows can leave a group without state, it came alone.
            present = Some(slots.iter().map(|slot| arena.filled[*slot as usize]).collect());
            results.in_order(arena)?
        } else {
            let arguments = self.input.at(rows)?;
            let pairs = arena.accumulators.iter_mut().zip(&arguments);
            let running = pairs.map(|(accumulator, args)| accumulator.update_running(slots, args));
            running.collect::<Result<_, _>>().map_err(failed)?
        };
        let columns = self.input.groups(&UInt32Array::from(rows.to_vec()))?;
        let headers = input
            .headers()
            .map(|headers| rows.iter().map(|row| Arc::clone(&headers[*row as usize])).collect());
        let bounds = self.input.bounds(rows).unwrap_or_else(|| self.bounds(starts));
        let output = self.rows.assemble(columns, bounds, times.to_vec(), results);
        let output = output.with_key_bytes(Some(self.input.carried(rows))).with_headers(headers);
        Ok(Box::new(self.rows.finish(output.with_present(present), slots, arena)?))
    }

    fn emit(
        &mut self,
        store: &CachedStore<AggregateArena>,
        slots: &[u32],
        changed: Option<&[usize]>,
    ) -> Result<Box<dyn Batch>, StreamsError> {
        let windowed = matches!(store.kind(), StoreKind::Window { .. });
        let mut slots = slots.to_vec();
        if windowed && changed.is_none() {
            slots.retain(|slot| self.is_kept(store.windowed_key(*slot).1));
        }
        let results = store.arena().results(&slots).map_err(failed)?;
        let timestamps: Vec<i64> = slots.iter().map(|slot| store.timestamp(*slot)).collect();
        let of_key = self.input.bounds.len();
        let split = |slot: &u32| match windowed {
            true => {
                let (key, start) = store.windowed_key(*slot);
                (Some(key), (start, self.end(start)))
            }
            false => {
                let (key, bounds) = split_bounds(store.key(*slot), of_key);
                (Some(key), bounds)
            }
        };
        let (keys, bounds): (Vec<Option<&[u8]>>, Vec<_>) = slots.iter().map(split).unzip();
        let bounds = bounds.into_iter().unzip();
        let present: BooleanBuffer = slots.iter().map(|slot| store.exists(*slot)).collect();
        let output = self.rows.rows(&keys, bounds, timestamps, results)?;
        let output = output.with_key_bytes(Some(BinaryArray::from_iter(keys))).with_present(Some(present));
        Ok(Box::new(self.rows.finish(output, &slots, store.arena())?))
    }
}

#[cfg(test)]
mod tests {
    use super::rounds;

    #[test]
    fn a_slot_comes_once_in_a_round_and_in_its_order() {
        assert_eq!(rounds(&[7, 8, 7, 7, 9, 8]), [vec![0, 1, 4], vec![2, 5], vec![3]]);
        assert!(rounds(&[]).is_empty());
    }
}
