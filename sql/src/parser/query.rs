//! Queries and their clauses.

use super::cursor::Cursor;
use crate::ast::{
    Emit, Expr, ExprKind, Ident, Interval, Join, JoinKind, Query, Relation, SelectItem, SourceRef, TimeUnit,
    WindowClause, WindowKind, Within,
};
use crate::error::SqlError;
use crate::lexer::TokenKind;

/// The clauses in the order they must be written.
const CLAUSES: [&str; 8] = ["WINDOW", "WHERE", "GROUP", "PARTITION", "HAVING", "EMIT", "LIMIT", ";"];

/// Words that start a clause and so cannot be an alias without AS, though they are not reserved.
const NOT_ALIAS: [&str; 6] = ["EMIT", "PARTITION", "ESCAPE", "ORDER", "UNION", "OFFSET"];

impl Cursor<'_> {
    pub(super) fn query(&mut self) -> Result<Query, SqlError> {
        let start = self.expect_word("SELECT")?;
        if self.at_word("DISTINCT") {
            return Err(SqlError::unsupported("SELECT DISTINCT is not supported")
                .at(self.here())
                .hint("use GROUP BY"));
        }
        let select = self.list(Self::select_item)?;
        if !self.at_word("FROM") {
            return Err(self.unexpected(&[",", "AS", "FROM"]));
        }
        self.advance();
        let from = self.relation()?;
        let mut done = 0;
        let mut query = Query {
            select,
            from,
            window: None,
            filter: None,
            group_by: Vec::new(),
            partition_by: Vec::new(),
            having: None,
            emit: None,
            limit: None,
            span: start,
        };
        while let Some(clause) = self.word_at(0).and_then(|w| CLAUSES.iter().position(|c| *c == w)) {
            self.check_clause_order(clause, done)?;
            done = clause + 1;
            self.clause(CLAUSES[clause], &mut query)?;
        }
        self.check_query_end(done)?;
        query.span = start.to(self.before());
        Ok(query)
    }

    fn clause(&mut self, clause: &str, query: &mut Query) -> Result<(), SqlError> {
        match clause {
            "WINDOW" => query.window = Some(self.window_clause()?),
            "WHERE" => {
                self.advance();
                query.filter = Some(self.expr()?);
            }
            "GROUP" => {
                self.advance();
                self.expect_word("BY")?;
                query.group_by = self.grouping("GROUP BY")?;
            }
            "PARTITION" => {
                self.advance();
                self.expect_word("BY")?;
                query.partition_by = self.grouping("PARTITION BY")?;
            }
            "HAVING" => {
                self.advance();
                query.having = Some(self.expr()?);
            }
            "EMIT" => {
                self.advance();
                query.emit = Some(match self.word_at(0) {
                    Some("CHANGES") => Emit::Changes,
                    Some("FINAL") => Emit::Final,
                    _ => return Err(self.unexpected(&["CHANGES", "FINAL"])),
                });
                self.advance();
            }
            _ => {
                self.advance();
                query.limit = Some(self.limit()?);
            }
        }
        Ok(())
    }

    /// The number of a LIMIT clause.
    fn limit(&mut self) -> Result<u64, SqlError> {
        let negative = self.at_symbol("-");
        let start = self.here();
        if negative {
            self.advance();
        }
        if let TokenKind::Number(digits) = self.peek()
            && digits.contains(['.', 'e', 'E'])
        {
            return Err(SqlError::invalid("Value must be integer for command: LIMIT")
                .prefixed("Failed to prepare statement: ")
                .at(self.here()));
        }
        let (rows, span) = self.unsigned("a number of rows")?;
        if negative {
            return Err(SqlError::invalid(
                "Pull queries don't support negative integers in the LIMIT clause. See https://cnfl.io/queries \
                 for more info.",
            )
            .at(start.to(span)));
        }
        Ok(rows)
    }

    fn check_clause_order(&self, clause: usize, done: usize) -> Result<(), SqlError> {
        if clause >= done {
            return Ok(());
        }
        let word = CLAUSES[clause];
        let message = if clause + 1 == done {
            format!("{word} is given twice")
        } else {
            format!("{word} comes too late")
        };
        Err(SqlError::syntax(message)
            .at(self.here())
            .hint("the order is SELECT FROM WINDOW WHERE GROUP BY PARTITION BY HAVING EMIT LIMIT"))
    }

    fn check_query_end(&self, done: usize) -> Result<(), SqlError> {
        if self.at_end() || self.at_symbol(";") {
            return Ok(());
        }
        let unsupported = match self.word_at(0) {
            Some("ORDER") => "ORDER BY",
            Some("UNION") => "UNION",
            Some("OFFSET") => "OFFSET",
            _ => return Err(self.unexpected(&CLAUSES[done..])),
        };
        Err(SqlError::unsupported(format!("{unsupported} is not supported")).at(self.here()))
    }

    fn select_item(&mut self) -> Result<SelectItem, SqlError> {
        let start = self.here();
        if self.take_symbol("*") {
            return Ok(SelectItem::All { span: start });
        }
        if self.at_ident()
            && *self.peek_at(1) == TokenKind::Symbol(".")
            && *self.peek_at(2) == TokenKind::Symbol("*")
        {
            let source = self.ident("a source")?;
            self.advance();
            let end = self.advance();
            return Ok(SelectItem::AllOf { source, span: start.to(end) });
        }
        let expr = self.expr()?;
        if self.at_symbol("->") {
            self.advance();
            let end = self.expect_symbol("*")?;
            return Ok(SelectItem::Fields { base: expr, span: start.to(end) });
        }
        let alias = self.alias("a column name")?;
        Ok(SelectItem::Expr { expr, alias })
    }

    fn alias(&mut self, what: &str) -> Result<Option<Ident>, SqlError> {
        let starts_clause = self.word_at(0).is_some_and(|w| NOT_ALIAS.contains(&w));
        if self.take_word("AS") || (self.at_ident() && !starts_clause) {
            Ok(Some(self.ident(what)?))
        } else {
            Ok(None)
        }
    }

    fn relation(&mut self) -> Result<Relation, SqlError> {
        let source = self.source_ref()?;
        let mut joins = Vec::new();
        while let Some(kind) = self.join_kind()? {
            joins.push(self.join(kind)?);
        }
        if self.at_symbol(",") {
            return Err(SqlError::unsupported("only one source can follow FROM")
                .at(self.here())
                .hint("use JOIN .. ON .."));
        }
        Ok(Relation { source, joins })
    }

    fn source_ref(&mut self) -> Result<SourceRef, SqlError> {
        if self.at_symbol("(") {
            return Err(SqlError::unsupported("subqueries are not supported")
                .at(self.here())
                .hint("make it a stream or table with CREATE .. AS SELECT and read from that"));
        }
        let name = self.source_name("a stream or table")?;
        Ok(SourceRef { name, alias: self.alias("an alias")? })
    }

    /// Takes the words of a join up to and with JOIN, if they come next.
    fn join_kind(&mut self) -> Result<Option<JoinKind>, SqlError> {
        let kind = match self.word_at(0) {
            Some("JOIN") => {
                self.advance();
                return Ok(Some(JoinKind::Inner));
            }
            Some("INNER") => JoinKind::Inner,
            Some("LEFT") => JoinKind::Left,
            Some("RIGHT") => JoinKind::Right,
            Some("FULL") => JoinKind::Full,
            _ => return Ok(None),
        };
        self.advance();
        if kind != JoinKind::Inner {
            self.take_word("OUTER");
        }
        self.expect_word("JOIN")?;
        Ok(Some(kind))
    }

    fn join(&mut self, kind: JoinKind) -> Result<Join, SqlError> {
        let start = self.before();
        let source = self.source_ref()?;
        let within = if self.at_word("WITHIN") { Some(self.within()?) } else { None };
        if !self.at_word("ON") {
            let expected: &[&str] = if within.is_some() { &["ON"] } else { &["WITHIN", "ON"] };
            return Err(self.unexpected(expected));
        }
        self.advance();
        let on = self.expr()?;
        Ok(Join { kind, source, within, on, span: start.to(self.before()) })
    }

    fn within(&mut self) -> Result<Within, SqlError> {
        let start = self.advance();
        let (before, after) = if self.at_symbol("(") {
            let open = self.advance();
            let before = self.interval()?;
            self.expect_symbol(",")?;
            let after = self.interval()?;
            self.expect_close(")", open)?;
            (before, after)
        } else {
            let both = self.interval()?;
            (both, both)
        };
        let grace = if self.take_words(&["GRACE", "PERIOD"]) { Some(self.interval()?) } else { None };
        Ok(Within { before, after, grace, span: start.to(self.before()) })
    }

    fn window_clause(&mut self) -> Result<WindowClause, SqlError> {
        let start = self.expect_word("WINDOW")?;
        // A window may have a name; nothing refers to it.
        if self.at_ident() && !matches!(self.word_at(0), Some("SESSION")) {
            self.ident("a window name")?;
        }
        let name = match self.word_at(0) {
            Some(name @ ("TUMBLING" | "HOPPING" | "SESSION")) => name.to_string(),
            _ => return Err(self.unexpected(&["TUMBLING", "HOPPING", "SESSION"])),
        };
        self.advance();
        let open = self.expect_symbol("(")?;
        let kind = match name.as_str() {
            "TUMBLING" => {
                self.expect_word("SIZE")?;
                WindowKind::Tumbling { size: self.positive_interval("SIZE")? }
            }
            "HOPPING" => {
                self.expect_word("SIZE")?;
                let size = self.positive_interval("SIZE")?;
                self.expect_symbol(",")?;
                self.expect_word("ADVANCE")?;
                self.expect_word("BY")?;
                let (advance_at, advance) = (self.here(), self.positive_interval("ADVANCE BY")?);
                if advance.millis() > size.millis() {
                    return Err(SqlError::invalid(format!(
                        "ADVANCE BY {advance} is more than the window SIZE {size}"
                    ))
                    .at(advance_at.to(self.before())));
                }
                WindowKind::Hopping { size, advance }
            }
            _ => WindowKind::Session { gap: self.interval()? },
        };
        let (mut retention, mut grace) = (None, None);
        while self.take_symbol(",") {
            if retention.is_none() && grace.is_none() && self.take_word("RETENTION") {
                retention = Some(self.interval()?);
            } else if grace.is_none() && self.take_words(&["GRACE", "PERIOD"]) {
                grace = Some(self.interval()?);
            } else {
                return Err(self.unexpected(&["RETENTION", "GRACE PERIOD"]));
            }
        }
        self.expect_close(")", open)?;
        Ok(WindowClause { kind, retention, grace, span: start.to(self.before()) })
    }

    fn positive_interval(&mut self, what: &str) -> Result<Interval, SqlError> {
        let start = self.here();
        let interval = self.interval()?;
        if interval.count == 0 {
            return Err(
                SqlError::invalid(format!("{what} must be more than zero")).at(start.to(self.before()))
            );
        }
        Ok(interval)
    }

    /// `5 MINUTES`
    pub(super) fn interval(&mut self) -> Result<Interval, SqlError> {
        let (count, start) = self.unsigned("a number of time units")?;
        let Some(unit) = self.word_at(0).and_then(TimeUnit::from_word) else {
            return Err(self.unexpected(TimeUnit::NAMES));
        };
        let span = start.to(self.advance());
        let in_range =
            count.checked_mul(unit.millis().unsigned_abs()).is_some_and(|ms| ms <= i64::MAX.unsigned_abs());
        if !in_range {
            return Err(SqlError::invalid(format!(
                "{count} {unit} is too long: at most {} milliseconds",
                i64::MAX
            ))
            .at(span));
        }
        Ok(Interval { count, unit })
    }

    /// `a, b` or `(a, b)`.
    fn grouping(&mut self, clause: &str) -> Result<Vec<Expr>, SqlError> {
        if self.at_symbol("(") && *self.peek_at(1) == TokenKind::Symbol(")") {
            let open = self.advance();
            return Err(SqlError::invalid(format!("{clause} requires at least one expression"))
                .at(open.to(self.here())));
        }
        let exprs = match self.tuple()? {
            Some(exprs) => exprs,
            None => self.list(Self::value_expr)?,
        };
        for (i, expr) in exprs.iter().enumerate() {
            if exprs[..i].contains(expr) && !matches!(expr.kind, ExprKind::Literal(_)) {
                return Err(SqlError::invalid(format!("Duplicate {clause} expression: {expr}")).at(expr.span));
            }
        }
        Ok(exprs)
    }

    /// `(a, b)` with at least one comma, if that is what comes next; else nothing is taken.
    fn tuple(&mut self) -> Result<Option<Vec<Expr>>, SqlError> {
        if !self.at_symbol("(") {
            return Ok(None);
        }
        let mark = self.mark();
        let open = self.advance();
        let first = self.expr()?;
        if !self.take_symbol(",") {
            self.rewind(mark);
            return Ok(None);
        }
        let mut exprs = vec![first];
        exprs.extend(self.list(Self::expr)?);
        self.expect_close(")", open)?;
        Ok(Some(exprs))
    }
}
