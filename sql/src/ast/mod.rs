//! What a statement says, before any name or type in it was looked up.
//!
//! ```text
//! text ─▶ parser ─▶ Statement ─┬─▶ Query ─▶ Expr
//!                              └─▶ TypeRef, Properties, Ident
//! ```
//! Every part that an error may point at knows its [`Span`]. Two expressions are equal when they say the same, wherever
//! they stand, and every part prints back as SQL that parses to an equal part.

mod display;
mod expr;
mod ident;
mod query;
mod span;
mod statement;
mod type_ref;

pub use expr::{BinaryOp, CaseBranch, Expr, ExprKind, Literal, UnaryOp};
pub use ident::{Ident, is_reserved, quote_if_needed, quoted};
pub use query::{
    Emit, Interval, Join, JoinKind, Query, Relation, SelectItem, SourceRef, TimeUnit, WindowClause,
    WindowKind, Within,
};
pub use span::{Span, Spanned};
pub use statement::{
    Assertion, ColumnConstraint, ColumnDef, ConnectorKind, CreateAs, CreateSource, Describe, ExplainTarget,
    InsertSelect, InsertValues, OnExisting, Print, Properties, Property, QueryTarget, Show, SourceKind,
    Statement,
};
pub use type_ref::TypeRef;
