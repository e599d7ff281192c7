//! Prints parts of statements as SQL that parses back to them.

use std::fmt::{self, Display, Formatter};

use crate::ast::{
    ColumnConstraint, ColumnDef, ConnectorKind, CreateSource, Emit, Expr, ExprKind, Join, JoinKind, Literal,
    OnExisting, Properties, Property, Query, Relation, SelectItem, SourceKind, SourceRef, TypeRef, UnaryOp,
    WindowClause, WindowKind, Within, quote_if_needed,
};
use crate::decimal;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Literal(literal) => literal.fmt(f),
            ExprKind::TimeUnit(unit) => unit.fmt(f),
            ExprKind::Column { source: Some(source), name } => write!(f, "{source}.{name}"),
            ExprKind::Column { source: None, name } => name.fmt(f),
            ExprKind::Dereference { base, field } => write!(f, "{}->{field}", Operand(base)),
            ExprKind::Subscript { base, index } => write!(f, "{}[{index}]", Operand(base)),
            ExprKind::Unary { op: UnaryOp::Minus, operand } => write!(f, "-({operand})"),
            ExprKind::Unary { op: UnaryOp::Plus, operand } => write!(f, "+({operand})"),
            ExprKind::Binary { op, left, right } => write!(f, "({left} {} {right})", op.as_str()),
            ExprKind::Not(operand) => write!(f, "(NOT {operand})"),
            ExprKind::IsNull { operand, negated } => write!(f, "({operand} IS {}NULL)", not(*negated)),
            ExprKind::Between { operand, low, high, negated } => {
                write!(f, "({operand} {}BETWEEN {low} AND {high})", not(*negated))
            }
            ExprKind::In { operand, list, negated } => {
                write!(f, "({operand} {}IN ({}))", not(*negated), Commas(list))
            }
            ExprKind::Like { operand, pattern, escape, negated } => {
                write!(f, "({operand} {}LIKE {pattern}", not(*negated))?;
                if let Some(escape) = escape {
                    write!(f, " ESCAPE {}", Quoted(&escape.to_string()))?;
                }
                f.write_str(")")
            }
            ExprKind::Case { operand, branches, otherwise } => {
                f.write_str("(CASE")?;
                if let Some(operand) = operand {
                    write!(f, " {operand}")?;
                }
                for branch in branches {
                    write!(f, " WHEN {} THEN {}", branch.when, branch.then)?;
                }
                if let Some(otherwise) = otherwise {
                    write!(f, " ELSE {otherwise}")?;
                }
                f.write_str(" END)")
            }
            ExprKind::Cast { operand, to } => write!(f, "CAST({operand} AS {to})"),
            ExprKind::Call { name, args } => write!(f, "{name}({})", Commas(args)),
            ExprKind::Lambda { parameters, body } => match parameters.as_slice() {
                [only] => write!(f, "{only} => {body}"),
                _ => write!(f, "({}) => {body}", Commas(parameters)),
            },
            ExprKind::Array(items) => write!(f, "ARRAY[{}]", Commas(items)),
            ExprKind::Map(entries) => {
                f.write_str("MAP(")?;
                for (i, (key, value)) in entries.iter().enumerate() {
                    write!(f, "{}{key}:={value}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str(")")
            }
            ExprKind::Struct(fields) => {
                f.write_str("STRUCT(")?;
                for (i, (name, value)) in fields.iter().enumerate() {
                    write!(f, "{}{name}:={value}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str(")")
            }
        }
    }
}

/// An expression in front of `->` or `[`: signs need parentheses there, everything else brings its own.
struct Operand<'a>(&'a Expr);

impl Display for Operand<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.kind {
            ExprKind::Unary { .. } => write!(f, "({})", self.0),
            _ => self.0.fmt(f),
        }
    }
}

impl Display for Literal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Boolean(value) => value.fmt(f),
            Self::Int(n) => n.fmt(f),
            Self::Bigint(n) => n.fmt(f),
            // A point, or it would be a whole number.
            Self::Decimal { unscaled, scale: 0, .. } => write!(f, "{unscaled}."),
            Self::Decimal { unscaled, scale, .. } => f.write_str(&decimal::text(unscaled, *scale)),
            Self::Double(n) => write!(f, "{n:E}"),
            Self::String(text) => Quoted(text).fmt(f),
        }
    }
}

/// Text as a SQL string.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.0.replace('\'', "''"))
    }
}

/// Items separated by commas.
struct Commas<'a, T>(&'a [T]);

impl<T: Display> Display for Commas<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, item) in self.0.iter().enumerate() {
            write!(f, "{}{item}", if i > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

impl Display for TypeRef {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple(ty) => ty.fmt(f),
            Self::Array(item) => write!(f, "ARRAY<{item}>"),
            Self::Map(key, value) => write!(f, "MAP<{key}, {value}>"),
            Self::Struct(fields) => {
                f.write_str("STRUCT<")?;
                for (i, (name, ty)) in fields.iter().enumerate() {
                    write!(f, "{}{name} {ty}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str(">")
            }
            Self::Custom(name) => name.fmt(f),
        }
    }
}

/// As it parses back.
impl Display for CreateSource {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let replace = if self.on_existing == OnExisting::Replace { "OR REPLACE " } else { "" };
        let read_only = if self.read_only { "SOURCE " } else { "" };
        let keep = if self.on_existing == OnExisting::Keep { "IF NOT EXISTS " } else { "" };
        write!(f, "CREATE {replace}{read_only}{} {keep}{}", self.kind, self.name)?;
        if !self.columns.is_empty() {
            write!(f, " ({})", Commas(&self.columns))?;
        }
        write!(f, " {}", self.with)
    }
}

impl Display for ColumnDef {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.ty)?;
        match &self.constraint {
            None => Ok(()),
            Some(ColumnConstraint::Key) => f.write_str(" KEY"),
            Some(ColumnConstraint::PrimaryKey) => f.write_str(" PRIMARY KEY"),
            Some(ColumnConstraint::Headers) => f.write_str(" HEADERS"),
            Some(ColumnConstraint::Header(key)) => write!(f, " HEADER({})", Quoted(key)),
        }
    }
}

impl Display for Query {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "SELECT {} FROM {}", Commas(&self.select), self.from)?;
        if let Some(window) = &self.window {
            write!(f, " {window}")?;
        }
        if let Some(filter) = &self.filter {
            write!(f, " WHERE {filter}")?;
        }
        if !self.group_by.is_empty() {
            write!(f, " GROUP BY {}", Commas(&self.group_by))?;
        }
        if !self.partition_by.is_empty() {
            write!(f, " PARTITION BY {}", Commas(&self.partition_by))?;
        }
        if let Some(having) = &self.having {
            write!(f, " HAVING {having}")?;
        }
        match self.emit {
            Some(Emit::Changes) => f.write_str(" EMIT CHANGES")?,
            Some(Emit::Final) => f.write_str(" EMIT FINAL")?,
            None => {}
        }
        match self.limit {
            Some(limit) => write!(f, " LIMIT {limit}"),
            None => Ok(()),
        }
    }
}

impl Display for SelectItem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expr { expr, alias: Some(alias) } => write!(f, "{expr} AS {alias}"),
            Self::Expr { expr, alias: None } => expr.fmt(f),
            Self::All { .. } => f.write_str("*"),
            Self::AllOf { source, .. } => write!(f, "{source}.*"),
            Self::Fields { base, .. } => write!(f, "{}->*", Operand(base)),
        }
    }
}

impl Display for Relation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)?;
        self.joins.iter().try_for_each(|join| write!(f, " {join}"))
    }
}

impl Display for SourceRef {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.alias {
            Some(alias) => write!(f, "{} AS {alias}", self.name),
            None => self.name.fmt(f),
        }
    }
}

impl Display for Join {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} JOIN {}", self.kind, self.source)?;
        if let Some(within) = &self.within {
            write!(f, " {within}")?;
        }
        write!(f, " ON {}", self.on)
    }
}

impl Display for JoinKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inner => "INNER",
            Self::Left => "LEFT OUTER",
            Self::Right => "RIGHT OUTER",
            Self::Full => "FULL OUTER",
        })
    }
}

impl Display for Within {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.before == self.after {
            write!(f, "WITHIN {}", self.before)?;
        } else {
            write!(f, "WITHIN ({}, {})", self.before, self.after)?;
        }
        match self.grace {
            Some(grace) => write!(f, " GRACE PERIOD {grace}"),
            None => Ok(()),
        }
    }
}

impl Display for WindowClause {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.kind {
            WindowKind::Tumbling { size } => write!(f, "WINDOW TUMBLING (SIZE {size}")?,
            WindowKind::Hopping { size, advance } => {
                write!(f, "WINDOW HOPPING (SIZE {size}, ADVANCE BY {advance}")?
            }
            WindowKind::Session { gap } => write!(f, "WINDOW SESSION ({gap}")?,
        }
        if let Some(retention) = self.retention {
            write!(f, ", RETENTION {retention}")?;
        }
        if let Some(grace) = self.grace {
            write!(f, ", GRACE PERIOD {grace}")?;
        }
        f.write_str(")")
    }
}

impl Display for SourceKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stream => "STREAM",
            Self::Table => "TABLE",
        })
    }
}

impl Display for ConnectorKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "SOURCE",
            Self::Sink => "SINK",
        })
    }
}

/// `WITH (..)`, or nothing without properties.
impl Display for Properties {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.is_empty() { Ok(()) } else { write!(f, "WITH ({})", Commas(&self.entries)) }
    }
}

impl Display for Property {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", quote_if_needed(&self.name), self.value)
    }
}
