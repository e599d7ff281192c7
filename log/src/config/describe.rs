//! What a topic's settings are and where each comes from, as Kafka's DescribeConfigs tells.

use std::collections::BTreeMap;

use super::topic_keys::{ConfigType, TOPIC_KEYS, TopicKey};

/// A setting of a topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its name.
    pub name: &'static str,
    /// Its value as text.
    pub value: String,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether the value is a secret. None of a topic's is.
    pub is_sensitive: bool,
    /// Every place that gives a value, the one that counts first.
    pub synonyms: Vec<ConfigSynonym>,
    /// What it is for, in a sentence.
    pub documentation: &'static str,
    /// What the text is read as.
    pub kind: ConfigType,
}

/// One place that gives a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// Name of the setting there.
    pub name: &'static str,
    /// Its value there, in its own unit.
    pub value: String,
    /// Which place that is.
    pub source: ConfigSource,
}

/// Where a value comes from, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigSource {
    /// The topic's own settings.
    DynamicTopic,
    /// The log's settings, which are a broker's.
    StaticBroker,
    /// Nobody set it.
    Default,
}

impl ConfigSource {
    /// Kafka's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::DynamicTopic => "DYNAMIC_TOPIC_CONFIG",
            Self::StaticBroker => "STATIC_BROKER_CONFIG",
            Self::Default => "DEFAULT_CONFIG",
        }
    }

    /// Kafka's number of it.
    pub fn id(self) -> i8 {
        match self {
            Self::DynamicTopic => 1,
            Self::StaticBroker => 4,
            Self::Default => 5,
        }
    }
}

impl ConfigType {
    /// Kafka's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "BOOLEAN",
            Self::String => "STRING",
            Self::Int => "INT",
            Self::Long => "LONG",
            Self::Double => "DOUBLE",
            Self::List => "LIST",
        }
    }
}

/// Every setting of a topic by name, from its own settings and the log's.
pub(crate) fn describe(
    defaults: &BTreeMap<String, String>,
    overrides: &BTreeMap<String, String>,
) -> Vec<ConfigEntry> {
    const { &TOPIC_KEYS }.iter().map(|key| describe_key(key, defaults, overrides)).collect()
}

fn describe_key(
    key: &'static TopicKey,
    defaults: &BTreeMap<String, String>,
    overrides: &BTreeMap<String, String>,
) -> ConfigEntry {
    let mut synonyms = Vec::new();
    let mut found = None;
    if let Some(value) = overrides.get(key.name) {
        found = Some((value.clone(), ConfigSource::DynamicTopic));
        let (value, source) = (value.clone(), ConfigSource::DynamicTopic);
        synonyms.push(ConfigSynonym { name: key.name, value, source });
    }
    for broker in key.broker {
        if let Some(value) = defaults.get(broker.name) {
            found.get_or_insert_with(|| (broker.convert(value), ConfigSource::StaticBroker));
            let (value, source) = (value.clone(), ConfigSource::StaticBroker);
            synonyms.push(ConfigSynonym { name: broker.name, value, source });
        }
    }
    let name = key.broker.last().map_or(key.name, |broker| broker.name);
    synonyms.push(ConfigSynonym { name, value: key.default_there(), source: ConfigSource::Default });
    let (value, source) = found.unwrap_or_else(|| (key.default.to_owned(), ConfigSource::Default));
    ConfigEntry {
        name: key.name,
        value,
        source,
        is_sensitive: false,
        synonyms,
        documentation: key.documentation,
        kind: key.kind,
    }
}

impl TopicKey {
    /// The default in the unit of the broker's setting that has one, which is the last.
    fn default_there(&self) -> String {
        let factor = self.broker.last().map_or(1, |broker| broker.factor);
        match self.default.parse::<i64>() {
            Ok(number) if factor != 1 && number >= 0 => (number / factor).to_string(),
            _ => self.default.to_owned(),
        }
    }
}
