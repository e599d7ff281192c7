//! The REST API, path by path, without a network.

use serde_json::{Value, json};

use super::{EmbeddedRegistry, RegistryServer};

/// Status and body of the answer to `METHOD path?query`.
fn ask(registry: &EmbeddedRegistry, request: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (status, text) = ask_text(registry, request, &body);
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{request}: {text}")))
}

fn ask_text(registry: &EmbeddedRegistry, request: &str, body: &str) -> (u16, String) {
    let (method, target) = request.split_once(' ').unwrap();
    RegistryServer::answer(registry, method, target, Some("application/json"), body.as_bytes())
}

fn avro(text: &str) -> Value {
    json!({ "schema": text })
}

/// Two versions of `a`, one of `b/c` and one in a context.
fn registry() -> EmbeddedRegistry {
    let registry = EmbeddedRegistry::new();
    for (subject, text) in
        [("a", r#""int""#), ("a", r#""long""#), ("b%2Fc", r#"{"type":"string"}"#), (":.c:d", r#""int""#)]
    {
        let (status, body) = ask(&registry, &format!("POST /subjects/{subject}/versions"), &avro(text));
        assert_eq!(status, 200, "{body}");
    }
    registry
}

#[test]
fn questions_and_answers() {
    let registry = registry();
    let references = json!({
        "schemaType": "JSON",
        "schema": r#"{"$ref":"x.json"}"#,
        "references": [{"name": "x.json", "subject": "x", "version": 1}],
    });
    let x = json!({ "schemaType": "JSON", "schema": r#"{"type":"string"}"# });
    assert_eq!(ask(&registry, "POST /subjects/x/versions", &x), (200, json!({"id": 4})));
    assert_eq!(ask(&registry, "POST /subjects/y/versions", &references), (200, json!({"id": 5})));
    for (request, body, expected) in [
        ("GET /", json!(null), json!({})),
        ("GET /subjects", json!(null), json!([":.c:d", "a", "b/c", "x", "y"])),
        ("GET /subjects?subjectPrefix=", json!(null), json!(["a", "b/c", "x", "y"])),
        ("GET /subjects?subjectPrefix=:.c:", json!(null), json!([":.c:d"])),
        ("GET /subjects?subjectPrefix=b&deleted=true", json!(null), json!(["b/c"])),
        ("GET /subjects?subjectPrefix=&offset=1&limit=1", json!(null), json!(["b/c"])),
        ("GET /subjects/a/versions", json!(null), json!([1, 2])),
        (
            "GET /subjects/a/versions/1",
            json!(null),
            json!({"subject": "a", "version": 1, "id": 1, "schema": "\"int\""}),
        ),
        (
            "GET /subjects/b%2Fc/versions/latest",
            json!(null),
            json!({"subject": "b/c", "version": 1, "id": 3, "schema": "\"string\""}),
        ),
        ("GET /subjects/a/versions/-1/schema", json!(null), json!("long")),
        (
            "GET /subjects/y/versions/1",
            json!(null),
            json!({
                "subject": "y", "version": 1, "id": 5, "schemaType": "JSON", "schema": r#"{"$ref":"x.json"}"#,
                "references": [{"name": "x.json", "subject": "x", "version": 1}],
            }),
        ),
        ("GET /subjects/x/versions/latest/referencedby", json!(null), json!([5])),
        ("POST /subjects/a/versions?normalize=False", avro(r#"{"type":"int"}"#), json!({"id": 1})),
        (
            "POST /subjects/a/versions",
            json!({"schema": "\"int\"", "ruleSet": null, "id": -1}),
            json!({"id": 1}),
        ),
        (
            "POST /subjects/a",
            avro(r#"{"type":"int"}"#),
            json!({"subject": "a", "version": 1, "id": 1, "schema": "\"int\""}),
        ),
        ("GET /schemas/ids/1", json!(null), json!({"schema": "\"int\""})),
        ("GET /schemas/ids/1?fetchMaxId=true", json!(null), json!({"schema": "\"int\"", "maxId": 5})),
        ("GET /schemas/ids/1?subject=:.c:d", json!(null), json!({"schema": "\"int\""})),
        ("GET /schemas/ids/1/schema", json!(null), json!("int")),
        ("GET /schemas/ids/1/subjects", json!(null), json!(["a"])),
        ("GET /schemas/ids/2/versions", json!(null), json!([{"subject": "a", "version": 2}])),
        ("GET /schemas/types", json!(null), json!(["JSON", "PROTOBUF", "AVRO"])),
        (
            "GET /schemas?subjectPrefix=a&latestOnly=true",
            json!(null),
            json!([{"subject": "a", "version": 2, "id": 2, "schema": "\"long\""}]),
        ),
        ("GET /config", json!(null), json!({"compatibilityLevel": "BACKWARD"})),
        ("PUT /config", json!({"compatibility": "full"}), json!({"compatibility": "FULL"})),
        ("GET /config/a?defaultToGlobal=true", json!(null), json!({"compatibilityLevel": "FULL"})),
        (
            "PUT /config/a",
            json!({"compatibility": "NONE", "normalize": true}),
            json!({"compatibility": "NONE", "normalize": true}),
        ),
        (
            "PUT /config/a",
            json!({"compatibility": "BACKWARD", "alias": null}),
            json!({"compatibility": "BACKWARD", "normalize": true}),
        ),
        ("DELETE /config/a", json!(null), json!({"compatibilityLevel": "BACKWARD", "normalize": true})),
        ("DELETE /config", json!(null), json!({"compatibilityLevel": "FULL"})),
        ("GET /mode", json!(null), json!({"mode": "READWRITE"})),
        ("PUT /mode/a", json!({"mode": "READONLY"}), json!({"mode": "READONLY"})),
        ("GET /mode/a", json!(null), json!({"mode": "READONLY"})),
        ("DELETE /mode/a", json!(null), json!({"mode": "READONLY"})),
        ("PUT /mode?force=True", json!({"mode": "IMPORT"}), json!({"mode": "IMPORT"})),
        (
            "POST /subjects/imported/versions",
            json!({"schema": "\"bytes\"", "id": 50, "version": 3}),
            json!({"id": 50}),
        ),
        ("PUT /mode", json!({"mode": "READWRITE"}), json!({"mode": "READWRITE"})),
        ("POST /compatibility/subjects/a/versions", avro(r#""float""#), json!({"is_compatible": true})),
        (
            "POST /compatibility/subjects/a/versions/latest?verbose=true",
            avro(r#""double""#),
            json!({"is_compatible": true, "messages": []}),
        ),
        ("POST /compatibility/subjects/a/versions/1", avro(r#""boolean""#), json!({"is_compatible": false})),
        (
            "POST /compatibility/subjects/new/versions/latest",
            avro(r#""int""#),
            json!({"is_compatible": true}),
        ),
        ("GET /contexts", json!(null), json!([".", ".c"])),
        ("DELETE /subjects/a/versions/1", json!(null), json!(1)),
        ("GET /subjects/a/versions?deletedOnly=true", json!(null), json!([1])),
        ("DELETE /subjects/a/versions/1?permanent=true", json!(null), json!(1)),
        ("DELETE /subjects/a", json!(null), json!([2])),
        ("GET /subjects?deletedOnly=true", json!(null), json!(["a"])),
        ("DELETE /subjects/a?permanent=true", json!(null), json!([2])),
    ] {
        assert_eq!(ask(&registry, request, &body), (200, expected), "{request} {body}");
    }
    let (status, metadata) = ask(&registry, "GET /v1/metadata/version", &json!(null));
    assert_eq!((status, &metadata["version"]), (200, &json!(env!("CARGO_PKG_VERSION"))));
    assert_eq!(ask(&registry, "GET /v1/metadata/id", &json!(null)).0, 200);
}

#[test]
fn refusals_are_objects_with_a_code() {
    let registry = registry();
    for (request, body, status, code) in [
        ("GET /nothing", "", 404, 404),
        ("PUT /subjects", "", 405, 405),
        ("PATCH /subjects", "", 405, 405),
        ("POST /mode", "{}", 405, 405),
        ("GET /subjects/z/versions", "", 404, 40401),
        ("GET /subjects/a/versions/9", "", 404, 40402),
        ("GET /subjects/a/versions/first", "", 422, 42202),
        ("GET /subjects/a/versions/0", "", 422, 42202),
        ("GET /schemas/ids/99", "", 404, 40403),
        ("GET /schemas/ids/x", "", 404, 404),
        ("GET /schemas/ids/1?format=fancy", "", 422, 422),
        ("GET /subjects?limit=x", "", 422, 422),
        ("POST /subjects/a/versions", "{", 400, 400),
        ("POST /subjects/a/versions", "{}", 422, 42201),
        ("POST /subjects/a/versions", r#"{"schema":""}"#, 422, 42201),
        ("POST /subjects/a/versions", r#"{"schema":"\"int\"","ruleSet":{"domainRules":[]}}"#, 422, 422),
        ("POST /subjects/a/versions", r#"{"schema":"{\"type\":\"nothing\"}"}"#, 422, 42201),
        ("POST /subjects/a/versions", r#"{"schema":"{}","schemaType":"XML"}"#, 422, 42201),
        ("POST /subjects/a/versions", r#"{"schema":"\"int\"","id":7}"#, 422, 42205),
        ("POST /subjects/%20%0A/versions", r#"{"schema":"\"int\""}"#, 422, 42208),
        ("POST /subjects/a/versions", r#"{"schema":"\"boolean\""}"#, 409, 409),
        ("POST /subjects/z", r#"{"schema":"\"int\""}"#, 404, 40401),
        ("POST /subjects/a", r#"{"schema":"\"boolean\""}"#, 404, 40403),
        ("DELETE /subjects/a?permanent=true", "", 404, 40405),
        ("DELETE /subjects/a/versions/1?permanent=true", "", 404, 40407),
        ("PUT /config", r#"{"compatibility":"SIDEWAYS"}"#, 422, 42203),
        ("PUT /config", r#"{"defaultMetadata":{}}"#, 422, 422),
        ("GET /config/a", "", 404, 40408),
        ("DELETE /config/a", "", 404, 40401),
        ("PUT /mode", r#"{"mode":"SOMETIMES"}"#, 422, 42204),
        ("PUT /mode", r#"{"mode":"IMPORT"}"#, 422, 42205),
        ("GET /mode/a", "", 404, 40409),
        ("POST /compatibility/subjects/a/versions/9", r#"{"schema":"\"int\""}"#, 404, 40402),
    ] {
        let (found, text) = ask_text(&registry, request, body);
        let error: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((found, &error["error_code"]), (status, &json!(code)), "{request} {body}: {text}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{text}");
    }
}

#[test]
fn an_incompatible_schema_is_explained() {
    let registry = registry();
    let checked =
        ask(&registry, "POST /compatibility/subjects/a/versions/latest?verbose=True", &avro(r#""boolean""#));
    assert_eq!(checked.0, 200);
    assert_eq!(checked.1["is_compatible"], json!(false));
    assert!(!checked.1["messages"].as_array().unwrap().is_empty());
}

#[test]
fn an_alias_stands_for_its_subject() {
    let registry = registry();
    let first = json!({"subject": "a", "version": 1, "id": 1, "schema": "\"int\""});
    for (request, body, expected) in [
        (
            "PUT /config/other",
            json!({"alias": "a", "compatibilityGroup": "major"}),
            json!({"alias": "a", "compatibilityGroup": "major"}),
        ),
        ("GET /config/other", json!(null), json!({"alias": "a", "compatibilityGroup": "major"})),
        ("GET /subjects/other/versions", json!(null), json!([1, 2])),
        ("GET /subjects/other/versions/1", json!(null), first.clone()),
        ("POST /subjects/other", avro(r#""int""#), first),
        ("GET /schemas/ids/1?subject=other", json!(null), json!({"schema": "\"int\""})),
        ("GET /schemas/ids/1/versions?subject=other", json!(null), json!([{"subject": "a", "version": 1}])),
        (
            "POST /compatibility/subjects/other/versions",
            avro(r#""boolean""#),
            json!({"is_compatible": false}),
        ),
        ("POST /subjects/other/versions", avro(r#""double""#), json!({"id": 4})),
        ("GET /subjects/a/versions", json!(null), json!([1, 2, 3])),
        ("DELETE /subjects/other/versions/3", json!(null), json!(3)),
        ("GET /config/a?defaultToGlobal=true", json!(null), json!({"compatibilityLevel": "BACKWARD"})),
        (
            "PUT /config/other",
            json!({"alias": "", "compatibility": "FULL"}),
            json!({"compatibility": "FULL", "compatibilityGroup": "major"}),
        ),
        (
            "DELETE /config/other",
            json!(null),
            json!({"compatibilityLevel": "FULL", "compatibilityGroup": "major"}),
        ),
    ] {
        assert_eq!(ask(&registry, request, &body), (200, expected), "{request} {body}");
    }
    assert_eq!(ask(&registry, "GET /subjects/other/versions", &json!(null)).0, 404);
}

#[test]
fn an_avro_schema_is_resolved_with_what_it_refers_to() {
    let registry = EmbeddedRegistry::new();
    let point = r#"{"type":"record","name":"Point","namespace":"geo","doc":"d","fields":[
        {"name":"unit","type":{"type":"enum","name":"Unit","symbols":["M"]}},{"name":"x","type":"double"}]}"#;
    let plain = r#"{"type":"fixed","name":"Hash","size":4}"#;
    let area = r#"{"type":"record","name":"Area","namespace":"geo","fields":[
        {"name":"from","type":"Point"},{"name":"to","type":"Point"},{"name":"hash","type":"Hash"}]}"#;
    let shop = r#"{"type":"record","name":"Shop","namespace":"s","fields":[
        {"name":"unit","type":"geo.Unit"},{"name":"areas","type":{"type":"array","items":"geo.Area"}},
        {"name":"next","type":["null","Shop"]}]}"#;
    let reference = |name: &str, subject: &str| json!({"name": name, "subject": subject, "version": 1});
    let (point_at, hash_at) = (reference("geo.Point", "point"), reference("Hash", "hash"));
    for (subject, body) in [
        ("point", avro(point)),
        ("hash", avro(plain)),
        ("area", json!({"schema": area, "references": [point_at, hash_at]})),
        ("shop", json!({"schema": shop, "references": [point_at, hash_at, reference("geo.Area", "area")]})),
    ] {
        let (status, answer) = ask(&registry, &format!("POST /subjects/{subject}/versions"), &body);
        assert_eq!(status, 200, "{subject}: {answer}");
    }
    let expected = concat!(
        r#"{"type":"record","name":"Shop","namespace":"s","fields":[{"name":"unit","type":"#,
        r#"{"type":"enum","name":"Unit","namespace":"geo","symbols":["M"]}},"#,
        r#"{"name":"areas","type":{"type":"array","items":{"type":"record","name":"Area","namespace":"geo","#,
        r#""fields":[{"name":"from","type":{"type":"record","name":"Point","doc":"d","#,
        r#""fields":[{"name":"unit","type":"Unit"},{"name":"x","type":"double"}]}},"#,
        r#"{"name":"to","type":"Point"},"#,
        r#"{"name":"hash","type":{"type":"fixed","name":"Hash","namespace":"","size":4}}]}}},"#,
        r#"{"name":"next","type":["null","Shop"]}]}"#,
    );
    for request in ["GET /schemas/ids/4?format=resolved", "GET /subjects/shop/versions/1?format=resolved"] {
        let (_, answer) = ask(&registry, request, &json!(null));
        assert_eq!(answer["schema"].as_str(), Some(expected), "{request}");
    }
    // It needs no references to be the same schema.
    let (status, answer) = ask(&registry, "POST /subjects/alone/versions", &avro(expected));
    assert_eq!(status, 200, "{answer}");
    assert_eq!(ask(&registry, "GET /schemas/ids/5", &json!(null)).1["schema"], json!(expected));
}
