//! Which keys and windows a WHERE asks for, so that only these are read.

use std::{any::Any, fmt};

use datafusion::{
    logical_expr::{BinaryExpr, Expr, Operator, expr::InList},
    scalar::ScalarValue,
};

use millstream_formats::Format;

use crate::{
    catalogue::{Column, Source},
    expression::{comparison::Comparison, operation::Operation},
    types::SqlType,
};

/// What is known of the rows wanted. It may promise too many rows, never too few.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    /// Columns with the only values they can have.
    pub(crate) equal: Vec<(String, Vec<ScalarValue>)>,
    /// Columns with a bound.
    pub(crate) bounds: Vec<(String, Comparison, ScalarValue)>,
    /// Conditions that it says nothing of.
    unknown: usize,
}

impl Access {
    /// What these conditions, which all must hold, say.
    pub(crate) fn of<'a>(filters: impl IntoIterator<Item = &'a Expr>) -> Self {
        let mut access = Self::default();
        for filter in filters {
            if let Some(set) = equal(filter) {
                access.equal.push(set);
            } else if let Some((column, comparison, value)) = comparison(filter) {
                access.bounds.push((column, comparison, value));
            } else {
                access.equal.extend(implied(filter));
                access.unknown += 1;
            }
        }
        access
    }

    /// Whether it says anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.equal.is_empty() && self.bounds.is_empty()
    }

    /// Whether the conditions are that the key columns have listed values, of their own types, and nothing else: then
    /// the rows with these keys are those that are wanted.
    pub(crate) fn is_only_keys(&self, source: &Source) -> bool {
        let keys = &source.columns.key;
        let listed = |key: &Column| {
            let values = self.values(&key.name).unwrap_or_default();
            !values.is_empty()
                && values.iter().all(|value| !value.is_null() && value.data_type() == key.ty.to_arrow())
        };
        self.unknown == 0
            && self.bounds.is_empty()
            && self.equal.len() == keys.len()
            && self.lists_keys(source)
            && keys.iter().all(listed)
    }

    /// How the rows of the table `source` are found that are wanted.
    pub(crate) fn path<'s>(&self, source: &'s Source) -> AccessPath<'s> {
        if self.lists_keys(source) {
            return AccessPath::Keys(source);
        }
        match source.columns.key.as_slice() {
            [key] if self.key_bounds(source).next().is_some() => AccessPath::Range(&key.name),
            _ => AccessPath::Scan,
        }
    }

    /// Whether it lists the values of every key column of a table. Several key columns with several values each
    /// would multiply: those few are better found by the scan.
    pub(crate) fn lists_keys(&self, source: &Source) -> bool {
        let keys = &source.columns.key;
        let listed = |name: &str| self.values(name).map_or(0, <[ScalarValue]>::len);
        match keys.as_slice() {
            [key] => listed(&key.name) > 0,
            keys => !keys.is_empty() && keys.iter().all(|key| listed(&key.name) == 1),
        }
    }

    /// Bounds on the key bytes of a table: of one STRING or BYTES key whose bytes sort as its values do.
    pub(crate) fn key_bounds(&self, source: &Source) -> impl Iterator<Item = (Comparison, &[u8])> {
        let key = match source.columns.key.as_slice() {
            [key]
                if source.key_format.format == Format::Kafka
                    && matches!(key.ty, SqlType::String | SqlType::Bytes) =>
            {
                key.name.clone()
            }
            _ => String::new(),
        };
        self.bounds.iter().filter(move |(name, _, _)| *name == key).filter_map(|(_, comparison, value)| {
            let bytes = match value {
                ScalarValue::Utf8(Some(text)) => text.as_bytes(),
                ScalarValue::Binary(Some(bytes)) => bytes.as_slice(),
                _ => return None,
            };
            let narrows = matches!(
                comparison,
                Comparison::Greater | Comparison::GreaterOrEqual | Comparison::Less | Comparison::LessOrEqual
            );
            narrows.then_some((*comparison, bytes))
        })
    }

    /// The only values a column can have, if they are known.
    pub(crate) fn values(&self, column: &str) -> Option<&[ScalarValue]> {
        self.equal.iter().find(|(name, _)| name == column).map(|(_, values)| values.as_slice())
    }
}

/// How a pull query finds the rows of a table that it wants, as EXPLAIN shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AccessPath<'a> {
    /// The keys that WHERE names.
    Keys(&'a Source),
    /// The keys between bounds on this column.
    Range(&'a str),
    /// Every row of the table.
    Scan,
}

impl fmt::Display for AccessPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys(source) => {
                let names: Vec<&str> = source.columns.key.iter().map(|key| key.name.as_str()).collect();
                write!(f, "KEY LOOKUP by {}", names.join(", "))
            }
            Self::Range(key) => write!(f, "RANGE SCAN over {key}"),
            Self::Scan => f.write_str("TABLE SCAN"),
        }
    }
}

/// `column op constant`, in either order.
fn comparison(filter: &Expr) -> Option<(String, Comparison, ScalarValue)> {
    let (left, op, right) = match filter {
        Expr::ScalarFunction(call) => {
            let inner: &dyn Any = call.func.inner().as_ref();
            let op = inner.downcast_ref::<Operation>()?.comparison()?;
            let [left, right] = call.args.as_slice() else { return None };
            (left, op, right)
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let op = match op {
                Operator::Eq => Comparison::Equal,
                Operator::Lt => Comparison::Less,
                Operator::LtEq => Comparison::LessOrEqual,
                Operator::Gt => Comparison::Greater,
                Operator::GtEq => Comparison::GreaterOrEqual,
                _ => return None,
            };
            (&**left, op, &**right)
        }
        _ => return None,
    };
    match (left, right) {
        (Expr::Column(column), Expr::Literal(value, _)) => Some((column.name.clone(), op, value.clone())),
        (Expr::Literal(value, _), Expr::Column(column)) => {
            Some((column.name.clone(), op.swapped(), value.clone()))
        }
        _ => None,
    }
}

/// The columns that can only have listed values where `filter` holds, which may say more than that.
fn implied(filter: &Expr) -> Vec<(String, Vec<ScalarValue>)> {
    match filter {
        Expr::IsTrue(inner) => implied(inner),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            [implied(left), implied(right)].concat()
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let others = implied(right);
            let both = |(name, mut values): (String, Vec<ScalarValue>)| {
                let (_, more) = others.iter().find(|(other, _)| *other == name)?;
                values.extend_from_slice(more);
                Some((name, values))
            };
            implied(left).into_iter().filter_map(both).collect()
        }
        _ => equal(filter).into_iter().collect(),
    }
}

/// A column that can only have the listed values.
fn equal(filter: &Expr) -> Option<(String, Vec<ScalarValue>)> {
    match filter {
        Expr::IsTrue(inner) => equal(inner),
        Expr::InList(InList { expr, list, negated: false }) => {
            let Expr::Column(column) = &**expr else { return None };
            let value = |item: &Expr| match item {
                Expr::Literal(value, _) => Some(value.clone()),
                _ => None,
            };
            Some((column.name.clone(), list.iter().map(value).collect::<Option<_>>()?))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let ((name, mut values), (other, more)) = (equal(left)?, equal(right)?);
            values.extend(more);
            (name == other).then_some((name, values))
        }
        _ => match comparison(filter)? {
            (column, Comparison::Equal, value) => Some((column, vec![value])),
            _ => None,
        },
    }
}
