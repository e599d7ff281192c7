//! Avro against the Avro library, on random schemas and rows: each reads what the other has written. And payloads
//! that were damaged on the way.

use std::{collections::HashMap, sync::Arc};

use apache_avro::{
    Decimal, Schema as Library, reader::datum::GenericDatumReader, types::Value,
    writer::datum::GenericDatumWriter,
};
use arrow::{
    array::{Array, ArrayRef},
    datatypes::{DataType, Field, Fields},
};
use millstream_formats::{
    EmbeddedRegistry, Format, FormatSpec, Payloads, Schema, SchemaRegistry, SchemaType, Subject,
    split_header, write_header,
};
use proptest::{collection::vec, prelude::*};

use crate::round_trip::{any_type, assert_same, columns};

const SPEC: FormatSpec = FormatSpec::new(Format::Avro, true);
const ROWS: usize = 6;

/// A random Avro type.
#[derive(Clone, Debug)]
enum Ty {
    Plain(&'static str),
    Logical(&'static str, &'static str),
    Decimal,
    Fixed(usize),
    Enum,
    Array(Box<Ty>),
    Map(Box<Ty>),
    Entries(Box<Ty>),
    Optional(Box<Ty>, bool),
    Union(Vec<Ty>),
    Record(Vec<Ty>),
}

fn any_avro() -> impl Strategy<Value = Ty> {
    let plain = ["boolean", "int", "long", "float", "double", "bytes", "string"].map(Ty::Plain);
    let logical =
        [("int", "date"), ("int", "time-millis"), ("long", "timestamp-millis"), ("long", "timestamp-micros")];
    let leaf = prop_oneof![
        4 => proptest::sample::select(plain.to_vec()),
        2 => proptest::sample::select(logical.to_vec()).prop_map(|(base, name)| Ty::Logical(base, name)),
        1 => Just(Ty::Decimal),
        1 => (1usize..20).prop_map(Ty::Fixed),
        1 => Just(Ty::Enum),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        prop_oneof![
            boxed().prop_map(Ty::Array),
            boxed().prop_map(Ty::Map),
            boxed().prop_map(Ty::Entries),
            (boxed(), any::<bool>()).prop_filter_map("no union in a union", |(inner, first)| {
                let union = matches!(*inner, Ty::Optional(..) | Ty::Union(_));
                (!union).then_some(Ty::Optional(inner, first))
            }),
            vec(inner.clone(), 1..4).prop_map(Ty::Record),
            (vec(inner.clone(), 1..3), vec(inner.clone(), 1..3)).prop_map(|(one, two)| {
                Ty::Union(vec![Ty::Plain("long"), Ty::Record(one), Ty::Plain("string"), Ty::Record(two)])
            }),
        ]
    })
}

/// The JSON of a type; named types are numbered.
fn json(ty: &Ty, next: &mut usize) -> String {
    let mut name = || {
        *next += 1;
        format!("N{next}")
    };
    match ty {
        Ty::Plain(name) => format!("\"{name}\""),
        Ty::Logical(base, name) => format!(r#"{{"type":"{base}","logicalType":"{name}"}}"#),
        Ty::Decimal => r#"{"type":"bytes","logicalType":"decimal","precision":12,"scale":3}"#.into(),
        Ty::Fixed(size) => format!(r#"{{"type":"fixed","name":"{}","size":{size}}}"#, name()),
        Ty::Enum => format!(r#"{{"type":"enum","name":"{}","symbols":["A","B","C"]}}"#, name()),
        Ty::Array(item) => format!(r#"{{"type":"array","items":{}}}"#, json(item, next)),
        Ty::Map(value) => format!(r#"{{"type":"map","values":{}}}"#, json(value, next)),
        Ty::Entries(value) => {
            let name = name();
            let value = json(value, next);
            format!(
                r#"{{"type":"array","items":{{"type":"record","name":"{name}","connect.internal.type":"MapEntry",
                "fields":[{{"name":"key","type":["null","string"]}},{{"name":"value","type":{value}}}]}}}}"#
            )
        }
        Ty::Optional(inner, true) => format!(r#"["null",{}]"#, json(inner, next)),
        Ty::Optional(inner, false) => format!(r#"[{},"null"]"#, json(inner, next)),
        Ty::Union(branches) => {
            let branches: Vec<String> = branches.iter().map(|branch| json(branch, next)).collect();
            format!(r#"["null",{}]"#, branches.join(","))
        }
        Ty::Record(fields) => {
            let name = name();
            let field =
                |(index, ty): (usize, &Ty)| format!(r#"{{"name":"f{index}","type":{}}}"#, json(ty, next));
            let fields: Vec<String> = fields.iter().enumerate().map(field).collect();
            format!(r#"{{"type":"record","name":"{name}","fields":[{}]}}"#, fields.join(","))
        }
    }
}

fn values(ty: &Ty) -> BoxedStrategy<Value> {
    match ty {
        Ty::Plain("boolean") => any::<bool>().prop_map(Value::Boolean).boxed(),
        Ty::Plain("int") => any::<i32>().prop_map(Value::Int).boxed(),
        Ty::Plain("long") => (any::<i64>(), 0..64).prop_map(|(n, shift)| Value::Long(n >> shift)).boxed(),
        Ty::Plain("float") => any::<f32>().prop_map(Value::Float).boxed(),
        Ty::Plain("double") => any::<f64>().prop_map(Value::Double).boxed(),
        Ty::Plain("bytes") => vec(any::<u8>(), 0..6).prop_map(Value::Bytes).boxed(),
        Ty::Plain(_) => ".{0,6}".prop_map(Value::String).boxed(),
        Ty::Logical(_, "date") => any::<i32>().prop_map(Value::Date).boxed(),
        Ty::Logical(_, "time-millis") => (0..86_400_000i32).prop_map(Value::TimeMillis).boxed(),
        Ty::Logical(_, "timestamp-millis") => any::<i64>().prop_map(Value::TimestampMillis).boxed(),
        Ty::Logical(..) => any::<i64>().prop_map(Value::TimestampMicros).boxed(),
        Ty::Decimal => (-999_999_999_999i64..=999_999_999_999)
            .prop_map(|unscaled| {
                let bytes = unscaled.to_be_bytes();
                let sign = if unscaled < 0 { 0xff } else { 0 };
                let repeats = |at: &usize| bytes[*at] == sign && (bytes[*at + 1] >= 0x80) == (unscaled < 0);
                let start = (0..7).take_while(repeats).count();
                Value::Decimal(Decimal::from(&bytes[start..]))
            })
            .boxed(),
        Ty::Fixed(size) => {
            let size = *size;
            vec(any::<u8>(), size).prop_map(move |bytes| Value::Fixed(size, bytes)).boxed()
        }
        Ty::Enum => (0u32..3).prop_map(|n| Value::Enum(n, ["A", "B", "C"][n as usize].to_owned())).boxed(),
        Ty::Array(item) => vec(values(item), 0..4).prop_map(Value::Array).boxed(),
        Ty::Map(value) => proptest::collection::hash_map(".{0,3}", values(value), 0..4)
            .prop_map(|map: HashMap<String, Value>| Value::Map(map))
            .boxed(),
        Ty::Entries(value) => proptest::collection::btree_map(".{0,3}", values(value), 0..12)
            .prop_map(|map| {
                let entry = |(key, value)| {
                    let key = Value::Union(1, Box::new(Value::String(key)));
                    Value::Record(vec![("key".into(), key), ("value".into(), value)])
                };
                Value::Array(map.into_iter().map(entry).collect())
            })
            .boxed(),
        Ty::Optional(inner, null_first) => {
            let (null, value) = if *null_first { (0, 1) } else { (1, 0) };
            prop_oneof![
                Just(Value::Union(null, Box::new(Value::Null))),
                values(inner).prop_map(move |inner| Value::Union(value, Box::new(inner))),
            ]
            .boxed()
        }
        Ty::Union(branches) => {
            let branches = (1u32..).zip(branches);
            let branches = branches.map(|(index, branch)| {
                values(branch).prop_map(move |value| Value::Union(index, Box::new(value))).boxed()
            });
            let null = Just(Value::Union(0, Box::new(Value::Null))).boxed();
            proptest::strategy::Union::new([null].into_iter().chain(branches)).boxed()
        }
        Ty::Record(fields) => fields
            .iter()
            .map(values)
            .collect::<Vec<_>>()
            .prop_map(|fields| {
                let named = |(index, value)| (format!("f{index}"), value);
                Value::Record(fields.into_iter().enumerate().map(named).collect())
            })
            .boxed(),
    }
}

/// A schema of a record and rows of it.
fn rows() -> impl Strategy<Value = (String, Vec<Value>)> {
    vec(any_avro(), 1..5).prop_flat_map(|fields| {
        let record = Ty::Record(fields);
        (Just(json(&record, &mut 0)), vec(values(&record), ROWS))
    })
}

fn subject(schema: Option<&str>) -> Subject {
    let registry = Arc::new(EmbeddedRegistry::new());
    let schema = schema.map(|text| Schema::new(SchemaType::Avro, text));
    let schema_id = schema.map(|schema| registry.register("t-value", &schema).expect("a new registry"));
    Subject { registry, name: "t-value".into(), full_name: None, schema_id }
}

fn inferred(subject: &Subject) -> Fields {
    let schema = subject.registry.latest("t-value").expect("registered").schema;
    let resolved = subject.registry.resolve(&schema).expect("no references");
    SPEC.infer(&resolved, None, "ROWVAL").expect("all types have columns")
}

fn library_writes(schema: &Library, rows: &[Value], block: Option<usize>) -> Vec<Vec<u8>> {
    let writer = GenericDatumWriter::builder(schema).maybe_target_block_size(block).build().expect("whole");
    let write = |value| {
        let mut payload = Vec::new();
        write_header(1, &mut payload);
        writer.write_value_ref(&mut payload, value).expect("the value is of the schema");
        payload
    };
    rows.iter().map(write).collect()
}

fn library_reads(schema: &Library, payload: &[u8]) -> Value {
    let (_, mut body) = split_header(payload).expect("a header");
    let reader = GenericDatumReader::builder(schema).build().expect("a whole schema");
    let value = reader.read_value(&mut body).expect("written by this schema");
    assert!(body.is_empty(), "{} bytes too many", body.len());
    value
}

/// Values whose NaNs are equal, and whose bytes of a decimal count as a number.
fn text(value: &Value) -> String {
    match value {
        Value::Map(map) => {
            let mut entries: Vec<_> =
                map.iter().map(|(key, value)| format!("{key:?}: {}", text(value))).collect();
            entries.sort();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(", ")),
        Value::Union(index, value) => format!("{index}|{}", text(value)),
        Value::Record(fields) => {
            let fields: Vec<_> =
                fields.iter().map(|(name, value)| format!("{name}: {}", text(value))).collect();
            format!("({})", fields.join(", "))
        }
        other => format!("{other:?}"),
    }
}

fn decode(subject: &Subject, fields: &Fields, payloads: &[Vec<u8>]) -> Result<Vec<ArrayRef>, TestCaseError> {
    let payloads: Vec<Option<&[u8]>> = payloads.iter().map(|payload| Some(&payload[..])).collect();
    let decoded = SPEC.decoder(fields, None, Some(subject)).expect("the columns fit").decode(&payloads);
    prop_assert_eq!(decoded.errors, vec![]);
    Ok(decoded.columns)
}

fn encode(subject: &Subject, fields: &Fields, columns: &[ArrayRef]) -> Vec<Vec<u8>> {
    let mut out = Payloads::new();
    let mut encoder = SPEC.encoder(fields, Some(subject)).expect("the columns fit");
    encoder.encode(columns, columns[0].len(), None, &mut out).expect("every row fits");
    out.iter().map(|payload| payload.expect("wrapped rows are payloads").to_vec()).collect()
}

/// The type with names that Avro has.
fn named(data_type: DataType) -> DataType {
    let renamed = |field: &Field| {
        let name = field.name().replace('"', "_");
        Arc::new(field.clone().with_name(name).with_data_type(named(field.data_type().clone())))
    };
    match data_type {
        DataType::List(item) => DataType::List(renamed(&item)),
        DataType::Map(entries, ordered) => DataType::Map(renamed(&entries), ordered),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| renamed(field)).collect()),
        other => other,
    }
}

fn table() -> impl Strategy<Value = (Fields, Vec<ArrayRef>)> {
    vec(any_type().prop_map(named), 1..5).prop_flat_map(|types| {
        let types = types.into_iter().enumerate();
        let fields: Fields =
            types.map(|(n, data_type)| Field::new(format!("C{n}"), data_type, true)).collect();
        (Just(fields.clone()), columns(fields, ROWS))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn values_of_the_library_pass_through_columns((schema, rows) in rows()) {
        let library = Library::parse_str(&schema).expect("a valid schema");
        let subject = subject(Some(&schema));
        let fields = inferred(&subject);
        let columns = decode(&subject, &fields, &library_writes(&library, &rows, None))?;
        let written = encode(&subject, &fields, &columns);
        for (row, payload) in rows.iter().zip(&written) {
            prop_assert_eq!(text(&library_reads(&library, payload)), text(row), "{}", schema);
        }
        // Blocks that name their size.
        assert_same(&decode(&subject, &fields, &library_writes(&library, &rows, Some(1)))?, &columns)?;
        // What is not wanted is passed over.
        let last = fields.len() - 1;
        let blocks = library_writes(&library, &rows, Some(1));
        let blocks: Vec<Option<&[u8]>> = blocks.iter().map(|payload| Some(&payload[..])).collect();
        let mut decoder = SPEC.decoder(&fields, Some(&[last]), Some(&subject)).expect("the columns fit");
        assert_same(&decoder.decode(&blocks).columns, &columns[last..])?;
    }

    #[test]
    fn columns_pass_through_the_library((fields, columns) in table()) {
        let subject = subject(None);
        let written = encode(&subject, &fields, &columns);
        let schema = subject.registry.latest("t-value").expect("registered").schema.text;
        let library = Library::parse_str(&schema).expect("a valid schema");
        let rows: Vec<Value> = written.iter().map(|payload| library_reads(&library, payload)).collect();
        prop_assert_eq!(&library_writes(&library, &rows, None), &written);
        assert_same(&decode(&subject, &fields, &written)?, &columns)?;
        prop_assert_eq!(inferred(&subject), fields);
    }

    #[test]
    fn damaged_payloads_harm_nobody(
        (schema, rows) in rows(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        noise in vec(any::<u8>(), 0..40),
    ) {
        let library = Library::parse_str(&schema).expect("a valid schema");
        let subject = subject(Some(&schema));
        let fields = inferred(&subject);
        let mut payloads = library_writes(&library, &rows, None);
        for payload in &mut payloads {
            for (at, byte) in &damage {
                let at = 5 + at.index(payload.len());
                if let Some(found) = payload.get_mut(at) {
                    *found ^= byte;
                }
            }
        }
        payloads[0].truncate(cut.index(rows.len() * 9));
        payloads[1].truncate(5);
        payloads[1].extend(noise);
        let payloads: Vec<Option<&[u8]>> = payloads.iter().map(|payload| Some(&payload[..])).collect();
        for projection in [None, Some(&[][..]), Some(&[0])] {
            let mut decoder = SPEC.decoder(&fields, projection, Some(&subject)).expect("the columns fit");
            let decoded = decoder.decode(&payloads);
            for column in &decoded.columns {
                prop_assert_eq!(column.len(), payloads.len());
                prop_assert!(decoded.errors.iter().all(|error| column.is_null(error.row)));
            }
        }
    }

    #[test]
    fn random_text_is_no_schema_and_harms_nobody(text in "[\\[\\]{}\":, a-z0-9]{0,60}") {
        let schema = Schema::new(SchemaType::Avro, text);
        let resolved = EmbeddedRegistry::new().resolve(&schema).expect("no references");
        let _ = SPEC.infer(&resolved, None, "ROWVAL");
    }
}
