//! Expressions that are NULL as a whole for a row in which a part of them fails, as those of streaming queries are.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::{DataType, Schema, SchemaRef},
};
use datafusion::{
    common::Column,
    error::Result,
    logical_expr::{
        ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
        Volatility, expr::ScalarFunction,
    },
};

use crate::expression::{Bound, bind, bind_condition};

/// An expression over some columns, as a function of these.
#[derive(Debug)]
struct Guard {
    text: String,
    bound: Bound,
    columns: SchemaRef,
    signature: Signature,
}

/// `expr` over rows of this layout, NULL where it fails.
pub(super) fn guarded(expr: &Expr, rows: &SchemaRef) -> Result<Expr> {
    guard(expr, rows, |schema| bind(expr, schema))
}

/// `condition` over rows of this layout, not true where it fails.
pub(super) fn guarded_condition(condition: &Expr, rows: &SchemaRef) -> Result<Expr> {
    guard(condition, rows, |schema| bind_condition(condition, schema))
}

fn guard(expr: &Expr, rows: &SchemaRef, bind: impl Fn(&SchemaRef) -> Result<Bound>) -> Result<Expr> {
    if matches!(expr, Expr::Column(_) | Expr::Literal(..)) {
        return Ok(expr.clone());
    }
    let mut names: Vec<&str> = expr.column_refs().iter().map(|column| column.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let fields = names.iter().map(|name| Ok(rows.field_with_name(name)?.clone()));
    let columns: SchemaRef = Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?));
    let kind = if names.is_empty() { TypeSignature::Nullary } else { TypeSignature::UserDefined };
    let guard = Guard {
        text: expr.to_string(),
        bound: bind(&columns)?,
        columns,
        signature: Signature::new(kind, Volatility::Volatile),
    };
    let args = names.iter().map(|name| Expr::Column(Column::new_unqualified(*name))).collect();
    Ok(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::from(guard)), args)))
}

impl PartialEq for Guard {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.columns == other.columns
    }
}

impl Eq for Guard {}

impl Hash for Guard {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl ScalarUDFImpl for Guard {
    fn name(&self) -> &str {
        &self.text
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.bound.result_type().clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let columns = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.columns.clone(), columns, &options)?;
        self.bound.evaluate(&batch).map(ColumnarValue::Array)
    }
}
