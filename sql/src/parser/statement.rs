//! Which statement it is, and the small ones.

use super::cursor::Cursor;
use crate::ast::{ExplainTarget, Ident, Print, Properties, Property, QueryTarget, SourceKind, Statement};
use crate::error::{SqlError, nearest};
use crate::lexer::TokenKind;

/// The words statements start with.
const STARTS: [&str; 19] = [
    "ALTER",
    "ASSERT",
    "CREATE",
    "DEFINE",
    "DESCRIBE",
    "DROP",
    "EXPLAIN",
    "INSERT",
    "LIST",
    "PAUSE",
    "PRINT",
    "RESUME",
    "SELECT",
    "SET",
    "SHOW",
    "TERMINATE",
    "UNDEFINE",
    "UNSET",
    "WITH",
];

impl Cursor<'_> {
    pub(super) fn statement(&mut self) -> Result<Statement, SqlError> {
        match self.word_at(0) {
            Some("SELECT" | "WITH") => self.select(),
            Some("CREATE") => self.create(),
            Some("INSERT") => self.insert(),
            Some("DROP") => self.drop_statement(),
            Some("ALTER") => self.alter(),
            Some("SHOW" | "LIST") => Ok(Statement::Show(self.show()?)),
            Some("DESCRIBE") => Ok(Statement::Describe(self.describe()?)),
            Some("EXPLAIN") => self.explain(),
            Some("PRINT") => self.print(),
            Some("TERMINATE") => Ok(Statement::Terminate(self.query_target()?)),
            Some("PAUSE") => Ok(Statement::Pause(self.query_target()?)),
            Some("RESUME") => Ok(Statement::Resume(self.query_target()?)),
            Some("SET") => self.set(),
            Some("UNSET") => {
                self.advance();
                let (name, span) = self.string("a property name in quotes")?;
                Ok(Statement::Unset { name, span })
            }
            Some("DEFINE") => {
                self.advance();
                let name = self.ident("a variable")?;
                self.expect_symbol("=")?;
                Ok(Statement::Define { name, value: self.string("a value in quotes")?.0 })
            }
            Some("UNDEFINE") => {
                self.advance();
                Ok(Statement::Undefine(self.ident("a variable")?))
            }
            Some("ASSERT") => Ok(Statement::Assert(self.assertion()?)),
            _ => Err(self.unknown_statement()),
        }
    }

    fn unknown_statement(&self) -> SqlError {
        let error = SqlError::syntax(format!("Unknown statement {}", self.found())).at(self.here());
        match self.word_at(0) {
            Some("RUN") => error.hint("a client runs scripts, not the engine"),
            Some(word) => match nearest(word, &STARTS) {
                Some(meant) => error.hint(format!("did you mean {meant}?")),
                None => {
                    error.hint(format!("statements start with {}", STARTS[..STARTS.len() - 1].join(", ")))
                }
            },
            None => error,
        }
    }

    /// The error for what stands behind a statement that could have ended.
    pub(super) fn unexpected_after_statement(&self) -> SqlError {
        self.unexpected(&[";"]).hint("a statement ends with ;")
    }

    pub(super) fn source_kind(&mut self) -> Result<SourceKind, SqlError> {
        let kind = match self.word_at(0) {
            Some("STREAM") => SourceKind::Stream,
            Some("TABLE") => SourceKind::Table,
            _ => return Err(self.unexpected(&["STREAM", "TABLE"])),
        };
        self.advance();
        Ok(kind)
    }

    pub(super) fn if_not_exists(&mut self) -> bool {
        self.take_words(&["IF", "NOT", "EXISTS"])
    }

    pub(super) fn if_exists(&mut self) -> bool {
        self.take_words(&["IF", "EXISTS"])
    }

    /// `WITH (name = literal, ..)`, if it comes next. Each name may be given once.
    pub(super) fn properties(&mut self) -> Result<Properties, SqlError> {
        if !self.at_word("WITH") {
            return Ok(Properties::default());
        }
        let start = self.advance();
        let open = self.expect_symbol("(")?;
        let entries = if self.at_symbol(")") { Vec::new() } else { self.list(Self::property)? };
        let end = self.expect_close(")", open)?;
        for (i, entry) in entries.iter().enumerate() {
            if entries[..i].iter().any(|earlier| earlier.name.eq_ignore_ascii_case(&entry.name)) {
                return Err(SqlError::invalid(format!(
                    "Duplicate property {} in the WITH clause",
                    entry.name
                ))
                .at(entry.name_span));
            }
        }
        Ok(Properties { entries, span: Some(start.to(end)) })
    }

    fn property(&mut self) -> Result<Property, SqlError> {
        let (name, name_span) = match self.peek().clone() {
            TokenKind::String(name) => (name, self.advance()),
            // Reserved words are fine as property names, as nothing else can stand here.
            TokenKind::Word { upper, .. } => (upper, self.advance()),
            _ => {
                let Ident { name, span } = self.ident("a property name")?;
                (name, span)
            }
        };
        self.expect_symbol("=")?;
        let (value, value_span) = self.literal()?;
        Ok(Property { name, value, name_span, value_span })
    }

    /// `'p' = 'v'`
    pub(super) fn setting(&mut self) -> Result<Property, SqlError> {
        let (name, name_span) = self.string("a property name in quotes")?;
        self.expect_symbol("=")?;
        let (value, value_span) = self.literal()?;
        Ok(Property { name, value, name_span, value_span })
    }

    fn set(&mut self) -> Result<Statement, SqlError> {
        self.advance();
        Ok(Statement::Set(self.setting()?))
    }

    fn query_target(&mut self) -> Result<QueryTarget, SqlError> {
        self.advance();
        if self.take_word("ALL") { Ok(QueryTarget::All) } else { Ok(QueryTarget::Id(self.query_id()?)) }
    }

    fn query_id(&mut self) -> Result<Ident, SqlError> {
        // Ids of transient queries have lower case letters.
        match self.peek().clone() {
            TokenKind::Word { written, upper } if upper.starts_with("TRANSIENT_") => {
                Ok(Ident { name: written, span: self.advance() })
            }
            _ => self.ident("a query id"),
        }
    }

    fn explain(&mut self) -> Result<Statement, SqlError> {
        self.advance();
        let starts_statement = matches!(self.word_at(0), Some("SELECT" | "CREATE" | "INSERT"));
        let target = if starts_statement {
            ExplainTarget::Statement(Box::new(self.nested(Self::statement)?))
        } else {
            ExplainTarget::Query(self.query_id()?)
        };
        Ok(Statement::Explain(target))
    }

    /// A topic's name: in the case written, quoted or bare; bare it may hold `.` and `-`.
    pub(super) fn topic_name(&mut self) -> Result<Ident, SqlError> {
        let mut span = self.here();
        let mut name = match self.peek().clone() {
            TokenKind::String(name) | TokenKind::Quoted(name) => {
                self.advance();
                return Ok(Ident { name, span });
            }
            TokenKind::Word { written, .. } | TokenKind::Number(written) => written,
            _ => return Err(self.unexpected(&["a topic"])),
        };
        self.advance();
        while self.touches(span) {
            let part = match self.peek().clone() {
                TokenKind::Symbol(symbol @ ("-" | ".")) => symbol.to_string(),
                TokenKind::Word { written, .. } | TokenKind::Number(written) => written,
                _ => break,
            };
            name.push_str(&part);
            span = span.to(self.advance());
        }
        Ok(Ident { name, span })
    }

    fn print(&mut self) -> Result<Statement, SqlError> {
        self.advance();
        let topic = self.topic_name()?;
        let from_beginning = self.take_words(&["FROM", "BEGINNING"]);
        let interval = if self.take_word("INTERVAL") || self.take_word("SAMPLE") {
            let (n, span) = self.unsigned("a number of records")?;
            if n == 0 {
                return Err(SqlError::invalid("INTERVAL must be at least 1").at(span));
            }
            n
        } else {
            1
        };
        let limit =
            if self.take_word("LIMIT") { Some(self.unsigned("a number of records")?.0) } else { None };
        Ok(Statement::Print(Print { topic, from_beginning, interval, limit }))
    }
}
