//! Many seeds, the ones that once failed, and whether bugs would be seen.

use std::io::Write;
use std::process::{Command, Stdio};

use super::scenario::Writing;
use super::workload::{InputRow, START};
use super::*;
use crate::crash::CrashPoint;

const SEEDS: &str = "seeds_give_what_a_fold_gives";

/// Each with the test that finds it.
const BUGS: [(&str, &str); 11] = [
    ("store_apply_before_commit", SEEDS),
    ("restore_off_by_one", SEEDS),
    ("restore_gap_skipped", SEEDS),
    ("restore_uncommitted", SEEDS),
    ("restore_hidden", SEEDS),
    ("window_edge_off_by_one", SEEDS),
    ("offsets_outside_transaction", SEEDS),
    ("purge_uncommitted", SEEDS),
    ("tombstone_not_logged", SEEDS),
    ("fenced_commit_ok", SEEDS),
    ("punctuations_not_fenced", "what_the_clock_does_counts_once"),
];

/// A number from the environment, for longer runs than the usual ones.
fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Prints past the capture of a test's output: figures that every run should show.
fn tell(text: &str) {
    // Nobody may be reading any more: that is no reason to fail.
    let _unread = writeln!(std::io::stderr(), "{text}");
}

#[test]
fn seeds_give_what_a_fold_gives() {
    let first = setting("MILLSTREAM_SIM_SEED", 0);
    let count = setting("MILLSTREAM_SIM_SEEDS", 4000);
    let mut swarm = Swarm::new(first..first + count).threads(threads());
    let is_planted = std::env::var_os("MILLSTREAM_PLANTED").is_some();
    if is_planted {
        swarm = swarm.stop_at_once();
    }
    let report = swarm.run();
    tell(&format!("streams from seed {first}: {report}"));
    report.failures.iter().for_each(|failure| println!("{failure}"));
    assert!(report.failures.is_empty(), "{} seeds break a rule", report.failures.len());
    if count >= 1000 {
        for point in CrashPoint::ALL {
            assert!(report.crashes.contains_key(&point), "nothing has died at {point}");
        }
    }
}

#[test]
fn equal_seeds_give_equal_runs() {
    let runs: Vec<u64> = (0..2).map(|_| Swarm::new(0..20).threads(threads()).run().trace).collect();
    assert_eq!(runs[0], runs[1]);
}

#[test]
fn seeds_that_once_failed_do_not_now() {
    let seeds = include_str!("../../tests/seeds/streams.txt").lines().filter(|line| !line.starts_with('#'));
    for seed in seeds.map(|line| line.split(' ').next().unwrap().parse::<u64>().unwrap()) {
        let report = Swarm::new(seed..seed + 1).run();
        assert!(report.failures.is_empty(), "{}", report.failures[0]);
    }
}

/// An instance whose timers have fired is taken for dead, others do their work, and then it commits.
#[test]
fn what_the_clock_does_counts_once() {
    let settings = Settings {
        seed: 1,
        workload: workload::ALL.iter().position(|workload| workload.name() == "reminders").unwrap(),
        partitions: 1,
        instances: 2,
        standbys: 0,
        acceptable_lag: 0,
        exactly_once: true,
        caching: false,
        commit_interval_ms: 3_600_000,
        buffered_records: 1000,
        purge_interval_ms: 30_000,
        segment_bytes: 1 << 14,
    };
    let row = InputRow {
        topic: "notes",
        partition: 0,
        time: START,
        key: Some(b"1".to_vec()),
        value: Some(Vec::new()),
    };
    let (work, commit) =
        (|instance| Operation::Work { instance, rounds: 3 }, |instance| Operation::Commit { instance });
    let operations = vec![
        Operation::Write { rows: vec![row], writing: Writing::Plain },
        work(0),
        commit(0),
        Operation::Advance { millis: 100 },
        work(0),
        Operation::Advance { millis: 4000 },
        work(1),
        commit(1),
        commit(0),
    ];
    let counts = swarm::run(&Scenario { settings, operations, halts: Vec::new() }).unwrap();
    assert!(counts.lost > 0, "the first instance is told that its tasks are another's");
}

#[test]
fn each_planted_bug_is_found() {
    if std::env::var_os("MILLSTREAM_PLANTED").is_some() {
        return; // this is one of the runs below
    }
    let passes = |bug: &str, test: &str| {
        let run = Command::new(std::env::current_exe().unwrap())
            .args([format!("simulation::tests::{test}").as_str(), "--exact"])
            .env("MILLSTREAM_PLANTED", bug)
            .env_remove("MILLSTREAM_SIM_SEED")
            .env_remove("MILLSTREAM_SIM_SEEDS")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        run.unwrap().success()
    };
    let missed: Vec<_> = BUGS.into_iter().filter(|(bug, test)| passes(bug, test)).collect();
    tell(&format!("{} planted bugs in streams, {} found", BUGS.len(), BUGS.len() - missed.len()));
    assert!(missed.is_empty(), "not found: {missed:?}");
}
