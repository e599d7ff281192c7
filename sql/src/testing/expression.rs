//! One expression over a batch, outside of any query: for measuring and for comparing with other engines.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::SchemaRef,
};
use millstream_log::SystemClock;

use crate::{
    SqlError,
    ast::Ident,
    expression::{Bound, Compiler, Names, RowErrors, bind},
    function::FunctionRegistry,
    parser::parse_expr,
    types::SqlType,
};

/// An expression over the columns of a schema, as queries evaluate it.
pub struct TestExpression {
    bound: Bound,
    errors: RowErrors,
}

struct Columns<'a>(&'a SchemaRef);

impl Names for Columns<'_> {
    fn column(&self, _: Option<&Ident>, name: &Ident) -> Result<(String, SqlType), SqlError> {
        let field = self.0.field_with_name(&name.name);
        let field = field.map_err(|error| SqlError::invalid(error.to_string()))?;
        Ok((field.name().clone(), SqlType::from_arrow(field.data_type())?))
    }
}

impl TestExpression {
    /// Compiles `text`, with the built-in functions. Names in it are those of `schema`, in upper case.
    pub fn new(text: &str, schema: &SchemaRef) -> Result<Self, SqlError> {
        let functions = FunctionRegistry::builtin(Arc::new(SystemClock::new()));
        let (names, errors) = (Columns(schema), RowErrors::default());
        let typed = Compiler::new(&functions, &names, errors.clone()).compile(&parse_expr(text)?)?;
        Ok(Self { bound: bind(&typed.expr, schema)?, errors })
    }

    /// The value of each row; NULL where it fails.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, SqlError> {
        let values = self.bound.evaluate(batch)?;
        self.errors.drain();
        Ok(values)
    }
}

impl std::fmt::Debug for TestExpression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestExpression").finish_non_exhaustive()
    }
}
