//! Regular expressions, in the syntax of the `regex` crate: as Java's but for lookaround and back-references.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, StringBuilder};
use regex::Regex;

use super::last::Last;
use crate::error::SqlError;
use crate::function::{Call, Category, ScalarFunction};

pub(super) fn functions() -> Vec<ScalarFunction> {
    vec![
        expression("regexp_extract", "The first match of the pattern, or one of its groups.")
            .forms(&["(STRING, STRING) -> STRING", "(STRING, STRING, INT) -> STRING"], extract),
        expression("regexp_extract_all", "All matches of the pattern, or one of its groups in each.").forms(
            &["(STRING, STRING) -> ARRAY<STRING>", "(STRING, STRING, INT) -> ARRAY<STRING>"],
            extract_all,
        ),
        expression(
            "regexp_replace",
            "The text with all matches of the pattern replaced; $1 stands for the first group.",
        )
        .form("(STRING, STRING, STRING) -> STRING", replace),
        expression("regexp_split_to_array", "The parts of the text between matches of the pattern.")
            .form("(STRING, STRING) -> ARRAY<STRING>", split),
    ]
}

fn expression(name: &str, description: &str) -> ScalarFunction {
    ScalarFunction::new(name, description).category(Category::RegularExpression)
}

fn compile(pattern: &str) -> Result<Regex, String> {
    Regex::new(&as_java(pattern))
        .map_err(|e| format!("invalid regular expression '{pattern}': {}", reason(&e)))
}

/// The pattern with what Java understands in another way: its classes are those of ASCII, `\Q..\E` is text as it is.
fn as_java(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find('\\') {
        let (plain, escape) = rest.split_at(at);
        out.push_str(plain);
        let Some(letter) = escape[1..].chars().next() else {
            out.push_str(escape);
            return out;
        };
        rest = &escape[1 + letter.len_utf8()..];
        match letter {
            'w' => out.push_str("[0-9A-Za-z_]"),
            'W' => out.push_str("[^0-9A-Za-z_]"),
            'd' => out.push_str("[0-9]"),
            'D' => out.push_str("[^0-9]"),
            's' => out.push_str("[ \\t\\n\\x0B\\f\\r]"),
            'S' => out.push_str("[^ \\t\\n\\x0B\\f\\r]"),
            'Q' => {
                let (text, after) = rest.split_once("\\E").unwrap_or((rest, ""));
                out.push_str(&regex::escape(text));
                rest = after;
            }
            letter => {
                out.push('\\');
                out.push(letter);
            }
        }
    }
    out.push_str(rest);
    out
}

/// The last line of the error, which says what is wrong; those before draw the pattern.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_string()
}

/// The group asked for in a row: `None` for NULL, `Some(None)` for one below 0.
fn group(call: &Call<'_>, row: usize) -> Option<Option<usize>> {
    if call.arg_count() < 3 { Some(Some(0)) } else { Some(usize::try_from(call.ints(2).get(row)?).ok()) }
}

fn extract(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let (patterns, texts) = (call.strings(0), call.strings(1));
    let mut compiled = Last::default();
    call.build_slices(|row| {
        let (pattern, text) = (patterns.get(row)?, texts.get(row)?);
        let group = group(call, row)??;
        let regex = call.check(compiled.get(pattern, compile))?;
        Some(regex.captures(text)?.get(group)?.as_str())
    })
}

fn extract_all(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let mut compiled = Last::default();
    let mut out = ListBuilder::new(StringBuilder::new());
    for row in 0..call.rows() {
        let found = append_matches(call, row, &mut compiled, out.values()).is_some();
        out.append(found);
    }
    Ok(Arc::new(out.finish()))
}

/// Appends all matches of a row, or returns `None` if its result is NULL.
fn append_matches(
    call: &Call<'_>,
    row: usize,
    compiled: &mut Last<Regex>,
    out: &mut StringBuilder,
) -> Option<()> {
    let (pattern, text) = (call.strings(0).get(row)?, call.strings(1).get(row)?);
    let group = group(call, row)??;
    let regex = call.check(compiled.get(pattern, compile))?;
    if group >= regex.captures_len() {
        return None;
    }
    for captures in regex.captures_iter(text) {
        out.append_option(captures.get(group).map(|found| found.as_str()));
    }
    Some(())
}

fn replace(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let (texts, patterns, news) = (call.strings(0), call.strings(1), call.strings(2));
    let mut compiled = Last::default();
    call.build_strings(|row, out| {
        let (text, pattern, new) = (texts.get(row)?, patterns.get(row)?, news.get(row)?);
        let regex = call.check(compiled.get(pattern, compile))?;
        let mut rest = 0;
        for captures in regex.captures_iter(text) {
            let whole = captures.get(0)?;
            out.push_str(&text[rest..whole.start()]);
            call.check(expand(&captures, new, out))?;
            rest = whole.end();
        }
        out.push_str(&text[rest..]);
        Some(())
    })
}

/// Appends the replacement as Java reads it: `$1` is a group, `\` takes the next character as it is.
fn expand(captures: &regex::Captures<'_>, new: &str, out: &mut String) -> Result<(), String> {
    let mut chars = new.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(chars.next().ok_or("the replacement ends with a backslash")?),
            '$' => {
                let first = chars
                    .next()
                    .and_then(|c| c.to_digit(10))
                    .ok_or("a group's number is missing behind $")?;
                let mut group = first as usize;
                // More digits belong to the number as long as there is such a group.
                while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10))
                    && group * 10 + (digit as usize) < captures.len()
                {
                    group = group * 10 + digit as usize;
                    chars.next();
                }
                if group >= captures.len() {
                    return Err(format!("no group {group}"));
                }
                out.push_str(captures.get(group).map_or("", |found| found.as_str()));
            }
            c => out.push(c),
        }
    }
    Ok(())
}

/// A pattern that matches nothing splits between all characters.
fn split(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let (texts, patterns) = (call.strings(0), call.strings(1));
    let mut compiled = Last::default();
    call.build_string_lists(|row, out| {
        let (text, pattern) = (texts.get(row)?, patterns.get(row)?);
        let regex = call.check(compiled.get(pattern, compile))?;
        if pattern.is_empty() || regex.is_match("") {
            text.split("").filter(|part| !part.is_empty()).for_each(|part| out.append_value(part));
        } else {
            regex.split(text).for_each(|part| out.append_value(part));
        }
        Some(())
    })
}
