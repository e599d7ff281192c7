//! Texts of schemas: parsed, put in order, inferred from, compared.

use base64::{Engine, prelude::BASE64_STANDARD};
use millstream_formats::{
    Compatibility, Format, FormatSpec, ProtobufNulls, ResolvedSchema, Schema, SchemaType, compatibility,
};

/// A letter for the language (`A`, `J`, `P`, or `D` for a Protobuf descriptor, which is not in base64 here), and a
/// text. What the text becomes stays as it is; it may follow itself; the columns inferred from it, where a schema
/// can be generated from them again, stay the same.
pub fn schema(data: &[u8]) -> bool {
    let Some((&language, text)) = data.split_first() else { return false };
    let Some(schema) = read(language, text) else { return false };
    infer(&schema);
    let Ok(canonical) = compatibility::canonical(&schema) else { return false };
    let canonical = of(schema.schema.schema_type, canonical);
    assert_eq!(
        compatibility::canonical(&canonical).as_ref(),
        Ok(&canonical.schema.text),
        "canonical of {}",
        schema.schema.text
    );
    let normalized = compatibility::normalized(&schema).expect("it has a canonical text");
    let normalized = of(schema.schema.schema_type, normalized);
    assert_eq!(
        compatibility::normalized(&normalized).as_ref(),
        Ok(&normalized.schema.text),
        "normalized of {}",
        schema.schema.text
    );
    let old = [(1, schema.clone())];
    for new in [schema, canonical] {
        let found = compatibility::check(Compatibility::Full, &new, &old);
        assert_eq!(found, Ok(Vec::new()), "it does not follow itself");
    }
    true
}

/// A letter for the language, and two texts with a zero byte between: all levels agree with each other.
pub fn compatibility(data: &[u8]) -> bool {
    let Some((&language, rest)) = data.split_first() else { return false };
    let Some(end) = rest.iter().position(|byte| *byte == 0) else { return false };
    let (Some(old), Some(new)) = (read(language, &rest[..end]), read(language, &rest[end + 1..])) else {
        return false;
    };
    if compatibility::parse(&old).is_err() || compatibility::parse(&new).is_err() {
        return false;
    }
    let old = [(1, old)];
    let admits = |level| compatibility::check(level, &new, &old).is_ok_and(|found| found.is_empty());
    let (backward, forward) = (admits(Compatibility::Backward), admits(Compatibility::Forward));
    assert_eq!(admits(Compatibility::Full), backward && forward);
    assert_eq!(admits(Compatibility::BackwardTransitive), backward);
    assert!(admits(Compatibility::None));
    true
}

fn of(schema_type: SchemaType, text: String) -> ResolvedSchema {
    ResolvedSchema { schema: Schema::new(schema_type, text), references: Vec::new() }
}

fn read(language: u8, text: &[u8]) -> Option<ResolvedSchema> {
    let schema_type = match language {
        b'A' => SchemaType::Avro,
        b'J' => SchemaType::Json,
        b'P' => SchemaType::Protobuf,
        b'D' => return Some(of(SchemaType::Protobuf, BASE64_STANDARD.encode(text))),
        _ => return None,
    };
    std::str::from_utf8(text).ok().map(|text| of(schema_type, text.to_owned()))
}

fn infer(schema: &ResolvedSchema) {
    let format = match schema.schema.schema_type {
        SchemaType::Avro => Format::Avro,
        SchemaType::Json => Format::JsonSr,
        SchemaType::Protobuf => Format::Protobuf,
    };
    for wrapped in [true, !format.can_unwrap()] {
        let spec = FormatSpec { nulls: ProtobufNulls::Optional, ..FormatSpec::new(format, wrapped) };
        let Ok(inferred) = spec.infer(schema, None, "V") else { continue };
        let Ok(Some(generated)) = spec.generate_schema(&inferred, None) else { continue };
        let generated = ResolvedSchema { schema: generated, references: Vec::new() };
        // Where everything may be null, types are nested twice as deep.
        if let Err(error) = compatibility::parse(&generated) {
            assert!(error.message.contains("deeper than"), "generated, but {error}");
            continue;
        }
        assert_eq!(spec.infer(&generated, None, "V").as_ref(), Ok(&inferred), "{}", generated.schema.text);
    }
}
