//! What WHERE of a pull query must say while tables may not be read whole.
//!
//! Written as alternatives of conditions that all hold, every alternative has to name each key column once: equal to
//! something without columns, or among such. Bounds on a single STRING key will do too, if it may be read in ranges.

use super::scope::is_window_bound;
use crate::{
    ast::{BinaryOp, Expr, ExprKind},
    catalogue::Source,
    error::SqlError,
    types::SqlType,
};

/// Alternatives that a condition may have at most.
const ALTERNATIVES_MAX: usize = 256;

/// Checks that `filter` finds rows of `table` without reading all of it.
pub(super) fn check(filter: Option<&Expr>, table: &Source, ranges: bool) -> Result<(), SqlError> {
    let Some(filter) = filter else { return Err(refused("Missing WHERE clause")) };
    let alternatives = alternatives(filter);
    let Some(alternatives) = alternatives.filter(|all| all.len() <= ALTERNATIVES_MAX) else {
        return Err(needs_scan().at(filter.span));
    };
    let keys = &table.columns.key;
    let mut has_range = false;
    for alternative in &alternatives {
        let mut seen = vec![false; keys.len()];
        for condition in alternative {
            if let Some((key, is_range)) = key_of(condition, table)? {
                if std::mem::replace(&mut seen[key], true) {
                    return Err(refused(
                        "A comparison condition on the key column cannot be combined with other comparisons such as \
                         an IN predicate",
                    )
                    .at(condition.span));
                }
                has_range |= is_range;
            }
        }
        let named = seen.iter().filter(|seen| **seen).count();
        if named == 0 {
            let text: Vec<String> = alternative.iter().map(ToString::to_string).collect();
            let message = format!("WHERE clause missing key column for disjunct: {}", text.join(" AND "));
            return Err(refused(&message).at(filter.span));
        }
        if named < keys.len() {
            let names = |wanted: &dyn Fn(usize) -> bool| {
                let names = keys.iter().enumerate().filter(|(place, _)| wanted(*place));
                names.map(|(_, key)| key.name.as_str()).collect::<Vec<_>>().join(", ")
            };
            return Err(refused(&format!(
                "Multi-column sources must specify every key in the WHERE clause. Specified: [{}] Expected: [{}]",
                names(&|place| seen[place]),
                names(&|_| true)
            ))
            .at(filter.span));
        }
    }
    let in_order = matches!(keys.as_slice(), [key] if matches!(key.ty, SqlType::String | SqlType::Bytes));
    match has_range && !(ranges && in_order && alternatives.len() == 1) {
        true => Err(needs_scan().at(filter.span)),
        false => Ok(()),
    }
}

/// The key column that a condition is about, and whether it gives a bound only.
fn key_of(condition: &Expr, table: &Source) -> Result<Option<(usize, bool)>, SqlError> {
    let column = |expr: &Expr| match &expr.kind {
        ExprKind::Column { name, .. } => Some(name.name.clone()),
        _ => None,
    };
    let key = |name: &str| table.columns.key.iter().position(|key| key.name == name);
    match &condition.kind {
        ExprKind::Binary { op, left, right } => {
            let (name, other) = match (column(left), column(right)) {
                (Some(name), _) if key(&name).is_some() || is_window_bound(&name) => (name, right),
                (_, Some(name)) if key(&name).is_some() || is_window_bound(&name) => (name, left),
                (Some(_), _) | (_, Some(_)) => return Ok(None),
                (None, None) => {
                    return Err(
                        refused("A comparison must directly reference a key column").at(condition.span)
                    );
                }
            };
            let Some(place) = key(&name) else { return Ok(None) };
            if has_columns(other) {
                return Err(refused("A comparison must be between a key column and a resolvable expression")
                    .at(condition.span));
            }
            Ok(match op {
                BinaryOp::Equal => Some((place, false)),
                BinaryOp::Less | BinaryOp::LessOrEqual | BinaryOp::Greater | BinaryOp::GreaterOrEqual => {
                    Some((place, true))
                }
                _ => return Err(needs_scan().at(condition.span)),
            })
        }
        ExprKind::In { operand, list, negated: false } => {
            let place = column(operand).and_then(|name| key(&name));
            match place {
                Some(_) if list.iter().any(has_columns) => {
                    Err(refused("Only constants may be in an IN predicate").at(condition.span))
                }
                place => Ok(place.map(|place| (place, false))),
            }
        }
        ExprKind::Like { operand, .. } if column(operand).is_none() => {
            Err(refused("Like condition must be between strings").at(condition.span))
        }
        ExprKind::Like { operand, .. } if column(operand).is_some_and(|name| key(&name).is_some()) => {
            Err(needs_scan().at(condition.span))
        }
        _ => Ok(None),
    }
}

fn has_columns(expr: &Expr) -> bool {
    let mut has_columns = false;
    expr.walk_columns(&mut |_, _| has_columns = true);
    has_columns
}

/// The condition as alternatives of conditions that all must hold; `None` if they are far too many.
fn alternatives(filter: &Expr) -> Option<Vec<Vec<&Expr>>> {
    match &filter.kind {
        ExprKind::Binary { op: BinaryOp::Or, left, right } => {
            let mut all = alternatives(left)?;
            all.extend(alternatives(right)?);
            Some(all)
        }
        ExprKind::Binary { op: BinaryOp::And, left, right } => {
            let (left, right) = (alternatives(left)?, alternatives(right)?);
            if left.len() * right.len() > ALTERNATIVES_MAX {
                return None;
            }
            let pairs = left.iter().flat_map(|one| right.iter().map(move |other| (one, other)));
            Some(pairs.map(|(one, other)| one.iter().chain(other).copied().collect()).collect())
        }
        _ => Some(vec![vec![filter]]),
    }
}

fn needs_scan() -> SqlError {
    refused("Query requires table scan to be enabled")
}

fn refused(what: &str) -> SqlError {
    SqlError::invalid(format!(
        "{what}. See https://cnfl.io/queries for more info.\nAdd EMIT CHANGES if you intended to issue a push query."
    ))
    .hint(
        "compare every key column with a constant in WHERE, or SET 'ksql.query.pull.table.scan.enabled'='true' to read \
         the whole table",
    )
}
