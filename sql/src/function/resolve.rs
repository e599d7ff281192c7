//! Which form of a function a call means.
//!
//! A form matches without casts, or, for scalar functions and only if none does, with implicit ones. Of several the
//! winner is not variadic, has more parameters, fewer generic ones, no `ANY...`, and its `...` stands further right;
//! two that are alike in all this are an error. What lambdas return is found out afterwards, when their parameters' types
//! are known.

use std::cmp::Reverse;

use crate::error::SqlError;
use crate::function::{ArgType, LambdaTypes, Pattern, Signature};
use crate::types::SqlType;

/// A form that fits a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Match {
    /// Its position among the function's forms.
    pub(super) form: usize,
    /// The type each argument must be cast to; of a lambda the type of its result.
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
    lambdas: LambdaTypes<'_>,
) -> Result<Match, SqlError> {
    let passes: &[bool] = if casts == Casts::Never { &[false] } else { &[false, true] };
    for with_casts in passes {
        let mut fitting: Vec<_> = forms
            .iter()
            .enumerate()
            .filter_map(|(i, form)| bind(form, args, *with_casts).map(|bound| (rank(form), i, bound)))
            .collect();
        fitting.sort_by_key(|(rank, i, _)| (*rank, *i));
        match fitting.as_slice() {
            [] => continue,
            [(first, ..), (second, ..), ..] if first == second => return Err(ambiguous(name, forms, args)),
            _ => {}
        }
        let (_, form, mut bound) = fitting.swap_remove(0);
        bound.lambdas(name, args, lambdas)?;
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

type Rank = (bool, Reverse<usize>, usize, bool, Reverse<usize>);

fn rank(form: &Signature) -> Rank {
    let generics = form.parameters.iter().filter(|p| p.pattern.is_generic()).count();
    let variadic = form.variadic_at();
    let any = variadic.is_some_and(|at| form.parameters[at].pattern == Pattern::Any);
    (variadic.is_some(), Reverse(form.parameters.len()), generics, any, Reverse(variadic.unwrap_or(0)))
}

/// What the holes of a signature stand for in one call.
struct Bound {
    arg_patterns: Vec<Pattern>,
    generics: Vec<(char, SqlType)>,
    decimal: Option<(u8, i8)>,
}

fn bind(form: &Signature, args: &[ArgType], with_casts: bool) -> Option<Bound> {
    if !form.accepts_count(args.len()) {
        return None;
    }
    let mut bound =
        Bound { arg_patterns: Vec::with_capacity(args.len()), generics: Vec::new(), decimal: None };
    for (i, arg) in args.iter().enumerate() {
        let pattern = &form.parameter(i, args.len())?.pattern;
        let fits = match (arg, pattern) {
            (ArgType::Lambda(given), Pattern::Lambda(parameters, _)) => *given == parameters.len(),
            (ArgType::Unit, pattern) => *pattern == Pattern::Unit,
            (ArgType::Lambda(_), _) | (_, Pattern::Lambda(..) | Pattern::Unit) => false,
            (ArgType::Null, _) => true,
            (ArgType::Sql(ty), pattern) => bound.fit(pattern, ty) || (with_casts && bound.widen(pattern, ty)),
        };
        if !fits {
            return None;
        }
        bound.arg_patterns.push(match (pattern, arg) {
            (Pattern::Any, ArgType::Sql(ty)) => Pattern::Type(ty.clone()),
            (Pattern::Any, _) => Pattern::Type(SqlType::String),
            (pattern, _) => pattern.clone(),
        });
    }
    Some(bound)
}

impl Bound {
    fn fit(&mut self, pattern: &Pattern, ty: &SqlType) -> bool {
        match (pattern, ty) {
            (Pattern::Type(wanted), ty) => wanted == ty,
            (Pattern::Any, _) => true,
            (Pattern::Decimal, SqlType::Decimal { precision, scale }) => {
                self.widen_decimal(*precision, *scale);
                true
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

    /// Asks for what the lambdas return, in their order: what one returns may be what the next takes.
    fn lambdas(&mut self, name: &str, args: &[ArgType], lambdas: LambdaTypes<'_>) -> Result<(), SqlError> {
        for position in 0..self.arg_patterns.len() {
            let Pattern::Lambda(parameters, result) = self.arg_patterns[position].clone() else { continue };
            let types: Option<Vec<SqlType>> = parameters.iter().map(|pattern| self.fill(pattern)).collect();
            let types = types.ok_or_else(|| {
                SqlError::invalid(format!("function '{name}' cannot tell the type of NULL"))
                    .hint("cast NULL to the type meant")
            })?;
            let ty = lambdas(position, &types)?;
            if !self.fit(&result, &ty) {
                let expected = self.fill(&result).map_or_else(|| result.to_string(), |ty| ty.to_string());
                let given = args.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                return Err(SqlError::invalid(format!(
                    "Function '{name}' does not accept parameters ({given}): its lambda returns {ty} where {expected} is due"
                )));
            }
        }
        Ok(())
    }

    fn widen(&mut self, pattern: &Pattern, ty: &SqlType) -> bool {
        match (pattern, ty) {
            (Pattern::Type(wanted), ty) => ty.can_widen_to(wanted),
            (Pattern::Decimal, ty) => {
                ty.as_decimal().map(|(precision, scale)| self.widen_decimal(precision, scale)).is_some()
            }
            _ => false,
        }
    }

    /// Makes room for another DECIMAL. Of more digits than there are, those in front of the point give way.
    fn widen_decimal(&mut self, precision: u8, scale: i8) {
        let (p, s) = self.decimal.unwrap_or((precision, scale));
        let whole = (i16::from(p) - i16::from(s)).max(i16::from(precision) - i16::from(scale));
        let common = scale.max(s);
        let digits = (whole + i16::from(common)).min(SqlType::DECIMAL_PRECISION_MAX.into());
        self.decimal = Some((digits as u8, common));
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
            Pattern::Any => return None,
            Pattern::Lambda(_, result) => self.fill(result)?,
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

fn no_match(name: &str, forms: &[Signature], args: &[ArgType]) -> SqlError {
    SqlError::invalid(format!(
        "Function '{name}' does not accept parameters ({}).\nValid alternatives are:\n{}\n\
         For detailed information on a function run: DESCRIBE FUNCTION <Function-Name>;",
        types(args),
        alternatives(name, forms)
    ))
}

fn ambiguous(name: &str, forms: &[Signature], args: &[ArgType]) -> SqlError {
    SqlError::invalid(format!(
        "Function '{name}' cannot be resolved due to ambiguous method parameters ({}).\n\
         Use CAST to cast your parameters to the desired type.\nValid alternatives are:\n{}\n\
         For detailed information on a function run: DESCRIBE FUNCTION <Function-Name>;",
        types(args),
        alternatives(name, forms)
    ))
}

fn types(args: &[ArgType]) -> String {
    args.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn alternatives(name: &str, forms: &[Signature]) -> String {
    forms.iter().map(|form| format!("{name}{form}")).collect::<Vec<_>>().join("\n")
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
                "x =>" => ArgType::Lambda(1),
                text => ArgType::Sql(SqlType::parse(text).unwrap()),
            })
            .collect();
        // Lambdas of the test return BIGINT.
        match resolve("F", &forms, &args, casts, &mut |_, _| Ok(SqlType::Bigint)) {
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
            (
                &["(BIGINT, INT) -> BIGINT", "(BIGINT...) -> DOUBLE"],
                &["INT", "INT"],
                "0: BIGINT, INTEGER -> BIGINT",
            ),
            (&["(INT, ANY...) -> INT"], &["INT", "STRING", "NULL"], "0: INTEGER, STRING, STRING -> INTEGER"),
            (
                &["(STRING, ANY...) -> INT", "(STRING, T...) -> INT"],
                &["STRING", "INT"],
                "1: STRING, INTEGER -> INTEGER",
            ),
            (
                &["(INT..., STRING) -> INT", "(INT, INT...) -> INT"],
                &["INT", "STRING"],
                "0: INTEGER, STRING -> INTEGER",
            ),
            (
                &["(ARRAY<T>, LAMBDA(T) => R) -> MAP<T, R>"],
                &["ARRAY<INT>", "x =>"],
                "0: ARRAY<INTEGER>, BIGINT -> MAP<INTEGER, BIGINT>",
            ),
            (&["(DOUBLE) -> DOUBLE"], &["DECIMAL(4, 2)"], "0: DOUBLE -> DOUBLE"),
            (
                &["(DECIMAL...) -> DECIMAL"],
                &["DECIMAL(4, 2)", "INT"],
                "0: DECIMAL(12, 2), DECIMAL(12, 2) -> DECIMAL(12, 2)",
            ),
            (
                &["(DECIMAL...) -> DECIMAL", "(DOUBLE...) -> DOUBLE"],
                &["DECIMAL(38, 0)", "DECIMAL(20, 20)"],
                "0: DECIMAL(58, 20), DECIMAL(58, 20) -> DECIMAL(58, 20)",
            ),
            (
                &["(DECIMAL...) -> DECIMAL", "(DOUBLE...) -> DOUBLE"],
                &["DECIMAL(70, 0)", "DECIMAL(20, 20)"],
                "0: DECIMAL(76, 20), DECIMAL(76, 20) -> DECIMAL(76, 20)",
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
                "Function 'F' does not accept parameters (STRING).\nValid alternatives are:\nF(INTEGER)\nF(STRING, INTEGER)",
            ),
            (
                &["(T, T...) -> T"],
                &["BIGINT", "INT"],
                "Function 'F' does not accept parameters (BIGINT, INTEGER).",
            ),
            (&["(INT) -> INT", "(STRING) -> INT"], &["NULL"], "ambiguous method parameters (null)"),
            (&["(T) -> T"], &["NULL"], "cannot tell the type of NULL"),
            (
                &["(BIGINT) -> BIGINT", "(DOUBLE) -> DOUBLE"],
                &["INT"],
                "ambiguous method parameters (INTEGER)",
            ),
            (
                &["(ARRAY<T>, LAMBDA(T) => T) -> T"],
                &["ARRAY<INT>", "x =>"],
                "returns BIGINT where INTEGER is due",
            ),
        ] {
            let error = check(forms, args, Casts::IfNeeded);
            assert!(error.contains(expected), "{forms:?} {args:?}: {error}");
        }
        assert!(check(&["(DOUBLE) -> DOUBLE"], &["INT"], Casts::Never).contains("does not accept"));
    }
}
