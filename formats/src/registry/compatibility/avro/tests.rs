use super::*;
use crate::{
    Schema, SchemaType,
    registry::compatibility::{self, Compatibility},
};

fn avro(text: &str) -> ResolvedSchema {
    ResolvedSchema { schema: Schema::new(SchemaType::Avro, text), references: Vec::new() }
}

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
}

/// Kinds of what keeps the reader from reading the writer's data.
fn kinds(reader: &str, writer: &str) -> Vec<&'static str> {
    let found =
        compare(&avro(reader), &avro(writer)).unwrap_or_else(|error| panic!("{reader} {writer}: {error}"));
    found.iter().map(|difference| difference.kind).collect()
}

const ONE: &str = r#"{"name":"f1","type":"string"}"#;

#[test]
fn primitives_are_promoted_as_the_specification_says() {
    let promoted = [
        ("long", "int"),
        ("float", "int"),
        ("double", "int"),
        ("float", "long"),
        ("double", "long"),
        ("double", "float"),
        ("string", "bytes"),
        ("bytes", "string"),
    ];
    let all = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];
    for reader in all {
        for writer in all {
            let fits = reader == writer || promoted.contains(&(reader, writer));
            let expected = if fits { vec![] } else { vec!["TYPE_MISMATCH"] };
            assert_eq!(
                kinds(&format!("\"{reader}\""), &format!("\"{writer}\"")),
                expected,
                "{reader} reads {writer}"
            );
        }
    }
}

#[test]
fn readers_resolve_writers_as_the_specification_says() {
    let with = |more: &str| record(&format!("{ONE},{more}"));
    let one = record(ONE);
    let named = |name: &str, aliases: &str| {
        format!(r#"{{"type":"record","name":"{name}"{aliases},"fields":[{ONE}]}}"#)
    };
    let list =
        r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"],"default":null}]}"#;
    let wide = r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"],"default":null},{"name":"v","type":"int"}]}"#;
    let enumeration =
        |symbols: &str, more: &str| format!(r#"{{"type":"enum","name":"E","symbols":[{symbols}]{more}}}"#);
    let fixed = |name: &str, size: u8| format!(r#"{{"type":"fixed","name":"{name}","size":{size}}}"#);
    let missing = "READER_FIELD_MISSING_DEFAULT_VALUE";
    for (reader, writer, expected) in [
        // Records.
        (one.clone(), one.clone(), vec![]),
        (with(r#"{"name":"f2","type":"string","default":"x"}"#), one.clone(), vec![]),
        (with(r#"{"name":"f2","type":"string"}"#), one.clone(), vec![missing]),
        (with(r#"{"name":"f2","type":["null","string"],"default":null}"#), one.clone(), vec![]),
        (with(r#"{"name":"f2","type":["null","string"]}"#), one.clone(), vec![missing]),
        (
            with(r#"{"name":"f2","type":"int"},{"name":"f3","type":"int"}"#),
            one.clone(),
            vec![missing, missing],
        ),
        (one.clone(), with(r#"{"name":"f2","type":"string"}"#), vec![]),
        (record(r#"{"name":"g","aliases":["f1"],"type":"string"}"#), one.clone(), vec![]),
        (record(r#"{"name":"g","type":"string"}"#), one.clone(), vec![missing]),
        (record(r#"{"name":"f1","type":"int"}"#), one.clone(), vec!["TYPE_MISMATCH"]),
        (record(r#"{"name":"f1","type":["null","string"]}"#), one.clone(), vec![]),
        (one.clone(), record(r#"{"name":"f1","type":["null","string"]}"#), vec!["TYPE_MISMATCH"]),
        (record(r#"{"name":"f1","type":["null","int"]}"#), one.clone(), vec!["MISSING_UNION_BRANCH"]),
        (record(""), one.clone(), vec![]),
        (named("S", ""), named("R", ""), vec!["NAME_MISMATCH"]),
        (named("S", r#","aliases":["R"]"#), named("R", ""), vec![]),
        (named("a.R", ""), named("b.R", ""), vec![]),
        (named("a.S", r#","aliases":["b.R"]"#), named("b.R", ""), vec![]),
        (named("a.S", r#","aliases":["R"]"#), named("b.R", ""), vec!["NAME_MISMATCH"]),
        (one.clone(), "\"string\"".into(), vec!["TYPE_MISMATCH"]),
        // Recursion.
        (list.into(), list.into(), vec![]),
        (wide.into(), list.into(), vec![missing]),
        (list.into(), wide.into(), vec![]),
        // Unions.
        (r#"["null","string"]"#.into(), r#"["null"]"#.into(), vec![]),
        (r#"["null"]"#.into(), r#"["null","string"]"#.into(), vec!["MISSING_UNION_BRANCH"]),
        (r#"["null","long"]"#.into(), r#"["int","null"]"#.into(), vec![]),
        (r#"["null","int"]"#.into(), r#"["long","null"]"#.into(), vec!["MISSING_UNION_BRANCH"]),
        (r#""double""#.into(), r#"["int","float"]"#.into(), vec![]),
        (r#""int""#.into(), r#"["int","long"]"#.into(), vec!["TYPE_MISMATCH"]),
        (r#"["bytes"]"#.into(), r#""string""#.into(), vec![]),
        (r#"[]"#.into(), r#""int""#.into(), vec!["MISSING_UNION_BRANCH"]),
        // Enums.
        (enumeration(r#""A","B""#, ""), enumeration(r#""A""#, ""), vec![]),
        (enumeration(r#""A""#, ""), enumeration(r#""A","B""#, ""), vec!["MISSING_ENUM_SYMBOLS"]),
        (enumeration(r#""A""#, r#","default":"A""#), enumeration(r#""A","B""#, ""), vec![]),
        (
            enumeration(r#""A""#, ""),
            r#"{"type":"enum","name":"F","symbols":["A"]}"#.into(),
            vec!["NAME_MISMATCH"],
        ),
        (enumeration(r#""A""#, ""), r#""string""#.into(), vec!["TYPE_MISMATCH"]),
        // Fixed.
        (fixed("F", 4), fixed("F", 4), vec![]),
        (fixed("F", 4), fixed("F", 8), vec!["FIXED_SIZE_MISMATCH"]),
        (fixed("F", 4), fixed("G", 8), vec!["NAME_MISMATCH", "FIXED_SIZE_MISMATCH"]),
        (fixed("F", 4), r#""bytes""#.into(), vec!["TYPE_MISMATCH"]),
        // Collections.
        (r#"{"type":"array","items":"long"}"#.into(), r#"{"type":"array","items":"int"}"#.into(), vec![]),
        (
            r#"{"type":"array","items":"int"}"#.into(),
            r#"{"type":"array","items":"long"}"#.into(),
            vec!["TYPE_MISMATCH"],
        ),
        (r#"{"type":"map","values":"long"}"#.into(), r#"{"type":"map","values":"int"}"#.into(), vec![]),
        (
            r#"{"type":"map","values":"int"}"#.into(),
            r#"{"type":"array","items":"int"}"#.into(),
            vec!["TYPE_MISMATCH"],
        ),
        // Logical types are no matter of resolution.
        (r#"{"type":"int","logicalType":"date"}"#.into(), r#""int""#.into(), vec![]),
    ] {
        assert_eq!(kinds(&reader, &writer), expected, "{reader} reads {writer}");
    }
}

#[test]
fn the_lines_are_the_originals() {
    let new = record(&format!(r#"{ONE},{{"name":"f2","type":"string"}}"#));
    let old = record(ONE);
    let check =
        |level, new: &str, old: &str| compatibility::check(level, &avro(new), &[(3, avro(old))]).unwrap();
    assert_eq!(
        check(Compatibility::Backward, &new, &old),
        [
            "{errorType:'READER_FIELD_MISSING_DEFAULT_VALUE', description:'The field 'f2' at path '/fields/1' in the \
             new schema has no default value and is missing in the old schema', additionalInfo:'f2'}"
                .to_owned(),
            "{oldSchemaVersion: 3}".into(),
            format!("{{oldSchema: '{old}'}}"),
            "{compatibility: 'BACKWARD'}".into(),
        ]
    );
    assert!(check(Compatibility::Forward, &new, &old).is_empty());
    assert!(check(Compatibility::Forward, &old, &new)[0].contains("in the old schema has no default value"));
    assert_eq!(check(Compatibility::Full, &new, &old).len(), 4);
    assert!(check(Compatibility::None, "\"int\"", "\"string\"").is_empty());
}

#[test]
fn transitive_levels_look_at_all_versions() {
    let older = record(ONE);
    let newer = record(r#"{"name":"f2","type":"string"}"#);
    let previous = [(1, avro(&older)), (2, avro(&newer))];
    let check = |level| compatibility::check(level, &avro(&newer), &previous).unwrap();
    assert!(check(Compatibility::Backward).is_empty());
    assert!(check(Compatibility::BackwardTransitive).contains(&"{oldSchemaVersion: 1}".to_owned()));
    assert!(check(Compatibility::Forward).is_empty());
    assert!(!check(Compatibility::ForwardTransitive).is_empty());
}

#[test]
fn what_is_no_schema_is_refused() {
    for (text, reason) in [
        ("{", "malformed JSON"),
        ("\"unknown\"", "\"unknown\" is not a defined name"),
        (r#"{"name":"x"}"#, "No type"),
        (r#"{"type":"record","name":"R"}"#, "no fields"),
        (r#"{"type":"record","name":"1R","fields":[]}"#, "Illegal character in: 1R"),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#,
            "Duplicate field a",
        ),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":"x"}]}"#,
            "Invalid default for field R.a",
        ),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"a","type":["null","int"],"default":true}]}"#,
            "Invalid default",
        ),
        (r#"["int","int"]"#, "Duplicate in union: int"),
        (r#"["int",["string"]]"#, "Nested union"),
        (r#"{"type":"enum","name":"E","symbols":["A","A"]}"#, "Duplicate enum symbol: A"),
        (r#"{"type":"enum","name":"E","symbols":["A"],"default":"B"}"#, "Enum Default: B"),
        (r#"{"type":"fixed","name":"F","size":-1}"#, "size"),
        (r#"{"type":"array"}"#, "No items type"),
        (
            r#"[{"type":"fixed","name":"F","size":1},{"type":"fixed","name":"F","size":1}]"#,
            "Can't redefine: F",
        ),
        ("12", "not yet supported"),
    ] {
        let error = compatibility::parse(&avro(text)).expect_err(text);
        assert_eq!(error.code, 42201);
        assert!(error.message.contains(reason), "{text}: {error}");
    }
}

#[test]
fn the_canonical_text_is_javas() {
    for (text, expected) in [
        (r#" {"type" : "string"} "#, r#""string""#),
        (r#"{"logicalType":"date","type":"int"}"#, r#"{"type":"int","logicalType":"date"}"#),
        (
            r#"{"name":"a.b.R","type":"record","doc":"d","fields":[{"type":{"type":"fixed","name":"F","namespace":"a.b","size":2},"name":"x","order":"ascending"},{"name":"y","type":["null","a.b.F"],"default":null}],"x":1}"#,
            r#"{"type":"record","name":"R","namespace":"a.b","doc":"d","fields":[{"name":"x","type":{"type":"fixed","name":"F","size":2}},{"name":"y","type":["null","F"],"default":null}],"x":1}"#,
        ),
        (r#"{"items":"int","type":"array"}"#, r#"{"type":"array","items":"int"}"#),
    ] {
        assert_eq!(compatibility::canonical(&avro(text)), Ok(expected.to_owned()));
        // What is canonical stays as it is.
        assert_eq!(compatibility::canonical(&avro(expected)), Ok(expected.to_owned()));
    }
    let a = compatibility::normalized(&avro(r#"{"type":"int","b":{"d":1,"c":2},"a":1}"#)).unwrap();
    assert_eq!(a, r#"{"type":"int","a":1,"b":{"c":2,"d":1}}"#);
}

#[test]
fn references_define_names() {
    let mut schema = avro(r#"{"type":"record","name":"R","fields":[{"name":"a","type":"x.Ref"}]}"#);
    assert!(compatibility::parse(&schema).is_err());
    let reference =
        Schema::new(SchemaType::Avro, r#"{"type":"record","name":"Ref","namespace":"x","fields":[]}"#);
    schema.references.push(("x.Ref".into(), reference));
    assert_eq!(
        compatibility::canonical(&schema),
        Ok(r#"{"type":"record","name":"R","fields":[{"name":"a","type":"x.Ref"}]}"#.to_owned())
    );
    let inline = avro(
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"record","name":"x.Ref","fields":[{"name":"n","type":"int"}]}}]}"#,
    );
    assert_eq!(compare(&inline, &schema).unwrap().len(), 1);
}

#[test]
fn chains_and_webs_of_names_are_bounded() {
    // Each record holds the one before it twice, and the first one differs.
    let web = |depth: usize, first: &str| {
        let mut schema = avro(&format!(r#"{{"type":"array","items":"R{depth}"}}"#));
        for index in 0..=depth {
            let fields = match index.checked_sub(1) {
                None => format!(r#"{{"name":"a","type":"{first}"}}"#),
                Some(below) => {
                    format!(r#"{{"name":"a","type":"R{below}"}},{{"name":"b","type":"R{below}"}}"#)
                }
            };
            let text = format!(r#"{{"type":"record","name":"R{index}","fields":[{fields}]}}"#);
            schema.references.push((format!("R{index}"), Schema::new(SchemaType::Avro, text)));
        }
        schema
    };
    for (depth, reason) in [(60, "more than 200000 types"), (5000, "deeper")] {
        let (reader, writer) = (web(depth, "int"), web(depth, "string"));
        assert!(compatibility::parse(&reader).is_ok());
        let error = compare(&reader, &writer).expect_err("too much");
        assert!(error.contains(reason), "{error}");
    }
    assert_eq!(compare(&web(60, "int"), &web(60, "int")), Ok(Vec::new()));
}
