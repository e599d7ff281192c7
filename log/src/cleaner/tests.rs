//! The laws of compaction, over random workloads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::catalogue::NewTopic;
use crate::clock::ManualClock;
use crate::config::{CleanerConfig, LogConfig};
use crate::engine::Log;
use crate::partition::{Origin, Partition, Visible};
use crate::producer_state::ProducerStates;
use crate::record::{BatchBuilder, Codec, Compression, Marker, ProducerStamp, RecordBatch};
use crate::storage::MemoryStorage;
use crate::types::{Isolation, Offset, ProducerEpoch, ProducerId, Timestamp, TopicPartition};

const RETENTION: u64 = 100;

#[derive(Clone, Debug)]
enum Step {
    /// A batch of keys and values by one of the producers, or by nobody.
    Put {
        producer: Option<usize>,
        codec: Option<Codec>,
        records: Vec<(u8, Option<u8>)>,
    },
    /// The end of a producer's transaction, if one is open.
    End {
        producer: usize,
        is_commit: bool,
        is_bumped: bool,
    },
    Advance(u64),
    Clean,
    /// A crash, or a stop, and a start.
    Reopen {
        is_clean: bool,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    let codec = prop_oneof![6 => Just(None), 1 => Just(Some(Codec::Lz4)), 1 => Just(Some(Codec::Zstd))];
    let record = (0_u8..6, prop_oneof![3 => any::<u8>().prop_map(Some), 1 => Just(None)]);
    let put = (
        prop_oneof![2 => Just(None), 3 => (0_usize..3).prop_map(Some)],
        codec,
        prop::collection::vec(record, 1..5),
    )
        .prop_map(|(producer, codec, records)| Step::Put { producer, codec, records });
    let end = (0_usize..3, any::<bool>(), any::<bool>())
        .prop_map(|(producer, is_commit, is_bumped)| Step::End { producer, is_commit, is_bumped });
    prop_oneof![
        12 => put,
        5 => end,
        2 => (0..RETENTION * 3 / 2).prop_map(Step::Advance),
        3 => Just(Step::Clean),
        1 => any::<bool>().prop_map(|is_clean| Step::Reopen { is_clean }),
    ]
}

/// A record as it was written.
#[derive(Clone, Debug, PartialEq)]
struct Written {
    offset: u64,
    key: u8,
    value: Option<u8>,
    transaction: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Status {
    Open,
    Committed,
    Aborted,
}

struct Producing {
    epoch: i16,
    sequence: i32,
    open: Option<usize>,
}

struct Model {
    storage: Arc<MemoryStorage>,
    clock: Arc<ManualClock>,
    log: Log,
    dedupe_bytes: usize,
    producers: Vec<Producing>,
    written: Vec<Written>,
    transactions: Vec<Status>,
    end: u64,
    /// When each record was first in reach of a round.
    cleaned_at: BTreeMap<u64, u64>,
    cleaned_to: u64,
    now: u64,
}

type View = Vec<(u64, u8, Option<u8>)>;

fn open(storage: &Arc<MemoryStorage>, clock: &Arc<ManualClock>, dedupe_buffer_bytes: usize) -> Log {
    let cleaner = CleanerConfig { dedupe_buffer_bytes, ..CleanerConfig::default() };
    let config = LogConfig { cleaner, ..LogConfig::default() };
    let log = Log::builder().dir("log").storage(storage.clone()).clock(clock.clone()).config(config);
    log.open().unwrap()
}

fn id() -> TopicPartition {
    TopicPartition::new("t", 0)
}

impl Model {
    fn new(dedupe_bytes: usize) -> Self {
        let storage = Arc::new(MemoryStorage::new());
        let clock = Arc::new(ManualClock::new(Timestamp::new(1_700_000_000_000)));
        let log = open(&storage, &clock, dedupe_bytes);
        let topic = NewTopic::new("t")
            .config("cleanup.policy", "compact")
            .config("segment.bytes", "400")
            .config("index.interval.bytes", "100")
            .config("delete.retention.ms", RETENTION.to_string());
        log.create_topic(topic).unwrap();
        let producers = (0..3).map(|_| Producing { epoch: 0, sequence: 0, open: None }).collect();
        Self {
            storage,
            clock,
            log,
            dedupe_bytes,
            producers,
            written: Vec::new(),
            transactions: Vec::new(),
            end: 0,
            cleaned_at: BTreeMap::new(),
            cleaned_to: 0,
            now: 0,
        }
    }

    fn partition(&self) -> Arc<Partition> {
        self.log.inner().partition(&id()).unwrap()
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Put { producer, codec, records } => self.put(*producer, *codec, records),
            Step::End { producer, is_commit, is_bumped } => self.finish(*producer, *is_commit, *is_bumped),
            Step::Advance(millis) => {
                self.clock.advance(Duration::from_millis(*millis));
                self.now += millis;
            }
            Step::Clean => self.clean(),
            Step::Reopen { is_clean } => {
                (0..3).for_each(|producer| self.finish(producer, false, false));
                if !is_clean {
                    self.storage = Arc::new(self.storage.fork());
                }
                let idle = Log::in_memory(self.clock.clone());
                std::mem::replace(&mut self.log, idle).close().unwrap();
                self.log = open(&self.storage, &self.clock, self.dedupe_bytes);
            }
        }
    }

    fn put(&mut self, producer: Option<usize>, codec: Option<Codec>, records: &[(u8, Option<u8>)]) {
        let mut builder = BatchBuilder::new();
        let mut transaction = None;
        if let Some(at) = producer {
            let Producing { epoch, sequence, open } = &mut self.producers[at];
            let stamp = stamp(at, *epoch, *sequence);
            builder.transactional(stamp.id, stamp.epoch, stamp.sequence);
            *sequence += records.len() as i32;
            transaction = Some(*open.get_or_insert_with(|| {
                self.transactions.push(Status::Open);
                self.transactions.len() - 1
            }));
        }
        for (key, value) in records {
            let value = value.map(|value| [value]);
            builder.append(
                Timestamp::new(1_700_000_000_000 + self.now as i64),
                Some(&[*key]),
                value.as_ref().map(|value| &value[..]),
                &[],
            );
            self.written.push(Written {
                offset: self.end,
                key: *key,
                value: value.map(|value| value[0]),
                transaction,
            });
            self.end += 1;
        }
        let mut batch = builder.finish();
        if let Some(codec) = codec {
            let plain = RecordBatch::parse(batch.freeze()).unwrap();
            batch = plain.recompress(Some(Compression::new(codec))).unwrap();
        }
        self.partition().append(&mut batch, Origin::Own, Visible::Now).unwrap();
    }

    fn finish(&mut self, producer: usize, is_commit: bool, is_bumped: bool) {
        let state = &mut self.producers[producer];
        let Some(transaction) = state.open.take() else { return };
        let origin = match is_bumped {
            true => {
                (state.epoch, state.sequence) = (state.epoch + 1, 0);
                Origin::BumpedMarker
            }
            false => Origin::Marker,
        };
        let marker = Marker { is_commit, coordinator_epoch: 0 };
        let stamp = stamp(producer, state.epoch, -1);
        let now = Timestamp::new(1_700_000_000_000 + self.now as i64);
        self.partition().append(&mut marker.encode(stamp, now), origin, Visible::Now).unwrap();
        self.transactions[transaction] = if is_commit { Status::Committed } else { Status::Aborted };
        self.end += 1;
    }

    fn clean(&mut self) {
        // A map that is too small for the dirty range takes rounds.
        loop {
            let reach = self.log.cleaner_stats().unwrap()[0].first_uncleanable.get();
            for offset in 0..reach {
                self.cleaned_at.entry(offset).or_insert(self.now);
            }
            let cleaned = self.log.clean(&id()).unwrap();
            assert!(cleaned.to >= cleaned.from);
            self.cleaned_to = cleaned.to.get();
            self.check();
            if cleaned.to.get() >= reach {
                break;
            }
        }
        let before = self.view(Isolation::ReadUncommitted);
        self.log.clean(&id()).unwrap();
        assert_eq!(self.view(Isolation::ReadUncommitted), before, "nothing new, so nothing to do");
        self.check();
    }

    fn batches(&self, isolation: Isolation) -> (Vec<RecordBatch>, Vec<RecordBatch>) {
        let (mut all, mut data, mut from) = (Vec::new(), Vec::new(), Offset::ZERO);
        loop {
            let fetched = self.log.read(&id(), from, 300, isolation).unwrap();
            if fetched.batches.is_empty() {
                return (all, data);
            }
            from = fetched.next_offset(from);
            all.extend_from_slice(&fetched.batches);
            data.extend(fetched.into_data());
        }
    }

    fn view(&self, isolation: Isolation) -> View {
        let mut view = Vec::new();
        for batch in self.batches(isolation).1 {
            for record in batch.records().map(Result::unwrap) {
                view.push((record.offset.get(), record.key.unwrap()[0], record.value.map(|value| value[0])));
            }
        }
        view
    }

    fn committed(&self, below: u64) -> View {
        let is_committed = |record: &&Written| {
            record.offset < below
                && record.transaction.is_none_or(|at| self.transactions[at] == Status::Committed)
        };
        let record = |record: &Written| (record.offset, record.key, record.value);
        self.written.iter().filter(is_committed).map(record).collect()
    }

    fn check(&self) {
        let end = self.partition().end().get();
        assert_eq!(end, self.end, "the next offset");
        let stable = self.log.last_stable_offset(&id()).unwrap().get();
        let committed = self.committed(stable);
        let view = self.view(Isolation::ReadCommitted);
        assert!(view.is_sorted_by(|a, b| a.0 < b.0), "{view:?}");
        for record in &view {
            assert!(committed.contains(record), "{record:?} was not committed like that");
        }
        assert_eq!(table(&view), table(&committed), "the newest values");
        for (_, (offset, _, value)) in newest(&committed) {
            let horizon = self.cleaned_at.get(&offset).map(|at| at + RETENTION);
            if value.is_none() && horizon.is_none_or(|horizon| self.now < horizon) {
                let is_there = view.iter().any(|record| record.0 == offset);
                assert!(is_there, "tombstone {offset} went before its time");
            }
        }

        // What is not committed stays too, while it may be yet, but what was aborted goes once it is in reach.
        let all = self.view(Isolation::ReadUncommitted);
        for record in &self.written {
            let status = record.transaction.map(|at| self.transactions[at]);
            let is_there = all.iter().any(|other| other.0 == record.offset);
            match status {
                Some(Status::Open) => assert!(is_there, "{record:?} may still be committed"),
                Some(Status::Aborted) if record.offset < self.cleaned_to => {
                    assert!(!is_there, "{record:?} was aborted");
                }
                _ => {}
            }
        }

        let mut rebuilt = ProducerStates::default();
        for batch in self.batches(Isolation::ReadUncommitted).0 {
            assert!(batch.check_crc());
            rebuilt.update(&batch);
        }
        assert_eq!(rebuilt.last_batches(), self.partition().last_batches(), "what is known of producers");
        assert_eq!(rebuilt.first_unstable().map(Offset::get), (stable < end).then_some(stable));
    }
}

fn stamp(producer: usize, epoch: i16, sequence: i32) -> ProducerStamp {
    ProducerStamp {
        id: ProducerId::new(producer as i64),
        epoch: ProducerEpoch::new(epoch),
        sequence,
        is_transactional: true,
    }
}

fn newest(records: &View) -> BTreeMap<u8, (u64, u8, Option<u8>)> {
    records.iter().map(|record| (record.1, *record)).collect()
}

fn table(records: &View) -> BTreeMap<u8, u8> {
    newest(records).into_iter().filter_map(|(key, record)| Some((key, record.2?))).collect()
}

proptest! {
    #[test]
    fn compaction_keeps_its_laws(
        steps in prop::collection::vec(any_step(), 1..70),
        map_slots in prop_oneof![Just(3_usize), Just(5), Just(1000)],
    ) {
        let mut model = Model::new(map_slots * 24);
        for step in &steps {
            model.run(step);
        }
        (0..3).for_each(|producer| model.finish(producer, true, false));
        for _ in 0..3 {
            model.run(&Step::Clean);
            model.run(&Step::Advance(RETENTION));
        }
        model.run(&Step::Reopen { is_clean: false });
        model.run(&Step::Clean);
    }
}
