//! INSERT INTO .. VALUES and INSERT INTO .. SELECT.

use super::cursor::Cursor;
use crate::ast::{Ident, InsertSelect, InsertValues, Statement};
use crate::error::SqlError;

impl Cursor<'_> {
    pub(super) fn insert(&mut self) -> Result<Statement, SqlError> {
        self.advance();
        self.expect_word("INTO")?;
        let target = self.source_name("a stream or table")?;
        if self.at_word("WITH") || self.at_word("SELECT") {
            let with = self.properties()?;
            return Ok(Statement::InsertSelect(InsertSelect { target, with, query: self.query()? }));
        }
        if !self.at_symbol("(") && !self.at_word("VALUES") {
            return Err(self.unexpected(&["(", "VALUES", "SELECT", "WITH"]));
        }
        let row = self.row_for(target, "VALUES")?;
        if self.at_symbol(",") {
            return Err(SqlError::unsupported("INSERT INTO .. VALUES takes one row")
                .at(self.here())
                .hint("write one statement per row"));
        }
        Ok(Statement::InsertValues(row))
    }

    /// `[(columns)] VALUES (values)`, with `word` in place of VALUES.
    pub(super) fn row_for(&mut self, target: Ident, word: &str) -> Result<InsertValues, SqlError> {
        let mut columns = Vec::new();
        if self.at_symbol("(") {
            let open = self.advance();
            columns = self.list(|cursor| cursor.ident("a column name"))?;
            self.expect_close(")", open)?;
        }
        for (i, column) in columns.iter().enumerate() {
            if columns[..i].contains(column) {
                return Err(SqlError::invalid(format!("column {column} is listed twice")).at(column.span));
            }
        }
        self.expect_word(word)?;
        let open = self.expect_symbol("(")?;
        let values = self.list(Self::expr)?;
        let close = self.expect_close(")", open)?;
        if !columns.is_empty() && columns.len() != values.len() {
            let (given, wanted) = (values.len(), columns.len());
            return Err(SqlError::invalid(format!(
                "expected a value for each of {wanted} columns, found {given}"
            ))
            .at(open.to(close)));
        }
        Ok(InsertValues { target, columns, values })
    }
}
