//! Which form of a function a call means.
//!
//! A form matches without casts, or, for scalar functions and only if none does, with implicit ones. Of several the
//! winner is not variadic, has more parameters, fewer generic ones, and casts less.

use std::cmp::Reverse;

use crate::error::SqlError;
use crate::function::{ArgType, Pattern, Signature};
use crate::types::SqlType;

/// A form that fits a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Match {
    /// Its position among the function's forms.
    pub(super) form: usize,
    /// The type each argument must be cast to.
    pub(super) arg_types: Vec<SqlType>,
    /// The type of the result.
    pub(super) return_type: SqlType,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Casts {
    Never,
    IfNeeded,
}

/// The form among `forms` that a call of `name` with arguments of these types means.
pub(super) fn resolve(
    name: &str,
    forms: &[Signature],
    args: &[ArgType],
    casts: Casts,
) -> Result<Match, SqlError> {
    let passes: &[bool] = if casts == Casts::Never { &[false] } else { &[false, true] };
    for with_casts in passes {
        let mut fitting: Vec<_> = forms
            .iter()
            .enumerate()
            .filter_map(|(i, form)| {
                bind(form, args, *with_casts).map(|bound| (rank(form, bound.distance), i, bound))
            })
            .collect();
        fitting.sort_by_key(|(rank, i, _)| (*rank, *i));
        match fitting.as_slice() {
            [] => continue,
            [(first, ..), (second, ..), ..] if first == second => return Err(ambiguous(name, forms, args)),
            _ => {}
        }
        let (_, form, bound) = fitting.swap_remove(0);
        return bound
            .finish(&forms[form])
            .map(|(arg_types, return_type)| Match { form, arg_types, return_type })
            .ok_or_else(|| {
                SqlError::invalid(format!("function '{name}' cannot tell the type of NULL"))
                    .hint("cast NULL to the type meant")
            });
    }
    Err(no_match(name, forms, args))
}

type Rank = (bool, Reverse<usize>, usize, usize);

fn rank(form: &Signature, distance: usize) -> Rank {
    let generics = form.parameters.iter().filter(|p| p.pattern.is_generic()).count();
    (form.variadic, Reverse(form.parameters.len()), generics, distance)
}

/// What the holes of a signature stand for in one call.
struct Bound {
    arg_patterns: Vec<Pattern>,
    generics: Vec<(char, SqlType)>,
    decimal: Option<(u8, i8)>,
    distance: usize,
}

fn bind(form: &Signature, args: &[ArgType], with_casts: bool) -> Option<Bound> {
    if !form.accepts_count(args.len()) {
        return None;
    }
    let mut bound = Bound {
        arg_patterns: Vec::with_capacity(args.len()),
        generics: Vec::new(),
        decimal: None,
        distance: 0,
    };
    for (i, arg) in args.iter().enumerate() {
        let pattern = &form.parameter(i)?.pattern;
        bound.arg_patterns.push(pattern.clone());
        let fits = match arg {
            ArgType::Null => *pattern != Pattern::Unit,
            ArgType::Unit => *pattern == Pattern::Unit,
            ArgType::Sql(ty) => bound.fit(pattern, ty) || (with_casts && bound.widen(pattern, ty)),
        };
        if !fits {
            return None;
        }
    }
    Some(bound)
}

impl Bound {
    fn fit(&mut self, pattern: &Pattern, ty: &SqlType) -> bool {
        match (pattern, ty) {
            (Pattern::Type(wanted), ty) => wanted == ty,
            (Pattern::Decimal, SqlType::Decimal { precision, scale }) => {
                self.widen_decimal(*precision, *scale)
            }
            (Pattern::Generic(letter), ty) => match self.generics.iter().find(|(known, _)| known == letter) {
                Some((_, known)) => known == ty,
                None => {
                    self.generics.push((*letter, ty.clone()));
                    true
                }
            },
            (Pattern::Array(item), SqlType::Array(ty)) => self.fit(item, ty),
            (Pattern::Map(key, value), SqlType::Map(key_ty, value_ty)) => {
                self.fit(key, key_ty) && self.fit(value, value_ty)
            }
            _ => false,
        }
    }

    fn widen(&mut self, pattern: &Pattern, ty: &SqlType) -> bool {
        let fits = match (pattern, ty) {
            (Pattern::Type(wanted), ty) => ty.can_widen_to(wanted),
            (Pattern::Decimal, ty) => {
                ty.as_decimal().is_some_and(|(precision, scale)| self.widen_decimal(precision, scale))
            }
            _ => false,
        };
        self.distance += match pattern {
            Pattern::Type(wanted) => width(wanted).abs_diff(width(ty)),
            _ => width(&SqlType::Decimal { precision: 1, scale: 0 }).abs_diff(width(ty)),
        };
        fits
    }

    fn widen_decimal(&mut self, precision: u8, scale: i8) -> bool {
        let (p, s) = self.decimal.unwrap_or((precision, scale));
        let whole = (i16::from(p) - i16::from(s)).max(i16::from(precision) - i16::from(scale));
        let common = scale.max(s);
        match u8::try_from(whole + i16::from(common)) {
            Ok(digits) if digits <= SqlType::DECIMAL_PRECISION_MAX => {
                self.decimal = Some((digits, common));
                true
            }
            _ => false,
        }
    }

    /// The argument types and the return type, unless some hole was filled by nothing but NULLs.
    fn finish(&self, form: &Signature) -> Option<(Vec<SqlType>, SqlType)> {
        let args = self.arg_patterns.iter().map(|p| self.fill(p)).collect::<Option<_>>()?;
        Some((args, self.fill(&form.returns)?))
    }

    fn fill(&self, pattern: &Pattern) -> Option<SqlType> {
        Some(match pattern {
            Pattern::Type(ty) => ty.clone(),
            Pattern::Unit => SqlType::String,
            Pattern::Decimal => {
                let (precision, scale) = self.decimal?;
                SqlType::Decimal { precision, scale }
            }
            Pattern::Generic(letter) => self.generics.iter().find(|(known, _)| known == letter)?.1.clone(),
            Pattern::Array(item) => SqlType::Array(Box::new(self.fill(item)?)),
            Pattern::Map(key, value) => SqlType::Map(Box::new(self.fill(key)?), Box::new(self.fill(value)?)),
        })
    }
}

/// How wide a type is among those it can be cast to implicitly.
fn width(ty: &SqlType) -> usize {
    match ty {
        SqlType::Int => 1,
        SqlType::Bigint => 2,
        SqlType::Decimal { .. } => 3,
        SqlType::Double => 4,
        _ => 0,
    }
}

fn no_match(name: &str, forms: &[Signature], args: &[ArgType]) -> SqlError {
    SqlError::invalid(format!("function '{name}' does not accept parameters ({})", types(args)))
        .hint(format!("valid alternatives are: {}", alternatives(name, forms)))
}

fn ambiguous(name: &str, forms: &[Signature], args: &[ArgType]) -> SqlError {
    SqlError::invalid(format!(
        "function '{name}' cannot be resolved due to ambiguous method parameters ({})",
        types(args)
    ))
    .hint(format!("use CAST to choose among: {}", alternatives(name, forms)))
}

fn types(args: &[ArgType]) -> String {
    args.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn alternatives(name: &str, forms: &[Signature]) -> String {
    forms.iter().map(|form| format!("{name}{form}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(forms: &[&str], args: &[&str], casts: Casts) -> String {
        let forms: Vec<Signature> = forms.iter().map(|f| f.parse().unwrap()).collect();
        let args: Vec<ArgType> = args
            .iter()
            .map(|text| match *text {
                "NULL" => ArgType::Null,
                "UNIT" => ArgType::Unit,
                text => ArgType::Sql(SqlType::parse(text).unwrap()),
            })
            .collect();
        match resolve("F", &forms, &args, casts) {
            Ok(found) => {
                let args: Vec<_> = found.arg_types.iter().map(ToString::to_string).collect();
                format!("{}: {} -> {}", found.form, args.join(", "), found.return_type)
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_narrowest_form_wins() {
        let numbers = ["(INT) -> INT", "(BIGINT) -> BIGINT", "(DOUBLE) -> DOUBLE", "(DECIMAL) -> DECIMAL"];
        for (forms, args, expected) in [
            (&numbers[..], &["INT"][..], "0: INTEGER -> INTEGER"),
            (&numbers, &["DECIMAL(4, 2)"], "3: DECIMAL(4, 2) -> DECIMAL(4, 2)"),
            (&["(BIGINT) -> BIGINT", "(DOUBLE) -> DOUBLE"], &["INT"], "0: BIGINT -> BIGINT"),
            (&["(DOUBLE) -> DOUBLE"], &["DECIMAL(4, 2)"], "0: DOUBLE -> DOUBLE"),
            (
                &["(DECIMAL...) -> DECIMAL"],
                &["DECIMAL(4, 2)", "INT"],
                "0: DECIMAL(12, 2), DECIMAL(12, 2) -> DECIMAL(12, 2)",
            ),
            (&["(T, T...) -> T"], &["STRING", "NULL", "STRING"], "0: STRING, STRING, STRING -> STRING"),
            (&["(ARRAY<T>, T) -> BOOLEAN"], &["ARRAY<INT>", "INT"], "0: ARRAY<INTEGER>, INTEGER -> BOOLEAN"),
            (
                &["(STRING...) -> STRING", "(STRING, STRING) -> STRING"],
                &["STRING", "STRING"],
                "1: STRING, STRING -> STRING",
            ),
            (&["(T) -> T", "(STRING) -> STRING"], &["STRING"], "1: STRING -> STRING"),
            (
                &["(UNIT, INT, TIMESTAMP) -> TIMESTAMP"],
                &["UNIT", "INT", "STRING"],
                "0: STRING, INTEGER, TIMESTAMP -> TIMESTAMP",
            ),
            (&["() -> DOUBLE"], &[], "0:  -> DOUBLE"),
        ] {
            assert_eq!(check(forms, args, Casts::IfNeeded), expected, "{forms:?} {args:?}");
        }
    }

    #[test]
    fn calls_that_fit_nothing_list_what_would() {
        for (forms, args, expected) in [
            (
                &["(INT) -> INT", "(STRING, INT) -> INT"][..],
                &["STRING"][..],
                "function 'F' does not accept parameters (STRING) (valid alternatives are: F(INTEGER), F(STRING, INTEGER))",
            ),
            (
                &["(T, T...) -> T"],
                &["BIGINT", "INT"],
                "function 'F' does not accept parameters (BIGINT, INTEGER)",
            ),
            (&["(INT) -> INT", "(STRING) -> INT"], &["NULL"], "ambiguous method parameters (NULL)"),
            (&["(T) -> T"], &["NULL"], "cannot tell the type of NULL"),
        ] {
            let error = check(forms, args, Casts::IfNeeded);
            assert!(error.contains(expected), "{forms:?} {args:?}: {error}");
        }
        assert!(check(&["(DOUBLE) -> DOUBLE"], &["INT"], Casts::Never).contains("does not accept"));
    }
}
