//! Table functions: any number of rows, from the values of one.

use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayRef;

use crate::error::SqlError;
use crate::function::resolve::{Casts, resolve};
use crate::function::scalar::{Evaluate, Form, ReturnType};
use crate::function::{ArgType, Call, Category, ResolvedScalar, Signature};
use crate::types::SqlType;

/// A table function: a name, and one or more forms.
///
/// A form gives for every row a list of the rows to make of it; NULL is a list without rows.
///
/// ```
/// use std::sync::Arc;
///
/// use arrow::array::{Int32Builder, ListBuilder};
/// use millstream_sql::function::TableFunction;
///
/// let countdown = TableFunction::new("COUNTDOWN", "Every number from the argument down to 1.")
///     .form("(INT) -> INT", |call| {
///         let starts = call.ints(0);
///         let mut rows = ListBuilder::new(Int32Builder::new());
///         for row in 0..call.rows() {
///             rows.append_option(starts.get(row).map(|start| (1..=start).rev().map(Some)));
///         }
///         Ok(Arc::new(rows.finish()))
///     });
/// ```
#[derive(Clone)]
pub struct TableFunction {
    pub(super) name: String,
    pub(super) shown: String,
    pub(super) description: String,
    pub(super) signatures: Vec<Signature>,
    forms: Vec<Form>,
    pub(super) defect: Option<String>,
}

impl TableFunction {
    /// A function without forms yet. Names are upper case.
    pub fn new(name: &str, description: &str) -> Self {
        Self {
            name: name.to_uppercase(),
            shown: name.to_string(),
            description: description.to_string(),
            signatures: Vec::new(),
            forms: Vec::new(),
            defect: None,
        }
    }

    /// Adds a form: how it is called, written as [`Signature`] says with the type of one row as result, and what makes
    /// a list of such rows for every row of the call.
    ///
    /// A signature that cannot be read is an error when the function is registered.
    #[must_use]
    pub fn form(
        self,
        signature: &str,
        evaluate: impl Fn(&Call<'_>) -> Result<ArrayRef, SqlError> + Send + Sync + 'static,
    ) -> Self {
        self.forms(&[signature], evaluate)
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
            match signature.parse() {
                Ok(signature) => {
                    self.signatures.push(signature);
                    self.forms.push(Form::shared(Arc::clone(&evaluate)));
                }
                Err(error) => {
                    self.defect.get_or_insert(error.to_string());
                }
            }
        }
        self
    }

    /// The type of a row of the form added last, from the types of the arguments, in place of what its signature says.
    #[must_use]
    pub fn returning(
        mut self,
        row_type: impl Fn(&[SqlType]) -> Result<SqlType, String> + Send + Sync + 'static,
    ) -> Self {
        let row_type: ReturnType = Arc::new(row_type);
        if let Some(form) = self.forms.last_mut() {
            form.return_type = Some(row_type);
        }
        self
    }

    /// What it is about.
    pub(super) fn category(&self) -> Category {
        Category::Table
    }

    /// The form that fits arguments of these types. It returns an ARRAY of the rows.
    pub(super) fn resolve(&self, args: &[ArgType]) -> Result<ResolvedTable, SqlError> {
        let mut no_lambdas = |_: usize, _: &[SqlType]| {
            Err(SqlError::invalid(format!("table function '{}' takes no lambda", self.shown)))
        };
        let mut found = resolve(&self.shown, &self.signatures, args, Casts::Never, &mut no_lambdas)?;
        let form = &self.forms[found.form];
        let row = form.returns(&self.shown, &found.arg_types, found.return_type)?;
        found.return_type = SqlType::Array(Box::new(row.clone()));
        let list = ResolvedScalar::new(&self.name, &self.signatures[found.form], found, form, false);
        Ok(ResolvedTable { list, row })
    }
}

impl fmt::Debug for TableFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableFunction")
            .field("name", &self.name)
            .field("signatures", &self.signatures)
            .finish_non_exhaustive()
    }
}

/// The form of a table function that a call means.
#[derive(Clone, Debug)]
pub struct ResolvedTable {
    list: ResolvedScalar,
    row: SqlType,
}

impl ResolvedTable {
    /// The type of one row.
    pub fn row_type(&self) -> &SqlType {
        &self.row
    }

    /// The function that returns the ARRAY of all rows.
    pub fn list(&self) -> &ResolvedScalar {
        &self.list
    }
}
