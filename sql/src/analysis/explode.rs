//! Table functions in SELECT: each call becomes a column of the rows that it makes.

use std::cell::RefCell;

use datafusion::logical_expr::Expr as Planned;

use super::scope::Scope;
use crate::{
    ast::{Expr, ExprKind, Ident, SourceKind},
    catalogue::Column,
    error::SqlError,
    expression::{Compiler, Names, compile_table},
    function::{FunctionKind, FunctionRegistry},
    plan::{Explode, layout},
    types::SqlType,
};

/// The names that SELECT sees over its table functions.
pub(super) struct Exploded<'a> {
    scope: &'a Scope<'a>,
    /// Compiles over the columns in front of them.
    before: &'a Compiler<'a>,
    calls: RefCell<Vec<Call>>,
}

struct Call {
    written: Expr,
    list: Planned,
    column: Column,
}

/// The name and arguments of a call of a table function.
fn call<'e>(expr: &'e Expr, functions: &FunctionRegistry) -> Option<(&'e Ident, &'e [Expr])> {
    match &expr.kind {
        ExprKind::Call { name, args } if functions.kind(&name.name) == Some(FunctionKind::Table) => {
            Some((name, args))
        }
        _ => None,
    }
}

/// The first call of a table function in an expression.
pub(super) fn call_in<'e>(expr: &'e Expr, functions: &FunctionRegistry) -> Option<&'e Expr> {
    let mut found = None;
    expr.walk(&mut |part| {
        if call(part, functions).is_some() {
            found = found.or(Some(part));
        }
    });
    found
}

impl<'a> Exploded<'a> {
    pub(super) fn new(scope: &'a Scope<'a>, before: &'a Compiler<'a>) -> Self {
        Self { scope, before, calls: RefCell::default() }
    }

    fn call<'e>(&self, expr: &'e Expr) -> Option<(&'e Ident, &'e [Expr])> {
        call(expr, self.before.functions())
    }

    fn calls_in<'e>(&self, expr: &'e Expr) -> Option<&'e Expr> {
        call_in(expr, self.before.functions())
    }

    /// Finds the table functions of an expression over rows of this kind, so that compiling it afterwards sees their
    /// columns.
    pub(super) fn collect(&self, expr: &Expr, kind: SourceKind) -> Result<(), SqlError> {
        if let Some((name, args)) = self.call(expr) {
            if kind == SourceKind::Table {
                return Err(
                    SqlError::invalid("Table source is not supported with table functions").at(expr.span)
                );
            }
            if let Some(nested) = args.iter().find_map(|arg| self.calls_in(arg)) {
                let message = format!("Table functions can't be nested: {nested}");
                return Err(SqlError::invalid(message).at(nested.span));
            }
            if self.computed(expr).is_none() {
                let (list, ty) = compile_table(self.before, name, args)?;
                let mut calls = self.calls.borrow_mut();
                let column = Column::new(format!("EXPLODED {}", calls.len()), ty);
                calls.push(Call { written: expr.clone(), list, column });
            }
            return Ok(());
        }
        if matches!(expr.kind, ExprKind::Case { .. })
            && let Some(call) = self.calls_in(expr)
        {
            let name = self.call(call).map_or_else(String::new, |(name, _)| name.name.clone());
            let message = format!("Table functions cannot be used in CASE: {name}");
            return Err(SqlError::invalid(message).at(call.span));
        }
        let mut outcome = Ok(());
        expr.for_each_child(|child| {
            if outcome.is_ok() {
                outcome = self.collect(child, kind);
            }
        });
        outcome
    }

    /// The step that makes the rows, if there is any function, over rows with these columns.
    pub(super) fn step(&self, columns: &[Column]) -> Option<(Explode, Vec<Column>)> {
        let calls = self.calls.borrow();
        if calls.is_empty() {
            return None;
        }
        let made = calls.iter().map(|call| call.column.clone());
        let columns: Vec<Column> = columns.iter().cloned().chain(made).collect();
        let explode = Explode {
            lists: calls.iter().map(|call| call.list.clone()).collect(),
            texts: calls.iter().map(|call| call.written.to_string()).collect(),
            schema: layout(&columns),
        };
        Some((explode, columns))
    }
}

impl Names for Exploded<'_> {
    fn column(&self, source: Option<&Ident>, name: &Ident) -> Result<(String, SqlType), SqlError> {
        self.scope.column(source, name)
    }

    fn computed(&self, expr: &Expr) -> Option<(String, SqlType)> {
        let calls = self.calls.borrow();
        let call = calls.iter().find(|call| call.written == *expr)?;
        Some((call.column.name.clone(), call.column.ty.clone()))
    }

    fn custom_type(&self, name: &str) -> Option<SqlType> {
        self.scope.custom_type(name)
    }

    fn shown(&self, expr: &Expr) -> String {
        self.scope.shown(expr)
    }
}
