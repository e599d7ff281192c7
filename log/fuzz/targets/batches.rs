//! Record batches from bytes.

use bytes::{Bytes, BytesMut};
use millstream_log::{BatchBuilder, Codec, Compression, Header, LogError, RecordBatch, Timestamp};

/// One record, owned.
type Owned = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<Header>);

/// A batch as it comes from the network or a file: it decodes or says why not, and what was decoded survives encoding.
pub fn record_batch(data: &[u8]) {
    let Ok(batch) = RecordBatch::parse(Bytes::copy_from_slice(data)) else { return };
    assert_eq!(batch.bytes(), data);
    batch.check_crc();
    let Ok(records) = read(&batch) else { return };
    let again = write(&records);
    let Some(again) = again else { return };
    assert_eq!(read(&again).expect("written just now"), records);
    assert_eq!(write(&read(&again).expect("written just now")).expect("not empty"), again);
}

/// Compressed records behind a sound header: the first byte says which codec, the second how many records.
pub fn record_batch_compressed(data: &[u8]) {
    let [codec, count, blob @ ..] = data else { return };
    let codec = Codec::ALL[usize::from(codec % 4)];
    let mut batch = empty_batch(i32::from(*count));
    batch[22] |= codec.id();
    batch.extend_from_slice(blob);
    seal(&mut batch);
    let batch = RecordBatch::parse(batch.freeze()).expect("a sound frame");
    assert!(batch.check_crc());
    // A bomb ends in an error before the memory does, and what is read stays read.
    if let Ok(records) = read(&batch) {
        assert_eq!(read(&batch).expect("read before"), records);
        let plain = batch.recompress(None).expect("read before");
        let limit = (100 * blob.len()).max(32 << 20);
        assert!(plain.len() <= limit + 61, "{} bytes out of {}", plain.len(), blob.len());
    }

    // The bytes as records, there and back.
    let mut plain = empty_batch(i32::from(*count));
    plain.extend_from_slice(blob);
    seal(&mut plain);
    let plain = RecordBatch::parse(plain.freeze()).expect("a sound frame");
    let packed = plain.recompress(Some(Compression::new(codec))).expect("not compressed before");
    let packed = RecordBatch::parse(packed.freeze()).expect("written just now");
    assert!(packed.check_crc());
    if *count > 0 {
        let unpacked = packed.recompress(None).expect("compressed just now");
        assert_eq!(unpacked[..], plain.bytes()[..]);
    }
}

fn read(batch: &RecordBatch) -> Result<Vec<Owned>, LogError> {
    let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    batch
        .records()
        .map(|record| {
            let record = record?;
            let headers = record.headers().to_owned()?;
            Ok((record.timestamp.get(), owned(record.key), owned(record.value), headers))
        })
        .collect()
}

fn write(records: &[Owned]) -> Option<RecordBatch> {
    let mut builder = BatchBuilder::new();
    for (time, key, value, headers) in records {
        builder.append(Timestamp::new(*time), key.as_deref(), value.as_deref(), headers);
    }
    let batch = builder.finish();
    (!batch.is_empty()).then(|| RecordBatch::parse(batch.freeze()).expect("written just now"))
}

/// The header of a batch that says it holds `count` records.
fn empty_batch(count: i32) -> BytesMut {
    let mut builder = BatchBuilder::new();
    builder.append(Timestamp::new(1_700_000_000_000), None, None, &[]);
    let mut batch = builder.finish();
    batch.truncate(61);
    batch[23..27].copy_from_slice(&(count - 1).max(0).to_be_bytes());
    batch[57..61].copy_from_slice(&count.to_be_bytes());
    batch
}

/// Completes length and CRC.
pub fn seal(batch: &mut BytesMut) {
    let length = i32::try_from(batch.len() - 12).expect("a fuzzer's input is small");
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}
