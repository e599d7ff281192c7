//! `millstream repair`: what is damaged in the log, and cutting it out.

use millstream_log::{Log, RepairMode, RepairReport, Salvaged, TopicPartition};

use crate::args::{Global, RepairArgs};
use crate::cell::Cell;
use crate::error::CliError;
use crate::output::{Format, Grid, Heading, Out};
use crate::place;

/// Examines partitions, prints what is lost, and with `--execute` gives it up. Fails while damage is left.
pub(crate) fn run(global: &Global, args: &RepairArgs) -> Result<(), CliError> {
    let mode = if args.execute { RepairMode::Apply } else { RepairMode::DryRun };
    let salvaged = Log::builder().dir(global.log_dir()).salvage(mode)?;
    if !salvaged.is_empty() {
        tell(&salvaged, &mut Out::new(global.output))?;
        if !args.execute {
            return Err(CliError::Failed(format!(
                "{} of the log's own files cannot be read: restore them from a copy, or have them rebuilt with --execute; partitions are examined after that",
                salvaged.len()
            )));
        }
        tracing::warn!("rebuilt what could not be read; it is kept beside, ending in .damaged");
    }
    let log = Log::open(global.log_dir())?;
    let result = repair(&log, args, mode, &mut Out::new(global.output));
    log.close()?;
    result
}

/// Prints which of the log's own files cannot be read and what becomes of them.
fn tell(salvaged: &[Salvaged], out: &mut Out) -> Result<(), CliError> {
    let mut grid = Grid::new(["file", "reason", "outcome"].map(Heading::text).into());
    for Salvaged { path, reason, outcome } in salvaged {
        grid.push(vec![
            Cell::Text(path.display().to_string()),
            reason.as_str().into(),
            outcome.as_str().into(),
        ]);
    }
    out.columns(&grid)
}

fn repair(log: &Log, args: &RepairArgs, mode: RepairMode, out: &mut Out) -> Result<(), CliError> {
    let partitions = if args.partitions.is_empty() {
        let all = |topic: &millstream_log::TopicDescription| {
            let name = topic.name.clone();
            (0..topic.partitions).map(move |number| TopicPartition::new(name.clone(), number))
        };
        log.topics().iter().flat_map(all).collect()
    } else {
        args.partitions.iter().map(|text| place::topic_partition(text)).collect::<Result<Vec<_>, _>>()?
    };
    let mut damaged = Vec::new();
    for partition in &partitions {
        let report = log.repair(partition, mode)?;
        if !report.lost.is_empty() {
            damaged.push(report);
        }
    }
    print(&damaged, out)?;
    let offsets: u64 = damaged.iter().map(RepairReport::offsets_lost).sum();
    if damaged.is_empty() {
        tracing::info!(partitions = partitions.len(), "no damage");
    } else if args.execute {
        tracing::warn!(offsets, "gave up what was damaged; its partitions take records again");
    } else {
        return Err(CliError::Failed(format!(
            "{} of {} partitions are damaged, {offsets} offsets would be lost: restore the files from a copy, or give the damaged ranges up with --execute",
            damaged.len(),
            partitions.len()
        )));
    }
    Ok(())
}

fn print(reports: &[RepairReport], out: &mut Out) -> Result<(), CliError> {
    let names = ["partition", "first_offset", "next_offset", "file", "position", "bytes", "reason"];
    let numeric = ["first_offset", "next_offset", "position", "bytes"];
    let heading =
        |name: &str| if numeric.contains(&name) { Heading::number(name) } else { Heading::text(name) };
    let mut grid = Grid::new(names.into_iter().map(heading).collect());
    for report in reports {
        for lost in &report.lost {
            grid.push(vec![
                Cell::Text(report.partition.to_string()),
                lost.offset.get().into(),
                lost.offset_end.get().into(),
                Cell::Text(lost.path.display().to_string()),
                lost.position.into(),
                lost.bytes().into(),
                lost.reason.as_str().into(),
            ]);
        }
    }
    if reports.is_empty() && out.format() == Format::Table {
        out.line("No damage found.")?;
        return out.flush();
    }
    out.columns(&grid)
}
