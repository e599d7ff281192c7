//! Consumers in groups: who reads what, what is committed, and what outlives a restart.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use millstream_log::group::{Assignor, GroupState, ResetMode, ResetScope};
use millstream_log::{
    AutoOffsetReset, Consumer, ConsumerConfig, OffsetCommit, ProducerConfig, RebalanceListener, Record,
    Result, client,
};

use super::*;

fn config(assignor: Assignor) -> ConsumerConfig {
    ConsumerConfig {
        assignors: vec![assignor],
        enable_auto_commit: false,
        ..ConsumerConfig::default().group_id("g").auto_offset_reset(AutoOffsetReset::Earliest)
    }
}

fn member(log: &Log, assignor: Assignor, topics: &[&str]) -> Consumer {
    let mut consumer = log.consumer(config(assignor)).unwrap();
    consumer.subscribe(topics).unwrap();
    consumer
}

fn poll(consumer: &mut Consumer) -> usize {
    let found = consumer.poll(Duration::ZERO).unwrap();
    found.iter().flat_map(|records| records.records()).count()
}

/// Polls all in turn until nobody's partitions change any more.
fn settle(consumers: &mut [&mut Consumer]) {
    for _ in 0..6 {
        consumers.iter_mut().for_each(|consumer| drop(consumer.poll(Duration::ZERO).unwrap()));
    }
}

fn numbers(consumer: &Consumer) -> Vec<u32> {
    consumer.assignment().iter().map(|id| id.partition.get()).collect()
}

fn open_with_clock(storage: &Arc<MemoryStorage>) -> (Log, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(NOW));
    let config =
        LogConfig { offsets_topic_partitions: 1, transaction_topic_partitions: 1, ..LogConfig::default() };
    let log = Log::builder().dir("log").storage(storage.clone()).clock(clock.clone()).config(config);
    (log.seed(1).open().unwrap(), clock)
}

/// Writes down what it is told.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn note(&self, what: &str, partitions: &[TopicPartition]) {
        let names: Vec<_> = partitions.iter().map(TopicPartition::to_string).collect();
        self.0.lock().unwrap().push(format!("{what} {}", names.join(" ")));
    }
}

impl RebalanceListener for Diary {
    fn on_revoked(
        &mut self,
        consumer: &mut dyn client::Consumer,
        partitions: &[TopicPartition],
    ) -> Result<()> {
        self.note("revoked", partitions);
        consumer.commit()
    }

    fn on_assigned(&mut self, _: &mut dyn client::Consumer, partitions: &[TopicPartition]) -> Result<()> {
        self.note("assigned", partitions);
        Ok(())
    }

    fn on_lost(&mut self, _: &mut dyn client::Consumer, partitions: &[TopicPartition]) -> Result<()> {
        self.note("lost", partitions);
        Ok(())
    }
}

#[test]
fn members_share_the_partitions_and_take_over_from_each_other() {
    for assignor in Assignor::ALL {
        let log = open(&memory()).unwrap();
        log.create_topic(topic("t").partitions(4)).unwrap();
        let mut a = member(&log, assignor, &["t"]);
        settle(&mut [&mut a]);
        assert_eq!(numbers(&a), [0, 1, 2, 3], "{assignor:?}");
        let mut b = member(&log, assignor, &["t"]);
        settle(&mut [&mut a, &mut b]);
        let mut both = [numbers(&a), numbers(&b)].concat();
        both.sort_unstable();
        assert_eq!((numbers(&a).len(), both), (2, vec![0, 1, 2, 3]), "{assignor:?}");
        a.close().unwrap();
        settle(&mut [&mut b]);
        assert_eq!(numbers(&b), [0, 1, 2, 3], "{assignor:?}");
        // One that is dropped leaves too.
        drop(b);
        let mut c = member(&log, assignor, &["t"]);
        poll(&mut c);
        assert_eq!(numbers(&c), [0, 1, 2, 3], "{assignor:?}");
    }
}

#[test]
fn listeners_hear_of_all_partitions_or_only_of_those_that_move() {
    for (assignor, first, second) in [
        (Assignor::Range, "revoked t-0 t-1", vec!["assigned t-0"]),
        (Assignor::CooperativeSticky, "revoked t-1", vec!["assigned ", "assigned "]),
    ] {
        let log = open(&memory()).unwrap();
        log.create_topic(topic("t").partitions(2)).unwrap();
        append(&log, "t", &["x"]).unwrap();
        let (diary, other) = (Diary::default(), Diary::default());
        let [mut a, mut b] = ["a", "b"].map(|name| {
            let settings = ConsumerConfig { client_id: name.to_owned(), ..config(assignor) };
            log.consumer(settings).unwrap()
        });
        a.subscribe(&["t"]).unwrap();
        a.set_rebalance_listener(Box::new(diary.clone()));
        poll(&mut a);
        assert_eq!(diary.take(), ["assigned t-0 t-1"]);
        b.subscribe(&["t"]).unwrap();
        b.set_rebalance_listener(Box::new(other.clone()));
        b.poll(Duration::ZERO).unwrap();
        assert_eq!(a.poll(Duration::ZERO).unwrap().len(), 0);
        assert_eq!(log.committed_offsets("g").len(), 2, "committed as its partitions went");
        settle(&mut [&mut a, &mut b]);
        let mut told = diary.take();
        assert!(told.contains(&first.to_owned()), "{assignor:?}: {told:?}");
        told.retain(|line| line.starts_with("assigned"));
        assert_eq!(told, second, "{assignor:?}");
        assert!(other.take().contains(&"assigned t-1".to_owned()));
        a.close().unwrap();
        assert_eq!(diary.take(), ["revoked t-0"]);
    }
}

#[test]
fn a_member_keeps_reading_what_stays_while_others_join() {
    let log = open(&memory()).unwrap();
    log.create_topic(topic("t").partitions(2)).unwrap();
    let mut a = member(&log, Assignor::CooperativeSticky, &["t"]);
    let mut b = member(&log, Assignor::CooperativeSticky, &["t"]);
    settle(&mut [&mut a, &mut b]);
    assert_eq!((numbers(&a), numbers(&b)), (vec![0], vec![1]));
    // A third one joins; the second does not poll, so the rebalance goes on and on.
    let mut c = member(&log, Assignor::CooperativeSticky, &["t"]);
    poll(&mut c);
    append(&log, "t", &["x"]).unwrap();
    assert_eq!((poll(&mut a), numbers(&a)), (1, vec![0]));
}

#[test]
fn a_member_of_an_old_generation_cannot_commit() {
    let storage = memory();
    let (log, clock) = open_with_clock(&storage);
    log.create_topic(topic("t").partitions(2)).unwrap();
    append(&log, "t", &["x"]).unwrap();
    let diary = Diary::default();
    let mut slow = member(&log, Assignor::Range, &["t"]);
    slow.set_rebalance_listener(Box::new(diary.clone()));
    assert_eq!(poll(&mut slow), 1);
    let old = slow.group_metadata().unwrap();
    // It does not poll for longer than max.poll.interval.ms; maintenance notices.
    clock.advance(Duration::from_secs(301));
    log.maintain().unwrap();
    let mut other = member(&log, Assignor::Range, &["t"]);
    assert_eq!((poll(&mut other), numbers(&other)), (1, vec![0, 1]));
    let error = slow.commit().unwrap_err();
    assert!(matches!(error, LogError::UnknownMemberId { .. }), "{error}");
    assert_eq!(log.committed_offsets("g"), []);
    other.commit().unwrap();
    assert_eq!(log.committed_offsets("g").len(), 2);
    // With its next poll it knows, and joins again.
    diary.take();
    settle(&mut [&mut slow, &mut other]);
    assert_eq!(diary.take()[0], "lost t-0 t-1");
    assert_eq!((numbers(&slow).len(), numbers(&other).len()), (1, 1));
    assert_ne!(slow.group_metadata().unwrap().member_id, old.member_id);
    // Nor can someone who is no member, nor one of an old generation.
    let error = log.commit_offsets("g", &[(tp("t", 0), Offset::new(9), "")]).unwrap_err();
    assert!(matches!(error, LogError::UnknownMemberId { .. }), "{error}");
}

#[test]
fn a_member_that_comes_back_late_without_anyone_noticing_starts_anew() {
    let (log, clock) = open_with_clock(&memory());
    log.create_topic(topic("t")).unwrap();
    let diary = Diary::default();
    let mut a = member(&log, Assignor::Range, &["t"]);
    a.set_rebalance_listener(Box::new(diary.clone()));
    poll(&mut a);
    clock.advance(Duration::from_secs(301));
    poll(&mut a);
    assert_eq!(diary.take(), ["assigned t-0", "lost t-0", "assigned t-0"]);
}

#[test]
fn a_static_member_comes_back_to_its_partitions_after_a_restart() {
    let storage = memory();
    let config = |instance: &str| ConsumerConfig {
        group_instance_id: Some(instance.to_owned()),
        ..config(Assignor::Range)
    };
    let (log, _) = open_with_clock(&storage);
    log.create_topic(topic("t").partitions(2)).unwrap();
    let mut consumers: Vec<_> = ["one", "two"].map(|id| log.consumer(config(id)).unwrap()).into();
    consumers.iter_mut().for_each(|consumer| consumer.subscribe(&["t"]).unwrap());
    for _ in 0..4 {
        for consumer in &mut consumers {
            poll(consumer);
        }
    }
    let generation = consumers[0].group_metadata().unwrap().generation;
    assert_eq!((numbers(&consumers[0]), numbers(&consumers[1])), (vec![0], vec![1]));
    consumers.into_iter().for_each(|consumer| consumer.close().unwrap());
    log.close().unwrap();

    let (log, clock) = open_with_clock(&storage);
    let mut two = log.consumer(config("two")).unwrap();
    two.subscribe(&["t"]).unwrap();
    poll(&mut two);
    assert_eq!((numbers(&two), two.group_metadata().unwrap().generation), (vec![1], generation));
    // A second one of the same name takes its place.
    let mut usurper = log.consumer(config("two")).unwrap();
    usurper.subscribe(&["t"]).unwrap();
    poll(&mut usurper);
    assert_eq!(numbers(&usurper), [1]);
    let error = two.poll(Duration::ZERO).unwrap_err();
    assert!(matches!(error, LogError::FencedInstanceId { .. }), "{error}");
    // The other one does not come back in time.
    clock.advance(Duration::from_secs(200));
    poll(&mut usurper);
    clock.advance(Duration::from_secs(101));
    poll(&mut usurper);
    assert_eq!(numbers(&usurper), [0, 1]);
}

#[test]
fn a_newcomer_waits_no_longer_than_the_session_of_a_static_member() {
    let storage = memory();
    let (log, clock) = open_with_clock(&storage);
    log.create_topic(topic("t")).unwrap();
    append(&log, "t", &["a"]).unwrap();
    let gone = ConsumerConfig { group_instance_id: Some("one".to_owned()), ..config(Assignor::Range) };
    let session = gone.max_poll_interval;
    let mut gone = log.consumer(gone).unwrap();
    gone.subscribe(&["t"]).unwrap();
    assert_eq!(poll(&mut gone), 1);
    drop(gone);
    let mut newcomer = member(&log, Assignor::Range, &["t"]);
    assert_eq!(poll(&mut newcomer), 0);
    // Nobody but itself looks at the clock.
    clock.advance(session + Duration::from_secs(1));
    assert_eq!(poll(&mut newcomer), 1);
}

#[test]
fn members_that_died_with_their_process_hold_nobody_up() {
    let storage = memory();
    let (log, _) = open_with_clock(&storage);
    log.create_topic(topic("t").partitions(2)).unwrap();
    let mut a = member(&log, Assignor::Range, &["t"]);
    poll(&mut a);
    a.commit_offsets(&[(tp("t", 1), Offset::new(0))]).unwrap();
    let left = Arc::new(storage.fork());
    let (log, _) = open_with_clock(&left);
    let mut b = member(&log, Assignor::Range, &["t"]);
    poll(&mut b);
    assert_eq!(numbers(&b), [0, 1]);
    assert!(b.group_metadata().unwrap().generation > a.group_metadata().unwrap().generation);
    assert_eq!(b.committed(&tp("t", 1)), Some(Offset::ZERO));
}

#[test]
fn new_topics_and_partitions_of_a_pattern_are_found() {
    let log = open(&memory()).unwrap();
    log.create_topic(topic("in-a").partitions(2)).unwrap();
    log.create_topic(topic("other")).unwrap();
    for group in [None, Some("g")] {
        let mut settings = config(Assignor::Range);
        settings.group_id = group.map(str::to_owned);
        let mut consumer = log.consumer(settings).unwrap();
        consumer.subscribe_pattern("in-.*").unwrap();
        poll(&mut consumer);
        assert_eq!((consumer.subscription(), consumer.assignment().len()), (vec!["in-a".to_owned()], 2));
        log.create_topic(topic("in-b")).unwrap();
        poll(&mut consumer);
        assert_eq!(consumer.assignment(), [tp("in-a", 0), tp("in-a", 1), tp("in-b", 0)]);
        log.delete_topic("in-b").unwrap();
        poll(&mut consumer);
        assert_eq!(consumer.assignment(), [tp("in-a", 0), tp("in-a", 1)]);
    }
    let mut consumer = log.consumer(config(Assignor::Range)).unwrap();
    let error = consumer.subscribe_pattern("in-(").unwrap_err();
    assert!(matches!(error, LogError::InvalidRegularExpression { .. }), "{error}");
    consumer.subscribe_pattern(".*").unwrap();
    poll(&mut consumer);
    assert!(consumer.subscription().iter().all(|name| !name.starts_with("__")));
}

#[test]
fn subscribing_creates_topics_if_allowed() {
    let log = open(&memory()).unwrap();
    let mut consumer = member(&log, Assignor::Range, &["made"]);
    poll(&mut consumer);
    assert_eq!(consumer.assignment(), [tp("made", 0)]);
    let settings = ConsumerConfig { allow_auto_create_topics: false, ..config(Assignor::Range) };
    let error = log.consumer(settings).unwrap().subscribe(&["not"]).unwrap_err();
    assert!(matches!(error, LogError::UnknownTopic { .. }), "{error}");
}

#[test]
fn a_blocked_member_takes_part_in_a_rebalance() {
    let log = open(&memory()).unwrap();
    log.create_topic(topic("t").partitions(2)).unwrap();
    let mut a = member(&log, Assignor::Range, &["t"]);
    poll(&mut a);
    let (waker, mut b) = (a.waker(), member(&log, Assignor::Range, &["t"]));
    let blocked = thread::spawn(move || {
        a.poll(Duration::from_secs(600)).unwrap();
        a
    });
    while b.assignment().is_empty() {
        b.poll(Duration::from_millis(20)).unwrap();
    }
    assert_eq!(numbers(&b).len(), 1);
    waker.wake();
    assert_eq!(numbers(&blocked.join().unwrap()).len(), 1);
}

/// Values that were read and not committed, by partition; those of partitions given up are forgotten.
#[derive(Clone, Default)]
struct Uncommitted(Arc<Mutex<BTreeMap<TopicPartition, Vec<u32>>>>);

impl RebalanceListener for Uncommitted {
    fn on_revoked(&mut self, _: &mut dyn client::Consumer, partitions: &[TopicPartition]) -> Result<()> {
        self.0.lock().unwrap().retain(|partition, _| !partitions.contains(partition));
        Ok(())
    }
}

#[test]
fn consumers_that_come_and_go_read_every_record_once() {
    const RECORDS: u32 = 4000;
    for assignor in [Assignor::Range, Assignor::CooperativeSticky] {
        let log = Log::builder().dir("log").storage(memory()).open().unwrap();
        log.create_topic(topic("t").partitions(6)).unwrap();
        let mut producer =
            log.producer(ProducerConfig::default().acks(Acks::Written).batch_size(300)).unwrap();
        for number in 0..RECORDS {
            let value = number.to_string().into();
            producer.send("t", Record { value: Some(value), ..Record::default() }).unwrap();
        }
        producer.flush().unwrap();
        let done = AtomicUsize::new(0);
        let read = |polls: usize| {
            let settings = ConsumerConfig { max_partition_fetch_bytes: 600, ..config(assignor) };
            let mut consumer = log.consumer(settings).unwrap();
            consumer.subscribe(&["t"]).unwrap();
            let uncommitted = Uncommitted::default();
            consumer.set_rebalance_listener(Box::new(uncommitted.clone()));
            let mut seen = Vec::new();
            let mut count = 0;
            while count < polls && done.load(Ordering::SeqCst) < RECORDS as usize {
                let found = consumer.poll(Duration::from_millis(20)).unwrap();
                for records in &found {
                    let values = records.records().map(|record| {
                        std::str::from_utf8(record.unwrap().value.unwrap()).unwrap().parse::<u32>().unwrap()
                    });
                    let mut uncommitted = uncommitted.0.lock().unwrap();
                    uncommitted.entry(records.partition.clone()).or_default().extend(values);
                }
                match consumer.commit() {
                    // Only what is committed counts. The rest comes again, to whoever has the partition then, unless
                    // that is still this consumer: it goes on where it was.
                    Err(error) => assert_eq!(error.recovery(), millstream_log::Recovery::Rejoin, "{error}"),
                    Ok(()) => {
                        let values: Vec<_> = std::mem::take(&mut *uncommitted.0.lock().unwrap())
                            .into_values()
                            .flatten()
                            .collect();
                        count += usize::from(!values.is_empty());
                        done.fetch_add(values.len(), Ordering::SeqCst);
                        seen.extend(values);
                    }
                }
            }
            consumer.close().unwrap();
            seen
        };
        let mut seen: Vec<u32> = thread::scope(|scope| {
            let short: Vec<_> = (1..8).map(|round| scope.spawn(move || read(round * 3))).collect();
            let long: Vec<_> = (0..3).map(|_| scope.spawn(|| read(usize::MAX))).collect();
            short.into_iter().chain(long).flat_map(|reader| reader.join().unwrap()).collect()
        });
        seen.sort_unstable();
        assert_eq!(seen.len(), RECORDS as usize, "{assignor:?}");
        assert_eq!(seen, (0..RECORDS).collect::<Vec<_>>(), "{assignor:?}");
    }
}

#[test]
fn a_commit_that_does_not_wait_counts_with_the_next_poll() {
    let log = open(&memory()).unwrap();
    log.create_topic(topic("t")).unwrap();
    append(&log, "t", &["x", "y"]).unwrap();
    let mut consumer = member(&log, Assignor::Range, &["t"]);
    assert_eq!(poll(&mut consumer), 2);
    let told = Arc::new(AtomicUsize::new(0));
    let count = told.clone();
    let tell = Box::new(move |outcome: Result<()>| {
        outcome.unwrap();
        count.fetch_add(1, Ordering::SeqCst);
    });
    consumer.commit_async(Some(tell)).unwrap();
    assert_eq!((log.committed_offsets("g").len(), told.load(Ordering::SeqCst)), (0, 0));
    poll(&mut consumer);
    assert_eq!((log.committed_offsets("g").len(), told.load(Ordering::SeqCst)), (1, 1));
    consumer.commit_offsets_async(vec![OffsetCommit::new(tp("t", 0), Offset::new(1))], None).unwrap();
    drop(consumer);
    assert_eq!(log.committed_offsets("g")[0].1.offset.get(), 1);
}

#[test]
fn texts_and_epochs_come_back_with_the_offset() {
    let storage = memory();
    let log = open(&storage).unwrap();
    log.create_topic(topic("t")).unwrap();
    let mut consumer = member(&log, Assignor::Range, &["t"]);
    poll(&mut consumer);
    let commit = OffsetCommit {
        leader_epoch: Some(3),
        metadata: "here".to_owned(),
        ..OffsetCommit::new(tp("t", 0), Offset::new(0))
    };
    consumer.commit_with_metadata(vec![commit.clone()]).unwrap();
    let long = OffsetCommit { metadata: "x".repeat(4097), ..commit };
    let error = consumer.commit_with_metadata(vec![long]).unwrap_err();
    assert!(matches!(error, LogError::OffsetMetadataTooLarge { bytes: 4097, .. }), "{error}");
    drop(consumer);
    log.close().unwrap();
    let committed = open(&storage).unwrap().committed_offsets("g").remove(0).1;
    assert_eq!((committed.leader_epoch, committed.metadata.as_str()), (Some(3), "here"));
}

#[test]
fn offsets_without_readers_expire() {
    let storage = memory();
    let (log, clock) = open_with_clock(&storage);
    log.create_topic(topic("t")).unwrap();
    log.create_topic(topic("u")).unwrap();
    let day = Duration::from_secs(24 * 60 * 60);
    log.commit_offsets("simple", &[(tp("t", 0), Offset::ZERO, "")]).unwrap();
    let mut both = member(&log, Assignor::Range, &["t", "u"]);
    poll(&mut both);
    both.commit_offsets(&[(tp("t", 0), Offset::ZERO), (tp("u", 0), Offset::ZERO)]).unwrap();
    both.subscribe(&["t"]).unwrap();
    poll(&mut both);
    let keep_up = |consumer: &mut Consumer, time: Duration| {
        for _ in 0..time.as_secs() / 250 {
            clock.advance(Duration::from_secs(250));
            poll(consumer);
        }
        log.maintain().unwrap();
    };
    keep_up(&mut both, 6 * day);
    assert_eq!((log.committed_offsets("simple").len(), log.committed_offsets("g").len()), (1, 2));
    keep_up(&mut both, 2 * day);
    // A topic that nobody reads any more, and a group that never had members.
    assert_eq!(log.committed_offsets("simple"), []);
    let left: Vec<_> = log.committed_offsets("g").into_iter().map(|(id, _)| id).collect();
    assert_eq!(left, [tp("t", 0)]);
    // Once it has no members, its time runs.
    both.close().unwrap();
    clock.advance(6 * day);
    log.maintain().unwrap();
    assert_eq!(log.groups(), ["g"]);
    clock.advance(2 * day);
    log.maintain().unwrap();
    assert_eq!(log.groups(), [""; 0]);
    log.close().unwrap();
    assert_eq!(open(&storage).unwrap().groups(), [""; 0]);
}

#[test]
fn a_poll_is_bounded_by_records_and_waits_for_bytes() {
    let log = open(&memory()).unwrap();
    log.create_topic(topic("t")).unwrap();
    for value in ["a", "b", "c", "d"] {
        append(&log, "t", &[value, value]).unwrap();
    }
    let settings = ConsumerConfig { max_poll_records: 5, ..config(Assignor::Range) };
    let mut consumer = log.consumer(settings).unwrap();
    consumer.subscribe(&["t"]).unwrap();
    assert_eq!((poll(&mut consumer), poll(&mut consumer), poll(&mut consumer)), (4, 4, 0));

    let settings = ConsumerConfig {
        fetch_min_bytes: 10_000,
        fetch_max_wait: Duration::from_millis(30),
        group_id: None,
        ..config(Assignor::Range)
    };
    let mut consumer = log.consumer(settings).unwrap();
    consumer.subscribe(&["t"]).unwrap();
    let found = consumer.poll(SOON).unwrap();
    assert_eq!((found.len(), found[0].records().count()), (1, 8));
}

#[test]
fn offsets_are_found_by_time_and_lag_is_known() {
    let (log, clock) = open_with_clock(&memory());
    log.create_topic(topic("t")).unwrap();
    let at = |time: i64| {
        let mut builder = BatchBuilder::new();
        builder.append(Timestamp::new(time), None, Some(b"v"), &[]);
        log.append(&tp("t", 0), builder.finish(), Acks::Written).unwrap();
    };
    let start = NOW.get();
    [start - 7_200_000, start - 1000, start].into_iter().for_each(at);
    let settings = ConsumerConfig::from_properties([("auto.offset.reset", "by_duration:PT1H")]).unwrap();
    let mut consumer = log.consumer(settings).unwrap();
    consumer.assign(vec![tp("t", 0)]).unwrap();
    assert_eq!(consumer.position(&tp("t", 0)), Some(Offset::new(1)));
    assert_eq!(consumer.current_lag(&tp("t", 0)), Some(2));
    let times = |time| BTreeMap::from([(tp("t", 0), Timestamp::new(time))]);
    let found = consumer.offsets_for_times(&times(start - 1500)).unwrap()[&tp("t", 0)].unwrap();
    assert_eq!((found.offset.get(), found.timestamp.get()), (1, start - 1000));
    assert_eq!(consumer.offsets_for_times(&times(start + 1)).unwrap()[&tp("t", 0)], None);
    assert_eq!(consumer.beginning_offsets(&[tp("t", 0)]).unwrap()[&tp("t", 0)].get(), 0);
    assert_eq!(consumer.end_offsets(&[tp("t", 0)]).unwrap()[&tp("t", 0)].get(), 3);
    clock.advance(Duration::from_secs(1));
    assert_eq!(poll(&mut consumer), 2);
    assert_eq!(consumer.current_lag(&tp("t", 0)), Some(0));
}

#[test]
fn a_reader_of_committed_offsets_waits_for_the_transaction_that_moves_them() {
    let log = open(&memory()).unwrap();
    log.create_topic(topic("t")).unwrap();
    append(&log, "t", &["a", "b", "c"]).unwrap();
    let mut producer = log.producer(ProducerConfig::default().transactional_id("x")).unwrap();
    producer.begin_transaction().unwrap();
    producer.send_offsets("g", &[(tp("t", 0), Offset::new(2))]).unwrap();
    let settings = config(Assignor::Range).isolation(Isolation::ReadCommitted);
    let mut consumer = log.consumer(settings).unwrap();
    consumer.subscribe(&["t"]).unwrap();
    assert_eq!((poll(&mut consumer), numbers(&consumer)), (0, vec![0]));
    let ask = |require_stable| log.fetch_offsets("g", Some(&[tp("t", 0)]), require_stable).remove(0).1;
    assert!(matches!(ask(true), Err(LogError::UnstableOffsetCommit { .. })));
    assert_eq!(ask(false).unwrap(), None);
    assert!(log.fetch_offsets("g", None, true).is_empty());
    producer.commit_transaction().unwrap();
    assert_eq!(ask(true).unwrap().unwrap().offset.get(), 2);
    assert_eq!(poll(&mut consumer), 1);
}

#[test]
fn groups_are_listed_and_described() {
    let log = open(&memory()).unwrap();
    log.create_topic(topic("t").partitions(2)).unwrap();
    append(&log, "t", &["a", "b", "c"]).unwrap();
    log.commit_offsets("simple", &[(tp("t", 0), Offset::new(1), "")]).unwrap();
    let mut consumer = member(&log, Assignor::Range, &["t"]);
    poll(&mut consumer);
    let listed: Vec<_> = log
        .list_groups()
        .into_iter()
        .map(|group| (group.group_id, group.state, group.protocol_type))
        .collect();
    let expected = [
        ("g".to_owned(), GroupState::Stable, "consumer".to_owned()),
        ("simple".to_owned(), GroupState::Empty, String::new()),
    ];
    assert_eq!(listed, expected);
    let described = log.describe_group("g").unwrap();
    let described_member = &described.members[0];
    assert_eq!((described.protocol.as_str(), described.generation), ("range", 1));
    assert_eq!(described.leader.as_ref(), Some(&described_member.member_id));
    assert_eq!(
        (described_member.client_id.as_str(), described_member.client_host.as_str()),
        ("consumer", "/in-process")
    );
    assert_eq!(described_member.assignment, [tp("t", 0), tp("t", 1)]);
    let lag = |group: &str| -> Vec<_> {
        let rows = log.group_lag(group, Isolation::ReadUncommitted).unwrap();
        rows.into_iter().map(|row| (row.partition.partition.get(), row.lag, row.member.is_some())).collect()
    };
    assert_eq!(lag("g"), [(0, None, true), (1, None, true)]);
    assert_eq!(lag("simple"), [(0, Some(2), false)]);
    let error = log.describe_group("sinple").unwrap_err();
    assert_eq!(error.to_string(), "unknown group \"sinple\": did you mean \"simple\"?");
}

#[test]
fn groups_and_offsets_are_deleted_only_without_readers() {
    let storage = memory();
    let log = open(&storage).unwrap();
    log.create_topic(topic("t")).unwrap();
    log.create_topic(topic("u")).unwrap();
    let mut consumer = member(&log, Assignor::Range, &["t"]);
    poll(&mut consumer);
    consumer.commit_offsets(&[(tp("t", 0), Offset::ZERO), (tp("u", 0), Offset::ZERO)]).unwrap();
    let outcomes = log.delete_offsets("g", &[tp("t", 0), tp("u", 0)]).unwrap();
    let outcomes: BTreeMap<_, _> = outcomes.into_iter().collect();
    assert!(outcomes[&tp("u", 0)].is_ok());
    assert!(matches!(outcomes[&tp("t", 0)], Err(LogError::GroupSubscribedToTopic { .. })));
    assert_eq!(log.committed_offsets("g").len(), 1);
    let outcomes = log.delete_groups(&["g", "none"]);
    assert!(matches!(outcomes[0].1, Err(LogError::NonEmptyGroup { members: 1, .. })), "{outcomes:?}");
    assert!(matches!(outcomes[1].1, Err(LogError::GroupIdNotFound { .. })), "{outcomes:?}");
    // An administrator removes the members.
    let removed = log.remove_members("g", &[]).unwrap();
    assert!(removed.len() == 1 && removed[0].1.is_ok());
    assert!(log.delete_groups(&["g"])[0].1.is_ok());
    assert_eq!(log.list_groups(), []);
    drop(consumer);
    log.close().unwrap();
    assert_eq!(open(&storage).unwrap().list_groups(), []);
}

#[test]
fn a_reset_is_planned_then_carried_out() {
    let log = open(&memory()).unwrap();
    log.create_topic(topic("t").partitions(2)).unwrap();
    append(&log, "t", &["a", "b", "c"]).unwrap();
    let mut consumer = member(&log, Assignor::Range, &["t"]);
    assert_eq!(poll(&mut consumer), 3);
    consumer.commit().unwrap();
    let error = log.plan_reset("g", &ResetScope::AllTopics, &ResetMode::ToEarliest).unwrap_err();
    assert!(matches!(error, LogError::NonEmptyGroup { .. }), "{error}");
    consumer.close().unwrap();
    let plan = log.plan_reset("g", &ResetScope::AllTopics, &ResetMode::ShiftBy(-2)).unwrap();
    let row = |row: &millstream_log::group::ResetRow| {
        (row.partition.partition.get(), row.outcome.unwrap().get(), row.warning.is_some())
    };
    assert_eq!(plan.rows.iter().map(row).collect::<Vec<_>>(), [(0, 1, false), (1, 0, true)]);
    assert_eq!(log.committed_offsets("g")[0].1.offset.get(), 3, "nothing is done yet");
    log.reset_offsets("g", &plan).unwrap();
    let mut consumer = member(&log, Assignor::Range, &["t"]);
    assert_eq!(poll(&mut consumer), 2);
    consumer.close().unwrap();

    let scope = ResetScope::Topics(vec![("t".to_owned(), Some(vec![0.into()]))]);
    let plan = log.plan_reset("new", &scope, &ResetMode::ToDatetime(NOW)).unwrap();
    assert_eq!(plan.rows.iter().map(row).collect::<Vec<_>>(), [(0, 0, false)]);
    let later = ResetMode::ToDatetime(Timestamp::new(NOW.get() + 1));
    assert_eq!(row(&log.plan_reset("new", &scope, &later).unwrap().rows[0]), (0, 3, false));
    let plan = log.plan_reset("new", &scope, &ResetMode::ShiftBy(1)).unwrap();
    let error = log.reset_offsets("new", &plan).unwrap_err();
    assert!(matches!(error, LogError::InvalidRequest { .. }), "{error}");
    let file = ResetMode::FromFile(vec![(tp("t", 1), Offset::ZERO)]);
    let plan = log.plan_reset("new", &ResetScope::FromFile, &file).unwrap();
    log.reset_offsets("new", &plan).unwrap();
    assert_eq!(log.committed_offsets("new")[0].0, tp("t", 1));
    let unknown = ResetScope::Topics(vec![("gone".to_owned(), None)]);
    assert!(log.plan_reset("g", &unknown, &ResetMode::ToLatest).is_err());
}

#[test]
fn a_topic_made_again_starts_anew_whenever_the_deletion_was_cut_short() {
    let storage = memory();
    let log = open(&storage).unwrap();
    log.create_topic(topic("t")).unwrap();
    append(&log, "t", &["a", "b"]).unwrap();
    log.commit_offsets("g", &[(tp("t", 0), Offset::new(2), "")]).unwrap();
    let offsets = "log/__consumer_offsets-0/00000000000000000000.log";
    let before = file(&storage, offsets).size().unwrap();
    log.delete_topic("t").unwrap();
    // A crash before the last record of the deletion reached the disk.
    let left = Arc::new(storage.fork());
    assert!(file(&left, offsets).size().unwrap() > before);
    file(&left, offsets).truncate(before).unwrap();
    let log = open(&left).unwrap();
    log.create_topic(topic("t")).unwrap();
    assert_eq!(log.committed_offsets("g"), []);
}
