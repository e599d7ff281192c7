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

#[test]
fn the_table_of_topics_settings_agrees_with_their_defaults() {
    let defaults: BTreeMap<_, _> = describe(&BTreeMap::new(), &BTreeMap::new())
        .into_iter()
        .map(|entry| {
            assert_eq!(entry.source, ConfigSource::Default, "{}", entry.name);
            assert!(entry.documentation.ends_with('.'), "{}", entry.name);
            (entry.name.to_owned(), entry.value)
        })
        .collect();
    assert_eq!(TopicConfig::from_overrides(&defaults).unwrap(), TopicConfig::default());
    assert!(TopicConfig::KEYS.is_sorted());
}

#[test]
fn a_broker_setting_gives_the_default_of_topics() {
    let log = |properties: &[(&str, &str)]| LogConfig::from_properties(properties.iter().copied());
    for (properties, expected) in [
        (&[("log.retention.hours", "2")][..], Some(Duration::from_secs(7200))),
        (&[("log.retention.hours", "2"), ("log.retention.minutes", "3")], Some(Duration::from_secs(180))),
        (&[("log.retention.minutes", "3"), ("log.retention.ms", "4")], Some(Duration::from_millis(4))),
        (&[("log.retention.hours", "-1")], None),
        (&[], Some(Duration::from_secs(7 * 24 * 3600))),
    ] {
        let defaults = log(properties).unwrap().topic_defaults;
        let config = TopicConfig::resolve(&defaults, &BTreeMap::new()).unwrap();
        assert_eq!(config.retention, expected, "{properties:?}");
    }
    for (key, value, expected) in [
        (
            "log.roll.hours",
            "x",
            "invalid value \"x\" for log.roll.hours: it takes a whole number from 1 to 9223372036854775807",
        ),
        (
            "log.retention.hour",
            "1",
            "unknown log config \"log.retention.hour\": did you mean \"log.retention.hours\"?",
        ),
        (
            "message.max.bytes",
            "-5",
            "invalid value \"-5\" for message.max.bytes: it takes a whole number from 0 to 2147483647",
        ),
    ] {
        assert_eq!(log(&[(key, value)]).unwrap_err().to_string(), expected);
    }
    assert_eq!(
        TopicConfig::from_overrides(&BTreeMap::from([
            ("min.compaction.lag.ms".to_owned(), "6".to_owned()),
            ("max.compaction.lag.ms".to_owned(), "5".to_owned()),
        ]))
        .unwrap_err()
        .to_string(),
        "invalid value \"6\" for min.compaction.lag.ms: it must not be larger than max.compaction.lag.ms (5)"
    );
}
