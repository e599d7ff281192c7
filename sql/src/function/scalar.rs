//! Scalar functions: one value per row, from the values of that row.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute;
use datafusion::logical_expr::ColumnarValue;

use crate::error::SqlError;
use crate::expression::RowErrors;
use crate::function::resolve::{Casts, Match, resolve};
use crate::function::{ArgType, Call, Category, Signature};
use crate::types::SqlType;

type Evaluate = Arc<dyn Fn(&Call<'_>) -> Result<ArrayRef, SqlError> + Send + Sync>;
type ReturnType = Arc<dyn Fn(&[SqlType]) -> Result<SqlType, String> + Send + Sync>;

/// A scalar function: a name, and one or more forms.
///
/// ```
/// use arrow::datatypes::Float64Type;
/// use millstream_sql::function::ScalarFunction;
///
/// let hypotenuse = ScalarFunction::new("HYPOTENUSE", "Length of the longest side of a right triangle.")
///     .form("(DOUBLE, DOUBLE) -> DOUBLE", |call| {
///         let (a, b) = (call.doubles(0), call.doubles(1));
///         call.build::<Float64Type>(|row| Some(a.get(row)?.hypot(b.get(row)?)))
///     });
/// ```
#[derive(Clone)]
pub struct ScalarFunction {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) category: Category,
    pub(super) signatures: Vec<Signature>,
    forms: Vec<Form>,
    volatile: bool,
    pub(super) defect: Option<String>,
}

#[derive(Clone)]
struct Form {
    evaluate: Evaluate,
    return_type: Option<ReturnType>,
}

impl ScalarFunction {
    /// A function without forms yet. Names are upper case.
    pub fn new(name: &str, description: &str) -> Self {
        Self {
            name: name.to_uppercase(),
            description: description.to_string(),
            category: Category::default(),
            signatures: Vec::new(),
            forms: Vec::new(),
            volatile: false,
            defect: None,
        }
    }

    /// What it is about.
    #[must_use]
    pub fn category(mut self, category: Category) -> Self {
        self.category = category;
        self
    }

    /// Adds a form: how it is called, written as [`Signature`] says, and what computes it.
    ///
    /// A signature that cannot be read is an error when the function is registered.
    #[must_use]
    pub fn form(
        mut self,
        signature: &str,
        evaluate: impl Fn(&Call<'_>) -> Result<ArrayRef, SqlError> + Send + Sync + 'static,
    ) -> Self {
        self.add(signature, Arc::new(evaluate));
        self
    }

    /// Adds forms that are computed alike.
    #[must_use]
    pub fn forms(
        mut self,
        signatures: &[&str],
        evaluate: impl Fn(&Call<'_>) -> Result<ArrayRef, SqlError> + Send + Sync + 'static,
    ) -> Self {
        let evaluate: Evaluate = Arc::new(evaluate);
        for signature in signatures {
            self.add(signature, Arc::clone(&evaluate));
        }
        self
    }

    /// The return type of the form added last, from the types of the arguments, in place of what its signature says.
    #[must_use]
    pub fn returning(
        mut self,
        return_type: impl Fn(&[SqlType]) -> Result<SqlType, String> + Send + Sync + 'static,
    ) -> Self {
        if let Some(form) = self.forms.last_mut() {
            form.return_type = Some(Arc::new(return_type));
        }
        self
    }

    /// Equal arguments may give different results.
    #[must_use]
    pub fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    fn add(&mut self, signature: &str, evaluate: Evaluate) {
        match signature.parse() {
            Ok(signature) => {
                self.signatures.push(signature);
                self.forms.push(Form { evaluate, return_type: None });
            }
            Err(error) => {
                self.defect.get_or_insert(error.to_string());
            }
        }
    }

    /// The form that fits arguments of these types.
    pub(super) fn resolve(&self, args: &[ArgType]) -> Result<ResolvedScalar, SqlError> {
        let Match { form, arg_types, mut return_type } =
            resolve(&self.name, &self.signatures, args, Casts::IfNeeded)?;
        let signature = &self.signatures[form];
        let Form { evaluate, return_type: computed } = &self.forms[form];
        if let Some(computed) = computed {
            return_type = computed(&arg_types)
                .map_err(|e| SqlError::invalid(format!("function '{}': {e}", self.name)))?;
        }
        let required =
            (0..args.len()).filter(|i| signature.parameter(*i).is_some_and(|p| p.required)).collect();
        Ok(ResolvedScalar {
            name: self.name.clone(),
            arg_types,
            return_type,
            required,
            volatile: self.volatile,
            evaluate: Arc::clone(evaluate),
        })
    }
}

impl fmt::Debug for ScalarFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScalarFunction")
            .field("name", &self.name)
            .field("signatures", &self.signatures)
            .finish_non_exhaustive()
    }
}

/// The form of a scalar function that a call means.
#[derive(Clone)]
pub struct ResolvedScalar {
    name: String,
    arg_types: Vec<SqlType>,
    return_type: SqlType,
    required: Vec<usize>,
    volatile: bool,
    evaluate: Evaluate,
}

impl ResolvedScalar {
    /// The function's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The types to cast the arguments to. A unit of time is passed as the STRING of its name.
    pub fn arg_types(&self) -> &[SqlType] {
        &self.arg_types
    }

    /// The type of the result.
    pub fn return_type(&self) -> &SqlType {
        &self.return_type
    }

    /// Whether equal arguments may give different results.
    pub fn is_volatile(&self) -> bool {
        self.volatile
    }

    /// Calls the function for `rows` rows. The arguments have the types of [`arg_types`](Self::arg_types); arrays hold
    /// `rows` values. Rows that fail are NULL in the result and go to `errors`.
    ///
    /// Fails only for what is wrong with every row.
    pub fn evaluate(
        &self,
        args: &[ColumnarValue],
        rows: usize,
        errors: &RowErrors,
    ) -> Result<ArrayRef, SqlError> {
        let mut arrays = Vec::with_capacity(args.len());
        let mut constant = Vec::with_capacity(args.len());
        for arg in args {
            constant.push(matches!(arg, ColumnarValue::Scalar(_)));
            arrays.push(match arg {
                ColumnarValue::Array(array) => Arc::clone(array),
                ColumnarValue::Scalar(value) => value.to_array_of_size(1)?,
            });
        }
        let call = Call {
            name: &self.name,
            args: &arrays,
            constant: &constant,
            arg_types: &self.arg_types,
            return_type: &self.return_type,
            rows,
            errors,
        };
        let result = (self.evaluate)(&call)?;
        assert_eq!(result.len(), rows, "rows returned by function {}", self.name);
        self.null_where_required_is_null(&call, result)
    }

    fn null_where_required_is_null(&self, call: &Call<'_>, result: ArrayRef) -> Result<ArrayRef, SqlError> {
        let mut missing: Option<BooleanBuffer> = None;
        for position in &self.required {
            let array = call.array(*position)?;
            if let Some(nulls) = array.nulls().filter(|n| n.null_count() > 0) {
                let these = !nulls.inner();
                missing = Some(missing.map_or_else(|| these.clone(), |others| &others | &these));
            }
        }
        let Some(missing) = missing else { return Ok(result) };
        for _ in 0..missing.count_set_bits() {
            call.fail::<()>("a required argument is NULL");
        }
        Ok(compute::nullif(&result, &BooleanArray::new(missing, None::<NullBuffer>))?)
    }
}

impl fmt::Debug for ResolvedScalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolvedScalar")
            .field("name", &self.name)
            .field("arg_types", &self.arg_types)
            .field("return_type", &self.return_type)
            .finish_non_exhaustive()
    }
}
