//! Calls of registered functions.

use super::{
    compiler::{Compiler, Typed},
    operation::OperationKind,
};
use crate::{
    ast::{Expr, ExprKind, Ident, Span},
    error::SqlError,
    function::ArgType,
    types::SqlType,
};
use datafusion::{logical_expr::Expr as Planned, scalar::ScalarValue};

/// Compiles `name(args)`: finds the form that fits and casts the arguments to its parameters.
pub(super) fn compile(
    compiler: &Compiler<'_>,
    expr: &Expr,
    name: &Ident,
    args: &[Expr],
) -> Result<Typed, SqlError> {
    let mut compiled = Vec::with_capacity(args.len());
    let mut types = Vec::with_capacity(args.len());
    for arg in args {
        let typed = match &arg.kind {
            ExprKind::TimeUnit(unit) => {
                types.push(ArgType::Unit);
                text(&unit.to_string(), arg.span)
            }
            _ => {
                let typed = compiler.compile(arg)?;
                types.push(typed.ty.clone().map_or(ArgType::Null, ArgType::Sql));
                typed
            }
        };
        compiled.push(typed);
    }
    let function = compiler.functions().resolve_scalar(name, &types)?;
    let mut values = Vec::with_capacity(compiled.len());
    for (typed, ty) in compiled.into_iter().zip(function.arg_types()) {
        values.push(compiler.coerce(typed, ty)?.expr);
    }
    let ty = function.return_type().clone();
    let call = compiler.operation(OperationKind::Call(function), values, &ty);
    Ok(Typed { expr: call, ty: Some(ty), span: expr.span })
}

fn text(text: &str, span: Span) -> Typed {
    Typed { expr: Planned::Literal(ScalarValue::from(text), None), ty: Some(SqlType::String), span }
}
