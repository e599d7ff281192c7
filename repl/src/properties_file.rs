//! Files of settings, as Java's properties: `name=value` lines.

use std::fs;
use std::path::Path;

use crate::error::CliError;

/// The settings in a file, in its order. `#` and `!` begin comments, a `\` at the end of a line goes on in the next.
pub(crate) fn read(path: &Path) -> Result<Vec<(String, String)>, CliError> {
    let text = fs::read_to_string(path).map_err(|source| CliError::File {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    parse(&text).map_err(|(line, what)| {
        CliError::Usage(format!("{}, line {line}: `{what}` is not NAME=VALUE", path.display()))
    })
}

/// Settings of a file, if there is one, and behind them those given one by one, which thereby win.
pub(crate) fn with(
    file: Option<&Path>,
    given: &[(String, String)],
) -> Result<Vec<(String, String)>, CliError> {
    let mut settings = file.map_or(Ok(Vec::new()), read)?;
    settings.extend_from_slice(given);
    Ok(settings)
}

/// The settings, or the number and text of a line that is none.
fn parse(text: &str) -> Result<Vec<(String, String)>, (usize, String)> {
    let mut settings = Vec::new();
    let mut lines = text.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let mut line = line.trim_start().to_owned();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        while line.ends_with('\\') && !line.ends_with("\\\\") {
            line.pop();
            line.push_str(lines.next().map_or("", |(more, _)| more.trim_start()));
        }
        match line.split_once(['=', ':']) {
            Some((name, value)) if !name.trim().is_empty() => {
                settings.push((name.trim().to_owned(), value.trim_start().to_owned()));
            }
            _ => return Err((number, line)),
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_settings_comments_or_continued() {
        let text = "# comment\n\n acks = all\n! more\nkey.separator=:\nlist=a,\\\n  b\nname: value\n";
        let expected = [("acks", "all"), ("key.separator", ":"), ("list", "a,b"), ("name", "value")];
        let expected: Vec<_> = expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(parse(text).unwrap(), expected);
        assert_eq!(parse("a=b\nplain").unwrap_err(), (2, "plain".to_owned()));
    }
}
