//! Several instances of an application share its tasks: handover, standbys, threads that come and go, pauses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream_log::{
    ConsumerConfig, Isolation, Log, NewTopic, Offset, OffsetSpec, Producer, ProducerConfig, Record,
    SystemClock, Timestamp, TopicPartition,
};

use crate::config::StreamsConfig;
use crate::dsl::{Consumed, Materialized, StreamsBuilder};
use crate::processor::TaskId;
use crate::runtime::app::{CloseOptions, Streams};
use crate::runtime::shared::{State, ThreadState};
use crate::serde::{Int64, Utf8};
use crate::store::{MemoryBackend, RestoredStore, StandbyUpdateListener, StateBackend, SuspendReason};
use crate::topology::{TopicPattern, Topology};

const PARTITIONS: u32 = 6;
const SOON: Duration = Duration::from_secs(30);

fn counting() -> Topology {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, i64>("in", Consumed::with(Utf8, Int64))
        .group_by_key()
        .count(Materialized::named("counts"))
        .to_stream()
        .to("out");
    builder.build().unwrap()
}

fn log() -> Log {
    let log = Log::in_memory(Arc::new(SystemClock::new()));
    for topic in ["in", "out"] {
        log.create_topic(NewTopic::new(topic).partitions(PARTITIONS)).unwrap();
    }
    log
}

fn config(threads: usize) -> StreamsConfig {
    let mut config = StreamsConfig::new("app").exactly_once();
    config.stream_threads = threads;
    config.commit_interval = Duration::from_millis(5);
    config.cache_max_bytes = 0;
    config
}

fn instance(log: &Log, config: StreamsConfig) -> Streams {
    let backend: Arc<dyn StateBackend> = Arc::new(MemoryBackend::default());
    let mut app = Streams::builder(counting(), config, log.clone()).backend(backend).open().unwrap();
    app.start().unwrap();
    app
}

fn write(log: &Log, keys: impl IntoIterator<Item = u32>) {
    write_to(log, "in", keys);
}

fn write_to(log: &Log, topic: &str, keys: impl IntoIterator<Item = u32>) {
    let mut producer: Producer = log.producer(ProducerConfig::default()).unwrap();
    for key in keys {
        let record = Record {
            key: Some(format!("key-{key}").into()),
            value: Some(1i64.to_be_bytes().to_vec().into()),
            timestamp: Some(Timestamp::new(i64::from(key))),
            headers: Vec::new(),
            partition: None,
        };
        producer.send(topic, record).unwrap();
    }
    producer.flush().unwrap();
}

/// Waits for something, looking again and again.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let clock = SystemClock::new();
    let clock: &dyn millstream_log::Clock = &clock;
    let deadline = clock.monotonic() + SOON;
    while !holds() {
        assert!(clock.monotonic() < deadline, "{what}");
        std::thread::yield_now();
    }
}

fn active(app: &Streams) -> BTreeSet<TaskId> {
    app.threads().into_iter().flat_map(|thread| thread.active).collect()
}

fn standby(app: &Streams) -> BTreeSet<TaskId> {
    app.threads().into_iter().flat_map(|thread| thread.standby).collect()
}

/// Every count that was committed, in order: each key must go up by one.
fn check_output(log: &Log, written: &BTreeMap<String, i64>) {
    let mut consumer = log.consumer(ConsumerConfig::default().isolation(Isolation::ReadCommitted)).unwrap();
    let partitions: Vec<_> = (0..PARTITIONS).map(|partition| TopicPartition::new("out", partition)).collect();
    consumer.assign(partitions.clone()).unwrap();
    partitions.iter().for_each(|partition| consumer.seek_to(partition, OffsetSpec::Earliest).unwrap());
    let mut last: BTreeMap<String, i64> = BTreeMap::new();
    loop {
        let runs = consumer.poll(Duration::ZERO).unwrap();
        if runs.is_empty() {
            break;
        }
        for record in runs.iter().flat_map(|run| run.records()) {
            let record = record.unwrap();
            let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
            let count = i64::from_be_bytes(record.value.unwrap().try_into().unwrap());
            let before = last.insert(key.clone(), count).unwrap_or(0);
            assert_eq!(count, before + 1, "the count of {key}");
        }
    }
    assert_eq!(&last, written);
}

/// Writes rows of 20 keys and notes how many.
fn more(log: &Log, rows: u32, written: &mut BTreeMap<String, i64>) {
    write(log, (0..rows).map(|row| row % 20));
    (0..rows).for_each(|row| *written.entry(format!("key-{}", row % 20)).or_default() += 1);
}

#[test]
fn instances_that_come_and_go_share_the_tasks_and_count_exactly_once() {
    let (log, mut written) = (log(), BTreeMap::new());
    let first = instance(&log, config(1));
    more(&log, 200, &mut written);
    let second = instance(&log, config(1));
    more(&log, 200, &mut written);
    until("both have three tasks", || {
        more(&log, 20, &mut written);
        active(&first).len() == 3 && active(&second).len() == 3
    });
    assert!(active(&first).is_disjoint(&active(&second)));
    assert!(first.wait_caught_up(SOON).unwrap() && second.wait_caught_up(SOON).unwrap());
    // Each answers for what it runs.
    let rows = |app: &Streams| app.store("counts").unwrap().scan(Default::default()).count();
    assert_eq!(rows(&first) + rows(&second), 20);
    // One ends with a commit, a third one without.
    let third = instance(&log, config(1));
    until("all have two tasks", || {
        more(&log, 20, &mut written);
        [&first, &second, &third].iter().all(|app| active(app).len() == 2)
    });
    first.close().unwrap();
    more(&log, 200, &mut written);
    drop(third);
    until("the last one has all", || active(&second).len() == PARTITIONS as usize);
    more(&log, 200, &mut written);
    assert!(second.wait_caught_up(SOON).unwrap());
    assert_eq!(rows(&second), 20);
    second.close().unwrap();
    check_output(&log, &written);
}

#[test]
fn threads_can_be_added_and_removed() {
    let (log, mut written) = (log(), BTreeMap::new());
    let mut app = instance(&log, config(1));
    more(&log, 100, &mut written);
    assert_eq!(app.add_stream_thread().unwrap(), "app-StreamThread-2");
    assert_eq!(app.add_stream_thread().unwrap(), "app-StreamThread-3");
    until("three threads share the tasks", || {
        more(&log, 20, &mut written);
        app.threads().iter().all(|thread| thread.active.len() == 2)
    });
    assert_eq!(app.threads().len(), 3);
    assert_eq!(app.remove_stream_thread().as_deref(), Some("app-StreamThread-3"));
    until("two threads share the tasks", || {
        more(&log, 20, &mut written);
        app.threads().len() == 2 && app.threads().iter().all(|thread| thread.active.len() == 3)
    });
    assert!(app.wait_caught_up(SOON).unwrap());
    assert!(app.threads().iter().all(|thread| thread.state == ThreadState::Running));
    app.close().unwrap();
    check_output(&log, &written);
}

/// Counts what it is told of standbys.
#[derive(Default)]
struct StandbyNotes(Mutex<StandbyCounts>);

#[derive(Default)]
struct StandbyCounts {
    started: BTreeSet<TaskId>,
    loaded: u64,
    promoted: BTreeSet<TaskId>,
}

impl StandbyUpdateListener for StandbyNotes {
    fn on_update_start(&self, store: RestoredStore<'_>, task: TaskId, _: Offset) {
        assert_eq!((store.store, store.changelog.partition), ("counts", task.partition));
        self.0.lock().unwrap().started.insert(task);
    }

    fn on_batch_loaded(&self, _: RestoredStore<'_>, task: TaskId, next: Offset, records: u64, end: Offset) {
        assert!(next <= end, "{task} has come to {next} of {end}");
        self.0.lock().unwrap().loaded += records;
    }

    fn on_update_suspended(
        &self,
        _: RestoredStore<'_>,
        task: TaskId,
        _: Offset,
        _: Offset,
        reason: SuspendReason,
    ) {
        if reason == SuspendReason::Promoted {
            self.0.lock().unwrap().promoted.insert(task);
        }
    }
}

#[test]
fn standbys_follow_and_take_over() {
    let (log, mut written) = (log(), BTreeMap::new());
    let mut config = config(1);
    config.standby_replicas = 1;
    let notes: [Arc<StandbyNotes>; 2] = Default::default();
    let servers = [("here:1", &notes[0]), ("here:2", &notes[1])].map(|(server, notes)| {
        let mut config = config.clone();
        server.clone_into(&mut config.application_server);
        let opener = Streams::builder(counting(), config, log.clone());
        let backend: Arc<dyn StateBackend> = Arc::new(MemoryBackend::default());
        let mut app = opener.backend(backend).standby_update_listener(notes.clone()).open().unwrap();
        app.start().unwrap();
        app
    });
    let [first, second] = servers;
    until("the tasks are shared", || active(&first).len() == 3 && active(&second).len() == 3);
    until("each stands by for the other", || {
        standby(&first) == active(&second) && standby(&second) == active(&first)
    });
    more(&log, 400, &mut written);
    assert!(first.wait_caught_up(SOON).unwrap());
    let changes = written.len() as u64;
    until("the standbys have the state", || {
        first.metrics().standby_records + second.metrics().standby_records >= changes
    });
    let hosts: BTreeMap<String, usize> =
        first.clients().into_iter().map(|client| (client.host, client.active.len())).collect();
    assert_eq!(hosts, BTreeMap::from([("here:1".to_owned(), 3), ("here:2".to_owned(), 3)]));
    for key in written.keys() {
        let [here, there] = [&first, &second].map(|app| app.key_metadata("counts", key).unwrap());
        assert_eq!(
            (here.partition, here.is_here),
            (there.partition, !there.is_here),
            "{key} is in one place"
        );
        let (host, other) = if here.is_here { ("here:1", "here:2") } else { ("here:2", "here:1") };
        assert_eq!(here.host.as_deref(), Some(host), "{key}");
        assert_eq!(here.standby_hosts, [other], "{key}");
        assert_eq!((here.host, here.standby_hosts), (there.host, there.standby_hosts), "{key}");
    }
    first.close().unwrap();
    until("the other has all", || active(&second).len() == PARTITIONS as usize);
    let told = notes[1].0.lock().unwrap();
    assert!(told.started.is_superset(&told.promoted) && told.promoted.len() >= 3, "{:?}", told.promoted);
    assert_eq!(told.loaded, second.metrics().standby_records);
    drop(told);
    more(&log, 100, &mut written);
    assert!(second.wait_caught_up(SOON).unwrap());
    second.close().unwrap();
    check_output(&log, &written);
}

#[test]
fn a_task_moves_when_its_state_has_come() {
    let (log, mut written) = (log(), BTreeMap::new());
    let mut config = config(1);
    config.acceptable_recovery_lag = 0;
    let first = instance(&log, config.clone());
    more(&log, 400, &mut written);
    assert!(first.wait_caught_up(SOON).unwrap());
    let second = instance(&log, config);
    until("half of the tasks have moved", || active(&first).len() == 3 && active(&second).len() == 3);
    assert_eq!(second.metrics().restored, 0, "everything came while others ran the tasks");
    assert!(second.metrics().standby_records > 0);
    more(&log, 100, &mut written);
    assert!(second.wait_caught_up(SOON).unwrap());
    drop((first, second));
    check_output(&log, &written);
}

#[test]
fn a_paused_application_keeps_its_tasks_and_processes_nothing() {
    let (log, mut written) = (log(), BTreeMap::new());
    let app = instance(&log, config(2));
    more(&log, 100, &mut written);
    assert!(app.wait_caught_up(SOON).unwrap());
    app.pause();
    // A row that is being processed now may come out still; after the pause has been seen, none does.
    std::thread::yield_now();
    until("the pause is seen", || {
        let before = app.metrics().records_in;
        more(&log, 20, &mut written);
        !app.wait_caught_up(Duration::from_millis(50)).unwrap() && app.metrics().records_in == before
    });
    assert!(app.is_paused());
    assert_eq!(active(&app).len(), PARTITIONS as usize);
    app.resume();
    assert!(app.wait_caught_up(SOON).unwrap());
    app.close().unwrap();
    check_output(&log, &written);
}

/// Blocks the thread that takes a certain row, once it is armed, until it is let go.
#[derive(Default)]
struct Gate {
    is_armed: AtomicBool,
    holds: AtomicBool,
}

impl Gate {
    fn pass(&self) {
        if self.is_armed.swap(false, Ordering::SeqCst) {
            self.holds.store(true, Ordering::SeqCst);
            while self.holds.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
        }
    }
}

/// Opens the gate when the test ends, however it does: a thread that hangs cannot be joined.
struct LetGo(Arc<Gate>);

impl Drop for LetGo {
    fn drop(&mut self) {
        self.0.holds.store(false, Ordering::SeqCst);
    }
}

#[test]
fn a_thread_that_was_taken_for_dead_commits_nothing() {
    let (log, mut written, gate) = (log(), BTreeMap::new(), Arc::new(Gate::default()));
    let gated = || {
        let (builder, gate) = (StreamsBuilder::new(), Arc::clone(&gate));
        builder
            .stream::<String, i64>("in", Consumed::with(Utf8, Int64))
            .peek(move |key, _| {
                if key.is_some_and(|key| key == "key-13") {
                    gate.pass();
                }
            })
            .group_by_key()
            .count(Materialized::named("counts"))
            .to_stream()
            .to("out");
        let mut config = config(1);
        config.max_poll_interval = Duration::from_millis(300);
        let backend: Arc<dyn StateBackend> = Arc::new(MemoryBackend::default());
        let mut app =
            Streams::builder(builder.build().unwrap(), config, log.clone()).backend(backend).open().unwrap();
        app.start().unwrap();
        app
    };
    let first = gated();
    more(&log, 200, &mut written);
    assert!(first.wait_caught_up(SOON).unwrap());
    let _let_go = LetGo(Arc::clone(&gate));
    gate.is_armed.store(true, Ordering::SeqCst);
    more(&log, 200, &mut written);
    until("the first one hangs", || gate.holds.load(Ordering::SeqCst));
    let second = gated();
    until("the second one has all tasks", || active(&second).len() == PARTITIONS as usize);
    more(&log, 200, &mut written);
    assert!(second.wait_caught_up(SOON).unwrap());
    gate.holds.store(false, Ordering::SeqCst);
    until("they share the tasks", || {
        more(&log, 20, &mut written);
        active(&first).len() == 3 && active(&second).len() == 3
    });
    assert!(first.wait_caught_up(SOON).unwrap() && second.wait_caught_up(SOON).unwrap());
    drop((first, second));
    check_output(&log, &written);
}

#[test]
fn states_are_told_in_order() {
    let (log, told) = (log(), Arc::new(Mutex::new(Vec::new())));
    let tells = Arc::clone(&told);
    let backend: Arc<dyn StateBackend> = Arc::new(MemoryBackend::default());
    let app = Streams::builder(counting(), config(2), log.clone()).backend(backend);
    let listener =
        move |new: State, old: State| tells.lock().unwrap().push((old.to_string(), new.to_string()));
    let mut app = app.state_listener(listener).open().unwrap();
    app.start().unwrap();
    until("it runs", || app.state() == State::Running);
    assert!(app.close_with(CloseOptions { timeout: Some(SOON) }).unwrap());
    let told = told.lock().unwrap();
    let chain: Vec<&str> =
        std::iter::once(told[0].0.as_str()).chain(told.iter().map(|(_, new)| new.as_str())).collect();
    assert!(told.windows(2).all(|pair| pair[0].1 == pair[1].0), "{told:?}");
    assert_eq!(chain[..3], ["CREATED", "REBALANCING", "RUNNING"], "{chain:?}");
    assert_eq!(chain[chain.len() - 2..], ["PENDING_SHUTDOWN", "NOT_RUNNING"], "{chain:?}");
}

#[test]
fn one_instance_can_stop_all() {
    let log = log();
    let make = || {
        let builder = StreamsBuilder::new();
        builder.stream::<String, i64>("in", Consumed::with(Utf8, Int64)).for_each(|key, _| {
            assert!(key.is_none_or(|key| key != "key-13"), "an unlucky key");
        });
        let app = Streams::builder(builder.build().unwrap(), config(1), log.clone());
        let app = app.uncaught_exception_handler(|_| crate::UncaughtResponse::ShutdownApplication);
        let mut app = app.open().unwrap();
        app.start().unwrap();
        app
    };
    let (first, second) = (make(), make());
    until("they share the tasks", || active(&first).len() == 3 && active(&second).len() == 3);
    write(&log, [13]);
    until("both have stopped", || first.state() == State::Error && second.state() == State::Error);
    let errors = [&first, &second].map(|app| app.error().unwrap().to_string());
    assert!(errors.iter().all(|error| error.contains("an unlucky key")), "{errors:?}");
}

#[test]
fn a_new_topic_that_a_pattern_matches_is_read() {
    let (log, mut written) = (log(), BTreeMap::new());
    let builder = StreamsBuilder::new();
    let topics = TopicPattern::new("in.*").unwrap();
    builder
        .stream::<String, i64>(topics, Consumed::with(Utf8, Int64))
        .group_by_key()
        .count(Materialized::named("counts"))
        .to_stream()
        .to("out");
    let mut config = config(2);
    config.metadata_max_age = Duration::ZERO;
    let opener = Streams::builder(builder.build().unwrap(), config, log.clone());
    let mut app = opener.backend(Arc::new(MemoryBackend::default())).open().unwrap();
    app.start().unwrap();
    more(&log, 100, &mut written);
    assert!(app.wait_caught_up(SOON).unwrap());
    for topic in ["in-2", "other", "in-3"] {
        log.create_topic(NewTopic::new(topic).partitions(PARTITIONS)).unwrap();
        write_to(&log, topic, (0..100).map(|row| row % 20));
    }
    for key in 0..20 {
        *written.entry(format!("key-{key}")).or_default() += 10;
    }
    let inputs = || -> BTreeSet<String> {
        app.positions().unwrap().into_iter().map(|(partition, ..)| partition.topic.to_string()).collect()
    };
    until("the new topics are inputs", || inputs() == ["in", "in-2", "in-3"].map(str::to_owned).into());
    until("all of them are read", || {
        app.wait_caught_up(Duration::from_millis(100)).unwrap();
        let rows = app.store("counts").unwrap().key_value::<String, i64>().unwrap();
        rows.all().unwrap().map(|row| row.unwrap().1.value).sum::<i64>() == 300
    });
    app.close().unwrap();
    check_output(&log, &written);
}
