//! `millstream streams`: care of applications that use the streams DSL.

use millstream_log::Log;
use millstream_streams::reset::{ApplicationReset, ResetSteps};
use millstream_streams::{StreamsError, full_message};

use crate::args::{ApplicationResetArgs, Global, StreamsCommand};
use crate::error::CliError;
use crate::groups::reset_target;
use crate::output::{Grid, Heading, Out};

/// Runs one of the commands.
pub(crate) fn run(global: &Global, command: &StreamsCommand) -> Result<(), CliError> {
    let log = Log::open(global.log_dir())?;
    let StreamsCommand::Reset(args) = command;
    let result = reset(&log, args, &mut Out::new(global.output));
    log.close()?;
    result
}

/// Works a reset out, prints it, and with `--execute` does it.
fn reset(log: &Log, args: &ApplicationResetArgs, out: &mut Out) -> Result<(), CliError> {
    let some = |topics: &[String]| (!topics.is_empty()).then(|| topics.to_vec());
    let reset = ApplicationReset {
        application_id: args.application_id.get().to_owned(),
        input_topics: some(&args.input_topics),
        to: reset_target(&args.to)?,
        internal_topics: some(&args.internal_topics),
    };
    let steps = reset.plan(log).map_err(failed)?;
    for row in &steps.offsets.rows {
        if let Some(warning) = row.warning {
            tracing::warn!(partition = %row.partition, "{warning}");
        }
        if let Err(refusal) = &row.outcome {
            return Err(CliError::Failed(format!("{}: {refusal}", row.partition)));
        }
    }
    if args.execute {
        steps.execute(log).map_err(failed)?;
    } else if !args.dry_run {
        tracing::warn!("nothing was changed: add --execute to reset the application");
    }
    print(&steps, out)
}

fn failed(error: StreamsError) -> CliError {
    CliError::Failed(full_message(&error))
}

fn print(steps: &ResetSteps, out: &mut Out) -> Result<(), CliError> {
    let mut grid = Grid::new(["TOPIC", "PARTITION", "ACTION", "NEW-OFFSET"].map(Heading::text).into());
    for row in &steps.offsets.rows {
        let Ok(offset) = row.outcome else { continue };
        let partition = row.partition.partition.get();
        grid.push(vec![
            row.partition.topic.as_ref().into(),
            partition.into(),
            "reset".into(),
            offset.get().into(),
        ]);
    }
    for topic in &steps.topics {
        grid.push(vec![topic.as_str().into(), "-".into(), "delete".into(), "-".into()]);
    }
    out.columns(&grid)
}
