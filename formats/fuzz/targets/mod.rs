//! What each fuzz target does with its bytes, for the fuzzer and for the smoke test. A panic is a finding.

mod payloads;
mod registry;
mod rest;
mod schemas;
mod typed;

/// A target: its name and what it does. It tells whether the input was one that means something.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// Every target, by the name of its corpus directory.
pub const TARGETS: [Target; 14] = [
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
    ("rest", rest::rest),
    ("avro_typed", typed::avro_typed),
    ("protobuf_typed", typed::protobuf_typed),
    ("json_typed", typed::json_typed),
];

/// Runs the target of that name.
pub fn run(name: &str, data: &[u8]) -> bool {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target of that name");
    target(data)
}
