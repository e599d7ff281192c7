//! CREATE, DROP and ALTER of streams, tables and types.

use super::cursor::Cursor;
use crate::ast::{
    ColumnConstraint, ColumnDef, CreateAs, CreateSource, OnExisting, SourceKind, Statement, quoted,
};
use crate::error::SqlError;

impl Cursor<'_> {
    pub(super) fn create(&mut self) -> Result<Statement, SqlError> {
        self.advance();
        let replace_at = self.here();
        let replace = self.take_words(&["OR", "REPLACE"]);
        if !replace && self.at_word("TYPE") {
            return self.create_type();
        }
        if !replace && (self.at_word("CONNECTOR") || self.word_at(1) == Some("CONNECTOR")) {
            return self.create_connector();
        }
        let read_only = self.take_word("SOURCE");
        if !matches!(self.word_at(0), Some("STREAM" | "TABLE")) {
            let expected: &[&str] = match (replace, read_only) {
                (false, false) => &["STREAM", "TABLE", "OR REPLACE", "SOURCE", "SINK", "TYPE"],
                (_, true) => &["STREAM", "TABLE"],
                (true, false) => &["STREAM", "TABLE", "SOURCE"],
            };
            return Err(self.unexpected(expected));
        }
        let kind = self.source_kind()?;
        let if_not_exists = self.if_not_exists();
        let on_existing = match (replace, if_not_exists) {
            (true, true) => {
                return Err(SqlError::syntax("OR REPLACE and IF NOT EXISTS exclude each other")
                    .at(replace_at.to(self.before())));
            }
            (true, false) => OnExisting::Replace,
            (false, true) => OnExisting::Keep,
            (false, false) => OnExisting::Fail,
        };
        let name = self.source_name("a source name")?;
        let declared = self.at_symbol("(");
        let columns = self.columns(kind)?;
        let with = self.properties()?;
        if declared || read_only || !self.at_word("AS") {
            if !self.at_end() && !self.at_symbol(";") {
                let after_columns: &[&str] = if with.span.is_some() { &[";"] } else { &["WITH", ";"] };
                let expected = if declared || read_only { after_columns } else { &["(", "WITH", "AS", ";"] };
                return Err(self.unexpected(expected));
            }
            return Ok(Statement::CreateSource(CreateSource {
                kind,
                name,
                on_existing,
                read_only,
                columns,
                with,
            }));
        }
        self.advance();
        let query = self.query()?;
        Ok(Statement::CreateAs(CreateAs { kind, name, on_existing, with, query }))
    }

    /// `(column, ..)`, if it comes next.
    pub(super) fn columns(&mut self, kind: SourceKind) -> Result<Vec<ColumnDef>, SqlError> {
        if !self.at_symbol("(") {
            return Ok(Vec::new());
        }
        let open = self.advance();
        let columns = self.list(|cursor| cursor.column(kind))?;
        self.expect_close(")", open)?;
        Ok(columns)
    }

    fn column(&mut self, kind: SourceKind) -> Result<ColumnDef, SqlError> {
        let name = self.ident("a column name")?;
        let ty = self.type_ref()?;
        let constraint = if self.take_words(&["PRIMARY", "KEY"]) {
            if kind == SourceKind::Stream {
                return Err(SqlError::invalid(format!(
                    "Column {} is a 'PRIMARY KEY' column: please use 'KEY' for streams.",
                    quoted(&name.name)
                ))
                .at(name.span)
                .of_name());
            }
            Some(ColumnConstraint::PrimaryKey)
        } else if self.take_word("KEY") {
            if kind == SourceKind::Table {
                return Err(SqlError::invalid(format!(
                    "Column {} is a 'KEY' column: please use 'PRIMARY KEY' for tables.",
                    quoted(&name.name)
                ))
                .at(name.span)
                .of_name());
            }
            Some(ColumnConstraint::Key)
        } else if self.take_word("HEADERS") {
            Some(ColumnConstraint::Headers)
        } else if self.take_word("HEADER") {
            let open = self.expect_symbol("(")?;
            let (header, _) = self.string("a header's name in quotes")?;
            self.expect_close(")", open)?;
            Some(ColumnConstraint::Header(header))
        } else if self.at_symbol(",") || self.at_symbol(")") {
            None
        } else {
            let key = if kind == SourceKind::Stream { "KEY" } else { "PRIMARY KEY" };
            return Err(self.unexpected(&[",", ")", key, "HEADERS", "HEADER"]));
        };
        let span = name.span.to(self.before());
        Ok(ColumnDef { name, ty, constraint, span })
    }

    fn create_type(&mut self) -> Result<Statement, SqlError> {
        self.advance();
        let if_not_exists = self.if_not_exists();
        let name = self.source_name("a type name")?;
        self.expect_word("AS")?;
        Ok(Statement::CreateType { name, ty: self.type_ref()?, if_not_exists })
    }

    pub(super) fn drop_statement(&mut self) -> Result<Statement, SqlError> {
        self.advance();
        match self.word_at(0) {
            Some("TYPE") => {
                self.advance();
                let if_exists = self.if_exists();
                Ok(Statement::DropType { name: self.source_name("a type name")?, if_exists })
            }
            Some("CONNECTOR") => {
                self.advance();
                let if_exists = self.if_exists();
                Ok(Statement::DropConnector { name: self.ident("a connector name")?, if_exists })
            }
            Some("STREAM" | "TABLE") => {
                let kind = self.source_kind()?;
                let if_exists = self.if_exists();
                let name = self.source_name("a source name")?;
                let delete_topic = self.take_words(&["DELETE", "TOPIC"]);
                Ok(Statement::DropSource { kind, name, if_exists, delete_topic })
            }
            _ => Err(self.unexpected(&["STREAM", "TABLE", "TYPE", "CONNECTOR"])),
        }
    }

    pub(super) fn alter(&mut self) -> Result<Statement, SqlError> {
        self.advance();
        if self.take_word("SYSTEM") {
            return Ok(Statement::AlterSystem { property: self.setting()? });
        }
        if !matches!(self.word_at(0), Some("STREAM" | "TABLE")) {
            return Err(self.unexpected(&["STREAM", "TABLE", "SYSTEM"]));
        }
        let kind = self.source_kind()?;
        let name = self.source_name("a source name")?;
        let add = self.list(|cursor| {
            cursor.expect_word("ADD")?;
            cursor.take_word("COLUMN");
            Ok((cursor.ident("a column name")?, cursor.type_ref()?))
        })?;
        Ok(Statement::AlterSource { kind, name, add })
    }
}
