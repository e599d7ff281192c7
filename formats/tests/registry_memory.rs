//! 10,000 subjects are served by a process of less than 100 MB. Alone in its process, so that only they count.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

use std::{fs, sync::Arc};

use millstream_formats::{
    Deleted, EmbeddedRegistry, RegistryAdmin, RegistryClient, RegistryClientConfig, RegistryServer,
    RegistryServerConfig, SCHEMAS_TOPIC, SchemaRegistry,
};
use millstream_log::{Log, NewTopic, ProducerConfig, Record};

const SUBJECTS: i32 = 10_000;
const BYTES_MAX: u64 = 100_000_000;

/// The most memory that this process ever had, in bytes. `None` where the system does not say.
fn memory_peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[test]
fn ten_thousand_subjects_are_served_by_a_small_process() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::open(directory.path()).unwrap();
    let topic = NewTopic::new(SCHEMAS_TOPIC).partitions(1).config("cleanup.policy", "compact");
    log.create_topic(topic).unwrap();
    // As the original's registry leaves them: its topic is taken over as it is.
    let mut producer = log.producer(ProducerConfig::default()).unwrap();
    for id in 1..=SUBJECTS {
        let doc = "x".repeat(1_000);
        let schema = format!(r#"{{"type":"record","name":"R{id}","doc":"{doc}","fields":[]}}"#);
        let value = serde_json::json!({
            "subject": format!("subject-{id}"), "version": 1, "id": id, "schema": schema, "deleted": false,
        });
        let key = format!(r#"{{"keytype":"SCHEMA","subject":"subject-{id}","version":1,"magic":1}}"#);
        let (key, value) = (Some(key.into()), Some(value.to_string().into()));
        producer.send(SCHEMAS_TOPIC, Record { key, value, ..Record::default() }).unwrap();
    }
    producer.close().unwrap();

    let registry = Arc::new(EmbeddedRegistry::open(&log).unwrap());
    let config =
        RegistryServerConfig { address: ([127, 0, 0, 1], 0).into(), ..RegistryServerConfig::default() };
    let server = RegistryServer::start(registry, &config).unwrap();
    let client =
        RegistryClient::new(&RegistryClientConfig::new(&format!("http://{}", server.address()))).unwrap();
    assert_eq!(client.subjects().unwrap().len(), 10_000);
    assert_eq!(client.versions("subject-9999", Deleted::Exclude), Ok(vec![1]));
    assert!(client.schema(SUBJECTS).unwrap().text.contains("R10000"));
    match memory_peak() {
        Some(bytes) => assert!(bytes < BYTES_MAX, "{bytes} bytes"),
        None => eprintln!("skipped: the system does not tell how much memory was used"),
    }
}
