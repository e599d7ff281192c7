//! ksqlDB's own operators as DataFusion functions, so that DataFusion plans and runs them like its own.

use std::{
    any::Any,
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, AsArray, new_null_array},
    compute::kernels::numeric,
    datatypes::{DataType, Fields},
};
use datafusion::{
    error::Result,
    logical_expr::{
        ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        TypeSignature, Volatility, expr::ScalarFunction as ScalarCall,
    },
    scalar::ScalarValue,
};

use super::{
    arithmetic::{self, Arithmetic},
    cast,
    comparison::{self, Comparison},
    lambda::CompiledLambda,
    like, nested,
    row_errors::{RowErrors, by_row, failures, forgive},
};
use crate::{
    error::SqlError,
    function::{Lambda, ResolvedScalar},
};

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
    /// A registered function; what fails in the call or its arguments makes it NULL and goes no further. In front of
    /// its arguments is a `Mark`, if they can fail. Behind them, where lambdas are left out, come the columns that the
    /// lambdas read.
    Call { function: ResolvedScalar, lambdas: Arc<[(usize, CompiledLambda)]>, marked: bool },
    /// A truth value that must be known: NULL is an error.
    Truth,
    /// How many errors there are so far; see `Attempt`.
    Mark,
    /// The second argument, or NULL where it fails, while what is around it goes on. The first argument is the `Mark`
    /// in front of the second.
    Attempt,
}

impl OperationKind {
    /// Whether a NULL among the arguments is an error, and so NULL all the way up. Of a subscript only the index counts.
    fn fails_on_null(&self) -> bool {
        matches!(self, Self::Arithmetic(_) | Self::Negate | Self::Like { .. } | Self::Subscript)
    }

    /// Whether a NULL among the arguments makes the result NULL.
    fn passes_null_on(&self) -> bool {
        self.fails_on_null() || matches!(self, Self::Cast | Self::Field { .. })
    }
}

/// One operator or function call with its result type and the place for errors of single rows.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    kind: OperationKind,
    /// Tells operations apart: everything in `kind` that matters, as text.
    identity: String,
    result: DataType,
    signature: Signature,
    errors: RowErrors,
    /// A NULL among the arguments is reported. Not needed where the whole expression becomes NULL anyway.
    reports_null: bool,
}

impl Operation {
    /// The call of this operation with `args`.
    pub(crate) fn expr(kind: OperationKind, args: Vec<Expr>, result: DataType, errors: &RowErrors) -> Expr {
        let volatility = match &kind {
            OperationKind::Call { function, .. } if function.is_volatile() => Volatility::Volatile,
            OperationKind::Mark => Volatility::Volatile,
            _ => Volatility::Immutable,
        };
        let signature = match args.is_empty() {
            true => TypeSignature::Nullary,
            false => TypeSignature::UserDefined,
        };
        let identity = match &kind {
            OperationKind::Call { function, lambdas, .. } => {
                let texts = lambdas.iter().map(|(_, lambda)| format!(" {lambda}"));
                std::iter::once(function.name().to_owned()).chain(texts).collect()
            }
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
            OperationKind::Truth => "TRUTH".to_owned(),
            OperationKind::Mark => "MARK".to_owned(),
            OperationKind::Attempt => "ATTEMPT".to_owned(),
        };
        let operation = Self {
            reports_null: kind.fails_on_null(),
            kind,
            identity,
            result,
            signature: Signature::new(signature, volatility),
            errors: errors.clone(),
        };
        Expr::ScalarFunction(ScalarCall::new_udf(Arc::new(ScalarUDF::from(operation)), args))
    }

    /// Whether its result is never NULL.
    pub(super) fn is_never_null(&self) -> bool {
        matches!(self.kind, OperationKind::Comparison(_))
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
        let constant = !args.args.is_empty()
            && args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)))
            && self.signature.volatility == Volatility::Immutable;
        let rows = if constant { 1 } else { rows };
        let result = match &self.kind {
            OperationKind::Call { function, lambdas, marked } => match args.args.as_slice() {
                given if !marked => self.call(function, lambdas, failures(), given, rows),
                [ColumnarValue::Scalar(ScalarValue::Int64(Some(before))), given @ ..] => {
                    self.call(function, lambdas, *before as u64, given, rows)
                }
                other => unreachable!("a call was given {other:?} in place of a mark"),
            },
            OperationKind::Mark => {
                return Ok(ColumnarValue::Scalar(ScalarValue::Int64(Some(failures() as i64))));
            }
            OperationKind::Attempt => match args.args.as_slice() {
                [ColumnarValue::Scalar(ScalarValue::Int64(Some(before))), value] => {
                    let value = value.to_array(rows)?;
                    // Of several rows it is not known which failed: the failure stays, and they come again one by one.
                    if failures() > *before as u64 && rows == 1 {
                        forgive(*before as u64);
                        Ok(new_null_array(&self.result, 1))
                    } else {
                        Ok(value)
                    }
                }
                other => unreachable!("an attempt was given {other:?}"),
            },
            _ => {
                let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
                self.report_null(&arrays);
                self.evaluate(&arrays, rows)
            }
        };
        // What is wrong with all rows is an error of each: it must not stop a query.
        let result = result.unwrap_or_else(|error| {
            self.errors.add(|| error.to_string());
            new_null_array(&self.result, rows)
        });
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

/// An expression whose value is wanted: where a NULL makes all of it NULL, it is no error on the way.
pub(super) fn quiet_value(expr: Expr) -> Expr {
    let Expr::ScalarFunction(call) = expr else { return expr };
    let function: &dyn Any = call.func.inner().as_ref();
    let quiet = match function.downcast_ref::<Operation>() {
        Some(known) if known.kind.passes_null_on() => Operation { reports_null: false, ..known.clone() },
        _ => return Expr::ScalarFunction(call),
    };
    let args = call.args.into_iter().map(quiet_value).collect();
    Expr::ScalarFunction(ScalarCall::new_udf(Arc::new(ScalarUDF::from(quiet)), args))
}

/// As [`quiet_value`], for a condition of which only matters whether it is true.
pub(super) fn quiet_condition(expr: Expr) -> Expr {
    match expr {
        Expr::BinaryExpr(mut both) if both.op == Operator::And => {
            both.left = Box::new(quiet_condition(*both.left));
            both.right = Box::new(quiet_condition(*both.right));
            Expr::BinaryExpr(both)
        }
        Expr::ScalarFunction(mut call) => {
            let function: &dyn Any = call.func.inner().as_ref();
            let compares = function.downcast_ref::<Operation>().and_then(Operation::comparison);
            match compares {
                Some(Comparison::Distinct | Comparison::NotDistinct) => Expr::ScalarFunction(call),
                Some(_) => {
                    call.args = call.args.into_iter().map(quiet_value).collect();
                    Expr::ScalarFunction(call)
                }
                None => quiet_value(Expr::ScalarFunction(call)),
            }
        }
        other => other,
    }
}

impl Operation {
    fn report_null(&self, args: &[ArrayRef]) {
        let checked = match self.kind {
            OperationKind::Truth => args,
            _ if !self.reports_null => return,
            OperationKind::Subscript => &args[1..],
            _ => args,
        };
        if checked.iter().any(|arg| arg.null_count() > 0) {
            self.errors.add(|| format!("{} of NULL", self.identity));
        }
    }

    fn call(
        &self,
        function: &ResolvedScalar,
        lambdas: &[(usize, CompiledLambda)],
        before: u64,
        args: &[ColumnarValue],
        rows: usize,
    ) -> Result<ArrayRef> {
        let inside = failures();
        let result = match lambdas {
            [] => by_row(|| function.evaluate(args, rows, &self.errors)),
            lambdas => self.call_with_lambdas(function, lambdas, args, rows),
        };
        let result = result.unwrap_or_else(|error| {
            self.errors.add(|| error.to_string());
            new_null_array(&self.result, rows)
        });
        if lambdas.is_empty() {
            // The function has nulled the rows that it could not compute.
            forgive(inside);
        }
        if failures() == before || rows > 1 {
            return Ok(result);
        }
        forgive(before);
        Ok(new_null_array(&self.result, rows))
    }

    fn call_with_lambdas(
        &self,
        function: &ResolvedScalar,
        lambdas: &[(usize, CompiledLambda)],
        args: &[ColumnarValue],
        rows: usize,
    ) -> Result<ArrayRef, SqlError> {
        let given = function.arg_types().len() - lambdas.len();
        let mut captured = args[given..].iter();
        let mut applied = Vec::with_capacity(lambdas.len());
        for (place, lambda) in lambdas {
            let columns = captured.by_ref().take(lambda.captured()).map(|column| column.to_array(rows));
            applied.push((*place, lambda.over(columns.collect::<Result<_>>()?)));
        }
        let mut plain = args[..given].iter().cloned();
        let is_lambda = |place: &usize| lambdas.iter().any(|(known, _)| known == place);
        let values: Vec<ColumnarValue> = (0..function.arg_types().len())
            .filter_map(|place| match is_lambda(&place) {
                true => Some(ColumnarValue::Scalar(ScalarValue::Null)),
                false => plain.next(),
            })
            .collect();
        let lambdas: Vec<(usize, &dyn Lambda)> =
            applied.iter().map(|(place, lambda)| (*place, lambda as &dyn Lambda)).collect();
        function.evaluate_with(&values, &lambdas, rows, &self.errors)
    }

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
            (OperationKind::Map, keys_and_values) => nested::map(keys_and_values, rows, &self.errors),
            (OperationKind::Truth, [operand]) => Ok(operand.clone()),
            (OperationKind::Struct(fields), values) => nested::structure(fields, values, rows),
            (kind, args) => unreachable!("{kind:?} was given {} arguments", args.len()),
        }
    }
}
