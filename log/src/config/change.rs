//! Changing some settings of a topic, as Kafka's IncrementalAlterConfigs does.

use std::collections::BTreeMap;

use super::topic::TopicConfig;
use super::topic_keys::{ConfigType, TopicKey};
use super::value::Setting;
use crate::error::Result;

/// One change to the settings of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// One of [`TopicConfig::KEYS`].
    pub key: String,
    /// What happens to its value.
    pub operation: ConfigOperation,
}

/// What a [`ConfigChange`] does. The last two are for settings that take a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigOperation {
    /// Gives it this value.
    Set(String),
    /// Goes back to the log's default.
    Delete,
    /// Adds these words, separated by commas, unless they are there.
    Append(String),
    /// Removes these words, separated by commas.
    Subtract(String),
}

impl ConfigChange {
    /// Gives `key` a value.
    pub fn set(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), operation: ConfigOperation::Set(value.into()) }
    }

    /// Sets `key` back to the log's default.
    pub fn delete(key: impl Into<String>) -> Self {
        Self { key: key.into(), operation: ConfigOperation::Delete }
    }

    /// Adds words to the list that `key` holds.
    pub fn append(key: impl Into<String>, words: impl Into<String>) -> Self {
        Self { key: key.into(), operation: ConfigOperation::Append(words.into()) }
    }

    /// Removes words from the list that `key` holds.
    pub fn subtract(key: impl Into<String>, words: impl Into<String>) -> Self {
        Self { key: key.into(), operation: ConfigOperation::Subtract(words.into()) }
    }

    /// Applies this change to a topic's own settings, over those of the log.
    pub(crate) fn apply(
        &self,
        overrides: &mut BTreeMap<String, String>,
        defaults: &BTreeMap<String, String>,
    ) -> Result<()> {
        let key = &self.key;
        let Some(known) = TopicKey::find(key) else {
            return Err(Setting { key, value: "" }.unknown("topic", TopicConfig::KEYS));
        };
        let refuse = |value: &str, reason: &str| Err(Setting { key, value }.invalid(reason));
        let is_list = known.kind == ConfigType::List;
        let words = || {
            let value = overrides.get(key).cloned().unwrap_or_else(|| known.inherited_value(defaults));
            split(&value).map(str::to_owned).collect::<Vec<_>>()
        };
        let value = match &self.operation {
            ConfigOperation::Set(value) => value.clone(),
            ConfigOperation::Delete => {
                overrides.remove(key);
                return Ok(());
            }
            ConfigOperation::Append(added) | ConfigOperation::Subtract(added) if !is_list => {
                return refuse(added, "it holds one value, not a list: set it instead");
            }
            ConfigOperation::Append(added) => {
                let mut words = words();
                for word in split(added) {
                    if !words.iter().any(|known| known == word) {
                        words.push(word.to_owned());
                    }
                }
                words.join(",")
            }
            ConfigOperation::Subtract(removed) => {
                let mut words = words();
                words.retain(|word| !split(removed).any(|gone| gone == word));
                words.join(",")
            }
        };
        overrides.insert(key.clone(), value);
        Ok(())
    }
}

fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty())
}
