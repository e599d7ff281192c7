//! Queries: `SELECT .. FROM ..` and their clauses.

use std::fmt;

use crate::ast::{Expr, Ident, Span};

/// `SELECT items FROM relation [WINDOW ..] [WHERE ..] [GROUP BY ..] [PARTITION BY ..] [HAVING ..] [EMIT ..] [LIMIT n]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// What is selected, at least one item.
    pub select: Vec<SelectItem>,
    /// Where from.
    pub from: Relation,
    /// The window of an aggregation.
    pub window: Option<WindowClause>,
    /// The WHERE condition.
    pub filter: Option<Expr>,
    /// The GROUP BY expressions, empty without the clause.
    pub group_by: Vec<Expr>,
    /// The PARTITION BY expressions, empty without the clause.
    pub partition_by: Vec<Expr>,
    /// The HAVING condition.
    pub having: Option<Expr>,
    /// How results come out; without it a query returned to a client is a pull query.
    pub emit: Option<Emit>,
    /// At most this many rows.
    pub limit: Option<u64>,
    /// Where the query stands.
    pub span: Span,
}

/// One item of a SELECT list.
#[derive(Clone, Debug, PartialEq)]
pub enum SelectItem {
    /// `expr [[AS] alias]`
    Expr {
        /// The expression.
        expr: Expr,
        /// The name of the result column.
        alias: Option<Ident>,
    },
    /// `*`
    All {
        /// Where it stands.
        span: Span,
    },
    /// `source.*`
    AllOf {
        /// The source's name or alias.
        source: Ident,
        /// Where it stands.
        span: Span,
    },
    /// `struct->*`
    Fields {
        /// The struct.
        base: Expr,
        /// Where it stands.
        span: Span,
    },
}

/// The FROM clause: a source and what is joined to it, left-deep in the order written.
#[derive(Clone, Debug, PartialEq)]
pub struct Relation {
    /// The leftmost source.
    pub source: SourceRef,
    /// What is joined to it.
    pub joins: Vec<Join>,
}

/// `name [[AS] alias]`
#[derive(Clone, Debug, PartialEq)]
pub struct SourceRef {
    /// The stream's or table's name.
    pub name: Ident,
    /// Its name in this query, if another.
    pub alias: Option<Ident>,
}

impl SourceRef {
    /// The name that columns are qualified with.
    pub fn binding(&self) -> &Ident {
        self.alias.as_ref().unwrap_or(&self.name)
    }
}

/// `JOIN source [WITHIN ..] ON condition`
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// Which rows without a match come out.
    pub kind: JoinKind,
    /// The right side.
    pub source: SourceRef,
    /// How near in time the two records must be.
    pub within: Option<Within>,
    /// The condition.
    pub on: Expr,
    /// Where the clause stands.
    pub span: Span,
}

/// Kinds of join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    /// Only matches.
    Inner,
    /// Every left row.
    Left,
    /// Every right row.
    Right,
    /// Every row of both sides.
    Full,
}

/// `WITHIN n unit`, `WITHIN (before, after)`, with a grace period.
#[derive(Clone, Debug, PartialEq)]
pub struct Within {
    /// How much older than the left record the right one may be.
    pub before: Interval,
    /// How much younger than the left record the right one may be.
    pub after: Interval,
    /// How long late records are waited for.
    pub grace: Option<Interval>,
    /// Where the clause stands.
    pub span: Span,
}

/// `WINDOW ..`
#[derive(Clone, Debug, PartialEq)]
pub struct WindowClause {
    /// How windows are cut.
    pub kind: WindowKind,
    /// How long windows can be queried.
    pub retention: Option<Interval>,
    /// How long after its end a window still takes records.
    pub grace: Option<Interval>,
    /// Where the clause stands.
    pub span: Span,
}

/// How windows are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowKind {
    /// Windows of one size, side by side.
    Tumbling {
        /// Length of a window.
        size: Interval,
    },
    /// Windows of one size that overlap.
    Hopping {
        /// Length of a window.
        size: Interval,
        /// Distance between the starts of two windows.
        advance: Interval,
    },
    /// Windows that end when a key was silent for long enough.
    Session {
        /// The silence that ends a session.
        gap: Interval,
    },
}

/// A length of time as written: `5 MINUTES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// How many units; the whole fits in 63 bits of milliseconds.
    pub count: u64,
    /// The unit.
    pub unit: TimeUnit,
}

impl Interval {
    /// The length in milliseconds.
    pub fn millis(self) -> i64 {
        i64::try_from(self.count.saturating_mul(self.unit.millis().unsigned_abs())).unwrap_or(i64::MAX)
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.count, self.unit)
    }
}

/// Units of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeUnit {
    /// DAY, DAYS
    Days,
    /// HOUR, HOURS
    Hours,
    /// MINUTE, MINUTES
    Minutes,
    /// SECOND, SECONDS
    Seconds,
    /// MILLISECOND, MILLISECONDS
    Milliseconds,
}

impl TimeUnit {
    /// Every unit's name, as printed.
    pub const NAMES: &'static [&'static str] = &["DAYS", "HOURS", "MINUTES", "SECONDS", "MILLISECONDS"];

    /// The unit an upper case word names.
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "DAY" | "DAYS" => Self::Days,
            "HOUR" | "HOURS" => Self::Hours,
            "MINUTE" | "MINUTES" => Self::Minutes,
            "SECOND" | "SECONDS" => Self::Seconds,
            "MILLISECOND" | "MILLISECONDS" => Self::Milliseconds,
            _ => return None,
        })
    }

    /// Its length in milliseconds.
    pub fn millis(self) -> i64 {
        match self {
            Self::Days => 86_400_000,
            Self::Hours => 3_600_000,
            Self::Minutes => 60_000,
            Self::Seconds => 1_000,
            Self::Milliseconds => 1,
        }
    }
}

impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Days => "DAYS",
            Self::Hours => "HOURS",
            Self::Minutes => "MINUTES",
            Self::Seconds => "SECONDS",
            Self::Milliseconds => "MILLISECONDS",
        })
    }
}

/// How results come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// Every change.
    Changes,
    /// Each window once, when it closed.
    Final,
}
