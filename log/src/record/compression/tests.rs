use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::record::{BatchBuilder, HEADER_BYTES, RecordBatch};
use crate::types::Timestamp;

fn compressed(compression: Compression, plain: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    compression.compress(plain, &mut out);
    out
}

/// Bytes that compress well, but are no single run.
fn text(length: usize) -> Vec<u8> {
    (0..length).map(|at| b"the quick brown fox "[(at * at / 7) % 20]).collect()
}

#[test]
fn every_level_survives() {
    let plain = text(200_000);
    for codec in Codec::ALL {
        let levels = codec.levels();
        for level in
            [codec.default_level(), *levels.start(), (levels.start() + levels.end()) / 2, *levels.end()]
        {
            let compression = Compression::with_level(codec, level).unwrap();
            let bytes = compressed(compression, &plain);
            // The lowest level of zstd favours speed so much that it does not shrink this.
            assert!(level < 0 || bytes.len() < plain.len(), "{codec} at {level}: {} bytes", bytes.len());
            assert_eq!(codec.decompress(&bytes).unwrap(), plain, "{codec} at {level}");
        }
        assert_eq!(Codec::from_name(codec.name()), Some(codec));
        assert_eq!(Codec::from_id(codec.id()), Some(codec));
    }
    let error = Compression::with_level(Codec::Gzip, 10).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid value \"10\" for compression.gzip.level: it must lie between 1 and 9, or be -1"
    );
}

#[test]
fn the_framings_are_kafkas() {
    let plain = text(100_000);
    let lz4 = compressed(Compression::new(Codec::Lz4), &plain);
    // Magic, version 01 with independent blocks and no checksums, 64 KiB, the right checksum of these.
    assert_eq!(lz4[..7], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]);

    let snappy = compressed(Compression::new(Codec::Snappy), &plain);
    assert_eq!(snappy[..16], *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");
    let length = i32::from_be_bytes(snappy[16..20].try_into().unwrap()) as usize;
    assert_eq!(snap::raw::decompress_len(&snappy[20..20 + length]).unwrap(), 32 * 1024);

    let gzip = compressed(Compression::new(Codec::Gzip), &plain);
    assert_eq!(gzip[..4], [0x1f, 0x8b, 8, 0]);
    let zstd = compressed(Compression::new(Codec::Zstd), &plain);
    assert_eq!(zstd[..4], [0x28, 0xb5, 0x2f, 0xfd]);
}

#[test]
fn what_other_clients_write_is_read() {
    let plain = text(100_000);
    // librdkafka's snappy is one bare block.
    let bare = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
    assert_eq!(Codec::Snappy.decompress(&bare).unwrap(), plain);
    // Frames without a content size, and more than one of them.
    let mut frames = Vec::new();
    for part in [&plain[..40_000], &plain[40_000..]] {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        encoder.write_all(part).unwrap();
        frames.extend(encoder.finish().unwrap());
    }
    assert_eq!(Codec::Zstd.decompress(&frames).unwrap(), plain);
    let members =
        [&plain[..10], &plain[10..]].map(|part| compressed(Compression::new(Codec::Gzip), part)).concat();
    assert_eq!(Codec::Gzip.decompress(&members).unwrap(), plain);
    // Linked blocks of 4 MiB with checksums.
    let mut encoder =
        lz4::EncoderBuilder::new().block_size(lz4::BlockSize::Max4MB).build(Vec::new()).unwrap();
    encoder.write_all(&plain).unwrap();
    let (frame, outcome) = encoder.finish();
    outcome.unwrap();
    assert_eq!(Codec::Lz4.decompress(&frame).unwrap(), plain);
}

#[test]
fn what_is_cut_off_is_malformed() {
    let plain = text(100_000);
    for codec in Codec::ALL {
        let bytes = compressed(Compression::new(codec), &plain);
        for length in [0, 1, 7, 20, bytes.len() / 2, bytes.len() - 5, bytes.len() - 1] {
            let error = codec.decompress(&bytes[..length]).unwrap_err();
            assert!(error.ends_with("data is malformed"), "{codec} cut at {length}: {error}");
        }
    }
}

#[test]
fn bombs_are_refused() {
    let zeros = vec![0; INFLATED_FLOOR + 1];
    for codec in [Codec::Gzip, Codec::Lz4, Codec::Zstd] {
        let bytes = compressed(Compression::new(codec), &zeros);
        assert!(bytes.len() < zeros.len() / INFLATED_RATIO);
        assert!(codec.decompress(&compressed(Compression::new(codec), &zeros[1..])).is_ok(), "{codec}");
        assert_eq!(codec.decompress(&bytes).unwrap_err(), TOO_LARGE, "{codec}");
    }
    // Snappy cannot shrink that far; a block that claims so is malformed.
    let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
    assert_eq!(Codec::Snappy.decompress(&claim).unwrap_err(), "its snappy data is malformed");
}

#[test]
fn a_batch_is_recompressed_with_its_header_kept() {
    let mut builder = BatchBuilder::new();
    for at in 0..100 {
        builder.append(Timestamp::new(1_000 + at), Some(b"key"), Some(&text(100)), &[]);
    }
    let original = RecordBatch::parse(builder.finish().freeze()).unwrap();
    let mut batch = original.clone();
    for to in [Some(Codec::Gzip), Some(Codec::Snappy), Some(Codec::Lz4), Some(Codec::Zstd), None] {
        batch = RecordBatch::parse(batch.recompress(to.map(Compression::new)).unwrap().freeze()).unwrap();
        assert_eq!(batch.codec().unwrap(), to);
        assert!(batch.check_crc());
        assert_eq!(batch.bytes()[23..HEADER_BYTES], original.bytes()[23..HEADER_BYTES]);
        assert!(to.is_none() || batch.len_bytes() < original.len_bytes() / 4);
        let read: Vec<_> = batch.records().map(|record| record.unwrap().timestamp.get()).collect();
        assert_eq!(read, (1_000..1_100).collect::<Vec<_>>());
    }
    assert_eq!(batch, original);
}

#[test]
fn a_batch_with_damaged_records_yields_one_error() {
    for codec in Codec::ALL {
        let mut builder = BatchBuilder::new();
        builder.set_compression(Some(Compression::new(codec)));
        builder.append(Timestamp::new(0), None, Some(&text(1_000)), &[]);
        let mut bytes = builder.finish();
        bytes[HEADER_BYTES..HEADER_BYTES + 20].fill(0xff);
        let batch = RecordBatch::parse(Bytes::from(bytes)).unwrap();
        let found: Vec<_> = batch.records().collect();
        assert_eq!(found.len(), 1);
        let error = found[0].as_ref().unwrap_err().to_string();
        assert_eq!(error, format!("invalid record batch at offset 0: its {codec} data is malformed"));
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), keep in 0_usize..40) {
        for codec in Codec::ALL {
            let _outcome = codec.decompress(&bytes);
            // Behind a sound start.
            let mut bytes = compressed(Compression::new(codec), &bytes);
            bytes.truncate(keep);
            bytes.extend_from_slice(&bytes.clone());
            let _outcome = codec.decompress(&bytes);
        }
    }
}
