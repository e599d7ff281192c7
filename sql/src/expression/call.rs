//! Calls of registered functions.

use std::sync::Arc;

use super::{
    compiler::{Compiler, Typed, column},
    lambda::CompiledLambda,
    operation::OperationKind,
};
use crate::{
    ast::{Expr, ExprKind, Ident, Span},
    error::SqlError,
    function::ArgType,
    types::SqlType,
};
use datafusion::{
    logical_expr::{Expr as Planned, expr::Case},
    scalar::ScalarValue,
};

/// Compiles `name(args)`: finds the form that fits and casts the arguments to its parameters.
pub(super) fn compile(
    compiler: &Compiler<'_>,
    expr: &Expr,
    name: &Ident,
    args: &[Expr],
) -> Result<Typed, SqlError> {
    let (compiled, types) = arguments(compiler, args)?;
    let mut lambdas = Vec::new();
    let function = compiler.functions().resolve_scalar_with(name, &types, &mut |place, types| {
        let ExprKind::Lambda { parameters, body } = &args[place].kind else {
            return Err(SqlError::invalid("a lambda is expected here").at(args[place].span));
        };
        let (lambda, ty) = CompiledLambda::compile(compiler, parameters, types, body)?;
        lambdas.push((place, lambda));
        Ok(ty)
    })?;
    let ty = function.return_type().clone();
    let mut values = coerced(compiler, compiled, function.arg_types())?;
    if chooses_lazily(function.name(), &values) {
        return first_present(expr, values, ty);
    }
    let marked = mark(compiler, &mut values);
    for (_, lambda) in &lambdas {
        values.extend(lambda.captured_names().map(column));
    }
    let call = OperationKind::Call { function, lambdas: lambdas.into(), marked };
    Ok(Typed { expr: compiler.operation(call, values, &ty), ty: Some(ty), span: expr.span })
}

/// Compiles a call of a table function to the ARRAY of its rows, and says of what type one row is.
pub(crate) fn compile_table(
    compiler: &Compiler<'_>,
    name: &Ident,
    args: &[Expr],
) -> Result<(Planned, SqlType), SqlError> {
    let (compiled, types) = arguments(compiler, args)?;
    let function = compiler.functions().resolve_table(name, &types)?;
    let mut values = coerced(compiler, compiled, function.list().arg_types())?;
    let marked = mark(compiler, &mut values);
    let list = function.list().clone();
    let ty = list.return_type().clone();
    let call = OperationKind::Call { function: list, lambdas: Arc::new([]), marked };
    Ok((compiler.operation(call, values, &ty), function.row_type().clone()))
}

/// The arguments, `None` for lambdas, and the types of all.
fn arguments(compiler: &Compiler<'_>, args: &[Expr]) -> Result<(Vec<Option<Typed>>, Vec<ArgType>), SqlError> {
    let mut compiled = Vec::with_capacity(args.len());
    let mut types = Vec::with_capacity(args.len());
    for arg in args {
        let (typed, ty) = match &arg.kind {
            ExprKind::TimeUnit(unit) => (Some(text(&unit.to_string(), arg.span)), ArgType::Unit),
            ExprKind::Lambda { parameters, .. } => (None, ArgType::Lambda(parameters.len())),
            _ => {
                let typed = compiler.compile(arg)?;
                let ty = typed.ty.clone().map_or(ArgType::Null, ArgType::Sql);
                (Some(typed), ty)
            }
        };
        compiled.push(typed);
        types.push(ty);
    }
    Ok((compiled, types))
}

fn coerced(
    compiler: &Compiler<'_>,
    args: Vec<Option<Typed>>,
    types: &[SqlType],
) -> Result<Vec<Planned>, SqlError> {
    let args = args.into_iter().zip(types).filter_map(|(typed, ty)| Some((typed?, ty)));
    args.map(|(typed, ty)| Ok(compiler.coerce(typed, ty)?.expr)).collect()
}

/// Puts a mark in front of arguments that can fail.
fn mark(compiler: &Compiler<'_>, args: &mut Vec<Planned>) -> bool {
    let can_fail = !args.iter().all(is_simple);
    if can_fail {
        args.insert(0, compiler.operation(OperationKind::Mark, Vec::new(), &SqlType::Bigint));
    }
    can_fail
}

/// Whether an expression cannot fail.
pub(super) fn is_simple(expr: &Planned) -> bool {
    matches!(expr, Planned::Column(_) | Planned::Literal(..))
}

/// Whether a later argument may fail and must not be looked at before it is needed. Those in front are then evaluated
/// twice, so they must give the same again.
fn chooses_lazily(function: &str, args: &[Planned]) -> bool {
    matches!(function, "COALESCE" | "IFNULL")
        && !args.iter().skip(1).all(is_simple)
        && !args.iter().any(Planned::is_volatile)
}

fn first_present(expr: &Expr, mut args: Vec<Planned>, ty: SqlType) -> Result<Typed, SqlError> {
    let last = args.pop().map(Box::new);
    let branches = args.into_iter().map(|arg| (Box::new(arg.clone().is_not_null()), Box::new(arg))).collect();
    let case = Planned::Case(Case::new(None, branches, last));
    Ok(Typed { expr: case, ty: Some(ty), span: expr.span })
}

fn text(text: &str, span: Span) -> Typed {
    Typed { expr: Planned::Literal(ScalarValue::from(text), None), ty: Some(SqlType::String), span }
}
