//! Rust types through `JsonSchemaSerde`: subjects, settings, evolution, and payloads that do not belong.

use std::sync::Arc;

use millstream_formats::{
    EmbeddedRegistry, JsonSchemaSerde, Reference, Schema, SchemaRegistry, SchemaType, SerdeConfig,
};
use millstream_log::serde::Serde;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Order {
    id: i64,
    #[serde(default)]
    note: Option<String>,
}

const ORDER: &str = r#"{"title":"Order","type":"object","properties":{"id":{"type":"integer","minimum":1},"note":{"type":["null","string"]}},"additionalProperties":false}"#;

fn order(id: i64) -> Order {
    Order { id, note: None }
}

fn serde(registry: &Arc<EmbeddedRegistry>) -> JsonSchemaSerde<Order> {
    JsonSchemaSerde::value(Arc::clone(registry) as _, ORDER).expect("a valid schema")
}

fn bytes(serde: &JsonSchemaSerde<Order>, topic: &str, value: &Order) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let written = serde.serialize_for(topic, &mut Vec::new(), value, &mut out);
    written.map(|()| out).map_err(|error| error.to_string())
}

#[test]
fn values_come_back_and_their_schema_is_under_the_topics_subject() {
    let registry = Arc::new(EmbeddedRegistry::new());
    let serde = serde(&registry);
    let payload = bytes(&serde, "orders", &order(7)).unwrap();
    assert_eq!(payload, b"\0\0\0\0\x01{\"id\":7,\"note\":null}");
    assert_eq!(serde.deserialize(&payload), Ok(order(7)));
    let mut out = Vec::new();
    serde.serialize(&order(1), &mut out).unwrap();
    serde.with_subject("chosen").serialize(&order(1), &mut out).unwrap();
    assert_eq!(registry.subjects().unwrap(), ["Order", "chosen", "orders-value"]);
}

#[test]
fn documents_are_checked_where_that_is_asked() {
    let registry = Arc::new(EmbeddedRegistry::new());
    let lenient = serde(&registry);
    let payload = bytes(&lenient, "orders", &order(0)).unwrap();
    assert_eq!(lenient.deserialize(&payload), Ok(order(0)));
    let config = SerdeConfig::parse([("json.fail.invalid.schema", "true")]).unwrap();
    let strict = serde(&registry).with_config(config);
    let error = bytes(&strict, "orders", &order(0)).unwrap_err();
    assert_eq!(error, "JSON: 0 is less than the minimum of 1, path: $.id");
    assert_eq!(strict.deserialize(&payload).unwrap_err().to_string(), error);
    assert_eq!(strict.deserialize(b"\0\0\0\0\x01{\"id\":2}"), Ok(order(2)));
    assert!(strict.deserialize(b"\0\0\0\0\x01{\"id\":2,\"x\":0}").is_err());
    let missing = strict.deserialize(b"\0\0\0\0\x09{\"id\":2}").unwrap_err().to_string();
    assert!(missing.contains("40403"), "{missing}");
}

#[test]
fn the_schema_written_with_is_chosen_by_the_settings() {
    let registry = Arc::new(EmbeddedRegistry::new());
    let config =
        |settings: &[(&'static str, &'static str)]| SerdeConfig::parse(settings.iter().copied()).unwrap();
    let by_lookup = serde(&registry).with_config(config(&[("auto.register.schemas", "false")]));
    assert!(bytes(&by_lookup, "orders", &order(1)).unwrap_err().contains("error code: 404"));
    registry.register("orders-value", &Schema::new(SchemaType::Json, ORDER)).unwrap();
    assert_eq!(bytes(&by_lookup, "orders", &order(1)).unwrap()[..5], [0, 0, 0, 0, 1]);
    // A new version with one more property.
    let newer = ORDER.replace(r#""note""#, r#""more":{"type":"string"},"note""#);
    registry.register("orders-value", &Schema::new(SchemaType::Json, newer)).unwrap();
    let latest = config(&[("auto.register.schemas", "false"), ("use.latest.version", "true")]);
    let by_latest = serde(&registry).with_config(latest);
    assert_eq!(bytes(&by_latest, "orders", &order(1)).unwrap()[..5], [0, 0, 0, 0, 2]);
}

#[test]
fn references_are_resolved_and_what_does_not_belong_is_told() {
    let registry = Arc::new(EmbeddedRegistry::new());
    let id = Schema::new(SchemaType::Json, r#"{"type":"integer"}"#);
    registry.register("ids", &id).unwrap();
    let schema = Schema {
        references: vec![Reference { name: "id.json".into(), subject: "ids".into(), version: 1 }],
        ..Schema::new(SchemaType::Json, r#"{"type":"object","properties":{"id":{"$ref":"id.json"}}}"#)
    };
    let config = SerdeConfig::parse([("json.fail.invalid.schema", "true")]).unwrap();
    let serde: JsonSchemaSerde<Order> =
        JsonSchemaSerde::value_of(registry.clone(), schema).unwrap().with_config(config);
    let payload = bytes(&serde, "orders", &order(3)).unwrap();
    assert_eq!(serde.deserialize(&payload), Ok(order(3)));
    for (payload, reason) in [
        (&b"{\"id\":1}"[..], "Unknown magic byte!"),
        (b"\0\0\0\0\x02{\"id\":\"x\"}", "is not of type \"integer\", path: $.id"),
        (b"\0\0\0\0\x02{", "JSON: EOF"),
    ] {
        let error = serde.deserialize(payload).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    assert!(JsonSchemaSerde::<Order>::value(registry, "{\"type\":5}").is_err());
}
