//! Does what a scenario says to a log, notes the answers, and after each start checks what the log still knows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::check::{self, Found, GROUP, Moment, Promise, SERIAL, Violation, with_cause};
use super::crash::{CrashMode, Snapshot};
use super::disk::{Faults, SimDisk};
use super::history::{Batch, End, History, Known, OffsetCommit, Outcome, Sent, Span, StartMove, TopicRun};
use super::history::{TransactionRun, key, value};
use super::scenario::{Crash, Operation, Settings};
use super::topic_settings;
use crate::catalogue::NewTopic;
use crate::clock::{Clock, ManualClock};
use crate::config::{LogConfig, ProducerConfig};
use crate::consumer::Consumer;
use crate::engine::Log;
use crate::error::{LogError, Result};
use crate::producer::{Flushed, Producer, Record};
use crate::record::{BatchBuilder, Header};
use crate::transaction::InitProducerId;
use crate::types::{Acks, Offset, OffsetSpec, PartitionId, Timestamp, TopicPartition};

/// When runs begin.
const START: Timestamp = Timestamp::new(1_700_000_000_000);
/// `segment.ms` of all topics.
const SEGMENT_TIME: Duration = Duration::from_secs(3600);
/// `delete.retention.ms` of compacted topics: longer than segments take, so that some are compacted before it is over.
pub(super) const TOMBSTONE_TIME: Duration = Duration::from_secs(4 * 3600);
/// How many events are kept for the report of a failure.
const EVENTS_MAX: usize = 200;

/// A log under test and all that is known about it.
pub(super) struct World {
    pub(super) settings: Settings,
    pub(super) disk: SimDisk,
    pub(super) clock: Arc<ManualClock>,
    pub(super) log: Option<Log>,
    plain: Vec<Option<(Acks, Producer)>>,
    transactional: Vec<Option<Transactional>>,
    pub(super) members: Vec<Option<Consumer>>,
    pub(super) history: History,
    /// The run of each topic that is there, by its number.
    pub(super) live: BTreeMap<u8, usize>,
    pub(super) rng: Rng,
    /// What happened last, if that is wanted.
    events: Option<VecDeque<String>>,
    counts: Counts,
    /// The latest wall-clock time there was.
    pub(super) latest: Timestamp,
    /// What an answer showed to be wrong.
    violation: Option<Violation>,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) operations: u64,
    pub(super) disk_operations: u64,
    pub(super) crashes: u64,
    pub(super) recoveries: u64,
    pub(super) faults: u64,
    pub(super) records: u64,
    pub(super) trace: u64,
}

struct Transactional {
    producer: Producer,
    /// Index of the open transaction.
    open: Option<usize>,
    /// Whether something in it failed, so that it can only be aborted.
    is_failed: bool,
}

/// How a log came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Closed,
    Crashed(CrashMode),
}

impl World {
    /// An empty disk with a new log that is open, its topics created.
    pub(super) fn new(settings: Settings, wants_events: bool) -> Result<Self, Violation> {
        let mut world = Self {
            settings,
            disk: SimDisk::new(settings.seed),
            clock: Arc::new(ManualClock::new(START)),
            log: None,
            plain: (0..settings.producers).map(|_| None).collect(),
            transactional: (0..settings.producers).map(|_| None).collect(),
            members: (0..settings.members.max(1)).map(|_| None).collect(),
            history: History::default(),
            live: BTreeMap::new(),
            rng: Rng::with_seed(settings.seed ^ 0x77_6f72_6c64),
            events: wants_events.then(VecDeque::new),
            counts: Counts::default(),
            latest: START,
            violation: None,
        };
        if wants_events {
            world.disk.keep_journal();
        }
        let opened = open(&world.disk, &world.clock, settings.seed);
        world.log = Some(opened.or_else(|error| unopened(&error))?);
        for topic in 0..settings.topics {
            world.create_topic(topic);
        }
        Ok(world)
    }

    pub(super) fn disk(&self) -> &SimDisk {
        &self.disk
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// What was asked of the log since it was last opened, and before.
    pub(super) fn history(&self) -> &History {
        &self.history
    }

    pub(super) fn latest(&self) -> Timestamp {
        self.latest
    }

    pub(super) fn clock(&self) -> &Arc<ManualClock> {
        &self.clock
    }

    pub(super) fn take_events(&mut self) -> Vec<String> {
        self.note(|| "end".to_owned());
        self.events.take().into_iter().flatten().collect()
    }

    pub(super) fn note(&mut self, text: impl FnOnce() -> String) {
        let Some(events) = &mut self.events else { return };
        events.extend(self.disk.take_journal().into_iter().map(|line| format!("    {line}")));
        events.push_back(text());
        events.drain(..events.len().saturating_sub(EVENTS_MAX));
    }

    /// Does everything in order, crashing where `crashes` say, and restarts at the end.
    pub(super) fn run(&mut self, operations: &[Operation], crashes: &[Crash]) -> Result<(), Violation> {
        let mut crashes: VecDeque<_> = crashes.iter().copied().collect();
        self.disk.set_faults(self.settings.faults);
        if let Some(crash) = crashes.front() {
            self.disk.halt_at(self.disk.operations() + crash.after);
        }
        for operation in operations {
            self.perform(operation, &mut crashes)?;
            if self.disk.is_halted()
                && let Some(crash) = crashes.pop_front()
            {
                self.restart(Stop::Crashed(crash.mode), &mut crashes)?;
            }
        }
        self.restart_cleanly(&mut VecDeque::new())?;
        if self.settings.rots {
            self.rot()?;
        }
        self.counts.disk_operations += self.disk.operations();
        self.counts.faults += self.disk.faults_hit();
        self.counts.trace = self.counts.trace.rotate_left(7) ^ self.disk.trace();
        Ok(())
    }

    /// Does one thing. Failures are noted and are no violations.
    pub(super) fn perform(
        &mut self,
        operation: &Operation,
        crashes: &mut VecDeque<Crash>,
    ) -> Result<(), Violation> {
        self.counts.operations += 1;
        self.note(|| format!("{operation:?}"));
        let partition_of = |number: u8, partitions: u8| u32::from(number % partitions.max(1));
        let partitions = self.settings.partitions;
        match *operation {
            Operation::CreateTopic { topic } => self.create_topic(topic),
            Operation::DeleteTopic { topic } => self.delete_topic(topic),
            Operation::Append { producer, topic, partition, acks, records, bytes, key } => {
                let sent = self.records(records, bytes, key);
                self.append(producer, topic, partition_of(partition, partitions), acks, sent);
            }
            Operation::AppendBatch { topic, partition, acks, records, bytes, key } => {
                let mut sent = self.records(records, bytes, key);
                if bytes % 8 == 0 {
                    sent.iter_mut().for_each(|record| record.bytes = None);
                }
                self.append_batch(topic, partition_of(partition, partitions), acks, sent);
            }
            Operation::AppendTransactional { producer, topic, partition, records, bytes, key, flush } => {
                let sent = self.records(records, bytes, key);
                let partition = partition_of(partition, partitions);
                self.append_transactional(producer, topic, partition, sent, flush);
            }
            Operation::SendOffsets { producer, topic, partition } => {
                self.send_offsets(producer, topic, partition_of(partition, partitions));
            }
            Operation::Commit { producer } => self.end_transaction(producer, true),
            Operation::Abort { producer } => self.end_transaction(producer, false),
            Operation::Fence { producer } => return self.fence(producer),
            Operation::CommitOffsets { topic, partition } => {
                self.commit_offsets(topic, partition_of(partition, partitions));
            }
            Operation::Roll { topic, partition } => {
                self.clock.advance(SEGMENT_TIME + Duration::from_millis(1));
                let sent = self.records(1, 8, 0);
                self.append(0, topic, partition_of(partition, partitions), Acks::Written, sent);
            }
            Operation::Resend { topic, partition, acks, records } => {
                let sent = self.records(records, 16, 0);
                self.resend(topic, partition_of(partition, partitions), acks, sent);
            }
            Operation::DeleteRecords { topic, partition, share } => {
                self.delete_records(topic, partition_of(partition, partitions), share);
            }
            Operation::Compact => self.compact(),
            Operation::Maintain => self.maintain(),
            Operation::Advance { seconds } => self.clock.advance(Duration::from_secs(seconds.into())),
            Operation::SetBack { seconds } => {
                let now = self.clock.now().get();
                self.clock.set(Timestamp::new(now - i64::from(seconds) * 1000));
            }
            Operation::LimitSpace { bytes } => {
                let capacity = Some(self.disk.bytes_used() + u64::from(bytes));
                self.disk.set_faults(Faults { capacity, ..self.settings.faults });
            }
            Operation::FreeSpace => self.disk.set_faults(self.settings.faults),
            Operation::Restart => return self.restart_cleanly(crashes),
            Operation::Poll { member } => self.poll(member),
            Operation::CommitPositions { member } => self.commit_positions(member),
            Operation::Leave { member } => self.leave(member),
            Operation::AlterConfig { topic, setting } => self.alter_config(topic, setting),
        }
        self.latest = self.latest.max(self.clock.now());
        self.violation.take().map_or(Ok(()), Err)
    }

    /// Keeps what an answer showed to be wrong, unless something was before.
    pub(super) fn blame(&mut self, checked: Result<(), Violation>) {
        if let Err(violation) = checked {
            self.violation.get_or_insert(violation);
        }
    }

    fn records(&mut self, count: u8, bytes: u16, key: u8) -> Vec<Sent> {
        let timestamp = self.clock.now();
        let count = count.max(1);
        self.counts.records += u64::from(count);
        let record = |at: u8| Sent { key: key.wrapping_add(at), bytes: Some(bytes.max(8)), timestamp };
        (0..count).map(record).collect()
    }

    pub(super) fn span(&self) -> Span {
        Span::start(self.disk.operations())
    }

    /// Completes a span by what a call answered.
    pub(super) fn finish<T>(&mut self, mut span: Span, answer: &Result<T>, is_one_thing: bool) -> Span {
        let outcome = match answer {
            Ok(_) => Outcome::Done,
            Err(error) if is_refusal(error, is_one_thing) => Outcome::Refused,
            Err(_) => Outcome::Unknown,
        };
        span.finish(self.disk.operations(), outcome);
        if let Err(error) = answer {
            self.note(|| format!("  {outcome:?}: {}", with_cause(error)));
        }
        span
    }

    pub(super) fn name(topic: u8) -> String {
        format!("topic{topic}")
    }

    fn is_compacted(&self, topic: u8) -> bool {
        self.settings.is_compacting && topic + 1 == self.settings.topics && topic > 0
    }

    fn create_topic(&mut self, topic: u8) {
        if self.live.contains_key(&topic) {
            return;
        }
        let Some(log) = self.log.clone() else { return };
        let name = Self::name(topic);
        let is_compacted = self.is_compacted(topic);
        let mut new = NewTopic::new(&*name)
            .partitions(u32::from(self.settings.partitions))
            .config("segment.bytes", self.settings.segment_bytes.to_string())
            .config("segment.ms", SEGMENT_TIME.as_millis().to_string())
            .config("index.interval.bytes", "256")
            .config("cleanup.policy", if is_compacted { "compact" } else { "delete" });
        if is_compacted {
            new = new
                .config("min.cleanable.dirty.ratio", "0")
                .config("delete.retention.ms", TOMBSTONE_TIME.as_millis().to_string());
        }
        if let Some(bytes) = self.settings.retention_bytes {
            new = new.config("retention.bytes", bytes.to_string());
        }
        let index = self.history.topics.len();
        self.history.configs.extend(topic_settings::given(index, &new));
        let span = self.span();
        let answer = log.create_topic(new);
        let is_refused = matches!(answer, Err(LogError::TopicExists { .. }));
        let created = self.finish(span, &answer, is_refused);
        let partitions = u32::from(self.settings.partitions);
        let run = TopicRun { name, partitions, is_compacted, created, deleted: None };
        if answer.is_ok() {
            self.live.insert(topic, self.history.topics.len());
        }
        self.history.topics.push(run);
    }

    fn delete_topic(&mut self, topic: u8) {
        let (Some(log), Some(&run)) = (self.log.clone(), self.live.get(&topic)) else { return };
        let span = self.span();
        let answer = log.delete_topic(&Self::name(topic));
        let span = self.finish(span, &answer, false);
        self.history.topics[run].deleted = Some(span);
        if answer.is_ok() {
            self.live.remove(&topic);
        }
    }

    /// Notes a batch that is about to be sent.
    fn start_batch(
        &mut self,
        topic: usize,
        partition: u32,
        acks: Acks,
        records: Vec<Sent>,
        transaction: Option<usize>,
    ) -> usize {
        let (span, is_one) = (self.span(), false);
        let batch =
            Batch { topic, partition, serial: 0, records, is_one, acks, base: None, transaction, span };
        self.history.add_batch(batch)
    }

    /// The records of a batch that is about to be sent, to be finished: they go into the log together.
    fn start_one_batch(&mut self, index: usize) -> BatchBuilder {
        let batch = &mut self.history.batches[index];
        batch.is_one = true;
        build(batch)
    }

    fn finish_batch(&mut self, index: usize, answer: &Result<Option<Offset>>, is_one_thing: bool) {
        let span = self.finish(self.history.batches[index].span, answer, is_one_thing);
        let batch = &mut self.history.batches[index];
        batch.span = span;
        batch.base = answer.as_ref().ok().copied().flatten();
    }

    fn append(&mut self, producer: u8, topic: u8, partition: u32, acks: Acks, records: Vec<Sent>) {
        let (Some(log), Some(&run)) = (self.log.clone(), self.live.get(&topic)) else { return };
        let index = self.start_batch(run, partition, acks, records, None);
        let batch = &self.history.batches[index];
        let slot = &mut self.plain[usize::from(producer % self.settings.producers)];
        let kept = slot.take().filter(|(known, _)| *known == acks);
        let producer = kept
            .map_or_else(|| log.producer(ProducerConfig::default().acks(acks)), |(_, producer)| Ok(producer));
        let answer = producer.and_then(|mut producer| {
            let name = Self::name(topic);
            let sent = send(&mut producer, &name, batch);
            let answer = sent.and_then(|()| Ok(base_of(&name, batch, &producer.flush()?)));
            *slot = Some((acks, producer));
            answer
        });
        self.finish_batch(index, &answer, false);
    }

    fn append_batch(&mut self, topic: u8, partition: u32, acks: Acks, records: Vec<Sent>) {
        let (Some(log), Some(&run)) = (self.log.clone(), self.live.get(&topic)) else { return };
        let index = self.start_batch(run, partition, acks, records, None);
        let mut builder = self.start_one_batch(index);
        let id = TopicPartition::new(Self::name(topic), partition);
        let answer = log.append(&id, builder.finish(), acks).map(|info| Some(info.base_offset));
        self.finish_batch(index, &answer, acks != Acks::Synced);
    }

    fn resend(&mut self, topic: u8, partition: u32, acks: Acks, records: Vec<Sent>) {
        let (Some(log), Some(&run)) = (self.log.clone(), self.live.get(&topic)) else { return };
        let request =
            InitProducerId { transactional_id: None, timeout: Duration::from_secs(60), current: None };
        let Ok(producer) = log.init_producer_id(&request) else { return };
        let index = self.start_batch(run, partition, acks, records, None);
        let mut builder = self.start_one_batch(index);
        builder.idempotent(producer.id, producer.epoch, 0);
        let batch = builder.finish();
        let id = TopicPartition::new(Self::name(topic), partition);
        let first = log.append(&id, batch.clone(), acks);
        let again = log.append(&id, batch, acks);
        if let (Ok(first), Ok(again)) = (&first, &again)
            && first.base_offset != again.base_offset
        {
            let (first, again) = (first.base_offset, again.base_offset);
            let text = format!("{id} has a batch that was sent twice at {first} and at {again}");
            self.violation = Some(Violation { rule: "R4", text });
        }
        let answer = first.or(again).map(|info| Some(info.base_offset));
        self.finish_batch(index, &answer, false);
    }

    fn delete_records(&mut self, topic: u8, partition: u32, share: u8) {
        let (Some(log), Some(&run)) = (self.log.clone(), self.live.get(&topic)) else { return };
        let id = TopicPartition::new(Self::name(topic), partition);
        let bounds = (log.offsets(&id, OffsetSpec::Earliest), log.offsets(&id, OffsetSpec::Latest));
        let (Ok(start), Ok(end)) = bounds else { return };
        let to = start + end.since(start) * u64::from(share) / 255;
        let span = self.span();
        let answer = log.delete_records(&id, Some(to));
        let span = self.finish(span, &answer, false);
        let is_promised = answer.is_ok();
        self.history.start_moves.push(StartMove { topic: run, partition, to, span, is_promised });
    }

    fn compact(&mut self) {
        let Some(log) = self.log.clone() else { return };
        for _ in 0..32 {
            match log.clean_next() {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => return self.note(|| format!("  not compacted: {}", with_cause(&error))),
            }
        }
    }

    /// Checks that nothing of an open transaction is stable.
    fn check_stable(&mut self, id: &TopicPartition, base: Offset) {
        let stable = self.log.as_ref().and_then(|log| log.last_stable_offset(id).ok());
        if let Some(stable) = stable.filter(|stable| *stable > base) {
            let text = format!("{id} is stable up to {stable}, but a transaction is open since {base}");
            self.violation = Some(Violation { rule: "R7", text });
        }
    }

    /// The transactional producer of this number and its transaction, both made if they are not there.
    fn transaction(&mut self, producer: u8) -> Result<usize> {
        let log = self.log.clone().ok_or(LogError::Closed)?;
        let slot = &mut self.transactional[usize::from(producer)];
        if slot.is_none() {
            let config = ProducerConfig::default().transactional_id(format!("tx{producer}"));
            *slot = Some(Transactional { producer: log.producer(config)?, open: None, is_failed: false });
        }
        let transactional = slot.as_mut().ok_or(LogError::Closed)?;
        if let Some(open) = transactional.open {
            return Ok(open);
        }
        transactional.producer.begin_transaction()?;
        let open = self.history.transactions.len();
        self.history.transactions.push(TransactionRun::default());
        (transactional.open, transactional.is_failed) = (Some(open), false);
        Ok(open)
    }

    fn append_transactional(
        &mut self,
        producer: u8,
        topic: u8,
        partition: u32,
        records: Vec<Sent>,
        flush: bool,
    ) {
        let producer = producer % self.settings.producers;
        let Some(&run) = self.live.get(&topic) else { return };
        let transaction = match self.transaction(producer) {
            Ok(transaction) => transaction,
            Err(error) => return self.note(|| format!("  no transaction: {}", with_cause(&error))),
        };
        let index = self.start_batch(run, partition, Acks::Synced, records, Some(transaction));
        let batch = &self.history.batches[index];
        let Some(transactional) = &mut self.transactional[usize::from(producer)] else { return };
        let name = Self::name(topic);
        let answer = send(&mut transactional.producer, &name, batch).and_then(|()| {
            if !flush {
                return Ok(None);
            }
            Ok(base_of(&name, batch, &transactional.producer.flush()?))
        });
        transactional.is_failed |= answer.is_err();
        self.finish_batch(index, &answer, false);
        if let Ok(Some(base)) = answer {
            self.check_stable(&TopicPartition::new(name, partition), base);
        }
    }

    fn send_offsets(&mut self, producer: u8, topic: u8, partition: u32) {
        let producer = producer % self.settings.producers;
        let Some(&run) = self.live.get(&topic) else { return };
        let Ok(transaction) = self.transaction(producer) else { return };
        let id = TopicPartition::new(Self::name(topic), partition);
        let Some(offset) = self.end_of(&id) else { return };
        let span = self.span();
        let Some(transactional) = &mut self.transactional[usize::from(producer)] else { return };
        let answer = transactional.producer.send_offsets(GROUP, &[(id, offset)]);
        transactional.is_failed |= answer.is_err();
        let span = self.finish(span, &answer, false);
        let transaction = Some(transaction);
        self.history.offset_commits.push(OffsetCommit {
            group: GROUP,
            topic: run,
            partition,
            offset,
            span,
            transaction,
        });
    }

    fn end_transaction(&mut self, producer: u8, is_commit: bool) {
        let producer = producer % self.settings.producers;
        let span = self.span();
        let Some(transactional) = &mut self.transactional[usize::from(producer)] else { return };
        let Some(open) = transactional.open else { return };
        let is_commit = is_commit && !transactional.is_failed;
        let answer = match is_commit {
            true => transactional.producer.commit_transaction(),
            false => transactional.producer.abort_transaction(),
        };
        if answer.is_ok() {
            transactional.open = None;
        } else {
            // Whether it was ended shows after the next start; until then its producer is of no use.
            self.transactional[usize::from(producer)] = None;
        }
        let span = self.finish(span, &answer, false);
        self.history.transactions[open].ends.push(End { is_commit, span });
        if is_commit && answer.is_ok() {
            self.move_offsets(open);
        }
    }

    /// Offsets of a transaction count from its commit on, behind those that were committed meanwhile.
    fn move_offsets(&mut self, transaction: usize) {
        let commits = std::mem::take(&mut self.history.offset_commits);
        let (moved, mut others): (Vec<_>, Vec<_>) =
            commits.into_iter().partition(|commit| commit.transaction == Some(transaction));
        others.extend(moved);
        self.history.offset_commits = others;
    }

    fn fence(&mut self, producer: u8) -> Result<(), Violation> {
        let producer = producer % self.settings.producers;
        let Some(mut old) = self.transactional[usize::from(producer)].take() else { return Ok(()) };
        let Some(log) = self.log.clone() else { return Ok(()) };
        let config = ProducerConfig::default().transactional_id(format!("tx{producer}"));
        let new = log.producer(config);
        if let Err(error) = &new {
            self.note(|| format!("  not replaced: {}", with_cause(error)));
        }
        let Ok(new) = new else { return Ok(()) };
        let transactional = Transactional { producer: new, open: None, is_failed: false };
        self.transactional[usize::from(producer)] = Some(transactional);
        if old.open.is_some() && old.producer.commit_transaction().is_ok() {
            let text = format!("producer tx{producer} committed after another had taken its place");
            return Err(Violation { rule: "R6", text });
        }
        Ok(())
    }

    fn end_of(&self, id: &TopicPartition) -> Option<Offset> {
        self.log.as_ref()?.offsets(id, OffsetSpec::Latest).ok()
    }

    fn commit_offsets(&mut self, topic: u8, partition: u32) {
        let (Some(log), Some(&run)) = (self.log.clone(), self.live.get(&topic)) else { return };
        let id = TopicPartition::new(Self::name(topic), partition);
        let Some(offset) = self.end_of(&id) else { return };
        let span = self.span();
        let answer = log.commit_offsets(GROUP, &[(id, offset, "")]);
        let span = self.finish(span, &answer, false);
        let commit = OffsetCommit { group: GROUP, topic: run, partition, offset, span, transaction: None };
        self.history.offset_commits.push(commit);
    }

    fn maintain(&mut self) {
        let Some(log) = self.log.clone() else { return };
        let span = self.span();
        let answer = log.maintain();
        let span = self.finish(span, &answer, false);
        for (number, &topic) in &self.live {
            for partition in 0..self.history.topics[topic].partitions {
                let id = TopicPartition::new(Self::name(*number), partition);
                let to = match self.disk.is_halted() {
                    true => Offset::new(u64::MAX),
                    false => log.offsets(&id, OffsetSpec::Earliest).unwrap_or(Offset::new(u64::MAX)),
                };
                self.history.start_moves.push(StartMove { topic, partition, to, span, is_promised: false });
            }
        }
    }

    fn restart_cleanly(&mut self, crashes: &mut VecDeque<Crash>) -> Result<(), Violation> {
        self.plain.iter_mut().for_each(|producer| drop(producer.take()));
        self.transactional.iter_mut().for_each(|producer| drop(producer.take()));
        self.members.iter_mut().for_each(|member| drop(member.take()));
        let answer = self.log.take().map_or(Err(LogError::Closed), Log::close);
        if let Err(error) = &answer {
            self.note(|| format!("  not closed: {}", with_cause(error)));
        }
        let stop = match (answer, self.disk.is_halted()) {
            (Ok(()), false) if self.disk.holds(Path::new("log/.kafka_cleanshutdown")) => Stop::Closed,
            (_, false) => Stop::Crashed(CrashMode::KeepAll),
            (_, true) => Stop::Crashed(crashes.pop_front().map_or(CrashMode::KeepAll, |crash| crash.mode)),
        };
        self.restart(stop, crashes)
    }

    /// Lets the machine start again, as often as it takes, and checks what it finds.
    fn restart(&mut self, stop: Stop, crashes: &mut VecDeque<Crash>) -> Result<(), Violation> {
        self.counts.crashes += u64::from(stop != Stop::Closed);
        let point = self.disk.snapshot().operation();
        let mut moment =
            Moment { point, promise: Promise::All, latest: self.latest, failed: BTreeSet::new() };
        let mut mode = match stop {
            // All was synced, so that nothing is left to lose.
            Stop::Closed => CrashMode::ALL[self.rng.usize(..CrashMode::ALL.len())],
            Stop::Crashed(mode) => mode,
        };
        let was_closed = stop == Stop::Closed;
        let mut with_faults = self.rng.u8(..4) == 0;
        loop {
            self.note(|| format!("{stop:?}, {mode:?}"));
            if !was_closed && mode.is_power_loss() {
                moment.promise = Promise::Synced;
            }
            self.counts.disk_operations += self.disk.operations();
            self.counts.faults += self.disk.faults_hit();
            self.counts.trace = self.counts.trace.rotate_left(7) ^ self.disk.trace();
            let snapshot = self.disk.snapshot();
            moment.failed.append(&mut snapshot.failed_dirs());
            self.plain.iter_mut().for_each(|producer| drop(producer.take()));
            self.transactional.iter_mut().for_each(|producer| drop(producer.take()));
            self.members.iter_mut().for_each(|member| drop(member.take()));
            drop(self.log.take());
            self.note(|| "start".to_owned());
            self.disk = snapshot.crash(mode, &mut self.rng);
            if self.events.is_some() {
                self.disk.keep_journal();
            }
            if with_faults {
                self.disk.set_faults(self.settings.faults);
            }
            if let Some(crash) = crashes.front() {
                self.disk.halt_at(crash.after);
            }
            self.counts.recoveries += 1;
            let seed = self.settings.seed.wrapping_add(self.counts.recoveries);
            let opened = open(&self.disk, &self.clock, seed);
            if self.disk.is_halted() {
                mode = crashes.pop_front().map_or(CrashMode::KeepAll, |crash| crash.mode);
                drop(opened);
                continue;
            }
            match opened {
                Ok(log) => {
                    self.log = Some(log);
                    break;
                }
                Err(error) if self.disk.faults_hit() > 0 => {
                    self.note(|| format!("  not opened: {}", with_cause(&error)));
                    (with_faults, mode) = (false, CrashMode::KeepAll);
                }
                Err(error) => return unopened(&error),
            }
        }
        // Looking changes nothing but what is made on first use, and the machine does not stop meanwhile.
        self.disk.set_faults(Faults::default());
        self.disk.halt_at(u64::MAX);
        let log = self.log.clone().ok_or_else(closed_early)?;
        let found = check::check(&self.history, &log, &moment)?;
        let is_durable = moment.promise == Promise::Synced || was_closed;
        self.settle(&found, point, is_durable);
        if self.rng.u8(..8) == 0 {
            check_second_restart(&self.disk.snapshot(), &self.clock, self.settings.seed)?;
        }
        self.disk.set_faults(self.settings.faults);
        self.disk.halt_at(crashes.front().map_or(u64::MAX, |crash| crash.after));
        Ok(())
    }

    /// Takes what was found for granted from now on.
    fn settle(&mut self, found: &Found, point: u64, is_durable: bool) {
        self.live.clear();
        for (index, topic) in self.history.topics.iter_mut().enumerate() {
            let is_there = found.topics.contains(&index);
            topic.created.settle(topic.created.at(point) != Known::Never);
            topic.deleted = (!is_there).then(|| {
                let mut span = Span::start(0);
                span.settle(true);
                span
            });
            if is_there {
                let number = topic.name.trim_start_matches("topic").parse().unwrap_or_default();
                self.live.insert(number, index);
            }
        }
        for transaction in 0..self.history.transactions.len() {
            let was = self.history.ending(transaction, point);
            let is_commit = match was {
                super::history::Ending::Committed => true,
                super::history::Ending::Aborted => false,
                super::history::Ending::Either => found.committed.contains(&transaction),
            };
            let mut span = Span::start(0);
            span.settle(true);
            self.history.transactions[transaction].ends = vec![End { is_commit, span }];
        }
        for (index, batch) in self.history.batches.iter_mut().enumerate() {
            batch.topic = found.moved.get(&index).copied().unwrap_or(batch.topic);
            let was_answered = batch.span.at(point) == Known::Done && batch.base.is_some();
            match found.batches.get(&index) {
                Some(base) if !was_answered => {
                    batch.base = Some(*base);
                    if !batch.is_one {
                        // The others are with the producer that is no more.
                        batch.records.truncate(found.reached.get(&index).copied().unwrap_or(usize::MAX));
                    }
                    batch.acks = if is_durable { Acks::Synced } else { Acks::Written };
                    batch.span.settle(true);
                }
                Some(_) => {
                    batch.acks = if is_durable { Acks::Synced } else { batch.acks };
                    batch.span.settle(true);
                }
                None => {
                    let start = found.starts.get(&(batch.topic, batch.partition));
                    let is_past = batch.base.zip(start.copied()).is_some_and(|(base, start)| base < start)
                        || found.compacted.contains(&index);
                    batch.span.settle(was_answered && is_past);
                }
            }
        }
        self.history.configs = topic_settings::settled(&found.settings);
        let offsets = found.offsets.iter().map(|(&(group, topic, partition), &offset)| {
            let mut span = Span::start(0);
            span.settle(true);
            OffsetCommit { group, topic, partition, offset, span, transaction: None }
        });
        self.history.offset_commits = offsets.collect();
        let moves = found.starts.iter().map(|(&(topic, partition), &to)| {
            let mut span = Span::start(0);
            span.settle(true);
            StartMove { topic, partition, to, span, is_promised: true }
        });
        self.history.start_moves = moves.collect();
    }
}

/// Opens the log of a run.
pub(super) fn open(disk: &SimDisk, clock: &Arc<ManualClock>, seed: u64) -> Result<Log> {
    let config = LogConfig {
        offsets_topic_partitions: 1,
        transaction_topic_partitions: 1,
        offsets_commit_acks: Acks::Synced,
        auto_create_topics: false,
        tail_bytes: 2048,
        ..LogConfig::default()
    };
    Log::builder()
        .dir("log")
        .storage(Arc::new(disk.clone()))
        .clock(clock.clone())
        .seed(seed)
        .config(config)
        .open()
}

pub(super) fn unopened<T>(error: &LogError) -> Result<T, Violation> {
    Err(Violation { rule: "R0", text: format!("the log does not open: {}", with_cause(error)) })
}

fn closed_early() -> Violation {
    Violation { rule: "R0", text: "the log is not open".to_owned() }
}

/// Restarts twice on a copy of the disk and compares all bytes.
pub(super) fn check_second_restart(
    snapshot: &Snapshot,
    clock: &Arc<ManualClock>,
    seed: u64,
) -> Result<(), Violation> {
    let mut before = None;
    let mut disk = snapshot.crash(CrashMode::KeepAll, &mut Rng::with_seed(seed));
    for _ in 0..2 {
        let log = open(&disk, clock, seed).or_else(|error| unopened(&error))?;
        log.close().map_err(|error| Violation {
            rule: "R12",
            text: format!("it does not close: {}", with_cause(&error)),
        })?;
        let files = disk.snapshot().files();
        if let Some(before) = before.replace(files.clone())
            && before != files
        {
            let differs = files.iter().find(|(path, bytes)| before.get(*path) != Some(*bytes));
            let gone = || before.keys().find(|path| !files.contains_key(*path));
            let path = differs.map(|(path, _)| path).or_else(gone);
            let size = |files: &BTreeMap<PathBuf, Arc<Vec<u8>>>| {
                path.and_then(|path| files.get(path)).map(|bytes| bytes.len())
            };
            let text = format!(
                "a second restart changed {path:?}: {:?} bytes, then {:?}",
                size(&before),
                size(&files)
            );
            return Err(Violation { rule: "R12", text });
        }
        disk = disk.snapshot().crash(CrashMode::KeepAll, &mut Rng::with_seed(seed));
    }
    Ok(())
}

/// Whether an error says for certain that nothing was changed. Calls that do more than one thing may have done the
/// first of them.
fn is_refusal(error: &LogError, is_one_thing: bool) -> bool {
    match error {
        LogError::UnknownMemberId { .. }
        | LogError::IllegalGeneration { .. }
        | LogError::RebalanceInProgress { .. }
        | LogError::FencedInstanceId { .. } => true,
        _ if !is_one_thing => false,
        LogError::DiskFull { .. } => true,
        LogError::ProducerFenced { .. }
        | LogError::TopicExists { .. }
        | LogError::UnknownTopic { .. }
        | LogError::UnknownPartition { .. }
        | LogError::TooLarge { .. }
        | LogError::InvalidRecord { .. }
        | LogError::InvalidBatch { .. } => true,
        _ => false,
    }
}

fn serial_header(serial: u64) -> Header {
    Header { key: SERIAL.to_owned(), value: Some(serial.to_be_bytes().to_vec().into()) }
}

/// The records of a batch, to be finished.
fn build(batch: &Batch) -> BatchBuilder {
    let mut builder = BatchBuilder::with_capacity(512);
    for (serial, record) in (batch.serial..).zip(&batch.records) {
        let value = record.bytes.map(|bytes| value(serial, bytes));
        let headers = [serial_header(serial)];
        builder.append(record.timestamp, Some(&key(record.key)), value.as_deref(), &headers);
    }
    builder
}

fn send(producer: &mut Producer, topic: &str, batch: &Batch) -> Result<()> {
    for (serial, record) in (batch.serial..).zip(&batch.records) {
        let record = Record {
            key: Some(key(record.key).to_vec().into()),
            value: record.bytes.map(|bytes| value(serial, bytes).into()),
            timestamp: Some(record.timestamp),
            headers: vec![serial_header(serial)],
            partition: Some(PartitionId::new(batch.partition)),
        };
        producer.send(topic, record)?;
    }
    Ok(())
}

/// Where the last batch of a flush went: it is the last that was sent.
fn base_of(topic: &str, batch: &Batch, flushed: &[Flushed]) -> Option<Offset> {
    let id = TopicPartition::new(topic, batch.partition);
    let to = flushed.iter().find(|to| to.partition == id)?;
    let first = (to.last_offset.get() + 1).checked_sub(batch.records.len() as u64)?;
    Some(Offset::new(first))
}
