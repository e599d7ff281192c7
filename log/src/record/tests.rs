use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::types::{Offset, ProducerEpoch, ProducerId, Timestamp};

fn unhex(text: &str) -> Bytes {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const TIME: Timestamp = Timestamp::new(1_700_000_000_000);

#[test]
fn a_plain_batch_has_kafkas_bytes() {
    let expected = "00000000000000000000004a0000000002f0bce1040000000000010000018bcfe568000000018bcfe56805ffffffffffff\
                    ffffffffffffffff0000000220000000026b04763104026802780268010e000a02026b0100";
    let mut builder = BatchBuilder::new();
    let header =
        |value: Option<&'static [u8]>| Header { key: "h".to_owned(), value: value.map(Bytes::from_static) };
    builder.append(TIME, Some(b"k"), Some(b"v1"), &[header(Some(b"x")), header(None)]);
    builder.append(Timestamp::new(1_700_000_000_005), Some(b"k"), None, &[]);
    let batch = RecordBatch::parse(builder.finish().freeze()).unwrap();
    assert_eq!(hex(batch.bytes()), expected);
    assert!(batch.check_crc());

    let records: Vec<_> = batch.records().collect::<crate::Result<_>>().unwrap();
    assert_eq!((records[0].key, records[0].value), (Some(&b"k"[..]), Some(&b"v1"[..])));
    assert_eq!(records[0].headers().to_owned().unwrap(), [header(Some(b"x")), header(None)]);
    assert_eq!((records[1].offset.get(), records[1].timestamp.get()), (1, 1_700_000_000_005));
    assert_eq!(records[1].value, None);
}

#[test]
fn a_transactional_batch_and_its_marker_have_kafkas_bytes() {
    let (id, epoch) = (ProducerId::new(4000), ProducerEpoch::new(3));
    let stamp = ProducerStamp { id, epoch, sequence: 7, is_transactional: true };
    let rest =
        "0010000000000000018bcfe568000000018bcfe568000000000000000fa0000300000007000000010e00000001027400";
    let expected = format!("000000000000002a00000039000000050248d5e69f{rest}");
    let mut builder = BatchBuilder::new();
    builder.stamp(stamp);
    builder.append(TIME, None, Some(b"t"), &[]);
    let mut batch = builder.finish();
    assign_offset(&mut batch, Offset::new(42));
    batch[12..16].copy_from_slice(&5_i32.to_be_bytes());
    assert_eq!(hex(&batch), expected);

    let expected = "000000000000002b000000420000000502881496e70030000000000000018bcfe568640000018bcfe568640000000000000fa0\
                    0003ffffffff000000012000000008000000010c00000000000900";
    let marker = Marker { is_commit: true, coordinator_epoch: 9 };
    let mut batch = marker.encode(stamp, Timestamp::new(1_700_000_000_100));
    assign_offset(&mut batch, Offset::new(43));
    batch[12..16].copy_from_slice(&5_i32.to_be_bytes());
    assert_eq!(hex(&batch), expected);
    assert_eq!(Marker::of(&RecordBatch::parse(batch.freeze()).unwrap()), Some(marker));
}

#[test]
fn an_emptied_batch_keeps_its_offsets() {
    let bytes = unhex(
        "0000000000000064000000310000000502b496bc50000000000004ffffffffffffffff0000018bcfe568050000000000000fa0\
         000300000007\
         00000000",
    );
    let batch = RecordBatch::parse(bytes).unwrap();
    assert!(batch.check_crc());
    assert_eq!((batch.base_offset().get(), batch.last_offset().get(), batch.record_count()), (100, 104, 0));
    assert_eq!(batch.records().count(), 0);
}

#[test]
fn an_unknown_codec_says_so() {
    let mut builder = BatchBuilder::new();
    builder.append(TIME, None, Some(b"v"), &[]);
    let mut bytes = builder.finish();
    bytes[22] |= 5;
    let batch = RecordBatch::parse(bytes.freeze()).unwrap();
    let error = batch.records().next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "compression \"5\" is not supported: use none, gzip, snappy, lz4 or zstd");
    assert_eq!(batch.records().count(), 1);
}

type AnyRecord = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

fn any_record() -> impl Strategy<Value = AnyRecord> {
    let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200));
    (any::<i64>(), bytes(), bytes(), proptest::collection::vec((".{0,8}", bytes()), 0..3))
}

proptest! {
    #[test]
    fn records_survive_their_encoding(
        records in proptest::collection::vec(any_record(), 1..40),
        codec in proptest::option::of(proptest::sample::select(&Codec::ALL)),
    ) {
        let mut builder = BatchBuilder::with_capacity(64);
        builder.set_compression(codec.map(Compression::new));
        for (time, key, value, headers) in &records {
            let headers: Vec<_> = headers
                .iter()
                .map(|(key, value)| Header { key: key.clone(), value: value.clone().map(Bytes::from) })
                .collect();
            let before = builder.len_bytes().max(HEADER_BYTES);
            builder.append(Timestamp::new(*time), key.as_deref(), value.as_deref(), &headers);
            let bound = BatchBuilder::record_bytes_max(key.as_deref(), value.as_deref(), &headers);
            prop_assert!(builder.len_bytes() - before <= bound);
        }
        let batch = RecordBatch::parse(builder.finish().freeze()).unwrap();
        prop_assert!(batch.check_crc());
        prop_assert_eq!(batch.codec().unwrap(), codec);
        prop_assert_eq!(batch.max_timestamp().get(), records.iter().map(|record| record.0).max().unwrap());
        let read: Vec<_> = batch.records().collect::<crate::Result<Vec<_>>>().unwrap();
        prop_assert_eq!(read.len(), records.len());
        for (at, (record, (time, key, value, headers))) in read.iter().zip(&records).enumerate() {
            prop_assert_eq!(record.offset.get(), at as u64);
            prop_assert_eq!(record.timestamp.get(), *time);
            prop_assert_eq!(record.key, key.as_deref());
            prop_assert_eq!(record.value, value.as_deref());
            let read: Vec<_> = record
                .headers()
                .map(|header| header.map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))))
                .collect::<crate::Result<_>>()
                .unwrap();
            prop_assert_eq!(&read, headers);
        }
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), patch in any::<bool>()) {
        if patch && bytes.len() >= HEADER_BYTES {
            // A sound frame around random records.
            let length = (bytes.len() - PREFIX_BYTES) as i32;
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            (bytes[0], bytes[16], bytes[22], bytes[23]) = (0, 2, 0, 0);
        }
        if let Ok(batch) = RecordBatch::parse(bytes.into()) {
            for record in batch.records().flatten() {
                record.headers().for_each(drop);
            }
        }
    }

    #[test]
    fn integers_survive_their_encoding(value in any::<i64>()) {
        let mut bytes = [0; varint::VARLONG_BYTES_MAX];
        let size = varint::write(value, &mut bytes);
        prop_assert_eq!(size, varint::size(value));
        let mut input = &bytes[..size];
        prop_assert_eq!(varint::read(&mut input), Some(value));
        prop_assert!(input.is_empty());
    }
}
