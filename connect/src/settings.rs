//! Settings after they were checked.

use std::{collections::BTreeMap, path::PathBuf};

use crate::error::ConnectError;

/// The settings of one connector or task, checked against its [`ConfigKey`](crate::ConfigKey)s and with
/// defaults filled in. The typed getters rely on that check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    connector: String,
    values: BTreeMap<String, String>,
}

impl Settings {
    pub(crate) fn new(connector: &str, values: BTreeMap<String, String>) -> Self {
        Self { connector: connector.to_owned(), values }
    }

    /// Name of the connector.
    pub fn connector(&self) -> &str {
        &self.connector
    }

    /// A setting, if it is given or has a default.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// A setting that is required or has a default.
    pub fn text(&self, key: &str) -> &str {
        self.get(key).unwrap_or_default()
    }

    /// A setting of kind `Int`.
    pub fn integer(&self, key: &str) -> i64 {
        self.text(key).parse().unwrap_or_default()
    }

    /// A setting of kind `Int`, as a count.
    pub fn count(&self, key: &str) -> usize {
        usize::try_from(self.integer(key)).unwrap_or_default()
    }

    /// A setting of kind `Boolean`.
    pub fn truth(&self, key: &str) -> bool {
        self.text(key).eq_ignore_ascii_case("true")
    }

    /// A setting of kind `List`: its parts without white space around them.
    pub fn list(&self, key: &str) -> Vec<&str> {
        self.text(key).split(',').map(str::trim).filter(|part| !part.is_empty()).collect()
    }

    /// A setting that is a path.
    pub fn path(&self, key: &str) -> PathBuf {
        PathBuf::from(self.text(key))
    }

    /// Settings whose keys begin with `prefix`, without it.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.values.iter().filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?, value.as_str())))
    }

    /// An error about one setting, for rules that a [`Kind`](crate::Kind) cannot state.
    pub fn fault(&self, key: &str, reason: impl std::fmt::Display) -> ConnectError {
        let value = self.get(key).map_or_else(|| "missing".to_owned(), |value| format!("{value:?}"));
        ConnectError::Settings {
            connector: self.connector.clone(),
            errors: vec![format!("invalid value {value} for {key}: {reason}")],
        }
    }
}
