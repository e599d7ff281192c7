use super::*;
use crate::{
    Schema, SchemaType,
    registry::compatibility::{self, Compatibility},
};

fn json(text: &str) -> ResolvedSchema {
    ResolvedSchema { schema: Schema::new(SchemaType::Json, text), references: Vec::new() }
}

/// Kinds of what keeps the new schema from taking the data of the old one.
fn kinds(old: &str, new: &str) -> Vec<&'static str> {
    let found = compare(&json(new), &json(old)).unwrap_or_else(|error| panic!("{old} {new}: {error}"));
    found.iter().map(|difference| difference.kind).collect()
}

fn check(cases: &[(&str, &str, &[&str])]) {
    for (old, new, expected) in cases {
        assert_eq!(kinds(old, new), *expected, "{old} became {new}");
        assert!(kinds(old, old).is_empty() && kinds(new, new).is_empty(), "{old}, {new}");
    }
}

#[test]
fn types_may_widen() {
    check(&[
        (r#"{"type":"integer"}"#, r#"{"type":"number"}"#, &[]),
        (r#"{"type":"number"}"#, r#"{"type":"integer"}"#, &["TYPE_NARROWED"]),
        (r#"{"type":"integer"}"#, r#"{"type":"string"}"#, &["TYPE_CHANGED"]),
        (r#"{"type":"string"}"#, "true", &[]),
        (r#"{"type":"string"}"#, "{}", &[]),
        ("true", r#"{"type":"string"}"#, &["TYPE_CHANGED"]),
        ("false", r#"{"type":"string"}"#, &[]),
        (r#"{"type":"string"}"#, "false", &["TYPE_CHANGED"]),
        (
            r#"{"type":"string","title":"a"}"#,
            r#"{"type":"string","title":"b","description":"c","default":"d"}"#,
            &[],
        ),
        (r#"{"type":"string"}"#, r#"{"type":["string","null"]}"#, &[]),
        (r#"{"type":["string","null"]}"#, r#"{"type":"string"}"#, &["SUM_TYPE_NARROWED"]),
        (r#"{"type":["string"]}"#, r#"{"type":"string"}"#, &[]),
    ]);
}

#[test]
fn bounds_may_loosen() {
    check(&[
        (r#"{"type":"string"}"#, r#"{"type":"string","maxLength":5}"#, &["MAX_LENGTH_ADDED"]),
        (r#"{"type":"string","maxLength":5}"#, r#"{"type":"string"}"#, &[]),
        (r#"{"type":"string","maxLength":5}"#, r#"{"type":"string","maxLength":6}"#, &[]),
        (
            r#"{"type":"string","maxLength":5}"#,
            r#"{"type":"string","maxLength":4}"#,
            &["MAX_LENGTH_DECREASED"],
        ),
        (r#"{"type":"string"}"#, r#"{"type":"string","minLength":1}"#, &["MIN_LENGTH_ADDED"]),
        (r#"{"type":"string"}"#, r#"{"type":"string","minLength":0}"#, &[]),
        (
            r#"{"type":"string","minLength":1}"#,
            r#"{"type":"string","minLength":2}"#,
            &["MIN_LENGTH_INCREASED"],
        ),
        (r#"{"type":"string","minLength":2}"#, r#"{"type":"string","minLength":1}"#, &[]),
        (r#"{"type":"string"}"#, r#"{"type":"string","pattern":"a"}"#, &["PATTERN_ADDED"]),
        (r#"{"type":"string","pattern":"a"}"#, r#"{"type":"string","pattern":"b"}"#, &["PATTERN_CHANGED"]),
        (r#"{"type":"string","pattern":"a"}"#, r#"{"type":"string"}"#, &[]),
        (r#"{"type":"number"}"#, r#"{"type":"number","maximum":5}"#, &["MAXIMUM_ADDED"]),
        (r#"{"type":"number","maximum":5}"#, r#"{"type":"number","maximum":4.5}"#, &["MAXIMUM_DECREASED"]),
        (r#"{"type":"number","minimum":5}"#, r#"{"type":"number","minimum":6}"#, &["MINIMUM_INCREASED"]),
        (r#"{"type":"number","minimum":5}"#, r#"{"type":"number","minimum":4}"#, &[]),
        (r#"{"type":"number"}"#, r#"{"type":"number","exclusiveMaximum":4}"#, &["EXCLUSIVE_MAXIMUM_ADDED"]),
        (
            r#"{"type":"number","exclusiveMinimum":4}"#,
            r#"{"type":"number","exclusiveMinimum":5}"#,
            &["EXCLUSIVE_MINIMUM_INCREASED"],
        ),
        (r#"{"type":"number"}"#, r#"{"type":"number","multipleOf":2}"#, &["MULTIPLE_OF_ADDED"]),
        (r#"{"type":"number","multipleOf":4}"#, r#"{"type":"number","multipleOf":2}"#, &[]),
        (
            r#"{"type":"number","multipleOf":2}"#,
            r#"{"type":"number","multipleOf":4}"#,
            &["MULTIPLE_OF_EXPANDED"],
        ),
        (
            r#"{"type":"number","multipleOf":2}"#,
            r#"{"type":"number","multipleOf":3}"#,
            &["MULTIPLE_OF_CHANGED"],
        ),
        (r#"{"enum":["a"]}"#, r#"{"enum":["b","a"]}"#, &[]),
        (r#"{"enum":["a","b"]}"#, r#"{"enum":["a"]}"#, &["ENUM_ARRAY_NARROWED"]),
        (r#"{"enum":["a","b"]}"#, r#"{"enum":["a","c"]}"#, &["ENUM_ARRAY_CHANGED"]),
        (
            r#"{"type":"string","enum":["a","b"]}"#,
            r#"{"type":"string","enum":["b"]}"#,
            &["ENUM_ARRAY_NARROWED"],
        ),
        (r#"{"const":1}"#, r#"{"const":1.0}"#, &[]),
        (r#"{"const":1}"#, r#"{"enum":[1,2]}"#, &[]),
        (r#"{"type":"string"}"#, r#"{"type":"string","enum":["a"]}"#, &["PRODUCT_TYPE_EXTENDED"]),
        (r#"{"type":"string","enum":["a"]}"#, r#"{"type":"string"}"#, &[]),
        (r#"{"type":"array"}"#, r#"{"type":"array","maxItems":1}"#, &["MAX_ITEMS_ADDED"]),
        (r#"{"type":"array","minItems":1}"#, r#"{"type":"array","minItems":2}"#, &["MIN_ITEMS_INCREASED"]),
        (r#"{"type":"array"}"#, r#"{"type":"array","uniqueItems":true}"#, &["UNIQUE_ITEMS_ADDED"]),
        (r#"{"type":"object"}"#, r#"{"type":"object","maxProperties":1}"#, &["MAX_PROPERTIES_ADDED"]),
        (r#"{"type":"object","minProperties":1}"#, r#"{"type":"object"}"#, &[]),
    ]);
}

/// An object with these properties and keywords.
fn object(properties: &str, rest: &str) -> String {
    format!(r#"{{"type":"object","properties":{{{properties}}}{rest}}}"#)
}

#[test]
fn content_models_decide_about_properties() {
    let (a, b) = (r#""a":{"type":"string"}"#, r#""b":{"type":"string"}"#);
    let both = format!("{a},{b}");
    let closed = r#","additionalProperties":false"#;
    let strings = r#","additionalProperties":{"type":"string"}"#;
    let numbers = r#","additionalProperties":{"type":"number"}"#;
    let pattern = r#","patternProperties":{"^b":{"type":"string"}},"additionalProperties":false"#;
    let required = r#","required":["a"]"#;
    for (old, new, expected) in [
        // Open.
        (object(a, ""), object(&both, ""), vec!["PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL"]),
        (object(&both, ""), object(a, ""), vec![]),
        (object(a, ""), object(&format!(r#"{a},"b":true"#), ""), vec![]),
        (object(a, ""), object(&format!(r#"{a},"b":{{}}"#), ""), vec![]),
        // Closed.
        (object(a, closed), object(&both, closed), vec![]),
        (object(&both, closed), object(a, closed), vec!["PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL"]),
        (object(&format!(r#"{a},"b":false"#), closed), object(a, closed), vec![]),
        (
            object(a, closed),
            object(&both, &format!(r#"{closed},"required":["b"]"#)),
            vec!["REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL"],
        ),
        (
            object(a, closed),
            object(
                &format!(r#"{a},"b":{{"type":"string","default":"x"}}"#),
                &format!(r#"{closed},"required":["b"]"#),
            ),
            vec![],
        ),
        (object(a, ""), object(a, closed), vec!["ADDITIONAL_PROPERTIES_REMOVED"]),
        (object(a, closed), object(a, ""), vec![]),
        // Open for some.
        (object(a, strings), object(&both, strings), vec![]),
        (
            object(a, numbers),
            object(&both, numbers),
            vec!["PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"],
        ),
        (object(&both, strings), object(a, strings), vec![]),
        (
            object(&both, numbers),
            object(a, numbers),
            vec!["PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"],
        ),
        (object(&both, pattern), object(a, pattern), vec![]),
        (object(a, pattern), object(&both, pattern), vec![]),
        (object(a, ""), object(a, strings), vec!["ADDITIONAL_PROPERTIES_NARROWED"]),
        (object(a, strings), object(a, ""), vec![]),
        (object(a, strings), object(a, numbers), vec!["TYPE_CHANGED"]),
        (
            object(a, numbers),
            object(a, r#","additionalProperties":{"type":"integer"}"#),
            vec!["TYPE_NARROWED"],
        ),
        // Required.
        (object(a, ""), object(a, required), vec!["REQUIRED_ATTRIBUTE_ADDED"]),
        (object(a, required), object(a, ""), vec![]),
        (object(a, ""), object(r#""a":{"type":"string","default":"x"}"#, required), vec![]),
        (object("", ""), object("", required), vec!["REQUIRED_ATTRIBUTE_ADDED"]),
        // Nested.
        (object(a, ""), object(r#""a":{"type":"integer"}"#, ""), vec!["TYPE_CHANGED"]),
        (
            object(&format!(r#""o":{}"#, object(a, closed)), ""),
            object(&format!(r#""o":{}"#, object(b, closed)), ""),
            vec!["PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL"],
        ),
        (object(a, r#","dependencies":{"a":["b"]}"#), object(a, ""), vec![]),
        (object(a, ""), object(a, r#","dependencies":{"a":["b"]}"#), vec!["DEPENDENCY_ARRAY_ADDED"]),
        (
            object(a, r#","dependencies":{"a":["b"]}"#),
            object(a, r#","dependencies":{"a":["b","c"]}"#),
            vec!["DEPENDENCY_ARRAY_EXTENDED"],
        ),
        (
            object(a, ""),
            object(a, r#","dependencies":{"a":{"type":"object"}}"#),
            vec!["DEPENDENCY_SCHEMA_ADDED"],
        ),
    ] {
        assert_eq!(kinds(&old, &new), expected, "{old} became {new}");
    }
}

#[test]
fn combinations_may_gain_choices_and_lose_demands() {
    let (s, i, n) = (r#"{"type":"string"}"#, r#"{"type":"integer"}"#, r#"{"type":"number"}"#);
    let of = |keyword: &str, parts: &[&str]| format!(r#"{{"{keyword}":[{}]}}"#, parts.join(","));
    let min = r#"{"type":"string","minLength":1}"#;
    for (old, new, expected) in [
        (s.into(), of("oneOf", &[s, i]), vec![]),
        (s.into(), of("anyOf", &[i, n]), vec!["TYPE_CHANGED"]),
        (of("oneOf", &[s, i]), s.into(), vec!["SUM_TYPE_NARROWED"]),
        (of("oneOf", &[i, n]), n.into(), vec![]),
        (of("oneOf", &[s]), s.into(), vec![]),
        (s.into(), of("allOf", &[s]), vec![]),
        (of("oneOf", &[s, i]), of("oneOf", &[i, s]), vec![]),
        (of("oneOf", &[s, i]), of("oneOf", &[n, s]), vec![]),
        (of("oneOf", &[s, n]), of("oneOf", &[i, s]), vec!["COMBINED_TYPE_SUBSCHEMAS_CHANGED"]),
        (of("oneOf", &[s, i]), of("oneOf", &[s, i, r#"{"type":"null"}"#]), vec![]),
        (of("anyOf", &[s, i, n]), of("anyOf", &[s, n]), vec!["SUM_TYPE_NARROWED"]),
        (of("oneOf", &[s, i]), of("anyOf", &[s, i]), vec![]),
        (of("anyOf", &[s, i]), of("oneOf", &[s, i]), vec!["COMBINED_TYPE_NARROWED"]),
        (of("oneOf", &[s, i]), of("allOf", &[s, i]), vec!["COMBINED_TYPE_CHANGED"]),
        (of("allOf", &[s, min]), of("allOf", &[s]), vec![]),
        (of("allOf", &[s]), of("allOf", &[s, min]), vec!["PRODUCT_TYPE_EXTENDED"]),
        (of("allOf", &[s, min]), s.into(), vec![]),
        (s.into(), of("allOf", &[s, min]), vec!["PRODUCT_TYPE_EXTENDED"]),
        (format!(r#"{{"not":{i}}}"#), format!(r#"{{"not":{n}}}"#), vec!["NOT_TYPE_EXTENDED"]),
        (format!(r#"{{"not":{n}}}"#), format!(r#"{{"not":{i}}}"#), vec![]),
        (format!(r#"{{"if":{n},"then":{i}}}"#), format!(r#"{{"then":{i},"if":{n}}}"#), vec![]),
        (format!(r#"{{"if":{n},"then":{i}}}"#), format!(r#"{{"if":{n},"then":{n}}}"#), vec!["TYPE_CHANGED"]),
    ] {
        assert_eq!(kinds(&old, &new), expected, "{old} became {new}");
    }
}

#[test]
fn items_follow_the_content_model_of_their_array() {
    let (s, i) = (r#"{"type":"string"}"#, r#"{"type":"integer"}"#);
    let list = |items: &str, rest: &str| format!(r#"{{"type":"array","items":{items}{rest}}}"#);
    let closed = r#","additionalItems":false"#;
    for (old, new, expected) in [
        (list(i, ""), list(r#"{"type":"number"}"#, ""), vec![]),
        (list(s, ""), list(i, ""), vec!["TYPE_CHANGED"]),
        (r#"{"type":"array"}"#.into(), list(i, ""), vec!["SCHEMA_ADDED"]),
        (list(i, ""), r#"{"type":"array"}"#.into(), vec![]),
        (list("[true]", ""), list(&format!("[true,{s}]"), ""), vec!["ITEM_ADDED_TO_OPEN_CONTENT_MODEL"]),
        (list(&format!("[true,{s}]"), ""), list("[true]", ""), vec![]),
        (list("[true]", closed), list(&format!("[true,{s}]"), closed), vec![]),
        (
            list(&format!("[true,{s}]"), closed),
            list("[true]", closed),
            vec!["ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL"],
        ),
        (list("[true]", ""), list("[true]", closed), vec!["ADDITIONAL_ITEMS_REMOVED"]),
        (
            list(&format!("[{s},{s}]"), ""),
            list(&format!("[{s}]"), &format!(r#","additionalItems":{i}"#)),
            vec!["ITEM_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL", "ADDITIONAL_ITEMS_NARROWED"],
        ),
        (list(&format!("[{s}]"), ""), list(&format!("[{i}]"), ""), vec!["TYPE_CHANGED"]),
    ] {
        assert_eq!(kinds(&old, &new), expected, "{old} became {new}");
    }
}

#[test]
fn references_and_recursion_are_followed() {
    let tree = |value: &str| {
        format!(
            r##"{{"type":"object","properties":{{"value":{{"type":"{value}"}},"next":{{"$ref":"#"}}}},"additionalProperties":false}}"##
        )
    };
    check(&[
        (&tree("integer"), &tree("number"), &[]),
        (&tree("number"), &tree("integer"), &["TYPE_NARROWED"]),
    ]);
    let mut new =
        json(r#"{"type":"object","properties":{"a":{"$ref":"a.json"}},"additionalProperties":false}"#);
    let old = json(r#"{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}"#);
    assert!(compatibility::parse(&new).is_err_and(|error| error.message.contains("a.json")));
    assert!(compare(&new, &old).is_err());
    new.references.push(("a.json".into(), Schema::new(SchemaType::Json, r#"{"type":"integer"}"#)));
    assert_eq!(compatibility::parse(&new), Ok(()));
    assert_eq!(compare(&new, &old).unwrap()[0].kind, "TYPE_CHANGED");
    let circle = json(r##"{"$ref":"#/definitions/a","definitions":{"a":{"$ref":"#/definitions/a"}}}"##);
    assert!(compare(&circle, &circle).is_err());
}

#[test]
fn the_lines_say_where() {
    let found = compatibility::check(
        Compatibility::Full,
        &json(r#"{"type":"object","properties":{"a/b":{"type":"string"}}}"#),
        &[(1, json(r#"{"type":"object"}"#))],
    )
    .unwrap();
    assert_eq!(
        found[0],
        "{errorType:'PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL', description:'The old schema has an open content model and \
         lacks the property or item at path '#/properties/a~1b' of the new schema'}"
    );
    assert_eq!(found[1], "{oldSchemaVersion: 1}");
}

#[test]
fn what_is_no_schema_is_refused() {
    for text in [
        "{",
        "12",
        "[]",
        r#"{"type":"strin"}"#,
        r#"{"maxLength":-1}"#,
        r#"{"pattern":"("}"#,
        r##"{"$ref":"#/none"}"##,
    ] {
        let error = compatibility::parse(&json(text)).expect_err(text);
        assert_eq!(error.code, 42201, "{text}");
        assert!(error.message.starts_with("Invalid schema with refs [] of type JSON, details: "), "{error}");
    }
}

#[test]
fn spelling_does_not_matter() {
    let (a, b) = (r#"{"b" : 1,  "type":"string"}"#, r#"{"type":"string","b":1}"#);
    assert_eq!(compatibility::canonical(&json(a)), Ok(r#"{"b":1,"type":"string"}"#.to_owned()));
    assert_eq!(compatibility::normalized(&json(a)), compatibility::normalized(&json(b)));
}

#[test]
fn combinations_of_combinations_are_bounded() {
    let mut text = r#"{"type":"string"}"#.to_owned();
    for index in 0..9 {
        text = format!(r#"{{"anyOf":[{text},{text},{{"type":"object","minProperties":{index}}}]}}"#);
    }
    let other = text.replace("string", "integer");
    let result = compare(&json(&text), &json(&other));
    assert!(result.is_err_and(|error| error.contains("50000 comparisons")));
}
