//! ksqlDB's own operators as DataFusion functions, so that DataFusion plans and runs them like its own.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, AsArray},
    compute::kernels::numeric,
    datatypes::{DataType, Fields},
};
use datafusion::{
    error::{DataFusionError, Result},
    logical_expr::{
        ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
        Volatility, expr::ScalarFunction as ScalarCall,
    },
    scalar::ScalarValue,
};

use super::{
    arithmetic::{self, Arithmetic},
    cast,
    comparison::{self, Comparison},
    like, nested,
    row_errors::RowErrors,
};
use crate::function::ResolvedScalar;

/// What an [`Operation`] does to its arguments.
#[derive(Clone, Debug)]
pub(crate) enum OperationKind {
    /// `a + b` and the like.
    Arithmetic(Arithmetic),
    /// `a < b` and the like.
    Comparison(Comparison),
    /// `-a`
    Negate,
    /// `CAST(a AS type)`
    Cast,
    /// `a LIKE b`
    Like { escape: Option<char> },
    /// `a->field` by place.
    Field { place: usize, name: String },
    /// `a[b]`
    Subscript,
    /// `ARRAY[..]`
    Array,
    /// `MAP(..)`: all keys, then all values.
    Map,
    /// `STRUCT(..)`
    Struct(Fields),
    /// A registered function.
    Call(ResolvedScalar),
}

/// One operator or function call with its result type and the place for errors of single rows.
#[derive(Debug)]
pub(crate) struct Operation {
    kind: OperationKind,
    /// Tells operations apart: everything in `kind` that matters, as text.
    identity: String,
    result: DataType,
    signature: Signature,
    errors: RowErrors,
}

impl Operation {
    /// The call of this operation with `args`.
    pub(crate) fn expr(kind: OperationKind, args: Vec<Expr>, result: DataType, errors: &RowErrors) -> Expr {
        let volatility = match &kind {
            OperationKind::Call(function) if function.is_volatile() => Volatility::Volatile,
            _ => Volatility::Immutable,
        };
        let signature = match args.is_empty() {
            true => TypeSignature::Nullary,
            false => TypeSignature::UserDefined,
        };
        let identity = match &kind {
            OperationKind::Call(function) => function.name().to_owned(),
            OperationKind::Arithmetic(operator) => operator.symbol().to_owned(),
            OperationKind::Comparison(operator) => operator.symbol().to_owned(),
            OperationKind::Field { name, .. } => format!("->{name}"),
            OperationKind::Like { escape: Some(escape) } => format!("LIKE ESCAPE {escape:?}"),
            OperationKind::Like { escape: None } => "LIKE".to_owned(),
            OperationKind::Negate => "-".to_owned(),
            OperationKind::Cast => format!("CAST AS {result}"),
            OperationKind::Subscript => "[]".to_owned(),
            OperationKind::Array => "ARRAY".to_owned(),
            OperationKind::Map => "MAP".to_owned(),
            OperationKind::Struct(_) => "STRUCT".to_owned(),
        };
        let operation = Self {
            kind,
            identity,
            result,
            signature: Signature::new(signature, volatility),
            errors: errors.clone(),
        };
        Expr::ScalarFunction(ScalarCall::new_udf(Arc::new(ScalarUDF::from(operation)), args))
    }

    /// The comparison this is, if it is one.
    pub(crate) fn comparison(&self) -> Option<Comparison> {
        match self.kind {
            OperationKind::Comparison(comparison) => Some(comparison),
            _ => None,
        }
    }
}

impl PartialEq for Operation {
    fn eq(&self, other: &Self) -> bool {
        self.identity == other.identity && self.result == other.result
    }
}

impl Eq for Operation {}

impl Hash for Operation {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity.hash(state);
        self.result.hash(state);
    }
}

impl ScalarUDFImpl for Operation {
    fn name(&self) -> &str {
        &self.identity
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        // The compiler has inserted every cast already.
        Ok(arg_types.to_vec())
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.result.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        if let (OperationKind::Comparison(operator), [left, right]) = (&self.kind, args.args.as_slice()) {
            return comparison::evaluate(*operator, left, right, rows);
        }
        if let OperationKind::Call(function) = &self.kind {
            let result = function.evaluate(&args.args, rows, &self.errors);
            return result
                .map(ColumnarValue::Array)
                .map_err(|error| DataFusionError::External(Box::new(error)));
        }
        let constant = !args.args.is_empty()
            && args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)))
            && self.signature.volatility == Volatility::Immutable;
        let rows = if constant { 1 } else { rows };
        let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let result = self.evaluate(&arrays, rows)?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

impl Operation {
    fn evaluate(&self, args: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        match (&self.kind, args) {
            (OperationKind::Arithmetic(operator), [left, right]) => {
                arithmetic::evaluate(*operator, left, right, &self.result, &self.errors)
            }
            (OperationKind::Negate, [operand]) => Ok(numeric::neg_wrapping(operand.as_ref())?),
            (OperationKind::Cast, [operand]) => cast::cast(operand, &self.result, &self.errors),
            (OperationKind::Like { escape }, [text, pattern]) => {
                let outcome = like::evaluate(text.as_string(), pattern.as_string(), *escape, &self.errors)?;
                Ok(Arc::new(outcome))
            }
            (OperationKind::Field { place, .. }, [base]) => nested::field(base, *place),
            (OperationKind::Subscript, [base, index]) => nested::subscript(base, index),
            (OperationKind::Array, items) => nested::array(items, rows),
            (OperationKind::Map, keys_and_values) => nested::map(keys_and_values, rows),
            (OperationKind::Struct(fields), values) => nested::structure(fields, values, rows),
            (kind, args) => unreachable!("{kind:?} was given {} arguments", args.len()),
        }
    }
}
