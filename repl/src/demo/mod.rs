//! `millstream demo`: real flights through every part, in one process.
//!
//! ```text
//! airlines.csv   ─▶ file source ─▶ airlines ─┐
//! flights.csv.gz ─▶ file source ─▶ flights ──┴▶ DEPARTURES ─┬▶ DELAYS_PER_HOUR ─▶ pull query
//!                                                           ├▶ CARRIERS ────────▶ pull query
//!                                                           └▶ LATE_DEPARTURES ─┬▶ push query
//!                                                                               └▶ file sink
//! ```
//! The statements and the connectors are those of `examples/`.

mod directory;
mod job;
mod stage;

use std::path::{Path, PathBuf};
use std::time::Duration;

use millstream_log::{Clock, SystemClock};

use self::directory::{Directory, Found};
use self::job::{Job, Totals};
use self::stage::Stage;
use crate::args::{DemoArgs, Global};
use crate::cell::Cell;
use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::output::{Format, Grid, Heading, Out};
use crate::style::Colours;

/// Runs the job to its end. After a kill the same command goes on from what is there and ends with the same totals.
pub(crate) fn run(global: &Global, args: &DemoArgs, colours: Colours) -> Result<(), CliError> {
    let input = input_directory(args.input.as_deref())?;
    let interrupt = Interrupt::install()?;
    let clock = SystemClock::new();
    let (directory, found) = Directory::take(args.keep.as_deref())?;
    let mut out = Out::new(global.output);
    let mut stage = Stage::new(&mut out, colours);
    stage.say(&match found {
        Found::Nothing => format!("working in {}", directory.path().display()),
        Found::Interrupted => {
            format!("going on in {}, where the last run was interrupted", directory.path().display())
        }
    })?;

    let global = global.on(directory.path());
    let totals = Job::open(&global, &input)?.run(&mut stage, &interrupt)?;
    let seconds = clock.monotonic();
    if directory.is_kept() {
        stage.say(&format!(
            "kept {0}; look into it with: millstream --data-dir {0}",
            directory.path().display()
        ))?;
    }
    directory.finish()?;
    summary(&totals, seconds, &mut out)
}

fn summary(totals: &Totals, time: Duration, out: &mut Out) -> Result<(), CliError> {
    let seconds = time.as_secs_f64();
    let rate = totals.loaded_now as f64 / seconds;
    if out.format() == Format::Table {
        out.line(&format!(
            "totals: {} flights, {} departures in {} windows of {} airlines, {} late departures in the sink file",
            thousands(totals.flights),
            thousands(totals.departures),
            thousands(totals.windows),
            totals.airlines,
            thousands(totals.sink_lines)
        ))?;
        out.line(&format!(
            "{} records in {seconds:.2} s: {} records/s from file to tables",
            thousands(totals.loaded_now),
            thousands(rate as u64)
        ))?;
        return out.flush();
    }
    let names = [
        "flights",
        "departures",
        "windows",
        "airlines",
        "sink_lines",
        "records",
        "seconds",
        "records_per_second",
    ];
    let mut grid = Grid::new(names.into_iter().map(Heading::number).collect());
    grid.push(vec![
        totals.flights.into(),
        totals.departures.into(),
        totals.windows.into(),
        totals.airlines.into(),
        totals.sink_lines.into(),
        totals.loaded_now.into(),
        Cell::Number(format!("{seconds:.3}")),
        Cell::Number(format!("{rate:.0}")),
    ]);
    out.grid(&grid)
}

/// `1234567` as `1,234,567`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The given directory, or `examples/data` here or beside the checkout that the program was built in.
fn input_directory(given: Option<&Path>) -> Result<PathBuf, CliError> {
    const FILES: [&str; 2] = ["airlines.csv", "flights.csv.gz"];
    let complete = |directory: &Path| FILES.iter().all(|file| directory.join(file).is_file());
    if let Some(directory) = given {
        if complete(directory) {
            return Ok(directory.to_owned());
        }
        let files = FILES.join(" and ");
        return Err(CliError::Failed(format!(
            "{} does not hold {files}: choose another --input",
            directory.display()
        )));
    }
    let here = PathBuf::from("examples/data");
    let built = std::env::current_exe().ok().and_then(|program| {
        let target = program.ancestors().find(|path| path.ends_with("target"))?;
        Some(target.parent()?.join("examples/data"))
    });
    [Some(here), built].into_iter().flatten().find(|directory| complete(directory)).ok_or_else(|| {
        CliError::Failed(
            "examples/data is not here: run the demo in the checkout, or give the directory with --input"
                .to_owned(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        for (number, expected) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (166_158, "166,158"), (1_000_000, "1,000,000")]
        {
            assert_eq!(thousands(number), expected);
        }
    }
}
