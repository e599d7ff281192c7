//! The SELECT list: stars expanded, every item named.

use std::collections::BTreeSet;

use super::scope::Scope;
use crate::{
    ast::{Expr, ExprKind, Ident, Literal, Query, SelectItem, Span},
    catalogue::PSEUDO_COLUMNS,
    error::SqlError,
    expression::Compiler,
    types::SqlType,
};

/// One result column.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// Its value.
    pub(super) expr: Expr,
    /// Its name.
    pub(super) name: String,
    /// Where the item stands.
    pub(super) span: Span,
}

/// Expands and names the SELECT list. `window_bounds` says whether `*` includes those of windowed sources.
pub(super) fn expand(
    query: &Query,
    scope: &Scope<'_>,
    compiler: &Compiler<'_>,
    window_bounds: bool,
) -> Result<Vec<Item>, SqlError> {
    let mut items = Vec::new();
    let mut namer = Namer::new(query, scope);
    for selected in &query.select {
        match selected {
            SelectItem::Expr { expr, alias: Some(alias) } => {
                items.push(Item { expr: expr.clone(), name: alias.name.clone(), span: alias.span })
            }
            SelectItem::Expr { expr, alias: None } => {
                let name = namer.name(expr, scope);
                items.push(Item { expr: expr.clone(), name, span: expr.span });
            }
            SelectItem::All { span } => {
                for by in query.partition_by.iter().filter(|by| is_computed(by)) {
                    let name = namer.key(by, scope);
                    items.push(Item { expr: by.clone(), name, span: *span });
                }
                if let Some((name, _)) = scope.synthetic() {
                    let key =
                        ExprKind::Column { source: None, name: Ident { name: name.clone(), span: *span } };
                    items.push(Item { expr: Expr { kind: key, span: *span }, name, span: *span });
                }
                for place in 0..scope.sources.len() {
                    all_of(query, place, *span, scope, window_bounds, &mut items);
                }
            }
            SelectItem::AllOf { source, span } => {
                let Some(place) = scope.sources.iter().position(|known| known.alias == source.name) else {
                    return Err(scope.unknown_source(source));
                };
                all_of(query, place, *span, scope, window_bounds, &mut items);
            }
            SelectItem::Fields { base, span } => {
                let typed = compiler.compile(base)?;
                let SqlType::Struct(fields) = typed.known_type()? else {
                    return Err(
                        SqlError::invalid(format!("{base} is not a STRUCT: it has no fields")).at(*span)
                    );
                };
                for field in fields {
                    let kind = ExprKind::Dereference {
                        base: Box::new(base.clone()),
                        field: Ident { name: field.name.clone(), span: *span },
                    };
                    let expr = Expr { kind, span: *span };
                    items.push(Item { name: namer.unique(&field.name), expr, span: *span });
                }
            }
        }
    }
    Ok(items)
}

/// Whether PARTITION BY `expr` gives the rows a column that their source does not have.
fn is_computed(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Column { name, .. } => PSEUDO_COLUMNS.contains(&name.name.as_str()),
        ExprKind::Literal(Literal::Null) => false,
        _ => true,
    }
}

/// The columns that `*` means of a source: keys, window bounds if they are wanted, values. PARTITION BY puts the keys
/// behind the values, and in joins the pseudo columns between them.
fn all_of(query: &Query, place: usize, span: Span, scope: &Scope<'_>, bounds: bool, items: &mut Vec<Item>) {
    let known = &scope.sources[place];
    let (source, prefixed) = (&known.source, scope.joins());
    let bounds = if (bounds || prefixed) && source.window.is_some() { &PSEUDO_COLUMNS[3..] } else { &[] };
    let keys = source.columns.key.iter().map(|column| column.name.as_str());
    let headers = source.columns.headers.iter().map(|header| &header.column);
    let values = source.columns.value.iter().chain(headers).map(|column| column.name.as_str());
    let pseudo = if prefixed { &PSEUDO_COLUMNS[..3] } else { &[] };
    let names: Vec<&str> = match query.partition_by.is_empty() {
        true => keys.chain(bounds.iter().copied()).chain(values).collect(),
        false => values.chain(pseudo.iter().copied()).chain(keys).collect(),
    };
    for name in names {
        let column = ExprKind::Column {
            source: Some(Ident { name: known.alias.clone(), span }),
            name: Ident { name: name.to_owned(), span },
        };
        items.push(Item {
            expr: Expr { kind: column, span },
            name: if prefixed { format!("{}_{name}", known.alias) } else { name.to_owned() },
            span,
        });
    }
}

/// Gives names to items without alias.
pub(super) struct Namer {
    taken: BTreeSet<String>,
    next: usize,
}

impl Namer {
    pub(super) fn new(query: &Query, scope: &Scope<'_>) -> Self {
        let sources = scope.sources.iter().flat_map(|known| known.source.columns.iter());
        let mut taken: BTreeSet<String> = sources.map(|column| column.name.clone()).collect();
        taken.extend(query.select.iter().filter_map(|item| match item {
            SelectItem::Expr { alias, .. } => alias.as_ref().map(|alias| alias.name.clone()),
            SelectItem::All { .. } | SelectItem::AllOf { .. } | SelectItem::Fields { .. } => None,
        }));
        Self { taken, next: 0 }
    }

    /// The name of an unaliased item.
    pub(super) fn name(&mut self, expr: &Expr, scope: &Scope<'_>) -> String {
        match &expr.kind {
            ExprKind::Column { source, name } => {
                let owners = scope.owners(name);
                match source {
                    Some(alias) if owners > 1 => format!("{}_{}", alias.name, name.name),
                    _ => name.name.clone(),
                }
            }
            ExprKind::Dereference { field, .. } => self.unique(&field.name),
            _ => self.generated(),
        }
    }

    /// The name of a key that PARTITION BY computes.
    fn key(&mut self, expr: &Expr, scope: &Scope<'_>) -> String {
        match &expr.kind {
            // The names of pseudo columns are reserved.
            ExprKind::Column { .. } => self.generated(),
            _ => self.name(expr, scope),
        }
    }

    fn unique(&mut self, name: &str) -> String {
        let numbered = (1..).map(|number| format!("{name}_{number}"));
        let name = std::iter::once(name.to_owned()).chain(numbered).find(|name| !self.taken.contains(name));
        let name = name.expect("there are endless numbers");
        self.taken.insert(name.clone());
        name
    }

    /// `KSQL_COL_<n>`, from 0, skipping those that are columns already.
    pub(super) fn generated(&mut self) -> String {
        loop {
            let name = format!("KSQL_COL_{}", self.next);
            self.next += 1;
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}
