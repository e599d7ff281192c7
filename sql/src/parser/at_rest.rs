//! SELECTs: those of our grammar, and those that only DataFusion reads.

use super::cursor::Cursor;
use crate::{
    ast::{Query, Statement},
    error::SqlError,
    lexer::TokenKind,
};

/// Words that our grammar of SELECT does not have, and DataFusion's has.
const BEYOND: [&str; 15] = [
    "CROSS",
    "CUBE",
    "DISTINCT",
    "EXCEPT",
    "GROUPING",
    "INTERSECT",
    "NATURAL",
    "OF",
    "OFFSET",
    "ORDER",
    "OVER",
    "QUALIFY",
    "ROLLUP",
    "UNION",
    "USING",
];

impl Cursor<'_> {
    /// A query for the client. What runs for ever (EMIT) is ours alone; of the others, DataFusion reads what we cannot.
    pub(super) fn select(&mut self) -> Result<Statement, SqlError> {
        let start = self.mark();
        let ours = match self.at_word("SELECT") {
            true => self.query(),
            false => Err(self.unexpected(&["SELECT"])),
        };
        let ended = self.at_end() || self.at_symbol(";");
        match ours {
            Ok(query) if ended && (query.emit.is_some() || is_plain(&query)) => {
                return Ok(Statement::Select(query));
            }
            Ok(_) => {}
            // Where nothing is said that only DataFusion knows, the error is the better answer.
            Err(error) => {
                self.rewind(start);
                if !self.goes_beyond() {
                    return Err(error);
                }
            }
        }
        self.rewind(start);
        let from = self.here();
        while !self.at_end() && !self.at_symbol(";") {
            self.advance();
        }
        Ok(Statement::AtRest(self.text_of(from.to(self.before())).to_owned()))
    }

    /// Whether the statement has a word or a subquery of DataFusion's, and does not run for ever.
    fn goes_beyond(&self) -> bool {
        let (mut ahead, mut found) = (0, self.at_word("WITH"));
        loop {
            match self.peek_at(ahead) {
                TokenKind::End | TokenKind::Symbol(";") => return found,
                TokenKind::Word { upper, .. } if upper == "EMIT" => return false,
                TokenKind::Word { upper, .. } => {
                    found |= BEYOND.contains(&upper.as_str())
                        || (upper == "SELECT"
                            && ahead > 0
                            && *self.peek_at(ahead - 1) == TokenKind::Symbol("("));
                }
                _ => {}
            }
            ahead += 1;
        }
    }
}

/// Whether it is a pull query as ksqlDB knows them, or one that ksqlDB's own errors are the answer to.
fn is_plain(query: &Query) -> bool {
    let streaming = query.window.is_some() || !query.partition_by.is_empty();
    streaming || (query.from.joins.is_empty() && query.group_by.is_empty() && query.having.is_none())
}
