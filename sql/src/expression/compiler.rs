//! From written expressions to typed DataFusion expressions.

use std::any::Any;

use arrow::datatypes::Fields;
use datafusion::{
    common::Column,
    logical_expr::{Expr as Planned, expr::Case, lit},
    scalar::ScalarValue,
};

use super::{
    arithmetic::Arithmetic,
    call, cast,
    coercion::bad_input,
    comparison::Comparison,
    datetime,
    operation::{Operation, OperationKind},
    row_errors::RowErrors,
};
use crate::{
    ast::{BinaryOp, Expr, ExprKind, Ident, Literal, Span, TypeRef, UnaryOp},
    decimal,
    error::SqlError,
    function::FunctionRegistry,
    types::{SqlType, StructField},
};

/// Where an expression's names come from.
pub(crate) trait Names {
    /// The column meant by `name` or `source.name`: its unique name in the batch, and its type.
    fn column(&self, source: Option<&Ident>, name: &Ident) -> Result<(String, SqlType), SqlError>;

    /// A column that holds the value of the whole expression already, as grouping expressions and aggregates do.
    fn computed(&self, _expr: &Expr) -> Option<(String, SqlType)> {
        None
    }

    /// The type that a custom type name stands for.
    fn custom_type(&self, _name: &str) -> Option<SqlType> {
        None
    }

    /// An expression as messages show it.
    fn shown(&self, expr: &Expr) -> String {
        expr.to_string()
    }
}

/// No columns at all: for constants.
pub(crate) struct NoNames;

impl Names for NoNames {
    fn column(&self, _: Option<&Ident>, name: &Ident) -> Result<(String, SqlType), SqlError> {
        Err(SqlError::invalid(format!("a constant is expected here, but '{name}' is a column")).at(name.span))
    }
}

/// A planned expression and its type; an untyped NULL has none.
#[derive(Clone, Debug)]
pub(crate) struct Typed {
    /// What DataFusion evaluates.
    pub(crate) expr: Planned,
    /// Its type.
    pub(crate) ty: Option<SqlType>,
    /// Where it stands.
    pub(crate) span: Span,
}

impl Typed {
    /// The type, or an error that asks for a cast.
    pub(crate) fn known_type(&self) -> Result<&SqlType, SqlError> {
        self.ty.as_ref().ok_or_else(|| {
            SqlError::invalid(
                "Can't infer a type of null. Please explicitly cast it to a required type, e.g. CAST(null AS VARCHAR).",
            )
            .at(self.span)
        })
    }

    fn shown_type(&self) -> String {
        self.ty.as_ref().map_or_else(|| "NULL".to_owned(), SqlType::to_string)
    }
}

/// A column by its unique name.
pub(crate) fn column(name: &str) -> Planned {
    Planned::Column(Column::new_unqualified(name))
}

/// Compiles expressions over one set of names.
pub(crate) struct Compiler<'a> {
    functions: &'a FunctionRegistry,
    names: &'a dyn Names,
    errors: RowErrors,
}

impl<'a> Compiler<'a> {
    /// A compiler whose expressions leave their row errors in `errors`.
    pub(crate) fn new(functions: &'a FunctionRegistry, names: &'a dyn Names, errors: RowErrors) -> Self {
        Self { functions, names, errors }
    }

    /// A compiler for constants.
    pub(crate) fn constants(functions: &'a FunctionRegistry) -> Self {
        Self::new(functions, &NoNames, RowErrors::default())
    }

    /// The same compiler over other names.
    pub(super) fn over<'b>(&self, names: &'b dyn Names) -> Compiler<'b>
    where
        'a: 'b,
    {
        Compiler { functions: self.functions, names, errors: self.errors.clone() }
    }

    /// The names around.
    pub(super) fn names(&self) -> &'a dyn Names {
        self.names
    }

    /// The functions that calls are resolved with.
    pub(crate) fn functions(&self) -> &FunctionRegistry {
        self.functions
    }

    /// Where row errors go.
    pub(crate) fn errors(&self) -> &RowErrors {
        &self.errors
    }

    /// Compiles an expression that must be a truth value, for `clause` (WHERE, HAVING).
    pub(crate) fn condition(&self, expr: &Expr, clause: &str) -> Result<Planned, SqlError> {
        if let ExprKind::Binary { op: BinaryOp::And, left, right } = &expr.kind
            && self.names.computed(expr).is_none()
        {
            // Here NULL and false are one, and conditions that are only joined by AND can be used one by one.
            return Ok(self.condition(left, clause)?.and(self.condition(right, clause)?));
        }
        let typed = self.compile(expr).map_err(|error| {
            let coercion = error.problem().is_some_and(|problem| is_coercion(&problem.message));
            match coercion {
                true => error.prefixed("Invalid Predicate: "),
                false => error.prefixed(&format!("Error in {clause} expression: ")),
            }
        })?;
        match &typed.ty {
            Some(SqlType::Boolean) => Ok(typed.expr),
            _ => Err(SqlError::invalid(format!(
                "Type error in {clause} expression: Should evaluate to boolean but is {expr} ({}) instead.",
                typed.shown_type()
            ))
            .at(expr.span)
            .hint(format!("compare {expr} with something, for example {expr} = ..."))),
        }
    }

    /// Compiles an item of a SELECT list.
    pub(crate) fn select(&self, expr: &Expr) -> Result<Typed, SqlError> {
        self.compile(expr).map_err(|error| match error.problem() {
            Some(problem) if is_coercion(&problem.message) => error.prefixed("Invalid Select: "),
            _ => error,
        })
    }

    /// Compiles any expression.
    pub(crate) fn compile(&self, expr: &Expr) -> Result<Typed, SqlError> {
        if let Some((name, ty)) = self.names.computed(expr) {
            return Ok(Typed { expr: column(&name), ty: Some(ty), span: expr.span });
        }
        let typed =
            |planned: Planned, ty: SqlType| Ok(Typed { expr: planned, ty: Some(ty), span: expr.span });
        match &expr.kind {
            ExprKind::Literal(literal) => Ok(Self::literal(literal, expr.span)),
            ExprKind::TimeUnit(unit) => {
                Err(SqlError::invalid(format!("{unit} is a unit of time, not a value")).at(expr.span))
            }
            ExprKind::Column { source, name } => {
                let (name, ty) = self.names.column(source.as_ref(), name)?;
                typed(column(&name), ty)
            }
            ExprKind::Dereference { base, field } => self.dereference(expr, base, field),
            ExprKind::Subscript { base, index } => self.subscript(expr, base, index),
            ExprKind::Unary { op, operand } => {
                let operand = self.compile(operand)?;
                let ty = operand.known_type()?.clone();
                if !ty.is_numeric() {
                    let sign = if *op == UnaryOp::Minus { "-" } else { "+" };
                    return Err(SqlError::invalid(format!("{sign} needs a number, not {ty}")).at(expr.span));
                }
                match op {
                    UnaryOp::Plus => typed(operand.expr, ty),
                    UnaryOp::Minus => {
                        typed(self.operation(OperationKind::Negate, vec![operand.expr], &ty), ty)
                    }
                }
            }
            ExprKind::Binary { op: BinaryOp::And, left, right } => {
                let (left, right) = (self.truth(left)?, self.truth(right)?);
                typed(known_first(left, |left| left.and(right)), SqlType::Boolean)
            }
            ExprKind::Binary { op: BinaryOp::Or, left, right } => {
                let (left, right) = (self.truth(left)?, self.truth(right)?);
                typed(known_first(left, |left| left.or(right)), SqlType::Boolean)
            }
            ExprKind::Binary { op, left, right } if op.is_arithmetic() => {
                self.arithmetic(expr, arithmetic_operator(*op), left, right)
            }
            ExprKind::Binary { op, left, right } => {
                typed(self.comparison(expr, comparison_operator(*op), left, right)?, SqlType::Boolean)
            }
            ExprKind::Not(operand) => typed(Planned::Not(Box::new(self.truth(operand)?)), SqlType::Boolean),
            ExprKind::IsNull { operand, negated } => {
                let operand = Box::new(self.compile(operand)?.expr);
                typed(
                    if *negated { Planned::IsNotNull(operand) } else { Planned::IsNull(operand) },
                    SqlType::Boolean,
                )
            }
            ExprKind::Between { operand, low, high, negated } => {
                let low = self.comparison(expr, Comparison::GreaterOrEqual, operand, low)?;
                let high = self.comparison(expr, Comparison::LessOrEqual, operand, high)?;
                let both = low.and(high);
                typed(if *negated { Planned::Not(Box::new(both)) } else { both }, SqlType::Boolean)
            }
            ExprKind::In { operand, list, negated } => {
                let exprs: Vec<&Expr> = std::iter::once(&**operand).chain(list).collect();
                let Some((ty, mut items)) = self.common(&exprs)? else {
                    return typed(lit(*negated), SqlType::Boolean);
                };
                let operand = items.remove(0);
                if matches!(ty, SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(_)) {
                    let equals = |item: Planned| {
                        let equal = OperationKind::Comparison(Comparison::Equal);
                        self.operation(equal, vec![operand.clone(), item], &SqlType::Boolean)
                    };
                    let found =
                        items.into_iter().map(equals).reduce(Planned::or).unwrap_or_else(|| lit(false));
                    return typed(
                        if *negated { Planned::Not(Box::new(found)) } else { found },
                        SqlType::Boolean,
                    );
                }
                let list = operand.in_list(items, false);
                // NULL never matches, so an unknown outcome is false.
                let found = Planned::IsTrue(Box::new(list));
                typed(if *negated { Planned::Not(Box::new(found)) } else { found }, SqlType::Boolean)
            }
            ExprKind::Like { operand, pattern, escape, negated } => {
                let sides = [self.compile(operand)?, self.compile(pattern)?];
                for side in &sides {
                    if side.known_type()? != &SqlType::String {
                        let message = format!(
                            "The column type for Like condition must be VARCHAR. The column type is {}",
                            side.shown_type()
                        );
                        return Err(SqlError::invalid(message).at(side.span));
                    }
                }
                let sides = sides.map(|side| side.expr).to_vec();
                let like = self.operation(OperationKind::Like { escape: *escape }, sides, &SqlType::Boolean);
                typed(if *negated { Planned::Not(Box::new(like)) } else { like }, SqlType::Boolean)
            }
            ExprKind::Case { operand: Some(_), .. } => {
                Err(SqlError::unsupported("CASE with an operand is not supported by this version")
                    .at(expr.span)
                    .hint("write CASE WHEN x = v THEN .. END"))
            }
            ExprKind::Case { operand: None, branches, otherwise } => {
                let mut conditions = Vec::with_capacity(branches.len());
                let mut results = Vec::with_capacity(branches.len() + 1);
                for branch in branches {
                    conditions.push(self.truth(&branch.when)?);
                    results.push(self.compile(&branch.then)?);
                }
                if let Some(otherwise) = otherwise {
                    results.push(self.compile(otherwise)?);
                }
                self.case(expr, conditions, results)
            }
            ExprKind::Cast { operand, to } => {
                let operand = self.compile(operand)?;
                let to = self.resolve_type(to)?;
                if let Some(from) = &operand.ty
                    && !cast::castable(from, &to)
                {
                    return Err(
                        SqlError::invalid(format!("Cast of {from} to {to} is not supported")).at(expr.span)
                    );
                }
                if operand.ty.as_ref() == Some(&to) {
                    return typed(operand.expr, to);
                }
                typed(self.operation(OperationKind::Cast, vec![operand.expr], &to), to)
            }
            ExprKind::Call { name, args } => call::compile(self, expr, name, args),
            ExprKind::Lambda { .. } => {
                Err(SqlError::invalid("a lambda stands among the arguments of a function only").at(expr.span))
            }
            ExprKind::Array(items) => {
                let items: Vec<&Expr> = items.iter().collect();
                let (ty, items) = self.common_or(&items, expr, "an array", "elements")?;
                Ok(self.array(expr, typed_all(items, &ty, expr), &ty))
            }
            ExprKind::Map(entries) => {
                let keys: Vec<&Expr> = entries.iter().map(|(key, _)| key).collect();
                let values: Vec<&Expr> = entries.iter().map(|(_, value)| value).collect();
                let (key, keys) = self.common_or(&keys, expr, "a map", "keys")?;
                let (value, values) = self.common_or(&values, expr, "a map", "values")?;
                let (keys, values) = (typed_all(keys, &key, expr), typed_all(values, &value, expr));
                Ok(self.map(expr, (keys, &key), (values, &value)))
            }
            ExprKind::Struct(written) => {
                let mut fields: Vec<StructField> = Vec::with_capacity(written.len());
                let mut values = Vec::with_capacity(written.len());
                for (name, value) in written {
                    if fields.iter().any(|field| field.name == name.name) {
                        return Err(SqlError::invalid(format!(
                            "Duplicate field names found in STRUCT: '{expr}'"
                        ))
                        .at(name.span));
                    }
                    let value = self.compile(value)?;
                    fields.push(StructField { name: name.name.clone(), ty: value.known_type()?.clone() });
                    values.push(value);
                }
                Ok(self.structure(expr, values, fields))
            }
        }
    }

    /// The items of a constructor and their common type, which must be known.
    fn common_or(
        &self,
        items: &[&Expr],
        expr: &Expr,
        what: &str,
        parts: &str,
    ) -> Result<(SqlType, Vec<Planned>), SqlError> {
        self.common(items)?.ok_or_else(|| {
            SqlError::invalid(format!(
                "Cannot construct {what} with all NULL {parts} (see https://github.com/confluentinc/ksql/issues/4239). \
                 As a workaround, you may cast a NULL value to the desired type."
            ))
            .at(expr.span)
        })
    }

    /// `ARRAY[..]` of items of one type.
    pub(super) fn array(&self, expr: &Expr, items: Vec<Typed>, item: &SqlType) -> Typed {
        let ty = SqlType::Array(Box::new(item.clone()));
        let items = items.into_iter().map(|item| self.attempt(item)).collect();
        Typed { expr: self.operation(OperationKind::Array, items, &ty), ty: Some(ty), span: expr.span }
    }

    /// `MAP(..)` of keys of one type and values of one type.
    pub(super) fn map(
        &self,
        expr: &Expr,
        (keys, key): (Vec<Typed>, &SqlType),
        (values, value): (Vec<Typed>, &SqlType),
    ) -> Typed {
        let ty = SqlType::Map(Box::new(key.clone()), Box::new(value.clone()));
        let args = keys.into_iter().chain(values).map(|part| self.attempt(part)).collect();
        Typed { expr: self.operation(OperationKind::Map, args, &ty), ty: Some(ty), span: expr.span }
    }

    /// `STRUCT(..)`.
    pub(super) fn structure(&self, expr: &Expr, values: Vec<Typed>, fields: Vec<StructField>) -> Typed {
        let arrow: Fields = fields.iter().map(StructField::to_arrow).collect();
        let ty = SqlType::Struct(fields);
        let values = values.into_iter().map(|value| self.attempt(value)).collect();
        Typed {
            expr: self.operation(OperationKind::Struct(arrow), values, &ty),
            ty: Some(ty),
            span: expr.span,
        }
    }

    /// The expression, NULL by itself where it fails.
    fn attempt(&self, typed: Typed) -> Planned {
        let Some(ty) = typed.ty.as_ref().filter(|_| !call::is_simple(&typed.expr)) else { return typed.expr };
        let mark = self.operation(OperationKind::Mark, Vec::new(), &SqlType::Bigint);
        self.operation(OperationKind::Attempt, vec![mark, typed.expr], ty)
    }

    /// The type as written, with custom names looked up.
    pub(crate) fn resolve_type(&self, ty: &TypeRef) -> Result<SqlType, SqlError> {
        ty.resolve(&|name| self.names.custom_type(name))
    }

    /// An operation over compiled arguments.
    pub(crate) fn operation(&self, kind: OperationKind, args: Vec<Planned>, result: &SqlType) -> Planned {
        Operation::expr(kind, args, result.to_arrow(), &self.errors)
    }

    /// Brings an expression to another type; a constant is converted now, so that bad ones are found here.
    pub(crate) fn coerce(&self, typed: Typed, to: &SqlType) -> Result<Typed, SqlError> {
        if typed.ty.as_ref() == Some(to) {
            return Ok(typed);
        }
        let arrow = to.to_arrow();
        let expr = match &typed.expr {
            Planned::Literal(value, _) => {
                let errors = RowErrors::default();
                let array = cast::cast(&value.to_array()?, &arrow, &errors)?;
                if let Some((_, messages)) = errors.drain() {
                    return Err(match value {
                        ScalarValue::Utf8(Some(text)) => bad_input(to, text, typed.span),
                        _ => SqlError::invalid(messages.join("; ")).at(typed.span),
                    });
                }
                Planned::Literal(ScalarValue::try_from_array(&array, 0)?, None)
            }
            _ => Operation::expr(OperationKind::Cast, vec![typed.expr], arrow, &self.errors),
        };
        Ok(Typed { expr, ty: Some(to.clone()), span: typed.span })
    }

    fn literal(literal: &Literal, span: Span) -> Typed {
        let (value, ty) = match literal {
            Literal::Null => (ScalarValue::Null, None),
            Literal::Boolean(value) => (ScalarValue::from(*value), Some(SqlType::Boolean)),
            Literal::Int(value) => (ScalarValue::from(*value), Some(SqlType::Int)),
            Literal::Bigint(value) => (ScalarValue::from(*value), Some(SqlType::Bigint)),
            Literal::Decimal { unscaled, precision, scale } => (
                decimal::scalar(*unscaled, *precision, *scale),
                Some(SqlType::Decimal { precision: *precision, scale: *scale }),
            ),
            Literal::Double(value) => (ScalarValue::from(*value), Some(SqlType::Double)),
            Literal::String(value) => (ScalarValue::from(value.as_str()), Some(SqlType::String)),
        };
        Typed { expr: Planned::Literal(value, None), ty, span }
    }

    /// A BOOLEAN operand of AND, OR, NOT.
    fn truth(&self, expr: &Expr) -> Result<Planned, SqlError> {
        let typed = self.compile(expr)?;
        match &typed.ty {
            Some(SqlType::Boolean) if never_null(&typed.expr) => Ok(typed.expr),
            Some(SqlType::Boolean) => {
                Ok(self.operation(OperationKind::Truth, vec![typed.expr], &SqlType::Boolean))
            }
            _ => {
                Err(SqlError::invalid(format!("{expr} is {}, not BOOLEAN", typed.shown_type())).at(expr.span))
            }
        }
    }

    fn dereference(&self, expr: &Expr, base: &Expr, field: &Ident) -> Result<Typed, SqlError> {
        let typed = self.compile(base)?;
        let SqlType::Struct(fields) = typed.known_type()? else {
            let message = format!("{base} is {}, not a STRUCT: it has no field {field}", typed.shown_type());
            return Err(SqlError::invalid(message).at(expr.span));
        };
        let Some(place) = fields.iter().position(|known| known.name == field.name) else {
            let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
            return Err(SqlError::invalid(format!("Could not find field '{}' in '{base}'.", field.name))
                .at(field.span)
                .hint_nearest(&field.name, &names, "its fields are"));
        };
        let ty = fields[place].ty.clone();
        let kind = OperationKind::Field { place, name: field.name.clone() };
        Ok(Typed { expr: self.operation(kind, vec![typed.expr], &ty), ty: Some(ty), span: expr.span })
    }

    fn subscript(&self, expr: &Expr, base: &Expr, index: &Expr) -> Result<Typed, SqlError> {
        let (base, index) = (self.compile(base)?, self.compile(index)?);
        let ty = match base.known_type()? {
            SqlType::Array(item) if matches!(index.ty, Some(SqlType::Int | SqlType::Bigint)) => {
                (**item).clone()
            }
            SqlType::Map(key, value) if index.ty.as_ref() == Some(&**key) => (**value).clone(),
            SqlType::Struct(_) => {
                return Err(SqlError::invalid("a STRUCT has no items")
                    .at(expr.span)
                    .hint("write struct->field"));
            }
            other => {
                let message = format!("cannot take item {} of {other}", index.shown_type());
                return Err(SqlError::invalid(message).at(index.span));
            }
        };
        let args = vec![base.expr, index.expr];
        Ok(Typed { expr: self.operation(OperationKind::Subscript, args, &ty), ty: Some(ty), span: expr.span })
    }

    fn arithmetic(&self, expr: &Expr, op: Arithmetic, left: &Expr, right: &Expr) -> Result<Typed, SqlError> {
        let (left, right) = (self.compile(left)?, self.compile(right)?);
        if left.ty.is_none() || right.ty.is_none() {
            let shown = |side: &Typed| side.ty.as_ref().map_or_else(|| "null".to_owned(), SqlType::to_string);
            return Err(SqlError::invalid(format!(
                "Error processing expression: {expr}. Arithmetic on types {} and {} are not supported.",
                shown(&left),
                shown(&right)
            ))
            .at(expr.span)
            .hint("give NULL a type: CAST(NULL AS INTEGER)"));
        }
        let ty = match (left.known_type()?, right.known_type()?) {
            (SqlType::String, SqlType::String) if op == Arithmetic::Add => SqlType::String,
            (SqlType::Double, other) | (other, SqlType::Double) if other.is_numeric() => SqlType::Double,
            (SqlType::Int, SqlType::Int) => SqlType::Int,
            (SqlType::Int | SqlType::Bigint, SqlType::Int | SqlType::Bigint) => SqlType::Bigint,
            (a, b) => match (a.as_decimal(), b.as_decimal()) {
                (Some((p1, s1)), Some((p2, s2))) => {
                    let side = |p: u8, s: i8| (u32::from(p), u32::from(s.unsigned_abs()));
                    decimal_result(op.decimal_result(side(p1, s1), side(p2, s2)))
                        .map_err(|error| error.at(expr.span))?
                }
                _ => {
                    let message = format!(
                        "Error processing expression: {expr}. Unsupported arithmetic types. {} {}",
                        base_name(a),
                        base_name(b)
                    );
                    return Err(SqlError::invalid(message)
                        .at(expr.span)
                        .hint("cast one side to the other's type"));
                }
            },
        };
        let sides = vec![left.expr, right.expr];
        Ok(Typed {
            expr: self.operation(OperationKind::Arithmetic(op), sides, &ty),
            ty: Some(ty),
            span: expr.span,
        })
    }

    fn comparison(
        &self,
        expr: &Expr,
        op: Comparison,
        left: &Expr,
        right: &Expr,
    ) -> Result<Planned, SqlError> {
        let (mut typed_left, mut typed_right) = (self.compile(left)?, self.compile(right)?);
        for (side, typed) in [(left, &typed_left), (right, &typed_right)] {
            if typed.ty.is_none() {
                return Err(SqlError::invalid(format!(
                    "Comparison with NULL not supported: {} {} {}\nUse 'IS NULL' or 'IS NOT NULL' instead.",
                    typed_left.shown_type(),
                    op.symbol(),
                    typed_right.shown_type()
                ))
                .at(side.span));
            }
        }
        // Timestamps written as text are understood next to the time columns.
        if is_time_column(left) {
            typed_right = magic_timestamp(right, typed_right)?;
        }
        if is_time_column(right) {
            typed_left = magic_timestamp(left, typed_left)?;
        }
        let (a, b) = (typed_left.known_type()?.clone(), typed_right.known_type()?.clone());
        use SqlType::{Array, Boolean, Date, Map, String, Struct, Time, Timestamp};
        let common = match (&a, &b) {
            (a, b) if a.is_numeric() && b.is_numeric() => None,
            (String, time @ (Date | Time | Timestamp)) | (time @ (Date | Time | Timestamp), String) => {
                Some(time.clone())
            }
            (Date, Timestamp) | (Timestamp, Date) => Some(Timestamp),
            (Boolean | Array(_) | Map(..) | Struct(_), _) if a == b && op.is_equality() => None,
            (Boolean | Array(_) | Map(..) | Struct(_), _) => {
                return Err(self.cannot_compare(expr, (left, &a), (right, &b), op));
            }
            (a, b) if a == b => None,
            _ => return Err(self.cannot_compare(expr, (left, &a), (right, &b), op)),
        };
        if let Some(common) = common {
            typed_left = self.coerce(typed_left, &common)?;
            typed_right = self.coerce(typed_right, &common)?;
        }
        let sides = vec![typed_left.expr, typed_right.expr];
        Ok(self.operation(OperationKind::Comparison(op), sides, &Boolean))
    }

    fn cannot_compare(
        &self,
        expr: &Expr,
        (left, a): (&Expr, &SqlType),
        (right, b): (&Expr, &SqlType),
        op: Comparison,
    ) -> SqlError {
        let (left, right) = (self.names.shown(left), self.names.shown(right));
        let message = format!("Cannot compare {left} ({a}) to {right} ({b}) with {}.", op.name());
        SqlError::invalid(message).at(expr.span).hint(match a == b {
            true => "only = and <> are defined on this type",
            false => "cast one side to the other's type",
        })
    }

    fn case(&self, expr: &Expr, conditions: Vec<Planned>, results: Vec<Typed>) -> Result<Typed, SqlError> {
        let Some(ty) = results.iter().find_map(|result| result.ty.clone()) else {
            return Err(SqlError::invalid("Invalid Case expression. All case branches have a NULL type")
                .at(expr.span)
                .hint("cast one of them"));
        };
        let branches = conditions.len();
        let mut planned = Vec::with_capacity(results.len());
        for (place, result) in results.into_iter().enumerate() {
            if let Some(other) = &result.ty
                && *other != ty
            {
                let what = match place < branches {
                    true => format!(
                        "Type for all 'THEN' clauses should be the same.\nTHEN type: {other}.\nPrevious THEN type: {ty}."
                    ),
                    false => format!(
                        "Type for the default clause should be the same as for 'THEN' clauses.\n\
                         THEN type: {ty}.\nDEFAULT type: {other}."
                    ),
                };
                return Err(SqlError::invalid(format!("Invalid Case expression. {what}"))
                    .at(result.span)
                    .hint(format!("CAST(.. AS {ty})")));
            }
            planned.push(Box::new(self.coerce(result, &ty)?.expr));
        }
        let otherwise = (planned.len() > conditions.len()).then(|| planned.pop()).flatten();
        let branches = conditions.into_iter().map(Box::new).zip(planned).collect();
        let otherwise = match otherwise {
            Some(otherwise) => otherwise,
            None => Box::new(Planned::Literal(ScalarValue::try_from(&ty.to_arrow())?, None)),
        };
        let case = Planned::Case(Case::new(None, branches, Some(otherwise)));
        Ok(Typed { expr: case, ty: Some(ty), span: expr.span })
    }
}

/// Compiled parts of `expr` that have all the same type.
fn typed_all(parts: Vec<Planned>, ty: &SqlType, expr: &Expr) -> Vec<Typed> {
    parts.into_iter().map(|part| Typed { expr: part, ty: Some(ty.clone()), span: expr.span }).collect()
}

/// Whether an error says that types do not go together, which is found later than others.
fn is_coercion(message: &str) -> bool {
    ["operator does not exist", "invalid input syntax", "Cast of "]
        .iter()
        .any(|what| message.starts_with(what))
}

/// The type without what it is made of.
fn base_name(ty: &SqlType) -> &'static str {
    match ty {
        SqlType::Boolean => "BOOLEAN",
        SqlType::Int => "INTEGER",
        SqlType::Bigint => "BIGINT",
        SqlType::Double => "DOUBLE",
        SqlType::Decimal { .. } => "DECIMAL",
        SqlType::String => "STRING",
        SqlType::Bytes => "BYTES",
        SqlType::Date => "DATE",
        SqlType::Time => "TIME",
        SqlType::Timestamp => "TIMESTAMP",
        SqlType::Array(_) => "ARRAY",
        SqlType::Map(..) => "MAP",
        SqlType::Struct(_) => "STRUCT",
    }
}

/// `join` of AND or OR, whose left side is evaluated first: a NULL there is an error, so the outcome is NULL even if
/// the right side could decide.
fn known_first(left: Planned, join: impl FnOnce(Planned) -> Planned) -> Planned {
    if never_null(&left) {
        return join(left);
    }
    let unknown = (Box::new(left.clone().is_null()), Box::new(lit(ScalarValue::Boolean(None))));
    Planned::Case(Case::new(None, vec![unknown], Some(Box::new(join(left)))))
}

/// Whether a truth value is known for every row.
fn never_null(expr: &Planned) -> bool {
    match expr {
        Planned::IsNull(_) | Planned::IsNotNull(_) | Planned::IsTrue(_) => true,
        Planned::Literal(value, _) => !value.is_null(),
        Planned::Not(operand) => never_null(operand),
        Planned::BinaryExpr(binary) => never_null(&binary.left) && never_null(&binary.right),
        Planned::ScalarFunction(call) => {
            let function: &dyn Any = call.func.inner().as_ref();
            function.downcast_ref::<Operation>().is_some_and(Operation::is_never_null)
        }
        _ => false,
    }
}

/// The DECIMAL of a result. Of more digits than there are, those in front of the point give way: a row that has them is
/// an error.
fn decimal_result((precision, scale): (u32, u32)) -> Result<SqlType, SqlError> {
    let most = SqlType::DECIMAL_PRECISION_MAX;
    if scale > u32::from(most) {
        return Err(SqlError::invalid(format!(
            "the result would have {scale} digits behind the point: a DECIMAL has at most {most} digits"
        ))
        .hint("cast one side to a DECIMAL with fewer digits"));
    }
    SqlType::decimal(precision.min(most.into()).into(), scale.into())
}

/// ROWTIME, WINDOWSTART or WINDOWEND, bare or of a source.
fn is_time_column(expr: &Expr) -> bool {
    matches!(&expr.kind, ExprKind::Column { name, .. } if matches!(name.name.as_str(), "ROWTIME" | "WINDOWSTART" | "WINDOWEND"))
}

fn magic_timestamp(expr: &Expr, typed: Typed) -> Result<Typed, SqlError> {
    let ExprKind::Literal(Literal::String(text)) = &expr.kind else { return Ok(typed) };
    let ms = datetime::parse_timestamp(text).ok_or_else(|| {
        SqlError::invalid(format!("failed to parse timestamp '{text}'"))
            .at(expr.span)
            .hint("write yyyy-MM-ddTHH:mm:ss.SSS, maybe shorter, maybe with a zone such as +0100")
    })?;
    Ok(Typed {
        expr: Planned::Literal(ScalarValue::from(ms), None),
        ty: Some(SqlType::Bigint),
        span: typed.span,
    })
}

fn arithmetic_operator(op: BinaryOp) -> Arithmetic {
    match op {
        BinaryOp::Add => Arithmetic::Add,
        BinaryOp::Subtract => Arithmetic::Subtract,
        BinaryOp::Multiply => Arithmetic::Multiply,
        BinaryOp::Divide => Arithmetic::Divide,
        _ => Arithmetic::Modulo,
    }
}

fn comparison_operator(op: BinaryOp) -> Comparison {
    match op {
        BinaryOp::NotEqual => Comparison::NotEqual,
        BinaryOp::Less => Comparison::Less,
        BinaryOp::LessOrEqual => Comparison::LessOrEqual,
        BinaryOp::Greater => Comparison::Greater,
        BinaryOp::GreaterOrEqual => Comparison::GreaterOrEqual,
        BinaryOp::IsDistinctFrom => Comparison::Distinct,
        BinaryOp::IsNotDistinctFrom => Comparison::NotDistinct,
        _ => Comparison::Equal,
    }
}
