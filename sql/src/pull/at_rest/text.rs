//! From our dialect's text to the one that DataFusion reads.
//!
//! Bare words become upper case, as our names are; DataFusion then takes all names as they stand. Names of functions
//! become lower case, as DataFusion keeps them. `a->b` becomes `a['B']`, and `x AS OF ..` a name of its own.

use std::collections::BTreeSet;

use crate::{
    ast::{Ident, Span},
    error::SqlError,
    lexer::{Token, TokenKind, tokenize},
};

/// Up to where a topic is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// To its end when the query starts.
    Now,
    /// `AS OF OFFSET n`: records below that offset, in every partition.
    Offset(u64),
    /// `AS OF TIMESTAMP t`: records before the first one with a later time, in every partition; ms.
    Time(i64),
}

/// A text for DataFusion.
#[derive(Debug)]
pub(crate) struct Rewritten {
    /// The text.
    pub(crate) sql: String,
    /// Names in it that stand for a source at some time.
    pub(crate) versions: Vec<Version>,
    /// All bare and quoted names, with where they stand.
    words: Vec<Ident>,
}

/// A source at some time.
#[derive(Debug)]
pub(crate) struct Version {
    /// The name in the text.
    pub(crate) name: String,
    /// The source.
    pub(crate) source: Ident,
    /// The time.
    pub(crate) until: Until,
}

impl Rewritten {
    /// Whether the text has this name.
    pub(crate) fn mentions(&self, name: &str) -> bool {
        self.words.iter().any(|word| word.name == name)
    }

    /// The name with its place in the text.
    pub(crate) fn ident(&self, name: &str) -> Ident {
        let found = self.words.iter().find(|word| word.name == name).cloned();
        found.unwrap_or_else(|| Ident { name: name.to_owned(), span: Span::default() })
    }
}

/// Rewrites a query. `functions` are the names of functions in lower case, `time` reads a point in time.
pub(crate) fn rewrite(
    text: &str,
    functions: &BTreeSet<String>,
    time: &dyn Fn(&str) -> Option<i64>,
) -> Result<Rewritten, SqlError> {
    let tokens = tokenize(text)?;
    let mut rewriter = Rewriter {
        text,
        tokens: &tokens,
        next: 0,
        out: String::new(),
        versions: Vec::new(),
        words: Vec::new(),
    };
    while rewriter.peek(0) != &TokenKind::End {
        rewriter.step(functions, time)?;
    }
    let Rewriter { out: sql, versions, words, .. } = rewriter;
    Ok(Rewritten { sql, versions, words })
}

struct Rewriter<'a> {
    text: &'a str,
    tokens: &'a [Token],
    next: usize,
    out: String,
    versions: Vec<Version>,
    words: Vec<Ident>,
}

impl Rewriter<'_> {
    fn peek(&self, ahead: usize) -> &TokenKind {
        &self.tokens[(self.next + ahead).min(self.tokens.len() - 1)].kind
    }

    fn is_word(&self, ahead: usize, word: &str) -> bool {
        matches!(self.peek(ahead), TokenKind::Word { upper, .. } if upper == word)
    }

    fn put(&mut self, text: &str) {
        if !self.out.is_empty() {
            self.out.push(' ');
        }
        self.out.push_str(text);
    }

    fn step(
        &mut self,
        functions: &BTreeSet<String>,
        time: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<(), SqlError> {
        let Token { kind, span } = self.tokens[self.next].clone();
        let name = match &kind {
            TokenKind::Word { upper, .. } => Some(upper),
            TokenKind::Quoted(name) => Some(name),
            _ => None,
        };
        if let Some(name) = name {
            let ident = Ident { name: name.clone(), span };
            self.words.push(ident.clone());
            if self.is_word(1, "AS") && self.is_word(2, "OF") {
                return self.version(ident, time);
            }
        }
        match &kind {
            TokenKind::Word { upper, written } => {
                let call = matches!(self.peek(1), TokenKind::Symbol("("));
                let lower = written.to_lowercase();
                self.put(if call && functions.contains(&lower) { &lower } else { upper });
            }
            TokenKind::Quoted(name) => self.put(&quoted(name)),
            TokenKind::String(text) => self.put(&string(text)),
            TokenKind::Symbol("->") => {
                let field = match self.peek(1) {
                    TokenKind::Word { upper, .. } => upper.clone(),
                    TokenKind::Quoted(name) => name.clone(),
                    _ => return Err(SqlError::syntax("'->' is not followed by a field's name").at(span)),
                };
                self.out.push_str(&format!("[{}]", string(&field)));
                self.next += 1;
            }
            _ => self.put(span.slice(self.text)),
        }
        self.next += 1;
        Ok(())
    }

    /// `source AS OF {OFFSET n|TIMESTAMP t}`.
    fn version(&mut self, source: Ident, time: &dyn Fn(&str) -> Option<i64>) -> Result<(), SqlError> {
        let value = self.tokens[(self.next + 4).min(self.tokens.len() - 1)].clone();
        let wrong = |expected: &str| Err(SqlError::syntax(format!("AS OF needs {expected}")).at(value.span));
        let until = match &value.kind {
            TokenKind::Number(digits) if self.is_word(3, "OFFSET") => match digits.parse() {
                Ok(offset) => Until::Offset(offset),
                Err(_) => return wrong("an offset that is a whole number"),
            },
            TokenKind::Number(digits) if self.is_word(3, "TIMESTAMP") => match digits.parse() {
                Ok(millis) => Until::Time(millis),
                Err(_) => return wrong("a time in milliseconds, or as text"),
            },
            TokenKind::String(text) if self.is_word(3, "TIMESTAMP") => match time(text) {
                Some(millis) => Until::Time(millis),
                None => return wrong("a time such as '2024-05-01T12:00:00Z'"),
            },
            _ => return wrong("OFFSET and a number, or TIMESTAMP and a time"),
        };
        let name = format!("{} AS OF {until:?}", source.name);
        self.put(&quoted(&name));
        self.next += 5;
        let aliased = match self.peek(0) {
            TokenKind::Quoted(_) => true,
            TokenKind::Word { upper, .. } => upper == "AS" || !crate::ast::is_reserved(upper),
            _ => false,
        };
        if !aliased {
            self.put(&format!("AS {}", quoted(&source.name)));
        }
        self.versions.push(Version { name, source, until });
        Ok(())
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn string(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> Result<Rewritten, SqlError> {
        let functions = ["count", "ucase"].map(str::to_owned).into();
        rewrite(text, &functions, &|text| text.parse().ok())
    }

    #[test]
    fn names_are_ours_and_functions_theirs() {
        for (text, expected) in [
            ("select Id, `b c` from s", "SELECT ID , \"b c\" FROM S"),
            ("SELECT COUNT(*), ucase(a->b) FROM s", "SELECT count ( * ) , ucase ( A['B'] ) FROM S"),
            ("SELECT 'it''s' FROM s WHERE a <> -5;", "SELECT 'it''s' FROM S WHERE A <> - 5 ;"),
            (
                "SELECT * FROM s AS OF OFFSET 5 WHERE id = 1",
                "SELECT * FROM \"S AS OF Offset(5)\" AS \"S\" WHERE ID = 1",
            ),
            ("SELECT * FROM s AS OF TIMESTAMP '70' x", "SELECT * FROM \"S AS OF Time(70)\" X"),
        ] {
            assert_eq!(rewritten(text).unwrap().sql, expected, "{text}");
        }
    }

    #[test]
    fn a_wrong_version_is_an_error_at_its_place() {
        for text in [
            "SELECT * FROM s AS OF 5",
            "SELECT * FROM s AS OF OFFSET 'x'",
            "SELECT * FROM s AS OF TIMESTAMP 'x'",
        ] {
            let error = rewritten(text).unwrap_err().to_string();
            assert!(error.contains("AS OF needs"), "{text}: {error}");
        }
    }

    #[test]
    fn names_are_found_where_they_stand() {
        let rewritten = rewritten("SELECT rowtime FROM s").unwrap();
        assert!(rewritten.mentions("ROWTIME") && !rewritten.mentions("ROWOFFSET"));
        assert_eq!(rewritten.ident("S").span.column, 21);
    }
}
