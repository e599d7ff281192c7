//! What a task keeps beside its committed offsets, in the text that Kafka Streams writes there.
//!
//! ```text
//! base64( 2 i8 | partition time i64 | nothing, or: count i32 | count * (length i32 | name | value i64) )
//! ```

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const VERSION: u8 = 2;
const UNKNOWN_TIME: i64 = -1;

/// The metadata of one committed offset. As Kafka's `TopicPartitionMetadata`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The highest timestamp taken from the partition, in ms.
    pub(crate) time: Option<i64>,
    /// What processors keep: times by name.
    pub(crate) processors: BTreeMap<String, i64>,
}

impl Progress {
    pub(crate) fn encode(&self) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(self.time.unwrap_or(UNKNOWN_TIME).to_be_bytes());
        if !self.processors.is_empty() {
            bytes.extend(len(self.processors.len()));
            for (name, value) in &self.processors {
                bytes.extend(len(name.len()));
                bytes.extend(name.as_bytes());
                bytes.extend(value.to_be_bytes());
            }
        }
        STANDARD.encode(bytes)
    }

    /// None for text that somebody else wrote.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).ok()?;
        let (version, mut rest) = bytes.split_first()?;
        let time = Some(take_i64(&mut rest)?).filter(|time| *time >= 0);
        let mut processors = BTreeMap::new();
        if *version >= VERSION && !rest.is_empty() {
            for _ in 0..take_len(&mut rest)? {
                let length = take_len(&mut rest)?;
                let (name, after) = rest.split_at_checked(length)?;
                rest = after;
                processors.insert(std::str::from_utf8(name).ok()?.to_owned(), take_i64(&mut rest)?);
            }
        }
        Some(Self { time, processors })
    }
}

fn len(length: usize) -> [u8; 4] {
    i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes()
}

fn take_len(bytes: &mut &[u8]) -> Option<usize> {
    let (length, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    usize::try_from(i32::from_be_bytes(*length)).ok()
}

fn take_i64(bytes: &mut &[u8]) -> Option<i64> {
    let (value, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(i64::from_be_bytes(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kafkas_text() {
        let plain = Progress { time: Some(1_000), processors: BTreeMap::new() };
        assert_eq!(plain.encode(), "AgAAAAAAAAPo");
        let unknown = Progress::default();
        assert_eq!(unknown.encode(), "Av//////////");
        let named = Progress { time: Some(0), processors: BTreeMap::from([("a".to_owned(), 258)]) };
        assert_eq!(named.encode(), "AgAAAAAAAAAAAAAAAQAAAAFhAAAAAAAAAQI=");
        for progress in [plain, unknown, named] {
            assert_eq!(Progress::decode(&progress.encode()), Some(progress));
        }
        // Version 1 had the time only.
        let old = STANDARD.encode([&[1][..], &7_i64.to_be_bytes()].concat());
        assert_eq!(Progress::decode(&old), Some(Progress { time: Some(7), ..Progress::default() }));
    }

    #[test]
    fn other_text_is_none_of_ours() {
        for text in ["", "hello", "AgAA", "AgAAAAAAAAAAf////w==", "AgAAAAAAAAAAAAAAAf///3///w=="] {
            assert_eq!(Progress::decode(text), None, "{text}");
        }
    }
}
