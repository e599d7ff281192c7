//! `millstream dump-log`: what the files of a log hold, read without opening the log.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::Args;
use millstream_log::{Decoder, DumpOptions, LogError, ReadOnlyStorage, dump};

use crate::args::Global;
use crate::error::CliError;
use crate::output::Format;

/// `millstream dump-log`
#[derive(Args, Debug)]
pub(crate) struct DumpLogArgs {
    /// Files to print, separated by commas: .log, .index, .timeindex, .snapshot, .txnindex and checkpoints
    #[arg(long, required = true, value_delimiter = ',', num_args = 1.., value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print keys and values; implied by the decoders
    #[arg(long)]
    print_data_log: bool,
    /// Print the records of each batch, and look for gaps between their offsets
    #[arg(long)]
    deep_iteration: bool,
    /// Of a record, print only its key and value
    #[arg(long)]
    skip_record_metadata: bool,
    /// Check indexes without printing their entries
    #[arg(long)]
    verify_index_only: bool,
    /// Check of indexes only what decides whether they are rebuilt at a start
    #[arg(long, conflicts_with = "verify_index_only")]
    index_sanity_check: bool,
    /// Read at most so many bytes of a .log
    #[arg(long, value_name = "BYTES")]
    max_bytes: Option<u64>,
    /// Largest batch that an index may lead to
    #[arg(long, default_value_t = 5_242_880, value_name = "BYTES")]
    max_message_size: u64,
    /// How keys are printed: StringDecoder, IntegerDecoder, LongDecoder, or DefaultDecoder for hexadecimal digits
    #[arg(long, value_parser = decoder, value_name = "CLASS")]
    key_decoder_class: Option<Decoder>,
    /// How values are printed, likewise
    #[arg(long, value_parser = decoder, value_name = "CLASS")]
    value_decoder_class: Option<Decoder>,
    /// Print the records of __consumer_offsets by their meaning
    #[arg(long, conflicts_with_all = ["key_decoder_class", "value_decoder_class"])]
    offsets_decoder: bool,
    /// Print the records of __transaction_state by their meaning
    #[arg(long, conflicts_with_all = ["key_decoder_class", "value_decoder_class", "offsets_decoder"])]
    transaction_log_decoder: bool,
}

/// Prints the files. What is wrong with them goes to standard error at the end, and corruption fails.
pub(crate) fn run(global: &Global, args: &DumpLogArgs) -> Result<(), CliError> {
    let options = args.options(global.output)?;
    let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    let problems = dump(&ReadOnlyStorage, &args.files, &options, &mut out).map_err(|error| match error {
        LogError::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => CliError::ClosedPipe,
        error => error.into(),
    })?;
    out.flush()?;
    let mut err = io::stderr().lock();
    for problem in &problems {
        writeln!(err, "{problem}")?;
    }
    match problems.iter().filter(|problem| problem.is_corruption()).count() {
        0 => Ok(()),
        _ => Err(CliError::Failed("there is corruption in these files: it is listed above".to_owned())),
    }
}

impl DumpLogArgs {
    fn options(&self, output: Format) -> Result<DumpOptions, CliError> {
        let json = match output {
            Format::Table => false,
            Format::Json => true,
            Format::Csv => {
                let text = "dump-log prints lines of different kinds: use --output table or --output json";
                return Err(CliError::Usage(text.to_owned()));
            }
        };
        let topic = match (self.offsets_decoder, self.transaction_log_decoder) {
            (true, _) => Some(Decoder::ConsumerOffsets),
            (_, true) => Some(Decoder::TransactionState),
            (false, false) => None,
        };
        let has_decoder =
            topic.is_some() || self.key_decoder_class.is_some() || self.value_decoder_class.is_some();
        Ok(DumpOptions {
            print_data_log: self.print_data_log || has_decoder,
            deep_iteration: self.deep_iteration,
            skip_record_metadata: self.skip_record_metadata,
            verify_index_only: self.verify_index_only,
            index_sanity_check: self.index_sanity_check,
            max_bytes: self.max_bytes,
            max_message_bytes: self.max_message_size,
            key: topic.or(self.key_decoder_class).unwrap_or(Decoder::Text),
            value: topic.or(self.value_decoder_class).unwrap_or(Decoder::Text),
            json,
        })
    }
}

fn decoder(name: &str) -> Result<Decoder, String> {
    Decoder::from_name(name).ok_or_else(|| {
        "it is none of StringDecoder, IntegerDecoder, LongDecoder and DefaultDecoder".to_owned()
    })
}
