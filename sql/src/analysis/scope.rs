//! The columns that a query's sources offer, and which of them are used.

use std::{cell::RefCell, collections::BTreeSet, sync::Arc};

use crate::{
    ast::{Expr, ExprKind, Ident, SourceKind},
    catalogue::{Catalogue, Column, PSEUDO_COLUMNS, Source},
    error::SqlError,
    expression::Names,
    plan::{Origin, SourceStep, layout},
    types::SqlType,
};

/// A source in a query.
#[derive(Clone, Debug)]
pub(super) struct ScopedSource {
    /// Its name in the query.
    pub(super) alias: String,
    /// What it is.
    pub(super) source: Arc<Source>,
}

/// The sources of a query. Inside a plan a column is called by its own name, or in joins by `ALIAS.NAME`.
pub(super) struct Scope<'a> {
    catalogue: &'a Catalogue,
    pub(super) sources: Vec<ScopedSource>,
    used: RefCell<BTreeSet<(usize, usize)>>,
    /// The key of a join that no column of its sources can be: its name, and the column inside the plan.
    synthetic: RefCell<Option<(String, Column)>>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(catalogue: &'a Catalogue, sources: Vec<ScopedSource>) -> Self {
        Self { catalogue, sources, used: RefCell::default(), synthetic: RefCell::default() }
    }

    /// Whether the query joins.
    pub(super) fn joins(&self) -> bool {
        self.sources.len() > 1
    }

    /// Gives a name to the key of a join that no column can be.
    pub(super) fn set_synthetic(&self, name: String, column: Column) {
        *self.synthetic.borrow_mut() = Some((name, column));
    }

    /// The made-up key of a join: its name, and the column inside the plan.
    pub(super) fn synthetic(&self) -> Option<(String, Column)> {
        self.synthetic.borrow().clone()
    }

    /// The name inside the plan of a column of the nth source.
    pub(super) fn internal_name(&self, source: usize, column: &str) -> String {
        if self.joins() { format!("{}.{column}", self.sources[source].alias) } else { column.to_owned() }
    }

    /// Which source and column a reference means.
    pub(super) fn resolve(&self, source: Option<&Ident>, name: &Ident) -> Result<(usize, Origin), SqlError> {
        if let Some(alias) = source {
            let Some(place) = self.place(alias) else {
                return Err(self.unknown_source(alias));
            };
            return match origin(&self.sources[place].source, &name.name) {
                Some(origin) => Ok((place, origin)),
                None => Err(self.unknown(name, &self.sources[place..=place])),
            };
        }
        let found: Vec<(usize, Origin)> = self
            .sources
            .iter()
            .enumerate()
            .filter_map(|(place, known)| Some((place, origin(&known.source, &name.name)?)))
            .collect();
        match found.as_slice() {
            [] => Err(self.unknown(name, &self.sources)),
            [one] => Ok(*one),
            several => {
                let choices: Vec<String> = several
                    .iter()
                    .map(|(place, _)| format!("{}.{}", self.sources[*place].alias, name.name))
                    .collect();
                Err(SqlError::invalid(format!(
                    "Column '{}' is ambiguous. Could be {}.",
                    name.name,
                    choices.join(" or ")
                ))
                .at(name.span)
                .of_name())
            }
        }
    }

    /// The error that no source of the query has this name or alias.
    pub(super) fn unknown_source(&self, alias: &Ident) -> SqlError {
        let aliases: Vec<&str> = self.sources.iter().map(|known| known.alias.as_str()).collect();
        SqlError::invalid(format!("'{}' is not a valid stream/table name or alias.", alias.name))
            .prefixed("Failed to prepare statement: ")
            .at(alias.span)
            .hint_nearest(&alias.name, &aliases, "its sources are")
    }

    fn unknown(&self, name: &Ident, sources: &[ScopedSource]) -> SqlError {
        let names: Vec<&str> = sources
            .iter()
            .flat_map(|known| known.source.columns.iter())
            .map(|column| column.name.as_str())
            .collect();
        let error = SqlError::invalid(format!("column '{}' cannot be resolved.", name.name)).at(name.span);
        let error = error.of_name();
        if is_window_bound(&name.name) {
            return error
                .hint("window bounds exist in windowed sources and in the SELECT of windowed aggregations");
        }
        error.hint_nearest(&name.name, &names, "columns")
    }

    /// Checks that every column `expr` names is one of the sources', in messages as a column of `clause`. `computed` says
    /// which unqualified names the clause has besides.
    pub(super) fn check(
        &self,
        expr: &Expr,
        clause: &str,
        computed: &dyn Fn(&str) -> bool,
    ) -> Result<(), SqlError> {
        match &expr.kind {
            ExprKind::Column { source, name }
                if computed(&name.name) && (source.is_none() || is_window_bound(&name.name)) =>
            {
                Ok(())
            }
            ExprKind::Column { source, name } => {
                let Err(error) = self.resolve(source.as_ref(), name) else { return Ok(()) };
                let known = source.as_ref().is_none_or(|alias| self.place(alias).is_some());
                let ambiguous = source.is_none() && self.owners(name) > 1;
                if !known || ambiguous {
                    return Err(error);
                }
                let shown = match source {
                    Some(source) => format!("{}.{}", source.name, name.name),
                    None => name.name.clone(),
                };
                let mut message = format!("{clause} column '{shown}' cannot be resolved.");
                if clause == "PARTITION BY" {
                    message.push_str(&format!(
                        " '{shown}' must be a column in the source schema since PARTITION BY is applied on the input."
                    ));
                }
                let hint = error.problem().and_then(|problem| problem.hint.clone());
                let error = SqlError::invalid(message).at(source.as_ref().map_or(name.span, |s| s.span));
                let error = error.of_name();
                Err(hint.into_iter().fold(error, SqlError::hint))
            }
            ExprKind::Lambda { parameters, body } => {
                let parameter =
                    |name: &str| parameters.iter().any(|known| known.name == name) || computed(name);
                self.check(body, clause, &parameter)
            }
            _ => {
                let mut outcome = Ok(());
                expr.for_each_child(|child| {
                    if outcome.is_ok() {
                        outcome = self.check(child, clause, computed);
                    }
                });
                outcome
            }
        }
    }

    /// The expression with the source of every column written out.
    pub(super) fn qualified(&self, expr: &Expr) -> Expr {
        expr.rewrite(&mut |part| match &part.kind {
            ExprKind::Column { source: None, name } => {
                let (place, _) = self.resolve(None, name).ok()?;
                let source = Some(Ident { name: self.sources[place].alias.clone(), span: part.span });
                Some(Expr { kind: ExprKind::Column { source, name: name.clone() }, span: part.span })
            }
            _ => None,
        })
    }

    /// The expression as messages show it: behind a join, columns are called as they are in its result.
    fn joined(&self, expr: &Expr) -> String {
        if !self.joins() {
            return expr.to_string();
        }
        let named = self.qualified(expr).rewrite(&mut |part| match &part.kind {
            ExprKind::Column { source: Some(source), name } => {
                let name = Ident { name: format!("{}_{}", source.name, name.name), span: name.span };
                Some(Expr { kind: ExprKind::Column { source: None, name }, span: part.span })
            }
            _ => None,
        });
        named.to_string()
    }

    fn place(&self, alias: &Ident) -> Option<usize> {
        self.sources.iter().position(|known| known.alias == alias.name)
    }

    /// How many sources have a column of that name.
    pub(super) fn owners(&self, name: &Ident) -> usize {
        self.sources.iter().filter(|known| origin(&known.source, &name.name).is_some()).count()
    }

    /// Remembers every column that `expr` refers to. What cannot be resolved is left for the compiler to report.
    pub(super) fn mark_used(&self, expr: &Expr) {
        expr.walk_columns(&mut |source, name| {
            if let Ok((place, origin)) = self.resolve(source, name) {
                self.mark(place, origin);
            }
        });
    }

    pub(super) fn mark(&self, place: usize, origin: Origin) {
        let order = order(&self.sources[place].source, origin);
        self.used.borrow_mut().insert((place, order));
    }

    /// Whether a column of a source is used.
    fn is_used(&self, place: usize, origin: Origin) -> bool {
        self.used.borrow().contains(&(place, order(&self.sources[place].source, origin)))
    }

    /// Which sources `expr` refers to.
    pub(super) fn sources_of(&self, expr: &Expr) -> Result<BTreeSet<usize>, SqlError> {
        let mut places = BTreeSet::new();
        let mut error = None;
        expr.walk_columns(&mut |source, name| match self.resolve(source, name) {
            // A key that a join makes up is of all of them.
            Err(_) if source.is_none() && self.synthetic().is_some_and(|(key, _)| key == name.name) => {
                places.extend(0..self.sources.len());
            }
            Ok((place, _)) => {
                places.insert(place);
            }
            Err(failed) => error = error.take().or(Some(failed)),
        });
        error.map_or(Ok(places), Err)
    }

    /// The step that reads the used columns of the nth source.
    pub(super) fn source_step(&self, place: usize) -> SourceStep {
        let ScopedSource { alias, source } = &self.sources[place];
        let mut origins = Vec::new();
        let mut columns = Vec::new();
        for origin in origins_of(source) {
            if !self.is_used(place, origin) {
                continue;
            }
            let column = column_of(source, origin);
            columns.push(Column::new(self.internal_name(place, &column.name), column.ty));
            origins.push(origin);
        }
        SourceStep {
            source: source.clone(),
            alias: alias.clone(),
            origins,
            schema: layout(&columns),
            time: None,
            keep_key_bytes: false,
            changes: false,
        }
    }
}

impl Names for Scope<'_> {
    fn column(&self, source: Option<&Ident>, name: &Ident) -> Result<(String, SqlType), SqlError> {
        if let (None, Some((synthetic, column))) = (source, self.synthetic())
            && synthetic == name.name
        {
            return Ok((column.name, column.ty));
        }
        let (place, origin) = self.resolve(source, name)?;
        let column = column_of(&self.sources[place].source, origin);
        Ok((self.internal_name(place, &column.name), column.ty))
    }

    fn custom_type(&self, name: &str) -> Option<SqlType> {
        self.catalogue.custom_type(name).cloned()
    }

    fn shown(&self, expr: &Expr) -> String {
        self.joined(expr)
    }
}

/// Every column of a source's records, pseudo columns included, keys first.
fn origins_of(source: &Source) -> impl Iterator<Item = Origin> {
    let pseudo =
        [Origin::WindowStart, Origin::WindowEnd, Origin::RowTime, Origin::RowPartition, Origin::RowOffset];
    (0..source.columns.key.len())
        .map(Origin::Key)
        .chain((0..source.columns.value.len()).map(Origin::Value))
        .chain((0..source.columns.headers.len()).map(Origin::Header))
        .chain(pseudo)
}

/// Reads all of a source: its columns, the bounds of its windows, and the pseudo columns that are wanted.
pub(crate) fn whole_source(source: &Arc<Source>, wanted: &dyn Fn(&str) -> bool) -> SourceStep {
    let (mut origins, mut columns) = (Vec::new(), Vec::new());
    for origin in origins_of(source) {
        let column = column_of(source, origin);
        let there = match origin {
            Origin::WindowStart | Origin::WindowEnd => source.window.is_some(),
            Origin::RowTime => wanted(&column.name),
            Origin::RowPartition | Origin::RowOffset => is_stream(source) && wanted(&column.name),
            _ => true,
        };
        if there {
            origins.push(origin);
            columns.push(column);
        }
    }
    SourceStep {
        source: source.clone(),
        alias: source.name.clone(),
        origins,
        schema: layout(&columns),
        time: None,
        keep_key_bytes: false,
        changes: false,
    }
}

/// A number that orders the columns of a source.
fn order(source: &Source, origin: Origin) -> usize {
    let columns = source.columns.key.len() + source.columns.value.len();
    match origin {
        Origin::Key(place) => place,
        Origin::Value(place) => source.columns.key.len() + place,
        Origin::WindowStart => columns,
        Origin::WindowEnd => columns + 1,
        Origin::RowTime => columns + 2,
        Origin::RowPartition => columns + 3,
        Origin::RowOffset => columns + 4,
        Origin::Header(place) => columns + 5 + place,
    }
}

/// The name and type of a source's column.
pub(crate) fn column_of(source: &Source, origin: Origin) -> Column {
    let [row_time, row_partition, row_offset, window_start, window_end] = PSEUDO_COLUMNS;
    match origin {
        Origin::Key(place) => source.columns.key[place].clone(),
        Origin::Value(place) => source.columns.value[place].clone(),
        Origin::RowTime => Column::new(row_time, SqlType::Bigint),
        Origin::RowPartition => Column::new(row_partition, SqlType::Int),
        Origin::RowOffset => Column::new(row_offset, SqlType::Bigint),
        Origin::WindowStart => Column::new(window_start, SqlType::Bigint),
        Origin::WindowEnd => Column::new(window_end, SqlType::Bigint),
        Origin::Header(place) => source.columns.headers[place].column.clone(),
    }
}

/// The column of that name in a source's records.
fn origin(source: &Source, name: &str) -> Option<Origin> {
    let by_name = |columns: &[Column]| columns.iter().position(|column| column.name == name);
    if let Some(place) = by_name(&source.columns.key) {
        return Some(Origin::Key(place));
    }
    if let Some(place) = by_name(&source.columns.value) {
        return Some(Origin::Value(place));
    }
    if let Some(place) = source.columns.headers.iter().position(|header| header.column.name == name) {
        return Some(Origin::Header(place));
    }
    match name {
        "ROWTIME" => Some(Origin::RowTime),
        "ROWPARTITION" => Some(Origin::RowPartition),
        "ROWOFFSET" => Some(Origin::RowOffset),
        "WINDOWSTART" if source.window.is_some() => Some(Origin::WindowStart),
        "WINDOWEND" if source.window.is_some() => Some(Origin::WindowEnd),
        _ => None,
    }
}

/// WINDOWSTART and WINDOWEND.
pub(super) fn is_window_bound(name: &str) -> bool {
    name == "WINDOWSTART" || name == "WINDOWEND"
}

/// Whether the source is a stream.
pub(super) fn is_stream(source: &Source) -> bool {
    source.kind == SourceKind::Stream
}
