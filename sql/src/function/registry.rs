//! All functions by name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use millstream_log::Clock;

use crate::ast::{Ident, is_reserved};
use crate::error::SqlError;
use crate::function::{
    AggregateArg, AggregateFunction, ArgType, Category, LambdaTypes, ResolvedAggregate, ResolvedScalar,
    ResolvedTable, ScalarFunction, Signature, TableFunction,
};

/// The functions statements can call. A name is a scalar, an aggregate or a table function.
#[derive(Clone, Debug, Default)]
pub struct FunctionRegistry {
    /// Shared, since sessions have them with settings of their own.
    functions: Arc<BTreeMap<String, Function>>,
    properties: Arc<BTreeMap<String, String>>,
}

#[derive(Clone, Debug)]
enum Function {
    Scalar(Arc<ScalarFunction>),
    Aggregate(Arc<AggregateFunction>),
    Table(Arc<TableFunction>),
}

/// Kinds of function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionKind {
    /// One value per row.
    Scalar,
    /// One value per group.
    Aggregate,
    /// Any number of rows per row.
    Table,
}

impl fmt::Display for FunctionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "SCALAR",
            Self::Aggregate => "AGGREGATE",
            Self::Table => "TABLE",
        })
    }
}

/// What SHOW FUNCTIONS and DESCRIBE FUNCTION tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionInfo {
    /// The name.
    pub name: String,
    /// Scalar, aggregate or table.
    pub kind: FunctionKind,
    /// What it is about.
    pub category: Category,
    /// What it does.
    pub description: String,
    /// How it can be called.
    pub signatures: Vec<Signature>,
}

/// As DESCRIBE FUNCTION shows it.
impl fmt::Display for FunctionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Name        : {}", self.name)?;
        writeln!(f, "Overview    : {}", self.description)?;
        writeln!(f, "Type        : {}", self.kind)?;
        writeln!(f, "Category    : {}", self.category)?;
        f.write_str("Variations  :")?;
        for signature in &self.signatures {
            write!(f, "\n\n\tVariation   : {}{signature}\n\tReturns     : {}", self.name, signature.returns)?;
        }
        Ok(())
    }
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

    /// The same functions with these settings: those whose names begin with `ksql.functions.` are theirs.
    #[must_use]
    pub fn with_properties<'a>(&self, properties: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let own = properties.into_iter().filter(|(name, _)| name.starts_with("ksql.functions."));
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { functions: self.functions.clone(), properties: Arc::new(own.collect()) }
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

    /// Adds a table function.
    ///
    /// Fails if the name is taken or not a name, or if a signature cannot be read.
    pub fn register_table(&mut self, function: TableFunction) -> Result<(), SqlError> {
        let (name, defect) = (function.name.clone(), function.defect.clone());
        self.insert(name, defect, function.signatures.len(), Function::Table(Arc::new(function)))
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
        Arc::make_mut(&mut self.functions).insert(name, function);
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
        self.resolve_scalar_with(name, args, &mut |_, _| {
            Err(SqlError::invalid("a lambda cannot be used here").at(name.span))
        })
    }

    /// As [`resolve_scalar`](Self::resolve_scalar), for a call with lambdas: `lambdas` is asked for the type that the one
    /// at a position returns, given the types of its parameters.
    pub fn resolve_scalar_with(
        &self,
        name: &Ident,
        args: &[ArgType],
        lambdas: LambdaTypes<'_>,
    ) -> Result<ResolvedScalar, SqlError> {
        match self.find(name)? {
            Function::Scalar(function) => function.resolve(args, lambdas).map_err(|e| e.at(name.span)),
            other => Err(SqlError::invalid(format!(
                "{} function '{}' cannot be used here",
                other.kind().to_string().to_lowercase(),
                name.name
            ))
            .at(name.span)),
        }
    }

    /// The table function and its form that a call means.
    ///
    /// Fails, pointing at `name`, if there is none.
    pub fn resolve_table(&self, name: &Ident, args: &[ArgType]) -> Result<ResolvedTable, SqlError> {
        match self.find(name)? {
            Function::Table(function) => function.resolve(args).map_err(|e| e.at(name.span)),
            _ => Err(SqlError::invalid(format!("'{}' is not a table function", name.name)).at(name.span)),
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
            Function::Aggregate(function) => {
                function.resolve(args, &self.properties).map_err(|e| e.at(name.span))
            }
            _ => {
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
            SqlError::invalid(format!("Can't find any functions with the name '{}'", name.name))
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
            Self::Table(_) => FunctionKind::Table,
        }
    }

    fn info(&self) -> FunctionInfo {
        let (name, category, description, signatures) = match self {
            Self::Scalar(f) => (&f.name, f.category, &f.description, &f.signatures),
            Self::Aggregate(f) => (&f.name, f.category(), &f.description, &f.signatures),
            Self::Table(f) => (&f.name, f.category(), &f.description, &f.signatures),
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
