//! Java's serializers and deserializers, in both directions, where Maven has them.

use std::{ffi::OsString, path::Path, sync::OnceLock};

use arrow::datatypes::DataType;
use millstream_formats::{Format, FormatSpec};

use super::{
    Bench, columns, fields, item, list_field, map_field, maven, peer::Peer, rows_as_json, rows_of_protobuf,
    timestamp,
};

/// Their version; all have the same.
const VERSION: &str = "7.9.1";
const ARTIFACTS: [&str; 3] =
    ["kafka-avro-serializer", "kafka-protobuf-serializer", "kafka-json-schema-serializer"];
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/Peer.java");

/// Java with `Peer.java`; fetches the jars first if need be. The serializers are not on Maven Central, so that Maven has
/// to be set up with a repository that has them.
pub(crate) fn peer() -> Option<Peer> {
    static START: OnceLock<Result<Vec<OsString>, String>> = OnceLock::new();
    Peer::new("Java", START.get_or_init(start))
}

fn start() -> Result<Vec<OsString>, String> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("java-peers-{VERSION}"));
    if !dir.exists() {
        let artifacts =
            ARTIFACTS.map(|name| maven::Artifact { group: "io.confluent", name, version: VERSION });
        maven::fetch(&artifacts, &[], &dir)?;
    }
    let java = ["java", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8", "-cp"];
    Ok(java.map(OsString::from).into_iter().chain([dir.join("*").into(), PROGRAM.into()]).collect())
}

#[test]
fn avro_of_java_is_read_and_ours_by_java() {
    let Some(bench) = Bench::with_java() else { return };
    let spec = FormatSpec::value(Format::Avro);
    let theirs = fields(&[
        ("ID", DataType::Int64),
        ("NAME", DataType::Utf8),
        ("TAGS", list_field(DataType::Utf8)),
        ("ATTRS", map_field(DataType::Int32)),
        ("KIND", DataType::Utf8),
        ("ITEM", item()),
    ]);
    let rest = "[a, ü] | {x: 1} | B | {SKU: s, N: 3}";
    assert_eq!(
        bench.read("avroWrite", spec, &theirs),
        [format!("7 | bo | {rest}"), format!("-1 | NULL | {rest}")]
    );
    assert_eq!(bench.write("avroRead", spec, &columns()), rows_as_json());
}

#[test]
fn protobuf_of_java_is_read_and_ours_by_java() {
    let Some(bench) = Bench::with_java() else { return };
    let spec = FormatSpec::value(Format::Protobuf);
    let theirs = fields(&[
        ("ID", DataType::Int64),
        ("NAME", DataType::Utf8),
        ("TAGS", list_field(DataType::Utf8)),
        ("AT", timestamp()),
        ("ITEM", item()),
    ]);
    assert_eq!(
        bench.read("protobufWrite", spec, &theirs),
        ["7 | bo | [a, ü] | 1970-01-01T00:00:01 | {SKU: s, N: 3}", "0 |  | [] | NULL | NULL"]
    );
    assert_eq!(bench.write("protobufRead", spec, &columns()), rows_of_protobuf());
}

#[test]
fn json_of_java_is_read_and_ours_by_java() {
    let Some(bench) = Bench::with_java() else { return };
    let spec = FormatSpec::value(Format::JsonSr);
    let theirs = fields(&[
        ("ID", DataType::Int64),
        ("NAME", DataType::Utf8),
        ("PRICE", DataType::Float64),
        ("TAGS", list_field(DataType::Utf8)),
        ("ATTRS", map_field(DataType::Int64)),
    ]);
    assert_eq!(
        bench.read("jsonWrite", spec, &theirs),
        ["7 | bo | 1.5 | [a, ü] | {x: 1}", "-1 | NULL | 0.5 | [] | {}"]
    );
    assert_eq!(bench.write("jsonRead", spec, &columns()), rows_as_json());
}
