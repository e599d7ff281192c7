//! Formats with schemas: columns from a registry, schemas in it, and what is said where the two do not fit.

use std::{path::Path, sync::Arc};

use millstream_formats::{EmbeddedRegistry, Mode, Schema, SchemaRegistry, SchemaType};
use millstream_log::Log;
use millstream_sql::{Engine, Session, SqlConfig};

use super::Client;

/// An engine whose registry a test looks into.
struct Schemas {
    client: Client,
    registry: Arc<EmbeddedRegistry>,
}

impl Schemas {
    fn open(dir: &Path) -> Self {
        Self::reopen(dir, Arc::new(EmbeddedRegistry::new()))
    }

    fn reopen(dir: &Path, registry: Arc<EmbeddedRegistry>) -> Self {
        let config = SqlConfig::new(dir.join("state")).schema_registry(registry.clone());
        let engine = Engine::open(Log::open(dir.join("log")).unwrap(), config).unwrap();
        Self { client: Client { engine, session: Session::new() }, registry }
    }

    fn register(&self, subject: &str, schema_type: SchemaType, text: &str) -> i32 {
        self.registry.register(subject, &Schema::new(schema_type, text)).unwrap()
    }

    /// The statement with topics that it may read.
    fn topics(&mut self, names: &[&str]) {
        for name in names {
            let statement = format!(
                "CREATE STREAM made_{name} (v INT) WITH (KAFKA_TOPIC='{name}', VALUE_FORMAT='JSON', PARTITIONS=1);"
            );
            self.client.run(&statement);
        }
    }

    fn text(&self, subject: &str) -> String {
        self.registry.latest(subject).map_or_else(|error| error.to_string(), |latest| latest.schema.text)
    }
}

const FLIGHT: &str = r#"{"type":"record","name":"Flight","namespace":"air","fields":[
    {"name":"origin","type":"string"},{"name":"delay","type":["null","int"],"default":null},
    {"name":"seat","type":{"type":"record","name":"Seat","fields":[{"name":"row","type":"int"}]}}]}"#;

#[test]
fn columns_come_from_the_registry() {
    let dir = tempfile::tempdir().unwrap();
    let mut schemas = Schemas::open(dir.path());
    schemas.topics(&["flights", "bare", "events"]);
    let id = schemas.register("flights-value", SchemaType::Avro, FLIGHT);
    schemas.register("flights-key", SchemaType::Avro, r#"{"type":"long"}"#);
    schemas.register("bare-value", SchemaType::Avro, r#"{"type":"string"}"#);
    schemas.register(
        "events-value",
        SchemaType::Protobuf,
        "syntax = \"proto3\"; message A { int32 a = 1; } message B { string b = 1; repeated int64 n = 2; }",
    );
    for (create, expected) in [
        (
            "CREATE STREAM s WITH (KAFKA_TOPIC='flights', FORMAT='AVRO');".to_owned(),
            "ROWKEY | BIGINT (key)\nORIGIN | VARCHAR(STRING)\nDELAY | INTEGER\nSEAT | STRUCT<`ROW` INTEGER>",
        ),
        (
            "CREATE TABLE s (id INT PRIMARY KEY) WITH (KAFKA_TOPIC='flights', VALUE_FORMAT='AVRO');".to_owned(),
            "ID | INTEGER (primary key)\nORIGIN | VARCHAR(STRING)\nDELAY | INTEGER\nSEAT | STRUCT<`ROW` INTEGER>",
        ),
        (
            format!("CREATE STREAM s WITH (KAFKA_TOPIC='flights', VALUE_FORMAT='AVRO', VALUE_SCHEMA_ID={id});"),
            "origin | VARCHAR(STRING)\ndelay | INTEGER\nseat | STRUCT<`row` INTEGER>",
        ),
        (
            "CREATE STREAM s WITH (KAFKA_TOPIC='bare', VALUE_FORMAT='AVRO', WRAP_SINGLE_VALUE=FALSE);".to_owned(),
            "ROWVAL | VARCHAR(STRING)",
        ),
        (
            "CREATE STREAM s WITH (KAFKA_TOPIC='events', VALUE_FORMAT='PROTOBUF', VALUE_SCHEMA_FULL_NAME='B');"
                .to_owned(),
            "B | VARCHAR(STRING)\nN | ARRAY<BIGINT>",
        ),
    ] {
        schemas.client.run(&create);
        assert_eq!(schemas.client.rows("DESCRIBE s;").join("\n"), expected, "{create}");
        let kind = if create.contains("TABLE") { "TABLE" } else { "STREAM" };
        schemas.client.run(&format!("DROP {kind} s;"));
    }
}

#[test]
fn schemas_come_from_columns_and_go_with_topics() {
    let dir = tempfile::tempdir().unwrap();
    let mut schemas = Schemas::open(dir.path());
    schemas.client.run(
        "CREATE STREAM s (k INT KEY, name STRING) WITH (KAFKA_TOPIC='s', FORMAT='AVRO', PARTITIONS=1);
         CREATE STREAM more (k INT KEY, name STRING, more INT) WITH (KAFKA_TOPIC='s', FORMAT='AVRO');
         CREATE STREAM wide AS SELECT STRUCT(a := k), name, LEN(name) AS n FROM s PARTITION BY STRUCT(a := k);
         CREATE STREAM proto WITH (VALUE_FORMAT='PROTOBUF', VALUE_SCHEMA_FULL_NAME='Named') AS SELECT * FROM s;
         CREATE STREAM inherited AS SELECT k, name AS other FROM proto;",
    );
    for (subject, there, not_there) in [
        ("s-key", r#""int""#, "record"),
        ("s-value", r#""name":"KsqlDataSourceSchema""#, "MORE"),
        ("WIDE-key", r#""name":"WideKey""#, "KsqlDataSourceSchema"),
        ("WIDE-value", r#""name":"N""#, "KSQL_COL_0"),
        ("PROTO-value", "message Named {", "ConnectDefault1"),
        ("INHERITED-value", "message Named {", "NAME"),
    ] {
        let text = schemas.text(subject);
        assert!(text.contains(there) && !text.contains(not_there), "{subject}: {text}");
    }
    schemas.client.run("DROP STREAM inherited DELETE TOPIC; DROP STREAM more;");
    assert_eq!(schemas.text("INHERITED-value"), "Subject 'INHERITED-value' not found.");
    assert_eq!(schemas.text("INHERITED-key"), "Subject 'INHERITED-key' not found.");
    assert!(schemas.text("s-value").contains("NAME"), "the topic is still there");
}

#[test]
fn a_drop_that_the_registry_refuses_has_not_happened() {
    let dir = tempfile::tempdir().unwrap();
    let mut schemas = Schemas::open(dir.path());
    schemas.client.run(
        "CREATE STREAM s (id INT KEY, v INT) WITH (KAFKA_TOPIC='t', FORMAT='AVRO', PARTITIONS=1);
         CREATE STREAM made WITH (KAFKA_TOPIC='made') AS SELECT id, v + 1 AS v FROM s;",
    );
    schemas.registry.set_mode(None, Mode::ReadOnly, false).unwrap();
    let error = schemas.client.error("DROP STREAM made DELETE TOPIC;");
    assert!(error.contains("ould not clean up the schema registry for topic: made"), "{error}");
    schemas.client.run("INSERT INTO s (id, v) VALUES (1, 2);");
    assert_eq!(schemas.client.rows("SELECT id, v FROM made;").len(), 1, "it still runs");
    schemas.registry.set_mode(None, Mode::ReadWrite, false).unwrap();
    schemas.client.run("DROP STREAM made DELETE TOPIC;");
    assert_eq!(schemas.text("made-value"), "Subject 'made-value' not found.");
    assert!(schemas.client.error("SELECT * FROM made;").contains("MADE"));
}

#[test]
fn what_does_not_fit_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut schemas = Schemas::open(dir.path());
    schemas.topics(&["flights", "empty"]);
    schemas.register("flights-value", SchemaType::Avro, FLIGHT);
    schemas.register(
        "other-value",
        SchemaType::Json,
        r#"{"type":"object","properties":{"a":{"type":"integer"}}}"#,
    );
    schemas
        .client
        .run("CREATE STREAM j (k STRING KEY, a INT) WITH (KAFKA_TOPIC='empty', VALUE_FORMAT='JSON');");
    for (statement, expected) in [
        (
            "CREATE STREAM s WITH (KAFKA_TOPIC='empty', VALUE_FORMAT='AVRO');",
            "Schema for message values on topic 'empty' does not exist in the Schema Registry.\nSubject: empty-value",
        ),
        (
            "CREATE STREAM s WITH (KAFKA_TOPIC='empty', VALUE_FORMAT='AVRO', VALUE_SCHEMA_ID=77);",
            "does not exist in the Schema Registry.\nSchema Id: 77",
        ),
        (
            "CREATE STREAM s WITH (KAFKA_TOPIC='flights', VALUE_FORMAT='PROTOBUF');",
            "Value schema is not in the expected format. You may want to set VALUE_FORMAT to 'AVRO'.",
        ),
        (
            "CREATE STREAM s WITH (KAFKA_TOPIC='flights', VALUE_FORMAT='PROTOBUF', VALUE_SCHEMA_ID=1);",
            "Format and fetched schema type using VALUE_SCHEMA_ID 1 are different. Format: [PROTOBUF], Fetched schema \
             type: [AVRO].",
        ),
        (
            "CREATE STREAM s (a INT) WITH (KAFKA_TOPIC='flights', VALUE_FORMAT='AVRO', VALUE_SCHEMA_ID=1);",
            "Table elements and VALUE_SCHEMA_ID cannot both exist for create statement.",
        ),
        (
            "CREATE STREAM s WITH (KAFKA_TOPIC='empty', VALUE_FORMAT='JSON', VALUE_SCHEMA_ID=1);",
            "VALUE_FORMAT should support schema inference when VALUE_SCHEMA_ID is provided. Current format is JSON.",
        ),
        (
            "CREATE STREAM s (a INT) WITH (KAFKA_TOPIC='empty', VALUE_FORMAT='JSON', VALUE_SCHEMA_FULL_NAME='x');",
            "JSON does not support the following configs: [fullSchemaName]",
        ),
        (
            "CREATE STREAM s (a INT) WITH (KAFKA_TOPIC='empty', VALUE_FORMAT='AVRO', \
             VALUE_PROTOBUF_NULLABLE_REPRESENTATION='OPTIONAL');",
            "Property VALUE_PROTOBUF_NULLABLE_REPRESENTATION can only be enabled with protobuf format",
        ),
        (
            "CREATE STREAM s (`1st` INT) WITH (KAFKA_TOPIC='empty', VALUE_FORMAT='AVRO');",
            "Schema is not compatible with Avro: Illegal initial character: 1st",
        ),
        (
            "CREATE STREAM s WITH (VALUE_FORMAT='AVRO', VALUE_SCHEMA_ID=1) AS SELECT k, a FROM j;",
            "The following value columns are changed, missing or reordered: [`A` INTEGER]. Schema from schema registry \
             is [`origin` STRING, `delay` INTEGER, `seat` STRUCT<`row` INTEGER>]",
        ),
        ("ASSERT SCHEMA SUBJECT 'none' TIMEOUT 0 SECONDS;", "Schema with subject name none does not exist"),
        ("ASSERT NOT EXISTS SCHEMA ID 1 TIMEOUT 0 SECONDS;", "Schema with id 1 exists"),
        (
            "ASSERT SCHEMA SUBJECT 'flights-value' ID 2 TIMEOUT 0 SECONDS;",
            "Schema with subject name flights-value id 2 does not exist",
        ),
    ] {
        let error = schemas.client.error(statement);
        assert!(error.contains(expected), "{statement}\nsaid: {error}\nexpected: {expected}");
    }
    schemas
        .client
        .run("ASSERT SCHEMA SUBJECT 'flights-value' ID 1; ASSERT NOT EXISTS SCHEMA SUBJECT 'none';");
    let mut without = Client::open(tempfile::tempdir().unwrap().path());
    for (statement, expected) in [
        (
            "CREATE STREAM s (a INT) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='AVRO', PARTITIONS=1);",
            "Cannot create topic 't' with format AVRO without configuring 'ksql.schema.registry.url'",
        ),
        ("ASSERT SCHEMA ID 1;", "set 'ksql.schema.registry.url'"),
    ] {
        assert!(without.error(statement).contains(expected), "{statement}");
    }
}

#[test]
fn keys_are_written_with_the_schema_that_they_have() {
    let dir = tempfile::tempdir().unwrap();
    let mut schemas = Schemas::open(dir.path());
    schemas.client.run(
        "CREATE TABLE t (k INT PRIMARY KEY, v INT) WITH (KAFKA_TOPIC='t', FORMAT='AVRO', PARTITIONS=1);",
    );
    schemas.client.run("INSERT INTO t VALUES (1, 1);");
    schemas.registry.delete_subject("t-key", false).unwrap();
    let error = schemas.client.error("INSERT INTO t VALUES (1, 1);");
    assert!(
        error.contains("Failed to insert values into 'T'. Failed to fetch key schema (t-key)."),
        "{error}"
    );
    schemas.register("t-key", SchemaType::Avro, r#""string""#);
    let error = schemas.client.error("INSERT INTO t VALUES (1, 1);");
    assert!(
        error.contains(
            "Cannot INSERT VALUES into data source `T`. ksqlDB generated schema would overwrite existing"
        ),
        "{error}"
    );
}

/// Keys of two topics that have other ids, and lie in other partitions, meet all the same; deletes of a table too.
#[test]
fn keys_of_other_schemas_meet() {
    let dir = tempfile::tempdir().unwrap();
    let mut schemas = Schemas::open(dir.path());
    // The keys of the two topics have other names in their schemas, so ids differ.
    schemas.client.run(
        "CREATE STREAM s (k STRUCT<a INT> KEY, v INT) WITH (KAFKA_TOPIC='s', FORMAT='AVRO', PARTITIONS=8);
         CREATE TABLE t (k STRUCT<a INT> PRIMARY KEY, w INT) WITH (KAFKA_TOPIC='t', FORMAT='AVRO', PARTITIONS=8);
         CREATE TABLE u (k STRUCT<a INT> PRIMARY KEY, w INT) WITH (KAFKA_TOPIC='u', FORMAT='AVRO', PARTITIONS=8);
         CREATE TABLE f (id INT PRIMARY KEY, r STRUCT<a INT>) WITH (KAFKA_TOPIC='f', FORMAT='AVRO', PARTITIONS=8);",
    );
    for key in 0..20 {
        schemas.client.run(&format!(
            "INSERT INTO t VALUES (STRUCT(a := {key}), {key}); INSERT INTO u VALUES (STRUCT(a := {key}), {key});
             INSERT INTO f VALUES ({key}, STRUCT(a := {key}));"
        ));
    }
    schemas.client.run(
        "CREATE TABLE both AS SELECT t.k AS k, t.w + u.w AS w FROM t JOIN u ON t.k = u.k;
         CREATE TABLE refers AS SELECT f.id AS id, t.w AS w FROM f JOIN t ON f.r = t.k;
         CREATE TABLE counts AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;",
    );
    assert_eq!(schemas.client.rows("SELECT w FROM both;").len(), 20);
    assert_eq!(schemas.client.rows("SELECT w FROM refers;").len(), 20);
    assert_eq!(schemas.client.rows("SELECT w FROM refers WHERE id = 7;"), ["7"]);
    schemas.client.run("CREATE STREAM joined AS SELECT s.k AS k, s.v + t.w AS w FROM s JOIN t ON s.k = t.k;");
    schemas.client.settle();
    for key in 0..20 {
        schemas.client.run(&format!("INSERT INTO s VALUES (STRUCT(a := {key}), 100);"));
    }
    let mut joined = schemas.client.rows("SELECT w FROM joined;");
    joined.sort_unstable();
    assert_eq!(joined.len(), 20, "{joined:?}");
    assert_eq!(joined[0], "100");
    let subjects: Vec<String> = schemas.registry.subjects().unwrap();
    assert!(subjects.iter().all(|subject| !subject.contains("repartition")), "{subjects:?}");
    assert_eq!(schemas.client.rows("SELECT n FROM counts;").len(), 20);
}

/// Windows of streams are told by their starts, as in the keys of their topics, whatever their sizes.
#[test]
fn windows_of_other_sizes_meet() {
    for format in ["KAFKA", "AVRO"] {
        let dir = tempfile::tempdir().unwrap();
        let mut schemas = Schemas::open(dir.path());
        schemas.client.run(&format!(
            "CREATE STREAM e (k INT KEY, v INT) WITH (KAFKA_TOPIC='e', KEY_FORMAT='{format}', VALUE_FORMAT='JSON', \
             PARTITIONS=1);
             INSERT INTO e (ROWTIME, k, v) VALUES (1000, 1, 1);
             CREATE TABLE a AS SELECT k, COUNT(*) AS n FROM e WINDOW TUMBLING (SIZE 2 SECONDS) GROUP BY k;
             CREATE TABLE b AS SELECT k, COUNT(*) AS n FROM e WINDOW TUMBLING (SIZE 4 SECONDS) GROUP BY k;
             CREATE STREAM sa (k INT KEY, n BIGINT) WITH (KAFKA_TOPIC='A', KEY_FORMAT='{format}', VALUE_FORMAT='JSON', \
             WINDOW_TYPE='TUMBLING', WINDOW_SIZE='2 SECONDS');
             CREATE STREAM sb (k INT KEY, n BIGINT) WITH (KAFKA_TOPIC='B', KEY_FORMAT='{format}', VALUE_FORMAT='JSON', \
             WINDOW_TYPE='TUMBLING', WINDOW_SIZE='4 SECONDS');
             CREATE STREAM j AS SELECT sa.k AS k, sa.n AS a, sb.n AS b FROM sa JOIN sb WITHIN 1 MINUTE ON sa.k = sb.k;"
        ));
        assert_eq!(schemas.client.rows("SELECT k, a, b FROM j;"), ["1 | 1 | 1"], "{format}");
    }
}

#[test]
fn what_was_inferred_stays_when_the_engine_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut schemas = Schemas::open(dir.path());
    schemas.topics(&["flights"]);
    schemas.register("flights-value", SchemaType::Avro, FLIGHT);
    schemas.client.run("CREATE STREAM s WITH (KAFKA_TOPIC='flights', VALUE_FORMAT='AVRO');");
    let described = schemas.client.rows("DESCRIBE s;");
    let Schemas { client, registry } = schemas;
    client.engine.close().unwrap();
    drop(client.session);
    registry.delete_subject("flights-value", false).unwrap();
    let mut again = Schemas::reopen(dir.path(), registry);
    assert_eq!(again.client.rows("DESCRIBE s;"), described);
}

#[test]
fn records_with_schemas_are_printed_as_json() {
    let dir = tempfile::tempdir().unwrap();
    let mut schemas = Schemas::open(dir.path());
    schemas.client.run(
        "CREATE STREAM s (k BIGINT KEY, name STRING, amount DECIMAL(6,2)) WITH (KAFKA_TOPIC='s', FORMAT='AVRO', \
         PARTITIONS=1);
         INSERT INTO s (ROWTIME, k, name, amount) VALUES (0, 7, 'bo', 12.50);",
    );
    assert_eq!(
        schemas.client.rows("PRINT s FROM BEGINNING LIMIT 1;"),
        [
            "Key format: AVRO or KAFKA_STRING",
            "Value format: AVRO",
            r#"rowtime: 1970/01/01 00:00:00.000 Z, key: 7, value: {"NAME":"bo","AMOUNT":12.50}, partition: 0"#,
        ]
    );
}

#[test]
fn decimals_have_as_many_digits_as_their_schemas_say() {
    let dir = tempfile::tempdir().unwrap();
    let mut schemas = Schemas::open(dir.path());
    schemas.topics(&["given", "foreign"]);
    let decimal = |parameters: &str| {
        format!(
            r#"{{"type":"record","name":"R","fields":[{{"name":"D","type":{{"type":"bytes","logicalType":"decimal"{parameters}}}}}]}}"#
        )
    };
    for (parameters, expected) in [
        (r#","precision":38,"scale":2"#, "D | DECIMAL(38, 2)"),
        (r#","precision":39,"scale":2"#, "D | DECIMAL(39, 2)"),
        (r#","scale":2"#, "D | DECIMAL(64, 2)"),
        (r#","precision":76,"scale":2"#, "D | DECIMAL(76, 2)"),
        // Values that have more digits do not fit.
        (r#","precision":100,"scale":2"#, "D | DECIMAL(76, 2)"),
    ] {
        let id = schemas.register("given-value", SchemaType::Avro, &decimal(parameters));
        schemas.client.run(&format!(
            "CREATE OR REPLACE STREAM given WITH (KAFKA_TOPIC='given', VALUE_FORMAT='AVRO', VALUE_SCHEMA_ID={id});"
        ));
        assert_eq!(schemas.client.rows("DESCRIBE given;"), [expected], "{parameters}");
        schemas.client.run("DROP STREAM given;");
        schemas.registry.delete_subject("given-value", false).unwrap();
    }
    let digits = "1234567890123456789012345678901234567890123456789012345678901234567890.25";
    for (format, key) in [("AVRO", "AVRO"), ("JSON_SR", "JSON_SR"), ("PROTOBUF", "KAFKA")] {
        let name = format!("s_{format}");
        let key_type = if key == "KAFKA" { "BIGINT" } else { "DECIMAL(72, 2)" };
        let key_value = if key == "KAFKA" { "7" } else { digits };
        schemas.client.run(&format!(
            "CREATE STREAM {name} (k {key_type} KEY, d DECIMAL(76, 6), a ARRAY<DECIMAL(72, 2)>) WITH \
             (KAFKA_TOPIC='{name}', KEY_FORMAT='{key}', VALUE_FORMAT='{format}', PARTITIONS=1);
             INSERT INTO {name} (k, d, a) VALUES ({key_value}, -{digits}, ARRAY[{digits}]);
             CREATE TABLE t_{format} AS SELECT k, SUM(d) AS d, LATEST_BY_OFFSET(a) AS a FROM {name} GROUP BY k;"
        ));
        assert_eq!(
            schemas.client.rows(&format!("SELECT * FROM t_{format} WHERE k = {key_value};")),
            [format!("{key_value} | -{digits}0000 | [{digits}]")],
            "{format}"
        );
    }
    // The state of the sums is read again.
    let Schemas { client, registry } = schemas;
    client.engine.close().unwrap();
    drop(client.session);
    let mut again = Schemas::reopen(dir.path(), registry);
    again
        .client
        .run("INSERT INTO s_AVRO (k, d) VALUES (7, 0.5); INSERT INTO s_PROTOBUF (k, d) VALUES (7, 0.25);");
    assert_eq!(again.client.rows("SELECT d FROM t_AVRO WHERE k = 7;"), ["0.500000"]);
    let less = "-1234567890123456789012345678901234567890123456789012345678901234567890.000000";
    assert_eq!(again.client.rows("SELECT d FROM t_PROTOBUF WHERE k = 7;"), [less]);
    let printed = again.client.rows("PRINT s_AVRO FROM BEGINNING LIMIT 1;").join("\n");
    assert!(printed.contains(&format!("\"D\":-{digits}0000,\"A\":[{digits}]")), "{printed}");
}

#[test]
fn inserted_values_have_the_record_name_that_others_gave() {
    let dir = tempfile::tempdir().unwrap();
    let mut schemas = Schemas::open(dir.path());
    schemas.topics(&["flights"]);
    schemas.register("flights-value", SchemaType::Avro, FLIGHT);
    schemas.client.run(
        "CREATE STREAM flights WITH (KAFKA_TOPIC='flights', VALUE_FORMAT='AVRO');
         INSERT INTO flights (origin, delay) VALUES ('SFO', 3);
         SET 'auto.offset.reset' = 'earliest';",
    );
    assert!(
        schemas.text("flights-value").contains(r#""name":"Flight""#),
        "{}",
        schemas.text("flights-value")
    );
    let found = schemas.client.transcript("SELECT origin, delay, seat FROM flights EMIT CHANGES LIMIT 1;");
    assert_eq!(found.trim(), "SFO | 3 | null");
}

#[test]
fn json_with_a_schema_can_be_read_as_plain_json() {
    let dir = tempfile::tempdir().unwrap();
    let mut schemas = Schemas::open(dir.path());
    schemas.client.run(
        "CREATE STREAM wide (id BIGINT) WITH (KAFKA_TOPIC='ids', VALUE_FORMAT='JSON_SR', PARTITIONS=1);
         INSERT INTO wide VALUES (5);
         SET 'auto.offset.reset' = 'earliest';
         SET 'ksql.json_sr.converter.deserializer.enabled' = 'false';
         CREATE STREAM narrow (id INT) WITH (KAFKA_TOPIC='ids', VALUE_FORMAT='JSON_SR');",
    );
    let found = schemas.client.transcript("SELECT id FROM narrow EMIT CHANGES LIMIT 1;");
    assert_eq!(found.trim(), "5", "a 64-bit number feeds no INT by its schema, and does as JSON");
}
