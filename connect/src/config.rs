//! A connector's config as users write it.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Map, Value, json};

use crate::error::ConnectError;

/// The name of a connector and its settings, not yet checked. [`Worker::start`](crate::Worker::start) checks
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorConfig {
    name: String,
    properties: BTreeMap<String, String>,
}

impl ConnectorConfig {
    /// A config without settings.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), properties: BTreeMap::new() }
    }

    /// Reads `{"name": "...", "config": {...}}`, or a flat object with a `name` in it. Numbers and booleans
    /// are taken as their text.
    pub fn from_json(text: &str) -> Result<Self, ConnectError> {
        let invalid = |reason: String| ConnectError::Config { reason };
        let value: Value = serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
        let Value::Object(mut outer) = value else {
            return Err(invalid("it is not an object".into()));
        };
        let name = match outer.remove("name") {
            Some(Value::String(name)) if !name.trim().is_empty() => Some(name),
            Some(_) => return Err(invalid("\"name\" is not a text".into())),
            None => None,
        };
        let settings = match outer.remove("config") {
            Some(Value::Object(settings)) => match outer.keys().next() {
                Some(key) => return Err(invalid(format!("{key:?} stands beside \"config\""))),
                None => settings,
            },
            Some(_) => return Err(invalid("\"config\" is not an object".into())),
            None => outer,
        };
        let mut properties = flatten(settings)?;
        let inner = properties.remove("name");
        match (name, inner) {
            (Some(outer), Some(inner)) if outer != inner => {
                Err(invalid(format!("it has two names, {outer:?} and {inner:?}")))
            }
            (Some(name), _) | (None, Some(name)) => Ok(Self { name, properties }),
            (None, None) => Err(invalid("\"name\" is missing".into())),
        }
    }

    /// Reads a file that holds what [`ConnectorConfig::from_json`] takes.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConnectError> {
        let path = path.as_ref();
        let text = fs::read_to_string(path).map_err(ConnectError::file("read", path))?;
        Self::from_json(&text)
            .map_err(|error| ConnectError::Content { path: path.into(), reason: error.to_string() })
    }

    /// The connector's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A setting as written.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.properties.get(key).map(String::as_str)
    }

    /// Adds or replaces a setting.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) -> &mut Self {
        self.properties.insert(key.into(), value.into());
        self
    }

    /// The same with one more setting.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.set(key, value);
        self
    }

    /// All settings, by key.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.properties.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The settings as Kafka Connect stores them in its config topic.
    pub(crate) fn to_stored(&self) -> Vec<u8> {
        json!({ "properties": self.properties }).to_string().into_bytes()
    }

    /// Back from [`ConnectorConfig::to_stored`].
    pub(crate) fn from_stored(name: &str, stored: &[u8]) -> Option<Self> {
        let mut value: Map<String, Value> = serde_json::from_slice(stored).ok()?;
        let Value::Object(properties) = value.remove("properties")? else { return None };
        Some(Self { name: name.to_owned(), properties: flatten(properties).ok()? })
    }
}

fn flatten(settings: Map<String, Value>) -> Result<BTreeMap<String, String>, ConnectError> {
    let text = |(key, value)| match value {
        Value::String(text) => Ok((key, text)),
        Value::Number(number) => Ok((key, number.to_string())),
        Value::Bool(truth) => Ok((key, truth.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(ConnectError::Config { reason: format!("{key:?} is not a text") })
        }
    };
    settings.into_iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_give_the_same_config() {
        let expected = ConnectorConfig::new("c").with("file", "a.csv").with("tasks.max", "1");
        for text in [
            r#"{"name": "c", "config": {"file": "a.csv", "tasks.max": 1}}"#,
            r#"{"name": "c", "config": {"name": "c", "file": "a.csv", "tasks.max": "1"}}"#,
            r#"{"name": "c", "file": "a.csv", "tasks.max": "1"}"#,
        ] {
            let config = ConnectorConfig::from_json(text).expect(text);
            assert_eq!(config, expected, "{text}");
            assert_eq!(ConnectorConfig::from_stored("c", &config.to_stored()), Some(config));
        }
    }

    #[test]
    fn what_is_no_config_is_named() {
        for (text, expected) in [
            ("[]", "it is not an object"),
            ("{\"file\": \"a\"}", "\"name\" is missing"),
            (r#"{"name": "a", "config": {"name": "b"}}"#, "it has two names, \"a\" and \"b\""),
            (r#"{"name": "a", "config": {"x": []}}"#, "\"x\" is not a text"),
            (r#"{"name": "a", "config": {}, "file": "x"}"#, "\"file\" stands beside \"config\""),
        ] {
            let error = ConnectorConfig::from_json(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
