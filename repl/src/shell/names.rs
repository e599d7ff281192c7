//! The words that the shell knows: for completion and colours.

use std::collections::BTreeMap;

/// What can be completed. Keywords are always known, the rest is refreshed before each prompt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// Words of the dialect, upper case, sorted.
    pub(crate) keywords: Vec<String>,
    /// Names of functions, upper case.
    pub(crate) functions: Vec<String>,
    /// Names of topics.
    pub(crate) topics: Vec<String>,
    /// Streams and tables with their columns.
    pub(crate) sources: BTreeMap<String, Vec<String>>,
}

impl Names {
    /// Whether the word is a keyword, in any case.
    pub(crate) fn is_keyword(&self, word: &str) -> bool {
        self.keywords.binary_search_by(|keyword| keyword.as_str().cmp(&word.to_ascii_uppercase())).is_ok()
    }

    /// The columns of a source, its name in any case.
    pub(crate) fn columns(&self, source: &str) -> Option<&[String]> {
        self.sources
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(source))
            .map(|(_, columns)| columns.as_slice())
    }
}
