//! The one way out of a stream thread: its producer, in a transaction if the application wants exactly once.

use std::collections::HashMap;
use std::sync::Arc;

use millstream_log::{
    GroupMetadata, Header, Log, OffsetCommit, PartitionId, Producer, Timestamp, TopicHandle,
};

use crate::config::ProcessingGuarantee;
use crate::error::StreamsError;

/// A topic that the thread writes to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutputTopic(TopicHandle);

/// Owns a thread's producer and begins its transactions when the first record comes.
pub struct Outbox {
    producer: Producer,
    guarantee: ProcessingGuarantee,
    in_transaction: bool,
    records: u64,
    /// Topics that sinks chose row by row.
    chosen: HashMap<Arc<str>, OutputTopic>,
}

impl Outbox {
    pub(crate) fn new(producer: Producer, guarantee: ProcessingGuarantee) -> Self {
        Self { producer, guarantee, in_transaction: false, records: 0, chosen: HashMap::new() }
    }

    pub(crate) fn topic(&mut self, name: &str) -> Result<OutputTopic, StreamsError> {
        Ok(OutputTopic(self.producer.topic(name)?))
    }

    /// A topic that a row chose. It must be there: one that is made by mistake would take all rows from then on.
    pub(crate) fn existing_topic(
        &mut self,
        log: &Log,
        name: &str,
    ) -> Result<(OutputTopic, Arc<str>), StreamsError> {
        if let Some((name, topic)) = self.chosen.get_key_value(name) {
            return Ok((*topic, Arc::clone(name)));
        }
        let name = log.describe_topic(name)?.name;
        let topic = self.topic(&name)?;
        self.chosen.insert(Arc::clone(&name), topic);
        Ok((topic, name))
    }

    pub(crate) fn partitions(&self, topic: OutputTopic) -> u32 {
        self.producer.partitions(topic.0)
    }

    pub(crate) fn append(
        &mut self,
        topic: OutputTopic,
        partition: Option<PartitionId>,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) -> Result<(), StreamsError> {
        self.begin()?;
        let timestamp = Some(Timestamp::new(timestamp));
        self.producer.append(topic.0, partition, timestamp, key, value, headers)?;
        self.records += 1;
        Ok(())
    }

    /// Hands all appended records to the log. In a transaction they are not visible to read-committed readers
    /// yet.
    pub(crate) fn flush(&mut self) -> Result<(), StreamsError> {
        self.producer.flush()?;
        Ok(())
    }

    /// Hands the records to the log, and with exactly once the group's offsets too: nothing of it counts before
    /// [`Outbox::commit`].
    pub(crate) fn hand_over(
        &mut self,
        group: &GroupMetadata,
        offsets: &[OffsetCommit],
    ) -> Result<OffsetsLeft, StreamsError> {
        match self.guarantee {
            ProcessingGuarantee::AtLeastOnce => {
                self.producer.flush()?;
                Ok(OffsetsLeft::ToTheGroup)
            }
            ProcessingGuarantee::ExactlyOnceV2 => {
                if planted!("offsets_outside_transaction") {
                    return Ok(OffsetsLeft::ToTheGroup);
                }
                let anybody = GroupMetadata::new(&group.group_id);
                let group = if planted!("fenced_commit_ok") { &anybody } else { group };
                if !offsets.is_empty() {
                    self.begin()?;
                    self.producer.send_offsets_to_transaction(offsets, group)?;
                }
                Ok(OffsetsLeft::None)
            }
        }
    }

    /// Makes what was handed over count, all of it or nothing. At least once, it counts already.
    pub(crate) fn commit(&mut self) -> Result<(), StreamsError> {
        if self.in_transaction {
            self.producer.commit_transaction()?;
            self.in_transaction = false;
        }
        Ok(())
    }

    /// Gives up what was not committed.
    pub(crate) fn abort(&mut self) -> Result<(), StreamsError> {
        if self.in_transaction {
            self.in_transaction = false;
            self.producer.abort_transaction()?;
        }
        Ok(())
    }

    /// Whether something was appended that is neither committed nor aborted.
    pub(crate) fn is_in_transaction(&self) -> bool {
        self.in_transaction
    }

    /// Records appended since the last [`Outbox::take_records`].
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Records appended since the last call.
    pub(crate) fn take_records(&mut self) -> u64 {
        std::mem::take(&mut self.records)
    }

    fn begin(&mut self) -> Result<(), StreamsError> {
        if self.guarantee == ProcessingGuarantee::ExactlyOnceV2 && !self.in_transaction {
            self.producer.begin_transaction()?;
            self.in_transaction = true;
        }
        Ok(())
    }
}

/// Who still has to commit the input offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum OffsetsLeft {
    /// They were part of the transaction.
    None,
    /// The group, now that the records are in the log.
    ToTheGroup,
}
