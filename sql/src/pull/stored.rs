//! Rows of a table out of its query's state store.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions},
    compute,
    datatypes::{DataType, Int64Type, SchemaRef},
};
use datafusion::scalar::ScalarValue;
use hashbrown::HashSet;
use millstream_formats::{Decoder, Payloads};
use millstream_streams::{
    Arena, Batch, StoreView, StreamsError,
    store::{KeyRange, StoredRow},
};

use super::{Access, Rows};
use crate::{
    ast::SourceKind,
    catalogue::Windowing,
    columnar::ColumnarBatch,
    error::SqlError,
    expression::{Bound, RowErrors, bind, cast, comparison::Comparison},
    operator::{
        aggregate::{AggregateArena, GroupRows},
        rows::RowCodec,
    },
    plan::{Aggregate, Kept, Materialize, Origin, Plan, Project, SourceStep, Step, internal},
};

/// Rows that become one batch.
const BATCH_ROWS: usize = 1024;

/// How a query keeps the rows of its table.
pub(crate) enum Stored {
    /// As aggregates, from which rows are computed.
    Aggregated {
        /// The aggregation.
        aggregate: Box<Aggregate>,
        /// SELECT over it.
        project: Project,
        /// Readers that no pull query uses now. Making one costs more than reading a row with it.
        idle: Mutex<Vec<GroupReader>>,
    },
    /// As the topic has them.
    Written {
        /// The store.
        store: String,
    },
    /// As rows of the query.
    Rows {
        /// The store.
        store: String,
        /// Their columns: those of the key, of the value, then of headers.
        schema: SchemaRef,
    },
}

impl Stored {
    /// How the query of this plan keeps its table's rows, if it does.
    pub(crate) fn of(plan: &Plan) -> Option<Self> {
        if plan.output.kind != SourceKind::Table {
            return None;
        }
        let schema = plan.output.schema.clone();
        let mut steps = plan.steps.iter().rev();
        match (steps.next()?, steps.next()) {
            (Step::Materialize(Materialize { store, kept: Kept::Value(_), .. }), _) => {
                Some(Self::Written { store: store.clone() })
            }
            (Step::Materialize(Materialize { store, kept: Kept::Rows, .. }), _) => {
                Some(Self::Rows { store: store.clone(), schema })
            }
            // The keys of windows that were grouped by are not those of the store.
            (Step::Project(project), Some(Step::Aggregate(aggregate)))
                if aggregate.keys.bounds.is_empty() =>
            {
                let (aggregate, project) = (aggregate.clone(), project.clone());
                Some(Self::Aggregated { aggregate, project, idle: Mutex::default() })
            }
            _ => None,
        }
    }

    /// The name of the store.
    pub(crate) fn store(&self) -> &str {
        match self {
            Self::Aggregated { aggregate, .. } => &aggregate.store,
            Self::Written { store } | Self::Rows { store, .. } => store,
        }
    }
}

/// The table of a query, with the columns a pull query wants of it.
pub(crate) struct StoredTable {
    view: StoreView,
    stored: Arc<Stored>,
    step: SourceStep,
    reader: RowReader,
}

/// What reads the rows.
enum RowReader {
    /// The readers that are kept with the aggregates.
    Groups,
    /// Decoders of keys and values.
    Written(Box<Mutex<(Decoder, Decoder)>>),
    /// Reads all columns at once.
    Rows(RowCodec),
}

/// Computes rows from aggregates.
pub(crate) struct GroupReader {
    arena: AggregateArena,
    rows: Box<GroupRows>,
    exprs: Vec<Bound>,
    errors: RowErrors,
}

impl GroupReader {
    fn new(aggregate: &Aggregate, project: &Project) -> Result<Self, SqlError> {
        let functions: Vec<_> = aggregate.calls.iter().map(|call| call.function.clone()).collect();
        let exprs = project.exprs.iter().map(|expr| bind(expr, &aggregate.schema));
        let rows = GroupRows::new(aggregate);
        Ok(Self {
            arena: AggregateArena::new(&functions, aggregate.having.is_some())?,
            rows: Box::new(rows.map_err(|error| SqlError::failed("prepare the pull query", error))?),
            exprs: exprs.collect::<Result<_, _>>()?,
            errors: RowErrors::default(),
        })
    }

    /// The columns of the rows that pass HAVING, and their times.
    fn read(
        &mut self,
        rows: &[StoredRow],
        keys: &[Option<&[u8]>],
        bounds: (Vec<i64>, Vec<i64>),
        times: Vec<i64>,
    ) -> Result<(Vec<ArrayRef>, Vec<i64>), SqlError> {
        let failed = |error: StreamsError| SqlError::failed("read the table's state", error);
        self.arena.resize(rows.len());
        let slots: Vec<u32> = (0u32..).take(rows.len()).collect();
        for (slot, row) in slots.iter().zip(rows) {
            self.arena.reset(*slot);
            self.arena.load(*slot, &row.value).map_err(failed)?;
        }
        let results = self.arena.results(&slots)?;
        let found = self.rows.rows(keys, bounds, times, results).map_err(failed)?;
        let found = match self.rows.having(&found).map_err(failed)? {
            None => found,
            Some(passed) => found.filter(&arrow::array::BooleanArray::new(passed, None))?,
        };
        let columns = project(&found, &self.exprs)?;
        self.errors.drain();
        Ok((columns, found.timestamps().to_vec()))
    }
}

impl StoredTable {
    /// The rows that `view` has of the step's table.
    pub(crate) fn new(view: StoreView, stored: Arc<Stored>, step: &SourceStep) -> Result<Self, SqlError> {
        let reader = match &*stored {
            Stored::Aggregated { .. } => RowReader::Groups,
            Stored::Rows { schema, .. } => RowReader::Rows(RowCodec::new(schema.fields())?),
            Stored::Written { .. } => {
                let failed = |error| SqlError::failed("prepare the pull query", error);
                let source = &step.source;
                let keys = internal(source.key_format).decoder(&source.columns.key_fields(), None, None);
                let values =
                    internal(source.value_format).decoder(&source.columns.value_fields(), None, None);
                RowReader::Written(Box::new(Mutex::new((keys.map_err(failed)?, values.map_err(failed)?))))
            }
        };
        Ok(Self { view, stored, step: step.clone(), reader })
    }

    /// The key bytes that `access` asks for, if it names every key column's values.
    fn keys(&self, access: &Access) -> Result<Option<Payloads>, SqlError> {
        let source = &self.step.source;
        let failed = |error| SqlError::failed("look up a key", error);
        if !access.lists_keys(source) {
            return Ok(None);
        }
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for key in &source.columns.key {
            let values = access.values(&key.name).unwrap_or_default();
            let mut parts = Vec::with_capacity(values.len());
            for value in values {
                let errors = RowErrors::default();
                let part = cast::cast(&value.to_array()?, &key.ty.to_arrow(), &errors)?;
                if part.is_valid(0) {
                    parts.push(part);
                }
            }
            let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            if parts.is_empty() {
                return Ok(Some(Payloads::new()));
            }
            arrays.push(compute::concat(&parts)?);
        }
        let rows = arrays[0].len();
        let mut payloads = Payloads::new();
        let mut encoder =
            internal(source.key_format).encoder(&source.columns.key_fields(), None).map_err(failed)?;
        encoder.encode(&arrays, rows, None, &mut payloads).map_err(failed)?;
        Ok(Some(payloads))
    }

    /// The range of key bytes that `access` asks for.
    fn range(&self, access: &Access) -> KeyRange {
        let mut range = KeyRange::all();
        for (comparison, bytes) in access.key_bounds(&self.step.source) {
            let bytes = bytes.to_vec();
            match comparison {
                Comparison::Greater | Comparison::GreaterOrEqual => range.from = range.from.max(Some(bytes)),
                Comparison::Less | Comparison::LessOrEqual => {
                    range.to = Some(range.to.map_or(bytes.clone(), |to| to.min(bytes)));
                }
                _ => {}
            }
        }
        range
    }

    /// The times that `access` asks for, both ends included: of windows their starts, of sessions their ends.
    fn windows(&self, access: &Access) -> (i64, i64) {
        let size = self.step.source.window.and_then(Windowing::size_ms);
        let (mut from, mut to) = (i64::MIN, i64::MAX);
        let equal = access.equal.iter().filter_map(|(name, values)| match values.as_slice() {
            [value] => Some((name, Comparison::Equal, value)),
            _ => None,
        });
        for (name, comparison, value) in equal.chain(access.bounds.iter().map(|(n, c, v)| (n, *c, v))) {
            let Ok(bound) = cast_to_bigint(value) else { continue };
            let (bound, comparison) = match (name.as_str(), size) {
                ("WINDOWSTART", Some(_)) => (bound, comparison),
                ("WINDOWEND", size) => (bound.saturating_sub(size.unwrap_or(0)), comparison),
                // A session ends at its start or later, whatever its start is compared with from above.
                ("WINDOWSTART", None) if comparison == Comparison::Equal => {
                    (bound, Comparison::GreaterOrEqual)
                }
                ("WINDOWSTART", None)
                    if !matches!(comparison, Comparison::Less | Comparison::LessOrEqual) =>
                {
                    (bound, comparison)
                }
                _ => continue,
            };
            match comparison {
                Comparison::Equal => (from, to) = (from.max(bound), to.min(bound)),
                Comparison::Greater | Comparison::GreaterOrEqual => from = from.max(bound),
                Comparison::Less | Comparison::LessOrEqual => to = to.min(bound),
                _ => {}
            }
        }
        (from, to)
    }

    fn batch(&self, rows: &[StoredRow]) -> Result<RecordBatch, SqlError> {
        let keys: Vec<Option<&[u8]>> = rows.iter().map(|row| Some(row.key.as_slice())).collect();
        let bound = |bound: Option<i64>| bound.unwrap_or(0);
        let bounds = rows.iter().map(|row| (bound(row.window_start), bound(row.window_end))).unzip();
        let times: Vec<i64> = rows.iter().map(|row| row.timestamp).collect();
        let payloads = || rows.iter().map(|row| Some(row.value.as_slice()));
        let (columns, times) = match (&*self.stored, &self.reader) {
            (Stored::Aggregated { aggregate, project, idle }, _) => {
                let idle = || idle.lock().unwrap_or_else(PoisonError::into_inner);
                let spare = idle().pop();
                let mut reader = spare.map_or_else(|| GroupReader::new(aggregate, project), Ok)?;
                let read = reader.read(rows, &keys, bounds, times);
                idle().push(reader);
                read?
            }
            (_, RowReader::Rows(codec)) => {
                let columns = codec.decode(payloads());
                (columns.map_err(|error| SqlError::failed("read the table's state", error))?, times)
            }
            (_, RowReader::Written(decoders)) => {
                let (keys_of, values_of) = &mut *decoders.lock().unwrap_or_else(PoisonError::into_inner);
                let payloads: Vec<Option<&[u8]>> = payloads().collect();
                let (key, value) = (keys_of.decode(&keys), values_of.decode(&payloads));
                if let Some(error) = key.errors.first().or(value.errors.first()) {
                    return Err(SqlError::failed("read the table's state", error.clone()));
                }
                (key.columns.into_iter().chain(value.columns).collect(), times)
            }
            (Stored::Written { .. } | Stored::Rows { .. }, RowReader::Groups) => {
                unreachable!("only aggregates are read by readers of their own")
            }
        };
        self.pick(columns, times)
    }

    /// The wanted columns of key columns, window bounds and value columns.
    fn pick(&self, columns: Vec<ArrayRef>, times: Vec<i64>) -> Result<RecordBatch, SqlError> {
        let keys = self.step.source.columns.key.len();
        let bounds = if self.step.source.window.is_some() { 2 } else { 0 };
        let rows = times.len();
        let times: ArrayRef = Arc::new(Int64Array::from(times));
        let column = |origin: &Origin| match origin {
            Origin::Key(place) => columns[*place].clone(),
            Origin::WindowStart => columns[keys].clone(),
            Origin::WindowEnd => columns[keys + 1].clone(),
            Origin::Value(place) => columns[keys + bounds + place].clone(),
            Origin::RowTime => times.clone(),
            // Only rows that are kept whole have them.
            Origin::Header(place) => {
                columns[keys + bounds + self.step.source.columns.value.len() + place].clone()
            }
            Origin::RowPartition | Origin::RowOffset => {
                unreachable!("a table has no {origin:?}: the analysis refuses it")
            }
        };
        let picked = self.step.origins.iter().map(column).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(self.step.schema.clone(), picked, &options)?)
    }
}

fn project(rows: &ColumnarBatch, exprs: &[Bound]) -> Result<Vec<ArrayRef>, SqlError> {
    let batch = rows.record_batch()?;
    Ok(exprs.iter().map(|expr| expr.evaluate(&batch)).collect::<Result<_, _>>()?)
}

pub(super) fn cast_to_bigint(value: &ScalarValue) -> Result<i64, SqlError> {
    let array = cast::cast(&value.to_array()?, &DataType::Int64, &RowErrors::default())?;
    let array = array.as_primitive::<Int64Type>();
    if array.is_valid(0) { Ok(array.value(0)) } else { Err(SqlError::invalid("a window bound is NULL")) }
}

impl Rows for StoredTable {
    fn read(&self, access: &Access, each: &mut dyn FnMut(RecordBatch) -> bool) -> Result<(), SqlError> {
        let failed = |error| SqlError::failed("read the table's state", error);
        let windowed = self.step.source.window.is_some();
        let sessions = self.step.source.window == Some(Windowing::Session);
        let (from, to) = self.windows(access);
        if let Some(keys) = self.keys(access)? {
            let mut rows = Vec::new();
            let mut asked = HashSet::new();
            // A key that is listed twice is one row all the same.
            for key in keys.iter().flatten().filter(|key| asked.insert(*key)) {
                if windowed {
                    rows.extend(self.view.windows(key, from, to).map_err(failed)?);
                } else {
                    rows.extend(self.view.get(key).map_err(failed)?);
                }
            }
            for chunk in rows.chunks(BATCH_ROWS) {
                if !each(self.batch(chunk)?) {
                    return Ok(());
                }
            }
            return Ok(());
        }
        let mut chunk = Vec::with_capacity(BATCH_ROWS);
        for row in self.view.scan(self.range(access)) {
            let row = row.map_err(failed)?;
            let time = match sessions {
                true => row.window_end,
                false => row.window_start,
            };
            if time.is_some_and(|time| !(from..=to).contains(&time)) {
                continue;
            }
            chunk.push(row);
            if chunk.len() == BATCH_ROWS {
                if !each(self.batch(&chunk)?) {
                    return Ok(());
                }
                chunk.clear();
            }
        }
        if !chunk.is_empty() {
            each(self.batch(&chunk)?);
        }
        Ok(())
    }

    fn satisfies(&self, access: &Access) -> bool {
        access.is_only_keys(&self.step.source)
    }

    fn path(&self, access: &Access) -> String {
        access.path(&self.step.source).to_string()
    }
}
