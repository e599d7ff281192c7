//! Constant expressions: evaluated once, while planning.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, RecordBatch, RecordBatchOptions},
    datatypes::Schema,
};

use datafusion::logical_expr::Expr as Planned;

use super::{Compiler, RowErrors, bind, cast};
use crate::{ast::Expr, error::SqlError, types::SqlType};

/// Evaluates an expression without columns to one value and its type; the type is `None` for an untyped NULL.
///
/// Fails if it names a column, and if its evaluation does.
pub(crate) fn evaluate_constant(
    expr: &Expr,
    compiler: &Compiler<'_>,
) -> Result<(ArrayRef, Option<SqlType>), SqlError> {
    let typed = compiler.compile(expr)?;
    let value = value_of(&typed.expr)?;
    match compiler.errors().drain() {
        Some((_, messages)) => Err(SqlError::invalid(messages.join("; ")).at(expr.span)),
        None => Ok((value, typed.ty)),
    }
}

/// The one value of an expression without columns.
pub(crate) fn value_of(expr: &Planned) -> Result<ArrayRef, SqlError> {
    let schema = Arc::new(Schema::empty());
    let bound = bind(expr, &schema)?;
    let one_row = RecordBatchOptions::new().with_row_count(Some(1));
    Ok(bound.evaluate(&RecordBatch::try_new_with_options(schema, vec![], &one_row)?)?)
}

/// Brings a constant to the type of a column as INSERT does: numbers widen, any scalar becomes STRING, a STRING is
/// read as a number, truth value, time or base64.
///
/// `None` if the types do not go together; an error if the value does not fit.
pub(crate) fn coerce_lax(
    value: &ArrayRef,
    from: Option<&SqlType>,
    to: &SqlType,
) -> Result<Option<ArrayRef>, Vec<String>> {
    let allowed = match from {
        None => true,
        Some(from) => {
            let scalar =
                |ty: &SqlType| !matches!(ty, SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(_));
            from == to
                || from.can_widen_to(to)
                || (from.is_numeric() && matches!(to, SqlType::Decimal { .. }) && *from != SqlType::Double)
                || (*to == SqlType::String && scalar(from) && *from != SqlType::Bytes)
                || (*from == SqlType::String && scalar(to))
                || (!scalar(from) && !scalar(to) && cast::castable(from, to))
        }
    };
    if !allowed {
        return Ok(None);
    }
    let errors = RowErrors::default();
    let result = cast::cast(value, &to.to_arrow(), &errors).map_err(|error| vec![error.to_string()])?;
    match errors.drain() {
        Some((_, messages)) => Err(messages),
        None => {
            debug_assert_eq!(result.len(), 1);
            Ok(Some(result))
        }
    }
}
