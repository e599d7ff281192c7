//! Files of settings, as Java's properties: `name=value` lines.

/// The settings in their order, or the number and text of a line that is none. `#` and `!` begin comments, a `\` at the
/// end of a line goes on in the next.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, (usize, String)> {
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
