//! Our scalar functions as DataFusion calls them.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::datatypes::DataType;
use datafusion::{
    error::{DataFusionError, Result},
    logical_expr::{
        ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
    },
};

use crate::{
    ast::{Ident, Span},
    error::SqlError,
    expression::{RowErrors, cast},
    function::{ArgType, FunctionKind, FunctionRegistry, ResolvedScalar},
    types::SqlType,
};

/// A function whose form is chosen by the types of the arguments.
#[derive(Debug)]
struct Function {
    /// Its name in lower case, as DataFusion looks for it.
    name: String,
    functions: Arc<FunctionRegistry>,
    signature: Signature,
    errors: RowErrors,
}

/// All scalar functions of a registry. Rows that fail are NULL and go to `errors`.
pub(super) fn all(functions: &FunctionRegistry, errors: &RowErrors) -> Vec<ScalarUDF> {
    let functions = Arc::new(functions.clone());
    let scalar = functions.list().into_iter().filter(|function| function.kind == FunctionKind::Scalar);
    let signature = || {
        let forms = vec![TypeSignature::VariadicAny, TypeSignature::Nullary];
        // None is known to give the same result for the same arguments.
        Signature::one_of(forms, Volatility::Volatile)
    };
    scalar
        .map(|function| {
            ScalarUDF::from(Function {
                name: function.name.to_lowercase(),
                functions: functions.clone(),
                signature: signature(),
                errors: errors.clone(),
            })
        })
        .collect()
}

impl Function {
    fn resolve(&self, types: &[DataType]) -> Result<ResolvedScalar> {
        let arg = |ty: &DataType| match ty {
            DataType::Null => Ok(ArgType::Null),
            ty => SqlType::from_arrow(&super::plain(ty)).map(ArgType::Sql),
        };
        let types = types.iter().map(arg).collect::<Result<Vec<_>, _>>().map_err(planned)?;
        let name = Ident { name: self.name.to_uppercase(), span: Span::default() };
        self.functions.resolve_scalar(&name, &types).map_err(planned)
    }
}

fn planned(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.resolve(arg_types)?.return_type().to_arrow())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let types: Vec<DataType> = args.args.iter().map(ColumnarValue::data_type).collect();
        let function = self.resolve(&types)?;
        let fit = |(value, ty): (&ColumnarValue, &SqlType)| {
            let ty = ty.to_arrow();
            if value.data_type() == ty {
                return Ok(value.clone());
            }
            let rows = if matches!(value, ColumnarValue::Scalar(_)) { 1 } else { args.number_rows };
            let array = cast::cast(&value.to_array(rows)?, &ty, &self.errors)?;
            Ok(match value {
                ColumnarValue::Scalar(_) => {
                    ColumnarValue::Scalar(datafusion::scalar::ScalarValue::try_from_array(&array, 0)?)
                }
                ColumnarValue::Array(_) => ColumnarValue::Array(array),
            })
        };
        let values = args.args.iter().zip(function.arg_types()).map(fit).collect::<Result<Vec<_>>>()?;
        function.evaluate(&values, args.number_rows, &self.errors).map(ColumnarValue::Array).map_err(planned)
    }
}
