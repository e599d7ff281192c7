//! Runs ksqlDB's query translation tests: statements and records in, records or an error out. Before them come its
//! tests of pull and push queries, from `rqtt` beside `qtt`, with a summary of their own.
//!
//! ```text
//! QTT_DIR=<folder that holds qtt/> cargo test -p millstream-sql --release --test qtt -- [filter]
//! ```
//! The cases are no part of this project. Without `QTT_DIR` they are looked for in `../shared/qtt` beside the project;
//! if they are not there, nothing runs, and that is said. With a filter, only cases whose id contains it run, and
//! failures are shown in full. `QTT_REPORT` names a file for a report in JSON.
//!
//! A run without filter is a ratchet: `known-failures.txt` beside this file says what fails and why, and any other
//! failure, and any line there that is no longer true, fails the run.

mod case;
mod codec;
mod functions;
mod json;
mod registry;
mod rest;
mod value;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use case::Verdict;
use json::Json;

/// What is known to fail: an id and a reason per line, with a tab between them.
const KNOWN: &str = include_str!("known-failures.txt");
/// A case that takes longer hangs.
const TOO_LONG: Duration = Duration::from_secs(60);

struct Case {
    file: String,
    id: String,
    json: Json,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let filter = arguments.into_iter().find(|argument| !argument.starts_with('-'));
    let Some(folder) = folder() else {
        println!("qtt: skipped, for its cases are not here: QTT_DIR names the folder that holds qtt/");
        return ExitCode::SUCCESS;
    };
    match run(&folder, filter.as_deref()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("qtt: {error}");
            ExitCode::FAILURE
        }
    }
}

fn folder() -> Option<PathBuf> {
    match env::var_os("QTT_DIR") {
        Some(folder) => Some(PathBuf::from(folder).join("qtt")),
        None => Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/qtt/qtt"))
            .filter(|path| path.is_dir()),
    }
}

fn run(folder: &Path, filter: Option<&str>) -> Result<bool, String> {
    let mut held = true;
    let rest = folder.with_file_name("rqtt");
    if rest.is_dir() {
        let cases = read(&rest, "rqtt/", filter)?;
        let verdicts = judge(&cases, rest::run);
        if filter.is_some() {
            explain(&cases, &verdicts);
        }
        let failed = verdicts.iter().filter(|verdict| verdict.failure.is_some()).count();
        let left_out: usize = verdicts.iter().map(|verdict| verdict.left_out).sum();
        println!(
            "pull and push queries: {}/{}; checks of the server left out: {left_out}",
            cases.len() - failed,
            cases.len()
        );
        held = if filter.is_some() { failed == 0 } else { ratchet(&cases, &verdicts) };
    }
    let cases = read(folder, "", filter)?;
    let verdicts = judge(&cases, case::run);
    if filter.is_some() {
        explain(&cases, &verdicts);
    }
    summarise(&cases, &verdicts);
    if let Some(file) = env::var_os("QTT_REPORT") {
        fs::write(&file, report(&cases, &verdicts))
            .map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let failed = verdicts.iter().filter(|verdict| verdict.failure.is_some()).count();
    held &= if filter.is_some() { failed == 0 } else { ratchet(&cases, &verdicts) };
    println!("{} passed, {failed} failed", cases.len() - failed);
    Ok(held)
}

/// Shows failures in full.
fn explain(cases: &[Case], verdicts: &[Verdict]) {
    for (case, verdict) in cases.iter().zip(verdicts) {
        if let Some(failure) = &verdict.failure {
            println!("--- {}\n{failure}", case.id);
        } else if let Some((wanted, found)) = verdict.messages.as_ref().filter(|_| !verdict.message_matches) {
            println!("--- {}: the message differs\n    expected {wanted}\n    found    {found}", case.id);
        }
    }
}

/// Reads the cases of a folder, whose ids get a prefix, as far as their ids contain the filter.
fn read(folder: &Path, prefix: &str, filter: Option<&str>) -> Result<Vec<Case>, String> {
    let failed = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let entries = fs::read_dir(folder).map_err(|error| failed(folder, &error))?;
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(|error| failed(folder, &error))?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let mut cases = Vec::new();
    for path in paths {
        let text = fs::read(&path).map_err(|error| failed(&path, &error))?;
        let json = Json::parse(&text).map_err(|error| failed(&path, &error))?;
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for case in json.get("tests").items() {
            let id = case.get("id").as_str().ok_or_else(|| failed(&path, &"a case without id"))?;
            let id = format!("{prefix}{id}");
            if filter.is_none_or(|filter| id.contains(filter)) {
                cases.push(Case { file: file.clone(), id, json: case.clone() });
            }
        }
    }
    Ok(cases)
}

/// Runs the cases on all cores.
#[expect(
    clippy::disallowed_methods,
    reason = "a case that hangs can only be left, and real time says that it does"
)]
fn judge(cases: &[Case], run: impl Fn(&Json) -> Verdict + Sync) -> Vec<Verdict> {
    std::panic::set_hook(Box::new(|_| {}));
    let verdicts: Vec<Mutex<Option<Verdict>>> = cases.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let running: Vec<Mutex<Option<(Instant, usize)>>> = (0..workers).map(|_| Mutex::new(None)).collect();
    let done = AtomicUsize::new(0);
    let set = |worker: usize, what| *running[worker].lock().unwrap_or_else(PoisonError::into_inner) = what;
    thread::scope(|scope| {
        for worker in 0..workers {
            let (next, verdicts, set, done, run) = (&next, &verdicts, &set, &done, &run);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(number) else { break };
                    set(worker, Some((Instant::now(), number)));
                    let verdict = run(&case.json);
                    *verdicts[number].lock().unwrap_or_else(PoisonError::into_inner) = Some(verdict);
                    set(worker, None);
                }
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        while done.load(Ordering::Relaxed) < workers {
            thread::sleep(Duration::from_millis(5));
            for slot in &running {
                if let Some((since, number)) = *slot.lock().unwrap_or_else(PoisonError::into_inner)
                    && since.elapsed() > TOO_LONG
                {
                    eprintln!("qtt: {} hangs", cases[number].id);
                    std::process::exit(2);
                }
            }
        }
    });
    let _ = std::panic::take_hook();
    let verdict = |slot: Mutex<Option<Verdict>>| slot.into_inner().unwrap_or_else(PoisonError::into_inner);
    verdicts.into_iter().map(|slot| verdict(slot).unwrap_or_default()).collect()
}

fn summarise(cases: &[Case], verdicts: &[Verdict]) {
    let mut files: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut groups: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let (mut refused, mut agreed, mut left_out) = (0, 0, 0);
    for (case, verdict) in cases.iter().zip(verdicts) {
        let passed = usize::from(verdict.failure.is_none());
        let registry = case::needs_registry(&case.json);
        let group = match (verdict.negative, registry) {
            (false, false) => "records expected, no registry",
            (true, false) => "error expected, no registry",
            (false, true) => "records expected, registry",
            (true, true) => "error expected, registry",
        };
        for count in [files.entry(&case.file).or_default(), groups.entry(group).or_default()] {
            count.0 += passed;
            count.1 += 1;
        }
        refused += usize::from(verdict.negative);
        agreed += usize::from(verdict.message_matches);
        left_out += verdict.left_out;
    }
    for (file, (passed, all)) in files {
        println!("{file} {passed}/{all}");
    }
    for (group, (passed, all)) in groups {
        println!("{group}: {passed}/{all}");
    }
    println!("messages as expected: {agreed}/{refused}; checks of internal topics left out: {left_out}");
}

fn report(cases: &[Case], verdicts: &[Verdict]) -> String {
    let rows = cases.iter().zip(verdicts).map(|(case, verdict)| {
        let (expected, found) = verdict.messages.clone().unwrap_or_default();
        serde_json::json!({
            "id": case.id,
            "passed": verdict.failure.is_none(),
            "registry": case::needs_registry(&case.json),
            "negative": verdict.negative,
            "difference": verdict.failure,
            "message_matches": verdict.message_matches,
            "expected_message": expected,
            "message": found,
        })
    });
    serde_json::Value::Array(rows.collect()).to_string()
}

/// Whether exactly the known failures failed.
fn ratchet(cases: &[Case], verdicts: &[Verdict]) -> bool {
    let known: BTreeMap<&str, &str> = KNOWN
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once('\t').unwrap_or((line, "")))
        .collect();
    let mut held = true;
    for (case, verdict) in cases.iter().zip(verdicts) {
        let complaint = match (&verdict.failure, known.get(case.id.as_str())) {
            (Some(failure), None) => format!("{} fails: {failure}", case.id),
            (None, Some(_)) => format!("{} passes: its line in known-failures.txt can go", case.id),
            (Some(_), Some(&"")) => {
                format!("{} has no reason in known-failures.txt", case.id)
            }
            _ => continue,
        };
        println!("{complaint}");
        held = false;
    }
    held
}
