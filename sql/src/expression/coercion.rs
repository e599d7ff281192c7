//! Bringing expressions to a common type: IN lists, and the items of ARRAY and MAP.
//!
//! The first expression with a type sets it; each later one may widen it. Constants go further than columns: text is read
//! as a number or truth value, and any constant becomes text. Constructors are looked into, item by item.

use datafusion::{logical_expr::Expr as Planned, scalar::ScalarValue};

use super::{
    cast,
    compiler::{Compiler, Typed},
};
use crate::{
    ast::{Expr, ExprKind, Literal, Span},
    error::SqlError,
    types::{SqlType, StructField},
};

impl Compiler<'_> {
    /// Brings expressions to their common type; `None` if all are NULL.
    pub(super) fn common(&self, exprs: &[&Expr]) -> Result<Option<(SqlType, Vec<Planned>)>, SqlError> {
        let mut target = None;
        for expr in exprs {
            let typed = self.compile(expr)?;
            target = self.common_type(target, expr, &typed)?;
        }
        let Some(target) = target else { return Ok(None) };
        let planned: Result<Vec<Planned>, SqlError> =
            exprs.iter().map(|expr| Ok(self.convert(expr, &target)?.expr)).collect();
        Ok(Some((target, planned?)))
    }

    /// The type that holds both `target` and the values of `expr`.
    fn common_type(
        &self,
        target: Option<SqlType>,
        expr: &Expr,
        typed: &Typed,
    ) -> Result<Option<SqlType>, SqlError> {
        let Some(ty) = &typed.ty else { return Ok(target) };
        let Some(target) = target else { return Ok(Some(ty.clone())) };
        if target == *ty {
            return Ok(Some(target));
        }
        let items = |of: &SqlType, items: &[&Expr]| -> Result<SqlType, SqlError> {
            let mut common = Some(of.clone());
            for item in items {
                common = self.common_type(common, item, &self.compile(item)?)?;
            }
            Ok(common.unwrap_or_else(|| of.clone()))
        };
        match (&expr.kind, &target) {
            (ExprKind::Array(written), SqlType::Array(item)) => {
                let written: Vec<&Expr> = written.iter().collect();
                return match items(item, &written) {
                    Ok(item) => Ok(Some(SqlType::Array(Box::new(item)))),
                    Err(error) => Err(outermost(error, &target, ty, expr)),
                };
            }
            (ExprKind::Map(entries), SqlType::Map(key, value)) => {
                let keys: Vec<&Expr> = entries.iter().map(|(key, _)| key).collect();
                let values: Vec<&Expr> = entries.iter().map(|(_, value)| value).collect();
                return match (items(key, &keys), items(value, &values)) {
                    (Ok(key), Ok(value)) => Ok(Some(SqlType::Map(Box::new(key), Box::new(value)))),
                    (Err(error), _) | (_, Err(error)) => Err(outermost(error, &target, ty, expr)),
                };
            }
            (ExprKind::Struct(written), SqlType::Struct(fields)) => {
                let mut common = fields.clone();
                for (name, value) in written {
                    let typed = self.compile(value)?;
                    match common.iter_mut().find(|field| field.name == name.name) {
                        Some(field) => {
                            field.ty = items(&field.ty, &[value])
                                .map_err(|error| outermost(error, &target, ty, expr))?;
                        }
                        None => common
                            .push(StructField { name: name.name.clone(), ty: typed.known_type()?.clone() }),
                    }
                }
                return Ok(Some(SqlType::Struct(common)));
            }
            (ExprKind::Literal(Literal::String(text)), SqlType::Boolean) => {
                check_boolean(text, expr.span)?;
                return Ok(Some(SqlType::Boolean));
            }
            (ExprKind::Literal(Literal::String(text)), number) if number.is_numeric() => {
                return number_in(text)
                    .and_then(|ty| wider(number, &ty))
                    .map(Some)
                    .ok_or_else(|| bad_input(number, text, expr.span));
            }
            (ExprKind::Literal(_), SqlType::String) => return Ok(Some(SqlType::String)),
            _ => {}
        }
        match wider(&target, ty) {
            Some(wider) => Ok(Some(wider)),
            None => Err(no_operator(&target, ty, expr)),
        }
    }

    /// Compiles an expression as a value of the common type.
    fn convert(&self, expr: &Expr, to: &SqlType) -> Result<Typed, SqlError> {
        match (&expr.kind, to) {
            (ExprKind::Array(items), SqlType::Array(item)) => {
                let items = items.iter().map(|part| self.convert(part, item)).collect::<Result<_, _>>()?;
                Ok(self.array(expr, items, item))
            }
            (ExprKind::Map(entries), SqlType::Map(key, value)) => {
                let keys =
                    entries.iter().map(|(part, _)| self.convert(part, key)).collect::<Result<_, _>>()?;
                let values =
                    entries.iter().map(|(_, part)| self.convert(part, value)).collect::<Result<_, _>>()?;
                Ok(self.map(expr, (keys, key), (values, value)))
            }
            (ExprKind::Struct(written), SqlType::Struct(fields)) => {
                let mut values = Vec::with_capacity(fields.len());
                for field in fields {
                    let value = written.iter().find(|(name, _)| name.name == field.name);
                    values.push(match value {
                        Some((_, value)) => self.convert(value, &field.ty)?,
                        None => self.coerce(null(expr.span), &field.ty)?,
                    });
                }
                Ok(self.structure(expr, values, fields.clone()))
            }
            _ => {
                let typed = self.compile(expr)?;
                match &typed.ty {
                    Some(from) if !cast::castable(from, to) => Err(no_operator(to, from, expr)),
                    _ => self.coerce(typed, to),
                }
            }
        }
    }
}

fn null(span: Span) -> Typed {
    Typed { expr: Planned::Literal(ScalarValue::Null, None), ty: None, span }
}

/// The type that holds the values of both, if one does.
fn wider(a: &SqlType, b: &SqlType) -> Option<SqlType> {
    if b.can_widen_to(a) {
        return Some(a.clone());
    }
    if a.can_widen_to(b) {
        return Some(b.clone());
    }
    match (a, b) {
        (SqlType::Array(a), SqlType::Array(b)) => Some(SqlType::Array(Box::new(wider(a, b)?))),
        (SqlType::Map(k1, v1), SqlType::Map(k2, v2)) => {
            Some(SqlType::Map(Box::new(wider(k1, k2)?), Box::new(wider(v1, v2)?)))
        }
        (SqlType::Struct(a), SqlType::Struct(b)) => {
            let mut common = a.clone();
            for field in b {
                match common.iter_mut().find(|known| known.name == field.name) {
                    Some(known) => known.ty = wider(&known.ty, &field.ty)?,
                    None => common.push(field.clone()),
                }
            }
            Some(SqlType::Struct(common))
        }
        _ => {
            let ((p1, s1), (p2, s2)) = (a.as_decimal()?, b.as_decimal()?);
            let scale = s1.max(s2);
            let whole = (i16::from(p1) - i16::from(s1)).max(i16::from(p2) - i16::from(s2));
            let precision = u8::try_from(whole + i16::from(scale)).ok()?;
            Some(SqlType::Decimal { precision: precision.min(SqlType::DECIMAL_PRECISION_MAX), scale })
        }
    }
}

/// The narrowest type of the number that a text stands for.
fn number_in(text: &str) -> Option<SqlType> {
    let text = text.trim();
    if text.parse::<i32>().is_ok() {
        return Some(SqlType::Int);
    }
    if text.parse::<i64>().is_ok() {
        return Some(SqlType::Bigint);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let (whole, scale) = (whole.trim_start_matches('0').len(), fraction.len());
        if fraction.contains('.') || digits.len() < 2 {
            return None;
        }
        return SqlType::decimal((whole + scale).max(1) as u64, scale as u64).ok();
    }
    text.parse::<f64>().ok().filter(|number| number.is_finite()).map(|_| SqlType::Double)
}

/// A text stands for a BOOLEAN only if it begins one of the words for it.
fn check_boolean(text: &str, span: Span) -> Result<(), SqlError> {
    let begins = |word: &&str| !text.is_empty() && word.starts_with(&text.to_ascii_lowercase());
    match ["true", "yes", "false", "no"].iter().any(begins) {
        true => Ok(()),
        false => Err(bad_input(&SqlType::Boolean, text, span)),
    }
}

/// A text that does not stand for a value of the type; of a DECIMAL without its digits.
pub(super) fn bad_input(ty: &SqlType, text: &str, span: Span) -> SqlError {
    let name = match ty {
        SqlType::Decimal { .. } => "DECIMAL".to_owned(),
        ty => ty.to_string(),
    };
    SqlError::invalid(format!("invalid input syntax for type {name}: \"{text}\".")).at(span)
}

fn no_operator(target: &SqlType, ty: &SqlType, expr: &Expr) -> SqlError {
    SqlError::invalid(format!(
        "operator does not exist: {target} = {ty} ({expr})\nHint: You might need to add explicit type casts."
    ))
    .at(expr.span)
}

/// Items whose types do not go together are an error of the whole constructor; bad text is one of its own.
fn outermost(error: SqlError, target: &SqlType, ty: &SqlType, expr: &Expr) -> SqlError {
    match error.problem() {
        Some(problem) if problem.message.starts_with("operator does not exist") => {
            no_operator(target, ty, expr)
        }
        _ => error,
    }
}
