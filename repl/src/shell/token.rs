//! Cuts a line being typed into coloured and completable pieces. Unlike the parser it accepts any text.

use std::ops::Range;

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A keyword or an unquoted name.
    Word,
    /// A name in backticks or double quotes.
    Quoted,
    /// A string in single quotes.
    Text,
    /// A number.
    Number,
    /// `-- to the end of the line` or `/* */`.
    Comment,
    /// Blanks and line breaks.
    Space,
    /// Anything else, one character each.
    Symbol,
}

/// A piece of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// What it is.
    pub(crate) kind: Kind,
    /// Where it is, in bytes.
    pub(crate) range: Range<usize>,
    /// Whether its closing quote or `*/` is still missing.
    pub(crate) open: bool,
}

/// All pieces of the text, in order and without gaps.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let token = next_token(text, at);
        at = token.range.end;
        tokens.push(token);
    }
    tokens
}

/// Whether Enter should run the text: it ends with a semicolon, comments aside.
pub(crate) fn is_complete(text: &str) -> bool {
    let last = tokens(text)
        .into_iter()
        .rfind(|token| !matches!(token.kind, Kind::Space | Kind::Comment) || token.open);
    match last {
        None => true,
        Some(token) => !token.open && &text[token.range] == ";",
    }
}

fn next_token(text: &str, start: usize) -> Token {
    let rest = &text[start..];
    let first = rest.chars().next().expect("callers pass a start before the end");
    let run = |accept: fn(char) -> bool| start + rest.find(|c| !accept(c)).unwrap_or(rest.len());
    let (kind, end, open) = match first {
        '\'' => quoted(text, start, '\'', Kind::Text),
        '"' => quoted(text, start, '"', Kind::Quoted),
        '`' => quoted(text, start, '`', Kind::Quoted),
        '-' if rest.starts_with("--") => {
            (Kind::Comment, start + rest.find('\n').unwrap_or(rest.len()), false)
        }
        '/' if rest.starts_with("/*") => match rest.find("*/") {
            Some(end) => (Kind::Comment, start + end + 2, false),
            None => (Kind::Comment, text.len(), true),
        },
        c if c.is_whitespace() => (Kind::Space, run(char::is_whitespace), false),
        c if c.is_ascii_digit() => (Kind::Number, run(|c| c.is_ascii_alphanumeric() || c == '.'), false),
        c if c.is_alphabetic() || c == '_' => (Kind::Word, run(|c| c.is_alphanumeric() || c == '_'), false),
        c => (Kind::Symbol, start + c.len_utf8(), false),
    };
    Token { kind, range: start..end, open }
}

/// A doubled quote stands for itself, so it does not close.
fn quoted(text: &str, start: usize, quote: char, kind: Kind) -> (Kind, usize, bool) {
    let mut at = start + 1;
    while let Some(found) = text[at..].find(quote) {
        at += found + 1;
        if !text[at..].starts_with(quote) {
            return (kind, at, false);
        }
        at += 1;
    }
    (kind, text.len(), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(Kind, &str)> {
        tokens(text).into_iter().map(|token| (token.kind, &text[token.range])).collect()
    }

    #[test]
    fn pieces_cover_the_text() {
        use Kind::{Comment, Number, Quoted, Space, Symbol, Text, Word};
        let expected = [
            (Word, "SELECT"),
            (Space, " "),
            (Quoted, "`a b`"),
            (Symbol, ","),
            (Text, "'it''s'"),
            (Space, " "),
            (Number, "1.5e3"),
            (Symbol, ";"),
            (Space, " "),
            (Comment, "-- done"),
        ];
        assert_eq!(kinds("SELECT `a b`,'it''s' 1.5e3; -- done"), expected);
        for text in ["'ünï", "/* x", "a--", "é\u{1f600};", "\"a\"\"", "''"] {
            let length: usize = tokens(text).iter().map(|token| token.range.len()).sum();
            assert_eq!(length, text.len(), "{text}");
        }
    }

    #[test]
    fn only_a_semicolon_outside_quotes_and_comments_completes() {
        for (text, expected) in [
            ("", true),
            ("   ", true),
            ("SELECT 1", false),
            ("SELECT 1;", true),
            ("SELECT 1;  -- why", true),
            ("SELECT ';", false),
            ("SELECT ';'", false),
            ("SELECT ';';", true),
            ("SELECT 1 -- ;", false),
            ("/* ;", false),
            ("SELECT 1; /* ", false),
            ("SELECT `a;", false),
            ("SELECT 1; SELECT", false),
        ] {
            assert_eq!(is_complete(text), expected, "{text}");
        }
    }
}
