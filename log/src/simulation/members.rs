//! Members of a group in a run: consumers that poll, commit and leave. What they hold and read is checked at once.

use std::collections::BTreeMap;
use std::time::Duration;

use super::check::{MEMBERS, Violation, serial_of, with_cause};
use super::history::{Ending, Known, OffsetCommit};
use super::world::World;
use crate::config::{AutoOffsetReset, ConsumerConfig};
use crate::consumer::{Consumer, PartitionRecords};
use crate::engine::Log;
use crate::error::{LogError, Result};
use crate::group::{Assignor, GroupMetadata};
use crate::types::{Isolation, Offset, TopicPartition};

impl World {
    /// Lets a member poll once, which makes a newcomer join.
    pub(super) fn poll(&mut self, number: u8) {
        let number = self.member(number);
        let consumer = match self.members[number].take() {
            Some(consumer) => Ok(consumer),
            None => self.subscribe(number),
        };
        let polled = consumer.and_then(|mut consumer| {
            let polled = consumer.poll(Duration::ZERO);
            self.members[number] = Some(consumer);
            polled
        });
        match polled {
            Ok(found) => {
                let checked = found.iter().try_for_each(|records| self.check_polled(number, records));
                self.blame(checked);
            }
            Err(error) => self.note(|| format!("  not polled: {}", with_cause(&error))),
        }
        let checked = self.check_owners();
        self.blame(checked);
    }

    /// Lets a member commit its positions.
    pub(super) fn commit_positions(&mut self, number: u8) {
        let number = self.member(number);
        let (Some(log), Some(mut consumer)) = (self.log.clone(), self.members[number].take()) else { return };
        let position = |id: TopicPartition| Some((consumer.position(&id)?, id));
        let positions = consumer.assignment().into_iter().filter_map(position);
        let offsets: Vec<_> = positions
            .filter(|(_, id)| self.run_of(&id.topic).is_some())
            .map(|(offset, id)| (id, offset))
            .collect();
        let who = consumer.group_metadata();
        let is_member = who.as_ref().is_some_and(|who| is_member(&log, who));
        let span = self.span();
        let answer = consumer.commit_offsets(&offsets);
        let span = self.finish(span, &answer, false);
        self.members[number] = Some(consumer);
        if answer.is_ok() && !is_member && !offsets.is_empty() {
            let text = format!("the group took offsets of {who:?}, which is no member of its generation");
            self.blame(Err(Violation { rule: "R13", text }));
        }
        for (id, offset) in offsets {
            if let Some(topic) = self.run_of(&id.topic) {
                let partition = id.partition.get();
                let commit =
                    OffsetCommit { group: MEMBERS, topic, partition, offset, span, transaction: None };
                self.history.offset_commits.push(commit);
            }
        }
    }

    /// Lets a member leave, unless it is static.
    pub(super) fn leave(&mut self, number: u8) {
        let number = self.member(number);
        let Some(consumer) = self.members[number].take() else { return };
        if let Err(error) = consumer.close() {
            self.note(|| format!("  not left in order: {}", with_cause(&error)));
        }
    }

    fn member(&self, number: u8) -> usize {
        usize::from(number) % self.members.len()
    }

    fn run_of(&self, topic: &str) -> Option<usize> {
        let is_it = |(_, run): &(&u8, &usize)| *self.history.topics[**run].name == *topic;
        self.live.iter().find(is_it).map(|(_, run)| *run)
    }

    /// Every other member is static, and every third reads what is committed only.
    fn subscribe(&self, number: usize) -> Result<Consumer> {
        let log = self.log.clone().ok_or(LogError::Closed)?;
        let assignors =
            [Assignor::Range, Assignor::RoundRobin, Assignor::Sticky, Assignor::CooperativeSticky];
        let mut consumer = log.consumer(ConsumerConfig {
            group_id: Some(MEMBERS.to_owned()),
            auto_offset_reset: AutoOffsetReset::Earliest,
            enable_auto_commit: false,
            isolation: isolation_of(number),
            group_instance_id: (number % 2 == 1).then(|| format!("static{number}")),
            assignors: vec![assignors[self.settings.seed as usize % assignors.len()]],
            max_partition_fetch_bytes: 2048,
            ..ConsumerConfig::default()
        })?;
        consumer.subscribe_pattern("topic[0-9]+")?;
        Ok(consumer)
    }

    /// No two members hold the same partition. One that was replaced may not know of it yet.
    fn check_owners(&self) -> std::result::Result<(), Violation> {
        let Some(log) = &self.log else { return Ok(()) };
        let mut owners: BTreeMap<TopicPartition, usize> = BTreeMap::new();
        for (number, consumer) in self.members.iter().enumerate() {
            let Some(consumer) = consumer else { continue };
            let Some(who) = consumer.group_metadata().filter(|who| is_member(log, who)) else { continue };
            for id in consumer.assignment() {
                if let Some(other) = owners.insert(id.clone(), number) {
                    let generation = who.generation;
                    let text = format!("in generation {generation}, {id} belongs to {other} and {number}");
                    return Err(Violation { rule: "R13", text });
                }
            }
        }
        Ok(())
    }

    /// What is read was sent there, was not refused, and is committed where that is asked for.
    fn check_polled(&self, number: usize, polled: &PartitionRecords) -> std::result::Result<(), Violation> {
        let id = &polled.partition;
        let now = self.disk.operations();
        let fail = |rule, text| Err(Violation { rule, text });
        let mut expected = polled.first;
        for record in polled.records() {
            let Ok(record) = record else {
                return fail("R4", format!("{id} gives a member what is no record behind {expected}"));
            };
            if record.offset < expected {
                return fail("R3", format!("{id} gives a member {} behind {expected}", record.offset));
            }
            expected = record.offset + 1;
            let found = serial_of(&record).and_then(|serial| self.history.find(serial));
            let Some((index, at)) = found else {
                return fail("R4", format!("{id} gives a member at {} what nobody sent", record.offset));
            };
            let batch = &self.history.batches[index];
            let what =
                || format!("{id} gives a member at {} record {}", record.offset, batch.serial + at as u64);
            if batch.partition != id.partition.get() || *self.history.topics[batch.topic].name != *id.topic {
                return fail("R4", format!("{}, which was sent elsewhere", what()));
            }
            if batch.base.is_some_and(|base: Offset| base + at as u64 != record.offset) {
                return fail("R1", format!("{}, which is at another offset", what()));
            }
            if batch.span.at(now) == Known::Never {
                return fail("R2", format!("{}, which was refused", what()));
            }
            let is_aborted = batch
                .transaction
                .is_some_and(|transaction| self.history.ending(transaction, now) == Ending::Aborted);
            if is_aborted && isolation_of(number) == Isolation::ReadCommitted {
                return fail("R8", format!("{}, which is not committed", what()));
            }
        }
        Ok(())
    }
}

/// Whether somebody is a member of his group's generation.
fn is_member(log: &Log, who: &GroupMetadata) -> bool {
    let service = log.inner().coordination.state.lock();
    let group = service.coordinator.find(&who.group_id);
    group
        .is_some_and(|group| group.generation == who.generation && group.members.contains_key(&who.member_id))
}

fn isolation_of(number: usize) -> Isolation {
    if number % 3 == 2 { Isolation::ReadCommitted } else { Isolation::ReadUncommitted }
}
