//! What holds for every language, whatever the text.

use proptest::prelude::*;

use super::*;

const TEXTS: [(SchemaType, &str); 3] = [
    (
        SchemaType::Avro,
        r#"{"type":"record","name":"a.R","doc":"d","fields":[{"name":"u","type":["null",{"type":"enum","name":"E","symbols":["A","B"]}],"default":null},{"name":"r","type":["null","R"]},{"name":"m","type":{"type":"map","values":{"type":"array","items":"long"}}},{"name":"f","type":{"type":"fixed","name":"F","size":4},"aliases":["g"]}]}"#,
    ),
    (
        SchemaType::Json,
        r##"{"type":"object","properties":{"a":{"type":"string","maxLength":5},"b":{"oneOf":[{"type":"null"},{"$ref":"#/definitions/d"}]},"c":{"type":"array","items":[{"type":"integer"}],"additionalItems":false}},"required":["a"],"patternProperties":{"^x":{"type":"number"}},"definitions":{"d":{"not":{"enum":[1,2]}}}}"##,
    ),
    (
        SchemaType::Protobuf,
        "syntax = \"proto3\"; package p; message M { enum E { X = 0; Y = -1; } map<string, int32> m = 1; oneof k { int32 i = 3; M s = 4 [deprecated = true]; } reserved 5 to 7; repeated E r = 8; }",
    ),
];

fn resolved(schema_type: SchemaType, text: &str) -> ResolvedSchema {
    ResolvedSchema { schema: Schema::new(schema_type, text), references: Vec::new() }
}

#[test]
fn languages_do_not_mix() {
    let [avro, json, _] = TEXTS.map(|(schema_type, text)| resolved(schema_type, text));
    let found = check(Compatibility::Full, &json, &[(1, avro)]).unwrap();
    assert_eq!(found[0], "Incompatible because of different schema type");
    assert!(check(Compatibility::None, &json, &[]).unwrap().is_empty());
    assert_eq!("full_transitive".parse(), Ok(Compatibility::FullTransitive));
    assert_eq!("FULLY".parse::<Compatibility>().unwrap_err().code, 42203);
}

proptest! {
    #[test]
    fn a_canonical_text_is_the_same_schema(
        which in 0usize..3,
        at in 0usize..360,
        text in "[\\[\\]{},:;=<>\"a0 .e\\-/*]{0,3}",
        until in 0usize..4,
    ) {
        let (schema_type, original) = TEXTS[which];
        let mut changed = original.to_owned();
        let at = at.min(changed.len());
        changed.replace_range(at..(at + until).min(original.len()), &text);
        let old = resolved(schema_type, original);
        let new = resolved(schema_type, &changed);
        prop_assert!(check(Compatibility::Full, &old, &[(1, old.clone())]).unwrap().is_empty());
        match (canonical(&new), normalized(&new)) {
            (Ok(canonical_text), Ok(normal_text)) => {
                for text in [canonical_text, normal_text] {
                    let same = resolved(schema_type, &text);
                    prop_assert_eq!(canonical(&same), Ok(text), "{}", changed);
                    let lines = check(Compatibility::Full, &same, &[(1, new.clone())]).unwrap();
                    prop_assert!(lines.is_empty(), "{}: {:?}", changed, lines);
                }
                let _ = check(Compatibility::Full, &new, &[(1, old)]);
            }
            (refused, also) => {
                prop_assert_eq!(refused.unwrap_err().code, 42201);
                prop_assert!(also.is_err());
            }
        }
    }
}
