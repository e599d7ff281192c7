//! Names after a GROUP BY: grouping expressions, aggregates and window bounds are the columns.

use std::cell::RefCell;

use datafusion::logical_expr::Expr as Planned;

use super::scope::Scope;
use crate::{
    ast::{Expr, ExprKind, Ident},
    catalogue::Column,
    error::SqlError,
    expression::{Compiler, Names, column},
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
}

impl<'a> Grouped<'a> {
    pub(super) fn new(
        scope: &'a Scope<'a>,
        before: &'a Compiler<'a>,
        group: &'a [(Column, Planned)],
        windowed: bool,
    ) -> Self {
        Self { scope, before, group, windowed, calls: RefCell::default() }
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
                    let message = format!("aggregate functions can not be nested: {name}({part})");
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

/// Whether a call of that name is an aggregate.
pub(super) fn is_aggregate(functions: &FunctionRegistry, name: &Ident) -> bool {
    functions.kind(&name.name) == Some(FunctionKind::Aggregate)
}

impl Names for Grouped<'_> {
    fn column(&self, source: Option<&Ident>, name: &Ident) -> Result<(String, SqlType), SqlError> {
        if source.is_none() && matches!(name.name.as_str(), "WINDOWSTART" | "WINDOWEND") && self.windowed {
            return Ok((name.name.clone(), SqlType::Bigint));
        }
        self.scope.resolve(source, name)?;
        let shown = source.map_or_else(|| name.to_string(), |source| format!("{source}.{name}"));
        Err(SqlError::invalid(format!("non-aggregate expression not part of GROUP BY: {shown}"))
            .at(name.span)
            .hint(format!(
                "add {shown} to the GROUP BY clause, or aggregate it, for example LATEST_BY_OFFSET({shown})"
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
}
