//! `LIKE`: a whole-string match with `%` and `_`.

use arrow::array::{Array, BooleanArray, StringArray};
use datafusion::error::Result;
use regex::Regex;

use super::row_errors::RowErrors;

/// Matches each text with the pattern of its row. Row errors: a pattern that ends in its escape character.
pub(super) fn evaluate(
    texts: &StringArray,
    patterns: &StringArray,
    escape: Option<char>,
    errors: &RowErrors,
) -> Result<BooleanArray> {
    let mut last: Option<(&str, Option<Regex>)> = None;
    let mut outcome = Vec::with_capacity(texts.len());
    for row in 0..texts.len() {
        if texts.is_null(row) || patterns.is_null(row) {
            outcome.push(None);
            continue;
        }
        let pattern = patterns.value(row);
        if last.as_ref().is_none_or(|(known, _)| *known != pattern) {
            last = Some((pattern, compile(pattern, escape)));
        }
        match &last {
            Some((_, Some(regex))) => outcome.push(Some(regex.is_match(texts.value(row)))),
            _ => {
                errors.add(|| format!("LIKE pattern '{pattern}' ends in its escape character"));
                outcome.push(None);
            }
        }
    }
    Ok(BooleanArray::from(outcome))
}

/// The pattern as a regular expression; `None` if it ends in its escape character.
fn compile(pattern: &str, escape: Option<char>) -> Option<Regex> {
    let mut text = String::from("^");
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        let literal = match c {
            c if Some(c) == escape => chars.next()?,
            '%' => {
                text.push_str(".*");
                continue;
            }
            '_' => {
                text.push('.');
                continue;
            }
            c => c,
        };
        text.push_str(&regex::escape(literal.encode_utf8(&mut [0; 4])));
    }
    text.push('$');
    Regex::new(&text).ok()
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
