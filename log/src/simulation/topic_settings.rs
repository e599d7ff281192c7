//! Settings of topics that change during a run, and what must be left of that after a start.

use std::collections::BTreeMap;

use super::check::Violation;
use super::history::{ConfigRun, History, Known, Span};
use super::world::{TOMBSTONE_TIME, World};
use crate::catalogue::NewTopic;
use crate::config::ConfigChange;
use crate::engine::Log;

/// A setting of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// `segment.bytes`.
    SegmentBytes(u32),
    /// `retention.bytes`; `None` for no limit.
    RetentionBytes(Option<u32>),
    /// `retention.ms`, given in seconds.
    RetentionSeconds(u32),
    /// `cleanup.policy`: what else than `delete`, and whether that too.
    Compacting {
        /// Whether `delete` stays.
        deletes: bool,
    },
    /// `cleanup.policy=delete`.
    Deleting,
}

impl Setting {
    /// Keys and values.
    fn entries(self) -> Vec<(&'static str, String)> {
        match self {
            Self::SegmentBytes(bytes) => vec![("segment.bytes", bytes.to_string())],
            Self::RetentionBytes(bytes) => {
                vec![("retention.bytes", bytes.map_or(-1, i64::from).to_string())]
            }
            Self::RetentionSeconds(seconds) => {
                vec![("retention.ms", (u64::from(seconds) * 1000).to_string())]
            }
            Self::Compacting { deletes } => vec![
                ("cleanup.policy", if deletes { "compact,delete" } else { "compact" }.to_owned()),
                ("min.cleanable.dirty.ratio", "0".to_owned()),
                ("delete.retention.ms", TOMBSTONE_TIME.as_millis().to_string()),
            ],
            Self::Deleting => vec![("cleanup.policy", "delete".to_owned())],
        }
    }
}

impl World {
    /// Changes a setting of a topic.
    pub(super) fn alter_config(&mut self, topic: u8, setting: Setting) {
        let (Some(log), Some(&run)) = (self.log.clone(), self.live.get(&topic)) else { return };
        if matches!(setting, Setting::Compacting { .. }) {
            // From here on compaction may have left gaps, whatever comes of the change.
            self.history.topics[run].is_compacted = true;
        }
        let entries = setting.entries();
        let changes: Vec<_> =
            entries.iter().map(|(key, value)| ConfigChange::set(*key, value.clone())).collect();
        let span = self.span();
        let answer = log.alter_topic_config(&Self::name(topic), &changes);
        let span = self.finish(span, &answer, false);
        let change = |(key, value)| ConfigRun { topic: run, key, value, span };
        self.history.configs.extend(entries.into_iter().map(change));
    }
}

/// Settings by topic and key.
pub(super) type Settings = BTreeMap<(usize, &'static str), String>;

/// Checks that a topic has the settings that were given to it last, and adds them to `found`.
pub(super) fn check_settings(
    history: &History,
    log: &Log,
    topic: usize,
    point: u64,
    found: &mut Settings,
) -> Result<(), Violation> {
    let name = &history.topics[topic].name;
    let fail = |text| Err(Violation { rule: "R14", text });
    let Ok(description) = log.describe_topic(name) else { return fail(format!("topic {name} is gone")) };
    let mut allowed: BTreeMap<&'static str, Vec<&str>> = BTreeMap::new();
    for change in history.configs.iter().filter(|change| change.topic == topic) {
        let values = allowed.entry(change.key).or_default();
        match change.span.at(point) {
            Known::Never => {}
            Known::Maybe => values.push(&change.value),
            Known::Done => *values = vec![&change.value],
        }
    }
    for (key, values) in allowed {
        match description.configs.get(key) {
            Some(value) if values.contains(&&**value) => drop(found.insert((topic, key), value.clone())),
            // It may never have been given.
            None if values.is_empty() || is_all_unsure(history, topic, key, point) => {}
            other => return fail(format!("{key} of {name} is {other:?}, not one of {values:?}")),
        }
    }
    Ok(())
}

/// Whether it is not known of any change of a setting that it was made.
fn is_all_unsure(history: &History, topic: usize, key: &str, point: u64) -> bool {
    let mut changes = history.configs.iter().filter(|change| (change.topic, change.key) == (topic, key));
    changes.all(|change| change.span.at(point) != Known::Done)
}

/// What a topic is created with.
pub(super) fn given(topic: usize, new: &NewTopic) -> Vec<ConfigRun> {
    let keys = ["segment.bytes", "retention.bytes", "cleanup.policy"];
    let given = keys.into_iter().filter_map(|key| Some(((topic, key), new.config.get(key)?.clone())));
    settled(&given.collect())
}

/// What was found, taken for granted.
pub(super) fn settled(found: &Settings) -> Vec<ConfigRun> {
    let mut span = Span::start(0);
    span.settle(true);
    found.iter().map(|(&(topic, key), value)| ConfigRun { topic, key, value: value.clone(), span }).collect()
}
