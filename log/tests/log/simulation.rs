//! The engine under a simulated disk: random runs by seed, all short runs with a crash after every disk operation.

use std::path::Path;
use std::sync::Arc;

use millstream_log::simulation::{CrashMode, Exhaustive, SimDisk, Swarm};
use millstream_log::{
    Acks, Isolation, Log, LogError, ManualClock, Offset, ProducerConfig, Record, Timestamp,
};

use super::{batch, tell, topic, tp};

/// A number from the environment, for longer runs than the usual ones.
fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[test]
fn seeds_keep_all_promises() {
    let first = setting("MILLSTREAM_SIM_SEED", 0);
    let count = setting("MILLSTREAM_SIM_SEEDS", 3000);
    let mut swarm = Swarm::new(first..first + count).threads(threads());
    if std::env::var_os("MILLSTREAM_PLANTED").is_some() {
        swarm = swarm.stop_at_once();
    }
    let report = swarm.run();
    tell(&format!("swarm from seed {first}: {report}"));
    report.failures.iter().for_each(|failure| println!("{failure}"));
    assert!(report.failures.is_empty(), "{} seeds break a rule", report.failures.len());
}

#[test]
fn equal_seeds_give_equal_runs() {
    let runs: Vec<u64> = (0..2).map(|_| Swarm::new(0..20).threads(threads()).run().trace).collect();
    assert_eq!(runs[0], runs[1]);
}

#[test]
fn all_short_runs_survive_a_crash_at_any_moment() {
    let length = setting("MILLSTREAM_SIM_LENGTH", 2) as usize;
    let report = Exhaustive::run(length, &CrashMode::ALL, threads());
    tell(&format!("all runs of up to {length} steps: {report}"));
    report.failures.iter().for_each(|failure| println!("{failure}"));
    assert!(report.failures.is_empty(), "{} sequences break a rule", report.failures.len());
}

#[test]
fn seeds_that_once_broke_a_rule_keep_it_now() {
    let stored = [
        (include_str!("../seeds/process-kills.txt"), &[CrashMode::KeepAll][..]),
        (include_str!("../seeds/all-crashes.txt"), &CrashMode::ALL),
    ];
    for (seeds, modes) in stored {
        let lines = seeds.lines().filter(|line| !line.starts_with('#'));
        for seed in lines.map(|line| line.split(' ').next().unwrap().parse::<u64>().unwrap()) {
            let report = Swarm::new(seed..seed + 1).modes(modes).run();
            assert!(report.failures.is_empty(), "{}", report.failures[0]);
        }
    }
}

#[test]
fn damage_far_from_the_end_is_no_torn_tail() {
    for seed in 0..4 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let open = |disk: &SimDisk| {
            let clock = Arc::new(ManualClock::new(Timestamp::new(1_700_000_000_000)));
            Log::builder().dir("log").storage(Arc::new(disk.clone())).clock(clock).seed(seed).open().unwrap()
        };
        let disk = SimDisk::new(seed);
        let log = open(&disk);
        log.create_topic(topic("t").config("segment.bytes", "4000000")).unwrap();
        let id = tp("t", 0);
        let value = "v".repeat(700_000);
        for _ in 0..15 {
            log.append(&id, batch(&[&value]), Acks::Written).unwrap();
        }
        // The process is killed, and a bit of the first batch is another one when it starts again.
        let disk = disk.snapshot().crash(CrashMode::KeepAll, &mut rng);
        let path = Path::new("log/t-0/00000000000000000000.log");
        disk.flip_bit(path, rng.usize(100..300_000), rng.u8(..8)).unwrap();
        let before = disk.snapshot().files();
        let log = open(&disk);
        for (path, bytes) in disk.snapshot().files() {
            let is_segment = path.extension().is_some_and(|extension| extension == "log");
            assert!(!is_segment || before[&path] == bytes, "seed {seed}: {}", path.display());
        }
        let read = |offset| log.read(&id, Offset::new(offset), 1, Isolation::ReadUncommitted);
        for offset in 1..15 {
            let found = read(offset).unwrap().into_data();
            assert_eq!(found[0].base_offset(), Offset::new(offset), "seed {seed}");
        }
        assert!(matches!(read(0), Err(LogError::Corrupt { .. })));
        let refused = log.append(&id, batch(&["more"]), Acks::Written);
        assert!(matches!(refused, Err(LogError::Corrupt { .. })));
    }
}

#[test]
fn what_readers_passed_keeps_its_offsets() {
    for (seed, mode) in (0..).zip(CrashMode::ALL.into_iter().cycle()).take(4 * CrashMode::ALL.len()) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let open = |disk: &SimDisk| {
            let clock = Arc::new(ManualClock::new(Timestamp::new(1_700_000_000_000)));
            Log::builder().dir("log").storage(Arc::new(disk.clone())).clock(clock).seed(seed).open().unwrap()
        };
        let disk = SimDisk::new(seed);
        let log = open(&disk);
        log.create_topic(topic("t")).unwrap();
        let id = tp("t", 0);
        // A producer that syncs every batch would leave nothing for the abort to sync.
        let mut producer =
            log.producer(ProducerConfig::default().transactional_id("tx").acks(Acks::Written)).unwrap();
        for committed in [true, false] {
            producer.begin_transaction().unwrap();
            for value in ["1", "2", "3"] {
                producer.send("t", Record { value: Some(value.into()), ..Record::default() }).unwrap();
                producer.flush().unwrap();
            }
            match committed {
                true => producer.commit_transaction().unwrap(),
                false => producer.abort_transaction().unwrap(),
            }
        }
        let passed = log.last_stable_offset(&id).unwrap();
        assert_eq!(passed, Offset::new(8), "three records and a marker, twice");
        log.commit_offsets("g", &[(id.clone(), passed, "")]).unwrap();
        let log = open(&disk.snapshot().crash(mode, &mut rng));
        assert_eq!(log.last_stable_offset(&id).unwrap(), passed, "seed {seed}, {mode:?}");
    }
}
