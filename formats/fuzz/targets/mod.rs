//! What each fuzz target does with its bytes, for the fuzzer and for the smoke test. A panic is a finding.

mod payloads;
mod registry;
mod schemas;

/// A target: its name and what it does. It tells whether the input was one that means something.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// Every target, by the name of its corpus directory.
pub const TARGETS: [Target; 10] = [
    ("kafka", payloads::kafka),
    ("delimited", payloads::delimited),
    ("json", payloads::json),
    ("avro", payloads::avro),
    ("protobuf", payloads::protobuf),
    ("protobuf_nosr", payloads::protobuf_nosr),
    ("json_sr", payloads::json_sr),
    ("schema", schemas::schema),
    ("compatibility", schemas::compatibility),
    ("schemas_topic", registry::schemas_topic),
];

/// Runs the target of that name.
pub fn run(name: &str, data: &[u8]) -> bool {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target of that name");
    target(data)
}
