//! Single records, as processors take and forward them.

use millstream_log::Header;

/// A record: Kafka's class of this name. Key or value may be absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<K, V> {
    /// The key.
    pub key: Option<K>,
    /// The value.
    pub value: Option<V>,
    /// The event time in ms; not negative.
    pub timestamp: i64,
    /// The headers.
    pub headers: Vec<Header>,
}

impl<K, V> Record<K, V> {
    /// A record with key and value and without headers.
    pub fn new(key: K, value: V, timestamp: i64) -> Self {
        Self { key: Some(key), value: Some(value), timestamp, headers: Vec::new() }
    }

    /// The same record with another key.
    #[must_use]
    pub fn with_key<K2>(self, key: K2) -> Record<K2, V> {
        let Self { value, timestamp, headers, .. } = self;
        Record { key: Some(key), value, timestamp, headers }
    }

    /// The same record with another value.
    #[must_use]
    pub fn with_value<V2>(self, value: V2) -> Record<K, V2> {
        let Self { key, timestamp, headers, .. } = self;
        Record { key, value: Some(value), timestamp, headers }
    }

    /// The same record with another event time in ms.
    #[must_use]
    pub fn with_timestamp(self, timestamp: i64) -> Self {
        Self { timestamp, ..self }
    }

    /// The same record with other headers.
    #[must_use]
    pub fn with_headers(self, headers: Vec<Header>) -> Self {
        Self { headers, ..self }
    }
}

/// A record whose key stays as it is: Kafka's class of this name. There is no way to make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedKeyRecord<K, V> {
    key: Option<K>,
    /// The value.
    pub value: Option<V>,
    /// The event time in ms; not negative.
    pub timestamp: i64,
    /// The headers.
    pub headers: Vec<Header>,
}

impl<K, V> FixedKeyRecord<K, V> {
    pub(crate) fn new(record: Record<K, V>) -> Self {
        let Record { key, value, timestamp, headers } = record;
        Self { key, value, timestamp, headers }
    }

    pub(crate) fn into_record(self) -> Record<K, V> {
        let Self { key, value, timestamp, headers } = self;
        Record { key, value, timestamp, headers }
    }

    /// The key.
    pub fn key(&self) -> Option<&K> {
        self.key.as_ref()
    }

    /// The same record with another value.
    #[must_use]
    pub fn with_value<V2>(self, value: V2) -> FixedKeyRecord<K, V2> {
        let Self { key, timestamp, headers, .. } = self;
        FixedKeyRecord { key, value: Some(value), timestamp, headers }
    }

    /// The same record without value: a deletion.
    #[must_use]
    pub fn without_value<V2>(self) -> FixedKeyRecord<K, V2> {
        let Self { key, timestamp, headers, .. } = self;
        FixedKeyRecord { key, value: None, timestamp, headers }
    }

    /// The same record with another event time in ms.
    #[must_use]
    pub fn with_timestamp(self, timestamp: i64) -> Self {
        Self { timestamp, ..self }
    }

    /// The same record with other headers.
    #[must_use]
    pub fn with_headers(self, headers: Vec<Header>) -> Self {
        Self { headers, ..self }
    }
}
