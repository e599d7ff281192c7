//! ASSERT: waits until what it claims is so, or fails.

use std::time::Duration;

use millstream_log::TopicDescription;

use super::Engine;
use crate::{
    ast::{Assertion, Ident, Interval, Properties, Span},
    config,
    error::SqlError,
    result::Outcome,
    session::Session,
};

/// How often a claim is looked at.
const LOOK: Duration = Duration::from_millis(20);

impl Engine {
    pub(super) fn assert(
        &self,
        session: &Session,
        assertion: &Assertion,
        span: Span,
    ) -> Result<Outcome, SqlError> {
        match assertion {
            Assertion::Topic { name, exists, with, timeout } => {
                self.assert_topic(session, name, *exists, with, *timeout)
            }
            Assertion::Schema { .. } => Err(SqlError::unsupported(
                "ASSERT SCHEMA needs a schema registry, which this version does not have",
            )
            .at(span)),
            Assertion::Values(_) | Assertion::Tombstone(_) | Assertion::Source(_) => {
                Err(SqlError::unsupported(
                    "ASSERT VALUES, NULL VALUES, STREAM and TABLE are for scripts that `millstream test` runs",
                )
                .at(span))
            }
        }
    }

    fn assert_topic(
        &self,
        session: &Session,
        name: &Ident,
        exists: bool,
        with: &Properties,
        timeout: Option<Interval>,
    ) -> Result<Outcome, SqlError> {
        let mut expected = Vec::new();
        for property in &with.entries {
            let config = match property.name.to_uppercase().as_str() {
                "PARTITIONS" => "partitions",
                "REPLICAS" => "replicas",
                _ => {
                    let message = format!("Cannot assert unknown topic property: {}", property.name);
                    return Err(SqlError::invalid(message).at(property.name_span));
                }
            };
            expected.push((config, property.integer()?));
        }
        let default =
            config::number(self.config.value(&session.properties, "ksql.assert.topic.default.timeout.ms"));
        let timeout = timeout.map_or(default, Interval::millis).max(0).unsigned_abs();
        let clock = self.log.clock();
        let deadline = clock.monotonic() + Duration::from_millis(timeout);
        loop {
            let problem = match (self.log.describe_topic(&name.name), exists) {
                (Ok(topic), true) => mismatch(&name.name, &topic, &expected),
                (Err(_), true) => Some(format!("Topic {} does not exist", name.name)),
                (Ok(_), false) => Some(format!("Topic {} exists", name.name)),
                (Err(_), false) => None,
            };
            let Some(problem) = problem else {
                let not = if exists { "" } else { "does not " };
                let end = if exists { "exists" } else { "exist" };
                return Ok(Outcome::Message(format!("Topic {} {not}{end}.", name.name)));
            };
            let left = deadline.saturating_sub(clock.monotonic());
            if left.is_zero() {
                return Err(SqlError::assertion(problem).at(name.span));
            }
            clock.sleep(left.min(LOOK));
        }
    }
}

/// What is wrong with a topic, if anything is.
fn mismatch(name: &str, topic: &TopicDescription, expected: &[(&str, i64)]) -> Option<String> {
    let wrong = expected.iter().filter_map(|(config, wanted)| {
        let found = match *config {
            "partitions" => i64::from(topic.partitions),
            // There is one node, so one copy of everything.
            _ => 1,
        };
        (found != *wanted).then(|| {
            format!("Mismatched configuration for topic {name}: For config {config}, expected {wanted} got {found}")
        })
    });
    let wrong: Vec<String> = wrong.collect();
    (!wrong.is_empty()).then(|| wrong.join("\n"))
}
