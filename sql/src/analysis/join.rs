//! FROM: which sources, what joins compare, and how streams and tables meet.

use std::collections::BTreeSet;

use datafusion::logical_expr::Expr as Planned;
use millstream_formats::{Format, FormatSpec};

use super::{
    Planner, columns_of,
    flow::{Carrier, Flow, Rekeying, rekeyed},
    row_time,
    scope::{Scope, ScopedSource, is_stream},
};
use crate::{
    ast::{BinaryOp, Expr, ExprKind, Join, JoinKind, Query, SourceKind, quoted},
    catalogue::{Catalogue, Column, Source, Windowing},
    error::SqlError,
    expression::{Compiler, column},
    plan::{
        Branch, ForeignJoin, Kept, Materialize, NullKey, Origin, PairJoin, RowKeys, Step, StreamJoin,
        TableJoin, internal, layout,
    },
    types::SqlType,
};

/// The name of a join's key column where no column of its sources can be it.
const SYNTHETIC_KEY: &str = "ROWKEY";

/// The sources of a query in the order written.
pub(super) fn sources(query: &Query, catalogue: &Catalogue) -> Result<Vec<ScopedSource>, SqlError> {
    let from = std::iter::once(&query.from.source).chain(query.from.joins.iter().map(|join| &join.source));
    let mut sources: Vec<ScopedSource> = Vec::new();
    for reference in from {
        let source = catalogue.find(&reference.name)?.clone();
        let alias = reference.binding().name.clone();
        if sources.iter().any(|known| known.source.name == source.name) {
            let message = match query.from.joins.len() {
                1 => format!("Can not join '{0}' to '{0}': self joins are not yet supported.", source.name),
                _ => format!(
                    "N-way joins do not support multiple occurrences of the same source. Source: '{}'.",
                    source.name
                ),
            };
            return Err(SqlError::invalid(message).at(reference.name.span));
        }
        if sources.iter().any(|known| known.alias == alias) {
            return Err(SqlError::invalid(format!("two sources are called {alias}"))
                .at(reference.binding().span)
                .hint("give one another alias"));
        }
        sources.push(ScopedSource { alias, source });
    }
    Ok(sources)
}

/// What a join compares, and what its rows are keyed by.
#[derive(Clone, Debug)]
pub(super) struct Criteria {
    /// What the rows before have.
    left: Side,
    /// What the joined source has.
    right: Side,
    /// Whether the condition names the joined source first.
    flipped: bool,
    /// Everything that equals the key of the result: this condition's sides, then those of the joins before that are
    /// keyed by one of them.
    same: Vec<Side>,
}

/// A side of a join condition.
#[derive(Clone, Debug)]
struct Side {
    expr: Planned,
    ty: SqlType,
    /// As messages show it.
    shown: String,
    /// The source that it is of.
    place: usize,
}

impl Side {
    fn is_column(&self) -> bool {
        matches!(self.expr, Planned::Column(_))
    }
}

impl Criteria {
    /// The condition as messages show it.
    fn shown(&self) -> String {
        let (first, second) = self.sides();
        format!("{} = {}", first.shown, second.shown)
    }

    fn sides(&self) -> (&Side, &Side) {
        if self.flipped { (&self.right, &self.left) } else { (&self.left, &self.right) }
    }

    /// The columns that can name the key of the result of a join of this kind; none if it needs a made-up name.
    fn key_columns(&self, kind: JoinKind) -> Vec<&Side> {
        match kind {
            JoinKind::Full => Vec::new(),
            JoinKind::Inner | JoinKind::Left | JoinKind::Right => {
                self.same.iter().filter(|side| side.is_column()).collect()
            }
        }
    }
}

/// What the joins of a query compare. The scope learns the name of the key, if it is a made-up one.
pub(super) fn criteria(
    query: &Query,
    scope: &Scope<'_>,
    compiler: &Compiler<'_>,
) -> Result<Vec<Criteria>, SqlError> {
    let mut all: Vec<Criteria> = Vec::new();
    for (place, join) in query.from.joins.iter().enumerate() {
        let mut criteria = compare(&join.on, place + 1, scope, compiler)?;
        if let Some(before) = all.last()
            && before.same.iter().any(|side| side.expr == criteria.left.expr)
        {
            let known = criteria.same.clone();
            let others = before.same.iter().filter(|side| known.iter().all(|known| known.expr != side.expr));
            criteria.same.extend(others.cloned());
        }
        all.push(criteria);
    }
    if let (Some(last), Some(join)) = (all.last(), query.from.joins.last())
        && last.key_columns(join.kind).is_empty()
    {
        let columns = scope.sources.iter().flat_map(|known| known.source.columns.iter());
        let taken: BTreeSet<&str> = columns.map(|column| column.name.as_str()).collect();
        let numbered = (1..).map(|number| format!("{SYNTHETIC_KEY}_{number}"));
        let mut names = std::iter::once(SYNTHETIC_KEY.to_owned()).chain(numbered);
        let name = names.find(|name| !taken.contains(name.as_str()));
        let column = Column::new(key_name(query.from.joins.len() - 1), last.left.ty.clone());
        scope.set_synthetic(name.expect("there are endless numbers"), column);
    }
    Ok(all)
}

/// The name inside the plan of the key column that the nth join makes.
fn key_name(place: usize) -> String {
    format!("KEY {place}")
}

/// The two sides of `ON a = b`, that of the joined source second.
fn compare(
    on: &Expr,
    right_place: usize,
    scope: &Scope<'_>,
    compiler: &Compiler<'_>,
) -> Result<Criteria, SqlError> {
    let shown = |expr: &Expr| scope.qualified(expr).to_string();
    let ExprKind::Binary { op: BinaryOp::Equal, left: first, right: second } = &on.kind else {
        let message = match &on.kind {
            ExprKind::Binary { op: BinaryOp::And | BinaryOp::Or, .. } => format!(
                "Invalid join condition: joins on multiple conditions are not yet supported. Got {}.",
                shown(on)
            ),
            _ => format!("Only equality join criteria is supported. Got {}.", shown(on)),
        };
        return Err(SqlError::invalid(message).at(on.span).hint("write ON a.x = b.y"));
    };
    let only = |expr: &Expr| -> Result<usize, SqlError> {
        let places = scope.sources_of(expr)?;
        match places.iter().next() {
            Some(place) if places.len() == 1 => Ok(*place),
            _ => Err(SqlError::invalid(format!(
                "Invalid comparison expression '{}' in join '{}'. Each side of the join comparision must contain \
                 references from exactly one source.",
                shown(expr),
                shown(on)
            ))
            .at(on.span)),
        }
    };
    let (of_first, of_second) = (only(first)?, only(second)?);
    let name = |place: usize| quoted(&scope.sources[place].source.name);
    if of_first == of_second {
        return Err(SqlError::invalid(format!(
            "Each side of the join must reference exactly one source and not the same source. Left side references \
             {} and right references {}",
            name(of_first),
            name(of_second)
        ))
        .at(on.span));
    }
    let flipped = of_first == right_place;
    if (!flipped && of_second != right_place) || of_first.max(of_second) > right_place {
        return Err(SqlError::invalid(format!(
            "A join criteria is expected to reference the source ({}) in the FROM clause, instead the right source \
             references {} and the left source references {}",
            name(right_place),
            name(of_second),
            name(of_first)
        ))
        .at(on.span));
    }
    let side = |expr: &Expr, place: usize| -> Result<Side, SqlError> {
        let typed = compiler.compile(expr)?;
        let ty = typed.known_type()?.clone();
        Ok(Side { expr: typed.expr, ty, shown: shown(expr), place })
    };
    let (mut left, mut right) = (side(first, of_first)?, side(second, of_second)?);
    if flipped {
        std::mem::swap(&mut left, &mut right);
    }
    let criteria = Criteria { same: vec![left.clone(), right.clone()], left, right, flipped };
    if criteria.left.ty != criteria.right.ty {
        let (a, b) = criteria.sides();
        return Err(SqlError::invalid(format!(
            "Invalid join condition: types don't match. Got {}{{{}}} = {}{{{}}}.",
            a.shown, a.ty, b.shown, b.ty
        ))
        .at(on.span)
        .hint("CAST one side to the type of the other"));
    }
    Ok(criteria)
}

fn shown_kind(kind: JoinKind) -> &'static str {
    match kind {
        JoinKind::Inner => "[INNER] JOIN",
        JoinKind::Left => "LEFT [OUTER] JOIN",
        JoinKind::Right => "RIGHT [OUTER] JOIN",
        JoinKind::Full => "[FULL] OUTER JOIN",
    }
}

fn is_foreign(flow: &Flow, criteria: &Criteria) -> bool {
    flow.keyed_by(&criteria.left.expr).is_none()
}

impl Planner<'_> {
    /// Joins the source of the nth JOIN clause.
    pub(super) fn join(&mut self, place: usize) -> Result<(), SqlError> {
        let query = self.query;
        let clause = &query.from.joins[place];
        let criteria = self.criteria[place].clone();
        let right = self.scope.sources[place + 1].source.clone();
        match (self.flow.kind, right.kind) {
            (SourceKind::Stream, SourceKind::Stream) => self.join_streams(place, clause, &criteria),
            (SourceKind::Table, SourceKind::Stream) => {
                let left = &self.scope.sources[criteria.left.place].source.name;
                Err(SqlError::invalid(format!(
                    "Invalid join order: table-stream joins are not supported; only stream-table joins. Got {left} {} \
                     {}.",
                    shown_kind(clause.kind),
                    right.name
                ))
                .at(clause.span)
                .hint("name the stream first"))
            }
            (SourceKind::Stream, SourceKind::Table) => {
                self.without_within(clause, "Stream-Table")?;
                self.join_table(place, clause, &criteria)
            }
            (SourceKind::Table, SourceKind::Table) => {
                self.without_within(clause, "Table-Table")?;
                self.join_tables(place, clause, &criteria)
            }
        }
    }

    /// Rows with equal keys must lie in partitions of the same number.
    fn equal_partitions(&self, criteria: &Criteria, clause: &Join) -> Result<(), SqlError> {
        let side = |side: &Side| {
            let source = &self.scope.sources[side.place].source;
            (self.partitions)(&source.topic).map(|partitions| (quoted(&source.name), partitions))
        };
        let (Some((left, of_left)), Some((right, of_right))) = (side(&criteria.left), side(&criteria.right))
        else {
            return Ok(());
        };
        if of_left == of_right {
            return Ok(());
        }
        Err(SqlError::invalid(format!(
            "Can't join {left} with {right} since the number of partitions don't match. {left} partitions = {of_left}; \
             {right} partitions = {of_right}. Please repartition either one so that the number of partitions match."
        ))
        .at(clause.span))
    }

    fn without_within(&self, clause: &Join, which: &str) -> Result<(), SqlError> {
        let Some(within) = &clause.within else { return Ok(()) };
        Err(SqlError::invalid(format!(
            "A window definition was provided for a {which} join. These joins are not windowed. Please drop the window \
             definition (i.e. the WITHIN clause) and try to execute your {which} join again."
        ))
        .at(within.span))
    }

    /// The error that the rows of a table cannot be joined by anything but its key.
    fn not_the_key(&self, message: &str, criteria: &Criteria, clause: &Join) -> SqlError {
        let source = &self.scope.sources[criteria.right.place].source;
        let keys: Vec<&str> = source.columns.key.iter().map(|key| key.name.as_str()).collect();
        let message = format!("Invalid join condition: {message}. Got {}.", criteria.shown());
        SqlError::invalid(message).at(clause.on.span).hint(format!(
            "the primary key of {} is {}",
            source.name,
            keys.join(", ")
        ))
    }

    /// Whether the joined table's side of a condition is its primary key.
    fn is_table_key(&self, criteria: &Criteria) -> bool {
        let source = &self.scope.sources[criteria.right.place].source;
        let [key] = source.columns.key.as_slice() else { return false };
        criteria.right.expr == column(&self.scope.internal_name(criteria.right.place, &key.name))
    }

    /// The joined source as it is read, with its key columns.
    fn branch(&self, place: usize) -> Result<Branch, SqlError> {
        let mut step = self.scope.source_step(place);
        let source = step.source.clone();
        step.time = row_time(&source, self.compiler.functions(), self.compiler.errors())?;
        Ok(Branch::new(step))
    }

    /// The keys of a source that is read as it is; its serialized keys travel along.
    fn source_keys(&self, place: usize, branch: &mut Branch) -> RowKeys {
        // Other formats write one key in more than one way.
        let carried = branch.source.source.key_format.format == Format::Kafka;
        branch.source.keep_key_bytes = carried;
        let source = &branch.source.source;
        let columns = source.columns.key.iter().map(|key| {
            let name = self.scope.internal_name(place, &key.name);
            (Column::new(&name, key.ty.clone()), column(&name))
        });
        RowKeys {
            columns: columns.collect(),
            format: internal(source.key_format),
            carried,
            bounds: self.bounds_of(place),
            by_start: source.window.is_some_and(|window| window != Windowing::Session),
        }
    }

    /// The keys of a joined source in `format`. If its topic has them otherwise, it is sent through another one.
    fn keys_in(
        &self,
        place: usize,
        branch: &mut Branch,
        format: FormatSpec,
        null_key: NullKey,
    ) -> Result<RowKeys, SqlError> {
        let mut keys = self.source_keys(place, branch);
        let source = &branch.source.source;
        if source.key_format == format {
            return Ok(keys);
        }
        let (rekey, _) = rekeyed(Rekeying {
            name: format!("{}-right", join_name(place - 1)),
            columns: &columns_of(&branch.source),
            keys: keys.columns.clone(),
            needed: None,
            row_time: Some(self.scope.internal_name(place, "ROWTIME")),
            key_format: format,
            null_key,
            value_format: source.value_format,
            kind: source.kind,
            changes: false,
            keep_key_bytes: true,
        })
        .map_err(|error| error.at(self.query.from.joins[place - 1].on.span))?;
        branch.steps.push(Step::Rekey(rekey));
        keys.format = format;
        keys.carried = true;
        Ok(keys)
    }

    /// The window bounds that belong to the key of a source.
    pub(super) fn bounds_of(&self, place: usize) -> Vec<String> {
        match self.scope.sources[place].source.window {
            None => Vec::new(),
            Some(_) => {
                ["WINDOWSTART", "WINDOWEND"].map(|bound| self.scope.internal_name(place, bound)).into()
            }
        }
    }

    fn join_table(&mut self, place: usize, clause: &Join, criteria: &Criteria) -> Result<(), SqlError> {
        let right_place = place + 1;
        let right = self.scope.sources[right_place].source.clone();
        if matches!(clause.kind, JoinKind::Right | JoinKind::Full) {
            let which = if clause.kind == JoinKind::Full { "full-outer" } else { "right-outer" };
            return Err(SqlError::invalid(format!(
                "Invalid join type: {which} join not supported for stream-table join. Got {} {} {}.",
                self.scope.sources[criteria.left.place].source.name,
                shown_kind(clause.kind),
                right.name
            ))
            .at(clause.span));
        }
        if !self.is_table_key(criteria) {
            let message = "stream-table joins require to join on the table's primary key";
            return Err(self.not_the_key(message, criteria, clause));
        }
        self.compatible_windows(criteria, &right, clause)?;
        self.equal_partitions(criteria, clause)?;
        // The stream must be keyed as the table is, in the bytes too, or equal keys lie in different partitions.
        let null_key = if clause.kind == JoinKind::Left { NullKey::Keep } else { NullKey::Drop };
        let format = internal(right.key_format);
        self.key_left(place, criteria, format, null_key)?;
        let keys = self.flow.row_keys(format, self.steps.as_mut_slice());
        let mut table = self.branch(right_place)?;
        let rows = Materialize {
            store: format!("{}-Table", right.name),
            keys: self.keys_in(right_place, &mut table, format, NullKey::Drop)?,
            kept: Kept::Rows,
            sends_old: false,
            drops_unknown_deletes: false,
        };
        let mut columns = self.flow.columns.clone();
        columns.extend(fields_of(&table, &columns_of(&table.source)));
        self.flow.same = criteria.same.iter().map(|side| side.expr.clone()).collect();
        self.flow.columns = columns;
        let (kind, schema, text) = (clause.kind, layout(&self.flow.columns), clause.on.to_string());
        self.steps.push(Step::Join(Box::new(TableJoin { table, rows, kind, keys, schema, text })));
        self.name_key(clause, criteria, None);
        Ok(())
    }

    fn join_streams(&mut self, place: usize, clause: &Join, criteria: &Criteria) -> Result<(), SqlError> {
        let right_place = place + 1;
        let right = self.scope.sources[right_place].source.clone();
        let Some(within) = &clause.within else {
            return Err(SqlError::invalid(
                "Stream-Stream joins must have a WITHIN clause specified. None was provided. To learn about how to \
                 specify a WITHIN clause with a stream-stream join, please visit: https://docs.confluent.io/current/\
                 ksql/docs/syntax-reference.html#create-stream-as-select",
            )
            .at(clause.span));
        };
        self.compatible_windows(criteria, &right, clause)?;
        self.equal_partitions(criteria, clause)?;
        let keyed = |keys: &[Column], expr: &Planned, place: usize| match keys {
            [key] => *expr == column(&self.scope.internal_name(place, &key.name)),
            _ => false,
        };
        let right_keyed = keyed(&right.columns.key, &criteria.right.expr, right_place);
        let left_keyed = self.flow.keyed_by(&criteria.left.expr).is_some();
        let ty = &criteria.left.ty;
        let format = match (left_keyed, right_keyed) {
            (true, _) => internal(self.flow.key_format),
            (false, true) => internal(right.key_format),
            (false, false) => internal_key_format(self.flow.source.source.inherited_key_format, ty),
        };
        let keep_null = |keeps: bool| if keeps { NullKey::Keep } else { NullKey::Drop };
        let keeps_left = matches!(clause.kind, JoinKind::Left | JoinKind::Full);
        self.key_left(place, criteria, format, keep_null(keeps_left))?;
        let left_keys = self.flow.row_keys(format, self.steps.as_mut_slice());
        let mut branch = self.branch(right_place)?;
        let keeps_right = matches!(clause.kind, JoinKind::Right | JoinKind::Full);
        let right_keys = if right_keyed && format == internal(right.key_format) {
            self.keys_in(right_place, &mut branch, format, keep_null(keeps_right))?
        } else {
            self.windowed_stay(right.window, clause)?;
            let name = match &criteria.right.expr {
                Planned::Column(column) => column.name.clone(),
                _ => format!("{} RIGHT", key_name(place)),
            };
            let key = Column::new(&name, ty.clone());
            let columns = columns_of(&branch.source);
            let (rekey, _) = rekeyed(Rekeying {
                name: format!("{}-right", join_name(place)),
                columns: &columns,
                keys: vec![(key.clone(), criteria.right.expr.clone())],
                needed: None,
                row_time: Some(self.scope.internal_name(right_place, "ROWTIME")),
                key_format: format,
                null_key: keep_null(keeps_right),
                value_format: right.value_format,
                kind: SourceKind::Stream,
                changes: false,
                keep_key_bytes: true,
            })
            .map_err(|error| error.at(clause.on.span))?;
            branch.steps.push(Step::Rekey(rekey));
            RowKeys {
                columns: vec![(key, column(&name))],
                format,
                carried: true,
                bounds: Vec::new(),
                by_start: false,
            }
        };
        let mut columns = vec![Column::new(key_name(place), ty.clone())];
        let bounds: Vec<String> =
            left_keys.bounds.iter().map(|bound| format!("{} {bound}", key_name(place))).collect();
        columns.extend(bounds.iter().map(|bound| Column::new(bound, SqlType::Bigint)));
        columns.extend(self.flow.columns.iter().cloned());
        columns.extend(fields_of(&branch, &columns_of(&branch.source)));
        let join = StreamJoin {
            right: branch,
            kind: clause.kind,
            before_ms: within.before.millis(),
            after_ms: within.after.millis(),
            grace_ms: within.grace.map(|grace| grace.millis()),
            left_keys,
            right_keys,
            name: join_name(place),
            schema: layout(&columns),
            text: clause.on.to_string(),
        };
        self.flow.columns = columns;
        self.flow.bounds = bounds;
        self.flow.key_format = format;
        self.flow.carrier = Carrier::None;
        self.steps.push(Step::StreamJoin(Box::new(join)));
        self.name_key(clause, criteria, Some(key_name(place)));
        Ok(())
    }

    fn join_tables(&mut self, place: usize, clause: &Join, criteria: &Criteria) -> Result<(), SqlError> {
        let right_place = place + 1;
        if !self.is_table_key(criteria) {
            let message = "table-table joins require to join on the primary key of the right input table";
            return Err(self.not_the_key(message, criteria, clause));
        }
        if is_foreign(&self.flow, criteria) {
            return self.join_foreign(place, clause, criteria);
        }
        self.equal_partitions(criteria, clause)?;
        let format = internal(self.flow.key_format);
        self.rewrite_keys(&left_topic(self.query, place), format, NullKey::Drop)?;
        let left_keys = self.flow.row_keys(format, self.steps.as_mut_slice());
        let mut branch = self.branch(right_place)?;
        let right_keys = self.keys_in(right_place, &mut branch, format, NullKey::Drop)?;
        let mut columns = vec![Column::new(key_name(place), criteria.left.ty.clone())];
        columns.extend(self.flow.columns.iter().cloned());
        columns.extend(fields_of(&branch, &columns_of(&branch.source)));
        let store = |side: &str, keys: &RowKeys| Materialize {
            store: format!("{}-{side}", join_name(place)),
            keys: keys.clone(),
            kept: Kept::Rows,
            sends_old: true,
            drops_unknown_deletes: false,
        };
        let join = PairJoin {
            right: branch,
            kind: clause.kind,
            left_rows: store("left", &left_keys),
            right_rows: store("right", &right_keys),
            left_keys,
            right_keys,
            schema: layout(&columns),
            text: clause.on.to_string(),
        };
        self.flow.columns = columns;
        self.flow.carrier = Carrier::None;
        self.flow.has_old = true;
        self.steps.push(Step::PairJoin(Box::new(join)));
        self.name_key(clause, criteria, Some(key_name(place)));
        Ok(())
    }

    fn join_foreign(&mut self, place: usize, clause: &Join, criteria: &Criteria) -> Result<(), SqlError> {
        let right_place = place + 1;
        let right = self.scope.sources[right_place].source.clone();
        if place > 0 {
            let message = "foreign-key table-table joins are not supported as part of n-way joins";
            return Err(SqlError::invalid(format!(
                "Invalid join condition: {message}. Got {}.",
                criteria.shown()
            ))
            .at(clause.on.span));
        }
        if let JoinKind::Right | JoinKind::Full = clause.kind {
            let which = if clause.kind == JoinKind::Full { "FULL" } else { "RIGHT" };
            let message = format!("Invalid join type: {which} OUTER JOIN on a foreign key is not supported");
            return Err(SqlError::invalid(message).at(clause.span));
        }
        let keys = self.flow.row_keys(internal(self.flow.key_format), self.steps.as_mut_slice());
        let mut branch = self.branch(right_place)?;
        // What refers to a row must find the partition that the row is in.
        let right_format = internal(right.key_format);
        let right_keys = self.keys_in(right_place, &mut branch, right_format, NullKey::Drop)?;
        let foreign_key = RowKeys {
            columns: vec![(right.columns.key[0].clone(), criteria.left.expr.clone())],
            format: right_format,
            carried: false,
            bounds: Vec::new(),
            by_start: false,
        };
        let store = |side: &str, keys: RowKeys| Materialize {
            store: format!("{}-{side}", join_name(place)),
            keys,
            kept: Kept::Rows,
            sends_old: true,
            drops_unknown_deletes: false,
        };
        let mut columns = self.flow.columns.clone();
        columns.extend(fields_of(&branch, &columns_of(&branch.source)));
        let join = ForeignJoin {
            right: branch,
            kind: clause.kind,
            left_rows: store("left", keys),
            right_rows: store("right", right_keys),
            foreign_key,
            name: join_name(place),
            schema: layout(&columns),
            text: clause.on.to_string(),
        };
        self.flow.columns = columns;
        self.flow.key_format = internal(self.flow.key_format);
        self.flow.carrier = Carrier::Always;
        self.flow.foreign = true;
        self.flow.has_old = false;
        self.steps.push(Step::ForeignJoin(Box::new(join)));
        Ok(())
    }

    /// Makes the rows so far keyed by their side of a condition, in `format`.
    fn key_left(
        &mut self,
        place: usize,
        criteria: &Criteria,
        format: FormatSpec,
        null_key: NullKey,
    ) -> Result<(), SqlError> {
        let topic = left_topic(self.query, place);
        if self.flow.keyed_by(&criteria.left.expr).is_some() && internal(self.flow.key_format) == format {
            return self.rewrite_keys(&topic, format, null_key);
        }
        let clause = &self.query.from.joins[place];
        self.windowed_stay(self.flow.window, clause)?;
        let name = match &criteria.left.expr {
            Planned::Column(column) => column.name.clone(),
            _ => format!("{} LEFT", key_name(place)),
        };
        // A row that was keyed by something equal is keyed by that all the same, though a column of it is NULL.
        let value = match self.flow.keyed_by(&criteria.left.expr) {
            Some(key) => column(&key),
            None => criteria.left.expr.clone(),
        };
        let keys = vec![(Column::new(&name, criteria.left.ty.clone()), value)];
        if let Some(map) = keys.iter().find(|(key, _)| contains_map(&key.ty)) {
            return Err(SqlError::invalid(format!(
                "Map keys, including types that contain maps, are not supported as they may lead to unexpected \
                 behavior due to inconsistent serialization. Key column name: {}. Column type: {}. See \
                 https://github.com/confluentinc/ksql/issues/6621 for more.",
                quoted(&map.0.name.replacen('.', "_", 1)),
                map.0.ty
            ))
            .at(clause.on.span));
        }
        self.rekey(&topic, keys, None, format, null_key)
    }

    fn windowed_stay(&self, window: Option<Windowing>, clause: &Join) -> Result<(), SqlError> {
        if window.is_none() {
            return Ok(());
        }
        Err(SqlError::invalid(
            "Implicit repartitioning of windowed sources is not supported. See \
             https://github.com/confluentinc/ksql/issues/4385.",
        )
        .at(clause.on.span))
    }

    fn compatible_windows(&self, criteria: &Criteria, right: &Source, clause: &Join) -> Result<(), SqlError> {
        let left = &self.scope.sources[criteria.left.place].source;
        let message = match (self.flow.window, right.window) {
            (None, None) => return Ok(()),
            (Some(a), Some(b)) if (a == Windowing::Session) == (b == Windowing::Session) => return Ok(()),
            (Some(a), Some(b)) => format!(
                "Incompatible windowed sources.\nLeft source: {}\nRight source: {}\nSession windowed sources can only \
                 be joined to other session windowed sources, and may still not result in expected behaviour as \
                 session bounds must be an exact match for the join to work\nHopping and tumbling windowed sources can \
                 only be joined to other hopping and tumbling windowed sources",
                a.name(),
                b.name()
            ),
            (a, b) => {
                let windowed = |window: Option<Windowing>| match window {
                    Some(window) => format!("is {} windowed", window.name()),
                    None => "is not windowed".to_owned(),
                };
                format!(
                    "Can not join windowed source to non-windowed source.\n{} {}\n{} {}",
                    quoted(&left.name),
                    windowed(a),
                    quoted(&right.name),
                    windowed(b)
                )
            }
        };
        Err(SqlError::invalid(message).at(clause.on.span))
    }

    /// The rows are keyed by what a join compared: in the column `key`, or in the one that they had before.
    fn name_key(&mut self, clause: &Join, criteria: &Criteria, key: Option<String>) {
        self.flow.same = criteria.same.iter().map(|side| side.expr.clone()).collect();
        if clause.kind == JoinKind::Full {
            // A row of one side alone has NULL in the columns of the other.
            self.flow.same.clear();
        }
        if let Some(key) = key {
            self.flow.key = vec![Column::new(key, criteria.left.ty.clone())];
        }
        let viable = criteria.key_columns(clause.kind);
        self.flow.key_shown = viable.iter().map(|side| side.shown.clone()).collect();
        self.flow.key_values = viable.iter().map(|side| side.expr.clone()).collect();
        self.flow.foreign = false;
    }
}

/// What the name of the repartition topic for the rows before a join begins with.
fn left_topic(query: &Query, place: usize) -> String {
    match query.from.joins.len() {
        1 => "Join-left".to_owned(),
        _ => format!("{}-left", join_name(place)),
    }
}

fn join_name(place: usize) -> String {
    format!("Join-{}", place + 1)
}

/// The columns of a branch's rows where they are joined.
fn fields_of(branch: &Branch, read: &[Column]) -> Vec<Column> {
    let rekeyed = branch.steps.iter().find_map(|step| match step {
        Step::Rekey(rekey) => Some(&rekey.read),
        _ => None,
    });
    match rekeyed {
        None => read.to_vec(),
        Some(topic) => super::columns_of(topic),
    }
}

/// How keys of this type are written inside of a query: as usual if that format can.
pub(super) fn internal_key_format(usual: FormatSpec, ty: &SqlType) -> FormatSpec {
    let field = Column::new("KEY", ty.clone()).field();
    let spec = FormatSpec { delimiter: usual.delimiter, ..FormatSpec::key(usual.format, 1) };
    let fits = usual.format != Format::None && spec.check(&[field].into_iter().collect()).is_ok();
    if fits { internal(spec) } else { FormatSpec::key(Format::Json, 1) }
}

fn contains_map(ty: &SqlType) -> bool {
    match ty {
        SqlType::Map(..) => true,
        SqlType::Array(item) => contains_map(item),
        SqlType::Struct(fields) => fields.iter().any(|field| contains_map(&field.ty)),
        _ => false,
    }
}

/// Marks the columns that joins need though nobody names them: keys and window bounds of what is joined, and the times
/// of its rows.
pub(super) fn mark_keys(scope: &Scope<'_>, keeps_rows: bool) {
    let tables = scope.sources.iter().any(|known| !is_stream(&known.source));
    for (place, known) in scope.sources.iter().enumerate() {
        let source = &known.source;
        if scope.joins() || (keeps_rows && tables) {
            (0..source.columns.key.len()).for_each(|key| scope.mark(place, Origin::Key(key)));
        }
        if scope.joins() && source.window.is_some() {
            scope.mark(place, Origin::WindowStart);
            scope.mark(place, Origin::WindowEnd);
        }
    }
}

/// The joins of a query cannot read the KAFKA format, nor can its GROUP BY.
pub(super) fn check_formats(query: &Query, scope: &Scope<'_>) -> Result<(), SqlError> {
    let kafka = scope.sources.iter().filter(|known| known.source.value_format.format == Format::Kafka);
    let names: Vec<&str> = kafka.map(|known| known.source.name.as_str()).collect();
    let what = match (scope.joins(), query.group_by.is_empty()) {
        _ if names.is_empty() => return Ok(()),
        (true, _) => "JOIN",
        (false, false) => "GROUP BY",
        (false, true) => return Ok(()),
    };
    Err(SqlError::invalid(format!(
        "Source(s) {} are using the 'KAFKA' value format. This format does not yet support {what}.",
        names.join(", ")
    ))
    .at(query.span)
    .hint("declare the source with VALUE_FORMAT JSON or DELIMITED"))
}
