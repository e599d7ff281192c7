//! What settings a connector takes, and the check of a config against that.

use std::collections::BTreeMap;

use crate::{
    config::ConnectorConfig,
    error::{ConnectError, nearest, nearest_hint},
    settings::Settings,
};

/// One setting of a connector, as Kafka Connect's `ConfigDef` describes it.
#[derive(Clone, Copy, Debug)]
pub struct ConfigKey {
    /// The key.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// The value if none is given.
    pub default: DefaultValue,
    /// How much it matters to users.
    pub importance: Importance,
    /// What it does, in a sentence.
    pub documentation: &'static str,
}

/// The value of a setting that is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// There is none: the setting must be given.
    Required,
    /// The setting may be absent.
    Absent,
    /// This text.
    Value(&'static str),
}

/// Type of a setting's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text that is not empty.
    String,
    /// Any text, white space around it included.
    Text,
    /// A whole number of at least this.
    Int {
        /// The smallest value.
        min: i64,
    },
    /// `true` or `false`.
    Boolean,
    /// Texts between commas, at least one.
    List,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

/// How much a setting matters to users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Importance {
    /// Every config sets it or should think of it.
    High,
    /// Worth knowing.
    Medium,
    /// For special cases.
    Low,
}

impl ConfigKey {
    /// A setting that must be given.
    pub const fn required(name: &'static str, kind: Kind, documentation: &'static str) -> Self {
        Self { name, kind, default: DefaultValue::Required, importance: Importance::High, documentation }
    }

    /// A setting that may be absent.
    pub const fn optional(name: &'static str, kind: Kind, documentation: &'static str) -> Self {
        Self { name, kind, default: DefaultValue::Absent, importance: Importance::Medium, documentation }
    }

    /// A setting with a default.
    pub const fn with_default(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        documentation: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            default: DefaultValue::Value(default),
            importance: Importance::Medium,
            documentation,
        }
    }

    /// The same with another importance.
    pub const fn importance(mut self, importance: Importance) -> Self {
        self.importance = importance;
        self
    }

    fn fault(&self, value: &str) -> Option<String> {
        let expected = match self.kind {
            Kind::Text => return None,
            Kind::String | Kind::List if value.trim().is_empty() => "a text that is not empty".to_owned(),
            Kind::String | Kind::List => return None,
            Kind::Int { min } => match value.trim().parse::<i64>() {
                Ok(number) if number >= min => return None,
                _ => format!("a whole number of at least {min}"),
            },
            Kind::Boolean if matches!(value.trim().to_ascii_lowercase().as_str(), "true" | "false") => {
                return None;
            }
            Kind::Boolean => "true or false".to_owned(),
            Kind::OneOf(words) if words.contains(&value.trim()) => return None,
            Kind::OneOf(words) => format!("one of {}", words.join(", ")),
        };
        Some(format!("invalid value {value:?} for {}: it takes {expected}", self.name))
    }
}

/// Checks `config` against `keys`; keys that begin with one of `prefixes` are left to others.
pub(crate) fn check<'a>(
    config: &ConnectorConfig,
    keys: impl IntoIterator<Item = &'a ConfigKey>,
    prefixes: &[&str],
) -> Result<Settings, ConnectError> {
    let keys: BTreeMap<&str, &ConfigKey> = keys.into_iter().map(|key| (key.name, key)).collect();
    let mut errors = Vec::new();
    let mut values = BTreeMap::new();
    for (key, value) in config.properties() {
        let known = keys.get(key);
        match known {
            Some(known) => errors.extend(known.fault(value)),
            None if prefixes.iter().any(|prefix| key.starts_with(prefix)) => {}
            None => {
                errors.push(format!(
                    "unknown setting {key:?}{}",
                    nearest_hint(&nearest(key, keys.keys().copied()))
                ));
            }
        }
        let as_is = known.is_some_and(|known| known.kind == Kind::Text);
        values.insert(key.to_owned(), if as_is { value } else { value.trim() }.to_owned());
    }
    for key in keys.values() {
        if values.contains_key(key.name) {
            continue;
        }
        match key.default {
            DefaultValue::Value(value) => drop(values.insert(key.name.to_owned(), value.to_owned())),
            DefaultValue::Required => {
                errors.push(format!("missing setting {:?}: {}", key.name, key.documentation))
            }
            DefaultValue::Absent => {}
        }
    }
    if errors.is_empty() {
        Ok(Settings::new(config.name(), values))
    } else {
        Err(ConnectError::Settings { connector: config.name().to_owned(), errors })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [ConfigKey; 4] = [
        ConfigKey::required("file", Kind::String, "the file to read"),
        ConfigKey::with_default("batch.size", Kind::Int { min: 1 }, "2000", "rows of a batch"),
        ConfigKey::with_default("follow", Kind::Boolean, "false", "wait for more"),
        ConfigKey::optional("format", Kind::OneOf(&["csv", "json"]), "what the file holds"),
    ];

    #[test]
    fn every_fault_is_told_at_once() {
        let config = ConnectorConfig::new("c")
            .with("batch.sise", "1")
            .with("follow", "maybe")
            .with("format", "xml")
            .with("batch.size", "0");
        let error = check(&config, &KEYS, &[]).expect_err("five faults").to_string();
        assert_eq!(
            error,
            "the config of connector \"c\" has 5 error(s): \
             unknown setting \"batch.sise\": did you mean \"batch.size\"?; \
             invalid value \"0\" for batch.size: it takes a whole number of at least 1; \
             invalid value \"maybe\" for follow: it takes true or false; \
             invalid value \"xml\" for format: it takes one of csv, json; \
             missing setting \"file\": the file to read"
        );
    }

    #[test]
    fn defaults_fill_in() {
        let config = ConnectorConfig::new("c").with("file", "a.csv").with("producer.override.acks", "1");
        let settings = check(&config, &KEYS, &["producer.override."]).expect("a good config");
        assert_eq!(settings.integer("batch.size"), 2000);
        assert_eq!(settings.get("format"), None);
        assert_eq!(settings.with_prefix("producer.override.").collect::<Vec<_>>(), [("acks", "1")]);
    }
}
