//! Text to statements, by recursive descent over the tokens.
//!
//! ```text
//! text ─▶ lexer ─▶ Cursor ─▶ statement ─┬─▶ create, show ...
//!                                       ├─▶ query
//!                                       └─▶ expr, type_ref
//! ```
//! The grammar is ksqlDB's. The expression grammar is parsed here and not by sqlparser, whose special forms (`TRIM(.. FROM ..)`,
//! `CEIL(.. TO ..)`, typed strings, JSON arrows) and precedences are those of other dialects, and whose errors have no
//! places to point at.

mod at_rest;
mod connector;
mod create;
mod cursor;
mod expr;
mod insert;
mod query;
mod show;
mod statement;
mod type_ref;

#[cfg(test)]
mod tests;

use crate::ast::{Expr, Span, Spanned, Statement, TypeRef};
use crate::error::SqlError;
use crate::lexer::{TokenKind, tokenize};
use cursor::Cursor;

/// Reads a script: statements that each end with a semicolon; the last may go without.
///
/// Comments, empty statements and `--@` directives are skipped. Fails at the first error.
pub fn parse(text: &str) -> Result<Vec<Spanned<Statement>>, SqlError> {
    statements(Cursor::new(text)?, text)
}

/// The same for a [piece](split) of a script: places are those in the script.
pub fn parse_piece(piece: &Piece) -> Result<Vec<Spanned<Statement>>, SqlError> {
    statements(Cursor::from(&piece.text, piece.start)?, &piece.text)
}

/// One statement of a script as written, whatever it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its text with the closing semicolon, if it has one.
    pub text: String,
    /// Where it starts in the script.
    pub start: Span,
}

impl Piece {
    /// The file of `RUN SCRIPT 'file';`, which is for clients: they know the files, the engine does not.
    pub fn run_script(&self) -> Option<String> {
        let tokens = tokenize(&self.text).ok()?;
        match tokens.iter().map(|token| &token.kind).collect::<Vec<_>>().as_slice() {
            [
                TokenKind::Word { upper: run, .. },
                TokenKind::Word { upper: script, .. },
                TokenKind::String(file),
                TokenKind::Symbol(";"),
                TokenKind::End,
            ] if run == "RUN" && script == "SCRIPT" => Some(file.clone()),
            _ => None,
        }
    }
}

/// Cuts a script at its semicolons, without reading the statements: their variables may not be replaced yet.
pub fn split(text: &str) -> Result<Vec<Piece>, SqlError> {
    let mut pieces = Vec::new();
    let mut start: Option<Span> = None;
    for token in tokenize(text)? {
        let ends = matches!(token.kind, TokenKind::Symbol(";") | TokenKind::End);
        match start {
            Some(first) if ends => {
                let span = first.to(token.span);
                pieces.push(Piece { text: span.slice(text).to_owned(), start: first });
                start = None;
            }
            None if !ends => start = Some(token.span),
            _ => {}
        }
    }
    Ok(pieces)
}

fn statements(mut cursor: Cursor<'_>, text: &str) -> Result<Vec<Spanned<Statement>>, SqlError> {
    let mut statements = Vec::new();
    loop {
        while cursor.take_symbol(";") {}
        if cursor.at_end() {
            return Ok(statements);
        }
        let start = cursor.here();
        let node = cursor.statement()?;
        if !cursor.take_symbol(";") && !cursor.at_end() {
            return Err(cursor.unexpected_after_statement());
        }
        let span = start.to(cursor.before());
        let mut own_text = span.slice(text).to_string();
        if !own_text.ends_with(';') {
            own_text.push(';');
        }
        statements.push(Spanned { node, span, text: own_text });
    }
}

/// Reads exactly one statement, with or without semicolon.
pub fn parse_one(text: &str) -> Result<Spanned<Statement>, SqlError> {
    let mut statements = parse(text)?;
    match statements.len() {
        1 => Ok(statements.remove(0)),
        0 => Err(SqlError::syntax("expected a statement, found nothing")),
        n => Err(SqlError::syntax(format!("expected one statement, found {n}")).at(statements[1].span)),
    }
}

/// Reads one expression and nothing behind it.
pub fn parse_expr(text: &str) -> Result<Expr, SqlError> {
    let mut cursor = Cursor::new(text)?;
    let expr = cursor.expr()?;
    cursor.expect_end()?;
    Ok(expr)
}

/// Reads one type and nothing behind it.
pub fn parse_type(text: &str) -> Result<TypeRef, SqlError> {
    let mut cursor = Cursor::new(text)?;
    let ty = cursor.type_ref()?;
    cursor.expect_end()?;
    Ok(ty)
}

/// Whether `text` ends with a whole statement, so that a prompt need not ask for more: its last token is a semicolon
/// outside of strings, quoted names and comments, or there is nothing in it but spaces and comments.
pub fn is_complete(text: &str) -> bool {
    match tokenize(text) {
        Ok(tokens) => match tokens.len().checked_sub(2).map(|last| &tokens[last].kind) {
            Some(kind) => *kind == TokenKind::Symbol(";"),
            None => true,
        },
        Err(_) => false,
    }
}
