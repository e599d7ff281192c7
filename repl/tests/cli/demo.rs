//! `demo`: its totals, also when it is killed in the middle.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use std::time::Duration;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use millstream_log::{Clock, SystemClock};
use serde_json::Value;

use crate::{Program, examples};

/// Rows of the cut: the first days of January.
const ROWS: usize = 20_000;

/// The totals of a run, without what differs between runs.
fn totals(stdout: &str) -> [Value; 5] {
    let figures: Value = serde_json::from_str(stdout).unwrap_or_else(|error| panic!("{error} in {stdout}"));
    ["flights", "departures", "windows", "airlines", "sink_lines"].map(|name| figures[name].clone())
}

/// The totals computed from the file alone.
fn expected(input: &Path) -> [Value; 5] {
    let flights = BufReader::new(GzDecoder::new(File::open(input.join("flights.csv.gz")).unwrap()));
    let (mut count, mut departures, mut late) = (0_u64, 0_u64, 0_u64);
    let mut windows = std::collections::BTreeSet::new();
    let mut carriers = std::collections::BTreeSet::new();
    for line in flights.lines().skip(1) {
        let line = line.unwrap();
        let fields: Vec<&str> = line.split(',').collect();
        count += 1;
        if let Ok(delay) = fields[5].parse::<i64>() {
            departures += 1;
            late += u64::from(delay >= 180);
            windows.insert((fields[12].to_owned(), fields[18].to_owned()));
            carriers.insert(fields[9].to_owned());
        }
    }
    [count.into(), departures.into(), windows.len().into(), carriers.len().into(), late.into()]
}

fn cut_of_the_data(directory: &Path) -> PathBuf {
    let input = directory.join("input");
    fs::create_dir(&input).unwrap();
    fs::copy(examples().join("data/airlines.csv"), input.join("airlines.csv")).unwrap();
    let whole = BufReader::new(GzDecoder::new(File::open(examples().join("data/flights.csv.gz")).unwrap()));
    let mut cut = GzEncoder::new(File::create(input.join("flights.csv.gz")).unwrap(), Compression::fast());
    for line in whole.lines().take(ROWS + 1) {
        writeln!(cut, "{}", line.unwrap()).unwrap();
    }
    cut.finish().unwrap();
    input
}

#[test]
fn a_run_ends_with_the_totals_of_the_file_and_starts_clean_again() {
    let program = Program::new();
    let input = cut_of_the_data(program.directory.path());
    let arguments = ["demo", "--input", input.to_str().unwrap(), "--keep", "kept", "--output", "json"];
    assert_eq!(totals(&program.ok(&arguments)), expected(&input));
    // What it left can be asked.
    let answer = program.ok(&[
        "--data-dir",
        "kept",
        "--output",
        "json",
        "sql",
        "-e",
        "SELECT departures FROM carriers WHERE airline = 'JetBlue Airways';",
    ]);
    assert!(answer.contains("DEPARTURES"), "{answer}");
    let sink = fs::read_to_string(program.directory.path().join("kept/late-departures.jsonl")).unwrap();
    assert_eq!(Value::from(sink.lines().count()), expected(&input)[4]);
    assert!(
        sink.lines()
            .all(|line| serde_json::from_str::<Value>(line)
                .is_ok_and(|row| row["DELAY"].as_i64() >= Some(180)))
    );
    assert_eq!(totals(&program.ok(&arguments)), expected(&input));

    // Without --keep nothing stays.
    let text = program.ok(&["demo", "--input", input.to_str().unwrap()]);
    assert!(text.lines().last().unwrap().contains("20,000 records in "), "{text}");
    assert!(!program.directory.path().join("millstream-demo").exists());
}

#[test]
fn a_killed_run_goes_on_to_the_same_totals() {
    let program = Program::new();
    let input = cut_of_the_data(program.directory.path());
    let arguments = ["demo", "--input", input.to_str().unwrap(), "--keep", "kept", "--output", "json"];
    // Killed at several moments: before, during and after the load, each time going on from the last.
    for pause_ms in [60, 250, 400, 550] {
        let mut child =
            program.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        SystemClock::new().sleep(Duration::from_millis(pause_ms));
        // SIGKILL; a run that is through by now is wiped and started again, which must not matter either.
        let _ = child.kill();
        child.wait().unwrap();
    }
    assert_eq!(totals(&program.ok(&arguments)), expected(&input));
}
