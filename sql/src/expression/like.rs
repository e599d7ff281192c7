//! `LIKE`: a whole-string match with `%` and `_`.

use arrow::array::{Array, BooleanArray, BooleanBuilder, StringArray};
use datafusion::error::Result;
use memchr::{memchr, memmem::Finder};
use regex::Regex;

use super::row_errors::RowErrors;
use crate::columnar::text_bytes;

/// Matches each text with the pattern of its row. Row errors: a pattern that ends in its escape character.
pub(super) fn evaluate(
    texts: &StringArray,
    patterns: &StringArray,
    escape: Option<char>,
    errors: &RowErrors,
) -> Result<BooleanArray> {
    let one_line = memchr(b'\n', text_bytes(texts)).is_none();
    let mut last: Option<(&str, Option<Pattern>)> = None;
    let mut outcome = BooleanBuilder::with_capacity(texts.len());
    for row in 0..texts.len() {
        if texts.is_null(row) || patterns.is_null(row) {
            outcome.append_null();
            continue;
        }
        let pattern = patterns.value(row);
        if last.as_ref().is_none_or(|(known, _)| *known != pattern) {
            last = Some((pattern, Pattern::compile(pattern, escape)));
        }
        match &last {
            Some((_, Some(pattern))) => outcome.append_value(pattern.matches(texts.value(row), one_line)),
            _ => {
                errors.add(|| format!("LIKE pattern '{pattern}' ends in its escape character"));
                outcome.append_null();
            }
        }
    }
    Ok(outcome.finish())
}

/// A compiled pattern.
struct Pattern {
    shape: Shape,
    /// What any pattern means, for texts with several lines, too: wildcards match no line feed.
    regex: Regex,
}

/// What a pattern asks of a text of one line.
enum Shape {
    /// To be this.
    Whole(String),
    /// To begin with this.
    Start(String),
    /// To end with this.
    End(String),
    /// To contain this.
    Part(Box<Finder<'static>>),
    /// More.
    Other,
}

impl Pattern {
    /// `None` if the pattern ends in its escape character.
    fn compile(pattern: &str, escape: Option<char>) -> Option<Self> {
        let mut text = String::from("^");
        // The text between the wildcards at the ends, as long as there are no others.
        let (mut literal, mut open_start, mut open_end, mut simple) = (String::new(), false, false, true);
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            let plain = match c {
                c if Some(c) == escape => chars.next()?,
                '%' => {
                    text.push_str(".*");
                    if literal.is_empty() {
                        open_start = true;
                    } else {
                        open_end = true;
                    }
                    continue;
                }
                '_' => {
                    text.push('.');
                    simple = false;
                    continue;
                }
                c => c,
            };
            simple &= !open_end;
            literal.push(plain);
            text.push_str(&regex::escape(plain.encode_utf8(&mut [0; 4])));
        }
        text.push('$');
        let shape = match (open_start, open_end) {
            _ if !simple => Shape::Other,
            (false, false) => Shape::Whole(literal),
            (false, true) => Shape::Start(literal),
            (true, false) => Shape::End(literal),
            (true, true) => Shape::Part(Box::new(Finder::new(literal.as_bytes()).into_owned())),
        };
        Some(Self { shape, regex: Regex::new(&text).ok()? })
    }

    fn matches(&self, text: &str, one_line: bool) -> bool {
        match &self.shape {
            _ if !one_line => self.regex.is_match(text),
            Shape::Whole(wanted) => text == wanted,
            Shape::Start(wanted) => text.starts_with(wanted),
            Shape::End(wanted) => text.ends_with(wanted),
            Shape::Part(wanted) => wanted.find(text.as_bytes()).is_some(),
            Shape::Other => self.regex.is_match(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_and_escapes() {
        for (text, pattern, escape, expected) in [
            ("flight", "fl%", None, true),
            ("flight", "FL%", None, false),
            ("flight", "_light", None, true),
            ("flight", "%", None, true),
            ("flight", "%ght", None, true),
            ("flight", "%fl", None, false),
            ("flight", "%ligh%", None, true),
            ("flight", "%high%", None, false),
            ("flight", "f%t", None, true),
            ("fl\night", "fl%", None, false),
            ("fl\night", "fl\nig%", None, true),
            ("fl\night", "%ight", None, false),
            ("", "%", None, true),
            ("", "", None, true),
            ("flight", "light", None, false),
            ("a.c", "a.c", None, true),
            ("abc", "a.c", None, false),
            ("50%", "50!%", Some('!'), true),
            ("505", "50!%", Some('!'), false),
        ] {
            let outcome =
                evaluate(&vec![text].into(), &vec![pattern].into(), escape, &RowErrors::default()).unwrap();
            assert_eq!(outcome.value(0), expected, "{text} LIKE {pattern}");
        }
        let errors = RowErrors::default();
        let outcome = evaluate(&vec!["a"].into(), &vec!["a!"].into(), Some('!'), &errors).unwrap();
        assert!(outcome.is_null(0) && errors.drain().is_some());
    }
}
