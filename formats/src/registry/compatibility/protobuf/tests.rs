use super::*;
use crate::{
    Schema, SchemaType,
    registry::compatibility::{self, Compatibility},
};

fn proto(text: &str) -> ResolvedSchema {
    ResolvedSchema { schema: Schema::new(SchemaType::Protobuf, text), references: Vec::new() }
}

/// Kinds of what keeps the new schema from reading the messages of the old one.
fn kinds(old: &ResolvedSchema, new: &ResolvedSchema) -> Vec<&'static str> {
    let found = compare(new, old).unwrap_or_else(|error| panic!("{old:?} {new:?}: {error}"));
    found.iter().map(|difference| difference.kind).collect()
}

/// Cases of what stands in one message, before and after.
fn check(syntax: &str, cases: &[(&str, &str, &[&str])]) {
    let file = |body: &str| {
        proto(&format!(
            "syntax = \"{syntax}\"; message M {{ {body} }} message A {{}} message B {{}} enum E {{ X = 0; }}"
        ))
    };
    for (old, new, expected) in cases {
        assert_eq!(kinds(&file(old), &file(new)), *expected, "{old} became {new}");
        assert!(kinds(&file(new), &file(new)).is_empty(), "{new}");
    }
}

#[test]
fn fields_keep_the_group_of_their_type() {
    let groups: &[&[&str]] = &[
        &["int32", "int64", "uint32", "uint64", "bool", "E"],
        &["sint32", "sint64"],
        &["string", "bytes"],
        &["fixed32", "sfixed32"],
        &["fixed64", "sfixed64"],
        &["float"],
        &["double"],
    ];
    for (at, group) in groups.iter().enumerate() {
        for (other_at, other) in groups.iter().enumerate() {
            let expected: &[&str] = if at == other_at { &[] } else { &["FIELD_SCALAR_KIND_CHANGED"] };
            for (old, new) in group.iter().zip(other.iter().rev()) {
                check("proto3", &[(&format!("{old} a = 1;"), &format!("{new} a = 1;"), expected)]);
            }
        }
    }
}

#[test]
fn fields_may_come_go_and_change_their_names() {
    check(
        "proto3",
        &[
            ("int32 a = 1;", "int32 a = 1; string b = 2;", &[]),
            ("int32 a = 1; string b = 2;", "int32 a = 1;", &[]),
            ("int32 a = 1;", "reserved 1;", &[]),
            ("int32 a = 1;", "int32 b = 1;", &[]),
            ("int32 a = 1;", "optional int32 a = 1;", &[]),
            ("int32 a = 1;", "int32 a = 2;", &[]),
            ("int32 a = 1; string b = 2;", "string b = 1; int32 a = 2;", &["FIELD_SCALAR_KIND_CHANGED"; 2]),
            ("A a = 1;", "A b = 1;", &[]),
            ("A a = 1;", "B a = 1;", &["FIELD_NAMED_TYPE_CHANGED"]),
            ("A a = 1;", "bytes a = 1;", &["FIELD_KIND_CHANGED"]),
            ("int32 a = 1;", "A a = 1;", &["FIELD_KIND_CHANGED"]),
            ("int32 a = 1;", "repeated int32 a = 1;", &["FIELD_NUMERIC_LABEL_CHANGED"]),
            ("repeated double a = 1;", "double a = 1;", &["FIELD_NUMERIC_LABEL_CHANGED"]),
            ("string a = 1;", "repeated string a = 1;", &[]),
            ("repeated bytes a = 1;", "string a = 1;", &[]),
            ("repeated A a = 1;", "A a = 1;", &[]),
            ("map<string, int32> a = 1;", "map<string, int64> a = 1;", &[]),
            ("map<string, int32> a = 1;", "map<string, float> a = 1;", &["FIELD_SCALAR_KIND_CHANGED"]),
            ("map<string, int32> a = 1;", "map<int32, int32> a = 1;", &["FIELD_SCALAR_KIND_CHANGED"]),
            ("map<string, A> a = 1;", "map<string, B> a = 1;", &["FIELD_NAMED_TYPE_CHANGED"]),
            ("map<string, int32> a = 1;", "repeated A a = 1;", &["FIELD_KIND_CHANGED"]),
            ("map<string, int32> a = 1;", "", &[]),
            ("enum F { U = 0; V = 1; } F a = 1;", "enum F { U = 0; W = 2; } F a = 1;", &[]),
            ("enum F { U = 0; } F a = 1;", "int32 a = 1;", &[]),
            ("message N { int32 x = 1; } N a = 1;", "message N { int32 x = 1; int32 y = 2; } N a = 1;", &[]),
            (
                "message N { int32 x = 1; } N a = 1;",
                "message N { string x = 1; } N a = 1;",
                &["FIELD_SCALAR_KIND_CHANGED"],
            ),
            ("message N { } N a = 1;", "A a = 1;", &["FIELD_NAMED_TYPE_CHANGED", "MESSAGE_REMOVED"]),
            ("M a = 1;", "M a = 1; M b = 2;", &[]),
        ],
    );
}

#[test]
fn choices_may_grow_but_not_swallow() {
    check(
        "proto3",
        &[
            ("oneof k { int32 a = 1; }", "oneof k { int32 a = 1; int32 b = 2; }", &[]),
            ("oneof k { int32 a = 1; int32 b = 2; }", "oneof k { int32 a = 1; }", &["ONEOF_FIELD_REMOVED"]),
            ("oneof k { int32 a = 1; int32 b = 2; }", "int32 a = 1;", &[]),
            ("oneof k { int32 a = 1; int32 b = 2; }", "int32 a = 1; int32 b = 2;", &[]),
            ("int32 a = 1;", "oneof k { int32 a = 1; }", &[]),
            ("int32 a = 1;", "oneof k { int32 a = 1; int32 b = 2; }", &[]),
            (
                "int32 a = 1; int32 b = 2;",
                "oneof k { int32 a = 1; int32 b = 2; }",
                &["MULTIPLE_FIELDS_MOVED_TO_ONEOF"],
            ),
            (
                "int32 a = 1; oneof k { int32 b = 2; }",
                "oneof k { int32 a = 1; int32 b = 2; }",
                &["MULTIPLE_FIELDS_MOVED_TO_ONEOF"],
            ),
            ("oneof k { int32 a = 1; int32 b = 2; }", "oneof l { int32 a = 1; int32 b = 2; }", &[]),
            ("oneof k { int32 a = 1; }", "oneof k { string a = 1; }", &["FIELD_SCALAR_KIND_CHANGED"]),
            ("optional int32 a = 1;", "oneof k { int32 a = 1; }", &[]),
        ],
    );
}

#[test]
fn required_fields_stay() {
    let added: &[&str] = &["REQUIRED_FIELD_ADDED"];
    check(
        "proto2",
        &[
            ("optional int32 a = 1;", "optional int32 a = 1; required int32 b = 2;", added),
            ("required int32 a = 1;", "", &["REQUIRED_FIELD_REMOVED"]),
            ("required int32 a = 1;", "optional int32 a = 1;", &[]),
            ("optional int32 a = 1;", "required int32 a = 1;", added),
            ("required int32 a = 1;", "required int64 a = 1;", &[]),
        ],
    );
}

#[test]
fn messages_stay_and_packages_may_change() {
    let file = |rest: &str| proto(&format!("syntax = \"proto3\"; {rest}"));
    for (old, new, expected) in [
        ("message A {} message B {}", "message B {} message A {}", vec![]),
        ("message A {} message B {}", "message A {}", vec!["MESSAGE_REMOVED"]),
        ("message A {}", "message A {} message B {}", vec![]),
        ("message A {}", "message B {}", vec!["MESSAGE_REMOVED"]),
        ("message A { message N {} }", "message A {}", vec!["MESSAGE_REMOVED"]),
        ("message A { message N {} }", "message A {} message N {}", vec!["MESSAGE_REMOVED"]),
        ("enum E { X = 0; } message A {}", "message A {}", vec![]),
        ("package p; message A { A a = 1; }", "package q; message A { A a = 1; }", vec![]),
        (
            "package p; message A { B b = 1; } message B {}",
            "package q; message A { q.B b = 1; } message B {}",
            vec![],
        ),
        (
            "package p; message A { B b = 1; } message B { int32 x = 1; }",
            "package q; message A { B b = 1; } message B { string x = 1; }",
            vec!["FIELD_SCALAR_KIND_CHANGED"],
        ),
    ] {
        assert_eq!(kinds(&file(old), &file(new)), expected, "{old} became {new}");
    }
}

#[test]
fn imported_messages_are_compared() {
    let file = |ty: &str| {
        let mut schema =
            proto("syntax = \"proto3\"; import \"o.proto\"; message A { o.Other o = 1; o.Other p = 2; }");
        let other =
            format!("syntax = \"proto3\"; package o; message Other {{ {ty} x = 1; Other next = 2; }}");
        schema.references.push(("o.proto".into(), Schema::new(SchemaType::Protobuf, other)));
        schema
    };
    assert_eq!(kinds(&file("int32"), &file("int64")), Vec::<&str>::new());
    assert_eq!(kinds(&file("int32"), &file("string")), ["FIELD_SCALAR_KIND_CHANGED"]);
}

#[test]
fn the_lines_say_where() {
    let (old, new) = (
        proto("syntax = \"proto3\"; message A { message N { int32 x = 7; } }"),
        proto("syntax = \"proto3\"; message A { message N { string x = 7; } }"),
    );
    let found = compatibility::check(Compatibility::Backward, &new, &[(2, old)]).unwrap();
    assert_eq!(
        found[..2],
        [
            "{errorType:'FIELD_SCALAR_KIND_CHANGED', description:'The type of a field at path '#/A/N/7' in the new \
             schema does not match its type in the old schema'}",
            "{oldSchemaVersion: 2}"
        ]
    );
}

#[test]
fn what_is_no_schema_is_refused() {
    for (text, reason) in [
        ("message A {", "expected"),
        ("syntax = \"proto3\"; message A { B b = 1; }", "B"),
        ("syntax = \"proto3\"; import \"missing.proto\"; message A {}", "missing.proto"),
        ("syntax = \"proto3\"; message A { int32 a = 1; int32 b = 1; }", "1"),
        ("syntax = \"proto3\"; message A {} message A {}", "A"),
    ] {
        let error = compatibility::parse(&proto(text)).expect_err(text);
        assert_eq!(error.code, 42201, "{text}");
        assert!(error.message.contains(reason), "{text}: {error}");
    }
}

#[test]
fn the_canonical_text_is_a_schema_that_means_the_same() {
    let text = "syntax='proto3';import 'confluent/type/decimal.proto';message A{confluent.type.Decimal d=1[(confluent.field_meta)={params:[{value:'4',key:\"precision\"}]}];}";
    let canonical = compatibility::canonical(&proto(text)).unwrap();
    assert_eq!(compatibility::canonical(&proto(&canonical)), Ok(canonical.clone()));
    assert_eq!(kinds(&proto(text), &proto(&canonical)), Vec::<&str>::new());
}

#[test]
fn brackets_do_not_hide_behind_comments() {
    let deep = format!("option (x) = {}{};", "{ a: ".repeat(5000), "}".repeat(5000));
    for before in ["", "/* ' */ ", "// ' \\\n", "/* \" */ # ' \\\n", "/*/ ' */ "] {
        let text = format!(
            "syntax = \"proto2\"; import \"google/protobuf/descriptor.proto\"; message X {{ optional X a = 1; }} \
             extend google.protobuf.FileOptions {{ optional X x = 50000; }} {before}{deep}"
        );
        let error = canonical(&proto(&text), false).unwrap_err();
        assert!(error.contains("nested deeper than 100"), "{before}: {error}");
    }
    let shallow =
        "syntax = \"proto3\"; // {{{ \"\nmessage M { /* '[[ */ string s = 1 [json_name = \"<\\\"(\"]; }";
    assert!(canonical(&proto(shallow), false).is_ok());
}

#[test]
fn descriptors_are_texts_or_refused() {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use prost::Message;
    use prost_reflect::prost_types::{DescriptorProto, FileDescriptorProto, MessageOptions};

    let entry = MessageOptions { map_entry: Some(true), ..MessageOptions::default() };
    for (name, syntax, options, expected) in [
        ("M", Some("proto3"), None, Ok("syntax = \"proto3\";\n\nmessage M {}\n")),
        ("M", Some("editions"), None, Err("unknown syntax 'editions'")),
        ("M", Some(""), None, Err("unknown syntax ''")),
        ("M", None, Some(entry), Err("the map entry 'M' has no fields 1 and 2")),
        ("not a name", Some("proto3"), None, Err("")),
    ] {
        let message = DescriptorProto { name: Some(name.to_owned()), options, ..DescriptorProto::default() };
        let file = FileDescriptorProto {
            name: Some("f.proto".to_owned()),
            syntax: syntax.map(str::to_owned),
            message_type: vec![message],
            ..FileDescriptorProto::default()
        };
        let found = canonical(&proto(&BASE64_STANDARD.encode(file.encode_to_vec())), false);
        match (found, expected) {
            (Ok(text), Ok(expected)) => assert_eq!(text, expected),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
    }
}
