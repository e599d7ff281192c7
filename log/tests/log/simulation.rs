//! The engine under a simulated disk: random runs by seed, all short runs with a crash after every disk operation.

use millstream_log::simulation::{CrashMode, Exhaustive, Swarm};

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
    let report = Swarm::new(first..first + count).threads(threads()).run();
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
    let report = Exhaustive::run(length, &CrashMode::ALL, threads());
    println!("all runs of up to {length} steps: {report}");
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
