//! What is written is read back the same, for every format and type; and random bytes harm nobody.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
        Float64Array, Int32Array, Int64Array, ListArray, MapArray, StringArray, StructArray,
        Time32MillisecondArray, TimestampMillisecondArray,
    },
    buffer::{NullBuffer, OffsetBuffer},
    compute::concat,
    datatypes::{DataType, Field, Fields, i256},
};
use millstream_formats::{Format, FormatSpec, decimal_type};
use proptest::{collection::vec, option::weighted, prelude::*};

use crate::{array_of, decode, encode, map_of, struct_of, time, timestamp};

const ROWS: usize = 12;

/// Types that every text format holds.
fn plain_type() -> impl Strategy<Value = DataType> {
    prop_oneof![
        Just(DataType::Boolean),
        Just(DataType::Int32),
        Just(DataType::Int64),
        Just(DataType::Float64),
        (1u8..=76).prop_flat_map(|p| (Just(p), 0..=p as i8)).prop_map(|(p, s)| decimal_type(p, s)),
        Just(DataType::Utf8),
        Just(DataType::Binary),
        Just(time()),
        Just(DataType::Date32),
        Just(timestamp()),
    ]
}

pub(crate) fn any_type() -> impl Strategy<Value = DataType> {
    plain_type().prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(array_of),
            inner.clone().prop_map(map_of),
            vec(inner, 1..3).prop_map(|types| {
                let fields: Vec<_> =
                    types.into_iter().zip(["X", "Y\"", "z"]).map(|(t, name)| (name, t)).collect();
                struct_of(&fields)
            }),
        ]
    })
}

fn cells<T: std::fmt::Debug + Clone>(
    value: impl Strategy<Value = T> + Clone,
    rows: usize,
) -> impl Strategy<Value = Vec<Option<T>>> {
    vec(weighted(0.8, value), rows)
}

/// A column of `rows` random cells.
fn column(data_type: DataType, rows: usize) -> BoxedStrategy<ArrayRef> {
    fn arc(array: impl Array + 'static) -> ArrayRef {
        Arc::new(array)
    }
    match data_type {
        DataType::Boolean => cells(any::<bool>(), rows).prop_map(|c| arc(BooleanArray::from(c))).boxed(),
        DataType::Int32 => cells(any::<i32>(), rows).prop_map(|c| arc(Int32Array::from(c))).boxed(),
        DataType::Int64 => cells(any::<i64>(), rows).prop_map(|c| arc(Int64Array::from(c))).boxed(),
        DataType::Float64 => {
            let double = prop_oneof![any::<f64>(), -1000.0..1000.0f64, Just(f64::NAN), Just(0.0), Just(1e7)];
            cells(double.boxed(), rows).prop_map(|c| arc(Float64Array::from(c))).boxed()
        }
        DataType::Decimal128(precision, scale) => {
            let limit = 10i128.pow(u32::from(precision));
            cells(-limit + 1..limit, rows)
                .prop_map(move |c| {
                    let data_type = DataType::Decimal128(precision, scale);
                    arc(Decimal128Array::from(c).with_data_type(data_type))
                })
                .boxed()
        }
        DataType::Decimal256(precision, scale) => {
            let digits = proptest::string::string_regex(&format!("-?[0-9]{{1,{precision}}}"));
            cells(digits.expect("a valid expression").boxed(), rows)
                .prop_map(move |c| {
                    let number = |text: &String| i256::from_string(text).expect("as many digits as fit");
                    let c: Decimal256Array = c.iter().map(|text| text.as_ref().map(number)).collect();
                    arc(c.with_data_type(DataType::Decimal256(precision, scale)))
                })
                .boxed()
        }
        DataType::Utf8 => {
            let text = prop_oneof![".{1,12}", "[a-z,\"\\\\#\n\r\t ä😀]{1,8}"];
            cells(text.boxed(), rows).prop_map(|c| arc(StringArray::from(c))).boxed()
        }
        DataType::Binary => cells(vec(any::<u8>(), 1..9), rows)
            .prop_map(|c| arc(c.iter().map(Option::as_deref).collect::<BinaryArray>()))
            .boxed(),
        DataType::Time32(_) => {
            cells(0..86_400_000i32, rows).prop_map(|c| arc(Time32MillisecondArray::from(c))).boxed()
        }
        DataType::Date32 => cells(any::<i32>(), rows).prop_map(|c| arc(Date32Array::from(c))).boxed(),
        DataType::Timestamp(..) => {
            cells(any::<i64>(), rows).prop_map(|c| arc(TimestampMillisecondArray::from(c))).boxed()
        }
        DataType::List(item) => lists(rows)
            .prop_flat_map(move |(lengths, nulls)| {
                let item = Arc::clone(&item);
                column(item.data_type().clone(), lengths.iter().sum()).prop_map(move |items| {
                    let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
                    arc(ListArray::new(Arc::clone(&item), offsets, items, Some(nulls.clone())))
                })
            })
            .boxed(),
        DataType::Map(entries, ordered) => lists(rows)
            .prop_flat_map(move |(lengths, nulls)| {
                let entries = Arc::clone(&entries);
                let DataType::Struct(pair) = entries.data_type().clone() else { unreachable!() };
                column(pair[1].data_type().clone(), lengths.iter().sum()).prop_map(move |values| {
                    let keys: StringArray = (0..values.len()).map(|n| Some(format!("key \"{n}\""))).collect();
                    let both = StructArray::new(pair.clone(), vec![Arc::new(keys), values], None);
                    let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
                    arc(MapArray::new(Arc::clone(&entries), offsets, both, Some(nulls.clone()), ordered))
                })
            })
            .boxed(),
        DataType::Struct(fields) => columns(fields.clone(), rows)
            .prop_flat_map(move |columns| {
                let fields = fields.clone();
                vec(any::<bool>(), rows).prop_map(move |valid| {
                    arc(StructArray::new(fields.clone(), columns.clone(), Some(NullBuffer::from(valid))))
                })
            })
            .boxed(),
        other => unreachable!("no strategy makes {other}"),
    }
}

/// Lengths of lists, and which are not NULL. NULL lists are empty.
fn lists(rows: usize) -> impl Strategy<Value = (Vec<usize>, NullBuffer)> {
    vec(weighted(0.8, 0usize..4), rows).prop_map(|lengths| {
        let valid: Vec<bool> = lengths.iter().map(Option::is_some).collect();
        (lengths.into_iter().map(Option::unwrap_or_default).collect(), NullBuffer::from(valid))
    })
}

pub(crate) fn columns(fields: Fields, rows: usize) -> BoxedStrategy<Vec<ArrayRef>> {
    fields.iter().map(|field| column(field.data_type().clone(), rows)).collect::<Vec<_>>().boxed()
}

pub(crate) fn table(
    types: impl Strategy<Value = Vec<DataType>>,
) -> impl Strategy<Value = (Fields, Vec<ArrayRef>)> {
    types.prop_flat_map(|types| {
        let fields: Fields =
            types.into_iter().enumerate().map(|(n, t)| Field::new(format!("C{n}"), t, true)).collect();
        (Just(fields.clone()), columns(fields, ROWS))
    })
}

/// Equal cells, where NULL structs may differ in what lies hidden below them. Text is compared where the
/// float NaN stands.
pub(crate) fn assert_same(found: &[ArrayRef], expected: &[ArrayRef]) -> Result<(), TestCaseError> {
    for (found, expected) in found.iter().zip(expected) {
        prop_assert_eq!(found.len(), expected.len());
        for row in 0..found.len() {
            prop_assert_eq!(crate::show(found, row), crate::show(expected, row), "row {}", row);
        }
    }
    Ok(())
}

fn check(spec: &FormatSpec, fields: &Fields, columns: &[ArrayRef]) -> Result<(), TestCaseError> {
    let payloads = encode(spec, fields, columns);
    let payloads: Vec<Option<&[u8]>> = payloads.iter().map(Option::as_deref).collect();
    let decoded = decode(spec, fields, &payloads);
    prop_assert_eq!(&decoded.errors, &vec![], "{:?}", payloads);
    assert_same(&decoded.columns, columns)?;
    // One row at a time gives the same as all at once.
    let mut decoder = spec.decoder(fields, None, None).expect("the columns fit");
    let single: Vec<_> = payloads.iter().map(|payload| decoder.decode(&[*payload]).columns).collect();
    for (index, expected) in decoded.columns.iter().enumerate() {
        let parts: Vec<&dyn Array> = single.iter().map(|columns| columns[index].as_ref()).collect();
        assert_same(&[concat(&parts).expect("one type")], std::slice::from_ref(expected))?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn wrapped_json((fields, columns) in table(vec(any_type(), 0..5))) {
        check(&FormatSpec::value(Format::Json), &fields, &columns)?;
    }

    #[test]
    fn bare_json((fields, columns) in table(vec(any_type(), 1))) {
        check(&FormatSpec::key(Format::Json, 1), &fields, &columns)?;
    }

    #[test]
    fn delimited((fields, columns) in table(vec(plain_type(), 2..5)), delimiter in "[,|\t ;a]") {
        let delimiter = delimiter.chars().next().expect("one character");
        check(&FormatSpec::value(Format::Delimited).with_delimiter(delimiter), &fields, &columns)?;
    }

    #[test]
    fn kafka((fields, columns) in table(vec(
        prop_oneof![
            Just(DataType::Int32), Just(DataType::Int64), Just(DataType::Float64), Just(DataType::Utf8),
            Just(DataType::Binary),
        ],
        1,
    ))) {
        check(&FormatSpec::value(Format::Kafka), &fields, &columns)?;
    }

    #[test]
    fn random_bytes_fill_every_row(
        format in prop_oneof![Just(Format::Kafka), Just(Format::Delimited), Just(Format::Json)],
        data_type in any_type(),
        payloads in vec(weighted(0.9, prop_oneof![
            vec(any::<u8>(), 0..40),
            "[\\[\\]{}\",:0-9a-cCtrue null.eE\\\\+-]{0,40}".prop_map(String::into_bytes),
            "\\{\"[cC]0\": ?[\\[\\]{}\",:0-9ntrue.-]{1,12}\\}".prop_map(String::into_bytes),
        ]), 0..8),
    ) {
        let fields = Fields::from(vec![Field::new("C0", data_type.clone(), true)]);
        let payloads: Vec<Option<&[u8]>> = payloads.iter().map(Option::as_deref).collect();
        for wrapped in [false, format.can_wrap()] {
            let spec = FormatSpec::value(format).with_wrapped(wrapped);
            if let Ok(mut decoder) = spec.decoder(&fields, None, None) {
                let decoded = decoder.decode(&payloads);
                prop_assert_eq!(decoded.columns[0].len(), payloads.len());
                for error in &decoded.errors {
                    prop_assert!(decoded.columns[0].is_null(error.row), "{}", error);
                }
            }
        }
    }
}
