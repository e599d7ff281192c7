//! Completion: which names fit where the cursor is.

use std::collections::BTreeSet;

use super::names::{KEYWORDS, Names, is_keyword};
use super::token::{Kind, Token, tokens};

/// Commands of the shell itself, which need no semicolon.
pub(crate) const SHELL_COMMANDS: [&str; 4] = ["clear", "exit", "help", "quit"];

/// Where the word under the cursor starts, and what it could become.
pub(crate) fn complete(line: &str, cursor: usize, names: &Names) -> (usize, Vec<String>) {
    let before = &line[..cursor];
    let statement_start = statement_start(before);
    let pieces = tokens(&before[statement_start..]);
    if pieces.last().is_some_and(|token| matches!(token.kind, Kind::Text | Kind::Comment | Kind::Number)) {
        return (cursor, Vec::new());
    }
    let piece = |token: &Token| &before[statement_start..][token.range.clone()];
    let (prefix, earlier) = match pieces.split_last() {
        Some((last, earlier)) if matches!(last.kind, Kind::Word | Kind::Quoted) => (piece(last), earlier),
        _ => ("", pieces.as_slice()),
    };
    let words: Vec<&str> = earlier.iter().filter(|token| token.kind != Kind::Space).map(piece).collect();

    let candidates = if let [.., qualifier, "."] = words.as_slice() {
        qualified(&line[statement_start..], qualifier, names)
    } else {
        anywhere(&words, line, statement_start, names)
    };
    let wanted = prefix.trim_start_matches(['`', '"']);
    let matching = candidates
        .into_iter()
        .filter(|candidate| candidate.len() >= wanted.len() && starts_with_any_case(candidate, wanted))
        .map(|candidate| if is_keyword(&candidate) { in_the_case_of(candidate, wanted) } else { candidate })
        .collect::<BTreeSet<_>>();
    (cursor - prefix.len(), matching.into_iter().collect())
}

/// After `source.` or `alias.` only its columns fit.
fn qualified(line: &str, qualifier: &str, names: &Names) -> Vec<String> {
    let source = sources_in(line).into_iter().find(|(name, alias)| {
        alias.as_deref().is_some_and(|alias| alias.eq_ignore_ascii_case(qualifier))
            || name.eq_ignore_ascii_case(qualifier)
    });
    let source = source.map_or_else(|| qualifier.to_owned(), |(name, _)| name);
    names.columns(&source).map(<[String]>::to_vec).unwrap_or_default()
}

fn anywhere(words: &[&str], line: &str, statement_start: usize, names: &Names) -> Vec<String> {
    let sources = || names.sources.keys().cloned();
    let is = |index_from_end: usize, word: &str| {
        words.len() > index_from_end && words[words.len() - 1 - index_from_end].eq_ignore_ascii_case(word)
    };
    let after_kind = (is(0, "stream") || is(0, "table")) && (is(1, "drop") || is(1, "alter"));
    if is(0, "from") || is(0, "join") || is(0, "into") || is(0, "describe") || after_kind {
        return sources().chain(is(0, "describe").then(|| "FUNCTION".to_owned())).collect();
    }
    if is(0, "print") {
        return names.topics.clone();
    }
    let mut candidates: Vec<String> = KEYWORDS.map(str::to_owned).to_vec();
    if words.is_empty() {
        candidates.extend(SHELL_COMMANDS.map(str::to_owned));
        return candidates;
    }
    candidates.extend(names.functions.iter().cloned());
    // Columns of the sources that the statement names anywhere, also after the cursor.
    for (source, alias) in sources_in(&line[statement_start..]) {
        candidates.extend(names.columns(&source).unwrap_or_default().iter().cloned());
        candidates.extend(alias);
        candidates.push(source);
    }
    candidates
}

/// The names after FROM and JOIN with their aliases.
fn sources_in(text: &str) -> Vec<(String, Option<String>)> {
    let words: Vec<&str> = tokens(text)
        .into_iter()
        .filter(|token| !matches!(token.kind, Kind::Space | Kind::Comment))
        .map(|token| &text[token.range])
        .collect();
    let mut found = Vec::new();
    for (i, word) in words.iter().enumerate() {
        if !word.eq_ignore_ascii_case("from") && !word.eq_ignore_ascii_case("join") {
            continue;
        }
        let Some(name) = words.get(i + 1) else { continue };
        let mut alias = words.get(i + 2).copied();
        if alias.is_some_and(|word| word.eq_ignore_ascii_case("as")) {
            alias = words.get(i + 3).copied();
        }
        const NOT_AN_ALIAS: [&str; 17] = [
            "where",
            "join",
            "inner",
            "left",
            "right",
            "full",
            "outer",
            "on",
            "window",
            "group",
            "partition",
            "having",
            "emit",
            "limit",
            "within",
            "order",
            "union",
        ];
        let alias = alias.filter(|word| {
            word.starts_with(|c: char| c.is_alphabetic() || c == '_')
                && !NOT_AN_ALIAS.iter().any(|reserved| word.eq_ignore_ascii_case(reserved))
        });
        found.push(((*name).to_owned(), alias.map(str::to_owned)));
    }
    found
}

fn statement_start(before: &str) -> usize {
    let last = tokens(before).into_iter().rfind(|token| &before[token.range.clone()] == ";");
    last.map_or(0, |token| token.range.end)
}

fn starts_with_any_case(candidate: &str, prefix: &str) -> bool {
    candidate.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

/// Who types `sel` wants `select`.
fn in_the_case_of(keyword: String, prefix: &str) -> String {
    if prefix.starts_with(|c: char| c.is_ascii_lowercase()) { keyword.to_ascii_lowercase() } else { keyword }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cursor is at `|`.
    fn check(text: &str, expected: &[&str]) {
        let names = Names {
            functions: vec!["COUNT".to_owned(), "SUM".to_owned()],
            topics: vec!["flights".to_owned(), "airlines".to_owned()],
            sources: [
                ("FLIGHTS".to_owned(), vec!["ORIGIN".to_owned(), "CARRIER".to_owned()]),
                ("AIRLINES".to_owned(), vec!["CODE".to_owned(), "NAME".to_owned()]),
            ]
            .into(),
        };
        let cursor = text.find('|').unwrap();
        let line = text.replace('|', "");
        let (_, found) = complete(&line, cursor, &names);
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn names_fit_their_place() {
        check("sel|", &["select"]);
        check("SEL|", &["SELECT"]);
        check("exi|", &["exists", "exit"]);
        check("SELECT * FROM |", &["AIRLINES", "FLIGHTS"]);
        check("SELECT * FROM fl|", &["FLIGHTS"]);
        check("SELECT 1; DROP STREAM a|", &["AIRLINES"]);
        check("PRINT |", &["airlines", "flights"]);
        check("SELECT ori| FROM FLIGHTS", &["ORIGIN"]);
        check("SELECT f.| FROM flights f JOIN airlines AS a ON", &["CARRIER", "ORIGIN"]);
        check("SELECT a.n| FROM flights f JOIN airlines AS a ON", &["NAME"]);
        check("SELECT flights.c| FROM flights WHERE", &["CARRIER"]);
        check("SELECT SU|", &["SUM"]);
        check("SELECT 'FR|", &[]);
        check("SELECT -- FR|", &[]);
    }
}
