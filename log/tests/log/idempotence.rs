//! Idempotent producers: what is sent again is answered, not appended, across restarts too.

use bytes::BytesMut;
use millstream_log::{ErrorCode, OffsetSpec, ProducerEpoch, ProducerId};

use super::*;

/// A batch of one producer with one record per value.
fn stamped(id: i64, epoch: i16, sequence: i32, values: &[&str]) -> BytesMut {
    let mut builder = BatchBuilder::new();
    values.iter().for_each(|value| builder.append(NOW, Some(b"k"), Some(value.as_bytes()), &[]));
    builder.idempotent(ProducerId::new(id), ProducerEpoch::new(epoch), sequence);
    builder.finish()
}

#[test]
fn a_batch_that_is_sent_again_has_the_offsets_it_had() {
    let storage = memory();
    let log = open(&storage).unwrap();
    log.create_topic(topic("t")).unwrap();
    let id = tp("t", 0);
    let send =
        |log: &Log, sequence, values: &[&str], acks| log.append(&id, stamped(7, 0, sequence, values), acks);
    let first = send(&log, 0, &["a", "b"], Acks::Synced).unwrap();
    let second = send(&log, 2, &["c"], Acks::Synced).unwrap();
    assert_eq!((first.base_offset.get(), second.base_offset.get(), second.is_duplicate), (0, 2, false));
    let again = send(&log, 0, &["a", "b"], Acks::Synced).unwrap();
    assert_eq!(
        (again.base_offset, again.last_offset, again.timestamp),
        (first.base_offset, first.last_offset, NOW)
    );
    assert!(again.is_duplicate);
    assert_eq!(values(&log, "t"), ["a", "b", "c"]);

    // The producer's own mistakes have Kafka's names.
    let code =
        |outcome: Result<_, LogError>| outcome.map(|_: millstream_log::AppendInfo| ()).unwrap_err().code();
    assert_eq!(code(send(&log, 4, &["d"], Acks::Written)), ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(
        code(log.append(&id, stamped(7, 1, 3, &["d"]), Acks::Written)),
        ErrorCode::OutOfOrderSequenceNumber
    );
    assert_eq!(code(log.append(&id, stamped(7, 0, -1, &["d"]), Acks::Written)), ErrorCode::InvalidRecord);
    log.append(&id, stamped(7, 1, 0, &["d"]), Acks::Written).unwrap();
    assert_eq!(code(send(&log, 3, &["e"], Acks::Written)), ErrorCode::InvalidProducerEpoch);

    // A restart, clean or not, knows the newest batch.
    for log in [open(&Arc::new(storage.fork())).unwrap(), {
        log.close().unwrap();
        open(&storage).unwrap()
    }] {
        let again = log.append(&id, stamped(7, 1, 0, &["d"]), Acks::Written).unwrap();
        assert_eq!((again.base_offset.get(), again.is_duplicate), (3, true));
        log.append(&id, stamped(7, 1, 1, &["e"]), Acks::Written).unwrap();
        assert_eq!(values(&log, "t"), ["a", "b", "c", "d", "e"]);
        assert_eq!(log.offsets(&id, OffsetSpec::Latest).unwrap().get(), 5);
    }
}
