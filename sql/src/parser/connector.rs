//! CREATE CONNECTOR and ASSERT: statements that are mostly a name and properties.

use super::cursor::Cursor;
use crate::ast::{Assertion, ConnectorKind, CreateSource, Interval, OnExisting, Statement};
use crate::error::SqlError;

impl Cursor<'_> {
    pub(super) fn create_connector(&mut self) -> Result<Statement, SqlError> {
        let Some(kind) = self.connector_kind() else { return Err(self.unexpected(&["SOURCE", "SINK"])) };
        self.expect_word("CONNECTOR")?;
        let if_not_exists = self.if_not_exists();
        let name = self.ident("a connector name")?;
        if !self.at_word("WITH") {
            return Err(self.unexpected(&["WITH"]));
        }
        Ok(Statement::CreateConnector { kind, name, if_not_exists, with: self.properties()? })
    }

    /// Takes SOURCE or SINK, if one comes next.
    pub(super) fn connector_kind(&mut self) -> Option<ConnectorKind> {
        if self.take_word("SOURCE") {
            Some(ConnectorKind::Source)
        } else if self.take_word("SINK") {
            Some(ConnectorKind::Sink)
        } else {
            None
        }
    }

    pub(super) fn assertion(&mut self) -> Result<Assertion, SqlError> {
        self.advance();
        if self.take_words(&["NULL", "VALUES"]) {
            let target = self.source_name("a stream or table")?;
            return Ok(Assertion::Tombstone(self.row_for(target, "KEY")?));
        }
        if self.take_word("VALUES") {
            let target = self.source_name("a stream or table")?;
            return Ok(Assertion::Values(self.row_for(target, "VALUES")?));
        }
        let exists = !self.take_words(&["NOT", "EXISTS"]);
        match self.word_at(0) {
            Some("TOPIC") => {
                self.advance();
                let name = self.topic_name()?;
                let with = self.properties()?;
                Ok(Assertion::Topic { name, exists, with, timeout: self.timeout()? })
            }
            Some("SCHEMA") => {
                self.advance();
                self.assert_schema(exists)
            }
            Some("STREAM" | "TABLE") if exists => {
                let kind = self.source_kind()?;
                let name = self.source_name("a source name")?;
                let columns = self.columns(kind)?;
                let with = self.properties()?;
                let on_existing = OnExisting::Fail;
                Ok(Assertion::Source(CreateSource {
                    kind,
                    name,
                    on_existing,
                    read_only: false,
                    columns,
                    with,
                }))
            }
            _ => Err(self.unexpected(&["TOPIC", "SCHEMA", "STREAM", "TABLE", "VALUES", "NULL VALUES"])),
        }
    }

    fn assert_schema(&mut self, exists: bool) -> Result<Assertion, SqlError> {
        let subject = if self.take_word("SUBJECT") { Some(self.topic_name()?.name) } else { None };
        let id = if self.take_word("ID") {
            let (id, span) = self.unsigned("a schema id")?;
            Some(
                i32::try_from(id)
                    .map_err(|_| SqlError::syntax(format!("schema id {id} is too large")).at(span))?,
            )
        } else {
            None
        };
        if subject.is_none() && id.is_none() {
            return Err(self.unexpected(&["SUBJECT", "ID"]));
        }
        Ok(Assertion::Schema { subject, id, exists, timeout: self.timeout()? })
    }

    fn timeout(&mut self) -> Result<Option<Interval>, SqlError> {
        if self.take_word("TIMEOUT") { Ok(Some(self.interval()?)) } else { Ok(None) }
    }
}
