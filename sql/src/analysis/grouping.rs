//! Names after a GROUP BY: grouping expressions, aggregates and window bounds are the columns.

use std::cell::{Cell, RefCell};

use datafusion::logical_expr::Expr as Planned;

use super::{
    scope::{Scope, is_window_bound},
    select::Item,
};
use crate::{
    ast::{Expr, ExprKind, Ident},
    catalogue::Column,
    error::SqlError,
    expression::{Compiler, Names, Typed, column},
    function::{AggregateArg, ArgType, FunctionKind, FunctionRegistry},
    plan::AggregateCall,
    types::SqlType,
};

/// The names that SELECT and HAVING see over an aggregation.
pub(super) struct Grouped<'a> {
    scope: &'a Scope<'a>,
    /// Compiles over the columns in front of the aggregation.
    before: &'a Compiler<'a>,
    /// Grouping columns with their values in front of the aggregation.
    group: &'a [(Column, Planned)],
    windowed: bool,
    /// With all arguments as written.
    calls: RefCell<Vec<(AggregateCall, Vec<Planned>)>>,
    /// A column was asked for that is not grouped by.
    ungrouped: Cell<bool>,
}

impl<'a> Grouped<'a> {
    pub(super) fn new(
        scope: &'a Scope<'a>,
        before: &'a Compiler<'a>,
        group: &'a [(Column, Planned)],
        windowed: bool,
    ) -> Self {
        Self { scope, before, group, windowed, calls: RefCell::default(), ungrouped: Cell::new(false) }
    }

    /// Finds the aggregates of an expression, so that compiling it afterwards sees their columns.
    pub(super) fn collect(&self, expr: &Expr) -> Result<(), SqlError> {
        if let Some((name, args)) = self.aggregate(expr) {
            for arg in args {
                let mut nested = None;
                arg.walk(&mut |part| {
                    if self.aggregate(part).is_some() {
                        nested = Some(part);
                    }
                });
                if let Some(part) = nested {
                    let message = format!("Aggregate functions can not be nested: {name}({part})");
                    return Err(SqlError::invalid(message).at(part.span));
                }
            }
            let compiled = self.compile_args(args)?;
            if self.find(name, &compiled).is_none() {
                let given = compiled.iter().enumerate().map(|(place, (_, ty))| AggregateArg {
                    ty: ty.clone().map_or(ArgType::Null, ArgType::Sql),
                    literal: match args.get(place).map(|arg| &arg.kind) {
                        Some(ExprKind::Literal(literal)) => Some(literal.clone()),
                        _ => None,
                    },
                });
                let given: Vec<AggregateArg> = given.collect();
                let function = self.before.functions().resolve_aggregate(name, &given)?;
                let column = Column::new(self.unique(expr), function.return_type().clone());
                let written: Vec<Planned> = compiled.into_iter().map(|(arg, _)| arg).collect();
                // The literals at the end are in the function already.
                let args = written[..function.arg_types().len()].to_vec();
                let text = expr.to_string();
                self.calls.borrow_mut().push((AggregateCall { column, function, args, text }, written));
            }
            return Ok(());
        }
        let mut outcome = Ok(());
        expr.for_each_child(|child| {
            if outcome.is_ok() {
                outcome = self.collect(child);
            }
        });
        outcome
    }

    /// The SELECT list over the aggregation, compiled by `after`. All that is neither aggregated nor grouped by is said
    /// at once.
    pub(super) fn select(
        &self,
        items: &[Item],
        after: &Compiler<'_>,
        aggregates: impl Fn(&Expr) -> bool,
    ) -> Result<Vec<Typed>, SqlError> {
        let mut typed = Vec::with_capacity(items.len());
        let mut loose: Vec<&Item> = Vec::new();
        for item in items {
            self.ungrouped.set(false);
            match after.select(&item.expr) {
                Ok(value) => typed.push(value),
                Err(_) if self.ungrouped.get() && !aggregates(&item.expr) => loose.push(item),
                Err(error) => return Err(error),
            }
        }
        let Some(first) = loose.first() else { return Ok(typed) };
        let shown: Vec<String> = loose.iter().map(|item| unqualified(&item.expr)).collect();
        Err(SqlError::invalid(format!(
            "Non-aggregate SELECT expression(s) not part of GROUP BY: {}\nEither add the column(s) to the GROUP BY \
             or remove them from the SELECT.",
            shown.join(", ")
        ))
        .at(first.expr.span))
    }

    /// The HAVING condition over the aggregation, compiled by `after`.
    pub(super) fn having(&self, having: &Expr, after: &Compiler<'_>) -> Result<Planned, SqlError> {
        self.ungrouped.set(false);
        after.condition(having, "HAVING").map_err(|error| match (self.ungrouped.get(), error.problem()) {
            (true, Some(problem)) => {
                let name = problem.message.rsplit(": ").next().unwrap_or_default();
                let text = format!("Non-aggregate HAVING expression not part of GROUP BY: {name}");
                SqlError::invalid(text).at(problem.span.unwrap_or(having.span))
            }
            _ => error,
        })
    }

    /// The aggregates found.
    pub(super) fn calls(&self) -> Vec<AggregateCall> {
        self.calls.borrow().iter().map(|(call, _)| call.clone()).collect()
    }

    fn aggregate<'e>(&self, expr: &'e Expr) -> Option<(&'e Ident, &'e [Expr])> {
        match &expr.kind {
            ExprKind::Call { name, args } if is_aggregate(self.before.functions(), name) => {
                Some((name, args))
            }
            _ => None,
        }
    }

    /// Compiled arguments with their types. `AGG(*)` aggregates ROWTIME.
    fn compile_args(&self, args: &[Expr]) -> Result<Vec<(Planned, Option<SqlType>)>, SqlError> {
        if args.is_empty() {
            return Ok(vec![(column(&self.scope.internal_name(0, "ROWTIME")), Some(SqlType::Bigint))]);
        }
        let compile = |arg| self.before.compile(arg).map(|typed| (typed.expr, typed.ty));
        args.iter().map(compile).collect()
    }

    fn find(&self, name: &Ident, args: &[(Planned, Option<SqlType>)]) -> Option<(String, SqlType)> {
        let calls = self.calls.borrow();
        let (found, _) = calls.iter().find(|(call, written)| {
            call.function.name().eq_ignore_ascii_case(&name.name)
                && written.len() == args.len()
                && written.iter().zip(args).all(|(a, (b, _))| a == b)
        })?;
        Some((found.column.name.clone(), found.column.ty.clone()))
    }

    /// The call as written names its column, numbered if two differ only in what they mean.
    fn unique(&self, expr: &Expr) -> String {
        let text = expr.to_string();
        let calls = self.calls.borrow();
        let same = calls.iter().filter(|(call, _)| call.text == text).count();
        if same == 0 { text } else { format!("{text}#{same}") }
    }
}

/// An expression as messages about grouping show it: without the names of sources.
pub(super) fn unqualified(expr: &Expr) -> String {
    let mut strip = |part: &Expr| match &part.kind {
        ExprKind::Column { source: Some(_), name } => {
            Some(Expr { kind: ExprKind::Column { source: None, name: name.clone() }, span: part.span })
        }
        _ => None,
    };
    expr.rewrite(&mut strip).to_string()
}

/// Whether a call of that name is an aggregate.
pub(super) fn is_aggregate(functions: &FunctionRegistry, name: &Ident) -> bool {
    functions.kind(&name.name) == Some(FunctionKind::Aggregate)
}

impl Names for Grouped<'_> {
    fn column(&self, source: Option<&Ident>, name: &Ident) -> Result<(String, SqlType), SqlError> {
        if is_window_bound(&name.name) && self.windowed {
            return Ok((name.name.clone(), SqlType::Bigint));
        }
        self.scope.resolve(source, name)?;
        self.ungrouped.set(true);
        Err(SqlError::invalid(format!(
            "Field used in aggregate SELECT expression(s) outside of aggregate functions not part of GROUP BY: {name}"
        ))
        .at(name.span)
        .hint(format!(
            "add {name} to the GROUP BY clause, or aggregate it, for example LATEST_BY_OFFSET({name})"
        )))
    }

    fn computed(&self, expr: &Expr) -> Option<(String, SqlType)> {
        if let Some((name, args)) = self.aggregate(expr) {
            return self.find(name, &self.compile_args(args).ok()?);
        }
        let value = self.before.compile(expr).ok()?;
        let (column, _) = self.group.iter().find(|(_, known)| *known == value.expr)?;
        Some((column.name.clone(), column.ty.clone()))
    }

    fn custom_type(&self, name: &str) -> Option<SqlType> {
        self.scope.custom_type(name)
    }

    fn shown(&self, expr: &Expr) -> String {
        self.scope.shown(expr)
    }
}
