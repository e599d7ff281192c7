//! Aggregate functions: one value per group, from all rows of the group.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayRef;

use crate::ast::Literal;
use crate::error::SqlError;
use crate::function::fold::Folding;
use crate::function::resolve::{Casts, Match, resolve};
use crate::function::{ArgType, Category, Fold, Signature};
use crate::types::SqlType;

/// The states of one aggregate for many groups, each in a slot of its own.
///
/// A slot starts in the empty state. Rows are given a batch at a time: row `i` belongs to `slots[i]`, in order. The
/// arguments are the columns that [`ResolvedAggregate::arg_types`] names.
pub trait Accumulator: Send {
    /// Makes at least `slots` slots; new ones are empty.
    fn resize(&mut self, slots: usize);

    /// Empties a slot.
    fn reset(&mut self, slot: usize);

    /// Adds rows.
    fn update(&mut self, slots: &[u32], args: &[ArrayRef]) -> Result<(), SqlError>;

    /// Adds rows and returns the value of each row's slot right after that row.
    fn update_running(&mut self, slots: &[u32], args: &[ArrayRef]) -> Result<ArrayRef, SqlError>;

    /// The values of these slots.
    fn result(&self, slots: &[u32]) -> Result<ArrayRef, SqlError>;

    /// Takes rows away again that were added before. Only where [`ResolvedAggregate::supports_tables`].
    fn undo(&mut self, slots: &[u32], args: &[ArrayRef]) -> Result<(), SqlError>;

    /// Adds what `from` holds to `into`, as when two sessions turn out to be one; `into` is the earlier one.
    fn merge(&mut self, into: usize, from: usize) -> Result<(), SqlError>;

    /// Appends a slot's state to `out`, for the state store.
    fn save(&self, slot: usize, out: &mut Vec<u8>);

    /// Sets a slot to the state at the start of `bytes`, and moves `bytes` behind it.
    fn load(&mut self, slot: usize, bytes: &mut &[u8]) -> Result<(), SqlError>;
}

/// One form of an aggregate in use: what its accumulator is made from.
#[derive(Debug)]
pub struct AggregateCall<'a> {
    /// The types of the columns aggregated.
    pub arg_types: &'a [SqlType],
    /// The literal arguments behind them.
    pub literals: &'a [Literal],
    /// The type of the result.
    pub return_type: &'a SqlType,
    name: &'a str,
    properties: &'a Properties,
}

impl AggregateCall<'_> {
    /// A property of the function: the value of `ksql.functions.<function>.<name>`, or else of
    /// `ksql.functions._global_.<name>`.
    pub fn property(&self, name: &str) -> Option<&str> {
        let of = |owner: &str| self.properties.get(&format!("ksql.functions.{owner}.{name}"));
        of(&self.name.to_lowercase()).or_else(|| of("_global_")).map(String::as_str)
    }
}

/// Settings whose names begin with `ksql.functions.`.
pub(super) type Properties = BTreeMap<String, String>;

type Create = Arc<dyn Fn(&AggregateCall<'_>) -> Result<Box<dyn Accumulator>, SqlError> + Send + Sync>;
type TypeOf = Arc<dyn Fn(&[SqlType]) -> SqlType + Send + Sync>;

/// An aggregate function: a name, and one or more forms.
#[derive(Clone)]
pub struct AggregateFunction {
    pub(super) name: String,
    shown: String,
    pub(super) description: String,
    pub(super) signatures: Vec<Signature>,
    forms: Vec<Form>,
    pub(super) defect: Option<String>,
}

#[derive(Clone)]
struct Form {
    create: Create,
    return_type: Option<TypeOf>,
    state_type: Option<TypeOf>,
    supports_tables: bool,
}

impl AggregateFunction {
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

    /// Adds forms, written as [`Signature`] says, and what makes their accumulators.
    ///
    /// Literal parameters come last: they are given to `create` when the function is called, not with the rows. A
    /// signature that cannot be read is an error when the function is registered.
    #[must_use]
    pub fn forms(
        mut self,
        signatures: &[&str],
        create: impl Fn(&AggregateCall<'_>) -> Result<Box<dyn Accumulator>, SqlError> + Send + Sync + 'static,
    ) -> Self {
        let create: Create = Arc::new(create);
        for signature in signatures {
            match signature.parse() {
                Ok(signature) => {
                    self.signatures.push(signature);
                    self.forms.push(Form {
                        create: Arc::clone(&create),
                        return_type: None,
                        state_type: None,
                        supports_tables: false,
                    });
                }
                Err(error) => {
                    self.defect.get_or_insert(error.to_string());
                }
            }
        }
        self
    }

    /// Adds forms, written as [`Signature`] says, and what makes the fold that computes them.
    #[must_use]
    pub fn fold<F: Fold>(
        self,
        signatures: &[&str],
        create: impl Fn(&AggregateCall<'_>) -> Result<F, SqlError> + Send + Sync + 'static,
    ) -> Self {
        self.forms(signatures, move |call| create(call).map(Folding::boxed))
    }

    /// The return type of the form added last, from the types of all arguments, in place of what its signature says.
    #[must_use]
    pub fn returning(mut self, return_type: impl Fn(&[SqlType]) -> SqlType + Send + Sync + 'static) -> Self {
        if let Some(form) = self.forms.last_mut() {
            form.return_type = Some(Arc::new(return_type));
        }
        self
    }

    /// What ksqlDB would keep per group in all forms so far, from the types of the columns: where a state would not
    /// fit into a topic's format, the query is refused. The type of the result unless said.
    #[must_use]
    pub fn state_type(mut self, state: impl Fn(&[SqlType]) -> SqlType + Send + Sync + 'static) -> Self {
        let state: TypeOf = Arc::new(state);
        self.forms.iter_mut().for_each(|form| form.state_type = Some(Arc::clone(&state)));
        self
    }

    /// The accumulators of all forms so far can undo, so that they may aggregate a table.
    #[must_use]
    pub fn supports_tables(mut self) -> Self {
        self.forms.iter_mut().for_each(|form| form.supports_tables = true);
        self
    }

    /// What it is about.
    pub(super) fn category(&self) -> Category {
        Category::Aggregate
    }

    /// The form that fits these arguments.
    pub(super) fn resolve(
        &self,
        args: &[AggregateArg],
        properties: &Arc<Properties>,
    ) -> Result<ResolvedAggregate, SqlError> {
        let types: Vec<ArgType> = args.iter().map(|arg| arg.ty.clone()).collect();
        let mut no_lambdas = |_: usize, _: &[SqlType]| {
            Err(SqlError::invalid(format!("aggregate function '{}' takes no lambda", self.shown)))
        };
        let Match { form, mut arg_types, mut return_type } =
            resolve(&self.shown, &self.signatures, &types, Casts::Never, &mut no_lambdas)?;
        let signature = &self.signatures[form];
        let form = &self.forms[form];
        if let Some(computed) = &form.return_type {
            return_type = computed(&arg_types);
        }
        let mut literals = Vec::new();
        for (i, arg) in args.iter().enumerate() {
            if !signature.parameter(i, args.len()).is_some_and(|p| p.literal) {
                continue;
            }
            literals.push(arg.literal.clone().ok_or_else(|| {
                SqlError::invalid(format!(
                    "Parameter {} of function {} must be a constant",
                    i + 1,
                    self.shown
                ))
            })?);
        }
        arg_types.truncate(args.len() - literals.len());
        let state_type = match &form.state_type {
            Some(state) => state(&arg_types),
            None => return_type.clone(),
        };
        let resolved = ResolvedAggregate {
            name: self.name.clone(),
            arg_types,
            literals,
            return_type,
            state_type,
            supports_tables: form.supports_tables,
            create: Arc::clone(&form.create),
            properties: Arc::clone(properties),
        };
        // Literals that make no sense are found here, not when the first record comes.
        resolved.accumulator()?;
        Ok(resolved)
    }
}

impl fmt::Debug for AggregateFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AggregateFunction")
            .field("name", &self.name)
            .field("signatures", &self.signatures)
            .finish_non_exhaustive()
    }
}

/// An argument of an aggregate.
#[derive(Clone, Debug, PartialEq)]
pub struct AggregateArg {
    /// Its type.
    pub ty: ArgType,
    /// Its value, if it is a literal.
    pub literal: Option<Literal>,
}

/// The form of an aggregate that a call means.
#[derive(Clone)]
pub struct ResolvedAggregate {
    name: String,
    arg_types: Vec<SqlType>,
    literals: Vec<Literal>,
    return_type: SqlType,
    state_type: SqlType,
    supports_tables: bool,
    create: Create,
    properties: Arc<Properties>,
}

impl ResolvedAggregate {
    /// The function's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The types of the columns it aggregates: those of its first arguments. The literals behind them it keeps itself.
    pub fn arg_types(&self) -> &[SqlType] {
        &self.arg_types
    }

    /// The type of the result.
    pub fn return_type(&self) -> &SqlType {
        &self.return_type
    }

    /// What ksqlDB keeps per group: a topic's format must be able to hold it.
    pub fn state_type(&self) -> &SqlType {
        &self.state_type
    }

    /// Whether its accumulators can [undo](Accumulator::undo).
    pub fn supports_tables(&self) -> bool {
        self.supports_tables
    }

    /// An accumulator without slots.
    pub fn accumulator(&self) -> Result<Box<dyn Accumulator>, SqlError> {
        let Self { arg_types, literals, return_type, name, properties, .. } = self;
        (self.create)(&AggregateCall { arg_types, literals, return_type, name, properties })
    }
}

impl fmt::Debug for ResolvedAggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolvedAggregate")
            .field("name", &self.name)
            .field("arg_types", &self.arg_types)
            .field("literals", &self.literals)
            .field("return_type", &self.return_type)
            .finish_non_exhaustive()
    }
}
