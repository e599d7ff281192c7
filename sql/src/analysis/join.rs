//! FROM: which sources, and how streams meet tables.

use std::collections::BTreeSet;

use datafusion::logical_expr::Expr as Planned;

use super::{
    Planner, column_of, columns_of, row_time,
    scope::{ScopedSource, is_stream},
};
use crate::{
    ast::{BinaryOp, Expr, ExprKind, JoinKind, Query},
    catalogue::{Catalogue, Column},
    error::SqlError,
    plan::{NullKey, Origin, Step, TableJoin, layout},
};

/// The sources of a query in the order written.
pub(super) fn sources(query: &Query, catalogue: &Catalogue) -> Result<Vec<ScopedSource>, SqlError> {
    let from = std::iter::once(&query.from.source).chain(query.from.joins.iter().map(|join| &join.source));
    let mut sources: Vec<ScopedSource> = Vec::new();
    for reference in from {
        let source = catalogue.find(&reference.name)?.clone();
        let alias = reference.binding().name.clone();
        if sources.iter().any(|known| known.source.name == source.name) {
            return Err(SqlError::invalid(format!(
                "cannot join {0} with {0}: self joins are not supported",
                source.name
            ))
            .at(reference.name.span));
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

impl Planner<'_> {
    /// Joins the source of the nth JOIN clause.
    pub(super) fn join(&mut self, place: usize) -> Result<(), SqlError> {
        let query = self.query;
        let clause = &query.from.joins[place];
        let right_place = place + 1;
        let right = self.scope.sources[right_place].clone();
        let left_is_stream = is_stream(&self.scope.sources[0].source);
        if is_stream(&right.source) {
            return Err(if left_is_stream && clause.within.is_none() {
                SqlError::invalid("stream-stream joins must have a WITHIN clause specified").at(clause.span)
            } else if left_is_stream {
                SqlError::unsupported("stream-stream joins are not supported by this version").at(clause.span)
            } else {
                SqlError::invalid("table-stream joins are not supported; only stream-table joins")
                    .at(clause.span)
                    .hint("name the stream first")
            });
        }
        if !left_is_stream {
            return Err(
                SqlError::unsupported("table-table joins are not supported by this version").at(clause.span)
            );
        }
        if let Some(within) = &clause.within {
            return Err(SqlError::invalid("WITHIN is for stream-stream joins: a table has one row per key")
                .at(within.span));
        }
        match clause.kind {
            JoinKind::Inner | JoinKind::Left => {}
            JoinKind::Right | JoinKind::Full => {
                return Err(SqlError::invalid("stream-table joins are INNER or LEFT only").at(clause.span));
            }
        }
        if right.source.window.is_some() {
            return Err(SqlError::unsupported(
                "joins with windowed tables are not supported by this version",
            )
            .at(clause.span));
        }
        let (left_side, right_side) = self.sides(&clause.on, right_place)?;
        let key = self.table_key(right_side, right_place)?;
        let typed = self.compiler.compile(left_side)?;
        let left_type = typed.known_type()?;
        if *left_type != key.ty {
            return Err(SqlError::invalid(format!(
                "invalid join condition: types don't match: {left_side} is {left_type}, {right_side} is {}",
                key.ty
            ))
            .at(clause.on.span)
            .hint(format!("CAST({left_side} AS {})", key.ty)));
        }
        // The stream must be keyed as the table is, in the bytes too, or equal keys lie in different partitions.
        let by_key = matches!(&typed.expr, Planned::Column(column)
            if self.flow.key.len() == 1 && column.name == self.flow.key[0]);
        if !by_key || self.flow.key_format != right.source.key_format {
            let name = match &typed.expr {
                Planned::Column(column) => column.name.clone(),
                _ => format!("JOIN_KEY_{place}"),
            };
            let needed: BTreeSet<String> =
                self.flow.columns.iter().map(|column| column.name.clone()).collect();
            let null_key = if clause.kind == JoinKind::Left { NullKey::Keep } else { NullKey::Drop };
            let topic = if query.from.joins.len() > 1 {
                format!("Join-{}-left", place + 1)
            } else {
                "Join-left".to_owned()
            };
            let keys = vec![(Column::new(name, key.ty.clone()), typed.expr)];
            self.rekey(&topic, keys, &needed, right.source.key_format, null_key)?;
        }
        let key_bytes = self.use_key_bytes(right.source.key_format);
        let key_name = self.flow.key[0].clone();
        // The join reads its key from the rows; a key that nothing else reads is not decoded for it if the bytes do.
        if !key_bytes && !self.flow.columns.iter().any(|column| column.name == key_name) {
            self.flow.columns.insert(0, Column::new(key_name.clone(), key.ty.clone()));
        }
        let mut table = self.scope.source_step(right_place, true);
        let right_key = self.scope.internal_name(right_place, &right.source.columns.key[0].name);
        let key_column = self.scope.is_used(right_place, Origin::Key(0)).then(|| right_key.clone());
        let mut columns = self.flow.columns.clone();
        columns.extend(key_column.iter().map(|name| Column::new(name.clone(), key.ty.clone())));
        columns.extend(columns_of(&table));
        // The store keeps values as they are written; what is decoded here only tells which records to skip.
        table.time = row_time(&right.source, self.compiler.functions(), self.compiler.errors())?;
        table.keep_key_bytes = true;
        let mut stored = columns_of(&table);
        stored.push(column_of(&right.source, Origin::ValueBytes));
        table.origins.push(Origin::ValueBytes);
        table.schema = layout(&stored);
        self.flow.same_as_key.push(right_key);
        let join = TableJoin {
            table,
            kind: clause.kind,
            key: key_name,
            key_column,
            key_bytes,
            store: format!("{}-Table", right.source.name),
            schema: layout(&columns),
            text: clause.on.to_string(),
        };
        self.flow.columns = columns;
        self.steps.push(Step::Join(Box::new(join)));
        Ok(())
    }

    /// The two sides of `ON a = b`, that of the joined table second.
    fn sides<'e>(&self, on: &'e Expr, right_place: usize) -> Result<(&'e Expr, &'e Expr), SqlError> {
        let ExprKind::Binary { op: BinaryOp::Equal, left, right } = &on.kind else {
            let message = match &on.kind {
                ExprKind::Binary { op: BinaryOp::And | BinaryOp::Or, .. } => {
                    "invalid join condition: joins on multiple conditions are not yet supported"
                }
                _ => "invalid join condition: only equality join criteria is supported",
            };
            return Err(SqlError::invalid(message).at(on.span).hint("write ON a.x = b.y"));
        };
        let (of_left, of_right) = (self.scope.sources_of(left)?, self.scope.sources_of(right)?);
        let only_right = BTreeSet::from([right_place]);
        let earlier =
            |places: &BTreeSet<usize>| !places.is_empty() && places.iter().all(|place| *place < right_place);
        if earlier(&of_left) && of_right == only_right {
            Ok((left, right))
        } else if earlier(&of_right) && of_left == only_right {
            Ok((right, left))
        } else {
            Err(SqlError::invalid(format!(
                "invalid join condition: {on} does not compare one source with the other"
            ))
            .at(on.span)
            .hint("each side must name columns of exactly one source, one of them the joined table"))
        }
    }

    /// The key column of the joined table, if `side` is it.
    fn table_key(&self, side: &Expr, place: usize) -> Result<Column, SqlError> {
        let source = &self.scope.sources[place].source;
        let [key] = source.columns.key.as_slice() else {
            return Err(SqlError::unsupported(format!(
                "{} has {} key columns: only tables with one can be joined",
                source.name,
                source.columns.key.len()
            ))
            .at(side.span));
        };
        match &side.kind {
            ExprKind::Column { source, name }
                if self.scope.resolve(source.as_ref(), name)? == (place, Origin::Key(0)) =>
            {
                Ok(key.clone())
            }
            _ => Err(SqlError::invalid(format!(
                "stream-table joins require to join on the table's primary key, not on {side}"
            ))
            .at(side.span)
            .hint(format!("the primary key of {} is {}", source.name, key.name))),
        }
    }
}
