//! The engine under a simulated disk: random runs by seed, all short runs with a crash after every disk operation.

use millstream_log::simulation::{CrashMode, Exhaustive, Swarm};

/// How the machine may stop in the runs of all short sequences.
const EXHAUSTIVE_MODES: [CrashMode; 7] = [
    CrashMode::KeepAll,
    CrashMode::DropAll,
    CrashMode::Prefix,
    CrashMode::Torn(1),
    CrashMode::Torn(512),
    CrashMode::Torn(4096),
    CrashMode::BytesOnly,
];

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
    let count = setting("MILLSTREAM_SIM_SEEDS", 50);
    let modes = match std::env::var("MILLSTREAM_SIM_MODES").as_deref() {
        Ok("all") => &CrashMode::ALL[..],
        _ => &[CrashMode::KeepAll],
    };
    let report = Swarm::new(first..first + count).modes(modes).threads(threads()).run();
    println!("swarm from seed {first}: {report}");
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
    let report = Exhaustive::run(length, &EXHAUSTIVE_MODES, threads());
    println!("all runs of up to {length} steps: {report}");
    report.failures.iter().for_each(|failure| println!("{failure}"));
    assert!(report.failures.is_empty(), "{} sequences break a rule", report.failures.len());
}

#[test]
fn seeds_that_once_broke_a_rule_keep_it_now() {
    let seeds = include_str!("../seeds/process-kills.txt").lines().filter(|line| !line.starts_with('#'));
    for seed in seeds.filter_map(|line| line.split(' ').next()?.parse::<u64>().ok()) {
        let report = Swarm::new(seed..seed + 1).modes(&[CrashMode::KeepAll]).run();
        assert!(report.failures.is_empty(), "{}", report.failures[0]);
    }
}
