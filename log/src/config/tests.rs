use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::group::Assignor;
use crate::types::{Acks, Isolation};

fn topic(key: &str, value: &str) -> crate::Result<TopicConfig> {
    TopicConfig::from_overrides(&BTreeMap::from([(key.to_owned(), value.to_owned())]))
}

#[test]
fn values_become_types() {
    let config = topic("cleanup.policy", "compact, delete").unwrap();
    assert_eq!(config.cleanup_policy, CleanupPolicy { delete: true, compact: true });
    assert_eq!(topic("retention.ms", "-1").unwrap().retention, None);
    assert_eq!(topic("segment.ms", "10").unwrap().segment, Duration::from_millis(10));

    let producer = ProducerConfig::from_properties([("acks", "-1"), ("transactional.id", "t")]).unwrap();
    assert_eq!((producer.acks, producer.transactional_id.as_deref()), (Acks::Synced, Some("t")));
    let consumer = ConsumerConfig::from_properties([("isolation.level", "read_committed")]).unwrap();
    assert_eq!(consumer.isolation, Isolation::ReadCommitted);
}

#[test]
fn mistakes_name_the_key_and_what_it_takes() {
    for (error, expected) in [
        (
            topic("cleanup.polcy", "delete").unwrap_err().to_string(),
            "unknown topic config \"cleanup.polcy\": did you mean \"cleanup.policy\"?",
        ),
        (topic("zzz", "1").unwrap_err().to_string(), "unknown topic config \"zzz\""),
        (
            topic("segment.bytes", "1k").unwrap_err().to_string(),
            "invalid value \"1k\" for segment.bytes: it takes a whole number from 14 to 2147483647",
        ),
        (
            ProducerConfig::from_properties([("acks", "2")]).unwrap_err().to_string(),
            "invalid value \"2\" for acks: it takes one of 0, 1, all, -1",
        ),
        (
            ConsumerConfig::from_properties([("group.ids", "g")]).unwrap_err().to_string(),
            "unknown consumer config \"group.ids\": did you mean \"group.id\"?",
        ),
        (
            LogConfig::from_properties([("num.partition", "3")]).unwrap_err().to_string(),
            "unknown log config \"num.partition\": did you mean \"num.partitions\"?",
        ),
    ] {
        assert_eq!(error, expected);
    }
}

#[test]
fn producers_settings_must_fit_each_other() {
    // properties → what is wrong, or whether sequence numbers are used
    for (properties, expected) in [
        (vec![], Ok(true)),
        (vec![("acks", "1")], Ok(false)),
        (vec![("retries", "0")], Ok(false)),
        (vec![("max.in.flight.requests.per.connection", "6")], Ok(false)),
        (vec![("enable.idempotence", "false")], Ok(false)),
        (vec![("transactional.id", "t"), ("acks", "1")], Ok(true)),
        (
            vec![("acks", "1"), ("enable.idempotence", "true")],
            Err("invalid value \"1\" for acks: enable.idempotence needs all"),
        ),
        (
            vec![("enable.idempotence", "true"), ("retries", "0")],
            Err("invalid value \"0\" for retries: enable.idempotence needs 1 or more"),
        ),
        (
            vec![("enable.idempotence", "true"), ("max.in.flight.requests.per.connection", "6")],
            Err("invalid value \"6\" for max.in.flight.requests.per.connection: \
                 enable.idempotence needs 5 or fewer"),
        ),
        (
            vec![("transactional.id", "t"), ("enable.idempotence", "false")],
            Err("invalid value \"false\" for enable.idempotence: transactional.id needs true"),
        ),
        (
            vec![("transactional.id", "t"), ("acks", "0")],
            Err("invalid value \"0\" for acks: transactional.id needs all or 1"),
        ),
        (
            vec![("delivery.timeout.ms", "30004")],
            Err("invalid value \"30004\" for delivery.timeout.ms: \
                 it takes linger.ms + request.timeout.ms (30005) or more"),
        ),
        (
            vec![("partitioner.class", "com.example.Mine")],
            Err("invalid value \"com.example.Mine\" for partitioner.class: \
                 it takes RoundRobinPartitioner, or nothing for the built-in one"),
        ),
    ] {
        let outcome = ProducerConfig::from_properties(properties.clone());
        let outcome = outcome.map(|config| config.is_idempotent()).map_err(|error| error.to_string());
        assert_eq!(outcome, expected.map_err(str::to_owned), "{properties:?}");
    }
    let slow =
        ProducerConfig::from_properties([("linger.ms", "100000"), ("request.timeout.ms", "50000")]).unwrap();
    assert_eq!(slow.delivery_timeout(), Duration::from_secs(150));
    assert_eq!(ProducerConfig::default().delivery_timeout(), Duration::from_secs(120));
}

#[test]
fn every_listed_key_is_known() {
    for key in TopicConfig::KEYS {
        if let Err(error) = topic(key, "1") {
            assert!(matches!(error, crate::LogError::InvalidConfig { .. }), "{key}: {error}");
        }
    }
    for key in ProducerConfig::KEYS {
        if let Err(error) = ProducerConfig::from_properties([(key, "1")]) {
            assert!(matches!(error, crate::LogError::InvalidConfig { .. }), "{key}: {error}");
        }
    }
    for key in ConsumerConfig::KEYS {
        if let Err(error) = ConsumerConfig::from_properties([(key, "1")]) {
            assert!(matches!(error, crate::LogError::InvalidConfig { .. }), "{key}: {error}");
        }
    }
    for key in LogConfig::KEYS {
        if let Err(error) = LogConfig::from_properties([(key, "1")]) {
            assert!(matches!(error, crate::LogError::InvalidConfig { .. }), "{key}: {error}");
        }
    }
}

#[test]
fn consumers_take_what_kafkas_take() {
    let reset = |value: &str| {
        let config = ConsumerConfig::from_properties([("auto.offset.reset", value)]);
        config.map(|config| config.auto_offset_reset).map_err(|error| error.to_string())
    };
    let hours = |hours: u64| Ok(AutoOffsetReset::ByDuration(Duration::from_secs(hours * 3600)));
    assert_eq!(reset("by_duration:P1DT12H"), hours(36));
    assert_eq!(reset("by_duration:PT30M"), Ok(AutoOffsetReset::ByDuration(Duration::from_secs(1800))));
    for wrong in ["by_duration:P1M", "by_duration:-PT1H", "by_duration:1h", "by_duration:", "nowhere"] {
        assert!(reset(wrong).is_err(), "{wrong}: {:?}", reset(wrong));
    }
    let assignors = |value: &str| {
        let config = ConsumerConfig::from_properties([("partition.assignment.strategy", value)]);
        config.map(|config| config.assignors).map_err(|error| error.to_string())
    };
    let class = "org.apache.kafka.clients.consumer.StickyAssignor";
    assert_eq!(assignors(&format!("range, {class}")), Ok(vec![Assignor::Range, Assignor::Sticky]));
    let takes = "it takes a list of range, roundrobin, sticky, cooperative-sticky";
    for wrong in ["", "uniform"] {
        let message = format!("invalid value {wrong:?} for partition.assignment.strategy: {takes}");
        assert_eq!(assignors(wrong), Err(message));
    }
}
