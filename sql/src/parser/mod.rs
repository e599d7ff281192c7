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

use crate::ast::{Expr, Spanned, Statement, TypeRef};
use crate::error::SqlError;
use crate::lexer::{TokenKind, tokenize};
use cursor::Cursor;

/// Reads a script: statements that each end with a semicolon; the last may go without.
///
/// Comments, empty statements and `--@` directives are skipped. Fails at the first error.
pub fn parse(text: &str) -> Result<Vec<Spanned<Statement>>, SqlError> {
    let mut cursor = Cursor::new(text)?;
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
