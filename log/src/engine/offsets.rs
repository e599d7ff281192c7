//! Groups' committed offsets, as records of `__consumer_offsets`.

use super::*;

impl Inner {
    /// Commits a group's offsets, as part of a transaction if there is a session.
    pub(crate) fn commit_offsets(
        &self,
        group: &str,
        offsets: &[(TopicPartition, Offset, &str)],
        transaction: Option<(&Session, i32)>,
    ) -> Result<()> {
        let timestamp = self.clock().now();
        let invalid = |key: &str, value: &str, reason: String| LogError::InvalidConfig {
            key: key.to_owned(),
            value: value.to_owned(),
            reason,
        };
        if group.is_empty() || group.len() > i16::MAX as usize {
            return Err(invalid("group.id", group, "it takes 1 to 32767 bytes".to_owned()));
        }
        let mut records = Vec::with_capacity(offsets.len());
        for (partition, offset, metadata) in offsets {
            self.partition(partition)?;
            if metadata.len() > self.config.offset_metadata_bytes_max.min(i16::MAX as usize) {
                let reason = format!("it takes at most {} bytes", self.config.offset_metadata_bytes_max);
                return Err(invalid("offset metadata", metadata, reason));
            }
            let committed = Some(Committed { offset: *offset, metadata: (*metadata).to_owned(), timestamp });
            records.push(OffsetRecord { group: group.to_owned(), partition: partition.clone(), committed });
        }
        self.write_offsets(group, records, transaction)
    }

    /// Where a group's offsets are.
    pub(crate) fn group_partition(&self, group: &str) -> Result<Arc<Partition>> {
        self.check_open()?;
        let topic = self.internal_topic(CONSUMER_OFFSETS, self.config.offsets_topic_partitions)?;
        self.partition_of(&topic, coordinator_partition(group, topic.partition_count()))
    }

    pub(super) fn write_offsets(
        &self,
        group: &str,
        records: Vec<OffsetRecord>,
        transaction: Option<(&Session, i32)>,
    ) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let partition = self.group_partition(group)?;
        let now = self.clock().now();
        let mut builder = BatchBuilder::with_capacity(0);
        for record in &records {
            builder.append(now, Some(&record.encode_key()), record.encode_value().as_deref(), &[]);
        }
        if let Some((session, sequence)) = transaction {
            let (id, epoch) = (session.producer_id, session.epoch);
            builder.stamp(ProducerStamp { id, epoch, sequence, is_transactional: true });
            partition.append(&mut builder.finish(), Origin::Own, Visible::Now)?;
            self.groups.hold(session.producer_id, records);
            return Ok(());
        }
        let info = partition.append(&mut builder.finish(), Origin::Own, Visible::Now)?;
        if self.config.offsets_commit_acks == Acks::Synced {
            partition.sync(info.last_offset + 1)?;
        }
        self.groups.apply(info.last_offset, records);
        Ok(())
    }
}
