//! `PRINT topic`: records as they come, in a form that people read.

mod detect;
mod schemas;

use std::{sync::Arc, time::Duration};

use chrono::DateTime;
use millstream_formats::SchemaRegistry;
use millstream_log::{AutoOffsetReset, Consumer, ConsumerConfig, Isolation, Log, OffsetSpec, TopicPartition};

use self::{detect::Detector, schemas::SchemaReader};
use crate::{ast::Print, error::SqlError};

/// Records of a topic as lines of text. Nothing is kept when it is dropped.
pub struct PrintQuery {
    consumer: Consumer,
    topic: String,
    interval: u64,
    remaining: Option<u64>,
    seen: u64,
    keys: Detector,
    values: Detector,
    schemas: Option<SchemaReader>,
}

impl std::fmt::Debug for PrintQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrintQuery").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl PrintQuery {
    pub(crate) fn open(
        log: &Log,
        print: &Print,
        registry: Option<&Arc<dyn SchemaRegistry>>,
    ) -> Result<Self, SqlError> {
        let name = &print.topic.name;
        let failed = |error| SqlError::failed(format!("print topic {name}"), error);
        let topic = log.describe_topic(name).map_err(|_| {
            let topics = log.topics();
            let names: Vec<&str> = topics.iter().map(|topic| &*topic.name).collect();
            SqlError::invalid(format!(
                "Could not find topic '{name}', or the KSQL user does not have permissions to list the topic."
            ))
            .at(print.topic.span)
            .hint_nearest(name, &names, "topics")
        })?;
        let config = ConsumerConfig::default()
            .isolation(Isolation::ReadCommitted)
            .auto_offset_reset(AutoOffsetReset::Earliest)
            .enable_auto_commit(false);
        let mut consumer = log.consumer(config).map_err(failed)?;
        let partitions: Vec<TopicPartition> = (0..topic.partitions)
            .map(|partition| TopicPartition::new(topic.name.clone(), partition))
            .collect();
        consumer.assign(partitions.clone()).map_err(failed)?;
        let from = if print.from_beginning { OffsetSpec::Earliest } else { OffsetSpec::Latest };
        for partition in &partitions {
            consumer.seek_to(partition, from).map_err(failed)?;
        }
        Ok(Self {
            consumer,
            topic: name.clone(),
            interval: print.interval.max(1),
            remaining: print.limit,
            seen: 0,
            keys: Detector::keys(),
            values: Detector::values(),
            schemas: registry.cloned().map(SchemaReader::new),
        })
    }

    /// Whether the LIMIT is reached.
    pub fn finished(&self) -> bool {
        self.remaining == Some(0)
    }

    /// The next records, one line each; waits up to `timeout` for the first.
    pub fn next(&mut self, timeout: Duration) -> Result<Vec<String>, SqlError> {
        let failed = |error| SqlError::failed(format!("print topic {}", self.topic), error);
        let mut lines = Vec::new();
        if self.finished() {
            return Ok(lines);
        }
        let runs = self.consumer.poll(timeout).map_err(failed)?;
        // All that came together is looked at before anything of it is shown.
        for record in runs.iter().flat_map(|run| run.records()) {
            let record = record.map_err(failed)?;
            self.keys.look(record.key, self.schemas.as_mut());
            self.values.look(record.value, self.schemas.as_mut());
        }
        if !runs.is_empty() {
            lines.extend(self.keys.header());
            lines.extend(self.values.header());
        }
        for run in &runs {
            for record in run.records() {
                let record = record.map_err(failed)?;
                self.seen += 1;
                if !(self.seen - 1).is_multiple_of(self.interval) || self.remaining == Some(0) {
                    continue;
                }
                self.remaining = self.remaining.map(|left| left - 1);
                let time = match DateTime::from_timestamp_millis(record.timestamp.get()) {
                    Some(time) if record.timestamp.get() >= 0 => {
                        time.format("%Y/%m/%d %H:%M:%S%.3f Z").to_string()
                    }
                    _ => "N/A".to_owned(),
                };
                lines.push(format!(
                    "rowtime: {time}, key: {}, value: {}, partition: {}",
                    self.keys.show(record.key, self.schemas.as_mut()),
                    self.values.show(record.value, self.schemas.as_mut()),
                    run.partition.partition
                ));
            }
        }
        Ok(lines)
    }
}
