//! Topics of a test by type: records in, records out, as Kafka's `TestInputTopic` and `TestOutputTopic`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_log::{Clock, LogError, NewTopic};

use crate::driver::{InputRecord, OutputRecord, TopologyTestDriver};
use crate::dsl::Record;
use crate::error::StreamsError;
use crate::serde::{DefaultSerde, DynSerde, Serde};
use crate::store::spec::millis;

impl TopologyTestDriver {
    /// A topic to write typed records to; it is made if it is not there.
    pub fn create_input_topic<K: DefaultSerde, V: DefaultSerde>(
        &self,
        topic: &str,
    ) -> Result<TestInputTopic<K, V>, StreamsError> {
        self.input_topic(topic, K::default_serde(), V::default_serde())
    }

    /// As [`create_input_topic`](Self::create_input_topic), with serdes.
    pub fn create_input_topic_with<K: 'static, V: 'static>(
        &self,
        topic: &str,
        keys: impl Serde<K>,
        values: impl Serde<V>,
    ) -> Result<TestInputTopic<K, V>, StreamsError> {
        self.input_topic(topic, Arc::new(keys), Arc::new(values))
    }

    /// A topic to read typed records from; it is made if it is not there, as for a sink that chooses its topics.
    pub fn create_output_topic<K: DefaultSerde, V: DefaultSerde>(
        &self,
        topic: &str,
    ) -> Result<TestOutputTopic<K, V>, StreamsError> {
        self.output_topic(topic, K::default_serde(), V::default_serde())
    }

    /// As [`create_output_topic`](Self::create_output_topic), with serdes.
    pub fn create_output_topic_with<K: 'static, V: 'static>(
        &self,
        topic: &str,
        keys: impl Serde<K>,
        values: impl Serde<V>,
    ) -> Result<TestOutputTopic<K, V>, StreamsError> {
        self.output_topic(topic, Arc::new(keys), Arc::new(values))
    }

    fn input_topic<K, V>(
        &self,
        topic: &str,
        keys: DynSerde<K>,
        values: DynSerde<V>,
    ) -> Result<TestInputTopic<K, V>, StreamsError> {
        self.have_topic(topic)?;
        let time = self.clock().now().get();
        Ok(TestInputTopic { topic: topic.to_owned(), keys, values, time, advance_ms: 0 })
    }

    fn output_topic<K, V>(
        &self,
        topic: &str,
        keys: DynSerde<K>,
        values: DynSerde<V>,
    ) -> Result<TestOutputTopic<K, V>, StreamsError> {
        self.have_topic(topic)?;
        Ok(TestOutputTopic { topic: topic.to_owned(), keys, values })
    }

    fn have_topic(&self, topic: &str) -> Result<(), StreamsError> {
        match self.log().describe_topic(topic) {
            Err(LogError::UnknownTopic { .. }) => {
                self.log().create_topic(NewTopic::new(topic).partitions(self.partitions))?;
                Ok(())
            }
            found => Ok(found.map(drop)?),
        }
    }
}

/// A topic that a test writes to.
///
/// Records without a time of their own get that of the topic: the driver's clock when it was made, or
/// [`start_at`](Self::start_at), moved on by [`auto_advance`](Self::auto_advance) behind each such record and by
/// [`advance_time`](Self::advance_time).
pub struct TestInputTopic<K, V> {
    topic: String,
    keys: DynSerde<K>,
    values: DynSerde<V>,
    time: i64,
    advance_ms: i64,
}

impl<K: 'static, V: 'static> TestInputTopic<K, V> {
    /// Sets the time (ms) of the next record.
    #[must_use]
    pub fn start_at(mut self, time: i64) -> Self {
        self.time = time;
        self
    }

    /// Moves the time on behind each record that has none of its own.
    #[must_use]
    pub fn auto_advance(mut self, by: Duration) -> Self {
        self.advance_ms = millis(by);
        self
    }

    /// Moves the time on.
    pub fn advance_time(&mut self, by: Duration) {
        self.time = self.time.saturating_add(millis(by));
    }

    /// Writes a record and runs until nothing is left to do.
    pub fn pipe(&mut self, driver: &mut TopologyTestDriver, key: K, value: V) -> Result<(), StreamsError> {
        self.pipe_all(driver, [(Some(key), Some(value))])
    }

    /// Writes a record at a time (ms) and runs until nothing is left to do.
    pub fn pipe_at(
        &mut self,
        driver: &mut TopologyTestDriver,
        key: K,
        value: V,
        timestamp: i64,
    ) -> Result<(), StreamsError> {
        self.pipe_record(driver, Record::new(key, value, timestamp))
    }

    /// Writes a record without key.
    pub fn pipe_value(&mut self, driver: &mut TopologyTestDriver, value: V) -> Result<(), StreamsError> {
        self.pipe_all(driver, [(None, Some(value))])
    }

    /// Writes a record without value: a deletion.
    pub fn pipe_deletion(&mut self, driver: &mut TopologyTestDriver, key: K) -> Result<(), StreamsError> {
        self.pipe_all(driver, [(Some(key), None)])
    }

    /// Writes a record as it is.
    pub fn pipe_record(
        &mut self,
        driver: &mut TopologyTestDriver,
        record: Record<K, V>,
    ) -> Result<(), StreamsError> {
        let input = self.encode(record)?;
        driver.pipe_all(&self.topic, &[input])
    }

    /// Writes records as one batch and runs until nothing is left to do.
    pub fn pipe_list(
        &mut self,
        driver: &mut TopologyTestDriver,
        records: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(), StreamsError> {
        self.pipe_all(driver, records.into_iter().map(|(key, value)| (Some(key), Some(value))))
    }

    /// Writes records without keys as one batch.
    pub fn pipe_values(
        &mut self,
        driver: &mut TopologyTestDriver,
        values: impl IntoIterator<Item = V>,
    ) -> Result<(), StreamsError> {
        self.pipe_all(driver, values.into_iter().map(|value| (None, Some(value))))
    }

    /// Writes records as they are, as one batch.
    pub fn pipe_records(
        &mut self,
        driver: &mut TopologyTestDriver,
        records: impl IntoIterator<Item = Record<K, V>>,
    ) -> Result<(), StreamsError> {
        let records: Result<Vec<_>, _> = records.into_iter().map(|record| self.encode(record)).collect();
        driver.pipe_all(&self.topic, &records?)
    }

    fn pipe_all(
        &mut self,
        driver: &mut TopologyTestDriver,
        rows: impl IntoIterator<Item = KeyValue<K, V>>,
    ) -> Result<(), StreamsError> {
        let mut records = Vec::new();
        for (key, value) in rows {
            let timestamp = self.time;
            self.time = self.time.saturating_add(self.advance_ms);
            records.push(self.encode(Record { key, value, timestamp, headers: Vec::new() })?);
        }
        driver.pipe_all(&self.topic, &records)
    }

    fn encode(&self, record: Record<K, V>) -> Result<InputRecord, StreamsError> {
        let Record { key, value, timestamp, headers } = record;
        let (key, value) = (bytes(&self.keys, key.as_ref())?, bytes(&self.values, value.as_ref())?);
        Ok(InputRecord { partition: None, timestamp, key, value, headers })
    }
}

/// Key and value of a record, either of which may be absent.
pub type KeyValue<K, V> = (Option<K>, Option<V>);

/// A topic that a test reads, each record once.
pub struct TestOutputTopic<K, V> {
    topic: String,
    keys: DynSerde<K>,
    values: DynSerde<V>,
}

impl<K: 'static, V: 'static> TestOutputTopic<K, V> {
    /// The next record, or none if all were read.
    pub fn read_record(&self, driver: &mut TopologyTestDriver) -> Result<Option<Record<K, V>>, StreamsError> {
        driver.next_output(&self.topic)?.map(|record| self.decode(record)).transpose()
    }

    /// Key and value of the next record, or none if all were read.
    pub fn read_key_value(
        &self,
        driver: &mut TopologyTestDriver,
    ) -> Result<Option<KeyValue<K, V>>, StreamsError> {
        Ok(self.read_record(driver)?.map(|record| (record.key, record.value)))
    }

    /// The value of the next record; none if all were read, and a deletion is `Some(None)`.
    pub fn read_value(&self, driver: &mut TopologyTestDriver) -> Result<Option<Option<V>>, StreamsError> {
        Ok(self.read_record(driver)?.map(|record| record.value))
    }

    /// All records that were not read yet.
    pub fn read_records(&self, driver: &mut TopologyTestDriver) -> Result<Vec<Record<K, V>>, StreamsError> {
        driver.read(&self.topic)?.into_iter().map(|record| self.decode(record)).collect()
    }

    /// Keys and values of all records that were not read yet.
    pub fn read_key_values(
        &self,
        driver: &mut TopologyTestDriver,
    ) -> Result<Vec<KeyValue<K, V>>, StreamsError> {
        Ok(self.read_records(driver)?.into_iter().map(|record| (record.key, record.value)).collect())
    }

    /// The values of all records that were not read yet.
    pub fn read_values(&self, driver: &mut TopologyTestDriver) -> Result<Vec<Option<V>>, StreamsError> {
        Ok(self.read_records(driver)?.into_iter().map(|record| record.value).collect())
    }

    /// The last value of every key among the records that were not read yet, without keys whose last record was a
    /// deletion. Records without key are left out.
    pub fn read_to_map(&self, driver: &mut TopologyTestDriver) -> Result<BTreeMap<K, V>, StreamsError>
    where
        K: Ord,
    {
        let mut map = BTreeMap::new();
        for (key, value) in self.read_key_values(driver)? {
            match (key, value) {
                (Some(key), Some(value)) => drop(map.insert(key, value)),
                (Some(key), None) => drop(map.remove(&key)),
                (None, _) => {}
            }
        }
        Ok(map)
    }

    /// How many records were not read yet.
    pub fn queue_size(&self, driver: &mut TopologyTestDriver) -> Result<usize, StreamsError> {
        driver.queued_output(&self.topic)
    }

    /// Whether all records were read.
    pub fn is_empty(&self, driver: &mut TopologyTestDriver) -> Result<bool, StreamsError> {
        Ok(self.queue_size(driver)? == 0)
    }

    fn decode(&self, record: OutputRecord) -> Result<Record<K, V>, StreamsError> {
        let OutputRecord { timestamp, key, value, headers, .. } = record;
        let (key, value) = (typed(&self.keys, key.as_deref())?, typed(&self.values, value.as_deref())?);
        Ok(Record { key, value, timestamp, headers })
    }
}

fn bytes<T: 'static>(serde: &DynSerde<T>, value: Option<&T>) -> Result<Option<Vec<u8>>, StreamsError> {
    let encode = |value: &T| {
        let mut bytes = Vec::new();
        serde.serialize(value, &mut bytes).map(|()| bytes)
    };
    value.map(encode).transpose().map_err(|error| StreamsError::Serde(error.to_string()))
}

fn typed<T: 'static>(serde: &DynSerde<T>, bytes: Option<&[u8]>) -> Result<Option<T>, StreamsError> {
    let value = bytes.map(|bytes| serde.deserialize(bytes)).transpose();
    value.map_err(|error| StreamsError::Serde(error.to_string()))
}
