//! Lambdas: their bodies compiled over their parameters and the columns around them.

use std::{cell::RefCell, fmt, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array},
    compute::take,
    datatypes::{Field, Schema, SchemaRef},
};

use super::{
    bound::{Bound, bind_part},
    compiler::{Compiler, Names},
    row_errors::fail_again,
};
use crate::{
    ast::{Expr, Ident},
    error::SqlError,
    function::Lambda,
    types::SqlType,
};

/// A lambda whose body knows the types of its parameters.
#[derive(Clone, Debug)]
pub(crate) struct CompiledLambda {
    text: String,
    body: Bound,
    /// The parameters, then the columns that the body reads besides.
    schema: SchemaRef,
    captured: Vec<(String, SqlType)>,
}

impl CompiledLambda {
    /// Compiles the body and finds out what it returns.
    pub(super) fn compile(
        compiler: &Compiler<'_>,
        parameters: &[Ident],
        types: &[SqlType],
        body: &Expr,
    ) -> Result<(Self, SqlType), SqlError> {
        for parameter in parameters {
            if compiler.names().column(None, parameter).is_ok() {
                return Err(SqlError::invalid(format!(
                    "Lambda function argument can't be a column name: {}",
                    parameter.name
                ))
                .at(parameter.span));
            }
        }
        let parameters: Vec<(String, SqlType)> =
            parameters.iter().map(|name| name.name.clone()).zip(types.iter().cloned()).collect();
        let scope = LambdaNames { outer: compiler.names(), parameters, captured: RefCell::default() };
        let typed = compiler.over(&scope).compile(body)?;
        let ty = typed.known_type()?.clone();
        let LambdaNames { parameters, captured, .. } = scope;
        let captured = captured.into_inner();
        let parameter_fields =
            parameters.iter().map(|(name, ty)| Field::new(inner_name(name), ty.to_arrow(), true));
        let captured_fields = captured.iter().map(|(name, ty)| Field::new(name, ty.to_arrow(), true));
        let schema = Arc::new(Schema::new(parameter_fields.chain(captured_fields).collect::<Vec<_>>()));
        let names: Vec<&str> = parameters.iter().map(|(name, _)| name.as_str()).collect();
        let text = format!("({}) => {body}", names.join(", "));
        Ok((Self { text, body: bind_part(&typed.expr, &schema)?, schema, captured }, ty))
    }

    /// How many columns the body reads besides the parameters.
    pub(super) fn captured(&self) -> usize {
        self.captured.len()
    }

    /// The unique names of those columns.
    pub(super) fn captured_names(&self) -> impl Iterator<Item = &str> {
        self.captured.iter().map(|(name, _)| name.as_str())
    }

    /// The lambda over a batch with these captured columns.
    pub(super) fn over(&self, captured: Vec<ArrayRef>) -> AppliedLambda<'_> {
        AppliedLambda { lambda: self, captured }
    }
}

impl fmt::Display for CompiledLambda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A lambda over the columns of one batch.
#[derive(Debug)]
pub(super) struct AppliedLambda<'a> {
    lambda: &'a CompiledLambda,
    captured: Vec<ArrayRef>,
}

impl Lambda for AppliedLambda<'_> {
    fn apply(&self, parameters: &[ArrayRef], rows: &UInt32Array) -> Result<ArrayRef, SqlError> {
        let mut columns = parameters.to_vec();
        for column in &self.captured {
            columns.push(take(column, rows, None)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let batch = RecordBatch::try_new_with_options(self.lambda.schema.clone(), columns, &options)?;
        let (values, failed) = self.lambda.body.evaluate_marked(&batch)?;
        if failed.is_some() {
            // One failure fails the call that the lambda was passed to.
            fail_again();
        }
        Ok(values)
    }
}

/// The names that a lambda's body sees: its parameters, then all that is around it.
struct LambdaNames<'a> {
    outer: &'a dyn Names,
    parameters: Vec<(String, SqlType)>,
    captured: RefCell<Vec<(String, SqlType)>>,
}

impl LambdaNames<'_> {
    fn capture(&self, column: (String, SqlType)) -> (String, SqlType) {
        let mut captured = self.captured.borrow_mut();
        if !captured.contains(&column) {
            captured.push(column.clone());
        }
        column
    }
}

impl Names for LambdaNames<'_> {
    fn column(&self, source: Option<&Ident>, name: &Ident) -> Result<(String, SqlType), SqlError> {
        let parameter = match source {
            None => self.parameters.iter().find(|(known, _)| *known == name.name),
            Some(_) => None,
        };
        match parameter {
            Some((name, ty)) => Ok((inner_name(name), ty.clone())),
            None => self.outer.column(source, name).map(|column| self.capture(column)),
        }
    }

    fn computed(&self, expr: &Expr) -> Option<(String, SqlType)> {
        self.outer.computed(expr).map(|column| self.capture(column))
    }

    fn custom_type(&self, name: &str) -> Option<SqlType> {
        self.outer.custom_type(name)
    }
}

/// A parameter's name in a batch, which no column has.
fn inner_name(parameter: &str) -> String {
    format!("=> {parameter}")
}
