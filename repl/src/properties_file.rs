//! Files of settings, as Java's properties: `name=value` lines.

use std::fs;
use std::path::Path;

use millstream_streams::properties::parse;

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
