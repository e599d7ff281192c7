//! Values of `--property NAME=VALUE`.

use crate::error::CliError;

/// `true` or `false`.
pub(crate) fn boolean(name: &str, value: &str) -> Result<bool, CliError> {
    match value.trim().to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(CliError::Usage(format!("{name} is true or false, not `{value}`"))),
    }
}

/// A separator of at least one byte; `\t`, `\n`, `\r` and `\\` may be written out.
pub(crate) fn separator(name: &str, value: &str) -> Result<Vec<u8>, CliError> {
    if value.is_empty() {
        return Err(CliError::Usage(format!("{name} is empty: give at least one character")));
    }
    Ok(text(value))
}

/// Text in which `\t`, `\n`, `\r` and `\\` may be written out.
pub(crate) fn text(value: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes().peekable();
    while let Some(byte) = rest.next() {
        let escaped = match (byte, rest.peek()) {
            (b'\\', Some(b't')) => b'\t',
            (b'\\', Some(b'n')) => b'\n',
            (b'\\', Some(b'r')) => b'\r',
            (b'\\', Some(b'\\')) => b'\\',
            _ => {
                bytes.push(byte);
                continue;
            }
        };
        bytes.push(escaped);
        rest.next();
    }
    bytes
}

/// A usage error that names the nearest of the known names.
pub(crate) fn unknown(what: &str, name: &str, known: &[&str]) -> CliError {
    let nearest = known.iter().min_by_key(|candidate| strsim::damerau_levenshtein(name, candidate));
    let hint = nearest
        .filter(|candidate| strsim::normalized_damerau_levenshtein(name, candidate) > 0.6)
        .map_or_else(
            || format!("known are {}", known.join(", ")),
            |candidate| format!("did you mean {candidate}"),
        );
    CliError::Usage(format!("unknown {what}: {name}; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        assert_eq!(text(r"\t|\\t\x"), b"\t|\\t\\x");
        assert!(separator("key.separator", "").is_err());
    }
}
