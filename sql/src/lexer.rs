//! Text to tokens: sqlparser's tokenizer with the rules of our dialect, and the place of each token.

use datafusion::sql::sqlparser::dialect::Dialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token as RawToken, Tokenizer, Word};

use crate::ast::Span;
use crate::error::SqlError;

/// The lexical rules: identifiers in backticks or double quotes, `@` within names, names that start with digits.
#[derive(Debug)]
struct MillstreamDialect;

impl Dialect for MillstreamDialect {
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`' || ch == '"'
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_ascii_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_ascii_alphanumeric() || ch == '_' || ch == '@'
    }

    fn supports_numeric_prefix(&self) -> bool {
        true
    }
}

/// A token and its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) span: Span,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TokenKind {
    /// A bare word, as written and in upper case.
    Word { written: String, upper: String },
    /// A quoted name, unescaped.
    Quoted(String),
    /// An unsigned number.
    Number(String),
    /// A string, unescaped.
    String(String),
    /// An operator or bracket.
    Symbol(&'static str),
    /// Something that no statement can hold.
    Unknown,
    /// The end of the text.
    End,
}

/// All tokens of `text` without spaces and comments; the last is [`TokenKind::End`].
pub(crate) fn tokenize(text: &str) -> Result<Vec<Token>, SqlError> {
    tokenize_from(text, FIRST)
}

/// The place of the first character of a script.
const FIRST: Span = Span { offset: 0, length: 0, line: 1, column: 1 };

/// The same for text that stands at `start` of a script: lines and columns are those of the script, offsets those of
/// `text`.
pub(crate) fn tokenize_from(text: &str, start: Span) -> Result<Vec<Token>, SqlError> {
    let place = |span: Span| match span.line {
        1 => Span { line: start.line, column: span.column + start.column - 1, ..span },
        line => Span { line: line + start.line - 1, ..span },
    };
    let mut tokens = tokens_of(text).map_err(|error| error.moved(&place))?;
    if start != FIRST {
        tokens.iter_mut().for_each(|token| token.span = place(token.span));
    }
    Ok(tokens)
}

fn tokens_of(text: &str) -> Result<Vec<Token>, SqlError> {
    let mut raw = Vec::new();
    let outcome = Tokenizer::new(&MillstreamDialect, text).tokenize_with_location_into_buf(&mut raw);
    let mut places = Places::new(text);
    let mut tokens = Vec::with_capacity(raw.len() / 2 + 1);
    for token in raw {
        if matches!(token.token, RawToken::Whitespace(_) | RawToken::EOF) {
            continue;
        }
        let start = places.seek(token.span.start);
        let end = places.seek(token.span.end);
        let span = Span { length: end.offset - start.offset, ..start };
        push(&mut tokens, token.token, span);
    }
    if let Err(error) = outcome {
        let text_from = Places::new(text).seek(error.location);
        return Err(lexical_error(&error.message, text_from, text));
    }
    tokens.push(Token { kind: TokenKind::End, span: places.end() });
    Ok(tokens)
}

fn push(tokens: &mut Vec<Token>, token: RawToken, span: Span) {
    let kind = match token {
        RawToken::Word(Word { value, quote_style: Some(_), .. }) => TokenKind::Quoted(value),
        RawToken::Word(Word { value, .. }) => TokenKind::Word { upper: value.to_uppercase(), written: value },
        RawToken::Number(digits, false) => TokenKind::Number(digits),
        RawToken::SingleQuotedString(text) => TokenKind::String(text),
        // The grammar has no shift: two closing brackets of nested types.
        RawToken::ShiftRight => {
            let half = Span { length: 1, ..span };
            tokens.push(Token { kind: TokenKind::Symbol(">"), span: half });
            let second = Span { offset: span.offset + 1, column: span.column + 1, ..half };
            return tokens.push(Token { kind: TokenKind::Symbol(">"), span: second });
        }
        other => symbol(&other).map_or(TokenKind::Unknown, TokenKind::Symbol),
    };
    tokens.push(Token { kind, span });
}

fn symbol(token: &RawToken) -> Option<&'static str> {
    Some(match token {
        RawToken::Comma => ",",
        RawToken::SemiColon => ";",
        RawToken::LParen => "(",
        RawToken::RParen => ")",
        RawToken::LBracket => "[",
        RawToken::RBracket => "]",
        RawToken::Period => ".",
        RawToken::Eq => "=",
        RawToken::Neq => "<>",
        RawToken::Lt => "<",
        RawToken::LtEq => "<=",
        RawToken::Gt => ">",
        RawToken::GtEq => ">=",
        RawToken::Plus => "+",
        RawToken::Minus => "-",
        RawToken::Mul => "*",
        RawToken::Div => "/",
        RawToken::Mod => "%",
        RawToken::StringConcat => "||",
        RawToken::Arrow => "->",
        RawToken::RArrow => "=>",
        RawToken::Assignment => ":=",
        _ => return None,
    })
}

fn lexical_error(message: &str, place: Span, text: &str) -> SqlError {
    let opened = text[place.offset..].chars().next();
    let span = Span { length: opened.map_or(0, char::len_utf8), ..place };
    match opened {
        Some('\'') => SqlError::syntax("string without closing quote")
            .at(span)
            .hint("close it with '; write '' for a quote in it"),
        Some(quote @ ('`' | '"')) => SqlError::syntax("quoted name without closing quote")
            .at(span)
            .hint(format!("close it with {quote}; strings are written in single quotes")),
        _ if text.contains("/*") && message.contains("multi-line comment") => {
            SqlError::syntax("comment without end").at(span).hint("close it with */")
        }
        Some(c) => SqlError::syntax(format!("unexpected character '{c}'")).at(span),
        None => SqlError::syntax("unexpected end of text").at(span),
    }
}

/// Turns the tokenizer's lines and columns, which only grow, into byte offsets in one pass over the text.
struct Places<'a> {
    text: &'a str,
    at: Span,
}

impl<'a> Places<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: FIRST }
    }

    fn seek(&mut self, to: Location) -> Span {
        while (u64::from(self.at.line), u64::from(self.at.column)) < (to.line, to.column) && self.step() {}
        self.at
    }

    fn end(mut self) -> Span {
        while self.step() {}
        self.at
    }

    fn step(&mut self) -> bool {
        let Some(c) = self.text[self.at.offset..].chars().next() else { return false };
        self.at.offset += c.len_utf8();
        if c == '\n' {
            self.at.line += 1;
            self.at.column = 1;
        } else {
            self.at.column += 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_know_their_places() {
        let text = "-- é\nSELECT `a``b`, 1st /* x\n */ FROM \"T\" ;";
        let tokens = tokenize(text).unwrap();
        let seen: Vec<_> = tokens.iter().map(|t| (t.span.slice(text), t.span.line, t.span.column)).collect();
        assert_eq!(
            seen,
            [
                ("SELECT", 2, 1),
                ("`a``b`", 2, 8),
                (",", 2, 14),
                ("1st", 2, 16),
                ("FROM", 3, 5),
                ("\"T\"", 3, 10),
                (";", 3, 14),
                ("", 3, 15),
            ]
        );
        assert_eq!(tokens[1].kind, TokenKind::Quoted("a`b".into()));
        assert_eq!(tokens[5].kind, TokenKind::Quoted("T".into()));
    }

    #[test]
    fn kinds_of_token() {
        let word = |s: &str| TokenKind::Word { written: s.into(), upper: s.to_uppercase() };
        let number = |s: &str| TokenKind::Number(s.into());
        let symbol = TokenKind::Symbol;
        for (text, expected) in [
            ("a->b", vec![word("a"), symbol("->"), word("b")]),
            ("a>>b", vec![word("a"), symbol(">"), symbol(">"), word("b")]),
            ("k:='v''s'", vec![word("k"), symbol(":="), TokenKind::String("v's".into())]),
            ("x=>x", vec![word("x"), symbol("=>"), word("x")]),
            ("a.b@c", vec![word("a"), symbol("."), word("b@c")]),
            (
                "1 1.5 .5 1. 1e3 1.2E-3",
                vec![number("1"), number("1.5"), number(".5"), number("1."), number("1e3"), number("1.2E-3")],
            ),
            ("a<-1", vec![word("a"), symbol("<"), symbol("-"), number("1")]),
            ("a!=b", vec![word("a"), symbol("<>"), word("b")]),
            ("a||b", vec![word("a"), symbol("||"), word("b")]),
            ("5-3", vec![number("5"), symbol("-"), number("3")]),
            ("a[1]", vec![word("a"), symbol("["), number("1"), symbol("]")]),
            ("?", vec![TokenKind::Unknown]),
        ] {
            let mut kinds: Vec<_> = tokenize(text).unwrap().into_iter().map(|t| t.kind).collect();
            assert_eq!(kinds.pop(), Some(TokenKind::End), "{text}");
            assert_eq!(kinds, expected, "{text}");
        }
    }

    #[test]
    fn open_quotes_point_at_their_start() {
        for (text, expected) in [
            ("SELECT 'abc", "line 1:8: Syntax Error\nstring without closing quote"),
            ("SELECT `abc", "line 1:8: Syntax Error\nquoted name without closing quote"),
            ("SELECT 1 /* abc", "comment without end"),
        ] {
            let error = tokenize(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
