//! Serdes of the log, and those for the keys of windows.

use millstream_log::Header;
pub use millstream_log::serde::{
    Boolean, DefaultSerde, DynSerde, Float32, Float64, Int16, Int32, Int64, Json, List, Raw, Serde,
    SerdeError, Utf8, UuidText, Void,
};

/// A key within a window.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Windowed<K> {
    /// The key.
    pub key: K,
    /// The start of the window in ms, included.
    pub start: i64,
    /// The end of the window in ms: excluded, but for sessions and sliding windows, which include it.
    pub end: i64,
}

const SEQUENCE_BYTES: usize = 4;

/// Windowed keys in Kafka's layout: key bytes, then the window start in 8 bytes, big endian. The end is not
/// stored; it follows from the size, which both sides must know.
pub struct TimeWindowed<K> {
    key: DynSerde<K>,
    size_ms: i64,
    /// Behind the start stands a sequence number in 4 bytes.
    in_changelog: bool,
}

impl<K: 'static> TimeWindowed<K> {
    /// Keys of windows of this size in ms.
    pub fn new(key: DynSerde<K>, size_ms: i64) -> Self {
        Self { key, size_ms, in_changelog: false }
    }

    /// As the keys are in the changelog topic of a window store: with a sequence number in 4 bytes at the end, which is
    /// 0 (KIP-393).
    #[must_use]
    pub fn in_changelog(mut self) -> Self {
        self.in_changelog = true;
        self
    }
}

/// Of a size that is not known: what it reads has no end, as with Kafka's deserializer. Writing needs no
/// size.
impl<K: DefaultSerde> Default for TimeWindowed<K> {
    fn default() -> Self {
        Self::new(K::default_serde(), i64::MAX)
    }
}

impl<K> TimeWindowed<K> {
    fn push_window(&self, value: &Windowed<K>, out: &mut Vec<u8>) {
        out.extend_from_slice(&value.start.to_be_bytes());
        if self.in_changelog {
            out.extend_from_slice(&[0; SEQUENCE_BYTES]);
        }
    }
}

impl<K: DefaultSerde> DefaultSerde for Windowed<K> {
    type Serde = TimeWindowed<K>;
}

impl<K: 'static> Serde<Windowed<K>> for TimeWindowed<K> {
    fn serialize(&self, value: &Windowed<K>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.key.serialize(&value.key, out)?;
        self.push_window(value, out);
        Ok(())
    }

    fn serialize_for(
        &self,
        topic: &str,
        headers: &mut Vec<Header>,
        value: &Windowed<K>,
        out: &mut Vec<u8>,
    ) -> Result<(), SerdeError> {
        self.key.serialize_for(topic, headers, &value.key, out)?;
        self.push_window(value, out);
        Ok(())
    }

    fn deserialize(&self, bytes: &[u8]) -> Result<Windowed<K>, SerdeError> {
        let short = || {
            let least = self.unpartitioned_suffix();
            SerdeError::new(format!("{} bytes where a windowed key has {least} or more", bytes.len()))
        };
        let sequence = if self.in_changelog { SEQUENCE_BYTES } else { 0 };
        let length = bytes.len().checked_sub(sequence).ok_or_else(short)?;
        let (key, start) = bytes[..length].split_last_chunk::<8>().ok_or_else(short)?;
        let start = i64::from_be_bytes(*start);
        Ok(Windowed { key: self.key.deserialize(key)?, start, end: start.saturating_add(self.size_ms) })
    }

    fn unpartitioned_suffix(&self) -> usize {
        if self.in_changelog { 8 + SEQUENCE_BYTES } else { 8 }
    }
}

/// Keys of sessions in Kafka's layout: key bytes, then the session's end and start in 8 bytes each, big endian.
pub struct SessionWindowed<K> {
    key: DynSerde<K>,
}

impl<K: 'static> SessionWindowed<K> {
    /// Sessions of keys with this serde.
    pub fn new(key: DynSerde<K>) -> Self {
        Self { key }
    }
}

impl<K: 'static> Serde<Windowed<K>> for SessionWindowed<K> {
    fn serialize(&self, value: &Windowed<K>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.key.serialize(&value.key, out)?;
        push_session(value, out);
        Ok(())
    }

    fn serialize_for(
        &self,
        topic: &str,
        headers: &mut Vec<Header>,
        value: &Windowed<K>,
        out: &mut Vec<u8>,
    ) -> Result<(), SerdeError> {
        self.key.serialize_for(topic, headers, &value.key, out)?;
        push_session(value, out);
        Ok(())
    }

    fn deserialize(&self, bytes: &[u8]) -> Result<Windowed<K>, SerdeError> {
        let short = || SerdeError::new(format!("{} bytes where a session's key has 16 or more", bytes.len()));
        let (rest, start) = bytes.split_last_chunk::<8>().ok_or_else(short)?;
        let (key, end) = rest.split_last_chunk::<8>().ok_or_else(short)?;
        let (start, end) = (i64::from_be_bytes(*start), i64::from_be_bytes(*end));
        Ok(Windowed { key: self.key.deserialize(key)?, start, end })
    }

    fn unpartitioned_suffix(&self) -> usize {
        16
    }
}

fn push_session<K>(value: &Windowed<K>, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.end.to_be_bytes());
    out.extend_from_slice(&value.start.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_windowed_key_has_kafkas_layout() {
        let serde = TimeWindowed::new(String::default_serde(), 10);
        let key = Windowed { key: "a".to_owned(), start: 20, end: 30 };
        let mut bytes = Vec::new();
        serde.serialize(&key, &mut bytes).unwrap();
        assert_eq!(bytes, [b'a', 0, 0, 0, 0, 0, 0, 0, 20]);
        assert_eq!(serde.deserialize(&bytes).unwrap(), key);
        assert_eq!(
            serde.deserialize(b"short").unwrap_err().to_string(),
            "5 bytes where a windowed key has 8 or more"
        );
    }

    #[test]
    fn a_windowed_key_of_a_changelog_ends_with_a_sequence_number() {
        let serde = TimeWindowed::new(String::default_serde(), 10).in_changelog();
        let key = Windowed { key: "a".to_owned(), start: 20, end: 30 };
        let mut bytes = Vec::new();
        serde.serialize(&key, &mut bytes).unwrap();
        assert_eq!(bytes, [b'a', 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 0]);
        assert_eq!(serde.deserialize(&bytes).unwrap(), key);
        for short in [&bytes[..3], &bytes[2..]] {
            let error = serde.deserialize(short).unwrap_err().to_string();
            assert_eq!(error, format!("{} bytes where a windowed key has 12 or more", short.len()));
        }
    }

    #[test]
    fn a_session_key_has_kafkas_layout() {
        let serde = SessionWindowed::new(String::default_serde());
        let key = Windowed { key: "a".to_owned(), start: 20, end: 30 };
        let mut bytes = Vec::new();
        serde.serialize(&key, &mut bytes).unwrap();
        assert_eq!(bytes, [b'a', 0, 0, 0, 0, 0, 0, 0, 30, 0, 0, 0, 0, 0, 0, 0, 20]);
        assert_eq!(serde.deserialize(&bytes).unwrap(), key);
        assert_eq!(
            serde.deserialize(&[0; 15]).unwrap_err().to_string(),
            "15 bytes where a session's key has 16 or more"
        );
    }
}
