//! Rust types through `ProtobufSerde`: subjects, settings, places of messages, descriptors, and payloads that do not
//! belong.

use std::sync::Arc;

use millstream_formats::{EmbeddedRegistry, ProtobufSerde, Schema, SchemaRegistry, SchemaType, SerdeConfig};
use millstream_log::serde::Serde;
use protox::file::{File, FileResolver};

#[derive(Clone, PartialEq, prost::Message)]
struct Flight {
    #[prost(string, tag = "1")]
    origin: String,
    #[prost(int32, optional, tag = "2")]
    delay_minutes: Option<i32>,
}

const TEXT: &str = r#"syntax = "proto3";
package com.acme;

message Airport {
  string code = 1;
}
message Flight {
  string origin = 1;
  optional int32 delay_minutes = 2;
}
"#;

fn flight() -> Flight {
    Flight { origin: "FRA".into(), delay_minutes: Some(0) }
}

fn serde(registry: &Arc<EmbeddedRegistry>) -> ProtobufSerde<Flight> {
    let serde = ProtobufSerde::value(registry.clone(), TEXT).expect("a valid schema");
    serde.with_message("Flight").expect("it is there")
}

fn written(serde: &ProtobufSerde<Flight>, topic: Option<&str>) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let result = match topic {
        Some(topic) => serde.serialize_for(topic, &mut Vec::new(), &flight(), &mut bytes),
        None => serde.serialize(&flight(), &mut bytes),
    };
    result.map(|()| bytes).map_err(|error| error.to_string())
}

#[test]
fn the_schema_is_registered_under_the_topic_or_the_message() {
    let registry = Arc::new(EmbeddedRegistry::new());
    let serde = serde(&registry);
    // Id 1, the second message.
    let expected = [0, 0, 0, 0, 1, 2, 2, 10, 3, b'F', b'R', b'A', 16, 0];
    assert_eq!(written(&serde, Some("flights")), Ok(expected.to_vec()));
    assert_eq!(written(&serde, None), Ok(expected.to_vec()));
    assert_eq!(registry.subjects(), Ok(vec!["com.acme.Flight".into(), "flights-value".into()]));
    assert_eq!(serde.deserialize(&expected), Ok(flight()));
    let keys: ProtobufSerde<Flight> = ProtobufSerde::key(registry.clone(), TEXT).expect("a valid schema");
    assert_eq!(written(&keys, Some("flights")).map(|bytes| bytes[..6].to_vec()), Ok(vec![0, 0, 0, 0, 1, 0]));
    assert!(registry.latest("flights-key").is_ok());
}

#[test]
fn settings_say_which_schema_is_written() {
    let registry = Arc::new(EmbeddedRegistry::new());
    let mut looked_up = SerdeConfig::default();
    looked_up.auto_register_schemas = false;
    let mut latest = looked_up;
    latest.use_latest_version = true;
    let error = written(&serde(&registry).with_config(looked_up), Some("flights"));
    assert_eq!(error, Err("Subject 'flights-value' not found.; error code: 40401".into()));
    let newer = TEXT.replace("message Airport", "message Gate {}\nmessage Airport");
    let newer = newer.replace("= 2;", "= 2;\n  string gate = 3;");
    for (config, text, header) in
        [(looked_up, TEXT, [0, 0, 0, 0, 1, 2, 2]), (latest, newer.as_str(), [0, 0, 0, 0, 2, 2, 4])]
    {
        let schema = Schema::new(SchemaType::Protobuf, text);
        registry.register("flights-value", &schema).expect("a subject without versions");
        let bytes = written(&serde(&registry).with_config(config), Some("flights")).expect("a known schema");
        assert_eq!(bytes[..7], header);
        assert_eq!(serde(&registry).deserialize(&bytes), Ok(flight()));
        registry.delete_subject("flights-value", false).expect("just registered");
    }
}

/// The descriptors of files, as `protoc` writes them.
fn descriptors() -> Vec<u8> {
    struct Files;
    impl FileResolver for Files {
        fn open_file(&self, name: &str) -> Result<File, protox::Error> {
            let text = match name {
                "flight.proto" => {
                    "syntax = \"proto3\"; package com.acme; import \"plane.proto\"; import \"base/maker.proto\"; \
                     message Flight {string origin = 1; Plane plane = 3; Maker maker = 4;}"
                }
                "plane.proto" => {
                    "syntax = \"proto3\"; package com.acme; import \"base/maker.proto\"; message Plane {Maker maker = 1;}"
                }
                "base/maker.proto" => {
                    "syntax = \"proto3\"; package com.acme; message Maker {string name = 1;}"
                }
                _ => return Err(protox::Error::file_not_found(name)),
            };
            File::from_source(name, text)
        }
    }
    let mut compiler = protox::Compiler::with_file_resolver(Files);
    compiler.include_imports(true).open_file("flight.proto").expect("valid files");
    compiler.encode_file_descriptor_set()
}

#[test]
fn imports_of_descriptors_are_registered_and_referred_to() {
    let registry = Arc::new(EmbeddedRegistry::new());
    let serde: ProtobufSerde<Flight> =
        ProtobufSerde::value_of_descriptors(registry.clone(), &descriptors(), "flight.proto")
            .expect("valid descriptors");
    let bytes = written(&serde, Some("flights")).expect("a registry that takes it");
    assert_eq!(bytes[..6], [0, 0, 0, 0, 3, 0]);
    let latest = registry.latest("flights-value").expect("just registered");
    let references: Vec<String> = latest.schema.references.iter().map(ToString::to_string).collect();
    assert_eq!(
        references,
        [
            "plane.proto (subject plane.proto, version 1)",
            "base/maker.proto (subject base/maker.proto, version 1)"
        ]
    );
    assert_eq!(serde.deserialize(&bytes), Ok(flight()));

    let new = |descriptors: &[u8], file: &str| {
        ProtobufSerde::<Flight>::value_of_descriptors(registry.clone(), descriptors, file)
            .map(drop)
            .map_err(|error| error.to_string())
    };
    let unknown = new(&descriptors(), "x.proto").expect_err("no such file");
    assert!(unknown.starts_with("the descriptors hold no file 'x.proto': they hold "), "{unknown}");
    assert!(new(b"\x0a\xff", "x.proto").is_err());
}

#[test]
fn what_does_not_belong_is_refused() {
    let registry = Arc::new(EmbeddedRegistry::new());
    for (bytes, expected) in [
        (&b""[..], "Unknown magic byte! The payload has no schema id in front"),
        (b"{\"a\": 1}", "Unknown magic byte! The payload has no schema id in front"),
        (b"\0\0\0\0\x01", "malformed Protobuf message: it ends inside a field"),
        (b"\0\0\0\0\x01\x01", "the message indexes behind the schema id are out of range"),
        (b"\0\0\0\0\x01\0\x0a\x7f", "Protobuf: "),
    ] {
        let error = serde(&registry).deserialize(bytes).expect_err("no flight").to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    for text in ["", "message", "syntax = \"proto3\"; enum E {A = 0;}"] {
        assert!(ProtobufSerde::<Flight>::value(registry.clone(), text).is_err(), "{text}");
    }
    assert!(serde(&registry).with_message("Plane").is_err());
}
