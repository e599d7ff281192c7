//! Rust types through `AvroSerde`: subjects, settings, evolution, and payloads that do not belong.

use std::{collections::BTreeMap, sync::Arc};

use millstream_formats::{
    AvroSerde, EmbeddedRegistry, Reference, Schema, SchemaRegistry, SchemaType, SerdeConfig,
};
use millstream_log::serde::{ByteColumn, Serde};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Order {
    id: i64,
    state: State,
    note: Option<String>,
    lines: Vec<Line>,
    tags: BTreeMap<String, f64>,
}

#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
enum State {
    Open,
    Closed,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Line {
    item: String,
    count: i32,
}

const ORDER: &str = r#"{"type":"record","name":"Order","namespace":"com.acme","fields":[
    {"name":"id","type":"long"},
    {"name":"state","type":{"type":"enum","name":"State","symbols":["Open","Closed"]}},
    {"name":"note","type":["null","string"],"default":null},
    {"name":"lines","type":{"type":"array","items":{"type":"record","name":"Line","fields":[
        {"name":"item","type":"string"},{"name":"count","type":"int"}]}}},
    {"name":"tags","type":{"type":"map","values":"double"}}]}"#;

fn order(id: i64) -> Order {
    let line = Line { item: "bolt".into(), count: 7 };
    let note = (id > 1).then(|| "é".to_owned());
    Order { id, state: State::Closed, note, lines: vec![line], tags: BTreeMap::from([("vat".into(), 0.19)]) }
}

fn bytes<T: Serialize>(serde: &impl Serde<T>, topic: &str, value: &T) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let written = serde.serialize_for(topic, &mut Vec::new(), value, &mut out);
    written.map(|()| out).map_err(|error| error.to_string())
}

#[test]
fn values_come_back_and_their_schema_is_under_the_topics_subject() {
    let registry = Arc::new(EmbeddedRegistry::new());
    let serde: AvroSerde<Order> = AvroSerde::value(registry.clone(), ORDER).expect("a valid schema");
    for id in [1, 2] {
        let payload = bytes(&serde, "orders", &order(id)).expect("the schema is that of the type");
        assert_eq!(payload[..5], [0, 0, 0, 0, 1]);
        assert_eq!(serde.deserialize(&payload), Ok(order(id)));
    }
    let key: AvroSerde<String> = AvroSerde::key(registry.clone(), r#""string""#).expect("a valid schema");
    assert_eq!(bytes(&key, "orders", &"é".to_owned()), Ok(vec![0, 0, 0, 0, 2, 4, 0xc3, 0xa9]));
    assert_eq!(registry.subjects().expect("in memory"), ["orders-key", "orders-value"]);
    // Where no topic is known the subject is the record's name, or the one chosen.
    let mut out = Vec::new();
    serde.serialize(&order(1), &mut out).expect("as before");
    serde.with_subject("chosen").serialize(&order(1), &mut out).expect("as before");
    let subjects = registry.subjects().expect("in memory");
    assert_eq!(subjects, ["chosen", "com.acme.Order", "orders-key", "orders-value"]);
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Old {
    name: String,
    delay: i32,
    gone: Vec<i64>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct New {
    airline: String,
    delay: i64,
    name: Option<String>,
}

const OLD: &str = r#"{"type":"record","name":"F","fields":[{"name":"name","type":"string"},{"name":"delay","type":"int"},
    {"name":"gone","type":{"type":"array","items":"long"}}]}"#;
const NEW: &str = r#"{"type":"record","name":"F","fields":[{"name":"airline","type":"string","default":"LH"},
    {"name":"delay","type":"long"},{"name":"name","type":["null","string"]}]}"#;

#[test]
fn payloads_of_other_versions_are_resolved() {
    let registry = Arc::new(EmbeddedRegistry::new());
    let old: AvroSerde<Old> = AvroSerde::value(registry.clone(), OLD).expect("a valid schema");
    let new: AvroSerde<New> = AvroSerde::value(registry, NEW).expect("a valid schema");
    let first = bytes(&old, "t", &Old { name: "LH1".into(), delay: -4, gone: vec![1, 2] }).expect("fits");
    let second = bytes(&new, "t", &New { airline: "AF".into(), delay: 5, name: None }).expect("fits");
    let expected = [
        New { airline: "LH".into(), delay: -4, name: Some("LH1".into()) },
        New { airline: "AF".into(), delay: 5, name: None },
    ];
    assert_eq!(new.deserialize(&first).as_ref(), Ok(&expected[0]));
    // A column of both, with rows that are absent or bad.
    let (mut values, mut failures) = (vec![], vec![]);
    let entries = [
        Some(&first[..]),
        None,
        Some(&second),
        Some(&[1]),
        Some(&second[..6]),
        Some(&first),
        Some(&[0, 0, 0, 0, 9, 0]),
    ];
    new.deserialize_column(&entries, &mut values, &mut failures);
    let found: Vec<_> = values.iter().map(Option::as_ref).collect();
    let [old_row, new_row] = &expected;
    assert_eq!(found, [Some(old_row), None, Some(new_row), None, None, Some(old_row), None], "{failures:?}");
    let failures: Vec<_> = failures.iter().map(|(row, error)| (*row, error.to_string())).collect();
    assert_eq!(
        failures,
        [
            (3, "Unknown magic byte! The payload has no schema id in front".to_owned()),
            (4, "the payload ends in the middle of a value".to_owned()),
            (6, "Schema 9 not found; error code: 40403".to_owned()),
        ]
    );
    // Without a default there is no reading forwards.
    let named = New { airline: "AF".into(), delay: 5, name: Some("AF1".into()) };
    let error = old.deserialize(&bytes(&new, "t", &named).expect("fits")).expect_err("no field gone");
    assert!(error.to_string().contains("gone"), "{error}");
}

#[test]
fn settings_say_who_registers() {
    let registry = Arc::new(EmbeddedRegistry::new());
    let fixed = SerdeConfig::parse([("auto.register.schemas", "false")]).expect("known settings");
    let serde = |config| -> AvroSerde<Old> {
        AvroSerde::value(registry.clone(), OLD).expect("a valid schema").with_config(config)
    };
    let value = Old { name: "x".into(), delay: 1, gone: vec![] };
    let error = bytes(&serde(fixed), "t", &value).expect_err("nobody registered it");
    assert_eq!(error, "Subject 't-value' not found.; error code: 40401");
    let register = |text: &str| registry.register("t-value", &Schema::new(SchemaType::Avro, text));
    register(&OLD.replace("[", r#"[{"name":"more","type":"int"},"#)).expect("new");
    let error = bytes(&serde(fixed), "t", &value).expect_err("another schema");
    assert_eq!(error, "Schema not found; error code: 40403");
    assert_eq!(bytes(&serde(SerdeConfig::default()), "t", &value).map(|payload| payload[4]), Ok(2));
    let mut column = ByteColumn::default();
    let mut failures = Vec::new();
    let chosen = serde(fixed).with_subject("t-value");
    chosen.serialize_column(&[Some(value.clone()), None], &mut column, &mut failures);
    chosen.serialize_column_for("t", &[Some(value.clone())], &mut column, &mut failures);
    assert!(failures.is_empty(), "{failures:?}");
    let ids: Vec<_> = (0..3).map(|row| column.get(row).map(|payload| payload[4])).collect();
    assert_eq!(ids, [Some(2), None, Some(2)]);
    chosen.serialize_column_for("other", &[None, Some(value)], &mut column, &mut failures);
    let failures: Vec<_> = failures.iter().map(|(row, error)| (*row, error.to_string())).collect();
    assert_eq!(failures, [(1, "Subject 'other-value' not found.; error code: 40401".to_owned())]);
    // The newest version has a field that the type leaves to its default.
    register(&OLD.replace("[", r#"[{"name":"new","type":"string","default":"x"},"#)).expect("compatible");
    let settings = [("auto.register.schemas", "false"), ("use.latest.version", "true")];
    let latest = serde(SerdeConfig::parse(settings).expect("known settings"));
    let value = Old { name: "x".into(), delay: 1, gone: vec![3] };
    let payload = bytes(&latest, "t", &value).expect("fits");
    assert_eq!((payload[4], latest.deserialize(&payload)), (3, Ok(value)));
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Person {
    home: Address,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Address {
    city: String,
}

#[test]
fn schemas_may_refer_to_others() {
    let registry = Arc::new(EmbeddedRegistry::new());
    let address =
        r#"{"type":"record","name":"Address","namespace":"geo","fields":[{"name":"city","type":"string"}]}"#;
    registry.register("address", &Schema::new(SchemaType::Avro, address)).expect("new");
    let schema = Schema {
        references: vec![Reference { name: "geo.Address".into(), subject: "address".into(), version: 1 }],
        ..Schema::new(
            SchemaType::Avro,
            r#"{"type":"record","name":"Person","fields":[{"name":"home","type":"geo.Address"}]}"#,
        )
    };
    let serde: AvroSerde<Person> = AvroSerde::value_of(registry, schema).expect("a valid schema");
    let person = Person { home: Address { city: "Rom".into() } };
    let payload = bytes(&serde, "people", &person).expect("fits");
    assert_eq!(serde.deserialize(&payload), Ok(person));
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Node {
    next: Option<Box<Node>>,
}

#[test]
fn values_nested_too_deep_are_errors() {
    let schema = r#"{"type":"record","name":"Node","fields":[{"name":"next","type":["null","Node"]}]}"#;
    let serde: AvroSerde<Node> = AvroSerde::value(Arc::new(EmbeddedRegistry::new()), schema).expect("valid");
    let two = Node { next: Some(Box::new(Node { next: None })) };
    let payload = bytes(&serde, "t", &two).expect("fits");
    assert_eq!(serde.deserialize(&payload), Ok(two));
    // As many levels as there may be: a node and its union are two.
    let mut chain = payload[..5].to_vec();
    chain.extend([[2].repeat(62).as_slice(), &[0]].concat());
    let node = serde.deserialize(&chain).expect("deep, but not too deep");
    assert_eq!(std::iter::successors(node.next.as_ref(), |node| node.next.as_ref()).count(), 62);
    let mut deep = payload[..5].to_vec();
    deep.extend(vec![2; 1 << 20]);
    let error = serde.deserialize(&deep).expect_err("a million levels");
    assert_eq!(error.to_string(), "values are nested deeper than 128 levels");
}
