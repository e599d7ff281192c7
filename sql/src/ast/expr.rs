//! Expressions.

use arrow::datatypes::i256;

use crate::ast::{Ident, Span, TypeRef, query::TimeUnit};

/// An expression and where it stands. Equality looks only at what it says.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it says.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
}

impl Expr {
    /// An expression that stands in no text.
    pub fn new(kind: ExprKind) -> Self {
        Self { kind, span: Span::default() }
    }

    /// Calls `visit` on this expression and everything in it, parents first.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Expr)) {
        visit(self);
        self.for_each_child(|child| child.walk(visit));
    }

    /// Calls `visit` on every column in this expression, but not on the parameters of lambdas in their bodies.
    pub fn walk_columns<'a>(&'a self, visit: &mut impl FnMut(Option<&'a Ident>, &'a Ident)) {
        self.walk_free(&mut Vec::new(), visit);
    }

    fn walk_free<'a>(
        &'a self,
        bound: &mut Vec<&'a Ident>,
        visit: &mut impl FnMut(Option<&'a Ident>, &'a Ident),
    ) {
        match &self.kind {
            ExprKind::Column { source, name } => {
                let parameter = source.is_none() && bound.iter().any(|known| known.name == name.name);
                if !parameter {
                    visit(source.as_ref(), name);
                }
            }
            ExprKind::Lambda { parameters, body } => {
                let outer = bound.len();
                bound.extend(parameters);
                body.walk_free(bound, visit);
                bound.truncate(outer);
            }
            _ => self.for_each_child(|child| child.walk_free(bound, visit)),
        }
    }

    /// Calls `visit` on the direct parts of this expression, in the order they are written.
    pub fn for_each_child<'a>(&'a self, mut visit: impl FnMut(&'a Expr)) {
        match &self.kind {
            ExprKind::Literal(_) | ExprKind::TimeUnit(_) | ExprKind::Column { .. } => {}
            ExprKind::Dereference { base, .. } => visit(base),
            ExprKind::Subscript { base, index } => {
                visit(base);
                visit(index);
            }
            ExprKind::Unary { operand, .. }
            | ExprKind::Not(operand)
            | ExprKind::IsNull { operand, .. }
            | ExprKind::Cast { operand, .. } => visit(operand),
            ExprKind::Binary { left, right, .. } => {
                visit(left);
                visit(right);
            }
            ExprKind::Between { operand, low, high, .. } => {
                visit(operand);
                visit(low);
                visit(high);
            }
            ExprKind::In { operand, list, .. } => {
                visit(operand);
                list.iter().for_each(visit);
            }
            ExprKind::Like { operand, pattern, .. } => {
                visit(operand);
                visit(pattern);
            }
            ExprKind::Case { operand, branches, otherwise } => {
                operand.iter().for_each(|e| visit(e));
                for branch in branches {
                    visit(&branch.when);
                    visit(&branch.then);
                }
                otherwise.iter().for_each(|e| visit(e));
            }
            ExprKind::Call { args, .. } => args.iter().for_each(visit),
            ExprKind::Lambda { body, .. } => visit(body),
            ExprKind::Array(items) => items.iter().for_each(visit),
            ExprKind::Map(entries) => {
                for (key, value) in entries {
                    visit(key);
                    visit(value);
                }
            }
            ExprKind::Struct(fields) => fields.iter().for_each(|(_, value)| visit(value)),
        }
    }
}

impl Expr {
    /// This expression with every part that `replace` has something for exchanged for it, outermost first.
    #[must_use]
    pub fn rewrite(&self, replace: &mut impl FnMut(&Expr) -> Option<Expr>) -> Expr {
        if let Some(replaced) = replace(self) {
            return replaced;
        }
        let mut expr = self.clone();
        expr.for_each_child_mut(|child| *child = child.rewrite(replace));
        expr
    }

    fn for_each_child_mut(&mut self, mut visit: impl FnMut(&mut Expr)) {
        match &mut self.kind {
            ExprKind::Literal(_) | ExprKind::TimeUnit(_) | ExprKind::Column { .. } => {}
            ExprKind::Dereference { base, .. } => visit(base),
            ExprKind::Subscript { base, index } => {
                visit(base);
                visit(index);
            }
            ExprKind::Unary { operand, .. }
            | ExprKind::Not(operand)
            | ExprKind::IsNull { operand, .. }
            | ExprKind::Cast { operand, .. } => visit(operand),
            ExprKind::Binary { left, right, .. } => {
                visit(left);
                visit(right);
            }
            ExprKind::Between { operand, low, high, .. } => {
                visit(operand);
                visit(low);
                visit(high);
            }
            ExprKind::In { operand, list, .. } => {
                visit(operand);
                list.iter_mut().for_each(visit);
            }
            ExprKind::Like { operand, pattern, .. } => {
                visit(operand);
                visit(pattern);
            }
            ExprKind::Case { operand, branches, otherwise } => {
                operand.iter_mut().for_each(|e| visit(e));
                for branch in branches {
                    visit(&mut branch.when);
                    visit(&mut branch.then);
                }
                otherwise.iter_mut().for_each(|e| visit(e));
            }
            ExprKind::Call { args, .. } => args.iter_mut().for_each(visit),
            ExprKind::Lambda { body, .. } => visit(body),
            ExprKind::Array(items) => items.iter_mut().for_each(visit),
            ExprKind::Map(entries) => {
                for (key, value) in entries {
                    visit(key);
                    visit(value);
                }
            }
            ExprKind::Struct(fields) => fields.iter_mut().for_each(|(_, value)| visit(value)),
        }
    }
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

/// The kinds of expression.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// `1`, `'a'`, `NULL`, ...
    Literal(Literal),
    /// `MINUTES`, as the first argument of a function that takes a unit.
    TimeUnit(TimeUnit),
    /// `name` or `source.name`.
    Column {
        /// The source's name or alias.
        source: Option<Ident>,
        /// The column.
        name: Ident,
    },
    /// `base->field`.
    Dereference {
        /// The struct.
        base: Box<Expr>,
        /// The field's name.
        field: Ident,
    },
    /// `base[index]`: an item of an array (from 1) or the value of a map's key.
    Subscript {
        /// The array or map.
        base: Box<Expr>,
        /// The index or key.
        index: Box<Expr>,
    },
    /// `-x`, `+x`. A minus in front of a number is part of the literal.
    Unary {
        /// The sign.
        op: UnaryOp,
        /// What it applies to.
        operand: Box<Expr>,
    },
    /// `left op right`. `a || b` is read as `CONCAT(a, b)`.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// Left operand.
        left: Box<Expr>,
        /// Right operand.
        right: Box<Expr>,
    },
    /// `NOT x`.
    Not(Box<Expr>),
    /// `x IS [NOT] NULL`.
    IsNull {
        /// What is tested.
        operand: Box<Expr>,
        /// `IS NOT NULL`.
        negated: bool,
    },
    /// `x [NOT] BETWEEN low AND high`, bounds included.
    Between {
        /// What is tested.
        operand: Box<Expr>,
        /// Lower bound.
        low: Box<Expr>,
        /// Upper bound.
        high: Box<Expr>,
        /// `NOT BETWEEN`.
        negated: bool,
    },
    /// `x [NOT] IN (a, b, ..)`, at least one item.
    In {
        /// What is tested.
        operand: Box<Expr>,
        /// The items.
        list: Vec<Expr>,
        /// `NOT IN`.
        negated: bool,
    },
    /// `x [NOT] LIKE pattern [ESCAPE 'c']`.
    Like {
        /// What is tested.
        operand: Box<Expr>,
        /// The pattern: `%` any text, `_` one character.
        pattern: Box<Expr>,
        /// The escape character; there is none unless given.
        escape: Option<char>,
        /// `NOT LIKE`.
        negated: bool,
    },
    /// `CASE [operand] WHEN a THEN b .. [ELSE c] END`.
    Case {
        /// The operand of the simple form.
        operand: Option<Box<Expr>>,
        /// At least one branch.
        branches: Vec<CaseBranch>,
        /// The `ELSE` part.
        otherwise: Option<Box<Expr>>,
    },
    /// `CAST(x AS type)`.
    Cast {
        /// What is cast.
        operand: Box<Expr>,
        /// To which type.
        to: TypeRef,
    },
    /// `NAME(args)`. `NAME(*)` is read as `NAME()`.
    Call {
        /// The function.
        name: Ident,
        /// Its arguments.
        args: Vec<Expr>,
    },
    /// `x => body`, `(x, y) => body`; only as an argument of a call.
    Lambda {
        /// The parameters, at least one.
        parameters: Vec<Ident>,
        /// The body.
        body: Box<Expr>,
    },
    /// `ARRAY[a, b]`.
    Array(Vec<Expr>),
    /// `MAP(k := v, ..)`.
    Map(Vec<(Expr, Expr)>),
    /// `STRUCT(f := v, ..)`.
    Struct(Vec<(Ident, Expr)>),
}

/// One `WHEN .. THEN ..`.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseBranch {
    /// The condition, or in the simple form the value to compare with.
    pub when: Expr,
    /// The result.
    pub then: Expr,
}

/// A constant.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// Untyped NULL.
    Null,
    /// TRUE, FALSE.
    Boolean(bool),
    /// A whole number of 32 bits.
    Int(i32),
    /// A whole number of 64 bits.
    Bigint(i64),
    /// `1.50`: unscaled 150, precision 3, scale 2. At most 76 digits.
    Decimal {
        /// The digits as a whole number.
        unscaled: i256,
        /// How many digits.
        precision: u8,
        /// How many of them stand behind the point.
        scale: i8,
    },
    /// `1.5E0`.
    Double(f64),
    /// `'text'`.
    String(String),
}

/// Signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    /// `-`
    Minus,
    /// `+`
    Plus,
}

/// Operators with two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    /// `+`, also the concatenation of two strings.
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
    /// `=`
    Equal,
    /// `<>`, `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `IS DISTINCT FROM`
    IsDistinctFrom,
    /// `IS NOT DISTINCT FROM`
    IsNotDistinctFrom,
    /// `AND`
    And,
    /// `OR`
    Or,
}

impl BinaryOp {
    /// `+ - * / %`
    pub fn is_arithmetic(self) -> bool {
        matches!(self, Self::Add | Self::Subtract | Self::Multiply | Self::Divide | Self::Modulo)
    }

    /// `= <> < <= > >=` and `IS [NOT] DISTINCT FROM`.
    pub fn is_comparison(self) -> bool {
        !self.is_arithmetic() && !matches!(self, Self::And | Self::Or)
    }

    /// The operator that says the same with its operands exchanged, if this is a comparison.
    pub fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            other => other,
        }
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::IsDistinctFrom => "IS DISTINCT FROM",
            Self::IsNotDistinctFrom => "IS NOT DISTINCT FROM",
            Self::And => "AND",
            Self::Or => "OR",
        }
    }
}
