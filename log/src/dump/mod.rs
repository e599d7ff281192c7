//! What the files of a log hold, line by line as Kafka's `kafka-dump-log` prints it, for this log's files and Kafka's.
//!
//! ```text
//! .log ─▶ batches, records ─┐
//! .index .timeindex ────────┼─▶ Line ─▶ text, or JSON one object a line      problems ─▶ at the end
//! .snapshot .txnindex ──────┤
//! checkpoints ──────────────┘
//! ```
//! Files are only read, whatever is wrong with them. Reading order: [`line`] what is printed, [`segment`] and [`index`]
//! the big files, [`state`] the small ones, [`coordinator`] the records of the internal topics by their [`schema`].

mod coordinator;
mod index;
mod line;
mod log_file;
mod problem;
mod schema;
mod segment;
mod state;

use std::io::Write;
use std::path::{Path, PathBuf};

pub use self::line::Decoder;
pub use self::problem::{Mismatch, Problem};

use self::line::Line;
use self::problem::Problems;
use crate::error::{IoContext, LogError, Result};
use crate::storage::{OpenMode, Storage, read_all};

/// What to print of the files, and how. The names are those of `kafka-dump-log`.
#[derive(Clone, Debug)]
pub struct DumpOptions {
    /// `--print-data-log`: print keys and values. Implies `deep_iteration`.
    pub print_data_log: bool,
    /// `--deep-iteration`: print the records of each batch, and look for gaps between their offsets.
    pub deep_iteration: bool,
    /// `--skip-record-metadata`: of a record, print only its key and value.
    pub skip_record_metadata: bool,
    /// `--verify-index-only`: check indexes without printing their entries.
    pub verify_index_only: bool,
    /// `--index-sanity-check`: check of indexes only what decides whether they are rebuilt at a start.
    pub index_sanity_check: bool,
    /// `--max-bytes`: read at most so many bytes of a `.log`.
    pub max_bytes: Option<u64>,
    /// `--max-message-size`: largest batch that an index may lead to. Default 5242880.
    pub max_message_bytes: u64,
    /// How keys are printed.
    pub key: Decoder,
    /// How values are printed.
    pub value: Decoder,
    /// Print lines of JSON instead of text.
    pub json: bool,
}

impl Default for DumpOptions {
    fn default() -> Self {
        Self {
            print_data_log: false,
            deep_iteration: false,
            skip_record_metadata: false,
            verify_index_only: false,
            index_sanity_check: false,
            max_bytes: None,
            max_message_bytes: 5_242_880,
            key: Decoder::Text,
            value: Decoder::Text,
            json: false,
        }
    }
}

/// Prints `files` in order and returns what is wrong with them.
///
/// A file that cannot be opened, and an output that cannot be written, is an error; damage inside a file is a
/// [`Problem`] and the rest is printed all the same. As Kafka's `kafka.tools.DumpLogSegments`.
pub fn dump(
    storage: &dyn Storage,
    files: &[PathBuf],
    options: &DumpOptions,
    out: &mut dyn Write,
) -> Result<Vec<Problem>> {
    let mut dump = Dump { storage, options, out, problems: Problems::default() };
    for file in files {
        dump.file(file)?;
    }
    Ok(dump.problems.into_list())
}

/// A run of [`dump`].
struct Dump<'a> {
    storage: &'a dyn Storage,
    options: &'a DumpOptions,
    out: &'a mut dyn Write,
    problems: Problems,
}

impl Dump<'_> {
    fn file(&mut self, path: &Path) -> Result<()> {
        self.print(&Line::File { path })?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match name.rsplit_once('.').map(|(_, suffix)| suffix) {
            Some("log") => self.log(path),
            Some("index") => self.offset_index(path),
            Some("timeindex") => self.time_index(path),
            Some("snapshot") => self.snapshot(path),
            Some("txnindex") => self.aborted(path),
            Some("metadata") => self.properties(path),
            None if name == "leader-epoch-checkpoint" => self.leader_epochs(path),
            None if name.ends_with("-offset-checkpoint") => self.checkpoint(path),
            _ => {
                self.problems.add(Problem::Unknown { path: path.to_path_buf() });
                Ok(())
            }
        }
    }

    fn print(&mut self, line: &Line<'_>) -> Result<()> {
        line.write(self.options, self.out).context("write", Path::new("the output"))
    }

    fn bytes_of(&self, path: &Path) -> Result<Vec<u8>> {
        let file = self.storage.open(path, OpenMode::Existing).context("open", path)?;
        read_all(&*file).context("read", path)
    }
}

/// The offset that a segment's file is named by.
fn base_offset(path: &Path) -> Result<i64> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = name.split('.').next().unwrap_or_default();
    name.parse().ok().filter(|offset| *offset >= 0).ok_or_else(|| LogError::InvalidFile {
        path: path.to_path_buf(),
        reason: "its name is not an offset: pass the file under the name it has in the log".to_owned(),
    })
}

#[cfg(test)]
mod tests;
