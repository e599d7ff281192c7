//! ASSERT: waits until what it claims is so, or fails.

use std::time::Duration;

use millstream_log::TopicDescription;

use super::{
    Engine,
    schemas::{is_missing, needed},
};
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
            Assertion::Schema { subject, id, exists, timeout } => {
                let claimed = (subject.as_deref(), *id);
                self.assert_schema(session, claimed, *exists, *timeout).map_err(|error| error.at(span))
            }
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
        let topic = &name.name;
        self.wait_until(session, "ksql.assert.topic.default.timeout.ms", timeout, || {
            Ok(match (self.log.describe_topic(topic), exists) {
                (Ok(found), true) => mismatch(topic, &found, &expected),
                (Err(_), true) => Some(format!("Topic {topic} does not exist")),
                (Ok(_), false) => Some(format!("Topic {topic} exists")),
                (Err(_), false) => None,
            })
        })
        .map_err(|error| error.at(name.span))?;
        Ok(Outcome::Message(format!("Topic {topic} {}.", if exists { "exists" } else { "does not exist" })))
    }

    fn assert_schema(
        &self,
        session: &Session,
        (subject, id): (Option<&str>, Option<i32>),
        exists: bool,
        timeout: Option<Interval>,
    ) -> Result<Outcome, SqlError> {
        if subject.is_none() && id.is_none() {
            return Err(SqlError::invalid("ASSERT SCHEMA needs a SUBJECT, an ID or both"));
        }
        let registry = needed(self.config.schemas())?;
        let mut what = "Schema".to_owned();
        if let Some(subject) = subject {
            what.push_str(&format!(" with subject name {subject}"));
        }
        if let Some(id) = id {
            what.push_str(&format!(" {}id {id}", if subject.is_none() { "with " } else { "" }));
        }
        let find = || match (subject, id) {
            (Some(subject), Some(id)) => {
                let found = registry.lookup(subject, &registry.schema(id)?)?;
                Ok((found.id == id).then_some(()))
            }
            (Some(subject), None) => registry.latest(subject).map(|_| Some(())),
            (None, id) => registry.schema(id.unwrap_or_default()).map(|_| Some(())),
        };
        self.wait_until(session, "ksql.assert.schema.default.timeout.ms", timeout, || {
            let found = match find() {
                Ok(found) => found.is_some(),
                Err(error) if is_missing(&error) => false,
                Err(error) => return Err(SqlError::failed(format!("look for {what}"), error)),
            };
            Ok(match (found, exists) {
                (true, false) => Some(format!("{what} exists")),
                (false, true) => Some(format!("{what} does not exist")),
                (true, true) | (false, false) => None,
            })
        })?;
        Ok(Outcome::Message(format!("{what} {}.", if exists { "exists" } else { "does not exist" })))
    }

    /// Waits until `problem` finds none, at most for `timeout` or as long as the setting says.
    fn wait_until(
        &self,
        session: &Session,
        setting: &str,
        timeout: Option<Interval>,
        problem: impl Fn() -> Result<Option<String>, SqlError>,
    ) -> Result<(), SqlError> {
        let default = config::number(self.config.value(&session.properties, setting));
        let timeout = timeout.map_or(default, Interval::millis).max(0).unsigned_abs();
        let clock = self.log.clock();
        let deadline = clock.monotonic() + Duration::from_millis(timeout);
        while let Some(problem) = problem()? {
            let left = deadline.saturating_sub(clock.monotonic());
            if left.is_zero() {
                return Err(SqlError::assertion(problem));
            }
            clock.sleep(left.min(LOOK));
        }
        Ok(())
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
