//! `millstream sim`: random runs of the log on a simulated disk, each of which a seed brings back.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use millstream_log::simulation::Swarm;
use millstream_log::{Clock, SystemClock};

use crate::error::CliError;

/// `millstream sim`
#[derive(Args, Debug)]
pub(crate) struct SimArgs {
    /// Seed of the first run; the others count on
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds to run [default: as many as the time allows]
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// When to stop [default: 1 without --seeds]
    #[arg(long, value_name = "MINUTES")]
    minutes: Option<f64>,
}

/// Runs the seeds and prints what was done and what went wrong, which fails.
pub(crate) fn run(args: &SimArgs) -> Result<(), CliError> {
    let minutes = args.minutes.or(args.seeds.is_none().then_some(1.0));
    let limit = minutes.map_or(Ok(Duration::MAX), |minutes| {
        Duration::try_from_secs_f64(minutes * 60.0)
            .map_err(|error| CliError::Usage(format!("--minutes {minutes}: {error}")))
    })?;
    let end = args.seeds.map_or(u64::MAX, |seeds| args.seed.saturating_add(seeds));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let clock = SystemClock::new();
    let report = Swarm::new(args.seed..end).threads(threads).run_while(|| clock.monotonic() < limit);
    let mut out = io::stdout().lock();
    for failure in &report.failures {
        writeln!(out, "{failure}")?;
    }
    writeln!(out, "from seed {}: {report}", args.seed)?;
    match report.failures.len() {
        0 => Ok(()),
        failed => Err(CliError::Failed(format!("{failed} of {} seeds break a rule", report.seeds))),
    }
}
