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
use crate::function::{ArgType, Call, Category, Lambda, LambdaTypes, Signature};
use crate::types::SqlType;

pub(super) type Evaluate = Arc<dyn Fn(&Call<'_>) -> Result<ArrayRef, SqlError> + Send + Sync>;
pub(super) type ReturnType = Arc<dyn Fn(&[SqlType]) -> Result<SqlType, String> + Send + Sync>;
type Make = Arc<dyn Fn() -> Evaluate + Send + Sync>;

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
    /// The name as errors show it.
    pub(super) shown: String,
    pub(super) description: String,
    pub(super) category: Category,
    pub(super) signatures: Vec<Signature>,
    forms: Vec<Form>,
    volatile: bool,
    pub(super) defect: Option<String>,
}

/// What computes one form.
#[derive(Clone)]
pub(super) struct Form {
    make: Make,
    pub(super) return_type: Option<ReturnType>,
}

impl Form {
    /// Computed by the same in every call.
    pub(super) fn shared(evaluate: Evaluate) -> Self {
        Self { make: Arc::new(move || Arc::clone(&evaluate)), return_type: None }
    }

    /// The type of the result where the signature says `returns`.
    pub(super) fn returns(
        &self,
        name: &str,
        args: &[SqlType],
        returns: SqlType,
    ) -> Result<SqlType, SqlError> {
        match &self.return_type {
            None => Ok(returns),
            Some(computed) => {
                computed(args).map_err(|e| SqlError::invalid(format!("Function '{name}': {e}")))
            }
        }
    }
}

impl ScalarFunction {
    /// A function without forms yet. Names are upper case.
    pub fn new(name: &str, description: &str) -> Self {
        Self {
            name: name.to_uppercase(),
            shown: name.to_string(),
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
        self.add(signature, Form::shared(Arc::new(evaluate)));
        self
    }

    /// Adds a form with something to remember: every place of a statement where it is called computes it with what
    /// `make` makes for that place.
    #[must_use]
    pub fn form_per_call<F>(mut self, signature: &str, make: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Fn(&Call<'_>) -> Result<ArrayRef, SqlError> + Send + Sync + 'static,
    {
        let make: Make = Arc::new(move || Arc::new(make()));
        self.add(signature, Form { make, return_type: None });
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
            self.add(signature, Form::shared(Arc::clone(&evaluate)));
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

    fn add(&mut self, signature: &str, form: Form) {
        match signature.parse() {
            Ok(signature) => {
                self.signatures.push(signature);
                self.forms.push(form);
            }
            Err(error) => {
                self.defect.get_or_insert(error.to_string());
            }
        }
    }

    /// The form that fits arguments of these types.
    pub(super) fn resolve(
        &self,
        args: &[ArgType],
        lambdas: LambdaTypes<'_>,
    ) -> Result<ResolvedScalar, SqlError> {
        let mut found = resolve(&self.shown, &self.signatures, args, Casts::IfNeeded, lambdas)?;
        let form = &self.forms[found.form];
        found.return_type = form.returns(&self.shown, &found.arg_types, found.return_type)?;
        let signature = &self.signatures[found.form];
        Ok(ResolvedScalar::new(&self.name, signature, found, form, self.volatile))
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
    pub(super) fn new(name: &str, signature: &Signature, found: Match, form: &Form, volatile: bool) -> Self {
        let args = found.arg_types.len();
        let required = |i: &usize| signature.parameter(*i, args).is_some_and(|p| p.required);
        Self {
            name: name.to_string(),
            arg_types: found.arg_types,
            return_type: found.return_type,
            required: (0..args).filter(required).collect(),
            volatile,
            evaluate: (form.make)(),
        }
    }

    /// The function's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The types to cast the arguments to. A unit of time is passed as the STRING of its name; for a lambda this is the
    /// type of its result.
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
        self.evaluate_with(args, &[], rows, errors)
    }

    /// As [`evaluate`](Self::evaluate), for a call with lambdas: each with the place of its argument, where `args` has a
    /// value that nobody looks at.
    pub fn evaluate_with(
        &self,
        args: &[ColumnarValue],
        lambdas: &[(usize, &dyn Lambda)],
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
            lambdas,
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
