//! Which keys and windows a WHERE asks for, so that only these are read.

use std::any::Any;

use datafusion::{
    logical_expr::{BinaryExpr, Expr, Operator, expr::InList},
    scalar::ScalarValue,
};

use crate::expression::{comparison::Comparison, operation::Operation};

/// What is known of the rows wanted. It may promise too many rows, never too few.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    /// Columns with the only values they can have.
    pub(crate) equal: Vec<(String, Vec<ScalarValue>)>,
    /// Columns with a bound.
    pub(crate) bounds: Vec<(String, Comparison, ScalarValue)>,
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
            }
        }
        access
    }

    /// Whether it says anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.equal.is_empty() && self.bounds.is_empty()
    }

    /// The only values a column can have, if they are known.
    pub(crate) fn values(&self, column: &str) -> Option<&[ScalarValue]> {
        self.equal.iter().find(|(name, _)| name == column).map(|(_, values)| values.as_slice())
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
