//! SHOW (also LIST) and DESCRIBE.

use super::cursor::Cursor;
use crate::ast::{Describe, Ident, Show};
use crate::error::SqlError;
use crate::lexer::TokenKind;

const SHOWN: [&str; 9] =
    ["STREAMS", "TABLES", "TOPICS", "QUERIES", "FUNCTIONS", "PROPERTIES", "TYPES", "VARIABLES", "CONNECTORS"];

impl Cursor<'_> {
    pub(super) fn show(&mut self) -> Result<Show, SqlError> {
        self.advance();
        if self.take_words(&["ALL", "TOPICS"]) {
            return Ok(Show::Topics { all: true, extended: self.take_word("EXTENDED") });
        }
        if let Some(kind) = self.connector_kind() {
            self.expect_word("CONNECTORS")?;
            return Ok(Show::Connectors { kind: Some(kind) });
        }
        if self.take_words(&["CONNECTOR", "PLUGINS"]) {
            return Ok(Show::ConnectorPlugins);
        }
        let what = match self.word_at(0) {
            Some(word) if SHOWN.contains(&word) => word.to_string(),
            _ => return Err(self.unexpected(&SHOWN)),
        };
        self.advance();
        Ok(match what.as_str() {
            "STREAMS" => Show::Streams { extended: self.take_word("EXTENDED") },
            "TABLES" => Show::Tables { extended: self.take_word("EXTENDED") },
            "TOPICS" => Show::Topics { all: false, extended: self.take_word("EXTENDED") },
            "QUERIES" => Show::Queries { extended: self.take_word("EXTENDED") },
            "FUNCTIONS" => Show::Functions,
            "PROPERTIES" => Show::Properties,
            "TYPES" => Show::Types,
            "VARIABLES" => Show::Variables,
            _ => Show::Connectors { kind: None },
        })
    }

    pub(super) fn describe(&mut self) -> Result<Describe, SqlError> {
        self.advance();
        match self.word_at(0) {
            Some("STREAMS") => {
                self.advance();
                Ok(Describe::Streams { extended: self.take_word("EXTENDED") })
            }
            Some("TABLES") => {
                self.advance();
                Ok(Describe::Tables { extended: self.take_word("EXTENDED") })
            }
            // FUNCTION is also a possible name of a source.
            Some("FUNCTION") if !matches!(self.peek_at(1), TokenKind::Symbol(";") | TokenKind::End) => {
                self.advance();
                let name = match self.word_at(0).map(str::to_string) {
                    Some(name) => Ident { name, span: self.advance() },
                    None => self.ident("a function")?,
                };
                Ok(Describe::Function(name))
            }
            Some("CONNECTOR") => {
                self.advance();
                Ok(Describe::Connector(self.ident("a connector name")?))
            }
            _ => {
                // DESCRIBE EXTENDED name is the older order of the words.
                let extended_first = self.take_word("EXTENDED");
                let name = self.source_name("a stream or table")?;
                let extended = self.take_word("EXTENDED") || extended_first;
                Ok(Describe::Source { name, extended })
            }
        }
    }
}
