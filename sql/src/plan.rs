//! What a query does, step by step, before any task exists.
//!
//! ```text
//! Plan { source, steps, output }      source ─▶ filter ─▶ join ─▶ rekey ─▶ aggregate ─▶ project ─▶ output
//! ```
//! Expressions are compiled and typed; each step names the columns that leave it. [`crate::topology`] turns a plan
//! into processors, EXPLAIN prints it.

use std::{fmt, sync::Arc};

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::logical_expr::Expr;
use millstream_formats::FormatSpec;

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
    /// The whole value as it was written.
    ValueBytes,
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
}

/// One thing that happens to rows.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// WHERE.
    Filter(Filter),
    /// Stream-table join.
    Join(Box<TableJoin>),
    /// Through a repartition topic, so that equal keys meet in one task.
    Rekey(Rekey),
    /// GROUP BY, window and HAVING.
    Aggregate(Box<Aggregate>),
    /// SELECT.
    Project(Project),
    /// Keeps the rows of a table, for queries on it and to know which deletes matter.
    Materialize(Materialize),
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
    /// The table's topic and the columns needed of its values.
    pub(crate) table: SourceStep,
    /// INNER or LEFT.
    pub(crate) kind: JoinKind,
    /// The join column of the stream, after the rekeying.
    pub(crate) key: String,
    /// Columns added: the table's key column, if needed.
    pub(crate) key_column: Option<String>,
    /// Whether the serialized keys that come along are those of the table's format.
    pub(crate) key_bytes: bool,
    /// The name of the store.
    pub(crate) store: String,
    /// What leaves the step.
    pub(crate) schema: SchemaRef,
    /// The condition as written.
    pub(crate) text: String,
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
    /// The grouping columns, as this step finds them in its input.
    pub(crate) group: Vec<(Column, Expr)>,
    /// How grouping values become key bytes.
    pub(crate) key_format: FormatSpec,
    /// Whether the input's serialized keys are these key bytes already.
    pub(crate) key_bytes: bool,
    /// The aggregates and their result columns.
    pub(crate) calls: Vec<AggregateCall>,
    /// The windows.
    pub(crate) window: Option<Window>,
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

/// Windows of an aggregation, in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Length.
    pub(crate) size_ms: i64,
    /// Distance between two starts.
    pub(crate) advance_ms: i64,
    /// How long after its end a window takes records.
    pub(crate) grace_ms: i64,
    /// How long windows can be queried.
    pub(crate) retention_ms: i64,
}

impl Window {
    /// How keys made of these windows are windowed.
    pub(crate) fn windowing(self) -> Windowing {
        if self.size_ms == self.advance_ms {
            Windowing::Tumbling { size_ms: self.size_ms }
        } else {
            Windowing::Hopping { size_ms: self.size_ms }
        }
    }
}

/// Computes new columns.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    /// Each column's value.
    pub(crate) exprs: Vec<Expr>,
    /// Each column as written.
    pub(crate) texts: Vec<String>,
    /// Their names and types.
    pub(crate) schema: SchemaRef,
}

/// Keeps the rows of a table under their keys.
#[derive(Clone, Debug)]
pub(crate) struct Materialize {
    /// The name of the store.
    pub(crate) store: String,
    /// Key columns, in front of the value columns.
    pub(crate) key: Vec<Column>,
    /// How keys are written.
    pub(crate) key_format: FormatSpec,
    /// Value columns.
    pub(crate) value: Vec<Column>,
    /// How values are written.
    pub(crate) value_format: FormatSpec,
    /// Whether the input's serialized keys are those of `key_format`.
    pub(crate) key_bytes: bool,
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
            Step::Filter(_) | Step::Join(_) | Step::Rekey(_) | Step::Project(_) | Step::Materialize(_) => {
                None
            }
        })
    }

    /// The names of the sources that are read.
    pub(crate) fn sources(&self) -> Vec<String> {
        let mut names = vec![self.source.source.name.clone()];
        names.extend(self.steps.iter().filter_map(|step| match step {
            Step::Join(join) => Some(join.table.source.name.clone()),
            Step::Filter(_)
            | Step::Rekey(_)
            | Step::Aggregate(_)
            | Step::Project(_)
            | Step::Materialize(_) => None,
        }));
        names
    }
}

/// The plan as EXPLAIN prints it: the last step first, each below what it feeds.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut depth = 0;
        for step in self.steps.iter().rev() {
            let indent = "  ".repeat(depth);
            match step {
                Step::Filter(filter) => writeln!(f, "{indent}> FILTER {}", filter.text)?,
                Step::Project(project) => {
                    let names = project.schema.fields().iter().map(|field| field.name());
                    let columns: Vec<String> = project
                        .texts
                        .iter()
                        .zip(names)
                        .map(
                            |(text, name)| {
                                if text == name { text.clone() } else { format!("{text} AS {name}") }
                            },
                        )
                        .collect();
                    writeln!(f, "{indent}> PROJECT {}", columns.join(", "))?;
                }
                Step::Rekey(rekey) => {
                    let topic = &rekey.read.source;
                    let names = |columns: &[Column]| {
                        columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
                    };
                    writeln!(
                        f,
                        "{indent}> REPARTITION BY {} (key {}, value {}: {})",
                        names(&topic.columns.key),
                        topic.key_format.format,
                        topic.value_format.format,
                        names(&topic.columns.value)
                    )?;
                }
                Step::Aggregate(aggregate) => {
                    if let Some(having) = &aggregate.having {
                        writeln!(f, "{indent}> HAVING {}", having.text)?;
                        depth += 1;
                    }
                    let indent = "  ".repeat(depth);
                    let group: Vec<&str> =
                        aggregate.group.iter().map(|(column, _)| column.name.as_str()).collect();
                    let calls: Vec<&str> = aggregate.calls.iter().map(|call| call.text.as_str()).collect();
                    write!(f, "{indent}> AGGREGATE {} GROUP BY {}", calls.join(", "), group.join(", "))?;
                    if let Some(window) = aggregate.window {
                        write!(f, " WINDOW {} (SIZE {} MS", window.windowing().name(), window.size_ms)?;
                        if window.size_ms != window.advance_ms {
                            write!(f, ", ADVANCE BY {} MS", window.advance_ms)?;
                        }
                        write!(
                            f,
                            ", RETENTION {} MS, GRACE PERIOD {} MS)",
                            window.retention_ms, window.grace_ms
                        )?;
                    }
                    writeln!(f, " (store {}, key {})", aggregate.store, aggregate.key_format.format)?;
                }
                Step::Join(join) => {
                    let kind = if join.kind == JoinKind::Left { "LEFT" } else { "INNER" };
                    writeln!(f, "{indent}> {kind} JOIN ON {} (store {})", join.text, join.store)?;
                    writeln!(f, "{indent}  > {}", join.table)?;
                }
                Step::Materialize(table) => writeln!(f, "{indent}> MATERIALIZE (store {})", table.store)?,
            }
            depth += 1;
        }
        writeln!(f, "{}> {}", "  ".repeat(depth), self.source)
    }
}

impl fmt::Display for SourceStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = &self.source;
        let named = self
            .schema
            .fields()
            .iter()
            .zip(&self.origins)
            .filter(|(_, origin)| **origin != Origin::ValueBytes);
        let names: Vec<&str> = named.map(|(field, _)| field.name().as_str()).collect();
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
