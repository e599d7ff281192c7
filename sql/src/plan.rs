//! What a query does, step by step, before any task exists.
//!
//! ```text
//! Plan { source, steps, output }      source ─▶ filter ─▶ join ─▶ rekey ─▶ aggregate ─▶ project ─▶ output
//!                                                           ▲
//!                                 Branch { source, steps } ─┘
//! ```
//! Joins are left-deep: what is joined is a branch of its own. Expressions are compiled and typed; each step names the columns that leave it. [`crate::topology`] turns a plan
//! into processors, EXPLAIN prints it.

use std::{fmt, sync::Arc};

use arrow::datatypes::{Fields, Schema, SchemaRef};
use datafusion::logical_expr::Expr;
use millstream_formats::{Format, FormatSpec};

use crate::{
    ast::{JoinKind, SourceKind},
    catalogue::{Column, Source, Windowing},
    expression::RowErrors,
    function::ResolvedAggregate,
};

/// A query: where rows come from, what happens to them, what comes out.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The leftmost source.
    pub(crate) source: SourceStep,
    /// What happens, in this order.
    pub(crate) steps: Vec<Step>,
    /// What comes out.
    pub(crate) output: Output,
    /// Where the expressions leave row errors.
    pub(crate) errors: RowErrors,
}

/// What comes out of a plan: key columns, then window bounds if windowed, then value columns. For queries whose rows
/// go to a client instead, all columns in the order selected.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// Stream or table.
    pub(crate) kind: SourceKind,
    /// Key columns.
    pub(crate) key: Vec<Column>,
    /// Value columns, or the selected ones.
    pub(crate) value: Vec<Column>,
    /// Whether the key is windowed.
    pub(crate) window: Option<Windowing>,
    /// The layout of the rows.
    pub(crate) schema: SchemaRef,
    /// How the serialized keys that come with the rows are written, if any come.
    pub(crate) key_bytes: Option<FormatSpec>,
    /// Whether key columns that are all NULL mean that there is no key.
    pub(crate) null_is_no_key: bool,
}

/// A column of a source's records, as a step needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The nth key column.
    Key(usize),
    /// The nth value column.
    Value(usize),
    /// The row's time.
    RowTime,
    /// The record's partition.
    RowPartition,
    /// The record's offset.
    RowOffset,
    /// The start of a windowed key.
    WindowStart,
    /// The end of a windowed key.
    WindowEnd,
    /// The nth column of headers.
    Header(usize),
}

/// Reads and decodes what the query needs of a topic.
#[derive(Clone, Debug)]
pub(crate) struct SourceStep {
    /// What is read.
    pub(crate) source: Arc<Source>,
    /// Its name in the query.
    pub(crate) alias: String,
    /// The columns that leave this step: what they are.
    pub(crate) origins: Vec<Origin>,
    /// Their names and types.
    pub(crate) schema: SchemaRef,
    /// Where the rows' time comes from, if not from the record.
    pub(crate) time: Option<RowTime>,
    /// Whether the serialized keys travel along.
    pub(crate) keep_key_bytes: bool,
    /// Whether the values are changes of a table's rows, as a repartition topic of a table has them.
    pub(crate) changes: bool,
}

/// Row time from a column.
#[derive(Clone, Debug)]
pub(crate) struct RowTime {
    /// The column.
    pub(crate) origin: Origin,
    /// The time, a TIMESTAMP or BIGINT of ms, over a batch with that column alone.
    pub(crate) expr: Expr,
    /// That batch.
    pub(crate) schema: SchemaRef,
    /// Whether a time that is not valid stops the query, and not only loses its row.
    pub(crate) must_be_valid: bool,
}

/// What is joined to the rows before.
#[derive(Clone, Debug)]
pub(crate) struct Branch {
    /// The stream or table.
    pub(crate) source: SourceStep,
    /// What happens to its rows first.
    pub(crate) steps: Vec<Step>,
}

impl Branch {
    /// A stream or table as it is read.
    pub(crate) fn new(source: SourceStep) -> Self {
        Self { source, steps: Vec::new() }
    }

    /// The layout of its rows where they are joined.
    pub(crate) fn layout(&self) -> &SchemaRef {
        self.steps.iter().fold(&self.source.schema, |layout, step| step.layout(layout))
    }
}

/// One thing that happens to rows.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// WHERE.
    Filter(Filter),
    /// Stream-table join.
    Join(Box<TableJoin>),
    /// Stream-stream join.
    StreamJoin(Box<StreamJoin>),
    /// Table-table join on the keys.
    PairJoin(Box<PairJoin>),
    /// Table-table join of a column with a key.
    ForeignJoin(Box<ForeignJoin>),
    /// Through a repartition topic, so that equal keys meet in one task.
    Rekey(Rekey),
    /// Table functions in SELECT.
    Explode(Explode),
    /// GROUP BY, window and HAVING.
    Aggregate(Box<Aggregate>),
    /// SELECT.
    Project(Project),
    /// Keeps the rows of a table, for queries on it, to know which deletes matter, or to tell what rows were before.
    Materialize(Materialize),
}

impl Step {
    /// The layout of what leaves it, if this enters.
    pub(crate) fn layout<'a>(&'a self, input: &'a SchemaRef) -> &'a SchemaRef {
        match self {
            Self::Filter(_) | Self::Materialize(_) => input,
            Self::Join(join) => &join.schema,
            Self::StreamJoin(join) => &join.schema,
            Self::PairJoin(join) => &join.schema,
            Self::ForeignJoin(join) => &join.schema,
            Self::Rekey(rekey) => &rekey.read.schema,
            Self::Explode(explode) => &explode.schema,
            Self::Aggregate(aggregate) => &aggregate.schema,
            Self::Project(project) => &project.schema,
        }
    }

    /// What it joins, if it joins.
    pub(crate) fn branch(&self) -> Option<&Branch> {
        match self {
            Self::Join(join) => Some(&join.table),
            Self::StreamJoin(join) => Some(&join.right),
            Self::PairJoin(join) => Some(&join.right),
            Self::ForeignJoin(join) => Some(&join.right),
            Self::Filter(_)
            | Self::Rekey(_)
            | Self::Explode(_)
            | Self::Aggregate(_)
            | Self::Project(_)
            | Self::Materialize(_) => None,
        }
    }
}

/// Where a step finds the serialized keys of its rows.
#[derive(Clone, Debug)]
pub(crate) struct RowKeys {
    /// The key columns, and their values as the step finds them in its input.
    pub(crate) columns: Vec<(Column, Expr)>,
    /// How they are written.
    pub(crate) format: FormatSpec,
    /// Whether the serialized keys that come with the rows are these already.
    pub(crate) carried: bool,
    /// The columns of window bounds that belong to the key.
    pub(crate) bounds: Vec<String>,
    /// Whether the start alone tells the window, as in the keys of topics: joined windows may differ in size.
    pub(crate) by_start: bool,
}

impl RowKeys {
    /// The key columns as fields of their format.
    pub(crate) fn fields(&self) -> Fields {
        let columns: Vec<Column> = self.columns.iter().map(|(column, _)| column.clone()).collect();
        internal_names(&columns, self.format).iter().map(Column::field).collect()
    }

    /// The names of the key columns and window bounds.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.columns
            .iter()
            .map(|(column, _)| column.name.as_str())
            .chain(self.bounds.iter().map(String::as_str))
    }
}

/// Keeps the rows for which `condition` is true.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    /// The condition.
    pub(crate) condition: Expr,
    /// The condition as written.
    pub(crate) text: String,
    /// Rows of a table become deletes instead of vanishing.
    pub(crate) table: bool,
}

/// Adds the columns of a table's row to each row of a stream.
#[derive(Clone, Debug)]
pub(crate) struct TableJoin {
    /// The table.
    pub(crate) table: Branch,
    /// How its rows are kept.
    pub(crate) rows: Materialize,
    /// INNER or LEFT.
    pub(crate) kind: JoinKind,
    /// The keys of the stream's rows, after the rekeying.
    pub(crate) keys: RowKeys,
    /// What leaves the step.
    pub(crate) schema: SchemaRef,
    /// The condition as written.
    pub(crate) text: String,
}

/// Joins rows of two streams that are near in time. The key comes first, then the bounds of its window if it has any,
/// then the left columns, then the right ones.
#[derive(Clone, Debug)]
pub(crate) struct StreamJoin {
    /// The right stream.
    pub(crate) right: Branch,
    /// Which rows come out without match.
    pub(crate) kind: JoinKind,
    /// How much older than the left row the right one may be, in ms.
    pub(crate) before_ms: i64,
    /// How much younger it may be, in ms.
    pub(crate) after_ms: i64,
    /// How long late rows are waited for, in ms; rows without match then come when it has passed, and else at once.
    pub(crate) grace_ms: Option<i64>,
    /// The keys of the left rows.
    pub(crate) left_keys: RowKeys,
    /// The keys of the right rows.
    pub(crate) right_keys: RowKeys,
    /// What the names of its stores begin with.
    pub(crate) name: String,
    /// What leaves the step.
    pub(crate) schema: SchemaRef,
    /// The condition as written.
    pub(crate) text: String,
}

/// Joins rows of two tables with equal keys. The key comes first, then the left columns, then the right ones.
#[derive(Clone, Debug)]
pub(crate) struct PairJoin {
    /// The right table.
    pub(crate) right: Branch,
    /// Which rows come out without match.
    pub(crate) kind: JoinKind,
    /// How the left rows are kept, with their keys.
    pub(crate) left_rows: Materialize,
    /// How the right rows are kept, with their keys.
    pub(crate) right_rows: Materialize,
    /// The keys of the left rows as they leave their store.
    pub(crate) left_keys: RowKeys,
    /// The keys of the right rows as they leave their store.
    pub(crate) right_keys: RowKeys,
    /// What leaves the step.
    pub(crate) schema: SchemaRef,
    /// The condition as written.
    pub(crate) text: String,
}

/// Joins each row of a table with the row of another one whose key it has in a column. The left columns come first,
/// then the right ones; the key stays that of the left table.
#[derive(Clone, Debug)]
pub(crate) struct ForeignJoin {
    /// The right table.
    pub(crate) right: Branch,
    /// INNER or LEFT.
    pub(crate) kind: JoinKind,
    /// How the left rows are kept, with their keys.
    pub(crate) left_rows: Materialize,
    /// How the right rows are kept, with their keys.
    pub(crate) right_rows: Materialize,
    /// The right keys in the left rows.
    pub(crate) foreign_key: RowKeys,
    /// What the names of its nodes, topics and stores begin with.
    pub(crate) name: String,
    /// What leaves the step.
    pub(crate) schema: SchemaRef,
    /// The condition as written.
    pub(crate) text: String,
}

/// Makes rows of the items of lists: as many of each row as its longest list has items.
#[derive(Clone, Debug)]
pub(crate) struct Explode {
    /// The table functions, as what gives the lists.
    pub(crate) lists: Vec<Expr>,
    /// The calls as written.
    pub(crate) texts: Vec<String>,
    /// What leaves the step: its input, and a column for each list.
    pub(crate) schema: SchemaRef,
}

/// Writes rows to an internal topic by a new key and reads them back.
#[derive(Clone, Debug)]
pub(crate) struct Rekey {
    /// Names the topic: `<application>-<name>-repartition`.
    pub(crate) name: String,
    /// The new key.
    pub(crate) keys: Vec<Expr>,
    /// What becomes of a row whose new key has a NULL.
    pub(crate) null_key: NullKey,
    /// The columns that travel in the value, by their names before.
    pub(crate) carried: Vec<String>,
    /// Reads the topic again: the new key, then the columns that travel in the value.
    pub(crate) read: SourceStep,
}

/// What becomes of a row whose key has a NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NullKey {
    /// It is dropped and reported.
    Report,
    /// It is dropped.
    Drop,
    /// It stays.
    Keep,
}

/// Aggregates per key, and per window.
#[derive(Clone, Debug)]
pub(crate) struct Aggregate {
    /// The grouping columns.
    pub(crate) keys: RowKeys,
    /// The aggregates and their result columns.
    pub(crate) calls: Vec<AggregateCall>,
    /// The windows.
    pub(crate) window: Option<Window>,
    /// Whether windows come out once, when they close (EMIT FINAL).
    pub(crate) emits_final: bool,
    /// Whether the rows are changes of a table, whose old rows are to be taken out of their groups.
    pub(crate) changes: bool,
    /// HAVING.
    pub(crate) having: Option<Filter>,
    /// The name of the store.
    pub(crate) store: String,
    /// What leaves the step: grouping columns, window bounds, aggregates.
    pub(crate) schema: SchemaRef,
}

/// One aggregate function call.
#[derive(Clone, Debug)]
pub(crate) struct AggregateCall {
    /// The result column.
    pub(crate) column: Column,
    /// The function.
    pub(crate) function: ResolvedAggregate,
    /// Its arguments over the step's input.
    pub(crate) args: Vec<Expr>,
    /// The call as written.
    pub(crate) text: String,
}

/// Windows of an aggregation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    /// Windows of one size.
    Time(TimeWindow),
    /// Windows that end when a key was silent for long enough.
    Session(SessionWindow),
}

/// Windows of one size, in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeWindow {
    /// Length.
    pub(crate) size_ms: i64,
    /// Distance between two starts.
    pub(crate) advance_ms: i64,
    /// How long after its end a window takes records.
    pub(crate) grace_ms: i64,
    /// How long windows can be queried.
    pub(crate) retention_ms: i64,
}

/// Sessions, in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionWindow {
    /// The silence that ends a session.
    pub(crate) gap_ms: i64,
    /// How long after that a session takes records.
    pub(crate) grace_ms: i64,
    /// How long sessions can be queried.
    pub(crate) retention_ms: i64,
}

impl Window {
    /// How keys made of these windows are windowed.
    pub(crate) fn windowing(self) -> Windowing {
        match self {
            Self::Time(window) if window.size_ms == window.advance_ms => {
                Windowing::Tumbling { size_ms: window.size_ms }
            }
            Self::Time(window) => Windowing::Hopping { size_ms: window.size_ms },
            Self::Session(_) => Windowing::Session,
        }
    }

    /// How long windows can be queried.
    pub(crate) fn retention_ms(self) -> i64 {
        match self {
            Self::Time(window) => window.retention_ms,
            Self::Session(window) => window.retention_ms,
        }
    }
}

/// As it is written.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (", self.windowing().name())?;
        let grace_ms = match self {
            Self::Time(window) => {
                write!(f, "SIZE {} MS", window.size_ms)?;
                if window.size_ms != window.advance_ms {
                    write!(f, ", ADVANCE BY {} MS", window.advance_ms)?;
                }
                window.grace_ms
            }
            Self::Session(window) => {
                write!(f, "{} MS", window.gap_ms)?;
                window.grace_ms
            }
        };
        write!(f, ", RETENTION {} MS, GRACE PERIOD {grace_ms} MS)", self.retention_ms())
    }
}

/// Computes new columns.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    /// Each column's value.
    pub(crate) exprs: Vec<Expr>,
    /// Each column as written.
    pub(crate) texts: Vec<String>,
    /// The places of columns that are NULL where a row has no value, whatever their expressions make of that.
    pub(crate) of_values: Vec<usize>,
    /// Their names and types.
    pub(crate) schema: SchemaRef,
}

/// Keeps the rows of a table under their keys.
#[derive(Clone, Debug)]
pub(crate) struct Materialize {
    /// The name of the store.
    pub(crate) store: String,
    /// The keys.
    pub(crate) keys: RowKeys,
    /// What is kept.
    pub(crate) kept: Kept,
    /// Whether the rows before go along with changes.
    pub(crate) sends_old: bool,
    /// Whether deletes of rows that are not there end here.
    pub(crate) drops_unknown_deletes: bool,
}

/// What a store keeps of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// All columns, as only the query itself reads them.
    Rows,
    /// The columns behind the key in this format, for queries from outside.
    Value(FormatSpec),
}

/// How what a source writes in `format` is written inside a query, in repartition topics and state: the nearest format
/// that needs no registry and reads back the same. Ids of schemas in keys would part what is equal, and nobody else
/// reads these bytes.
pub(crate) fn internal(format: FormatSpec) -> FormatSpec {
    match format.format {
        Format::Avro | Format::JsonSr => FormatSpec::new(Format::Json, format.wrapped),
        Format::Protobuf => FormatSpec { format: Format::ProtobufNosr, ..format },
        Format::Kafka | Format::Delimited | Format::Json | Format::ProtobufNosr | Format::None => format,
    }
}

/// The columns with names that `format` allows: those inside a plan name a source and a column, or what was computed.
pub(crate) fn internal_names(columns: &[Column], format: FormatSpec) -> Vec<Column> {
    if format.format != Format::ProtobufNosr {
        return columns.to_vec();
    }
    let legal = |(place, column): (usize, &Column)| {
        let name: String =
            column.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        Column::new(format!("F{}_{name}", place + 1), column.ty.clone())
    };
    columns.iter().enumerate().map(legal).collect()
}

/// A batch layout of these columns.
pub(crate) fn layout<'a>(columns: impl IntoIterator<Item = &'a Column>) -> SchemaRef {
    Arc::new(Schema::new(columns.into_iter().map(Column::field).collect::<Vec<_>>()))
}

impl Plan {
    /// The windows of its aggregation, if it has any.
    pub(crate) fn window(&self) -> Option<Window> {
        self.steps.iter().find_map(|step| match step {
            Step::Aggregate(aggregate) => aggregate.window,
            _ => None,
        })
    }

    /// Stops the query at a row whose time is not valid (`ksql.timestamp.throw.on.invalid`).
    pub(crate) fn stop_at_invalid_times(&mut self) {
        let joined = self.steps.iter_mut().filter_map(|step| match step {
            Step::Join(join) => Some(&mut join.table),
            Step::StreamJoin(join) => Some(&mut join.right),
            Step::PairJoin(join) => Some(&mut join.right),
            Step::ForeignJoin(join) => Some(&mut join.right),
            _ => None,
        });
        for source in joined.map(|branch| &mut branch.source).chain([&mut self.source]) {
            if let Some(time) = &mut source.time {
                time.must_be_valid = true;
            }
        }
    }

    /// What is read, in the order of FROM.
    pub(crate) fn source_steps(&self) -> impl Iterator<Item = &SourceStep> {
        let joined = self.steps.iter().filter_map(Step::branch).map(|branch| &branch.source);
        std::iter::once(&self.source).chain(joined)
    }

    /// The names of the sources that are read.
    pub(crate) fn sources(&self) -> Vec<String> {
        self.source_steps().map(|step| step.source.name.clone()).collect()
    }
}

fn indented(f: &mut fmt::Formatter<'_>, depth: usize, line: fmt::Arguments<'_>) -> fmt::Result {
    writeln!(f, "{}> {line}", "  ".repeat(depth))
}

fn names(columns: &[Column]) -> String {
    columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn kind_of(kind: JoinKind) -> &'static str {
    match kind {
        JoinKind::Inner => "INNER",
        JoinKind::Left => "LEFT",
        JoinKind::Right => "RIGHT",
        JoinKind::Full => "FULL",
    }
}

/// The steps, the last first, each below what it feeds, and what they begin with.
fn write_steps(
    f: &mut fmt::Formatter<'_>,
    steps: &[Step],
    source: &SourceStep,
    mut depth: usize,
) -> fmt::Result {
    for step in steps.iter().rev() {
        match step {
            Step::Filter(filter) => indented(f, depth, format_args!("FILTER {}", filter.text))?,
            Step::Project(project) => {
                let shown = project.texts.iter().zip(project.schema.fields()).map(|(text, field)| {
                    if text == field.name() { text.clone() } else { format!("{text} AS {}", field.name()) }
                });
                indented(f, depth, format_args!("PROJECT {}", shown.collect::<Vec<_>>().join(", ")))?;
            }
            Step::Explode(explode) => {
                indented(f, depth, format_args!("FLATMAP {}", explode.texts.join(", ")))?;
            }
            Step::Rekey(rekey) => {
                let topic = &rekey.read.source;
                indented(
                    f,
                    depth,
                    format_args!(
                        "REPARTITION BY {} (key {}, value {}: {})",
                        names(&topic.columns.key),
                        topic.key_format.format,
                        topic.value_format.format,
                        names(&topic.columns.value)
                    ),
                )?;
            }
            Step::Aggregate(aggregate) => {
                if let Some(having) = &aggregate.having {
                    indented(f, depth, format_args!("HAVING {}", having.text))?;
                    depth += 1;
                }
                let group: Vec<&str> =
                    aggregate.keys.columns.iter().map(|(column, _)| column.name.as_str()).collect();
                let calls: Vec<&str> = aggregate.calls.iter().map(|call| call.text.as_str()).collect();
                let mut line = format!("AGGREGATE {} GROUP BY {}", calls.join(", "), group.join(", "));
                if let Some(window) = aggregate.window {
                    line.push_str(&format!(" WINDOW {window}"));
                }
                if aggregate.emits_final {
                    line.push_str(" EMIT FINAL");
                }
                let (store, format) = (&aggregate.store, aggregate.keys.format.format);
                indented(f, depth, format_args!("{line} (store {store}, key {format})"))?;
            }
            Step::Join(join) => {
                let (kind, text, store) = (kind_of(join.kind), &join.text, &join.rows.store);
                indented(f, depth, format_args!("{kind} JOIN ON {text} (store {store})"))?;
            }
            Step::StreamJoin(join) => {
                let (kind, text) = (kind_of(join.kind), &join.text);
                let grace =
                    join.grace_ms.map_or_else(String::new, |grace| format!(" GRACE PERIOD {grace} MS"));
                let within = format!("({} MS, {} MS){grace}", join.before_ms, join.after_ms);
                let stores = format!("{0}-left, {0}-right", join.name);
                indented(f, depth, format_args!("{kind} JOIN WITHIN {within} ON {text} (stores {stores})"))?;
            }
            Step::PairJoin(join) => {
                let (kind, text) = (kind_of(join.kind), &join.text);
                let stores = format!("{}, {}", join.left_rows.store, join.right_rows.store);
                indented(f, depth, format_args!("{kind} JOIN ON {text} (stores {stores})"))?;
            }
            Step::ForeignJoin(join) => {
                let (kind, text) = (kind_of(join.kind), &join.text);
                let stores = format!("{}, {}", join.left_rows.store, join.right_rows.store);
                indented(f, depth, format_args!("{kind} FOREIGN-KEY JOIN ON {text} (stores {stores})"))?;
            }
            Step::Materialize(table) => {
                indented(f, depth, format_args!("MATERIALIZE (store {})", table.store))?
            }
        }
        depth += 1;
        if let Some(branch) = step.branch() {
            write_steps(f, &branch.steps, &branch.source, depth)?;
        }
    }
    indented(f, depth, format_args!("{source}"))
}

/// The plan as EXPLAIN prints it: the last step first, each below what it feeds.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_steps(f, &self.steps, &self.source, 0)
    }
}

impl fmt::Display for SourceStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = &self.source;
        let names: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(
            f,
            "{} {} (topic {}, key {}, value {}): {}",
            if source.kind == SourceKind::Stream { "STREAM" } else { "TABLE" },
            self.alias,
            source.topic,
            source.key_format.format,
            source.value_format.format,
            names.join(", ")
        )
    }
}
