//! `.proto` files in one layout: tokens become statements, statements are printed by kind.

use std::fmt::Write as _;

/// Blocks may be nested this deep.
const DEPTH_MAX: usize = 64;

/// A statement that ends with `;`, or one with a block.
struct Statement {
    head: Vec<String>,
    block: Option<Vec<Statement>>,
}

/// What a statement is, in the order in which kinds are printed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Syntax,
    Package,
    Import,
    Reserved,
    Option,
    Field,
    Oneof,
    Extensions,
    Type,
    Extend,
    Service,
}

/// The text of a file in its one layout.
pub(super) fn canonical(text: &str, sorted: bool) -> Result<String, String> {
    let mut statements = statements(&mut tokens(text)?.into_iter(), 0)?;
    if sorted {
        sort(&mut statements);
    }
    Ok(printed(&statements))
}

/// The same without extensions, and without the options that are some.
pub(super) fn without_extensions(text: &str) -> Result<String, String> {
    let mut statements = statements(&mut tokens(text)?.into_iter(), 0)?;
    leave_out_extensions(&mut statements);
    Ok(printed(&statements))
}

fn printed(statements: &[Statement]) -> String {
    let mut out = String::new();
    print(statements, 0, &mut out);
    out
}

impl Statement {
    fn kind(&self) -> Kind {
        let second = self.head.get(1).map_or("", String::as_str);
        // A field of a type called `message` would have a name and `=` behind it.
        let field = self.block.is_none() && self.head.get(2).is_some_and(|token| token == "=");
        match self.head.first().map_or("", String::as_str) {
            "syntax" | "edition" if second == "=" => Kind::Syntax,
            // A value of an enum may have any name.
            _ if second == "=" => Kind::Field,
            "option" => Kind::Option,
            "package" if !field => Kind::Package,
            "import" if !field => Kind::Import,
            "reserved" if !field => Kind::Reserved,
            "extensions" if !field => Kind::Extensions,
            "oneof" if self.block.is_some() => Kind::Oneof,
            "message" | "enum" if self.block.is_some() => Kind::Type,
            "extend" if self.block.is_some() => Kind::Extend,
            "service" if self.block.is_some() => Kind::Service,
            _ => Kind::Field,
        }
    }

    /// Where a field, a value or the first field of a oneof stands: by its number. Negative values of an enum come
    /// last, for the first one must be zero.
    fn place(&self) -> (bool, i64) {
        let own = self.head.iter().position(|token| token == "=").and_then(|at| {
            let (negative, digits) = match self.head.get(at + 1)?.as_str() {
                "-" => (true, self.head.get(at + 2)?.as_str()),
                digits => (false, digits),
            };
            let number = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
                Some(digits) => i64::from_str_radix(digits, 16),
                None => digits.parse(),
            };
            Some((negative, number.ok()?))
        });
        let first = || self.block.iter().flatten().map(Self::place).min();
        own.or_else(first).unwrap_or((true, i64::MAX))
    }
}

fn leave_out_extensions(statements: &mut Vec<Statement>) {
    statements.retain(|statement| match statement.kind() {
        Kind::Extend => false,
        Kind::Option => statement.head.get(1).is_none_or(|token| token != "("),
        _ => true,
    });
    for statement in statements {
        leave_out_options(&mut statement.head);
        statement.block.iter_mut().for_each(leave_out_extensions);
    }
}

/// Leaves out what stands in the brackets of a field and begins with a parenthesis.
fn leave_out_options(head: &mut Vec<String>) {
    let Some(open) = head.iter().position(|token| token == "[") else { return };
    let mut depth = 0usize;
    let mut kept: Vec<Vec<String>> = vec![Vec::new()];
    for token in head.drain(open..).skip(1) {
        match token.as_str() {
            "{" | "[" | "(" | "<" => depth += 1,
            "]" if depth == 0 => break,
            "}" | "]" | ")" | ">" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if token == "," && depth == 0 {
            kept.push(Vec::new());
        } else if let Some(option) = kept.last_mut() {
            option.push(token);
        }
    }
    kept.retain(|option| option.first().is_some_and(|token| token != "("));
    for (place, option) in kept.into_iter().enumerate() {
        head.push(if place == 0 { "[" } else { "," }.to_owned());
        head.extend(option);
    }
    if head.len() > open {
        head.push("]".to_owned());
    }
}

fn sort(statements: &mut [Statement]) {
    for statement in statements.iter_mut() {
        sort(statement.block.as_deref_mut().unwrap_or_default());
    }
    statements.sort_by_cached_key(|statement| {
        let kind = statement.kind();
        let by_number = matches!(kind, Kind::Field | Kind::Oneof);
        let place = if by_number { statement.place() } else { (false, 0) };
        (kind, place, if by_number { String::new() } else { line(&statement.head) })
    });
}

fn print(statements: &[Statement], depth: usize, out: &mut String) {
    let mut ordered: Vec<&Statement> = statements.iter().collect();
    ordered.sort_by_key(|statement| statement.kind());
    let mut before = None;
    for statement in ordered {
        let kind = statement.kind();
        // Kinds are set apart, except the two lines at the head of the file.
        if before.is_some_and(|before| before != kind && kind != Kind::Package) {
            out.push('\n');
        }
        before = Some(kind);
        let indent = "  ".repeat(depth);
        let _ = write!(out, "{indent}{}", line(&statement.head));
        match &statement.block {
            None => out.push_str(";\n"),
            Some(block) => {
                out.push_str(" {");
                if !block.is_empty() {
                    out.push('\n');
                    print(block, depth + 1, out);
                    out.push_str(&indent);
                }
                out.push_str("}\n");
            }
        }
    }
}

/// Tokens with the spaces that they need between them.
fn line(tokens: &[String]) -> String {
    let mut out = String::new();
    let mut before = "";
    let mut in_brackets = 0usize;
    for token in tokens {
        let tight = out.is_empty()
            || matches!(token.as_str(), "," | ";" | ")" | "]" | ">" | ":" | ".")
            || matches!(before, "(" | "[" | "<" | "." | "-" | "+")
            || (before == ")" && token.starts_with('.'))
            || (token == "<" && before == "map")
            || (token == "("
                && before != "="
                && before != "returns"
                && before != "option"
                && before != "stream"
                && in_brackets == 0
                && before != ",");
        match token.as_str() {
            "[" => in_brackets += 1,
            "]" => in_brackets = in_brackets.saturating_sub(1),
            _ => {}
        }
        if !tight {
            out.push(' ');
        }
        out.push_str(token);
        before = token;
    }
    out
}

fn statements(tokens: &mut impl Iterator<Item = String>, depth: usize) -> Result<Vec<Statement>, String> {
    if depth > DEPTH_MAX {
        return Err(format!("blocks are nested deeper than {DEPTH_MAX}"));
    }
    let mut found = Vec::new();
    let mut head: Vec<String> = Vec::new();
    // Braces and brackets of a value, such as those of `= { a: 1 }`.
    let mut inside = 0usize;
    while let Some(token) = tokens.next() {
        match token.as_str() {
            "{" if inside == 0 && head.last().is_none_or(|before| before != "=") => {
                let block = statements(tokens, depth + 1)?;
                found.push(Statement { head: std::mem::take(&mut head), block: Some(block) });
            }
            "}" if inside == 0 => {
                if depth == 0 || !head.is_empty() {
                    return Err("unexpected '}'".into());
                }
                return Ok(found);
            }
            ";" if inside == 0 => {
                if !head.is_empty() {
                    found.push(Statement { head: std::mem::take(&mut head), block: None });
                }
            }
            _ => {
                match token.as_str() {
                    "{" | "[" => inside += 1,
                    "}" | "]" => inside = inside.saturating_sub(1),
                    _ => {}
                }
                head.push(token);
            }
        }
    }
    if depth > 0 || !head.is_empty() {
        return Err("unexpected end of the file".into());
    }
    Ok(found)
}

/// Words (with dots), strings and signs; comments and white space are left out.
fn tokens(text: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first.is_whitespace() || first == '\u{feff}' {
            rest = &rest[first.len_utf8()..];
        } else if let Some(comment) = rest.strip_prefix("//").or_else(|| rest.strip_prefix('#')) {
            rest = comment.find('\n').map_or("", |end| &comment[end..]);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            let end = comment.find("*/").ok_or("a comment does not end")?;
            rest = &comment[end + 2..];
        } else if matches!(first, '"' | '\'') {
            let (content, after) = string(rest, first)?;
            found.push(content);
            rest = after;
        } else if is_word(first) {
            let mut end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
            // The sign of an exponent belongs to its number.
            let is_number = first.is_ascii_digit() || first == '.';
            if is_number && !rest.starts_with("0x") && rest[..end].ends_with(['e', 'E']) {
                let exponent = rest[end..].strip_prefix(['+', '-']);
                end += exponent
                    .map_or(0, |exponent| 1 + exponent.find(|c: char| !is_word(c)).unwrap_or(exponent.len()));
            }
            found.push(rest[..end].to_owned());
            rest = &rest[end..];
        } else {
            let (sign, after) = rest.split_at(first.len_utf8());
            found.push(sign.to_owned());
            rest = after;
        }
    }
    Ok(found)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.')
}

/// A string in double quotes, and what follows it.
fn string(text: &str, quote: char) -> Result<(String, &str), String> {
    let mut content = String::from('"');
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                content.push(c);
                content.extend(chars.next().map(|(_, escaped)| escaped));
            }
            '"' if quote == '\'' => content.push_str("\\\""),
            _ if c == quote => {
                content.push('"');
                return Ok((content, &text[at + 1..]));
            }
            _ => content.push(c),
        }
    }
    Err("a string does not end".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_one_layout() {
        let text = r#"
            // A comment.
            syntax = 'proto3'; package a.b;
            message B { enum E { X=0; Y = -1; } /* x */ map<string,.a.C> m=2; oneof k { int32 i=3;string s = 4 [deprecated=true]; }
              option (x.y) = { a: 1, b: [2, 3] }; reserved 5 to 7, 9; repeated int32 r = 1 [ (confluent.field_meta)={params:[{key:"precision",value:"4"}]}, packed = true ]; }
            import "z.proto"; import public "x.proto"; option java_package = "p";
            message Empty {}
            service S { rpc Get(stream B) returns (B) { option deprecated = true; } rpc Put (B) returns (stream B); }
        "#;
        let expected = r#"syntax = "proto3";
package a.b;

import "z.proto";
import public "x.proto";

option java_package = "p";

message B {
  reserved 5 to 7, 9;

  option (x.y) = { a: 1, b: [2, 3] };

  map<string, .a.C> m = 2;
  repeated int32 r = 1 [(confluent.field_meta) = { params: [{ key: "precision", value: "4" }] }, packed = true];

  oneof k {
    int32 i = 3;
    string s = 4 [deprecated = true];
  }

  enum E {
    X = 0;
    Y = -1;
  }
}
message Empty {}

service S {
  rpc Get(stream B) returns (B) {
    option deprecated = true;
  }
  rpc Put(B) returns (stream B);
}
"#;
        assert_eq!(canonical(text, false).as_deref(), Ok(expected));
        assert_eq!(canonical(expected, false).as_deref(), Ok(expected), "what is canonical stays as it is");
        let sorted = canonical(text, true).unwrap();
        assert!(sorted.find("import \"z").unwrap() < sorted.find("import public").unwrap());
        assert!(sorted.find("r = 1").unwrap() < sorted.find("m = 2").unwrap());
        assert_eq!(canonical(&sorted, true).as_deref(), Ok(sorted.as_str()));
    }

    #[test]
    fn extensions_are_left_out() {
        let text = r#"syntax = "proto3"; import "google/protobuf/descriptor.proto";
            option java_package = "p"; option (file).a = 1;
            message A {
              option (m) = { a: 1 }; option deprecated = true;
              int32 a = 1 [(f) = { x: [1, 2], y: "," }, deprecated = true, (g.h).i = 2, json_name = "j"];
              int32 b = 2 [(f) = 1]; int32 c = 3;
              enum E { Z = 0 [(v) = 1]; }
            }
            extend google.protobuf.FieldOptions { int32 f = 50000; }"#;
        let expected = r#"syntax = "proto3";

import "google/protobuf/descriptor.proto";

option java_package = "p";

message A {
  option deprecated = true;

  int32 a = 1 [deprecated = true, json_name = "j"];
  int32 b = 2;
  int32 c = 3;

  enum E {
    Z = 0;
  }
}
"#;
        assert_eq!(without_extensions(text).as_deref(), Ok(expected));
        assert_eq!(without_extensions(expected).as_deref(), Ok(expected));
    }

    #[test]
    fn tokens_keep_their_meaning() {
        for (text, expected) in [
            ("a = 1 [default = -1.5e-3, x = 0xE];", "a = 1 [default = -1.5e-3, x = 0xE];\n"),
            ("option (a) = { # it's\n b: 1 };", "option (a) = { b: 1 };\n"),
            ("option (a.b) . c = 1e+2;", "option (a.b).c = 1e+2;\n"),
            (
                "enum E { ZERO = 0; reserved = 1; option = 2; }",
                "enum E {\n  ZERO = 0;\n  reserved = 1;\n  option = 2;\n}\n",
            ),
        ] {
            let found = canonical(text, false).unwrap();
            assert_eq!(found.replace(" . c", ".c"), expected);
            assert_eq!(canonical(&found, false), Ok(found.clone()));
        }
        let sorted = canonical("enum E { N = -1; Z = 0; A = 10; B = 2; }", true).unwrap();
        assert_eq!(sorted, "enum E {\n  Z = 0;\n  B = 2;\n  A = 10;\n  N = -1;\n}\n");
    }

    #[test]
    fn what_does_not_end_is_refused() {
        for text in ["message A {", "}", "syntax = \"proto3", "/* x", "message A", &"a {".repeat(1000)] {
            assert!(canonical(text, false).is_err(), "{text:.20}");
        }
    }
}
