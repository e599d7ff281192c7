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
    comparison::Comparison,
    datetime,
    operation::{Operation, OperationKind},
    row_errors::RowErrors,
};
use crate::{
    ast::{BinaryOp, Expr, ExprKind, Ident, Literal, Span, TypeRef, UnaryOp},
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
            SqlError::invalid("can't infer a type of NULL")
                .at(self.span)
                .hint("cast it explicitly, for example CAST(NULL AS STRING)")
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
        let typed = self.compile(expr)?;
        match &typed.ty {
            Some(SqlType::Boolean) => Ok(typed.expr),
            _ => Err(SqlError::invalid(format!(
                "type error in {clause} expression: should evaluate to boolean but is {}",
                typed.shown_type()
            ))
            .at(expr.span)
            .hint(format!("compare {expr} with something, for example {expr} = ..."))),
        }
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
                let mut items = vec![self.compile(operand)?];
                for item in list {
                    items.push(self.compile(item)?);
                }
                let (_, mut items) = self.common(items)?;
                let operand = items.remove(0);
                let list = operand.expr.in_list(items.into_iter().map(|item| item.expr).collect(), false);
                // NULL never matches, so an unknown outcome is false.
                let found = Planned::IsTrue(Box::new(list));
                typed(if *negated { Planned::Not(Box::new(found)) } else { found }, SqlType::Boolean)
            }
            ExprKind::Like { operand, pattern, escape, negated } => {
                let sides = [self.compile(operand)?, self.compile(pattern)?];
                for side in &sides {
                    if side.known_type()? != &SqlType::String {
                        let message = format!("LIKE needs STRING, not {}", side.shown_type());
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
                    conditions.push(self.condition(&branch.when, "CASE WHEN")?);
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
                        SqlError::invalid(format!("cast of {from} to {to} is not supported")).at(expr.span)
                    );
                }
                if operand.ty.as_ref() == Some(&to) {
                    return typed(operand.expr, to);
                }
                typed(self.operation(OperationKind::Cast, vec![operand.expr], &to), to)
            }
            ExprKind::Call { name, args } => call::compile(self, expr, name, args),
            ExprKind::Lambda { .. } => {
                Err(SqlError::unsupported("lambda functions are not supported by this version").at(expr.span))
            }
            ExprKind::Array(items) => {
                let items = items.iter().map(|item| self.compile(item)).collect::<Result<Vec<_>, _>>()?;
                let (item, items) = self.common_of_constructor(expr, items, "ARRAY")?;
                let items = items.into_iter().map(|item| item.expr).collect();
                let ty = SqlType::Array(Box::new(item));
                typed(self.operation(OperationKind::Array, items, &ty), ty)
            }
            ExprKind::Map(entries) => {
                let mut keys = Vec::with_capacity(entries.len());
                let mut values = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    keys.push(self.compile(key)?);
                    values.push(self.compile(value)?);
                }
                let (key, keys) = self.common_of_constructor(expr, keys, "MAP")?;
                let (value, values) = self.common_of_constructor(expr, values, "MAP")?;
                let args = keys.into_iter().chain(values).map(|side| side.expr).collect();
                let ty = SqlType::Map(Box::new(key), Box::new(value));
                typed(self.operation(OperationKind::Map, args, &ty), ty)
            }
            ExprKind::Struct(fields) => {
                let mut types = Vec::with_capacity(fields.len());
                let mut values = Vec::with_capacity(fields.len());
                for (name, value) in fields {
                    let value = self.compile(value)?;
                    types.push(StructField { name: name.name.clone(), ty: value.known_type()?.clone() });
                    values.push(value.expr);
                }
                let arrow: Fields = types.iter().map(StructField::to_arrow).collect();
                let ty = SqlType::Struct(types);
                typed(self.operation(OperationKind::Struct(arrow), values, &ty), ty)
            }
        }
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
                    let what = format!("invalid input syntax for type {to}: {}", messages.join("; "));
                    return Err(SqlError::invalid(what).at(typed.span));
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
                ScalarValue::Decimal128(Some(*unscaled), *precision, *scale),
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
            Some(SqlType::Boolean) => Ok(typed.expr),
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
            return Err(SqlError::invalid(format!("could not find field '{}' in '{base}'", field.name))
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
        let ty = match (left.known_type()?, right.known_type()?) {
            (SqlType::String, SqlType::String) if op == Arithmetic::Add => SqlType::String,
            (SqlType::Double, other) | (other, SqlType::Double) if other.is_numeric() => SqlType::Double,
            (SqlType::Int, SqlType::Int) => SqlType::Int,
            (SqlType::Int | SqlType::Bigint, SqlType::Int | SqlType::Bigint) => SqlType::Bigint,
            (a, b) => match (a.as_decimal(), b.as_decimal()) {
                (Some((p1, s1)), Some((p2, s2))) => {
                    let side = |p: u8, s: i8| (u32::from(p), u32::from(s.unsigned_abs()));
                    capped_decimal(op.decimal_result(side(p1, s1), side(p2, s2)))
                }
                _ => {
                    let message = format!("unsupported arithmetic types: {a} {} {b}", op.symbol());
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
                return Err(SqlError::invalid(format!("comparison with NULL not supported: {expr}"))
                    .at(side.span)
                    .hint("use IS NULL or IS NOT NULL instead"));
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
                return Err(cannot_compare(expr, left, &a, right, &b, op));
            }
            (a, b) if a == b => None,
            _ => return Err(cannot_compare(expr, left, &a, right, &b, op)),
        };
        if let Some(common) = common {
            typed_left = self.coerce(typed_left, &common)?;
            typed_right = self.coerce(typed_right, &common)?;
        }
        let sides = vec![typed_left.expr, typed_right.expr];
        Ok(self.operation(OperationKind::Comparison(op), sides, &Boolean))
    }

    fn case(&self, expr: &Expr, conditions: Vec<Planned>, results: Vec<Typed>) -> Result<Typed, SqlError> {
        let Some(ty) = results.iter().find_map(|result| result.ty.clone()) else {
            return Err(SqlError::invalid("all results of CASE are NULL")
                .at(expr.span)
                .hint("cast one of them"));
        };
        let mut planned = Vec::with_capacity(results.len());
        for result in results {
            if let Some(other) = &result.ty
                && *other != ty
            {
                let message = format!("all results of CASE must have one type: {ty} and {other} differ");
                return Err(SqlError::invalid(message).at(result.span).hint(format!("CAST(.. AS {ty})")));
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

    fn common_of_constructor(
        &self,
        expr: &Expr,
        items: Vec<Typed>,
        what: &str,
    ) -> Result<(SqlType, Vec<Typed>), SqlError> {
        if items.is_empty() || items.iter().all(|item| item.ty.is_none()) {
            return Err(SqlError::invalid(format!(
                "{what} must be constructed with at least one non-NULL item"
            ))
            .at(expr.span)
            .hint("cast a NULL to give it a type"));
        }
        self.common(items)
    }

    /// Brings expressions to their common type.
    fn common(&self, items: Vec<Typed>) -> Result<(SqlType, Vec<Typed>), SqlError> {
        let mut target: Option<SqlType> = None;
        for item in &items {
            let Some(ty) = &item.ty else { continue };
            let is_literal = matches!(item.expr, Planned::Literal(..));
            let number = match (&item.expr, &target) {
                (Planned::Literal(ScalarValue::Utf8(Some(text)), _), Some(target)) => {
                    check_boolean(text, target, item.span)?;
                    number_in(text, target)
                }
                _ => None,
            };
            let ty = number.as_ref().unwrap_or(ty);
            target = Some(match target {
                None => ty.clone(),
                Some(target) => common_type(&target, ty, is_literal).ok_or_else(|| {
                    SqlError::invalid(format!("operator does not exist: {target} = {ty}"))
                        .at(item.span)
                        .hint("you might need to add explicit type casts")
                })?,
            });
        }
        let Some(target) = target else {
            let span = items.first().map_or_else(Span::default, |item| item.span);
            return Err(SqlError::invalid("can't infer a type of NULL").at(span).hint("cast it explicitly"));
        };
        let items = items.into_iter().map(|item| self.coerce(item, &target)).collect::<Result<_, _>>()?;
        Ok((target, items))
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
            function.downcast_ref::<Operation>().is_some_and(|known| known.comparison().is_some())
        }
        _ => false,
    }
}

/// The type that holds both, if one does. `literal` says that `ty` is that of a constant, which may be text.
fn common_type(target: &SqlType, ty: &SqlType, literal: bool) -> Option<SqlType> {
    if target == ty || ty.can_widen_to(target) {
        return Some(target.clone());
    }
    if target.can_widen_to(ty) {
        return Some(ty.clone());
    }
    match (target, ty) {
        (SqlType::Array(a), SqlType::Array(b)) => {
            return Some(SqlType::Array(Box::new(common_type(a, b, false)?)));
        }
        (SqlType::Map(a, from), SqlType::Map(b, to)) if a == b => {
            return Some(SqlType::Map(a.clone(), Box::new(common_type(from, to, false)?)));
        }
        _ => {}
    }
    if let (Some((p1, s1)), Some((p2, s2))) = (target.as_decimal(), ty.as_decimal()) {
        let scale = s1.max(s2);
        let whole = (i16::from(p1) - i16::from(s1)).max(i16::from(p2) - i16::from(s2));
        let precision = u8::try_from(whole + i16::from(scale)).ok()?.min(SqlType::DECIMAL_PRECISION_MAX);
        return Some(SqlType::Decimal { precision, scale });
    }
    let text_for = literal && *ty == SqlType::String && (target.is_numeric() || *target == SqlType::Boolean);
    let text_of = literal && *target == SqlType::String && (ty.is_numeric() || *ty == SqlType::Boolean);
    (text_for || text_of).then(|| target.clone())
}

/// The type of the number that a text stands for, where a whole number is wanted.
fn number_in(text: &str, target: &SqlType) -> Option<SqlType> {
    match target {
        SqlType::Int if text.trim().parse::<i32>().is_err() && text.trim().parse::<i64>().is_ok() => {
            Some(SqlType::Bigint)
        }
        _ => None,
    }
}

/// A text stands for a BOOLEAN only if it begins one of the words for it.
fn check_boolean(text: &str, target: &SqlType, span: Span) -> Result<(), SqlError> {
    let begins = |word: &&str| !text.is_empty() && word.starts_with(&text.to_ascii_lowercase());
    if *target == SqlType::Boolean && !["true", "yes", "false", "no"].iter().any(begins) {
        return Err(SqlError::invalid(format!("invalid input syntax for type BOOLEAN: '{text}'"))
            .at(span)
            .hint("true, yes, false, no, or the beginning of one of them"));
    }
    Ok(())
}

/// The DECIMAL of a result, with at most 38 digits: digits behind the point give way first, down to 6.
fn capped_decimal((precision, scale): (u32, u32)) -> SqlType {
    let max = u32::from(SqlType::DECIMAL_PRECISION_MAX);
    let excess = precision.saturating_sub(max);
    let scale = scale.saturating_sub(excess).max(scale.min(6));
    SqlType::Decimal { precision: precision.min(max) as u8, scale: scale as i8 }
}

fn cannot_compare(
    expr: &Expr,
    left: &Expr,
    a: &SqlType,
    right: &Expr,
    b: &SqlType,
    op: Comparison,
) -> SqlError {
    SqlError::invalid(format!("cannot compare {left} ({a}) to {right} ({b}) with {}", op.symbol()))
        .at(expr.span)
        .hint(if a == b {
            "only = and <> are defined on this type"
        } else {
            "cast one side to the other's type"
        })
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
