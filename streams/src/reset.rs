//! Application reset: an application that has stopped begins anew, as Kafka's `kafka-streams-application-reset` does.

use std::collections::BTreeSet;

use millstream_log::Log;
use millstream_log::group::{ResetMode, ResetPlan, ResetScope};

use crate::error::StreamsError;

/// How the names of internal topics end; they begin with the application's id.
const INTERNAL: [&str; 4] =
    ["-changelog", "-repartition", "-subscription-registration-topic", "-subscription-response-topic"];

/// Which application begins anew, and where.
#[derive(Clone, Debug)]
pub struct ApplicationReset {
    /// The `application.id`.
    pub application_id: String,
    /// The input topics whose offsets are moved; none for all that the application has offsets in.
    pub input_topics: Option<Vec<String>>,
    /// Where the offsets go.
    pub to: ResetMode,
    /// The internal topics that are deleted; none for all of the application's.
    pub internal_topics: Option<Vec<String>>,
}

/// What a reset does. Local state needs no part in it: the next start finds that it belongs to no changelog.
#[derive(Clone, Debug)]
pub struct ResetSteps {
    application_id: String,
    /// The new offsets in input topics.
    pub offsets: ResetPlan,
    /// The internal topics that are deleted, by name.
    pub topics: Vec<String>,
}

impl ApplicationReset {
    /// Works out what the reset does, and does nothing. Fails while instances of the application are running.
    pub fn plan(&self, log: &Log) -> Result<ResetSteps, StreamsError> {
        let id = &self.application_id;
        let names = log.topics().into_iter().map(|topic| topic.name.to_string());
        let own: BTreeSet<String> = names.filter(|name| is_internal(id, name)).collect();
        let topics = match &self.internal_topics {
            None => own.into_iter().collect(),
            Some(named) => {
                let known = if own.is_empty() {
                    "it has none".to_owned()
                } else {
                    format!("it has {}", own.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
                };
                if let Some(other) = named.iter().find(|name| !own.contains(*name)) {
                    return Err(StreamsError::Failed(format!(
                        "{other} is no internal topic of {id}: {known}"
                    )));
                }
                own.into_iter().filter(|name| named.contains(name)).collect()
            }
        };
        let inputs: Vec<String> = match &self.input_topics {
            Some(topics) => topics.clone(),
            None => {
                let committed = log.committed_offsets(id).into_iter();
                let inputs: BTreeSet<String> =
                    committed.map(|(partition, _)| partition.topic.to_string()).collect();
                inputs.into_iter().filter(|topic| !is_internal(id, topic)).collect()
            }
        };
        let scope = ResetScope::Topics(inputs.into_iter().map(|topic| (topic, None)).collect());
        let offsets = log.plan_reset(id, &scope, &self.to)?;
        Ok(ResetSteps { application_id: id.clone(), offsets, topics })
    }
}

impl ResetSteps {
    /// Deletes the internal topics, then moves the offsets. After an error it can be planned and done again.
    pub fn execute(&self, log: &Log) -> Result<(), StreamsError> {
        for topic in &self.topics {
            log.delete_topic(topic)?;
        }
        log.reset_offsets(&self.application_id, &self.offsets)?;
        Ok(())
    }
}

fn is_internal(application: &str, topic: &str) -> bool {
    let rest = topic.strip_prefix(application).and_then(|rest| rest.strip_prefix('-'));
    rest.is_some_and(|_| INTERNAL.iter().any(|ending| topic.ends_with(ending)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::StreamsConfig;
    use crate::driver::TopologyTestDriver;
    use crate::dsl::{Consumed, Materialized, StreamsBuilder};
    use crate::serde::{Int64, Serde, Utf8};
    use crate::topology::Topology;

    fn topology() -> Topology {
        let builder = StreamsBuilder::new();
        builder
            .stream::<String, String>("in", Consumed::with(Utf8, Utf8))
            .group_by(|_, value| value.clone())
            .count(Materialized::named("counts"))
            .to_stream()
            .to("out");
        builder.build().unwrap()
    }

    fn counts(driver: &TopologyTestDriver) -> BTreeMap<String, i64> {
        let rows = driver.store("counts").unwrap();
        let rows = rows.scan(crate::store::KeyRange::all()).map(|row| row.unwrap());
        rows.map(|row| (String::from_utf8(row.key).unwrap(), Int64.deserialize(&row.value).unwrap()))
            .collect()
    }

    #[test]
    fn an_application_begins_anew() {
        let config = StreamsConfig::new("app").exactly_once();
        let mut driver = TopologyTestDriver::with_partitions(topology(), config.clone(), 2).unwrap();
        for value in ["a", "b", "a"] {
            driver.pipe("in", None, Some(value.as_bytes()), 0).unwrap();
        }
        driver.commit().unwrap();
        let before = counts(&driver);
        assert_eq!(before, BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 1)]));
        let (log, clock) = (driver.log().clone(), driver.clock().clone());
        drop(driver);

        let mut reset = ApplicationReset {
            application_id: "app".to_owned(),
            input_topics: None,
            to: ResetMode::ToEarliest,
            internal_topics: None,
        };
        let steps = reset.plan(&log).unwrap();
        assert_eq!(steps.topics, ["app-counts-changelog", "app-counts-repartition"]);
        let inputs: Vec<String> = steps.offsets.rows.iter().map(|row| row.partition.to_string()).collect();
        assert_eq!(inputs, ["in-0", "in-1"]);
        // Planning changes nothing.
        assert_eq!(reset.plan(&log).unwrap().topics.len(), 2);
        steps.execute(&log).unwrap();
        assert!(reset.plan(&log).unwrap().topics.is_empty());

        // Everything is read again, and nothing is counted twice.
        let mut driver =
            TopologyTestDriver::on_log(topology(), config.clone(), log.clone(), clock.clone()).unwrap();
        driver.commit().unwrap();
        assert_eq!(counts(&driver), before);
        drop(driver);

        // Only what is named.
        reset.internal_topics = Some(vec!["app-counts-changelog".to_owned()]);
        reset.to = ResetMode::ToLatest;
        reset.plan(&log).unwrap().execute(&log).unwrap();
        let mut driver = TopologyTestDriver::on_log(topology(), config, log.clone(), clock).unwrap();
        driver.commit().unwrap();
        assert_eq!(counts(&driver), BTreeMap::new());

        reset.internal_topics = Some(vec!["out".to_owned()]);
        assert_eq!(
            reset.plan(&log).unwrap_err().to_string(),
            "out is no internal topic of app: it has app-counts-changelog, app-counts-repartition"
        );
    }
}
