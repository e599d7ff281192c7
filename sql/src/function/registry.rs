//! All functions by name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use millstream_log::Clock;

use crate::ast::{Ident, is_reserved};
use crate::error::SqlError;
use crate::function::{
    AggregateArg, AggregateFunction, ArgType, Category, ResolvedAggregate, ResolvedScalar, ScalarFunction,
    Signature,
};

/// The functions statements can call. A name is either a scalar or an aggregate function.
#[derive(Clone, Debug, Default)]
pub struct FunctionRegistry {
    functions: BTreeMap<String, Function>,
}

#[derive(Clone, Debug)]
enum Function {
    Scalar(Arc<ScalarFunction>),
    Aggregate(Arc<AggregateFunction>),
}

/// Kinds of function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionKind {
    /// One value per row.
    Scalar,
    /// One value per group.
    Aggregate,
}

impl fmt::Display for FunctionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "SCALAR",
            Self::Aggregate => "AGGREGATE",
        })
    }
}

/// What SHOW FUNCTIONS and DESCRIBE FUNCTION tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionInfo {
    /// The name.
    pub name: String,
    /// Scalar or aggregate.
    pub kind: FunctionKind,
    /// What it is about.
    pub category: Category,
    /// What it does.
    pub description: String,
    /// How it can be called.
    pub signatures: Vec<Signature>,
}

impl FunctionRegistry {
    /// A registry without any function.
    pub fn empty() -> Self {
        Self::default()
    }

    /// A registry with the built-in functions. Those that ask for the time ask `clock`.
    pub fn builtin(clock: Arc<dyn Clock>) -> Self {
        let mut registry = Self::empty();
        crate::functions::register(&mut registry, &clock)
            .expect("built-in functions are well-formed and have different names");
        registry
    }

    /// Adds a scalar function.
    ///
    /// Fails if the name is taken or not a name, or if a signature cannot be read.
    pub fn register_scalar(&mut self, function: ScalarFunction) -> Result<(), SqlError> {
        let (name, defect) = (function.name.clone(), function.defect.clone());
        self.insert(name, defect, function.signatures.len(), Function::Scalar(Arc::new(function)))
    }

    /// Adds an aggregate function.
    ///
    /// Fails if the name is taken or not a name, or if a signature cannot be read.
    pub fn register_aggregate(&mut self, function: AggregateFunction) -> Result<(), SqlError> {
        let (name, defect) = (function.name.clone(), function.defect.clone());
        self.insert(name, defect, function.signatures.len(), Function::Aggregate(Arc::new(function)))
    }

    fn insert(
        &mut self,
        name: String,
        defect: Option<String>,
        forms: usize,
        function: Function,
    ) -> Result<(), SqlError> {
        let problem = match defect {
            Some(defect) => Some(defect),
            None if forms == 0 => Some("it has no form".to_string()),
            None if !is_function_name(&name) => {
                Some("its name is not an identifier, or is a reserved word".to_string())
            }
            None if self.functions.contains_key(&name) => {
                Some("there is a function of that name already".to_string())
            }
            None => None,
        };
        if let Some(problem) = problem {
            return Err(SqlError::invalid(format!("cannot register function '{name}': {problem}")));
        }
        self.functions.insert(name, function);
        Ok(())
    }

    /// The kind of the function of that name, if there is one.
    pub fn kind(&self, name: &str) -> Option<FunctionKind> {
        self.functions.get(&name.to_uppercase()).map(Function::kind)
    }

    /// The scalar function and its form that a call means.
    ///
    /// Fails, pointing at `name`, if there is none.
    pub fn resolve_scalar(&self, name: &Ident, args: &[ArgType]) -> Result<ResolvedScalar, SqlError> {
        match self.find(name)? {
            Function::Scalar(function) => function.resolve(args).map_err(|e| e.at(name.span)),
            Function::Aggregate(_) => {
                Err(SqlError::invalid(format!("aggregate function '{}' cannot be used here", name.name))
                    .at(name.span))
            }
        }
    }

    /// The aggregate function and its form that a call means. A call without arguments, as `COUNT(*)`, is to be given
    /// ROWTIME as argument.
    ///
    /// Fails, pointing at `name`, if there is none.
    pub fn resolve_aggregate(
        &self,
        name: &Ident,
        args: &[AggregateArg],
    ) -> Result<ResolvedAggregate, SqlError> {
        match self.find(name)? {
            Function::Aggregate(function) => function.resolve(args).map_err(|e| e.at(name.span)),
            Function::Scalar(_) => {
                Err(SqlError::invalid(format!("'{}' is not an aggregate function", name.name)).at(name.span))
            }
        }
    }

    /// All functions, by name.
    pub fn list(&self) -> Vec<FunctionInfo> {
        self.functions.values().map(Function::info).collect()
    }

    /// One function.
    ///
    /// Fails, pointing at `name`, if there is none.
    pub fn describe(&self, name: &Ident) -> Result<FunctionInfo, SqlError> {
        self.find(name).map(Function::info)
    }

    fn find(&self, name: &Ident) -> Result<&Function, SqlError> {
        self.functions.get(&name.name.to_uppercase()).ok_or_else(|| {
            let names: Vec<&String> = self.functions.keys().collect();
            SqlError::invalid(format!("can't find any functions with the name '{}'", name.name))
                .at(name.span)
                .hint(match crate::error::nearest(&name.name, &names) {
                    Some(near) => format!("did you mean {near}?"),
                    None => "SHOW FUNCTIONS lists them all".to_string(),
                })
        })
    }
}

impl Function {
    fn kind(&self) -> FunctionKind {
        match self {
            Self::Scalar(_) => FunctionKind::Scalar,
            Self::Aggregate(_) => FunctionKind::Aggregate,
        }
    }

    fn info(&self) -> FunctionInfo {
        let (name, category, description, signatures) = match self {
            Self::Scalar(f) => (&f.name, f.category, &f.description, &f.signatures),
            Self::Aggregate(f) => (&f.name, f.category(), &f.description, &f.signatures),
        };
        FunctionInfo {
            name: name.clone(),
            kind: self.kind(),
            category,
            description: description.clone(),
            signatures: signatures.clone(),
        }
    }
}

/// REPLACE, LEFT and RIGHT are words of the grammar that also name functions.
fn is_function_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !is_reserved(name)
}
