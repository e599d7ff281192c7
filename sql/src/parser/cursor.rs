//! Walks over the tokens of a script: looking, taking, and the errors for what is not there.

use crate::ast::{Ident, Span, is_reserved};
use crate::error::{SqlError, nearest};
use crate::lexer::{Token, TokenKind, tokenize, tokenize_from};

/// How deep expressions, types and statements may nest.
const DEPTH_MAX: usize = 200;

pub(super) struct Cursor<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    position: usize,
    depth: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Result<Self, SqlError> {
        Ok(Self { text, tokens: tokenize(text)?, position: 0, depth: 0 })
    }

    /// A cursor on text that stands at `start` of a script.
    pub(super) fn from(text: &'a str, start: Span) -> Result<Self, SqlError> {
        Ok(Self { text, tokens: tokenize_from(text, start)?, position: 0, depth: 0 })
    }

    pub(super) fn peek(&self) -> &TokenKind {
        self.peek_at(0)
    }

    /// The token `ahead` of the next one; behind the end there are only ends.
    pub(super) fn peek_at(&self, ahead: usize) -> &TokenKind {
        &self.tokens[(self.position + ahead).min(self.tokens.len() - 1)].kind
    }

    /// Where the next token stands.
    pub(super) fn here(&self) -> Span {
        self.tokens[self.position].span
    }

    /// Where the last taken token stands.
    pub(super) fn before(&self) -> Span {
        self.tokens[self.position.saturating_sub(1)].span
    }

    /// The text that a span covers.
    pub(super) fn text_of(&self, span: Span) -> &str {
        span.slice(self.text)
    }

    pub(super) fn advance(&mut self) -> Span {
        let span = self.here();
        self.position = (self.position + 1).min(self.tokens.len() - 1);
        span
    }

    /// The position, to come back to with [`Self::rewind`].
    pub(super) fn mark(&self) -> usize {
        self.position
    }

    pub(super) fn rewind(&mut self, mark: usize) {
        self.position = mark;
    }

    pub(super) fn at_end(&self) -> bool {
        *self.peek() == TokenKind::End
    }

    pub(super) fn expect_end(&self) -> Result<(), SqlError> {
        if self.at_end() { Ok(()) } else { Err(self.unexpected(&["the end"])) }
    }

    /// Whether the next token follows `span` without a gap.
    pub(super) fn touches(&self, span: Span) -> bool {
        self.here().offset == span.offset + span.length
    }

    pub(super) fn at_symbol(&self, symbol: &str) -> bool {
        matches!(self.peek(), TokenKind::Symbol(s) if *s == symbol)
    }

    pub(super) fn take_symbol(&mut self, symbol: &str) -> bool {
        let found = self.at_symbol(symbol);
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn expect_symbol(&mut self, symbol: &str) -> Result<Span, SqlError> {
        if self.at_symbol(symbol) { Ok(self.advance()) } else { Err(self.unexpected(&[symbol])) }
    }

    /// Closes a bracket that was opened at `open`.
    pub(super) fn expect_close(&mut self, symbol: &str, open: Span) -> Result<Span, SqlError> {
        if self.at_symbol(symbol) {
            return Ok(self.advance());
        }
        let error = match self.at_symbol(",") {
            // No list is open here.
            true => SqlError::syntax(format!("missing '{symbol}' at ','")).at(self.here()),
            false => self.unexpected(&[",", symbol]),
        };
        Err(error.hint(format!(
            "expected '{symbol}' to close the '{}' of line {}:{}",
            open.slice(self.text),
            open.line,
            open.column
        )))
    }

    /// The upper case bare word at `ahead`, if there is one.
    pub(super) fn word_at(&self, ahead: usize) -> Option<&str> {
        match self.peek_at(ahead) {
            TokenKind::Word { upper, .. } => Some(upper),
            _ => None,
        }
    }

    pub(super) fn at_word(&self, word: &str) -> bool {
        self.word_at(0) == Some(word)
    }

    /// Whether these bare words come next.
    pub(super) fn at_words(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(i, word)| self.word_at(i) == Some(word))
    }

    pub(super) fn take_word(&mut self, word: &str) -> bool {
        self.take_words(&[word])
    }

    /// Takes these bare words if all of them come next.
    pub(super) fn take_words(&mut self, words: &[&str]) -> bool {
        let found = self.at_words(words);
        if found {
            self.position += words.len();
        }
        found
    }

    pub(super) fn expect_word(&mut self, word: &str) -> Result<Span, SqlError> {
        if self.at_word(word) { Ok(self.advance()) } else { Err(self.unexpected(&[word])) }
    }

    /// A name: quoted, or a word that is not reserved. `what` says of what.
    pub(super) fn ident(&mut self, what: &str) -> Result<Ident, SqlError> {
        let name = match self.peek() {
            TokenKind::Quoted(name) if name.is_empty() => {
                return Err(SqlError::syntax(format!("empty {what}")).at(self.here()));
            }
            TokenKind::Quoted(name) => name.clone(),
            TokenKind::Word { upper, .. } if !is_reserved(upper) => upper.clone(),
            TokenKind::Word { upper, .. } => {
                let error = self.unexpected(&[what]);
                return Err(
                    error.hint(format!("{upper} is a reserved word: to use it as {what} write `{upper}`"))
                );
            }
            _ => return Err(self.unexpected(&[what])),
        };
        Ok(Ident { name, span: self.advance() })
    }

    /// Whether a name comes next.
    pub(super) fn at_ident(&self) -> bool {
        match self.peek() {
            TokenKind::Quoted(_) => true,
            TokenKind::Word { upper, .. } => !is_reserved(upper),
            _ => false,
        }
    }

    /// A stream's, table's or type's name: only letters, digits, `_` and `-`.
    pub(super) fn source_name(&mut self, what: &str) -> Result<Ident, SqlError> {
        let name = self.ident(what)?;
        if name.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
            return Ok(name);
        }
        Err(SqlError::malformed(format!(
            "Illegal argument at {what}: {name}. Source names may only contain alphanumeric values, '_' or '-'."
        ))
        .at(name.span))
    }

    pub(super) fn string(&mut self, what: &str) -> Result<(String, Span), SqlError> {
        match self.peek() {
            TokenKind::String(text) => {
                let text = text.clone();
                Ok((text, self.advance()))
            }
            _ => Err(self.unexpected(&[what])),
        }
    }

    /// A whole number without sign.
    pub(super) fn unsigned(&mut self, what: &str) -> Result<(u64, Span), SqlError> {
        if let TokenKind::Number(digits) = self.peek()
            && digits.bytes().all(|b| b.is_ascii_digit())
        {
            return match digits.parse() {
                Ok(number) if number <= i64::MAX.unsigned_abs() => Ok((number, self.advance())),
                _ => Err(SqlError::syntax(format!("{what} {digits} is too large: at most {}", i64::MAX))
                    .at(self.here())),
            };
        }
        Err(self.unexpected(&[what]))
    }

    /// One or more of `item`, separated by commas.
    pub(super) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, SqlError>,
    ) -> Result<Vec<T>, SqlError> {
        let mut items = vec![item(self)?];
        while self.take_symbol(",") {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Runs `inner` one level deeper, so that text nested too deeply is an error and not a stack overflow.
    pub(super) fn nested<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        if self.depth == DEPTH_MAX {
            return Err(SqlError::syntax(format!("nested more than {DEPTH_MAX} levels deep")).at(self.here()));
        }
        self.depth += 1;
        let outcome = inner(self);
        self.depth -= 1;
        outcome
    }

    /// The next token as it is written, for messages.
    pub(super) fn found(&self) -> String {
        match self.peek() {
            TokenKind::End => "the end of the text".to_string(),
            _ => format!("'{}'", self.here().slice(self.text)),
        }
    }

    /// The error that the next token is none of `expected`.
    pub(super) fn unexpected(&self, expected: &[&str]) -> SqlError {
        let error = SqlError::syntax(format!("unexpected {}, expected {}", self.found(), one_of(expected)))
            .at(self.here());
        let Some(word) = self.word_at(0) else { return error };
        let keywords: Vec<&str> =
            expected.iter().copied().filter(|e| e.chars().all(|c| c.is_ascii_uppercase())).collect();
        match nearest(word, &keywords) {
            Some(meant) => error.hint(format!("did you mean {meant}?")),
            None => error,
        }
    }
}

/// `a`, `a or b`, `a, b or c`, with symbols in quotes.
fn one_of(expected: &[&str]) -> String {
    let named: Vec<String> =
        expected.iter().map(|e| if is_symbol(e) { format!("'{e}'") } else { (*e).to_string() }).collect();
    match named.as_slice() {
        [] => "something else".to_string(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

fn is_symbol(expected: &str) -> bool {
    expected.chars().all(|c| c.is_ascii_punctuation())
}
